/*
 * out = in + gate word + frame number; unless forced, the gate word is the first sample's low bits.
 *
 * The operators are loops in assembly with counts that are known: see the numbers beside them.
 */
#include "tinydsn.h"

#include <string.h>

#ifndef TIMES
#define TIMES "100"
#endif

struct tinydsn {
    uint32_t gates, mask, value, frame;
    uint32_t unused[4];
};

#ifdef __arm__
/* 1 + 3 * TIMES + 1 instructions. */
__attribute__((naked, noinline)) void tinydsn_op_000_loop(void)
{
    __asm volatile("movw r3, #" TIMES "\n"
                   "1: nop\n"
                   "subs r3, r3, #1\n"
                   "bne 1b\n"
                   "bx lr\n");
}

/* A helper that the next operator calls: 2 instructions. */
__attribute__((naked, noinline, used)) void helper(void)
{
    __asm volatile("nop\n"
                   "bx lr\n");
}

/* push, mov, 10 * (bl, helper's 2, subs, bne), pop: 3 + 10 * 5 instructions. */
__attribute__((naked, noinline)) void tinydsn_op_001_calls(void)
{
    __asm volatile("push {r4, lr}\n"
                   "mov r4, #10\n"
                   "1: bl helper\n"
                   "subs r4, r4, #1\n"
                   "bne 1b\n"
                   "pop {r4, pc}\n");
}

/* An IT block of which nothing is carried out: cmp, it, 1 skipped, bx: 4 instructions. */
__attribute__((naked, noinline)) void tinydsn_op_002_skipped(void)
{
    __asm volatile("cmp sp, #0\n"
                   "it eq\n"
                   "moveq r3, #1\n"
                   "bx lr\n");
}
/* Not an operator: its 3 instructions belong to the runtime, to which the operators' counts do not leak. */
__attribute__((naked, noinline, used)) void known_part(void)
{
    __asm volatile("nop\n"
                   "nop\n"
                   "bx lr\n");
}
#else
static void known_part(void)
{
}
static void tinydsn_op_000_loop(void)
{
}
static void tinydsn_op_001_calls(void)
{
}
static void tinydsn_op_002_skipped(void)
{
}
#endif

size_t tinydsn_size(void)
{
    return sizeof(tinydsn_t);
}

tinydsn_t *tinydsn_init(void *memory)
{
    return memset(memory, 0, sizeof(tinydsn_t));
}

void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value)
{
    ctx->mask = mask;
    ctx->value = value;
}

uint32_t tinydsn_gates(const tinydsn_t *ctx)
{
    return ctx->gates;
}

void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out)
{
    volatile uint32_t on_stack[64];
    on_stack[0] = (uint32_t)in[0] & 7u;
    ctx->gates = (on_stack[0] & ~ctx->mask) | (ctx->value & ctx->mask & 7u);
    tinydsn_op_000_loop();
    if (ctx->gates & 1u) {
        tinydsn_op_001_calls();
    }
    tinydsn_op_002_skipped();
    for (int i = 0; i < TINYDSN_HOP; i++) {
        out[i] = (int16_t)(in[i] + (int)ctx->gates + (int)ctx->frame);
    }
    ctx->frame++;
    known_part();
}
