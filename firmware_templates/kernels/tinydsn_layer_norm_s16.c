/*
 * Layer normalisation of int16 rows, integers throughout. For a row x of C elements:
 *     d[i] = C * x[i] - sum(x)
 *     V    = sum(d[i]^2) + epsilon = C * (C * sum(x^2) - sum(x)^2) + epsilon
 *     u[i] = d[i] / sqrt(V) in Q30, rounded
 *     output[i] = saturate(round(u[i] * gamma[i] / 2^shift) + beta[i])
 */
#include "tinydsn_kernels.h"

#define SEED_OFFSET 2330019758u /* 2.17 in Q30 */
#define SEED_SLOPE 1342177280u  /* 1.25 in Q30 */
#define NEWTON_STEPS 3

static inline uint32_t high_product(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

/* 2^(30 + shift) / sqrt(value), value > 0 and below 2^63: a line as first guess, then Newton's steps. */
static uint32_t inverse_root(uint64_t value, int32_t *shift)
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
static uint64_t energy(const int16_t *x, int32_t columns, int32_t *total)
{
    int64_t squares = 0;
    int32_t sum = 0;
    for (int32_t pairs = columns >> 1; pairs > 0; pairs--) {
        const uint32_t pair = tinydsn_load32(x);
        squares = tinydsn_smlald(pair, pair, squares);
        sum = tinydsn_smlad(pair, 0x00010001u, sum);
        x += 2;
    }
    if (columns & 1) {
        squares += *x * *x;
        sum += *x;
    }
    *total = sum;
    return (uint64_t)(columns * (columns * squares - (int64_t)sum * sum));
}

/*
 * The common case: all shifts known to the compiler. `up` moves d[i] so that the product with `root` always
 * goes down by 30; the upper half of the product with gamma is what `shift` > 32 leaves.
 */
static void scale_fast(const tinydsn_layer_norm *norm, const int16_t *x, int32_t sum, uint32_t root,
                       int32_t up, int16_t *output)
{
    const int32_t columns = norm->columns, down = norm->shift - 32;
    const int32_t half = 1 << (down - 1);
    const int32_t *gamma = norm->gamma, *beta = norm->beta;
    for (int32_t i = 0; i < columns; i++) {
        const int32_t d = (int32_t)((uint32_t)(columns * x[i] - sum) << up);
        const int32_t u = (int32_t)(((int64_t)d * root + (1 << 29)) >> 30);
        const int32_t product = (int32_t)(((int64_t)u * gamma[i]) >> 32);
        output[i] = (int16_t)tinydsn_saturate16(((product + half) >> down) + beta[i]);
    }
}

static void scale_any(const tinydsn_layer_norm *norm, const int16_t *x, int32_t sum, uint32_t root,
                      int32_t shift, int16_t *output)
{
    for (int32_t i = 0; i < norm->columns; i++) {
        const int64_t d = norm->columns * x[i] - sum;
        const int64_t u = (d * root + (INT64_C(1) << (shift - 1))) >> shift;
        const int64_t scaled = (u * norm->gamma[i] + (INT64_C(1) << (norm->shift - 1))) >> norm->shift;
        const int64_t result = scaled + norm->beta[i];
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
        if (shift <= 30 && norm->shift > 32) {
            scale_fast(norm, input, sum, root, 30 - shift, output);
        } else {
            scale_any(norm, input, sum, root, shift, output);
        }
        input += columns;
        output += columns;
    }
}
