#include "embed/mersenne.h"

enum { MERSENNE_MIDDLE = 397 };

static void seed_words(Mersenne *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (int i = 1; i < MERSENNE_WORDS; i++) {
        uint32_t before = mt->state[i - 1];
        mt->state[i] = 1812433253u * (before ^ (before >> 30)) + (uint32_t)i;
    }
    mt->next = MERSENNE_WORDS;
}

void mersenne_seed_numpy(Mersenne *mt, uint32_t seed)
{
    seed_words(mt, seed);
}

/* Python seeds through init_by_array with the integer's 32-bit words as the key: here one word. */
void mersenne_seed_python(Mersenne *mt, uint32_t seed)
{
    seed_words(mt, 19650218u);
    uint32_t *state = mt->state;
    int i = 1;
    for (int k = 0; k < MERSENNE_WORDS; k++) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1664525u)) + seed;
        if (++i == MERSENNE_WORDS) {
            state[0] = state[MERSENNE_WORDS - 1];
            i = 1;
        }
    }
    for (int k = 0; k < MERSENNE_WORDS - 1; k++) {
        uint32_t mixed = (state[i - 1] ^ (state[i - 1] >> 30)) * 1566083941u;
        state[i] = (state[i] ^ mixed) - (uint32_t)i;
        if (++i == MERSENNE_WORDS) {
            state[0] = state[MERSENNE_WORDS - 1];
            i = 1;
        }
    }
    state[0] = 0x80000000u;
}

static void refill(Mersenne *mt)
{
    uint32_t *state = mt->state;
    for (int i = 0; i < MERSENNE_WORDS; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % MERSENNE_WORDS] & 0x7fffffffu);
        uint32_t twist = (y & 1) ? 0x9908b0dfu : 0;
        state[i] = state[(i + MERSENNE_MIDDLE) % MERSENNE_WORDS] ^ (y >> 1) ^ twist;
    }
    mt->next = 0;
}

uint32_t mersenne_u32(Mersenne *mt)
{
    if (mt->next == MERSENNE_WORDS)
        refill(mt);
    uint32_t y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double mersenne_unit(Mersenne *mt)
{
    uint32_t high = mersenne_u32(mt) >> 5, low = mersenne_u32(mt) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

double mersenne_uniform(Mersenne *mt, double low, double high)
{
    return low + (high - low) * mersenne_unit(mt);
}

/* Python takes the top bits of a word and draws again while they are out of range. */
int mersenne_int(Mersenne *mt, int low, int high)
{
    uint32_t range = (uint32_t)(high - low) + 1;
    int bits = 32 - __builtin_clz(range);
    uint32_t drawn;
    do
        drawn = mersenne_u32(mt) >> (32 - bits);
    while (drawn >= range);
    return low + (int)drawn;
}
