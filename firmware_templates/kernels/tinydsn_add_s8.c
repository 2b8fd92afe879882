/*
 * TFLite's ADD and SUB for int8: both inputs are scaled to one fine scale, combined, and scaled down.
 *
 * Where TINYDSN_INTERLEAVED a line (tinydsn_affine.h) does it in two products. Elsewhere: the fine scale is half of
 * the coarser input's, so that this input is exact: a shift. That, the other input and the result in their few bits
 * leave room for the roundings in one product each.
 */
#include "tinydsn_affine.h"
#include "tinydsn_kernels.h"
#include "tinydsn_rescale.h"

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

#if TINYDSN_INTERLEAVED

static inline void four(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int8_t *output)
{
    const uint32_t a4 = tinydsn_load32(a), b4 = tinydsn_load32(b);
    const uint32_t a_even = tinydsn_even_uppers(a4), a_odd = tinydsn_odd_uppers(a4);
    const uint32_t b_even = tinydsn_even_uppers(b4), b_odd = tinydsn_odd_uppers(b4);
    const int32_t f1 = sum->factor1, f2 = sum->factor2, constant = sum->constant;
    const int32_t sum0 = tinydsn_smlawb(f2, b_even, tinydsn_smlawb(f1, a_even, constant));
    const int32_t sum1 = tinydsn_smlawb(f2, b_odd, tinydsn_smlawb(f1, a_odd, constant));
    const int32_t sum2 = tinydsn_smlawt(f2, b_even, tinydsn_smlawt(f1, a_even, constant));
    const int32_t sum3 = tinydsn_smlawt(f2, b_odd, tinydsn_smlawt(f1, a_odd, constant));
    tinydsn_store32(output, tinydsn_four_bytes(tinydsn_line_s8(sum0), tinydsn_line_s8(sum1),
                                               tinydsn_line_s8(sum2), tinydsn_line_s8(sum3)));
}

static void line(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t count, int8_t *output)
{
    const tinydsn_sum_s8 copy = *sum; /* which no output can change */
    for (; count >= 8; count -= 8) {
        four(&copy, a, b, output);
        four(&copy, a + 4, b + 4, output + 4);
        a += 8;
        b += 8;
        output += 8;
    }
    for (; count > 0; count--) {
        const uint32_t first = (uint32_t)*a++ << 8, second = (uint32_t)*b++ << 8;
        const int32_t total = tinydsn_smlawb(copy.factor1, first, copy.constant);
        *output++ = (int8_t)tinydsn_line_s8(tinydsn_smlawb(copy.factor2, second, total));
    }
}

static void combine(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t count, int subtract,
                    int8_t *output)
{
    if (sum->line) {
        line(sum, a, b, count, output);
    } else {
        any(sum, a, b, count, subtract ? -1 : 1, output);
    }
}

#else

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

#endif

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
