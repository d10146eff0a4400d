# SPDX-License-Identifier: MIT
# Mayfly's build: everything lands in build/. `make help` lists the targets.
#
# Sources are found by wildcards and compiled once per variant:
#   musl  the monitor, static     host  the library and its tests (glibc)
#   asan  address and undefined-behaviour sanitizers, for every host-side test
#   tsan  thread sanitizer, for the tests of the I/O thread
#   cov, fuzz, svm, lint          as the names say
# Object files depend on this file, on build/flags (the flags as they were) and
# on the headers that they include. V=1 shows the commands.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
SOAK_BOOTS ?= 100000
SOAK_ROUNDS ?= 10000000
SOAK_CUTS ?= 200
SOAK_RESETS ?= 100000
SOAK_REQUESTS ?= 1000000

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' '$1' '$2')

# ---- Flags --------------------------------------------------------------

CC := gcc
CLANG := clang
MUSL_CC := musl-gcc

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wundef -Wwrite-strings \
	-Werror=implicit-function-declaration -Werror=implicit-int \
	-Werror=incompatible-pointer-types -Werror=int-conversion \
	-Werror=return-type -Werror=format
# What clang has against the macros and structures of system headers, and against
# gcc's pragma to optimize for size.
CLANG_WARN := -Wno-gnu-variable-sized-type-not-at-end \
	-Wno-missing-field-initializers -Wno-unknown-pragmas
CFLAGS := -std=gnu11 -g -fno-common -fno-strict-aliasing $(WARN) \
	-fstack-protector-strong -ffile-prefix-map=$(CURDIR)=. \
	-D_GNU_SOURCE= -I. -Iguest_rt/include -Ibuild/gen
SECTIONS := -ffunction-sections -fdata-sections
# musl has no Linux headers of its own: the system's come last.
MUSL := -O2 $(SECTIONS) -fno-pie -fno-asynchronous-unwind-tables \
	-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu
# Two mappings instead of four, and fewer pages: 2 % of a VM's start. The price:
# read-only data is executable too.
MUSL_LD := -static -no-pie -Wl,--gc-sections -Wl,-z,noexecstack \
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro
ASAN := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
# It knows no fences, and needs a large stack for each thread.
TSAN := -O1 -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan \
	-DMAYFLY_TEST_STACK_KIB=1024u
COV := -O0 --coverage
FUZZ := $(ASAN) -fsanitize=fuzzer-no-link

# Changed flags rebuild what was built with the old ones.
FLAGS := $(MAYFLY_WERROR) $(CC) $(CLANG) $(CLANG_WARN) $(MUSL_CC) $(CFLAGS) $(MUSL) $(MUSL_LD) $(ASAN)
ifneq ($(FLAGS),$(file <build/flags))
$(shell mkdir -p build)
$(file >build/flags,$(FLAGS))
endif

# ---- Sources ------------------------------------------------------------

CLI := $(wildcard vmm/main.c vmm/cli*.c vmm/cmd_*.c vmm/server/*.c)
LIB := $(filter-out $(CLI) vmm/seccomp_gen.c, \
	$(wildcard vmm/*.c vmm/base/*.c virtio/*.c))
# What happens once, or waits for the host anyway: small in the monitor, not fast.
COLD := $(CLI) $(patsubst %,vmm/%.c,base/error base/log confine cpuid crash \
	devices host image inspect kvm machine paging room snapshot_guard \
	snapshot_host snapshot_read snapshot_write symbols vm) \
	$(patsubst %,virtio/%.c,balloon mmio native net net_ctrl net_state rng set) \
	$(wildcard virtio/p9*.c)
GUEST := $(wildcard guest_rt/*.[chS] guest_rt/lwip/*.[ch] guest_rt/mayfly.specs guest_rt/mayfly.ld \
	guest_rt/include/mayfly/*.h)
EXT4 := $(wildcard guest_rt/ext4/*.c)
EXT4_HOST := $(filter-out guest_rt/ext4/guest_%,$(EXT4))
IMAGES := $(patsubst images/%/main.c,build/images/%.elf, \
	$(wildcard images/*/main.c)) $(patsubst %,build/images/function-%.elf,streams mmap)
