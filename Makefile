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
LIBRARIES := -Wl,--as-needed -lfuse3 -lasmjit -lZydis

# What a fresh Debian 12 lacks. A kernel needs none of the 32-bit libraries that gcc -m32 lacks here.
PACKAGES := g++ binutils seabios fuse3 libfuse3-dev libasmjit-dev libzydis-dev libboost-dev acpica-tools linux-source-6.1 bc flex bison lz4 xz-utils util-linux
# QEMU: what the program of tests/pc says there is compared. diod: another 9P client.
TEST_PACKAGES := libgtest-dev libunicorn-dev python3 procps grub-rescue-pc grub-pc-bin e2fsprogs nasm qemu-system-x86 diod \
                 busybox zsh tmux shellcheck rsync
# A cross compiler, not gcc -m32: its C library can be linked statically. Node of any origin will do.
FUZZ_9P_PACKAGES := clang libgtest-dev
BENCH_PACKAGES := python3 git gcc-i686-linux-gnu libc6-dev-i386-cross qemu-system-x86 seabios cpio
NODE_PACKAGES = $(if $(filter no,$(V86))$(shell command -v npm),,nodejs npm)

# --- sources: every room is a library, every room's tests one program ---------------------------------------
ROOMS := vmcore synthfs p9
sources = $(sort $(foreach d,. * */* */*/* */*/*/*,$(wildcard $(1)/$(d)/*.cpp)))
objects = $(patsubst %.cpp,$(BUILD)/obj/%.o,$(subst /./,/,$(1)))
library = $(BUILD)/lib$(1).a

SERVER_SOURCES := $(call sources,srv/ennead) $(call sources,srv/common)
VM_SOURCES     := $(call sources,srv/ennead-vm) $(call sources,srv/common)

PROGRAMS := $(BUILD)/ennead $(BUILD)/ennead-vm
GUEST    := $(BUILD)/guest/bzImage $(BUILD)/guest/root/init $(BUILD)/guest/bios.bin
UNIT_TESTS := $(foreach r,$(ROOMS) srv,$(BUILD)/tests/$(r)_test)

# Builds run on all cores unless the caller says how many.
PARALLEL = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc)) --no-print-directory

# --- targets ---------------------------------------------------------------------------------------------------
.PHONY: all run test test-long programs guest unit-tests fuzz-cpu fuzz-9p stress packages test-packages install clean asan ubsan tsan format help
.PHONY: bench bench-programs bench-packages debian-root debian-checks-root debian-kernel
.DELETE_ON_ERROR:
.SECONDARY:

all: packages
	@$(MAKE) $(PARALLEL) programs guest

run: packages
	@$(MAKE) $(PARALLEL) programs guest
	@ENNEAD=$(BUILD)/ennead sh rc/first-light

test: packages test-packages
	@$(MAKE) $(PARALLEL) programs guest unit-tests $(FUZZ) $(STRESS) $(ROWS)
	@BUILD=$(BUILD) sh tests/run.sh $(UNIT_TESTS)

# What takes minutes, or fetches much.
test-long: packages test-packages
	@$(MAKE) $(PARALLEL) programs guest
	@BUILD=$(BUILD) LONG=1 sh tests/run.sh

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

# The option ROM that boots a kernel under a BIOS, likewise.
$(BUILD)/gen/optionrom.hex: guest/optionrom/linux.S guest/optionrom/program.S guest/optionrom/build.sh
	@mkdir -p $(@D)
	@echo "  AS    $<"
	@guest/optionrom/build.sh $< $(@D)
$(BUILD)/obj/vmcore/machine/firmware.o $(BUILD)/obj/tests/vmcore/machine/firmware_test.o: $(BUILD)/gen/optionrom.hex

# --- unit tests ---------------------------------------------------------------------------------------------
$(BUILD)/tests/vmcore_test: $(call objects,$(call sources,tests/vmcore)) $(call library,vmcore)
$(BUILD)/tests/synthfs_test: $(call objects,$(call sources,tests/synthfs)) $(call library,synthfs)
$(BUILD)/tests/p9_test: $(call objects,$(call sources,tests/p9)) $(call library,p9) $(call library,synthfs)
$(BUILD)/tests/srv_test: $(call objects,$(call sources,tests/srv) $(filter-out %/main.cpp,$(SERVER_SOURCES)) \
                             $(wildcard srv/ennead-vm/disk_*.cpp) \
                             $(addprefix srv/ennead-vm/,jit_dir.cpp guest_namespace.cpp io_limit.cpp slow_io.cpp tree_source.cpp \
                                                        wait_readable.cpp)) \
                         $(call library,p9) $(call library,synthfs) $(call library,vmcore)

# Random programs on both engines in step, some on Unicorn too. The lanes share everything but the engine, so it wants no
# optimising.
FUZZ := $(BUILD)/tests/fuzz_cpu
$(FUZZ): $(call objects,$(call sources,tests/fuzz)) $(call library,vmcore)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ $(LIBRARIES) -lunicorn

fuzz-cpu: packages test-packages
	@$(MAKE) $(PARALLEL) $(FUZZ)
	@$(FUZZ) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

# Sessions that libFuzzer makes up, at the server of 9P over real host files. It comes with clang, and wants all code compiled by
# that: in a build folder of its own, where findings/ and the inputs found (kept for the next run) are as well.
FUZZ_9P_BUILD := $(BUILD)/fuzz9p
FUZZ_9P := $(FUZZ_9P_BUILD)/tests/fuzz_9p
FUZZ_9P_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
$(BUILD)/tests/fuzz_9p: $(call objects,$(call sources,tests/fuzz9p) $(call sources,p9) \
                                       $(filter-out synthfs/fuse/%,$(call sources,synthfs)))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -fsanitize=fuzzer -o $@ $^ -lgtest

fuzz-9p:
	@$(call install_packages,$(PACKAGES) $(FUZZ_9P_PACKAGES))
	@$(MAKE) $(PARALLEL) BUILD=$(FUZZ_9P_BUILD) CXX=clang++ OPTIMISE=-O1 SANITIZE='$(FUZZ_9P_FLAGS)' $(FUZZ_9P)
	@mkdir -p $(FUZZ_9P_BUILD)/found $(FUZZ_9P_BUILD)/findings
	@$(FUZZ_9P) -max_total_time=$(or $(SECONDS),60) -max_len=2048 -len_control=0 -entropic=0 -timeout=20 -verbosity=0 \
	    -print_funcs=0 -print_final_stats=1 -artifact_prefix=$(FUZZ_9P_BUILD)/findings/ $(if $(SEED),-seed=$(SEED)) \
	    $(FUZZ_9P_BUILD)/found tests/fuzz9p/corpus

# Programs that start a real server and ask it through its mount and over 9P.
STRESS := $(BUILD)/tests/stress
ROWS   := $(BUILD)/tests/rows
CLIENT := $(call objects,$(call sources,tests/client)) $(call library,p9) $(call library,synthfs)
$(STRESS): $(call objects,$(call sources,tests/stress)) $(CLIENT)
$(ROWS): $(call objects,$(call sources,tests/rows)) $(CLIENT)
$(STRESS) $(ROWS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^

$(UNIT_TESTS):
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CXX) $(FLAGS) $(CXXFLAGS) -o $@ $^ -lgtest_main -lgtest $(LIBRARIES)

stress: packages
	@$(MAKE) $(PARALLEL) programs $(STRESS)
	@$(STRESS) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(BUILD)

asan ubsan tsan: packages test-packages
	@$(MAKE) $(PARALLEL) BUILD=$(BUILD)/$@ OPTIMISE=-O1 SANITIZE='$(SANITIZER_$@)' sanitized-tests

SANITIZER_asan  := -fsanitize=address -fno-omit-frame-pointer
SANITIZER_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZER_tsan  := -fsanitize=thread
.PHONY: sanitized-tests
# The programs too: some of srv's tests start real machines. The clients' minute comes last.
sanitized-tests: programs unit-tests $(STRESS)
	@BUILD=$(BUILD) UNIT_ONLY=1 STRESS_SECONDS=60 sh tests/run.sh $(UNIT_TESTS)

# --- the guest: cached outside the tree by a hash of the inputs ------------------------------------------------
$(BUILD)/guest/bzImage: guest/build-kernel.sh $(wildcard guest/linux/*)
	@mkdir -p $(@D)
	@guest/build-kernel.sh $(BUILD)/guest
	@touch $@

$(BUILD)/guest/root/init: guest/build-root.sh $(wildcard guest/root/* guest/root/*/*)
	@mkdir -p $(@D)
	@guest/build-root.sh $(BUILD)/guest
	@touch $@

# SeaBIOS, the larger of the two for PCs: the smaller lacks drivers.
$(BUILD)/guest/bios.bin:
	@mkdir -p $(@D)
	@rom=$$(dpkg -L seabios | grep '/bios-256k\.bin$$') && install -m 644 "$$rom" $@

# Debian's own programs for i386: a root to boot from, for tests and benchmarks. The second one has a compiler and
# Python's tests too.
debian-root:
	@guest/build-debian-root.sh $(BUILD)/guest
debian-checks-root:
	@guest/build-debian-root.sh $(BUILD)/guest checks

# Debian's kernels for i386, which know nothing of Ennead: for tests.
debian-kernel:
	@guest/fetch-debian-kernel.sh $(BUILD)/guest 686 686-pae

# --- benchmarks: every program natively and for i386, those of floating point in two kinds of i386 code -------
BENCH := tests/bench
BENCH_PLAIN := $(basename $(notdir $(wildcard $(BENCH)/programs/integer/*.c $(BENCH)/programs/system/*.c)))
BENCH_FLOAT := $(basename $(notdir $(wildcard $(BENCH)/programs/float/*.c)))
BENCH_BUILT := $(addprefix $(BUILD)/bench/,micro.bin trivial files) $(patsubst %,$(BUILD)/bench/native/%,$(BENCH_PLAIN) command shared tsc \
                   $(BENCH_FLOAT) $(BENCH_FLOAT:=-x87)) \
               $(patsubst %,$(BUILD)/bench/i386/%,$(BENCH_PLAIN) command shared $(BENCH_FLOAT:=-x87) $(BENCH_FLOAT:=-sse2))

I386_CC ?= i686-linux-gnu-gcc
X87  := -mfpmath=387
SSE2 := -msse2 -mfpmath=sse
bench_cc = @mkdir -p $(@D) && echo "  CC    $@" && $(1) -O2 -Wall -Wextra -static -s -o $@ $(filter %.c,$^)
BENCH_MAIN := $(BENCH)/programs/main.c $(BENCH)/programs/bench.h
vpath %.c $(BENCH)/programs/integer $(BENCH)/programs/float $(BENCH)/programs/system

# What only some parts need (Debian's root, v86) is fetched by bench.py. A python3 of Debian's starts fastest.
bench: packages bench-packages
	@$(MAKE) $(PARALLEL) programs guest bench-programs
	@BUILD=$(BUILD) PATH="/usr/bin:/bin:$$PATH" python3 -B $(BENCH)/bench.py

# A trivial FUSE server, and what times files in its tree and in ours.
$(BUILD)/bench/trivial: $(BENCH)/files/trivial.cpp
	@mkdir -p $(@D) && echo "  CXX   $@"
	@$(CXX) $(FLAGS) $(FUSE_FLAGS) -O2 -o $@ $< -lfuse3
$(BUILD)/bench/files: $(BENCH)/files/measure.cpp $(wildcard tests/client/*_files.cpp) $(call library,p9) $(call library,synthfs)
	@mkdir -p $(@D) && echo "  CXX   $@"
	@$(CXX) $(FLAGS) -O2 -o $@ $^

bench-programs: $(BENCH_BUILT)
$(BUILD)/bench/%/command $(BUILD)/bench/%/shared: $(BENCH)/programs/bench.h
$(BUILD)/bench/%/command: $(BENCH)/programs/command.c
	$(call bench_cc,$(if $(filter native,$*),$(CC),$(I386_CC) -march=i686))
$(BUILD)/bench/%/shared: $(BENCH)/programs/shared.c
	$(call bench_cc,$(if $(filter native,$*),$(CC),$(I386_CC) -march=i686))
$(BUILD)/bench/native/tsc: $(BENCH)/programs/tsc.c
	$(call bench_cc,$(CC))
# Left to itself the vectoriser makes SSE2 code of loops whatever -mfpmath says.
$(BUILD)/bench/native/%-x87: %.c $(BENCH_MAIN)
	$(call bench_cc,$(CC) $(X87) -fno-tree-vectorize)
$(BUILD)/bench/native/%: %.c $(BENCH_MAIN)
	$(call bench_cc,$(CC))
$(BUILD)/bench/i386/%-x87: %.c $(BENCH_MAIN)
	$(call bench_cc,$(I386_CC) -march=i686 $(X87))
$(BUILD)/bench/i386/%-sse2: %.c $(BENCH_MAIN)
	$(call bench_cc,$(I386_CC) -march=i686 $(SSE2))
$(BUILD)/bench/i386/%: %.c $(BENCH_MAIN)
	$(call bench_cc,$(I386_CC) -march=i686 $(X87))

# A kernel of its own for what needs ring 0: no library, no paging but its own.
$(BUILD)/bench/micro.elf: $(addprefix $(BENCH)/micro/,head.S micro.c micro.ld)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(I386_CC) -O2 -march=i686 $(X87) -Wall -Wextra -ffreestanding -nostdlib -static -fno-pic -no-pie \
	    -fcf-protection=none -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none \
	    -T $(BENCH)/micro/micro.ld -o $@ $(filter-out %.ld,$^)
$(BUILD)/bench/micro.bin: $(BUILD)/bench/micro.elf
	@objcopy -O binary $< $@

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
bench-packages:
	@$(call install_packages,$(BENCH_PACKAGES) $(NODE_PACKAGES))

install:
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/ennead $(DESTDIR)$(PREFIX)/share/ennead \
	    $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man4
	install -m 755 $(BUILD)/ennead $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(BUILD)/ennead-vm $(DESTDIR)$(PREFIX)/libexec/ennead/
	install -m 644 $(BUILD)/guest/bzImage $(DESTDIR)$(PREFIX)/share/ennead/
	install -m 644 $(BUILD)/guest/bios.bin $(DESTDIR)$(PREFIX)/share/ennead/
	rm -rf $(DESTDIR)$(PREFIX)/share/ennead/root
	cp -a $(BUILD)/guest/root $(DESTDIR)$(PREFIX)/share/ennead/root
	install -d $(DESTDIR)$(PREFIX)/share/ennead/rc
	install -m 755 $(filter-out rc/complete,$(wildcard rc/*)) $(DESTDIR)$(PREFIX)/share/ennead/rc/
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 rc/complete/ennead.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ennead
	install -m 644 rc/complete/_ennead $(DESTDIR)$(PREFIX)/share/zsh/site-functions/
	install -m 644 docs/ennead.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 docs/vm.4 $(DESTDIR)$(PREFIX)/share/man/man4/

clean:
	rm -rf $(BUILD)

format:
	clang-format -i $$(git ls-files '*.cpp' '*.h')

help:
	@echo 'make run      install what is missing, build, start a VM and attach to its console'
	@echo 'make test     the same set-up, then every test'
	@echo 'make test-long   what takes minutes: Debian programs in the guest'
	@echo 'make          build $(BUILD)/ennead, ennead-vm, guest/bzImage and guest/root/'
	@echo 'make install  into PREFIX=$(PREFIX) (DESTDIR is honoured)'
	@echo 'make fuzz-cpu SECONDS=n SEED=n   random programs on interpreter and JIT'
	@echo 'make fuzz-9p SECONDS=n SEED=n    sessions made up by libFuzzer at the server of 9P'
	@echo 'make stress SECONDS=n SEED=n     fifty clients of a real server with 200 machines'
	@echo 'make asan | ubsan | tsan   unit tests under a sanitizer'
	@echo 'make bench    times programs on this host, in Ennead, QEMU and v86, side by side: docs/hacking.md'
	@echo 'make debian-root   $(BUILD)/guest/debian/, a root with Debian programs'
	@echo 'make format | clean'
	@echo 'Variables: BUILD CXX CXXFLAGS OPTIMISE PREFIX; of bench: ONLY REPS SCALE CONF SAVE V86'

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
