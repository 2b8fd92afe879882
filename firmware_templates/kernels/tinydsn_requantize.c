/*
 * TFLite's QUANTIZE between integer types and scales. Inputs and their zero points have at most 17 bits, so that
 * all left shifts below 15 are quick.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_rescale.h"

static inline int32_t rescale(const tinydsn_scale *scale, const tinydsn_rescaling *how, int32_t input)
{
    if (scale->shift < 15) {
        return tinydsn_rescaled(how, input) + scale->output_offset;
    }
    return tinydsn_requantize(input + scale->input_offset, scale->multiplier, scale->shift) + scale->output_offset;
}

static inline tinydsn_rescaling rescaling_of(const tinydsn_scale *scale)
{
    const int32_t shift = scale->shift < 15 ? scale->shift : 0;
    return tinydsn_rescaling_of(scale->input_offset, 0, scale->multiplier, shift);
}

void tinydsn_requantize_s8_s8(const tinydsn_scale *scale, const int8_t *input, int32_t size, int8_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)tinydsn_saturate8(rescale(scale, &how, input[i]));
    }
}

void tinydsn_requantize_s8_s16(const tinydsn_scale *scale, const int8_t *input, int32_t size,
                               int16_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_saturate16(rescale(scale, &how, input[i]));
    }
}

void tinydsn_requantize_s16_s8(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                               int8_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)tinydsn_saturate8(rescale(scale, &how, input[i]));
    }
}

void tinydsn_requantize_s16_s16(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                                int16_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_saturate16(rescale(scale, &how, input[i]));
    }
}
