# Cambium. `make help` lists the targets; `make info` says what was found on this machine.
#
#   make CONF=debug            another configuration: release (default), debug, asan, tsan, fuzz
#   make DEVELOPER=1           warnings are errors
#   make MPI=off NCCL=off      without these plug-ins (default: on where their compilers are found)
#   make test RUN=tokenizer    only the tests whose name contains the word
#   make demo DEVICE=cuda      the demo on a GPU
#   make demo SIZE=small       a demo that is as large everywhere: large, medium, small or tiny
#   make demo DATA=FOLDER      the demo asks MMLU and XQuAD, too, from FOLDER/mmlu and FOLDER/squad
#   make CUDA=off              without the CUDA backend (default: on where nvcc is found)
#   make CUDA_ARCHS="80 90"    the GPUs it is compiled for (default: 90; newer ones run its PTX)
#
# CC, CFLAGS, LDFLAGS, NVCC, CUDA_ARCHS and PREFIX are the user's; config.mk may set them for good.

-include config.mk
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

CONF ?= release
PREFIX ?= /usr/local
OUT := build/$(CONF)
ifeq ($(CONF),fuzz)
CC := clang
endif

# ---- what the program is made of ------------------------------------------------------------------
FOLDERS := core/base core/tensor core/cpu core/comm core/text core/text/jinja core/model core/io core/decode \
           core/metrics core/cli embed train grow merge infer infer/helix infer/plan infer/serve \
           infer/eval
PACKAGES := build-essential pkg-config git libdnnl-dev libhdf5-dev libfreetype-dev fonts-unifont \
            libharfbuzz-dev libpng-dev libjansson-dev libutf8proc-dev libpcre2-dev libyaml-dev \
            libcmocka-dev nettle-dev zlib1g-dev liblzma-dev libzstd-dev libbz2-dev xz-utils \
            libopenmpi-dev openmpi-bin libmicrohttpd-dev curl
PKG_LIBS := freetype2 harfbuzz hdf5 libpng jansson libutf8proc libpcre2-8 yaml-0.1 nettle zlib liblzma \
            libzstd libmicrohttpd

