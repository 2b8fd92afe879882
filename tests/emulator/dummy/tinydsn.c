/*
 * Out is in / 2, plus a count of frames when gate 1 is on. A gate is on when the matching bit of the frame's
 * first sample is set. Each frame runs the loop first sample & 0xFF times, and once more in the callee of an
 * operator; the last operator is a tail call.
 */
#include "tinydsn.h"

#include <string.h>

struct tinydsn {
    uint32_t gates, mask, value, frames;
    int16_t *out;
};

#define NOINLINE __attribute__((noinline))

/* 3 + 2 * count instructions for count > 0, with the return. */
#if defined(__arm__)
__attribute__((naked, noinline)) void known_loop(uint32_t count);
void known_loop(uint32_t count)
{
    (void)count;
    __asm volatile("nop\n1: subs r0, r0, #1\nbne 1b\nnop\nbx lr\n");
}
#else
static void known_loop(uint32_t count)
{
    (void)count;
}
#endif

/* Calls the loop directly: what it costs is known but for the few instructions of the call. */
NOINLINE void tinydsn_op_000_loop(tinydsn_t *ctx)
{
    volatile uint32_t space[64];
    space[0] = ctx->frames;
    known_loop((uint32_t)(uint16_t)ctx->out[0] % 256 + 1);
    known_loop(space[0] + 1);
}

NOINLINE void tinydsn_op_001_count(tinydsn_t *ctx)
{
    for (int i = 0; i < TINYDSN_HOP; i++) {
        ctx->out[i] = (int16_t)(ctx->out[i] + (int16_t)ctx->frames);
    }
}

/* One instruction more than the loop: a tail call (written out, so that it is one without -O2 as well). */
#if defined(__arm__)
__attribute__((naked)) NOINLINE void tinydsn_op_002_tail(tinydsn_t *ctx);
void tinydsn_op_002_tail(tinydsn_t *ctx)
{
    (void)ctx;
    __asm volatile("movs r0, #100\nb known_loop\n");
}
#else
NOINLINE void tinydsn_op_002_tail(tinydsn_t *ctx)
{
    (void)ctx;
}
#endif

void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out)
{
    ctx->gates = (((uint32_t)(uint16_t)in[0] & ~ctx->mask) | (ctx->value & ctx->mask)) & 7u;
    for (int i = 0; i < TINYDSN_HOP; i++) {
        out[i] = (int16_t)(in[i] / 2);
    }
    ctx->out = out;
    out[0] = in[0];
    tinydsn_op_000_loop(ctx);
    out[0] = (int16_t)(in[0] / 2);
    if (ctx->gates & 2u) {
        tinydsn_op_001_count(ctx);
    }
    ctx->frames++;
    tinydsn_op_002_tail(ctx);
}

size_t tinydsn_size(void)
{
    return sizeof(tinydsn_t);
}

tinydsn_t *tinydsn_init(void *memory)
{
    memset(memory, 0, sizeof(tinydsn_t));
    return memory;
}

void tinydsn_reset(tinydsn_t *ctx)
{
    ctx->frames = 0;
}

uint32_t tinydsn_gates(const tinydsn_t *ctx)
{
    return ctx->gates;
}

void tinydsn_set_bias(tinydsn_t *ctx, int16_t bias)
{
    (void)ctx;
    (void)bias;
}

void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value)
{
    ctx->mask = mask;
    ctx->value = value;
}

#if defined(WITH_SELFTEST)
int32_t tinydsn_selftest(void *memory)
{
    tinydsn_init(memory);
    return WITH_SELFTEST;
}
#endif
