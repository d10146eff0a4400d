# SPDX-License-Identifier: MIT
# Programs that others wrote, from Debian's source packages, without a patch:
# `make images` builds them for Mayfly in build/images/, `make native` builds the
# same ones, with the same libc and options, as Linux processes in build/native/.
#
# images/NAME/build SOURCE WORK compiles one of them, with CC, CXX and FLAGS from
# the environment, and leaves WORK/bin/PROGRAM. WORK starts empty and is kept: when
# only the runtime has changed, programs are linked again, not compiled.

PROGRAM_FLAGS := -O2 -g0
# Debian's musl lacks crypt(), which nginx calls: it comes from ours, which is of
# that version, and makes no system call.
NATIVE_CRYPT := $(CURDIR)/build/programs/native/crypt.o
# The code is the same, too: these are what mayfly-cc compiles with.
NATIVE_CC := $(MUSL_CC) -static -fno-pie -no-pie -fno-omit-frame-pointer \
	-fstack-protector-strong -fstack-clash-protection \
	-idirafter $(CURDIR)/build/sysroot/include
PROGRAM_IMAGES :=
NATIVE_PROGRAMS :=

# What is left in Debian's archive is the newest version of each release.
define program_source
build/src/$1: .ci/debian-source
	$$(call say,SOURCE,$1)
	$$Q{ $$< $1 $2 $$@ || { echo "taking the newest $1 instead" && $$< $1 '' $$@; }; } && touch $$@
endef

# program_build VARIANT,NAME,PACKAGE,COMPILER,NEEDS TO COMPILE,NEEDS TO LINK,OUTPUTS,LIBS,C++
define program_build
build/programs/$1/$2/.fresh: images/$2/build images/programs.mk $5 | build/src/$3
	$$Qrm -rf $$(@D) && mkdir -p $$(@D)/bin && touch $$@

$7 &: build/programs/$1/$2/.fresh $6
	$$(call say,PROGRAM,$1/$2)
	@mkdir -p $$(dir $7)
	+$$Qcd $$(<D) && { CC='$4' CXX='$9' LIBS='$8' FLAGS='$(PROGRAM_FLAGS) -ffile-prefix-map=$(CURDIR)=.' \
		$(CURDIR)/images/$2/build $(CURDIR)/build/src/$3 $$(CURDIR)/$$(<D) \
		>log 2>&1 || { tail -n 30 log; exit 1; }; }
	$$Q$$(foreach o,$7,cp $$(<D)/bin/$$(basename $$(notdir $$o)) $$o;)
endef

$(NATIVE_CRYPT): build/sysroot/.musl
	@mkdir -p $(@D)/crypt
	$Qcd $(@D)/crypt && ar x $(CURDIR)/build/sysroot/lib/libc.a \
		$$(ar t $(CURDIR)/build/sysroot/lib/libc.a | grep crypt) && \
		ld -r -o $@ *.o

