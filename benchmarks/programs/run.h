/* What the programs share: types, and the fixture contracts' own code, of which only `run` is kept. */
#ifndef RUN_H
#define RUN_H
#include "../../fixtures/abi.h"

#define RUN(n) __attribute__((export_name("run"))) u32 run(u32 n)

/* A cheap generator of test data (Marsaglia's xorshift, 32 bits). */
static inline u32 scramble(u32 x) {
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}
#endif
