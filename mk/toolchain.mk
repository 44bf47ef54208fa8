# Compilers, flags and build variants.
#
# BUILD selects a variant; each has a tree of its own under build/, so that switching costs nothing:
#   release  optimised, hardened
#   asan     AddressSanitizer + UndefinedBehaviorSanitizer, what `make test` runs
#   tsan     ThreadSanitizer, for the tests where threads meet
#   fuzz     libFuzzer's instrumentation (clang), ASan and UBSan
BUILD ?= release
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)';)

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config

ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)

# A compiler other than the default builds beside it, not over it.
CC_NAME := $(notdir $(firstword $(CC)))
OUT := build/$(BUILD)$(if $(filter gcc,$(CC_NAME)),,-$(CC_NAME))

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wwrite-strings -Wformat=2 -Wno-format-nonliteral \
	-Wimplicit-fallthrough -Wundef
CPPFLAGS += -D_GNU_SOURCE -DDRPC_VERSION='"$(VERSION)"' -I. -Iinclude -I$(OUT) -Ibuild/bpf
CFLAGS_BASE := -std=gnu17 -g -fno-omit-frame-pointer -fno-strict-aliasing -pthread \
	-ffile-prefix-map=$(CURDIR)=. $(WARN)

ifeq ($(BUILD),release)
CFLAGS += $(CFLAGS_BASE) -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed
else ifeq ($(BUILD),asan)
CFLAGS += $(CFLAGS_BASE) -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined -Wl,--as-needed
else ifeq ($(BUILD),tsan)
CFLAGS += $(CFLAGS_BASE) -O1 -fsanitize=thread
LDFLAGS += -fsanitize=thread -Wl,--as-needed
else ifeq ($(BUILD),fuzz)
CFLAGS += $(CFLAGS_BASE) -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined -Wl,--as-needed
else
$(error BUILD=$(BUILD): expected release, asan, tsan or fuzz)
endif
LDFLAGS += -pthread
