/* n permutations Keccak-f[1600], chained: 64-bit arithmetic. */
#include "run.h"
#include "../../fixtures/keccak.c"

RUN(n) {
    for (u32 i = 0; i < LANES; i++) state[i] = i;
    for (u32 i = 0; i < n; i++) permute();
    return (u32)state[0] ^ (u32)(state[24] >> 32);
}
