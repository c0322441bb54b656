/* n multiplications of 256 bits in Montgomery's form, modulo the prime of the curve alt_bn128: 64-bit products. */
#include "run.h"

enum { LIMBS = 8 };
static const u32 P[LIMBS] = {
    0xd87cfd47, 0x3c208c16, 0x6871ca8d, 0x97816a91, 0x8181585d, 0xb85045b6, 0xe131a029, 0x30644e72,
};
static const u32 INVERSE = 0xe4866389; /* -1 / p modulo 2^32 */

static __attribute__((noinline)) void multiply(u32 *out, const u32 *a, const u32 *b) {
    u32 t[LIMBS + 2] = {0};
    for (int i = 0; i < LIMBS; i++) {
        u64 carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            carry += (u64)a[j] * b[i] + t[j];
            t[j] = (u32)carry;
            carry >>= 32;
        }
        carry += t[LIMBS];
        t[LIMBS] = (u32)carry;
        t[LIMBS + 1] = (u32)(carry >> 32);
        u32 factor = t[0] * INVERSE;
        carry = ((u64)factor * P[0] + t[0]) >> 32;
        for (int j = 1; j < LIMBS; j++) {
            carry += (u64)factor * P[j] + t[j];
            t[j - 1] = (u32)carry;
            carry >>= 32;
        }
        carry += t[LIMBS];
        t[LIMBS - 1] = (u32)carry;
        t[LIMBS] = t[LIMBS + 1] + (u32)(carry >> 32);
    }
    u32 reduced[LIMBS];
    u64 borrow = 0;
    for (int j = 0; j < LIMBS; j++) {
        u64 difference = (u64)t[j] - P[j] - borrow;
        reduced[j] = (u32)difference;
        borrow = difference >> 63;
    }
    for (int j = 0; j < LIMBS; j++) out[j] = t[LIMBS] || !borrow ? reduced[j] : t[j];
}

RUN(n) {
    u32 a[LIMBS], b[LIMBS];
    for (u32 i = 0; i < LIMBS; i++) a[i] = i + 1, b[i] = 8 - i;
    for (u32 i = 0; i < n; i++) multiply(a, a, b);
    return a[0] ^ a[7];
}
