/* n transfers between 1,024 accounts, balances of 256 bits in a hash map in memory: what an ERC-20 does without a host. */
#include "run.h"

enum { SLOTS = 2048, ACCOUNTS = 1024 };
struct entry {
    u32 used, owner[5];
    u32 balance[8];
};
static struct entry map[SLOTS];

static void ownerOf(u32 number, u32 *owner) {
    for (int i = 0; i < 5; i++) owner[i] = number = scramble(number + 0x9e3779b9);
}

/* Find an account's entry, or make one (FNV-1a over the bytes, linear probing). */
static __attribute__((noinline)) struct entry *find(const u32 *owner) {
    u32 hash = 0x811c9dc5;
    for (u32 i = 0; i < 20; i++) hash = (hash ^ ((const u8 *)owner)[i]) * 0x01000193;
    for (u32 at = hash % SLOTS;; at = (at + 1) % SLOTS) {
        struct entry *entry = &map[at];
        if (!entry->used) {
            entry->used = 1;
            for (int i = 0; i < 5; i++) entry->owner[i] = owner[i];
            return entry;
        }
        int same = 1;
        for (int i = 0; i < 5 && same; i++) same = entry->owner[i] == owner[i];
        if (same) return entry;
    }
}

static int below(const u32 *a, const u32 *b) {
    for (int i = 7; i >= 0; i--)
        if (a[i] != b[i]) return a[i] < b[i];
    return 0;
}

static __attribute__((noinline)) int transfer(const u32 *from, const u32 *to, const u32 *amount) {
    struct entry *payer = find(from);
    if (below(payer->balance, amount)) return 0;
    u64 borrow = 0, carry = 0;
    for (int i = 0; i < 8; i++) {
        u64 difference = (u64)payer->balance[i] - amount[i] - borrow;
        payer->balance[i] = (u32)difference;
        borrow = difference >> 63;
    }
    struct entry *payee = find(to);
    for (int i = 0; i < 8; i++) {
        carry += (u64)payee->balance[i] + amount[i];
        payee->balance[i] = (u32)carry;
        carry >>= 32;
    }
    return 1;
}

RUN(n) {
    for (u32 i = 0; i < sizeof map / 4; i++) ((volatile u32 *)map)[i] = 0;
    u32 from[5], to[5], amount[8] = {0}, x = 1, done = 0;
    for (u32 i = 0; i < ACCOUNTS; i++) {
        ownerOf(i, from);
        find(from)->balance[0] = 1000000;
    }
    for (u32 i = 0; i < n; i++) {
        x = scramble(x);
        ownerOf(x % ACCOUNTS, from);
        ownerOf((x >> 16) % ACCOUNTS, to);
        amount[0] = x >> 11;
        done += (u32)transfer(from, to, amount);
    }
    return done;
}