SOURCES := $(sort $(wildcard $(addsuffix /*.c,$(FOLDERS))))
# A file in a folder named isa/ is compiled once per instruction set, with ISA naming it.
ISA_SOURCES := $(sort $(wildcard $(addsuffix /isa/*.c,$(FOLDERS))))
ISAS := generic avx2 avx512 avx512bf16
VERB_SOURCES := $(filter $(foreach f,$(FOLDERS),$(f)/cmd_%.c),$(SOURCES))
VERBS := $(sort $(patsubst cmd_%.c,%,$(notdir $(VERB_SOURCES))))
# A file bench_NAME.c in any folder holds measurements of `cambium bench`: the list bench_NAME.
BENCH_SOURCES := $(filter $(foreach f,$(FOLDERS),$(f)/bench_%.c),$(SOURCES))
BENCHES := $(sort $(patsubst bench_%.c,%,$(notdir $(BENCH_SOURCES))))

# ---- flags ----------------------------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
            -Wwrite-strings -Wdouble-promotion -Wformat=2 -Wundef
# To clang every NAN in a double is a promotion, and every format that is passed on is suspect.
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-double-promotion -Wno-format-nonliteral
ifneq ($(CONF),fuzz)
$(warning The kernels are made for GCC: built by clang, sums depend on the number of threads)
endif
endif
ifeq ($(DEVELOPER),1)
WARNINGS += -Werror
endif
OPT_release := -O2 -g -DNDEBUG -fopenmp
OPT_debug := -O1 -g -fopenmp -DCAMBIUM_SPLIT_ADDRESSES
OPT_asan := -O1 -g -fopenmp -fsanitize=address,undefined -fno-sanitize-recover=undefined \
            -fno-omit-frame-pointer -DCAMBIUM_SPLIT_ADDRESSES
OPT_tsan := -O1 -g -fsanitize=thread -DCAMBIUM_PTHREADS
OPT_fuzz := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -DCAMBIUM_PTHREADS
# Kernels parse nothing, and clang takes minutes to instrument them.
ifeq ($(CONF),fuzz)
ISA_PLAIN := -fno-sanitize=all
endif
OPT := $(OPT_$(CONF))
ifeq ($(OPT),)
$(error CONF=$(CONF): choose release, debug, asan, tsan or fuzz)
endif

# Kernels may sum in any order and need no errno, but NaN, infinity and denormals stay intact.
# (-std=c11 would forbid fused multiply-add, hence -ffp-contract=fast.)
# From version 14 on GCC leaves some sums of products unfused, those of one block and not of another:
# a row would not come out alike wherever it stands.
FUSE_ALWAYS := --param=avoid-fma-max-bits=0
KERNEL_FLAGS := -O3 -fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math \
                -ffp-contract=fast \
                $(shell $(CC) -Werror $(FUSE_ALWAYS) -fsyntax-only -x c /dev/null 2>/dev/null && echo $(FUSE_ALWAYS))
# The kernels behind the frozen table give the same bits on every instruction set, so nothing may
# be reordered or fused in them.
EXACT_SOURCES := $(wildcard embed/isa/*.c)
EXACT_FLAGS := -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off
ISA_generic :=
ISA_avx2 := -mavx2 -mfma -mf16c
ISA_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16 -mavx512vnni

PKG_CFLAGS = $(shell pkg-config --cflags $(PKG_LIBS) 2>/dev/null)
PKG_LDLIBS = $(shell pkg-config --libs $(PKG_LIBS) 2>/dev/null)
BASE_FLAGS = -std=c11 -D_GNU_SOURCE -ffp-contract=off -I. -I$(OUT)/gen -fPIC -MMD -MP $(WARNINGS) \
             $(OPT) $(PKG_FLAGS)
LIBS = $(PKG_LINK) -lbz2 -ldnnl -lgomp -lm -ldl -lpthread
# Asked once per run of make, not once per file.
PKG_FLAGS := $(PKG_CFLAGS)
PKG_LINK := $(PKG_LDLIBS)
# oneDNN comes without a pkg-config file.
DNNL_FOUND := $(shell $(CC) $(CFLAGS) -include dnnl.h -E -x c /dev/null >/dev/null 2>&1 && echo yes)

OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(filter-out core/cli/main.c,$(SOURCES))) \
           $(foreach i,$(ISAS),$(patsubst %.c,$(OUT)/%.$(i).o,$(ISA_SOURCES))) \
           $(OUT)/gen/verb_table.o $(OUT)/gen/bench_table.o $(OUT)/gen/modeling_cambium.o \
           $(OUT)/gen/serve_page.o
PROGRAM := $(OUT)/cambium
LIBRARY := $(OUT)/libcambium.a

# ---- CUDA: a plug-in beside the program, and its kernels on the host for the tests ---------------
NVCC ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc))
CUDA_ARCHS ?= 90
CUDA ?= $(if $(NVCC),on,off)
CUDA_SOURCES := $(sort $(wildcard core/cuda/*.cu))
CUDA_HOME = $(patsubst %/bin/,%,$(dir $(realpath $(shell command -v $(NVCC)))))
CUDA_PLUGIN := $(if $(filter on,$(CUDA)),$(OUT)/cambium_cuda.so)
NVCC_COMMON := -std=c++17 -I. -O3 --expt-relaxed-constexpr
NVCC_FLAGS = $(NVCC_COMMON) -lineinfo -MMD -MP \
             $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
             -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS)) \
             -Xcompiler -fPIC,-Wall,-Wextra,-fvisibility=hidden \
             $(if $(filter 1,$(DEVELOPER)),--Werror all-warnings -Xcompiler -Werror)

# The same sources compiled for the host with the address sanitizer, whatever CONF is: where there is
# no GPU, this is how kernels are proven. Libraries of NVIDIA's are left out (emulate/libraries.cc).
EMULATED := $(OUT)/tests/emulated
EMULATED_SOURCES := $(filter-out $(addprefix core/cuda/,products.cu attn_fused.cu),$(CUDA_SOURCES)) \
                    $(sort $(wildcard core/cuda/emulate/*.cc))
EMULATED_OBJECTS := $(patsubst %,$(EMULATED)/%.o,$(EMULATED_SOURCES))
EMULATED_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
EMULATED_FLAGS := -std=c++17 -x c++ -I. -O1 -g1 -fPIC -fvisibility=hidden -fno-omit-frame-pointer \
                  -DCAMBIUM_EMULATE -MMD -MP -Wall -Wextra -Wno-unknown-pragmas \
                  $(if $(filter 1,$(DEVELOPER)),-Werror) $(EMULATED_SANITIZE)
# These run a second time with the emulated device. (The thread sanitizer cannot share a process
# with the address sanitizer.)
EMULATED_TESTS := $(if $(filter tsan fuzz,$(CONF)),,$(addprefix $(EMULATED)/,\
                  $(basename $(notdir $(wildcard tests/unit/test_ops_*.c))) \
                  test_model_golden test_decoder test_lora test_comm test_replay test_stopwatch))

# ---- communicators: plug-ins beside the program ---------------------------------------------------
# Open MPI: on where mpicc is found; `make MPI=off` goes without.
MPICC ?= $(shell command -v mpicc)
MPI ?= $(if $(MPICC),on,off)
MPI_PLUGIN := $(if $(filter on,$(MPI)),$(if $(filter fuzz,$(CONF)),,$(OUT)/cambium_mpi.so))
# NCCL: on where nvcc and nccl.h are found.
NCCL_HOME := $(if $(NVCC),$(patsubst %/include/nccl.h,%,$(firstword \
             $(wildcard $(CUDA_HOME)/include/nccl.h /usr/include/nccl.h))))
NCCL ?= $(if $(NCCL_HOME),on,off)
NCCL_PLUGIN := $(if $(filter on,$(NCCL)),$(if $(filter fuzz,$(CONF)),,$(OUT)/cambium_nccl.so))
PLUGINS := $(if $(filter fuzz,$(CONF)),,$(CUDA_PLUGIN)) $(MPI_PLUGIN) $(NCCL_PLUGIN)

TEST_SOURCES := $(sort $(wildcard tests/unit/test_*.c))
TEST_SUPPORT := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard tests/support/*.c)))
TEST_PROGRAMS := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(TEST_SOURCES))
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# ---- building -------------------------------------------------------------------------------------
.PHONY: all
all: $(PROGRAM) $(PLUGINS) ## build the program (build/release/cambium)

$(PROGRAM): $(OUT)/core/cli/main.o $(LIBRARY)
	$(CC) $(OPT) $(CFLAGS) -rdynamic -o $@ $(WHOLE) $(LDFLAGS) $(LIBS)
# All of the library goes into the program: plug-ins find there what they call.
WHOLE = $(filter %.o,$^) -Wl,--whole-archive $(LIBRARY) -Wl,--no-whole-archive

$(LIBRARY): $(OBJECTS)
	rm -f $@ && ar rcs $@ $^

$(OUT)/%.o: %.c $(OUT)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(BASE_FLAGS) $(CFLAGS) -c -o $@ $<

define ISA_RULE
$(OUT)/%.$(1).o: %.c $(OUT)/gen/flags
	@mkdir -p $$(@D)
	$(CC) $(BASE_FLAGS) $$(if $$(filter $$<,$(EXACT_SOURCES)),$(EXACT_FLAGS),$(KERNEL_FLAGS)) \
	    $(ISA_PLAIN) $(ISA_$(1)) -DISA=$(1) -DISA_$(1)=1 $(CFLAGS) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call ISA_RULE,$(i))))

$(OUT)/%.cu.o: %.cu $(OUT)/gen/nvcc_flags
	@mkdir -p $(@D)
	$(NVCC) $(NVCC_FLAGS) -c -o $@ $<
$(OUT)/cambium_cuda.so: $(patsubst %,$(OUT)/%.o,$(CUDA_SOURCES))
	$(NVCC) -shared -cudart static -o $@ $^ -Xlinker -rpath,$(CUDA_HOME)/lib64 -lcublasLt -ldl

$(EMULATED)/%.o: % $(OUT)/gen/flags
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -c -o $@ $<
$(EMULATED)/cambium_cuda.so: $(EMULATED_OBJECTS)
	$(CXX) -shared $(EMULATED_SANITIZE) -o $@ $^
$(EMULATED)/test_%: $(OUT)/tests/unit/test_%.o $(TEST_SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(EMULATED_SANITIZE) $(CFLAGS) -rdynamic -o $@ $(WHOLE) $(LDFLAGS) $(LIBS) -lcmocka
# The emulation layer's own test: its kernels are in the test.
$(EMULATED)/test_emulation: $(EMULATED)/tests/emulate/test_emulation.cc.o \
                            $(patsubst %,$(EMULATED)/core/cuda/emulate/%.cc.o,kernel kernels recording runtime) $(LIBRARY)
	$(CXX) $(EMULATED_SANITIZE) -o $@ $(filter %.o,$^) $(LIBRARY) -lm -lpthread
# The NCCL communicator, which the test includes, on stand-ins for NCCL and CUDA.
$(EMULATED)/test_nccl: tests/emulate/test_nccl.c core/comm/nccl/comm_nccl.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -isystem tests/emulate/nccl $(filter-out -MMD -MP,$(BASE_FLAGS)) $(EMULATED_SANITIZE) $(CFLAGS) -rdynamic -o $@ $< \
	    -Wl,--whole-archive $(LIBRARY) -Wl,--no-whole-archive $(LDFLAGS) $(LIBS) -lcmocka
# The program itself with that device: the plug-in beside it is the emulated one.
$(EMULATED)/cambium: $(OUT)/core/cli/main.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(EMULATED_SANITIZE) $(CFLAGS) -rdynamic -o $@ $(WHOLE) $(LDFLAGS) $(LIBS)

# A plug-in's calls into the core are resolved by the program that opens it.
$(OUT)/cambium_mpi.so: core/comm/mpi/comm_mpi.c $(OUT)/gen/flags
	@mkdir -p $(OUT)/core/comm/mpi
	OMPI_CC=$(firstword $(CC)) $(MPICC) $(BASE_FLAGS) $(CFLAGS) -MF $(OUT)/core/comm/mpi/comm_mpi.d \
	    -shared -o $@ $< $(LDFLAGS)
$(OUT)/cambium_nccl.so: core/comm/nccl/comm_nccl.c $(OUT)/gen/flags
	@mkdir -p $(OUT)/core/comm/nccl
	$(CC) $(BASE_FLAGS) -isystem $(CUDA_HOME)/include $(CFLAGS) -MF $(OUT)/core/comm/nccl/comm_nccl.d \
	    -shared -o $@ $< $(LDFLAGS) -L$(CUDA_HOME)/lib64 -L$(NCCL_HOME)/lib64 \
	    -Wl,-rpath,$(CUDA_HOME)/lib64 -lnccl -lcudart
# Tests open plug-ins from their own folder.
$(OUT)/tests/cambium_%.so: $(OUT)/cambium_%.so
	@mkdir -p $(@D)
	ln -sf ../$(<F) $@

# The verb table is rewritten only when the list of cmd_*.c files changes.
$(OUT)/gen/verb_table.c: $(OUT)/gen/verbs.list
	@{ echo '#include "core/cli/verbs.h"'; \
	   for v in $(VERBS); do echo "extern const Verb verb_$$v;"; done; \
	   echo 'const Verb *const verb_table[] = {'; \
	   for v in $(VERBS); do echo "    &verb_$$v,"; done; \
	   echo '};'; echo 'const int verb_count = $(words $(VERBS));'; } > $@

$(OUT)/gen/bench_table.c: $(OUT)/gen/benches.list
	@{ echo '#include "core/cli/bench.h"'; \
	   for b in $(BENCHES); do echo "extern const Bench bench_$$b[];"; done; \
	   echo 'const Bench *const bench_table[] = {'; \
	   for b in $(BENCHES); do echo "    bench_$$b,"; done; \
	   echo '    0};'; } > $@

# Files that change only when what they hold does. The flags are those that change objects: turning
# warnings into errors (DEVELOPER) rebuilds nothing.
PAGE_FILES := $(sort $(wildcard infer/serve/page/*))
KEPT_page.list := $(PAGE_FILES)
KEPT_verbs.list := $(VERBS)
KEPT_benches.list := $(BENCHES)
KEPT_nvcc_flags = $(NVCC) $(filter-out all-warnings --Werror,$(NVCC_FLAGS))
KEPT_flags = $(CC) $(OPT) $(PKG_FLAGS) $(CFLAGS) | $(LDFLAGS)
define KEPT_RULE
ifneq ($$(strip $$(file <$(OUT)/gen/$(1))),$$(strip $$(KEPT_$(1))))
$(OUT)/gen/$(1): force
endif
$(OUT)/gen/$(1):
	@mkdir -p $$(@D); echo '$$(subst ','\'',$$(KEPT_$(1)))' > $$@
endef
$(foreach k,verbs.list benches.list page.list flags nvcc_flags,$(eval $(call KEPT_RULE,$(k))))
.PHONY: force

# A compiler's complaint about a header would not say what to do.
ifeq ($(and $(PKG_LINK),$(DNNL_FOUND)),)
$(OUT)/gen/flags: needs
endif
.PHONY: needs
needs:
	@{ echo "This machine lacks what the build needs:"; \
	   $(MAKE) --no-print-directory -s info | grep 'make setup installs it'; \
	   echo "Type 'make setup': it installs the Debian packages, or prints the command for root."; } >&2; \
	exit 1

# Files that travel inside the program: the model file of exported folders, and the server's page.
AS_C_STRING := sed 's/[\\"?]/\\&/g; s/.*/    "&\\n"/'
$(OUT)/gen/modeling_cambium.c: core/io/modeling_cambium.py
	@mkdir -p $(@D)
	@{ echo 'extern const char modeling_cambium_py[];'; echo 'const char modeling_cambium_py[] ='; \
	   $(AS_C_STRING) $<; echo '    ;'; } > $@
$(OUT)/gen/serve_page.c: $(PAGE_FILES) $(OUT)/gen/page.list
	@{ echo '#include "infer/serve/page.h"'; echo 'const PageFile page_files[] = {'; \
	   for f in $(PAGE_FILES); do \
	       echo "    {\"$${f##*/}\", "; $(AS_C_STRING) $$f; echo '    },'; \
	   done; echo '    {0}};'; } > $@

$(OUT)/gen/%.o: $(OUT)/gen/%.c $(OUT)/gen/flags
	$(CC) $(BASE_FLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/tests/%: $(OUT)/tests/unit/%.o $(TEST_SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(CFLAGS) -rdynamic -o $@ $(WHOLE) $(LDFLAGS) $(LIBS) -lcmocka

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

# ---- set-up ---------------------------------------------------------------------------------------
.PHONY: setup
setup: ## install the Debian packages that are missing
	@tests/setup $(PACKAGES)

# A second make, because pkg-config may only now find what was just installed.
.PHONY: build-all build-tests
build-all: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all
build-tests: setup
	@$(MAKE) --no-print-directory -j$$(nproc) all test-programs
.PHONY: test-programs
test-programs: all $(TEST_PROGRAMS) $(if $(EMULATED_TESTS),$(EMULATED_TESTS) $(EMULATED)/test_emulation $(EMULATED)/test_nccl \
               $(EMULATED)/cambium_cuda.so $(EMULATED)/cambium) \
               $(patsubst $(OUT)/%,$(OUT)/tests/%,$(PLUGINS))

# ---- the main job ---------------------------------------------------------------------------------
.PHONY: demo
demo: build-all ## render, grow two specialists, merge, measure and talk (about 8 minutes)
	@tests/demo/run $(PROGRAM) build/demo$(if $(DEVICE),-$(DEVICE))$(if $(SIZE),-$(SIZE)) "$(DEVICE)" "$(DATA)" "$(SIZE)"

# ---- proof ----------------------------------------------------------------------------------------
.PHONY: test
test: build-tests ## build and run every test
	@tests/run $(OUT) $(RUN)

.PHONY: test-isa
test-isa: build-tests ## what depends on the processor, as one with AVX2 alone runs it, and one without
	@set -e; for isa in avx2 generic; do echo "== $$isa"; \
	    CAMBIUM_ISA=$$isa ONLY=isa tests/run $(OUT) $(RUN); done

.PHONY: test-long
test-long: ## compile the kernels for every GPU that nvcc knows: none may spill registers (minutes)
	@$(if $(NVCC),tests/spills $(NVCC) $(NVCC_COMMON),echo "skip - there is no nvcc here")

.PHONY: asan tsan
asan: ## the tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory CONF=asan test RUN='$(RUN)'
tsan: ## the tests under the thread sanitizer
	@$(MAKE) --no-print-directory CONF=tsan test RUN='$(RUN)'

.PHONY: check
check: ## layers, headers that compile alone, format, sizes
	@tests/check/run

.PHONY: fuzz
fuzz: setup ## every parser against random input for FUZZ_SECONDS each (clang, libFuzzer)
	@command -v clang >/dev/null || tests/setup clang libclang-rt-dev
	@$(MAKE) --no-print-directory -j$$(nproc) CONF=fuzz fuzz-programs
	@tests/fuzz/run build/fuzz $(or $(FUZZ_SECONDS),20)
.PHONY: fuzz-programs
fuzz-programs: $(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(FUZZ_SOURCES))
$(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $(TEST_SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) -fsanitize=address,undefined,fuzzer -o $@ $^ $(LIBS) -lcmocka

.PHONY: bench
bench: build-all ## measure speed against the machine's limits
	@tests/bench/run $(PROGRAM)

# ---- the bundle for a machine with a GPU ----------------------------------------------------------
# The programs share one library, and find it and the system's in lib/ beside them. (DT_RPATH, because
# DT_RUNPATH would not hold for what those libraries need.) What plug-ins need is NVIDIA's and stays
# where the machine has it.
BUNDLED := $(OUT)/bundle
BUNDLE_TESTS := $(basename $(notdir $(wildcard tests/unit/test_ops_*.c \
                $(foreach t,model_golden decoder trainer lora replay comm,tests/unit/test_$(t).c))))
BUNDLE_PROGRAMS := $(addprefix $(BUNDLED)/,cambium $(BUNDLE_TESTS))
BUNDLE_PLUGINS := $(patsubst $(OUT)/%,$(BUNDLED)/%,$(filter-out $(MPI_PLUGIN),$(PLUGINS)))
BUNDLE_LINK = $(CC) $(OPT) $(CFLAGS) -s -o $@ $^ $(LDFLAGS)
BUNDLE_PATH := -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib' -L$(BUNDLED)/lib
$(BUNDLED)/lib/libcambium.so: $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(OPT) $(CFLAGS) -s -shared -Wl,-soname,$(@F) -o $@ $(WHOLE) $(LDFLAGS) $(LIBS)
$(BUNDLED)/cambium: $(OUT)/core/cli/main.o $(BUNDLED)/lib/libcambium.so
	$(BUNDLE_LINK) $(BUNDLE_PATH)
$(BUNDLED)/test_%: $(OUT)/tests/unit/test_%.o $(TEST_SUPPORT) $(BUNDLED)/lib/libcambium.so
	$(BUNDLE_LINK) $(BUNDLE_PATH) $(LIBS) -lcmocka
$(BUNDLED)/cambium_%.so: $(OUT)/cambium_%.so
	@mkdir -p $(@D)
	strip -o $@ $<

# Scripts and golden files keep their places in it: tests run from its root.
BUNDLE_FILES := $(wildcard tests/gpu/parts/*.sh) tests/gpu/peer_torch.py tests/gpu/table.awk \
                tests/bench/peer_torch.py tests/golden/model.txt tests/support/flow.sh \
                tests/cli/cuda.sh tests/cli/cuda_recorded.sh
build/gpu-bundle.tar.gz: $(BUNDLE_PROGRAMS) $(BUNDLE_PLUGINS) $(BUNDLE_FILES) tests/gpu/run tests/gpu/bundle
	@rm -rf $(filter-out $(BUNDLE_PROGRAMS) $(BUNDLE_PLUGINS) $(BUNDLED)/lib,$(wildcard $(BUNDLED)/*))
	tests/gpu/bundle $(BUNDLED) build/gpu-bundle "$(if $(CUDA_PLUGIN),$(CUDA_ARCHS))" $(BUNDLE_FILES)
.PHONY: gpu-bundle
gpu-bundle: setup ## what a machine with a GPU needs to check and measure (build/gpu-bundle.tar.gz)
	@$(MAKE) --no-print-directory -j$$(nproc) CONF=release build/gpu-bundle.tar.gz

# ---- the rest -------------------------------------------------------------------------------------
.PHONY: install
install: all ## the program and its plug-ins to PREFIX/lib/cambium, and a link in PREFIX/bin
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/cambium
	install -m 755 $(PROGRAM) $(wildcard $(OUT)/cambium_*.so) $(DESTDIR)$(PREFIX)/lib/cambium
	ln -sf ../lib/cambium/cambium $(DESTDIR)$(PREFIX)/bin/cambium
.PHONY: uninstall
uninstall: ## remove them from there
	rm -f $(DESTDIR)$(PREFIX)/bin/cambium
	rm -rf $(DESTDIR)$(PREFIX)/lib/cambium

.PHONY: format
format: ## apply clang-format
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cc')

# What make would run, as the list that editors and clang-tidy read.
compile_commands.json: force ## how each file is compiled, for editors
	@$(MAKE) -nB --no-print-directory all test-programs | sed ':a;/\\$$/{N;s/\\\n//;ba}' | \
	    awk -v folder='$(CURDIR)' 'BEGIN { print "[" } \
	        / -c -o / { gsub(/\t| +/, " "); gsub(/["\\]/, "\\\\&"); \
	            printf "%s{\"directory\": \"%s\", \"file\": \"%s\", \"command\": \"%s\"}", \
	                   n++ ? ",\n" : "", folder, $$NF, $$0 } \
	        END { print "\n]" }' > $@

.PHONY: info
info: ## what was found on this machine
	@CFLAGS="$(CFLAGS)" tests/info "$(CC)" "$(PKG_LIBS)" "$(or $(NVCC),nvcc)"

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z. _-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 24
