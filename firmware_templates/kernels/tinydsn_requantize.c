/*
 * TFLite's QUANTIZE between integer types and scales. Inputs and their zero points have at most 17 bits, so that
 * all left shifts below 15 are quick. Where TINYDSN_INTERLEAVED four at a time: int8 by a line (tinydsn_affine.h),
 * int16 to int8 by TFLite's two roundings, of one product.
 */
#include "tinydsn_affine.h"
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

#if TINYDSN_INTERLEAVED

/* Four values of a line. */
static inline void on_line(const tinydsn_scale *scale, const int8_t *input, int32_t values[4])
{
    const uint32_t word = tinydsn_load32(input);
    const uint32_t even = tinydsn_even_uppers(word), odd = tinydsn_odd_uppers(word);
    values[0] = tinydsn_smlawb(scale->factor, even, scale->constant);
    values[1] = tinydsn_smlawb(scale->factor, odd, scale->constant);
    values[2] = tinydsn_smlawt(scale->factor, even, scale->constant);
    values[3] = tinydsn_smlawt(scale->factor, odd, scale->constant);
}

static inline int32_t quick_s8_s8(const tinydsn_scale *scale, const int8_t *input, int32_t size, int8_t *output)
{
    const tinydsn_scale copy = *scale;
    const int32_t whole = copy.line ? size & ~3 : 0;
    for (const int8_t *const end = input + whole; input < end; input += 4) {
        int32_t values[4];
        on_line(&copy, input, values);
        tinydsn_store32(output, tinydsn_four_bytes(tinydsn_line_s8(values[0]), tinydsn_line_s8(values[1]),
                                                   tinydsn_line_s8(values[2]), tinydsn_line_s8(values[3])));
        output += 4;
    }
    return whole;
}

static inline int32_t quick_s8_s16(const tinydsn_scale *scale, const int8_t *input, int32_t size, int16_t *output)
{
    const tinydsn_scale copy = *scale;
    const int32_t whole = copy.line ? size & ~3 : 0;
    for (const int8_t *const end = input + whole; input < end; input += 4) {
        int32_t values[4];
        on_line(&copy, input, values);
        tinydsn_store32(output, tinydsn_pair(tinydsn_line_s16(values[0]), tinydsn_line_s16(values[1])));
        tinydsn_store32(output + 2, tinydsn_pair(tinydsn_line_s16(values[2]), tinydsn_line_s16(values[3])));
        output += 4;
    }
    return whole;
}

/* power: -2^(32 - right), where right are the bits of the second rounding, 1..32. */
static inline int32_t rounded_twice(int32_t product, int32_t power, int32_t offset)
{
    return tinydsn_saturate8(tinydsn_smmlsr((product >> 15) + (product >> 31), power, offset));
}

static inline int32_t quick_s16_s8(const tinydsn_scale *scale, const int16_t *input, int32_t size, int8_t *output)
{
    const int32_t multiplier = scale->multiplier, offset = scale->output_offset, whole = scale->line ? size & ~3 : 0;
    const int32_t power = scale->line ? (int32_t)(0u - (1u << (32 + scale->shift))) : 0;
    for (const int16_t *const end = input + whole; input < end; input += 4) {
        const uint32_t first = tinydsn_load32(input), second = tinydsn_load32(input + 2);
        const int32_t value0 = rounded_twice(tinydsn_smlawb(multiplier, first, 1 << 14), power, offset);
        const int32_t value1 = rounded_twice(tinydsn_smlawt(multiplier, first, 1 << 14), power, offset);
        const int32_t value2 = rounded_twice(tinydsn_smlawb(multiplier, second, 1 << 14), power, offset);
        const int32_t value3 = rounded_twice(tinydsn_smlawt(multiplier, second, 1 << 14), power, offset);
        tinydsn_store32(output, tinydsn_four_bytes(value0, value1, value2, value3));
        output += 4;
    }
    return whole;
}

#else
#define quick_s8_s8(scale, input, size, output) 0
#define quick_s8_s16(scale, input, size, output) 0
#define quick_s16_s8(scale, input, size, output) 0
#endif

void tinydsn_requantize_s8_s8(const tinydsn_scale *scale, const int8_t *input, int32_t size, int8_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = quick_s8_s8(scale, input, size, output); i < size; i++) {
        output[i] = (int8_t)tinydsn_saturate8(rescale(scale, &how, input[i]));
    }
}

void tinydsn_requantize_s8_s16(const tinydsn_scale *scale, const int8_t *input, int32_t size,
                               int16_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = quick_s8_s16(scale, input, size, output); i < size; i++) {
        output[i] = (int16_t)tinydsn_saturate16(rescale(scale, &how, input[i]));
    }
}

void tinydsn_requantize_s16_s8(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                               int8_t *output)
{
    const tinydsn_rescaling how = rescaling_of(scale);
    for (int32_t i = quick_s16_s8(scale, input, size, output); i < size; i++) {
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
