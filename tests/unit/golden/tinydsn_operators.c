/*
 * The operators of tiny, one function each, in the order of execution. Generated; do not edit.
 *
 * They are kept out of line so that instructions can be counted by symbol.
 */
#include "tinydsn_internal.h"
#include "tinydsn_kernels.h"
#include "tinydsn_weights.h"

/*
 * mix: add
 *     in   x: int16 [1, 16], scale 3.0517578e-05
 *     in   old: int16 [1, 16], scale 3.0517578e-05
 *     out  a: int16 [1, 16], scale 3.0517578e-05
 *     from net.py:5
 */
TINYDSN_NOINLINE void tinydsn_op_000_mix(tinydsn_t *ctx)
{
    tinydsn_add_s16(tensor_x(ctx), tensor_old(ctx), 16, 16, -32768, 32767, tensor_a(ctx));
    TINYDSN_TRACE_OUTPUT(0, tensor_a(ctx), 32);
}

/*
 * layer: fully_connected
 *     in   a: int16 [1, 16], scale 3.0517578e-05
 *     in   layer.weight: int8 [16, 16]
 *     in   layer.bias: int64 [16]
 *     out  b: int16 [1, 16], scale 3.0517578e-05
 *     from net.py:7
 */
TINYDSN_NOINLINE void tinydsn_op_002_layer(tinydsn_t *ctx)
{
    static const tinydsn_matrix matrix = {
        .columns = 16,
        .channels = 16,
        .activation_min = -32768,
        .activation_max = 32767,
        .weights = tinydsn_layer_weight,
        .rounded = 1,
        .scales = tinydsn_layer_scales,
    };
    tinydsn_fully_connected_s16(&matrix, tensor_a(ctx), 1, 16, NULL, tensor_b(ctx));
    TINYDSN_TRACE_OUTPUT(2, tensor_b(ctx), 32);
}
