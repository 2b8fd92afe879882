/* Memory map of tiny: the context and the place of every tensor in it. Generated; do not edit. */
#ifndef TINYDSN_INTERNAL_H
#define TINYDSN_INTERNAL_H

#include "tinydsn.h"
#include "tinydsn_port.h"

struct tinydsn {
    uint32_t gates;        /* gate word of the last frame */
    uint32_t forced_mask;
    uint32_t forced_value;
    int32_t bias;
    uint8_t states[32] TINYDSN_ALIGNED(8);
    uint8_t arena[40] TINYDSN_ALIGNED(8);
};

/* x: int16 [1, 16], scale 3.0517578e-05 */
#define tensor_x(ctx) ((int16_t *)(void *)((ctx)->arena + 0))
/* old: int16 [1, 16], scale 3.0517578e-05 */
#define tensor_old(ctx) ((int16_t *)(void *)((ctx)->states + 0))
/* a: int16 [1, 16], scale 3.0517578e-05 */
#define tensor_a(ctx) ((int16_t *)(void *)((ctx)->arena + 0))
/* b: int16 [1, 16], scale 3.0517578e-05 */
#define tensor_b(ctx) ((int16_t *)(void *)((ctx)->states + 0))
/* y: int16 [1, 16], scale 3.0517578e-05 */
#define tensor_y(ctx) ((int16_t *)(void *)((ctx)->states + 0))
/* gate: bool [] */
#define tensor_gate(ctx) ((uint8_t *)(void *)((ctx)->arena + 32))

/* For finding the first operator that differs: the program defines what happens with each output. */
#ifdef TINYDSN_TRACE
void tinydsn_trace(uint32_t index, const void *output, uint32_t bytes);
#define TINYDSN_TRACE_OUTPUT(index, output, bytes) tinydsn_trace(index, output, bytes)
#else
#define TINYDSN_TRACE_OUTPUT(index, output, bytes) ((void)0)
#endif

void tinydsn_op_000_mix(tinydsn_t *ctx);
void tinydsn_op_002_layer(tinydsn_t *ctx);

#endif
