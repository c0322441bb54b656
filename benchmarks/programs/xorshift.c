/* n times 64 steps of a generator, unrolled: straight code without memory. */
#include "run.h"

RUN(n) {
    u64 x = 88172645463325252ull;
    for (u32 i = 0; i < n; i++) {
#pragma unroll
        for (int j = 0; j < 64; j++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
    }
    return (u32)(x ^ x >> 32);
}
