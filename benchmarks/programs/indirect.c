/* n indirect calls of tiny functions. */
#include "run.h"

typedef u32 step(u32);
static u32 add(u32 x) { return x + 7; }
static u32 triple(u32 x) { return x * 3; }
static u32 flip(u32 x) { return x ^ 0x5bd1e995; }
static u32 turn(u32 x) { return x << 5 | x >> 27; }
static step *volatile const STEPS[4] = {add, triple, flip, turn};

RUN(n) {
    u32 x = 1;
    for (u32 i = 0; i < n; i++) x = STEPS[x >> 3 & 3](x) + i;
    return x;
}
