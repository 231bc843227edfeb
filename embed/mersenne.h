/* The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998) as Python and NumPy seed and read
 * it. The published recipes draw their rotation and shift from Python's random.seed(42) and their
 * noise from numpy.random.seed(42), so reproducing them needs this generator. Nothing else should
 * use it: core/base/rng.h is the program's own. One Mersenne per thread. */
#ifndef CAMBIUM_EMBED_MERSENNE_H
#define CAMBIUM_EMBED_MERSENNE_H

#include <stdint.h>

enum { MERSENNE_WORDS = 624 };

typedef struct Mersenne {
    uint32_t state[MERSENNE_WORDS];
    int next; /* index of the next word to hand out */
} Mersenne;

void mersenne_seed_numpy(Mersenne *mt, uint32_t seed);  /* numpy.random.seed(seed) */
void mersenne_seed_python(Mersenne *mt, uint32_t seed); /* random.seed(seed) */
uint32_t mersenne_u32(Mersenne *mt);

/* Uniform in [0, 1), 53 bits: random.random() and numpy.random.rand() alike. */
double mersenne_unit(Mersenne *mt);

/* random.uniform(low, high) and random.randint(low, high), both ends included. */
double mersenne_uniform(Mersenne *mt, double low, double high);
int mersenne_int(Mersenne *mt, int low, int high);

#endif
