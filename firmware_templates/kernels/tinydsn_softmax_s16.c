/*
 * Softmax of int16 rows: exp and 1 / (1 + x) by tables of 513 entries (TFLite Micro's SOFTMAX for int16); that of
 * exp as 512 segments (tinydsn_segments.h).
 *
 * CMSIS-NN's arm_softmax_s16 computes the same but for sums of exponentials within 2^-18 of a power of two
 * and results of 1.0, where its int32 and int16 values wrap around.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_segments.h"

#if TINYDSN_DSP && !TINYDSN_MVE && defined(__OPTIMIZE__)
/* The place of a difference, and its exponential: tinydsn_segment_7; the place becomes the distance. */
#define PLACE(value)                                                                                         \
    "smmlar  %[" value "], %[" value "], %[multiplier], %[most]\n\t"                                         \
    "ssat    %[" value "], #16, %[" value "]\n\t"
#define POWER(place)                                                                                         \
    "asr     %[segment], %[" place "], #7\n\t"                                                               \
    "orr     %[" place "], %[base], %[" place "], lsl #24\n\t"                                               \
    "ldr     %[segment], [%[middle], %[segment], lsl #2]\n\t"                                                \
    "smlad   %[" place "], %[segment], %[" place "], %[half]\n\t"

/*
 * Exponentials of pairs, as powers_of_pair; returns their sum times the factor, which stands in both halves of
 * `factors` and serves to add two values in one instruction: there is no register left.
 */
static inline int32_t powers_of_pairs(int32_t pairs, const int16_t *x, uint32_t factors, int32_t offset,
                                      int32_t multiplier, const uint32_t *middle, int16_t *output)
{
    int32_t sum = 0, a, b;
    uint32_t segment;
    __asm volatile(
        "1:\n\t"
        "ldr     %[a], [%[x]], #4\n\t"
        "smlatb  %[b], %[a], %[factors], %[offset]\n\t"
        "smlabb  %[a], %[a], %[factors], %[offset]\n\t"
        PLACE("a")
        PLACE("b")
        POWER("a")
        POWER("b")
        "lsls    %[b], %[b], #1\n\t"
        "pkhtb   %[a], %[b], %[a], asr #15\n\t"
        "smlad   %[sum], %[a], %[factors], %[sum]\n\t"
        "str     %[a], [%[output]], #4\n\t"
        "subs    %[pairs], #1\n\t"
        "bne     1b\n\t"
        : [x] "+r"(x), [output] "+r"(output), [pairs] "+r"(pairs), [sum] "+r"(sum), [a] "=&r"(a), [b] "=&r"(b),
          [segment] "=&r"(segment)
        : [factors] "r"(factors), [offset] "r"(offset), [multiplier] "r"(multiplier), [middle] "r"(middle),
          [base] "r"(0x8000), [most] "r"(INT16_MAX), [half] "r"(1 << 14)
        : "cc", "memory");
    return sum;
}
#endif

#if !TINYDSN_MVE
/* The exponential of difference * multiplier in units of 10 / 65535, at least -10; in Q30. */
static inline int32_t power_of(int32_t difference, int32_t multiplier, const uint32_t *middle)
{
    const int32_t scaled = tinydsn_smmlar(difference, multiplier, INT16_MAX);
    return tinydsn_segment_7(middle, tinydsn_saturate16(scaled), 1 << 14);
}

/* Of two elements, which times the factor plus the offset are the differences; Q15. */
static inline uint32_t powers_of_pair(uint32_t pair, int32_t factor, int32_t offset, int32_t multiplier,
                                      const uint32_t *middle)
{
    const int32_t first = power_of(tinydsn_smlabb(pair, (uint32_t)factor, offset), multiplier, middle);
    const int32_t second = power_of(tinydsn_smlatb(pair, (uint32_t)factor, offset), multiplier, middle);
    return tinydsn_pair_q15(first, second);
}

