/* n compressions of SHA-256, chained: 32-bit arithmetic. */
#include "run.h"
#include "../../fixtures/sha256.c"

RUN(n) {
    static u8 block[BLOCK];
    for (u32 i = 0; i < 8; i++) state[i] = i + 1;
    for (u32 i = 0; i < n; i++) {
        block[0] = (u8)i;
        compress(block);
    }
    return state[0] ^ state[7];
}
