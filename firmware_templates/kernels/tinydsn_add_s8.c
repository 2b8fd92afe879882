/*
 * TFLite's ADD and SUB for int8: both inputs are scaled to one fine scale, combined, and scaled down.
 *
 * The fine scale is half of the coarser input's, so that this input is exact: a shift. That, the other input and
 * the result in their few bits leave room for the roundings in one product each.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_rescale.h"

#define ONE_HALF (1 << 30)

/* A scale of an exact input, and its offset; negative where the input is subtracted. */
typedef struct {
    int32_t factor, offset;
} exact;

static inline exact exact_of(int32_t offset, int32_t left_shift, int32_t sign)
{
    const int32_t factor = sign * (1 << (left_shift - 1));
    return (exact){.factor = factor, .offset = factor * offset};
}

/* sum->left_shift > 0; `sign` is that of the other input. */
static TINYDSN_NOINLINE void quick(const tinydsn_sum_s8 *sum, exact one, const int8_t *input, tinydsn_rescaling two,
                         const int8_t *other, int32_t sign, int32_t count, int8_t *output)
{
    const int32_t multiplier = sum->output_multiplier, shift = -sum->output_shift - 1;
    const int32_t offset = 2 * sum->output_offset + 1;
    for (; count > 0; count--) {
        const int32_t total = tinydsn_mla(*input++, one.factor, one.offset) + sign * tinydsn_rescaled(&two, *other++);
        const int32_t high = tinydsn_smmulr((int32_t)((uint32_t)total << 1), multiplier);
        *output++ = (int8_t)tinydsn_saturate8_half(((high + (high >> 31)) >> shift) + offset);
    }
}

static void any(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t count, int32_t sign,
                int8_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        const int32_t first = (a[i] + sum->offset1) * (1 << sum->left_shift);
        const int32_t second = (b[i] + sum->offset2) * (1 << sum->left_shift);
        const int32_t scaled1 = tinydsn_requantize(first, sum->multiplier1, sum->shift1);
        const int32_t scaled2 = tinydsn_requantize(second, sum->multiplier2, sum->shift2);
        const int32_t result = tinydsn_requantize(scaled1 + sign * scaled2, sum->output_multiplier, sum->output_shift);
        output[i] = (int8_t)tinydsn_saturate8(result + sum->output_offset);
    }
}

static void combine(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t count, int subtract,
                    int8_t *output)
{
    const int32_t sign = subtract ? -1 : 1, left = sum->left_shift;
    const int fits = sum->output_shift < 0 && left > 0 && left <= 21;
    if (fits && sum->multiplier2 == ONE_HALF && sum->shift2 == 0 && sum->shift1 <= 0) {
        const exact one = exact_of(sum->offset2, left, sign);
        quick(sum, one, b, tinydsn_rescaling_of(sum->offset1, left, sum->multiplier1, sum->shift1), a, 1, count,
              output);
    } else if (fits && sum->multiplier1 == ONE_HALF && sum->shift1 == 0 && sum->shift2 <= 0) {
        const exact one = exact_of(sum->offset1, left, 1);
        const tinydsn_rescaling two = tinydsn_rescaling_of(sum->offset2, left, sum->multiplier2, sum->shift2);
        if (subtract) {
            quick(sum, one, a, two, b, -1, count, output);
        } else {
            quick(sum, one, a, two, b, 1, count, output);
        }
    } else {
        any(sum, a, b, count, sign, output);
    }
}

void tinydsn_add_s8(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t size,
                    int32_t b_size, int subtract, int8_t *output)
{
    for (int32_t start = 0; start < size; start += b_size) {
        combine(sum, a + start, b, b_size, subtract, output + start);
    }
    if (sum->low > INT8_MIN || sum->high < INT8_MAX) {
        tinydsn_clamp_s8(output, size, sum->low, sum->high, output);
    }
}