/* Two shares of a sum of at least 2^16, none above a half; the factor is the inverse times 2^(32 - right). */
static inline uint32_t small_shares(uint32_t powers, int32_t factor)
{
    const int32_t first = tinydsn_smlawb(factor, powers, 1 << 15);
    const int32_t second = tinydsn_smlawt(factor, powers, 1 << 15);
    return tinydsn_highs((uint32_t)first, (uint32_t)second);
}

/* Two shares of a sum from 2^15 up to that, none above 32766. */
static inline uint32_t large_shares(uint32_t powers, int32_t inverse)
{
    const int32_t first = tinydsn_smlabb(powers, (uint32_t)inverse, 1 << 14);
    return tinydsn_pair_q15(first, tinydsn_smlatb(powers, (uint32_t)inverse, 1 << 14));
}

/* Two shares of any sum. */
static inline uint32_t shares_of_pair(uint32_t powers, int32_t inverse, int32_t half, int32_t right)
{
    const int32_t first = tinydsn_smlabb(powers, (uint32_t)inverse, half) >> right;
    const int32_t second = tinydsn_smlatb(powers, (uint32_t)inverse, half) >> right;
    return tinydsn_pair(tinydsn_saturate16(first), tinydsn_saturate16(second));
}
#endif

static inline int32_t largest_of(const int16_t *x, int32_t columns)
{
    int32_t largest = *x, left = columns;
#if TINYDSN_MVE
    for (; left >= 8; left -= 8) {
        largest = vmaxvq_s16((int16_t)largest, vldrhq_s16(x));
        x += 8;
    }
#else
    if (left >= 4 && tinydsn_words(x, x, x)) {
        uint32_t most, other, first, second;
        for (tinydsn_load_two(&x, &most, &other); left >= 8; left -= 4) {
            tinydsn_load_two(&x, &first, &second);
            most = tinydsn_max16(most, first);
            other = tinydsn_max16(other, second);
        }
        most = tinydsn_max16(most, other);
        largest = tinydsn_low(most) > tinydsn_high(most) ? tinydsn_low(most) : tinydsn_high(most);
        left -= 4;
    }
#endif
    for (; left > 0; left--) {
        largest = *x > largest ? *x : largest;
        x++;
    }
    return largest;
}

/* Exponentials of differences from the largest; returns their sum. */
static inline uint32_t powers_of(const tinydsn_softmax *softmax, const int16_t *x, int32_t largest,
                                          int16_t *output)
{
    const uint32_t *const middle = softmax->exp + 256;
    const int32_t multiplier = softmax->multiplier, shift = softmax->shift;
    int32_t left = softmax->columns;
    uint32_t sum = 0;
    /* a difference of 17 bits can be doubled and shifted within 32: the double rounding is one product */
    if (shift >= 0 && shift <= 13) {
        const int32_t factor = 2 << shift, offset = -largest * factor;
#if TINYDSN_MVE
        for (; left > 0; left -= 4) {
            const mve_pred16_t live = vctp32q((uint32_t)left);
            const int32x4_t difference = vmlasq_n_s32(vldrhq_z_s32(x, live), vdupq_n_s32(factor), offset);
            const int32x4_t scaled = vrmulhq_s32(difference, vdupq_n_s32(multiplier));
            const int32x4_t place = vmaxq_s32(vaddq_n_s32(scaled, INT16_MAX), vdupq_n_s32(INT16_MIN));
            const int32x4_t power = vrshrq_n_s32(tinydsn_segments_7(middle, place), 7);
            sum = (uint32_t)vaddvaq_p_s32((int32_t)sum, power, live);
            vstrhq_p_s32(output, power, live);
            x += 4;
            output += 4;
        }
#else
#if TINYDSN_DSP && defined(__OPTIMIZE__)
        if (left >= 2 && left << (shift + 1) <= 1 << 16) {
            const int32_t pairs = left >> 1;
            const uint32_t factors = (uint32_t)factor * 0x00010001u;
            sum = (uint32_t)powers_of_pairs(pairs, x, factors, offset, multiplier, middle, output) >> (shift + 1);
            x += 2 * pairs;
            output += 2 * pairs;
            left &= 1;
        }
#endif
        for (; left >= 2; left -= 2) {
            const uint32_t powers = powers_of_pair(tinydsn_load32(x), factor, offset, multiplier, middle);
            tinydsn_store32(output, powers);
            sum = (uint32_t)tinydsn_smlad(powers, 0x00010001u, (int32_t)sum);
            x += 2;
            output += 2;
        }
        if (left > 0) {
            *output = (int16_t)(power_of(*x * factor + offset, multiplier, middle) >> 15);
            sum += (uint32_t)*output;
        }
#endif
    } else {
        for (; left > 0; left--) {
            const int32_t scaled = tinydsn_requantize(*x++ - largest, multiplier, shift);
            const int32_t place = tinydsn_clamp(scaled, -65535, 0) + INT16_MAX;
            const int32_t power = tinydsn_segment_7(middle, place, 1 << 14) >> 15;
            *output++ = (int16_t)power;
            sum += (uint32_t)power;
        }
    }
    return sum;
}

