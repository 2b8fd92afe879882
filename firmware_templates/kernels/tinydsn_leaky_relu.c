/*
 * TFLite's LEAKY_RELU: one factor for values from zero up, another below.
 */
#include "tinydsn_kernels.h"

static inline int32_t leak(const tinydsn_leaky_relu *leaky, int32_t input, int32_t low, int32_t high)
{
    const int32_t value = input + leaky->input_offset;
    const int32_t scaled = value >= 0
                               ? tinydsn_requantize(value, leaky->multiplier_identity, leaky->shift_identity)
                               : tinydsn_requantize(value, leaky->multiplier_alpha, leaky->shift_alpha);
    return tinydsn_clamp(scaled + leaky->output_offset, low, high);
}

void tinydsn_leaky_relu_s8(const tinydsn_leaky_relu *leaky, const int8_t *input, int32_t size,
                           int8_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)leak(leaky, input[i], INT8_MIN, INT8_MAX);
    }
}

void tinydsn_leaky_relu_s16(const tinydsn_leaky_relu *leaky, const int16_t *input, int32_t size,
                            int16_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)leak(leaky, input[i], INT16_MIN, INT16_MAX);
    }
}