SUITES := $(notdir $(patsubst %/,%,$(sort $(dir \
	$(wildcard $(addprefix tests/,$(addsuffix /*.c,unit sched turns ring kvm cli)))))))
FUZZERS := $(patsubst tests/fuzz/%.c,build/tests/%, \
	$(wildcard tests/fuzz/fuzz_*.c))
GENERATED := build/gen/seccomp_filter.h build/gen/syscall_names.h
HOST_TESTS := $(filter unit sched turns ring kvm,$(SUITES))
KVM_TESTS := $(filter kvm cli,$(SUITES))

# objects VARIANT,SOURCES
objects = $(patsubst %.c,build/obj/$1/%.o,$2)
# The same for the machine of test-svm: one of them is another.
svm_objects = $(patsubst build/obj/$1/vmm/vcpu.o,build/obj/svm/$1/vmm/vcpu.o,$(objects))

.PHONY: all
all: build/mayfly build/libmayfly.a build/mayfly-cc $(IMAGES) ## Build the monitor, the library, the compiler and the images

# ---- Compiling ----------------------------------------------------------

# variant NAME,COMPILER,FLAGS; MORE is what some objects need besides.
MORE :=
define variant
build/obj/$1/%.o: %.c Makefile build/flags | $$(GENERATED)
	$$(call say,CC,$$@)
	@mkdir -p $$(@D)
	$$Q$2 $(CFLAGS) $3 $$(MORE) -MMD -MP -c -o $$@ $$<
endef
$(eval $(call variant,musl,$(MUSL_CC),$(MUSL) $(MAYFLY_WERROR)))
$(call objects,musl,$(COLD)): private MORE := -Os
$(eval $(call variant,host,$(CC),-O2 $(SECTIONS) $(MAYFLY_WERROR)))
$(eval $(call variant,svm/host,$(CC),-O2 $(SECTIONS) -DMAYFLY_TEST_TR_TYPE=9))
$(eval $(call variant,svm/musl,$(MUSL_CC),$(MUSL) -DMAYFLY_TEST_TR_TYPE=9))
$(eval $(call variant,asan,$(CC),$(ASAN)))
$(eval $(call variant,tsan,$(CC),$(TSAN)))
$(eval $(call variant,cov,$(CC),$(COV)))
$(eval $(call variant,fuzz,$(CLANG),$(CLANG_WARN) $(FUZZ)))
$(eval $(call variant,lint/gcc,$(CC),-O2 -Werror))
$(eval $(call variant,lint/musl,$(MUSL_CC),$(MUSL) -Werror))
$(eval $(call variant,lint/guest,build/mayfly-cc,-O2 -Werror))
$(eval $(call variant,lint/clang,$(CLANG),$(CLANG_WARN) -O2 -Werror))

-include $(shell find build/obj -name '*.d' 2>/dev/null)

# ---- Generated headers --------------------------------------------------

build/gen/seccomp_gen: vmm/seccomp_gen.c Makefile build/flags
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D) build/obj
	$Q$(CC) -O1 $(CFLAGS) -MMD -MP -MF build/obj/seccomp_gen.d -o $@ $< -lseccomp

build/gen/seccomp_filter.h: build/gen/seccomp_gen
	$(call say,GEN,$@)
	$Q$< >$@

build/gen/syscall_names.h: Makefile
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$Qecho '#include <asm/unistd_64.h>' | $(CC) -E -dM - | sed -n \
		's/^#define __NR_\([a-z0-9_]*\) \([0-9]*\)$$/[\2] = "\1",/p' | \
		sort -t '[' -k 2n >$@

# ---- The monitor and the library ----------------------------------------

build/mayfly: $(call objects,musl,$(CLI) $(LIB))
	$(call say,LD,$@)
	$Q$(MUSL_CC) $(MUSL_LD) -o $@ $^

build/svm/mayfly: $(call svm_objects,musl,$(CLI) $(LIB))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$Q$(MUSL_CC) $(MUSL_LD) -o $@ $^

build/libmayfly.a: $(call objects,host,$(LIB))
	$(call say,AR,$@)
	$Qrm -f $@ && $(AR) rcsD $@ $^

# ---- The guest side: musl, runtime, compiler wrapper, images ------------

build/src/musl: .ci/debian-source
	$(call say,SOURCE,musl)
	$Q$< musl 1.2.3-1 $@ && touch $@

# Only names, numbers and arguments of system calls matter to musl: the header
# stays as old as they are.
build/gen/musl_syscalls.h: guest_rt/syscalls.h guest_rt/syscalls-table
	@mkdir -p $(@D)
	@guest_rt/syscalls-table --musl >$@.new
	@cmp -s $@.new $@ || mv $@.new $@

build/sysroot/.musl: $(shell find guest_rt/musl -type f) \
		build/gen/musl_syscalls.h | build/src/musl
	$(call say,MUSL,$(@D))
	$Qguest_rt/musl/build build/src/musl build/musl $(@D) && touch $@

build/src/lwip: .ci/debian-source
	$(call say,SOURCE,lwip)
	$Q$< lwip 2.1.3+dfsg1-2 $@ && touch $@

build/sysroot/.lwip: build/sysroot/.musl guest_rt/lwip/build \
		$(wildcard guest_rt/lwip/*.h guest_rt/lwip/arch/*.h) | build/src/lwip
	$(call say,LWIP,$(@D))
	$Qguest_rt/lwip/build build/src/lwip build/obj/lwip $(@D) && touch $@

build/sysroot/.runtime: build/sysroot/.musl build/sysroot/.lwip $(GUEST) \
		guest_rt/build-rt
	$(call say,RUNTIME,$(@D))
	$Qguest_rt/build-rt build/obj/guest $(@D) build/src/lwip build/obj/lwip && touch $@

build/sysroot/.ext4: build/sysroot/.musl $(EXT4) $(wildcard guest_rt/*.h \
		guest_rt/ext4/*.h guest_rt/ext4/lib/* guest_rt/include/mayfly/*.h) \
		guest_rt/ext4/build | build/src/e2fsprogs build/sysroot/.runtime
	$(call say,EXT4,$(@D))
	$Qguest_rt/ext4/build build/src/e2fsprogs build/obj/ext4 $(@D) && touch $@

build/mayfly-cc build/mayfly-c++: build/%: guest_rt/%
	$(call say,COPY,$@)
	$Qinstall -m 755 $< $@

.SECONDEXPANSION:
# What mounts disks says so.
build/images/persist.elf build/images/races.elf: MAYFLY_CC_FLAGS := --ext4
# No TCP/IP in this one.
build/images/streams.elf: MAYFLY_CC_FLAGS := --streams

build/images/%.elf: $$(wildcard images/$$*/*.[chS]) \
		$$(shell find images/$$*/files -type f 2>/dev/null) build/mayfly-cc \
		build/sysroot/.runtime build/sysroot/.ext4 Makefile build/flags
	$(call say,GUEST,$@)
	@mkdir -p $(@D)
	$Qbuild/mayfly-cc $(MAYFLY_CC_FLAGS) -O2 $(WARN) -ffile-prefix-map=$(CURDIR)=. -o $@ \
		$(filter %.c %.S,$(filter-out images/$*/files/%,$^)) \
		$(patsubst %,--files %,$(wildcard images/$*/files))

# One program, three images: as any other; without TCP/IP; one that maps memory.
build/images/function-streams.elf: MAYFLY_CC_FLAGS := --streams
build/images/function-mmap.elf: MAYFLY_CC_FLAGS := -DFUNCTION_MMAP
build/images/function-streams.elf build/images/function-mmap.elf: \
		$(wildcard images/function/*.[ch]) \
		build/mayfly-cc build/sysroot/.runtime build/sysroot/.ext4 Makefile build/flags
	$(call say,GUEST,$@)
	@mkdir -p $(@D)
	$Qbuild/mayfly-cc $(MAYFLY_CC_FLAGS) -O2 $(WARN) -ffile-prefix-map=$(CURDIR)=. -o $@ $(filter %.c,$^)

include images/programs.mk

# ---- Test programs ------------------------------------------------------

# Guest code that unit tests run on the host; tests/unit/guest.c is around it.
unit_GUEST := $(filter-out guest_rt/file_vector.c,$(wildcard \
	guest_rt/file*.c guest_rt/vfs*.c guest_rt/tmpfs*.c \
	guest_rt/pipe*.c guest_rt/select*.c)) $(patsubst %,guest_rt/%.c,dev epoll \
	eventfd lock memfd sched_wait user_copy)

# What is said of crashes and servers, and who serves what: parts of the command
# that are tested as modules.
unit_CLI := vmm/cli_json.c vmm/cli_report.c $(patsubst %,vmm/server/%.c, \
	access_line access_log child clients dispatch http keeper loop own \
	worker_link workers \
	admin admin_answer admin_request histogram memory metrics pace record text)

ring_GUEST := $(wildcard guest_rt/socket_vsock*.c) $(patsubst %,guest_rt/%.c, \
	socket_file socket_settings vsock lwip/inet_memory)

# Requests to images/function, for benchmarks and tests of `mayfly serve`.
cli_GUEST := $(patsubst %,tests/load/%.c,load load_answer watch)

build/tests/load: $(call objects,host,$(patsubst %,tests/load/%.c,load \
		load_answer load_report main))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -o $@ $^ -lm

# suite NAME,VARIANT,FLAGS,OBJECTS: build/tests/VARIANT/NAME from tests/NAME/*.c
suite_sources = $(wildcard tests/$1/*.c) $($1_GUEST) $($1_CLI) $(LIB)
define suite
build/tests/$2/$1: $(or $4,$(call objects,$2,$(call suite_sources,$1)))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$Q$(CC) $3 -o $$@ $$^ -lcriterion -lpthread
endef
$(foreach s,$(SUITES),$(eval $(call suite,$s,host,)))
$(foreach s,$(SUITES),$(eval $(call suite,$s,asan,$(ASAN))))
$(foreach s,$(SUITES),$(eval $(call suite,$s,cov,$(COV))))
$(foreach s,$(SUITES),$(eval $(call suite,$s,svm,,$$(call \
	svm_objects,host,$(call suite_sources,$s)))))

# An archive: of what a fuzzer compiles along (hooked.h), nothing comes from here.
build/obj/fuzz/library.a: $(call objects,fuzz,$(LIB))
	$(call say,AR,$@)
	$Qrm -f $@ && $(AR) rcsD $@ $^

build/tests/fuzz_%: build/obj/fuzz/tests/fuzz/fuzz_%.o build/obj/fuzz/library.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$Q$(CLANG) $(ASAN) -fsanitize=fuzzer -o $@ $^

# The guest's TCP/IP for the host: lwIP with its checks, and what is ours.
INET := $(addprefix guest_rt/,sched_timer socket_file socket_inet \
	socket_inet_option socket_ioctl socket_settings socket_tcp socket_tcp_data \
	socket_tcp_events socket_tcp_option socket_udp socket_udp_option \
	lwip/inet_card lwip/inet_clone lwip/inet_config lwip/inet_port lwip/inet_stack \
	lwip/inet_tcp lwip/inet_time)
LWIP_PARTS := $(shell guest_rt/lwip/build --parts)
INET_CC := $(CLANG) $(CFLAGS) $(CLANG_WARN) $(FUZZ) -DMAYFLY_LWIP_CHECKS \
	-Iguest_rt/lwip -isystem build/src/lwip/src/include

build/obj/inet/%.o: %.c Makefile build/flags | build/src/lwip
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$Q$(INET_CC) -MMD -MP -c -o $@ $<

build/obj/inet/lwip/%.o: Makefile build/flags | build/src/lwip
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$Q$(INET_CC) -w -c -o $@ build/src/lwip/src/$*.c

build/tests/fuzz_inet: build/obj/inet/tests/fuzz/fuzz_inet.o \
		$(INET:%=build/obj/inet/%.o) $(LWIP_PARTS:%=build/obj/inet/lwip/%.o)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$Q$(CLANG) $(ASAN) -fsanitize=fuzzer -o $@ $^

# Linux's virtio driver against our side of the ring, where Debian's package of
# the kernel's source is installed.
LINUX_SOURCE := $(wildcard /usr/src/linux-source-6.1.tar.xz)
LINUX_TEST := $(if $(LINUX_SOURCE),build/tests/linux/ring)
LINUX := build/src/linux
LINUX_CC := $(CC) -std=gnu11 -g -O2 -w -fno-common -fno-strict-aliasing \
	-fno-strict-overflow -I$(LINUX)/tools/virtio -I$(LINUX)/tools/include \
	-iquote . -include tests/linux/kernel/glue.h

$(LINUX)/.unpacked: tests/linux/unpack $(LINUX_SOURCE)
	$(call say,SOURCE,linux)
	$Q$< $(LINUX_SOURCE) $(@D) && touch $@

build/obj/linux/%.o: tests/linux/kernel/%.c $(LINUX)/.unpacked \
		tests/linux/kernel/glue.h tests/linux/driver.h Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$Q$(LINUX_CC) -c -o $@ $<

build/tests/linux/ring: build/obj/linux/driver.o build/obj/linux/virtio_ring.o \
		$(call objects,host,$(wildcard tests/linux/*.c) $(LIB))
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$Q$(CC) -o $@ $^ -lcriterion -lpthread

# threads VARIANT,FLAGS: the tests of the I/O thread, without a framework
define threads
build/tests/threads/$1: $(call objects,$1,$(wildcard tests/threads/*.c) $(LIB))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$Q$(CC) $2 -o $$@ $$^ -lpthread
endef
$(eval $(call threads,host,))
$(eval $(call threads,asan,$(ASAN)))
$(eval $(call threads,tsan,$(TSAN)))
THREAD_TESTS := $(addprefix build/tests/threads/,host asan tsan)

# The guest's ext4, with libext2fs built for the host, over a disk in memory.

build/src/e2fsprogs: .ci/debian-source
	$(call say,SOURCE,e2fsprogs)
	$Q$< e2fsprogs 1.47.0-2 $@ && touch $@

# ext4_test VARIANT,FLAGS
define ext4_test
build/ext4/$1/.built: guest_rt/ext4/lib/build $(wildcard guest_rt/ext4/lib/*.h) \
		| build/src/e2fsprogs
	$$(call say,LIB,$$(@D))
	$$Q$$< build/src/e2fsprogs $$(@D) $(CC) -O2 -g $(SECTIONS) $2 && touch $$@

build/obj/$1/guest_rt/ext4/%.o: guest_rt/ext4/%.c build/ext4/$1/.built \
		Makefile build/flags
	$$(call say,CC,$$@)
	@mkdir -p $$(@D)
	$$Q$(CC) $(CFLAGS) -O2 $2 -isystem build/ext4/$1/include -MMD -MP -c -o $$@ $$<
build/tests/$1/ext4: $(call objects,$1,$(wildcard tests/ext4/*.c) $(EXT4_HOST))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$Q$(CC) $2 -o $$@ $$^ build/ext4/$1/*.o -lcriterion -lpthread
endef
$(eval $(call ext4_test,host,))
$(eval $(call ext4_test,asan,$(ASAN)))
EXT4_TESTS := build/tests/host/ext4 build/tests/asan/ext4

.PHONY: test-programs asan
test-programs: all $(SUITES:%=build/tests/host/%) asan $(FUZZERS) $(LINUX_TEST) \
	$(THREAD_TESTS) $(EXT4_TESTS)
asan: $(HOST_TESTS:%=build/tests/asan/%) ## Build the host-side tests with ASan and UBSan

# ---- What a person types ------------------------------------------------

.PHONY: setup run test test-svm fuzz conformance bench soak coverage lint fmt install clean help

# Builds with all processors, unless make was told how many to use.
BUILD = @$(MAKE) --no-print-directory \
	$(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

setup: ## Install the Debian packages that building and testing need
	@.ci/setup build test

run: ## Boot hello and print what it cost; sets the machine up first
	@.ci/setup build
	$(BUILD) all
	build/mayfly run --summary build/images/hello.elf

test: ## Build and run all tests that need no other machine
	@.ci/setup build test
	$(BUILD) test-programs build/src/posixtestsuite
	@tests/run

test-svm: ## Run the KVM tests on kvm_amd, in a machine that QEMU emulates
	@.ci/setup build test svm
	$(BUILD) all build/svm/mayfly $(KVM_TESTS:%=build/tests/svm/%)
	@tests/run svm

fuzz: ## Fuzz for FUZZ_SECONDS (600)
	@.ci/setup build test
	$(BUILD) $(FUZZERS)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz

build/src/posixtestsuite: .ci/debian-source
	$(call say,SOURCE,posixtestsuite)
	$Q$< posixtestsuite 1.5.2-8 $@ && touch $@

conformance: ## Score POSIX test suites in VMs against Linux: build/conformance/
	@.ci/setup build test
	$(BUILD) all build/src/posixtestsuite
	@tests/conformance/run

bench: ## Measure; writes build/bench/
	@.ci/setup build bench
	$(BUILD) all
	@tests/bench/run

soak: ## Boot SOAK_BOOTS (100000) guests, reset as many, serve 10^6 requests, 10^7 rounds between threads
	@.ci/setup build test images
	$(BUILD) all program-images build/tests/host/cli build/tests/host/kvm \
		build/tests/threads/host
	MAYFLY_TEST_RESETS=$(SOAK_RESETS) build/tests/host/kvm --color=never \
		--filter 'reset/leaves_nothing*' </dev/null
	MAYFLY_TEST_OUTPUT_MIB=1024 build/tests/host/cli --color=never \
		--filter 'files/many_mib*' </dev/null
	MAYFLY_TEST_SERVE_REQUESTS=$(SOAK_REQUESTS) \
		MAYFLY_TEST_CHAOS=$$(($(SOAK_REQUESTS) / 20)) build/tests/host/cli \
		--color=never --filter 'serve_[cs][ho]a*/*' </dev/null
	tests/model/run 3
	POWER_CUTS=$(SOAK_CUTS) tests/programs/run power_cuts
	build/tests/threads/host $(SOAK_ROUNDS)
	@tests/bench/soak $(SOAK_BOOTS)

coverage: ## Report what the tests cover of the host code, in build/coverage/
	@.ci/setup build test coverage
	$(BUILD) all $(SUITES:%=build/tests/cov/%)
	@find build/obj/cov -name '*.gcda' -delete
	@for t in $(SUITES:%=build/tests/cov/%); do \
		$$t --color=never </dev/null || exit; done
	@mkdir -p build/coverage
	@gcovr -r . --object-directory build/obj/cov -f vmm/ -f virtio/ \
		--html-details build/coverage/index.html --print-summary

lint: ## Check formatting, layers, compilers' warnings, cppcheck, clang-tidy, scripts
	@.ci/setup build test lint
	@tests/run lint

# What includes lwIP's headers is compiled apart (INET).
HOST_C := $(LIB) $(CLI) vmm/seccomp_gen.c \
	$(filter-out tests/fuzz/fuzz_inet.c,$(wildcard tests/*/*.c))

GUEST_C := $(wildcard guest_rt/*.c guest_rt/lwip/*.c guest_rt/ext4/*.c images/*/*.c)

$(call objects,lint/guest,$(GUEST_C)): | build/mayfly-cc build/sysroot/.ext4
# As build-rt and ext4/build have them.
$(call objects,lint/guest,$(wildcard guest_rt/socket*.c guest_rt/lwip/*.c)): \
	private MORE := -Iguest_rt/lwip -isystem build/src/lwip/src/include
$(call objects,lint/guest,$(EXT4)): \
	private MORE := -isystem build/obj/ext4/lib/include

.PHONY: lint-code
lint-code: $(call objects,lint/guest,$(GUEST_C)) \
	$(call objects,$(if $(MAYFLY_WERROR),host,lint/gcc),$(HOST_C)) \
	$(call objects,$(if $(MAYFLY_WERROR),musl,lint/musl),$(LIB) $(CLI)) \
	$(call objects,lint/clang,$(HOST_C)) \
	$(patsubst %,build/obj/lint/headers/%,$(wildcard vmm/*.h vmm/base/*.h \
		vmm/server/*.h virtio/*.h guest_rt/include/*/*.h)) \
	build/obj/inet/tests/fuzz/fuzz_inet.o $(INET:%=build/obj/inet/%.o)

# A header compiles alone.
build/obj/lint/headers/%.h: %.h Makefile build/flags
	$(call say,HEADER,$<)
	@mkdir -p $(@D)
	$Q$(CC) $(CFLAGS) -Werror -x c -fsyntax-only $< && touch $@

fmt: ## Format the C files
	@.ci/setup lint
	tests/lint/format -i

install: all ## Install to PREFIX (/usr/local), below DESTDIR if that is set
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin include/mayfly lib/mayfly)
	install -s build/mayfly $(DESTDIR)$(PREFIX)/bin/mayfly
	install build/mayfly-cc guest_rt/mayfly-c++ $(DESTDIR)$(PREFIX)/bin/
	install -m 644 build/libmayfly.a $(DESTDIR)$(PREFIX)/lib/libmayfly.a
	install -m 644 vmm/mayfly.h vmm/mayfly_acceptor.h vmm/mayfly_stats.h \
		$(DESTDIR)$(PREFIX)/include
	install -m 644 guest_rt/include/mayfly/*.h $(DESTDIR)$(PREFIX)/include/mayfly/
	rm -rf $(DESTDIR)$(PREFIX)/lib/mayfly/sysroot
	install -d $(DESTDIR)$(PREFIX)/lib/mayfly/sysroot
	cp -R build/sysroot/include build/sysroot/lib $(DESTDIR)$(PREFIX)/lib/mayfly/sysroot/

clean: ## Remove build/
	rm -rf build

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1|/p' Makefile | \
		while IFS='|' read -r t d; do printf '  %-11s %s\n' "$$t" "$$d"; done
