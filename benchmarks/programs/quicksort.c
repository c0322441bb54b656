/* Sort 8,192 numbers n times: loads, stores and branches that depend on data. */
#include "run.h"
#include "../../fixtures/quicksort.c"

RUN(n) {
    u32 x = 1, sum = 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 j = 0; j < CAPACITY; j++) numbers[j] = x = scramble(x);
        sort(numbers, numbers + CAPACITY - 1);
        sum = sum * 31 + numbers[i % CAPACITY];
    }
    return sum;
}
