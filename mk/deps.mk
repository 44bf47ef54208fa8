# The dependency step: says what it installs before it does, does nothing where all is there, and
# refuses with the packages' names where it may not install (DRPC_INSTALL=no, or not root).
#   mk/packages lists the groups: build, test, demo, vm, evaluation, lint.
.PHONY: deps-build deps-test deps-demo deps-vm deps-evaluation deps-lint deps
deps-build deps-test deps-demo deps-vm deps-evaluation deps-lint:
	@mk/deps.sh $(@:deps-%=%)
deps: deps-build deps-test deps-demo deps-vm deps-evaluation deps-lint  ## install every package any target needs
