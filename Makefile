# SPDX-License-Identifier: MIT
# Builds, runs and tests Ennead. `make help` lists what it can do.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
BUILD    ?= build
CXX      ?= g++
OPTIMISE ?= -O2
# Line tables only: a third less to compile than -g. For a debugger: make CXXFLAGS='-Og -g' BUILD=build/debug
CXXFLAGS ?= $(OPTIMISE) -g1
SANITIZE ?=

FLAGS := -std=c++20 -Wall -Wextra -pthread -I. -I$(BUILD) -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
         -DBOOST_ASIO_NO_DEPRECATED -DENNEAD_VERSION='"$(VERSION)"' $(SANITIZE)
FUSE_FLAGS := -isystem /usr/include/fuse3
# A program is linked only to those that it uses.
LIBRARIES := -Wl,--as-needed -lfuse3 -lasmjit

# What a fresh Debian 12 lacks. A kernel needs none of the 32-bit libraries that gcc -m32 lacks here.
PACKAGES := g++ fuse3 libfuse3-dev libasmjit-dev libboost-dev acpica-tools linux-source-6.1 bc flex bison lz4 xz-utils util-linux
TEST_PACKAGES := libgtest-dev python3 procps

# --- sources: every room is a library, every room's tests one program ---------------------------------------
ROOMS := vmcore synthfs p9
sources = $(sort $(foreach d,. * */* */*/* */*/*/*,$(wildcard $(1)/$(d)/*.cpp)))
objects = $(patsubst %.cpp,$(BUILD)/obj/%.o,$(subst /./,/,$(1)))
library = $(BUILD)/lib$(1).a

SERVER_SOURCES := $(call sources,srv/ennead) $(call sources,srv/common)
VM_SOURCES     := $(call sources,srv/ennead-vm) $(call sources,srv/common)

PROGRAMS := $(BUILD)/ennead $(BUILD)/ennead-vm
GUEST    := $(BUILD)/guest/bzImage $(BUILD)/guest/root/init
UNIT_TESTS := $(foreach r,$(ROOMS) srv,$(BUILD)/tests/$(r)_test)

# Builds run on all cores unless the caller says how many.
PARALLEL = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc)) --no-print-directory

# --- targets ---------------------------------------------------------------------------------------------------
.PHONY: all run test programs guest unit-tests fuzz-cpu packages test-packages install clean asan ubsan tsan format help
.DELETE_ON_ERROR:
.SECONDARY:

all: packages
	@$(MAKE) $(PARALLEL) programs guest

run: packages
	@$(MAKE) $(PARALLEL) programs guest
	@ENNEAD=$(BUILD)/ennead sh rc/first-light

test: packages test-packages
	@$(MAKE) $(PARALLEL) programs guest unit-tests $(FUZZ)
	@BUILD=$(BUILD) sh tests/run.sh $(UNIT_TESTS)

programs: $(PROGRAMS)
guest: $(GUEST)
unit-tests: $(UNIT_TESTS)

# --- programs and libraries ---------------------------------------------------------------------------------
define room_rule
$(call library,$(1)): $(call objects,$(call sources,$(1)))
	@rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

$(BUILD)/ennead: $(call objects,$(SERVER_SOURCES)) $(call library,p9) $(call library,synthfs)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/ennead-vm: $(call objects,$(VM_SOURCES)) $(call library,p9) $(call library,synthfs) $(call library,vmcore)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ $(LIBRARIES)

$(BUILD)/obj/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	@$(CXX) $(FLAGS) $(CXXFLAGS) $(EXTRA_FUSE) -MMD -MP -c -o $@ $<

$(BUILD)/obj/synthfs/fuse/%.o $(BUILD)/obj/tests/synthfs/%.o: EXTRA_FUSE := $(FUSE_FLAGS)
# Tests are compiled more often than they run: unoptimised, and with GoogleTest compiled beforehand, that is much
# quicker (2.2 s against 6.5 s for one file).
TEST_FLAGS = $(FLAGS) $(CXXFLAGS) -O0 -g1 -DENNEAD_TEST_DATA='"$(CURDIR)/tests"'
TEST_PCH := $(BUILD)/obj/tests/pch.h

$(TEST_PCH).gch:
	@mkdir -p $(@D)
	@echo '#include <gtest/gtest.h>' > $(TEST_PCH)
	@$(CXX) $(TEST_FLAGS) -x c++-header -o $@ $(TEST_PCH)

$(BUILD)/obj/tests/%.o: tests/%.cpp $(TEST_PCH).gch
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	@$(CXX) $(TEST_FLAGS) -include $(TEST_PCH) $(EXTRA_FUSE) -MMD -MP -c -o $@ $<

# ACPI's DSDT, compiled from source into a C array.
$(BUILD)/gen/dsdt.hex: vmcore/machine/dsdt.asl
	@mkdir -p $(@D)
	@echo "  IASL  $<"
	@iasl -p $(BUILD)/gen/dsdt -tc $< > $(BUILD)/gen/dsdt.log 2>&1 || { cat $(BUILD)/gen/dsdt.log; exit 1; }
$(BUILD)/obj/vmcore/machine/acpi_tables.o $(BUILD)/obj/tests/vmcore/machine/acpi_tables_test.o: $(BUILD)/gen/dsdt.hex

# --- unit tests ---------------------------------------------------------------------------------------------
$(BUILD)/tests/vmcore_test: $(call objects,$(call sources,tests/vmcore)) $(call library,vmcore)
$(BUILD)/tests/synthfs_test: $(call objects,$(call sources,tests/synthfs)) $(call library,synthfs)
$(BUILD)/tests/p9_test: $(call objects,$(call sources,tests/p9)) $(call library,p9) $(call library,synthfs)
$(BUILD)/tests/srv_test: $(call objects,$(call sources,tests/srv) $(filter-out %/main.cpp,$(SERVER_SOURCES))) \
                         $(call library,p9) $(call library,synthfs)

# Random programs on both engines in step. The lanes share everything but the engine, so it wants no optimising.
FUZZ := $(BUILD)/tests/fuzz_cpu
$(FUZZ): $(call objects,$(call sources,tests/fuzz)) $(call library,vmcore)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ $(LIBRARIES)

fuzz-cpu: packages test-packages
	@$(MAKE) $(PARALLEL) $(FUZZ)
	@$(FUZZ) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

$(UNIT_TESTS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ -lgtest_main -lgtest $(LIBRARIES)

asan ubsan tsan: packages test-packages
	@$(MAKE) $(PARALLEL) BUILD=$(BUILD)/$@ OPTIMISE=-O1 SANITIZE='$(SANITIZER_$@)' sanitized-tests

SANITIZER_asan  := -fsanitize=address -fno-omit-frame-pointer
SANITIZER_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZER_tsan  := -fsanitize=thread
.PHONY: sanitized-tests
sanitized-tests: unit-tests
	@BUILD=$(BUILD) UNIT_ONLY=1 sh tests/run.sh $(UNIT_TESTS)

# --- the guest: cached outside the tree by a hash of the inputs ------------------------------------------------
$(BUILD)/guest/bzImage: guest/build-kernel.sh $(wildcard guest/linux/*)
	@mkdir -p $(@D)
	@guest/build-kernel.sh $(BUILD)/guest
	@touch $@

$(BUILD)/guest/root/init: guest/build-root.sh $(wildcard guest/root/* guest/root/*/*)
	@mkdir -p $(@D)
	@guest/build-root.sh $(BUILD)/guest
	@touch $@

# --- everything else ------------------------------------------------------------------------------------------
# Asks nothing. Package lists that are missing or old make the first try fail; then they are fetched.
define install_packages
missing=; \
for p in $(1); do \
    case $$(dpkg-query -W -f '$${Status}' $$p 2>/dev/null) in *' installed') ;; *) missing="$$missing $$p" ;; esac; \
