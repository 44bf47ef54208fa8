# Tests and lint.
#
# tests/unit/FOLDER/**/*.c and tests/golden/*.c form one Criterion program per folder; shell and
# program suites print TAP. tests/run.sh runs what it is given, counts, lists the skips and ends
# with "N passed, N failed, N skipped".

UNIT_FOLDERS := $(patsubst tests/unit/%/,%,$(wildcard tests/unit/*/))
UNIT_BINS := $(foreach f,$(UNIT_FOLDERS),$(OUT)/tests/unit-$(f)) \
	$(if $(wildcard tests/golden/*.c),$(OUT)/tests/golden)

TEST_ARCS := $(call live,cli load agent nn lib)
TEST_PKGS := $(AGENT_PKGS) criterion openblas

define unit_rule
$(OUT)/tests/$(1): $$(call objs,$$(shell find $(2) -name '*.c' 2>/dev/null)) $$(call arcs,$$(TEST_ARCS))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) -o $$@ $$^ $$(LDFLAGS) $$(call pkg_libs,$$(TEST_PKGS)) -lm
endef
$(foreach f,$(UNIT_FOLDERS),$(eval $(call unit_rule,unit-$(f),tests/unit/$(f))))
$(eval $(call unit_rule,golden,tests/golden))

.PHONY: unit unit-bins
unit-bins: deps-test $(UNIT_BINS)
unit:  ## unit and golden tests alone, under ASan + UBSan
	$(Q)$(MAKE) --no-print-directory BUILD=asan unit-bins
	$(Q)tests/run.sh unit

# --- virtual machine ----------------------------------------------------------------------------
.PHONY: vm
vm: export DRPC_VM_CMD := $(value CMD)
vm: deps-vm  ## run a command on whole cgroup v2: make vm CMD='…' [KERNEL=6.1|6.12] [TIMEOUT=seconds]
	@[ -n "$$DRPC_VM_CMD" ] || \
		{ echo "usage: make vm CMD='uname -r' [KERNEL=6.1|6.12] [TIMEOUT=300]" >&2; exit 2; }
	@tests/vm/vm.sh "$$DRPC_VM_CMD"
