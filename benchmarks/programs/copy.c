/* n times 4 KiB set and copied byte by byte, as tool chains without bulk memory do: the shortest loops. */
#include "run.h"

static u8 source[4096], target[4096];

static __attribute__((noinline)) void set(volatile u8 *to, u8 value, u32 size) {
    while (size--) *to++ = value;
}

static __attribute__((noinline)) void copy(volatile u8 *to, const u8 *from, u32 size) {
    while (size--) *to++ = *from++;
}

RUN(n) {
    u32 sum = 0;
    for (u32 i = 0; i < n; i++) {
        set(source, (u8)i, sizeof source);
        copy(target, source, sizeof target);
        sum = sum * 31 + target[i % sizeof target];
    }
    return sum;
}
