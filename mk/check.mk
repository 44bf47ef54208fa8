# Tests, lint, fuzzing, benchmarks, the virtual machine. docs/testing.md tells how to add to them.
#
#   tests/unit/FOLDER/**/*.c   one Criterion program per folder; tests/golden/*.c one more
#   tests/thread/NAME.c        a TAP program each (tests/lib/tap.h), under ThreadSanitizer
#   tests/bpf/NAME.c, NAME.sh  a TAP program or script each; with tests/bpf/lib/*.c
#   tests/fuzz/NAME.c          a libFuzzer target each; seeds in tests/fuzz/corpus/NAME/
#   tests/e2e/*.sh             TAP scripts for this machine
#   tests/vm/suite/*.sh        TAP scripts for the virtual machine
# tests/run.sh runs them, counts, lists the skips and ends with "N passed, N failed, N skipped".

UNIT_FOLDERS := $(patsubst tests/unit/%/,%,$(wildcard tests/unit/*/))
UNIT_BINS := $(foreach f,$(UNIT_FOLDERS),$(if $(shell find tests/unit/$(f) -name '*.c'),$(OUT)/tests/unit-$(f))) \
	$(if $(wildcard tests/golden/*.c),$(OUT)/tests/golden)
plain = $(patsubst tests/$(1)/%.c,$(OUT)/tests/$(1)-%,$(wildcard tests/$(1)/*.c))
THREAD_BINS := $(call plain,thread)
BPF_BINS := $(call plain,bpf)

TEST_ARCS := $(call live,cli bench simcli testbed load policies teacher agent link fit sim workload nn lib)
TEST_PKGS := $(AGENT_PKGS) $(LINK_PKGS) criterion openblas sqlite3

# $(1) name below $(OUT)/tests, $(2) sources
define test_rule
$(call objs,$(2)): | deps-test
$(OUT)/tests/$(1): $$(call objs,$(2)) $$(call arcs,$$(TEST_ARCS))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) -o $$@ $$^ $$(LDFLAGS) $$(call pkg_libs,$$(TEST_PKGS)) -lm
endef
$(foreach f,$(UNIT_FOLDERS),$(eval $(call test_rule,unit-$(f),\
	$(shell find tests/unit/$(f) -name '*.c') tests/lib/criterion.c)))
$(eval $(call test_rule,golden,$(wildcard tests/golden/*.c) tests/lib/criterion.c))
$(foreach f,$(wildcard tests/thread/*.c),$(eval $(call test_rule,thread-$(basename $(notdir $(f))),$(f))))
$(foreach f,$(wildcard tests/bpf/*.c),$(eval $(call test_rule,bpf-$(basename $(notdir $(f))),\
	$(f) $(wildcard tests/bpf/lib/*.c))))

# What the end-to-end scripts look at the agent with.
$(OUT)/tests/probe: $(call objs,tests/lib/probe.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(call pkg_libs,json-c)

# Agents and teachers that the end-to-end test of the link kills and cuts off.
$(OUT)/tests/link-peer: $(call objs,tests/e2e/link_peer.c) $(call arcs,link nn lib)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(call pkg_libs,$(LINK_PKGS)) -lm

# The simulator's CPUs against the kernel's, in the virtual machine (tests/vm/suite/sim-cfs.sh).
$(OUT)/tests/sim-cfs: $(call objs,tests/vm/cfs.c) $(call arcs,sim lib)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(call pkg_libs,yaml-0.1) -lm

.PHONY: unit-bins bpf-bins thread-bins probe
probe: deps-test $(OUT)/tests/probe $(OUT)/tests/sim-cfs $(OUT)/tests/link-peer
unit-bins: deps-test $(UNIT_BINS)
bpf-bins: deps-test $(BPF_BINS)
thread-bins: deps-test $(THREAD_BINS)

# Sub-makes use every processor, unless the caller chose a number.
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: test unit test-tsan test-bpf test-e2e test-vm
test:  ## everything: unit, golden, threads, BPF, end to end here and in the virtual machine
	@mk/deps.sh build test demo vm
	$(Q)$(SUBMAKE) BUILD=release programs probe
	$(Q)$(SUBMAKE) BUILD=asan unit-bins bpf-bins
	$(Q)$(SUBMAKE) BUILD=tsan thread-bins
	$(Q)tests/run.sh unit thread bpf e2e vm
unit:  ## unit and golden tests alone, under ASan + UBSan
	$(Q)$(SUBMAKE) BUILD=asan unit-bins
	$(Q)tests/run.sh unit
test-tsan:  ## what two threads touch, under ThreadSanitizer
	$(Q)$(SUBMAKE) BUILD=tsan thread-bins
	$(Q)tests/run.sh thread
test-bpf:  ## BPF programs on the running kernel
	$(Q)$(SUBMAKE) BUILD=release programs
	$(Q)$(SUBMAKE) BUILD=asan bpf-bins
	$(Q)tests/run.sh bpf
test-e2e:  ## end to end on this machine
	@mk/deps.sh build test demo
	$(Q)$(SUBMAKE) BUILD=release programs probe
	$(Q)tests/run.sh e2e
test-vm:  ## what needs cgroup v2, fentry or another kernel, in the virtual machine [VM_KERNELS='6.1 6.12']
	@mk/deps.sh build test vm
	$(Q)$(SUBMAKE) BUILD=release programs probe
	$(Q)$(SUBMAKE) BUILD=asan bpf-bins
	$(Q)tests/run.sh vm

# --- virtual machine ----------------------------------------------------------------------------
.PHONY: vm
vm: export DRPC_VM_CMD := $(value CMD)
vm: deps-vm  ## run a command on whole cgroup v2: make vm CMD='…' [KERNEL=6.1|6.12] [TIMEOUT=seconds]
	@[ -n "$$DRPC_VM_CMD" ] || \
		{ echo "usage: make vm CMD='uname -r' [KERNEL=6.1|6.12] [TIMEOUT=300]" >&2; exit 2; }
	@tests/vm/vm.sh "$$DRPC_VM_CMD"

# --- fuzzing: parsers of what comes from outside ------------------------------------------------
FUZZ_SECONDS ?= 20
FUZZ_NAMES := $(basename $(notdir $(wildcard tests/fuzz/*.c)))

define fuzz_rule
$(call objs,tests/fuzz/$(1).c): | deps-test
$(OUT)/tests/fuzz-$(1): $$(call objs,tests/fuzz/$(1).c) $$(call arcs,$$(TEST_ARCS))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LDFLAGS) \
		$$(call pkg_libs,$$(TEST_PKGS)) -lm
endef
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(f))))

.PHONY: fuzz fuzz-bins
fuzz-bins: deps-test $(FUZZ_NAMES:%=$(OUT)/tests/fuzz-%)
fuzz:  ## feed the parsers broken input for FUZZ_SECONDS=20 each [FUZZ_NAMES='…']
	$(Q)$(SUBMAKE) BUILD=fuzz CC=$(CLANG) fuzz-bins
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_NAMES)

# --- benchmarks and demo ------------------------------------------------------------------------
BENCH ?= hist inference tick capture overhead student distil gru replay td3 pendulum sim link

.PHONY: bench demo calibrate
bench: deps-test programs  ## measure; prints {name, unit, value} lists [BENCH='hist tick …']
	$(Q)for name in $(BENCH); do $(OUT)/drpc-bench $$name --json || exit; done
calibrate: deps-build deps-demo programs probe  ## the simulator against real containers, in 20 minutes
	$(Q)tests/calibration/run.sh
demo: deps-build deps-demo programs  ## drpc on three loaded containers, in minutes [VM=1]
	$(Q)demo/run.sh

# --- the paper's evaluation ---------------------------------------------------------------------
.PHONY: reproduce
reproduce: deps-build deps-test deps-evaluation  ## the paper's figures and ours: docs/evaluation.md [QUICK=1] [TRACE=FILE SERIES=FILE]
	$(Q)$(SUBMAKE) BUILD=release programs
	$(Q)evaluation/reproduce.sh

# --- lint ---------------------------------------------------------------------------------------
# A file's result is kept until it, a header or the rules change: build/lint, and outside the clone
# by content: mk/tidy.sh.
LINT_DIRS := $(wildcard agent bpf fit include lib link nn workload sim teacher tests tools)
LINT_ALL := $(filter-out bpf/vmlinux.h,$(shell find $(LINT_DIRS) -name '*.[ch]'))
LINT_HDR := $(filter %.h,$(LINT_ALL))
LINT_BPF := $(filter %.bpf.c,$(LINT_ALL))
LINT_C := $(filter-out %.bpf.c,$(filter %.c,$(LINT_ALL)))
LINT_SH := $(shell grep -lE '^(\#!.*/(ba|busybox )?sh|\# shellcheck shell)' -r $(LINT_DIRS) deploy demo evaluation mk .ci 2>/dev/null)
build/lint/%.bpf.c.tidy: %.bpf.c $(LINT_HDR) .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)mk/tidy.sh $< $(BPF_CFLAGS) >$@.out 2>&1 || { cat $@.out; exit 1; }
	@mv $@.out $@
build/lint/%.c.tidy: %.c $(LINT_HDR) .clang-tidy | bpf proto
	@mkdir -p $(@D)
	$(call say,TIDY,$<)mk/tidy.sh $< $(CPPFLAGS) $(CFLAGS_BASE) \
		$(CFLAGS_$(subst /,_,$*)) >$@.out 2>&1 || { cat $@.out; exit 1; }
	@mv $@.out $@

.PHONY: lint lint-reasons lint-format lint-tidy lint-cppcheck lint-shell
lint-format:
	$(call say,FORMAT,$(words $(LINT_ALL)) files)clang-format --dry-run -Werror $(LINT_ALL)
# Every check that is switched off has its reason in the head of the file.
lint-reasons:
	@for f in $$(find . -name .clang-tidy -not -path './build/*'); do \
		for check in $$(sed -n 's/^  \(-[a-z].*\),$$/\1/p' $$f); do \
			grep -q "^# $$check: ." $$f || { echo "$$f: no reason for $$check" >&2; exit 1; }; \
		done; \
	done
lint-tidy: $(LINT_C:%=build/lint/%.tidy) $(LINT_BPF:%=build/lint/%.tidy)
# Of the tests it would not understand Criterion's macros.
CPPCHECK_SRC := $(filter-out tests/%,$(LINT_C))
lint-cppcheck:
	@mkdir -p build/lint/cppcheck
	$(call say,CPPCHECK,$(words $(CPPCHECK_SRC)) files)cppcheck --quiet --std=c11 --language=c \
		-D_GNU_SOURCE -D'LIBBPF_OPTS(type,name,...)=struct type name = { __VA_ARGS__ }' \
		-I. -Iinclude --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=mk/cppcheck.suppressions --error-exitcode=1 \
		--cppcheck-build-dir=build/lint/cppcheck $(CPPCHECK_SRC)
# SC2034: files that are sourced set variables for the files that source them.
lint-shell:
	$(call say,SHELL,$(words $(LINT_SH)) scripts)shellcheck -x -S warning -e SC2034 $(LINT_SH)
lint: deps-build deps-test deps-lint  ## formatting, clang-tidy, cppcheck, shellcheck
	$(Q)$(SUBMAKE) --keep-going --output-sync=target lint-reasons lint-format lint-shell lint-cppcheck lint-tidy
