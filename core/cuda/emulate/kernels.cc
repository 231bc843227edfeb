/* Reads the symbol table of the file that this code was loaded from. There, what is static within a
 * function bears the function's name: variables of _Z3sumPf are _ZZ3sumPfE and their own name. */
#include "core/cuda/emulate/kernels.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>

#include "core/cuda/emulate/runtime.h"

extern "C" {
#include "core/base/err.h"
}

/* What every device allows a kernel that did not ask for more. */
static const size_t UNASKED = 48 * 1024;

typedef std::map<const void *, EmulatedKernel> Kernels;

static Kernels &kernels()
{
    static Kernels *known = new Kernels;
    return *known;
}

bool emulate_register(const void *kernel)
{
    kernels()[kernel] = {nullptr, 0, UNASKED, 0, 0, 0, 0};
    return true;
}

/* A file of which this process has code, for as long as it runs. */
static const char *map_file(const char *path)
{
    struct stat about;
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && fstat(file, &about) == 0, "%s: cannot be read for its symbols", path);
    void *bytes = mmap(nullptr, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(bytes != MAP_FAILED, "%s: cannot be mapped for its symbols", path);
    close(file);
    return (const char *)bytes;
}

/* Calls visit(symbol, name) for each symbol of an ELF file. */
template <typename F> static void each_symbol(const char *file, F visit)
{
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + elf->e_shoff);
    for (int i = 0; i < elf->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const char *names = file + sections[sections[i].sh_link].sh_offset;
        const Elf64_Sym *symbol = (const Elf64_Sym *)(file + sections[i].sh_offset);
        for (size_t n = sections[i].sh_size / sizeof *symbol; n > 0; n--, symbol++)
            visit(*symbol, names + symbol->st_name);
    }
}

/* Gives every kernel its symbol and the bytes of its static shared memory. */
static void read_symbols()
{
    Dl_info self;
    CHECK(dladdr((const void *)&emulate_register, &self), "the plug-in does not find itself");
    const char *file = map_file(self.dli_fname);
    each_symbol(file, [&](const Elf64_Sym &symbol, const char *name) {
        auto kernel = kernels().find((char *)self.dli_fbase + symbol.st_value);
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && kernel != kernels().end())
            kernel->second.symbol = name;
    });
    std::map<std::string, size_t> variables;
    each_symbol(file, [&](const Elf64_Sym &symbol, const char *name) {
        if (ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT && strncmp(name, "_ZZ", 3) == 0)
            variables[name] = symbol.st_size;
    });
    for (auto &kernel : kernels()) {
        CHECK(kernel.second.symbol, "%s: a kernel without a symbol; do not strip it",
              self.dli_fname);
        std::string inside = std::string("_ZZ") + (kernel.second.symbol + 2) + "E";
        for (auto at = variables.lower_bound(inside);
             at != variables.end() && at->first.compare(0, inside.size(), inside) == 0; at++)
            kernel.second.static_shared += at->second;
        kernel.second.dynamic_shared = UNASKED - kernel.second.static_shared;
    }
}

EmulatedKernel *emulate_kernel(const void *kernel)
{
    static std::once_flag read;
    std::call_once(read, read_symbols);
    auto found = kernels().find(kernel);
    CHECK(found != kernels().end(), "a kernel that was not registered");
    return &found->second;
}

void emulate_list_kernels()
{
    const char *path = getenv("CAMBIUM_EMULATE_KERNELS");
    if (!path)
        return;
    FILE *file = fopen(path, "w");
    CHECK(file, "%s: cannot be written", path);
    for (auto &kernel : kernels())
        fprintf(file, "%s\n", emulate_kernel(kernel.first)->symbol);
    fclose(file);
}

/* ---- what the driver says and allows --------------------------------------------------------- */

void emulate_capability(int *major, int *minor)
{
    const char *text = getenv("CAMBIUM_EMULATE_CAPABILITY");
    CHECK(sscanf(text ? text : "9.0", "%d.%d", major, minor) == 2,
          "CAMBIUM_EMULATE_CAPABILITY=%s: give it as 8.6", text);
}

/* The CUDA programming guide's table of technical specifications. */
size_t emulate_shared_most()
{
    int major, minor;
    emulate_capability(&major, &minor);
    switch (major * 10 + minor) {
    case 75:
        return 64 * 1024;
    case 80:
    case 87:
        return 163 * 1024;
    case 86:
    case 89:
    case 120:
    case 121:
        return 99 * 1024;
    }
    return 227 * 1024;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function)
{
    const EmulatedKernel *kernel = emulate_kernel(function);
    *attributes = {kernel->static_shared, (int)kernel->dynamic_shared};
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute, int value)
{
    EmulatedKernel *kernel = emulate_kernel(function);
    if (value < 0 || kernel->static_shared + (size_t)value > emulate_shared_most())
        return cudaErrorInvalidValue;
    kernel->dynamic_shared = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char **name, const void *function)
{
    *name = emulate_kernel(function)->symbol;
    return cudaSuccess;
}