/* Divides exponentials by their sum. */
static inline void share(const int16_t *reciprocal, uint32_t sum, int32_t columns, int16_t *row)
{
    const int32_t zeros = tinydsn_clz(sum);
    const int32_t mantissa = (int32_t)(((sum << (zeros - 1)) + (1u << 13)) >> 14);
    const int32_t argument = tinydsn_saturate16(mantissa - (1 << 15) - (1 << 16));
    const int16_t *const entry = reciprocal + 256 + (argument >> 7);
    const int32_t inverse = entry[0] + (((entry[1] - entry[0]) * (argument & 0x7F) + 64) >> 7);
    const int32_t right = 31 - zeros, half = 1 << (right - 1);
#if TINYDSN_MVE
    const int32x4_t rounding = vdupq_n_s32(half), most = vdupq_n_s32(INT16_MAX);
    for (; columns > 0; columns -= 4) {
        const mve_pred16_t live = vctp32q((uint32_t)columns);
        const int32x4_t product = vmlaq_n_s32(rounding, vldrhq_z_s32(row, live), inverse);
        vstrhq_p_s32(row, vminq_s32(vshlq_r_s32(product, -right), most), live);
        row += 4;
    }
#else
    if (right >= 16 && tinydsn_words(row, row, row)) {
        const int32_t factor = inverse << (32 - right);
        const int16_t *powers = row;
        uint32_t first, second, third, fourth;
        for (; columns >= 8; columns -= 8) {
            tinydsn_load_two(&powers, &first, &second);
            tinydsn_load_two(&powers, &third, &fourth);
            tinydsn_store_two(&row, small_shares(first, factor), small_shares(second, factor));
            tinydsn_store_two(&row, small_shares(third, factor), small_shares(fourth, factor));
        }
    }
    if (right == 15 && tinydsn_words(row, row, row)) {
        const int16_t *powers = row;
        for (uint32_t first, second; columns >= 4; columns -= 4) {
            tinydsn_load_two(&powers, &first, &second);
            tinydsn_store_two(&row, large_shares(first, inverse), large_shares(second, inverse));
        }
    }
    if (tinydsn_words(row, row, row)) {
        for (const int16_t *powers = row; columns >= 4; columns -= 4) {
            uint32_t first, second;
            tinydsn_load_two(&powers, &first, &second);
            first = shares_of_pair(first, inverse, half, right);
            second = shares_of_pair(second, inverse, half, right);
            tinydsn_store_two(&row, first, second);
        }
    }
    for (; columns >= 2; columns -= 2) {
        tinydsn_store32(row, shares_of_pair(tinydsn_load32(row), inverse, half, right));
        row += 2;
    }
    if (columns > 0) {
        *row = (int16_t)tinydsn_saturate16((*row * inverse + half) >> right);
    }
#endif
}

void tinydsn_softmax_s16(const tinydsn_softmax *softmax, const int16_t *input, int32_t rows, int16_t *output)
{
    const int32_t columns = softmax->columns;
    for (int32_t row = 0; row < rows; row++) {
        const uint32_t sum = powers_of(softmax, input, largest_of(input, columns), output);
        share(softmax->reciprocal, sum, columns, output);
        input += columns;
        output += columns;
    }
}
