# drpc: build, test and run. `make help` lists the targets; V=1 shows commands.
include mk/toolchain.mk
include mk/deps.mk
include mk/build.mk
include mk/check.mk

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all
all: programs  ## build every program (BUILD=release|asan|tsan, CC=gcc|clang)

.PHONY: help
help:  ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: clean
clean:  ## remove everything that was built
	$(Q)rm -rf build