done; \
[ -z "$$missing" ] && exit 0; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
echo "installing$$missing"; \
get() { $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq "$$@" >/dev/null; }; \
get install -y --no-install-recommends $$missing 2>/dev/null || \
{ get update; get install -y --no-install-recommends $$missing; } || \
{ echo "these Debian packages are needed:$$missing" >&2; exit 1; }
endef

packages:
	@$(call install_packages,$(PACKAGES))
test-packages:
	@$(call install_packages,$(TEST_PACKAGES))

install:
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/ennead $(DESTDIR)$(PREFIX)/share/ennead \
	    $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man4
	install -m 755 $(BUILD)/ennead $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(BUILD)/ennead-vm $(DESTDIR)$(PREFIX)/libexec/ennead/
	install -m 644 $(BUILD)/guest/bzImage $(DESTDIR)$(PREFIX)/share/ennead/
	rm -rf $(DESTDIR)$(PREFIX)/share/ennead/root
	cp -a $(BUILD)/guest/root $(DESTDIR)$(PREFIX)/share/ennead/root
	install -m 644 docs/ennead.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 docs/vm.4 $(DESTDIR)$(PREFIX)/share/man/man4/

clean:
	rm -rf $(BUILD)

format:
	clang-format -i $$(git ls-files '*.cpp' '*.h')

help:
	@echo 'make run      install what is missing, build, start a VM and attach to its console'
	@echo 'make test     the same set-up, then every test'
	@echo 'make          build $(BUILD)/ennead, ennead-vm, guest/bzImage and guest/root/'
	@echo 'make install  into PREFIX=$(PREFIX) (DESTDIR is honoured)'
	@echo 'make fuzz-cpu SECONDS=n SEED=n   random programs on interpreter and JIT'
	@echo 'make asan | ubsan | tsan   unit tests under a sanitizer'
	@echo 'make format | clean'
	@echo 'Variables: BUILD CXX CXXFLAGS OPTIMISE PREFIX'

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
