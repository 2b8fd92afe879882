/*
 * Depthwise convolution with packed weights of 2 to 7 bits; the kernel is tinydsn_depthwise_s8.
 *
 * Where TINYDSN_INTERLEAVED that one reads int16 weights: they are unpacked into the second half of the
 * buffer, from where they are widened to its start.
 */
#include "tinydsn_packed.h"

void tinydsn_depthwise_s8_packed(const tinydsn_packed *packed, const tinydsn_window *window,
                                  int32_t input_offset, const int8_t *input, void *scratch, int8_t *output)
{
    tinydsn_matrix matrix = *packed->matrix;
    const int32_t count = packed->weights;
    int8_t *const weights = (int8_t *)scratch + (TINYDSN_INTERLEAVED ? count : 0);
    packed->unpack((const uint8_t *)matrix.weights, count, weights);
#if TINYDSN_INTERLEAVED
    int16_t *const wide = scratch;
    for (int32_t i = 0; i < count; i++) {
        const int16_t value = weights[i];
        memcpy(wide + i, &value, sizeof value);
    }
#endif
    int32_t *const scales = (int32_t *)(void *)((uint8_t *)scratch + packed->scales_place);
    tinydsn_unpack_scales_s8(packed->scales, matrix.channels, 0, matrix.channels, scales);
    matrix.weights = scratch;
    matrix.scales = scales;
    tinydsn_depthwise_s8(&matrix, window, input_offset, input, output);
}
