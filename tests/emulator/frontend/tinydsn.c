/*
 * Analysis and synthesis with a mask that is made of the features and the frame's number, so that an error in
 * either is heard; the gate word is a hash of the features.
 */
#include "tinydsn.h"

#include <string.h>

struct tinydsn {
    uint32_t hash, frame, unused[2];
    tinydsn_frontend_t state __attribute__((aligned(16)));
    int32_t spectrum[TINYDSN_FRONTEND_WINDOW] __attribute__((aligned(16)));
    int16_t features[TINYDSN_FRONTEND_BINS], mask[TINYDSN_FRONTEND_BINS];
};

typedef char size_is_as_stated[sizeof(tinydsn_t) == TINYDSN_CONTEXT_BYTES ? 1 : -1];

size_t tinydsn_size(void)
{
    return sizeof(tinydsn_t);
}

tinydsn_t *tinydsn_init(void *memory)
{
    tinydsn_t *ctx = memset(memory, 0, sizeof(tinydsn_t));
    tinydsn_frontend_reset(&ctx->state);
    return ctx;
}

void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value)
{
    (void)ctx, (void)mask, (void)value;
}

uint32_t tinydsn_gates(const tinydsn_t *ctx)
{
    return ctx->hash;
}

/* By the frame's number: a constant (open, closed, most negative), tiny gains, or any. */
static int16_t gain(uint32_t frame, uint32_t line, int16_t feature)
{
    static const int16_t constants[3] = { 32767, 0, -32768 };
    const uint32_t any = ((uint32_t)(uint16_t)feature + 40503u * line + frame) * 2654435761u;
    if (frame % 8u < 3u) {
        return constants[frame % 8u];
    }
    return frame % 8u == 3u ? (int16_t)(any >> 31) : (int16_t)(any >> (frame % 8u == 4u ? 16 : 17));
}

void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out)
{
    tinydsn_frontend_analysis(&ctx->state, in, ctx->features, ctx->spectrum);
    ctx->hash = 2166136261u;
    for (uint32_t line = 0; line < TINYDSN_FRONTEND_BINS; line++) {
        ctx->hash = (ctx->hash ^ (uint16_t)ctx->features[line]) * 16777619u;
        ctx->mask[line] = gain(ctx->frame, line, ctx->features[line]);
    }
    tinydsn_frontend_synthesis(&ctx->state, ctx->mask, out, ctx->spectrum);
    ctx->frame++;
}
