/*
 * Layer normalisation of int16 rows, integers throughout. For a row x of C elements:
 *     d[i] = C * x[i] - sum(x)
 *     V    = sum(d[i]^2) + epsilon = C * (C * sum(x^2) - sum(x)^2) + epsilon
 *     u[i] = d[i] / sqrt(V) in Q30, rounded
 *     output[i] = saturate(round(u[i] * gamma[i] / 2^shift) + beta[i])
 *
 * Where the generator found that all sums fit (`narrow`), the last two lines are upper halves of products:
 * SMMLAR and SMMLA, with d[i] shifted up as far as V allows, and rounding and beta[i] in one constant.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

#define SEED_OFFSET 2330019758u /* 2.17 in Q30 */
#define SEED_SLOPE 1342177280u  /* 1.25 in Q30 */
#define NEWTON_STEPS 3

static inline uint32_t high_product(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

/* 2^(30 + shift) / sqrt(value), value > 0 and below 2^63: a line as first guess, then Newton's steps. */
static inline uint32_t inverse_root(uint64_t value, int32_t *shift)
{
    const uint32_t upper = (uint32_t)(value >> 32);
    const int32_t bits = upper ? 64 - tinydsn_clz(upper) : 32 - tinydsn_clz((uint32_t)value);
    const int32_t even = bits - 32 + (bits & 1);
    const uint32_t mantissa = (uint32_t)(even >= 0 ? value >> even : value << -even);
    uint32_t root = SEED_OFFSET - high_product(mantissa, SEED_SLOPE);
    for (int32_t step = 0; step < NEWTON_STEPS; step++) {
        const uint32_t part = (3u << 28) - high_product(mantissa, high_product(root, root));
        root = (uint32_t)(((uint64_t)root * part) >> 29);
    }
    *shift = even / 2 + 16;
    return root;
}

/* C * (C * sum(x^2) - sum(x)^2), and the sum. */
static inline uint64_t energy(const int16_t *x, int32_t columns, int32_t *total)
{
    int64_t squares = 0;
    int32_t sum = 0, left = columns;
#if TINYDSN_MVE
    for (; left >= 8; left -= 8) {
        const int16x8_t eight = vldrhq_s16(x);
        squares = vmlaldavaq_s16(squares, eight, eight);
        sum = vaddvaq_s16(sum, eight);
        x += 8;
    }
#else
    if (tinydsn_words(x, x, x)) {
        for (; left >= 4; left -= 4) {
            uint32_t first, second;
            tinydsn_load_two(&x, &first, &second);
            squares = tinydsn_smlald(first, first, squares);
            squares = tinydsn_smlald(second, second, squares);
            sum = tinydsn_smlad(first, 0x00010001u, sum);
            sum = tinydsn_smlad(second, 0x00010001u, sum);
        }
    }
#endif
    for (; left > 0; left--) {
        squares += *x * *x;
        sum += *x++;
    }
    *total = sum;
    const uint32_t count = (uint32_t)columns;
    return count * (count * (uint64_t)squares - (uint64_t)((int64_t)sum * sum));
}

#if !TINYDSN_MVE
/* One element of scale_narrow. */
static inline int16_t scaled(int32_t x, const int32_t **scale, int32_t factor, int32_t offset, int32_t twice,
                             int32_t down)
{
    const int32_t d = tinydsn_mla(x, factor, offset), u = tinydsn_smmlar(d, twice, d);
    int32_t gamma, beta;
    tinydsn_load_numbers(scale, &gamma, &beta);
    return (int16_t)tinydsn_saturate16(tinydsn_smmla(u, gamma, beta) >> down);
}
#endif

/* A row for which 2^30 <= root <= 2^31; `up`: 31 minus the right shift of its product with d[i]. */
static inline void scale_narrow(const tinydsn_layer_norm *norm, const int16_t *x, int32_t sum,
                                          uint32_t root, int32_t up, int16_t *output)
{
    const int32_t *scale = norm->scales;
    const int32_t down = norm->shift - 32;
    /* d[i] << up fits 32 bits; u[i] is the upper half of its product with 2 * root, which takes 33 */
    const int32_t factor = (int32_t)((uint32_t)norm->columns << up);
    const int32_t offset = (int32_t)-((uint32_t)sum << up), twice = (int32_t)(root << 1);
#if TINYDSN_MVE
    for (int32_t left = norm->columns; left > 0; left -= 4) {
        const mve_pred16_t live = vctp32q((uint32_t)left);
        const int32x4_t d = vmlasq_n_s32(vldrhq_z_s32(x, live), vdupq_n_s32(factor), offset);
        const int32x4_t u = vaddq_s32(vrmulhq_s32(d, vdupq_n_s32(twice)), d);
        const int32x4x2_t both = vld2q_s32(scale);
        int32x4_t result = vaddq_s32(vmulhq_s32(u, both.val[0]), both.val[1]);
        result = vminq_s32(vshlq_r_s32(result, -down), vdupq_n_s32(INT16_MAX));
        vstrhq_p_s32(output, vmaxq_s32(result, vdupq_n_s32(INT16_MIN)), live);
        x += 4;
        scale += 8;
        output += 4;
    }
#else
    int32_t left = norm->columns;
    for (; left >= 8; left -= 8) {
        for (int32_t i = 0; i < 8; i++) {
            output[i] = scaled(x[i], &scale, factor, offset, twice, down);
        }
        x += 8;
        output += 8;
    }
    for (; left >= 4; left -= 4) {
        output[0] = scaled(x[0], &scale, factor, offset, twice, down);
        output[1] = scaled(x[1], &scale, factor, offset, twice, down);
        output[2] = scaled(x[2], &scale, factor, offset, twice, down);
        output[3] = scaled(x[3], &scale, factor, offset, twice, down);
        x += 4;
        output += 4;
    }
    for (; left > 0; left--) {
        *output++ = scaled(*x++, &scale, factor, offset, twice, down);
    }
#endif
}

/* Any row. */
static TINYDSN_NOINLINE void scale_any(const tinydsn_layer_norm *norm, const int16_t *x, int32_t sum,
                                       uint32_t root, int32_t shift, int16_t *output)
{
    const int32_t *scale = norm->scales;
    for (int32_t i = 0; i < norm->columns; i++, scale += 2) {
        const int64_t d = norm->columns * x[i] - sum;
        const int64_t u = (d * root + (INT64_C(1) << (shift - 1))) >> shift;
        int64_t result;
        if (norm->narrow) {
            result = (((u * scale[0]) >> 32) + scale[1]) >> (norm->shift - 32);
        } else {
            result = ((u * scale[0] + (INT64_C(1) << (norm->shift - 1))) >> norm->shift) + scale[1];
        }
        output[i] = (int16_t)(result < INT16_MIN ? INT16_MIN : result > INT16_MAX ? INT16_MAX : result);
    }
}

void tinydsn_layer_norm_s16(const tinydsn_layer_norm *norm, const int16_t *input, int32_t rows,
                            int16_t *output)
{
    const int32_t columns = norm->columns;
    for (int32_t row = 0; row < rows; row++) {
        int32_t sum, shift;
        const uint64_t value = energy(input, columns, &sum) + norm->epsilon;
        const uint32_t root = inverse_root(value, &shift);
        if (norm->narrow && shift <= 31 && root >= 1u << 30 && root <= 1u << 31) {
            scale_narrow(norm, input, sum, root, 31 - shift, output);
        } else {
            scale_any(norm, input, sum, root, shift, output);
        }
        input += columns;
        output += columns;
    }
}
