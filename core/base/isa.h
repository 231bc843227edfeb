/* The instruction set that kernels run with. Files in a folder named isa/ are compiled once per
 * entry; whoever calls them asks cpu_isa() which one to take. */
#ifndef CAMBIUM_CORE_BASE_ISA_H
#define CAMBIUM_CORE_BASE_ISA_H

/* Each includes those before it, so that comparisons with < make sense. */
typedef enum Isa { ISA_GENERIC, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16 } Isa;

enum { ISA_COUNT = ISA_AVX512BF16 + 1 };

/* The best instruction set of this machine, or a lower one named by the environment variable
 * CAMBIUM_ISA. A name that is unknown or too high for the machine is warned about once and the best
 * is taken. Thread-safe. */
Isa cpu_isa(void);

/* Takes another instruction set from now on, so that tests compare all of them in one process.
 * Must not be above isa_best(). */
void isa_set(Isa isa);

Isa isa_best(void); /* what the machine has, whatever the environment says */
const char *isa_name(Isa isa);

/* In files of isa/ folders: ISA_SYMBOL(gemm) is gemm_avx2 and so on. */
#define ISA_SYMBOL(name) ISA_PASTE(name, ISA)
#define ISA_PASTE(name, isa) ISA_PASTE_(name, isa)
#define ISA_PASTE_(name, isa) name##_##isa

#endif
