/*
 * TFLite's QUANTIZE between integer types and scales.
 */
#include "tinydsn_kernels.h"

static inline int32_t rescale(const tinydsn_scale *scale, int32_t input, int32_t low, int32_t high)
{
    const int32_t scaled = tinydsn_requantize(input + scale->input_offset, scale->multiplier, scale->shift);
    return tinydsn_clamp(scaled + scale->output_offset, low, high);
}

void tinydsn_requantize_s8_s8(const tinydsn_scale *scale, const int8_t *input, int32_t size, int8_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)rescale(scale, input[i], INT8_MIN, INT8_MAX);
    }
}

void tinydsn_requantize_s8_s16(const tinydsn_scale *scale, const int8_t *input, int32_t size,
                               int16_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)rescale(scale, input[i], INT16_MIN, INT16_MAX);
    }
}

void tinydsn_requantize_s16_s8(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                               int8_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)rescale(scale, input[i], INT8_MIN, INT8_MAX);
    }
}

void tinydsn_requantize_s16_s16(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                                int16_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)rescale(scale, input[i], INT16_MIN, INT16_MAX);
    }
}
