/* Count the primes below 500,000 n times: short loops over memory. */
#include "run.h"
#include "../../fixtures/sieve.c"

RUN(n) {
    u32 sum = 0;
    for (u32 i = 0; i < n; i++) {
        for (u32 j = 0; j < sizeof composite; j++) composite[j] = 0;
        sum += countPrimes(GREATEST);
    }
    return sum;
}
