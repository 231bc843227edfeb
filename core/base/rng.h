/* Random numbers from an explicit, saveable state: xoshiro256** (Blackman and Vigna, 2018), seeded
 * by splitmix64. The same seed gives the same numbers on every machine. One Rng per thread. */
#ifndef CAMBIUM_CORE_BASE_RNG_H
#define CAMBIUM_CORE_BASE_RNG_H

#include <stdint.h>

typedef struct Rng {
    uint64_t state[4]; /* plain data: a checkpoint stores these 32 bytes */
} Rng;

/* `stream` separates independent sequences of one seed (a rank, a parameter, a purpose). */
void rng_init(Rng *rng, uint64_t seed, uint64_t stream);
uint64_t rng_u64(Rng *rng);
int64_t rng_below(Rng *rng, int64_t n); /* uniform in [0, n), without modulo bias */
double rng_uniform(Rng *rng);           /* uniform in [0, 1), 53 bits */
double rng_normal(Rng *rng);            /* mean 0, variance 1 (Box-Muller, one value per call) */
uint64_t hash_mix64(uint64_t x);        /* splitmix64's finaliser: a good mix of one word */

#endif
