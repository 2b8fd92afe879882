/* Context and frame of tiny. Generated; do not edit. */
#include "tinydsn.h"
#include "tinydsn_internal.h"
#include "tinydsn_weights.h"

typedef char context_bytes_are_right[sizeof(tinydsn_t) == TINYDSN_CONTEXT_BYTES ? 1 : -1];

/* Whether a gated region runs: the model's decision unless the gate is forced. Notes it in the gate word. */
static inline int take(tinydsn_t *ctx, uint32_t gate, int decision)
{
    const uint32_t bit = UINT32_C(1) << gate;
    if (ctx->forced_mask & bit) {
        decision = (ctx->forced_value & bit) != 0;
    }
    ctx->gates = decision ? ctx->gates | bit : ctx->gates & ~bit;
    return decision;
}

size_t tinydsn_size(void)
{
    return sizeof(tinydsn_t);
}

tinydsn_t *tinydsn_init(void *memory)
{
    tinydsn_t *ctx = memory;
    if (memory == NULL || (uintptr_t)memory % TINYDSN_ALIGNMENT != 0) {
        return NULL;
    }
    memset(ctx, 0, sizeof *ctx);
    tinydsn_reset(ctx);
    return ctx;
}

void tinydsn_reset(tinydsn_t *ctx)
{
    ctx->gates = 0;
    memset(ctx->states, 0, sizeof ctx->states);
}

void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out)
{
    memcpy(tensor_x(ctx), in, TINYDSN_HOP * sizeof *in);
    tinydsn_op_000_mix(ctx);
    *tensor_gate(ctx) = tensor_a(ctx)[3] + ctx->bias > 100;
    /* layer */
    if (take(ctx, 0, *tensor_gate(ctx))) {
        tinydsn_op_002_layer(ctx);
    } else {
        memmove(tensor_y(ctx), tensor_a(ctx), 32);
    }
    memcpy(out, tensor_y(ctx), TINYDSN_HOP * sizeof *out);
}

uint32_t tinydsn_gates(const tinydsn_t *ctx)
{
    return ctx->gates;
}

void tinydsn_set_bias(tinydsn_t *ctx, int16_t bias)
{
    ctx->bias = bias;
}

void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value)
{
    ctx->forced_mask = mask;
    ctx->forced_value = value;
}
