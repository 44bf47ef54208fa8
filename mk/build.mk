# What is built from what. A folder's sources form one archive; a program is a main.c over archives.

# --- archives: name → sources -------------------------------------------------------------------
SRC_lib   := $(wildcard lib/*.c)
SRC_nn    := $(wildcard nn/*.c)
SRC_link := $(wildcard link/*.c) build/proto/link/experience.pb-c.c
SRC_teacher := $(filter-out teacher/main.c,$(wildcard teacher/*.c))
SRC_agent := $(filter-out agent/main.c,$(wildcard agent/*.c agent/*/*.c))
SRC_cli   := $(filter-out tools/drpc/main.c,$(wildcard tools/drpc/*.c))
SRC_testbed := $(filter-out tools/testbed/main.c,$(wildcard tools/testbed/*.c))
SRC_workload := $(wildcard workload/*.c)
SRC_fit   := $(wildcard fit/*.c)
SRC_sim   := $(wildcard sim/*.c)
SRC_policies := $(wildcard sim/policies/*.c)
SRC_simcli := $(filter-out tools/sim/main.c,$(wildcard tools/sim/*.c))
SRC_load  := $(filter-out tools/load/main.c,$(wildcard tools/load/*.c))
SRC_bench := $(filter-out tools/bench/main.c,$(wildcard tools/bench/*.c))
ARCHIVES  := lib nn link teacher agent cli testbed load sim policies simcli workload bench fit

# --- kernels: one source per instruction set, chosen at run time (nn/isa.h) ---------------------
# Under the sanitizers -O3 takes minutes of compilation for nothing, and no fuzz target comes here.
KERNEL_OPT := $(if $(filter release,$(BUILD)),-O3)$(if $(filter fuzz,$(BUILD)),-fno-sanitize=all)
CFLAGS_nn_isa_base := $(KERNEL_OPT)
ifeq ($(ARCH),x86)
CFLAGS_nn_isa_avx2 := $(KERNEL_OPT) -mavx2 -mfma
CFLAGS_nn_isa_avx512 := $(KERNEL_OPT) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
endif

# The simulator gives the same bits everywhere: no fused multiply-add where a processor has one.
$(foreach f,$(patsubst %.c,%,$(SRC_sim) $(SRC_policies)),$(eval CFLAGS_$(subst /,_,$(f)) := -ffp-contract=off))

# --- programs: name → main, archives in link order, pkg-config modules --------------------------
PROGRAMS := drpc-agent drpc-teacher drpc drpc-load drpc-testbed drpc-sim drpc-bench

AGENT_PKGS := libbpf liburing libmicrohttpd libcurl json-c yaml-0.1 libcrypto libsystemd libcap-ng

LINK_PKGS := libnats libprotobuf-c json-c libcrypto

MAIN_drpc-agent := agent/main.c
ARCS_drpc-agent := agent nn lib
PKGS_drpc-agent := $(AGENT_PKGS)

MAIN_drpc-teacher := teacher/main.c
ARCS_drpc-teacher := teacher agent nn lib
PKGS_drpc-teacher := openblas json-c libcrypto

MAIN_drpc := tools/drpc/main.c
ARCS_drpc := cli fit agent nn lib
PKGS_drpc := $(AGENT_PKGS) ncursesw sqlite3

MAIN_drpc-load := tools/load/main.c
ARCS_drpc-load := load workload lib
PKGS_drpc-load := json-c

MAIN_drpc-testbed := tools/testbed/main.c
ARCS_drpc-testbed := testbed load workload lib
# One static binary, so that it runs in an image that holds nothing else.
# The linker's warning about getaddrinfo is for older C libraries: since 2.34 the files and dns
# sources are part of libc (looked up in a chroot that holds nothing but the binary and /etc).
LDFLAGS_drpc-testbed := $(if $(filter release,$(BUILD)),-static-pie -Xlinker --no-warnings)
$(OUT)/drpc-testbed: LDFLAGS := $(filter-out -pie,$(LDFLAGS))

MAIN_drpc-sim := tools/sim/main.c
ARCS_drpc-sim := simcli load policies teacher agent fit sim workload nn lib
PKGS_drpc-sim := openblas json-c yaml-0.1 libcrypto sqlite3

MAIN_drpc-bench := tools/bench/main.c
ARCS_drpc-bench := bench load agent teacher link sim workload nn lib
PKGS_drpc-bench := $(AGENT_PKGS) $(LINK_PKGS) openblas sqlite3

# --- rules --------------------------------------------------------------------------------------
objs = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
arcs = $(foreach a,$(1),$(OUT)/lib$(a).a)
# An archive without sources yet must not be linked.
live = $(foreach a,$(1),$(if $(SRC_$(a)),$(a)))
pkg_libs = $(if $(1),$(shell $(PKG_CONFIG) --libs $(1)))

BPF_SRC  := $(wildcard bpf/*.bpf.c)
BPF_SKEL := $(patsubst bpf/%.bpf.c,build/bpf/%.skel.h,$(BPF_SRC))
# Kept: an object is what the verifier sees, and the skeleton is made again only when it changed.
.SECONDARY: $(BPF_SRC:%.c=build/%.o)
BPF_CFLAGS := -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_$(ARCH) -Iinclude -Ibpf \
	-ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-address-of-packed-member

# Messages between programs: protobuf-c writes source and header.
PROTO_HDR := build/proto/link/experience.pb-c.h
build/proto/%.pb-c.c build/proto/%.pb-c.h &: %.proto | deps-build
	@mkdir -p build/proto
	$(call say,PROTO,build/proto/$*.pb-c.c)protoc-c --c_out=build/proto $<
CFLAGS_link_codec := -Ibuild/proto
CFLAGS_build_proto_link_experience.pb-c := -Ibuild/proto

.PHONY: programs bpf proto
programs: $(foreach p,$(PROGRAMS),$(if $(wildcard $(MAIN_$(p))),$(OUT)/$(p)))
bpf: $(BPF_SKEL)
proto: $(PROTO_HDR)

build/bpf/%.bpf.o: bpf/%.bpf.c | deps-build
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@
	$(Q)$(LLVM_STRIP) -g $@
build/bpf/%.skel.h: build/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

# Skeletons and messages are generated headers: they must stand before the first compilation that may
# include them; afterwards the .d files know.
$(OUT)/obj/%.o: %.c | deps-build $(BPF_SKEL) $(PROTO_HDR)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_$(subst /,_,$*)) -MMD -MP -c $< -o $@

define archive_rule
$(OUT)/lib$(1).a: $(call objs,$(SRC_$(1)))
	$$(call say,AR,$$@)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach a,$(ARCHIVES),$(eval $(call archive_rule,$(a))))

define program_rule
$(OUT)/$(1): $(call objs,$(MAIN_$(1))) $(call arcs,$(call live,$(ARCS_$(1))))
	$$(call say,LD,$$@)$$(CC) $$(CFLAGS) -o $$@ $$^ $$(LDFLAGS) $$(LDFLAGS_$(1)) \
		$$(call pkg_libs,$(PKGS_$(1))) -lm
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

-include $(shell find build -name '*.d' 2>/dev/null)

# --- install ------------------------------------------------------------------------------------
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /etc/systemd/system

.PHONY: install uninstall
install: programs  ## install programs, policies, unit and an example configuration (PREFIX, DESTDIR)
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/drpc $(DESTDIR)$(UNITDIR)
	$(Q)install -m 0755 $(foreach p,$(PROGRAMS),$(OUT)/$(p)) $(DESTDIR)$(PREFIX)/bin
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/drpc/policies
	$(Q)install -m 0644 deploy/policies/*.policy $(DESTDIR)$(PREFIX)/share/drpc/policies
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/drpc/agent.yaml ] || \
		{ sed 's,/usr/local/share/,$(PREFIX)/share/,' deploy/agent.yaml \
		> $(DESTDIR)$(SYSCONFDIR)/drpc/agent.yaml; }
	$(Q)sed 's,@BINDIR@,$(PREFIX)/bin,g' deploy/systemd/drpc-agent.service.in \
		> $(DESTDIR)$(UNITDIR)/drpc-agent.service
	@echo "installed in $(DESTDIR)$(PREFIX)/bin; start with: systemctl enable --now drpc-agent"

uninstall:  ## stop the agent, put every limit back, remove what install installed
	$(Q)if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
		systemctl disable --now drpc-agent || true; fi
	$(Q)if [ -z "$(DESTDIR)" ] && [ -x $(PREFIX)/bin/drpc ]; then $(PREFIX)/bin/drpc restore; fi
	$(Q)rm -f $(foreach p,$(PROGRAMS),$(DESTDIR)$(PREFIX)/bin/$(p)) \
		$(DESTDIR)$(UNITDIR)/drpc-agent.service
	$(Q)rm -f $(patsubst deploy/%,$(DESTDIR)$(PREFIX)/share/drpc/%,$(wildcard deploy/policies/*.policy))
	$(Q)rmdir $(DESTDIR)$(PREFIX)/share/drpc/policies $(DESTDIR)$(PREFIX)/share/drpc 2>/dev/null || true
	@echo "removed; $(DESTDIR)$(SYSCONFDIR)/drpc is kept (delete it by hand if you like)"
