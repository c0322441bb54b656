/* A small interpreter that counts down from n: a switch in a loop, as in virtual machines and parsers. */
#include "run.h"

enum { STOP, LOAD, ADD, XOR, ROTATE, DECREMENT, JUMP_IF, STORE };
static u32 cells[4];

RUN(n) {
    static const u8 program[] = {LOAD, 0, ADD, 1, XOR, 2, ROTATE, 3, STORE, 0, LOAD, 3, DECREMENT, 0, STORE, 3, JUMP_IF, 0, STOP, 0};
    cells[0] = 1, cells[1] = 7, cells[2] = 0x5bd1e995, cells[3] = n;
    u32 value = 0;
    for (const volatile u8 *at = program;;) {
        u8 what = at[0], operand = at[1];
        at += 2;
        switch (what) {
        case LOAD: value = cells[operand]; break;
        case ADD: value += cells[operand]; break;
        case XOR: value ^= cells[operand]; break;
        case ROTATE: value = value << operand | value >> (32 - operand); break;
        case DECREMENT: value--; break;
        case STORE: cells[operand] = value; break;
        case JUMP_IF: if (value) at = program + operand; break;
        default: return cells[0];
        }
    }
}
