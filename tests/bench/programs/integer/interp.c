// SPDX-License-Identifier: MIT
// An interpreter of a small stack language: an indirect jump for each operation, with changing
// targets.
#include "../bench.h"

enum Op { push, add, sub, mul, dup, swap, dec, jump_unless_zero, halt };

// n rounds of x = x - (3 * x + 7), over a counter.
static const uint8_t kCode[] = {
    swap, dup, push, 3, mul, push, 7, add, sub, swap, dec, jump_unless_zero, 0, halt};

static uint32_t interpret(uint32_t rounds) {
    static const void* const kHandlers[] = {
        &&push, &&add, &&sub, &&mul, &&dup, &&swap, &&dec, &&jump_unless_zero, &&halt};
    uint32_t stack[16] = {12345, rounds};
    uint32_t* top = stack + 1;
    const uint8_t* pc = kCode;
#define NEXT goto* kHandlers[*pc++]
    NEXT;
push:
    *++top = *pc++;
    NEXT;
add:
    top--;
    top[0] += top[1];
    NEXT;
sub:
    top--;
    top[0] -= top[1];
    NEXT;
mul:
    top--;
    top[0] *= top[1];
    NEXT;
dup:
    top[1] = top[0];
    top++;
    NEXT;
swap : {
    const uint32_t t = top[0];
    top[0] = top[-1];
    top[-1] = t;
    NEXT;
}
dec:
    top[0]--;
    NEXT;
jump_unless_zero:
    pc = top[0] != 0 ? kCode + *pc : pc + 1;
    NEXT;
halt:
    return top[-1];
#undef NEXT
}

uint32_t run(unsigned percent) {
    return interpret(scaled(4000000, percent));
}