# What a guest finds in its root: images/NAME/files.
PROGRAM_FILES := $(shell find images/*/files -type f 2>/dev/null)
program_files = $(filter images/$1/files/%,$(PROGRAM_FILES))

# program NAME,PACKAGE,VERSION,PROGRAMS,OPTIONS OF MAYFLY-CC
define program
$(call program_source,$2,$3)
$(call program_build,guest,$1,$2,$(strip $(CURDIR)/build/mayfly-cc $5 \
	$(if $(program_files),--files=$(CURDIR)/images/$1/files)),build/sysroot/.musl,build/mayfly-cc \
	build/sysroot/.runtime build/sysroot/.ext4 $(program_files),$(patsubst %,build/images/%.elf,$4))
$(call program_build,native,$1,$2,$(NATIVE_CC),$(NATIVE_CRYPT),,$(addprefix build/native/,$4),$(NATIVE_CRYPT))
PROGRAM_IMAGES += $(patsubst %,build/images/%.elf,$4)
NATIVE_PROGRAMS += $(addprefix build/native/,$4)
endef

# Ours, which are in build/images/ like every images/*/main.c, as Linux processes.
build/native/httpd build/native/function: build/native/%: $$(wildcard images/$$*/*.[ch])
	$(call say,NATIVE,$@)
	@mkdir -p $(@D)
	$Q$(NATIVE_CC) -O2 $(WARN) -o $@ $(filter %.c,$^)
NATIVE_PROGRAMS += build/native/httpd build/native/function

$(eval $(call program,lua,lua5.4,5.4.4-3+deb12u1,lua))
$(eval $(call program,nginx,nginx,1.22.1-9+deb12u9,nginx))
$(eval $(call program,redis,redis,5:7.0.15-1~deb12u7,redis,--ext4))
$(eval $(call program,sqlite,sqlite3,3.40.1-2+deb12u2,sqlite speedtest1,--ext4))
$(eval $(call program,zlib,zlib,1:1.2.13.dfsg-1,zlib minigzip zlib64 minigzip64 infcover))

$(eval $(call program_source,gcc-12,12.2.0-14+deb12u1))

# It needs musl and a compiler that links; that the runtime changes is nothing
# to it.
build/sysroot/.cxx: guest_rt/cxx/build build/sysroot/.musl | build/src/gcc-12 \
		build/mayfly-cc build/sysroot/.runtime
	$(call say,CXX,build/sysroot)
	@mkdir -p build/programs
	+$Q$< build/src/gcc-12 build/programs/cxx build/sysroot \
		>build/programs/cxx.log 2>&1 || { tail -n 30 build/programs/cxx.log; exit 1; }
	$Qtouch $@

CXX_IMAGES := $(patsubst images/%/main.cc,build/images/%.elf,$(wildcard images/*/main.cc))
$(CXX_IMAGES): build/images/%.elf: images/%/main.cc build/mayfly-c++ build/mayfly-cc \
		build/sysroot/.cxx build/sysroot/.runtime
	$(call say,GUEST,$@)
	@mkdir -p $(@D)
	$Qbuild/mayfly-c++ -std=c++20 -O2 -Wall -Wextra -o $@ $<

# What is written in C++ is not for Linux, too: musl has no libstdc++ there.
$(eval $(call program_source,benchmark,1.7.1-1))
$(eval $(call program_source,googletest,1.12.1-0.2))
$(eval $(call program_source,leveldb,1.23-4))
LEVELDB_IMAGES := $(patsubst %,build/images/leveldb-%.elf,arena_test autocompact_test \
	bloom_test c_test cache_test coding_test corruption_test crc32c_test db_test \
	dbformat_test env_posix_test env_test fault_injection_test filename_test \
	filter_block_test hash_test issue178_test issue200_test issue320_test log_test \
	logging_test memenv_test no_destructor_test recovery_test skiplist_test \
	status_test table_test version_edit_test version_set_test write_batch_test)
build/programs/guest/leveldb/.fresh: | build/src/benchmark build/src/googletest
$(eval $(call program_build,guest,leveldb,leveldb,$(CURDIR)/build/mayfly-cc --ext4,\
	build/sysroot/.cxx,build/mayfly-c++ build/mayfly-cc build/sysroot/.runtime \
	build/sysroot/.ext4,$(LEVELDB_IMAGES),,$(CURDIR)/build/mayfly-c++ --ext4))

.PHONY: cxx
cxx: ## Build libstdc++ for images, mayfly-c++, and programs in C++: LevelDB's tests
	@.ci/setup build images
	$(BUILD) build/mayfly-c++ build/sysroot/.cxx $(CXX_IMAGES) $(LEVELDB_IMAGES)

.PHONY: images native program-images native-programs
program-images: $(PROGRAM_IMAGES) build/native/httpd
native-programs: $(NATIVE_PROGRAMS)

images: ## Build real programs as images: SQLite, Lua, Redis, nginx, zlib
	@.ci/setup build images
	$(BUILD) all program-images

native: ## Build the same programs as Linux processes, to compare
	@.ci/setup build images
	$(BUILD) native-programs
