/*
 * Product of two int16 activations (16x16), exact sums, one rounding:
 *     output[m][n] = saturate(requantize(sum_k a[m][k] * b[k][n]))
 *
 * Two products an instruction. Sums take 64 bits (SMLALD), but for two cases that attention with small heads
 * is made of: four products, where every larger sum saturates anyway, are two SMUADs and a saturating addition;
 * and `narrow` sums need only 32 bits, four columns at a time, packed in pairs of rows before.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

#define LOWEST_PAIR 0x80008000u /* the product of two such pairs is the one that leaves SMUAD's 32 bits */

static inline int16_t finish(const tinydsn_matmul *matmul, int64_t sum)
{
    if (matmul->upper) {
        const int32_t high = (int32_t)(((uint64_t)sum * (uint32_t)matmul->multiplier) >> 32);
        return (int16_t)tinydsn_saturate16(((high >> matmul->shift) + 1) >> 1);
    }
    const int64_t scaled = (((sum * matmul->multiplier) >> matmul->shift) + 1) >> 1;
    return (int16_t)(scaled < INT16_MIN ? INT16_MIN : scaled > INT16_MAX ? INT16_MAX : scaled);
}

/* One row of a with the transposed b, two columns at a time. */
static void row_transposed(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *output)
{
    const int32_t inner = matmul->inner;
    int32_t n = matmul->columns;
    for (; n >= 2; n -= 2) {
        const int16_t *left = a, *right = b, *next = b + matmul->b_row;
        int64_t sum0 = 0, sum1 = 0;
        for (int32_t pairs = inner >> 1; pairs > 0; pairs--) {
            const uint32_t pair = tinydsn_load32(left);
            sum0 = tinydsn_smlald(pair, tinydsn_load32(right), sum0);
            sum1 = tinydsn_smlald(pair, tinydsn_load32(next), sum1);
            left += 2;
            right += 2;
            next += 2;
        }
        if (inner & 1) {
            sum0 += *left * *right;
            sum1 += *left * *next;
        }
        b += 2 * matmul->b_row;
        *output++ = finish(matmul, sum0);
        *output++ = finish(matmul, sum1);
    }
    if (n > 0) {
        int64_t sum = 0;
        for (int32_t k = 0; k < inner; k++) {
            sum += a[k] * b[k];
        }
        *output = finish(matmul, sum);
    }
}

/* One row of a with b [inner][columns], two columns at a time. */
static void row_straight(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *output)
{
    const int32_t columns = matmul->columns, step = matmul->b_row;
    int32_t n = 0;
    for (; n + 2 <= columns; n += 2) {
        const int16_t *left = a;
        const int16_t *right = b + n;
        int64_t sum0 = 0, sum1 = 0;
        for (int32_t pairs = matmul->inner >> 1; pairs > 0; pairs--) {
            const uint32_t pair = tinydsn_load32(left);
            const uint32_t upper = tinydsn_load32(right), lower = tinydsn_load32(right + step);
            sum0 = tinydsn_smlald(pair, tinydsn_lows(upper, lower), sum0);
            sum1 = tinydsn_smlald(pair, tinydsn_highs(upper, lower), sum1);
            left += 2;
            right += 2 * step;
        }
        if (matmul->inner & 1) {
            sum0 += *left * right[0];
            sum1 += *left * right[1];
        }
        output[n] = finish(matmul, sum0);
        output[n + 1] = finish(matmul, sum1);
    }
    if (n < columns) {
        int64_t sum = 0;
        for (int32_t k = 0; k < matmul->inner; k++) {
            sum += a[k] * b[k * step + n];
        }
        output[n] = finish(matmul, sum);
    }
}

/* Whether no row of four elements, at a multiple of 4 bytes, holds the pair that SMUAD cannot square. */
static int are_safe(const int16_t *a, int32_t rows, int32_t step)
{
    int safe = 1;
    for (; rows > 0; rows--) {
        safe &= tinydsn_load32(a) != LOWEST_PAIR && tinydsn_load32(a + 2) != LOWEST_PAIR;
        a += step;
    }
    return safe;
}

/* Whole multiples that the quick ways take: columns of products of four, and rows of b of narrow sums. */
#if TINYDSN_MVE
#define SHORT_COLUMNS 4
#define NARROW_ROWS 8
#else
#define SHORT_COLUMNS 1
#define NARROW_ROWS 2
#endif

#if TINYDSN_MVE

/* Sums of four columns, a and b: pairs of elements. */
static inline int32x4_t pair_sums(uint32_t a, int16x8_t b)
{
    const int16x8_t pair = vreinterpretq_s16_u32(vdupq_n_u32(a));
    return vaddq_s32(vmullbq_int_s16(pair, b), vmulltq_int_s16(pair, b));
}

/* All rows, of four elements, with the transposed b; whole fours of columns. */
static void short_rows(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *output)
{
    const int32x4_t multiplier = vdupq_n_s32(matmul->multiplier >> 1);
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), 2 * (uint32_t)matmul->b_row);
    const int32_t rows = matmul->rows, a_row = matmul->a_row, output_row = matmul->output_row;
    for (int32_t n = 0; n < matmul->columns; n += 4) {
        const void *const early = b + n * matmul->b_row, *const late = b + n * matmul->b_row + 2;
        const int16x8_t b0 = vreinterpretq_s16_u32(vldrwq_gather_offset_u32(early, places));
        const int16x8_t b1 = vreinterpretq_s16_u32(vldrwq_gather_offset_u32(late, places));
        const int16_t *row = a;
        int16_t *result = output + n;
        for (int32_t left = rows; left > 0; left--) {
            const int32x4_t first = pair_sums(tinydsn_load32(row), b0);
            const int32x4_t second = pair_sums(tinydsn_load32(row + 2), b1);
            const int32x4_t high = vrmulhq_s32(vqaddq_s32(first, second), multiplier);
            const int16x8_t saturated = vqmovnbq_s32(vreinterpretq_s16_s32(high), high);
            vstrhq_s32(result, vreinterpretq_s32_s16(saturated));
            row += a_row;
            result += output_row;
        }
    }
}

/* Four columns of b [inner][columns], one after the other. */
static void pack(const int16_t *b, int32_t step, int32_t inner, int16_t *packed)
{
    for (int32_t k = 0; k < inner; k++) {
        packed[k] = b[0];
        packed[inner + k] = b[1];
        packed[2 * inner + k] = b[2];
        packed[3 * inner + k] = b[3];
        b += step;
    }
}

/* All rows of a with four packed columns, sums of 32 bits; whole eights of rows of b. */
static void four_narrow_columns(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *packed,
                                int16_t *output)
{
    const int32_t multiplier = matmul->multiplier, half = 1 << matmul->shift, right = matmul->shift + 1;
    const int32_t inner = matmul->inner, a_row = matmul->a_row, output_row = matmul->output_row;
    for (int32_t rows = matmul->rows; rows > 0; rows--) {
        const int16_t *column = packed;
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (int32_t k = 0; k < inner; k += 8) {
            const int16x8_t eight = vldrhq_s16(a + k);
            sum0 = vmladavaq_s16(sum0, eight, vldrhq_s16(column));
            sum1 = vmladavaq_s16(sum1, eight, vldrhq_s16(column + inner));
            sum2 = vmladavaq_s16(sum2, eight, vldrhq_s16(column + 2 * inner));
            sum3 = vmladavaq_s16(sum3, eight, vldrhq_s16(column + 3 * inner));
            column += 8;
        }
        output[0] = (int16_t)tinydsn_saturate16(tinydsn_smmla(sum0, multiplier, half) >> right);
        output[1] = (int16_t)tinydsn_saturate16(tinydsn_smmla(sum1, multiplier, half) >> right);
        output[2] = (int16_t)tinydsn_saturate16(tinydsn_smmla(sum2, multiplier, half) >> right);
        output[3] = (int16_t)tinydsn_saturate16(tinydsn_smmla(sum3, multiplier, half) >> right);
        a += a_row;
        output += output_row;
    }
}

#else

/* Two rows of four elements with the transposed b. */
static TINYDSN_NOINLINE void two_short_rows(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *next,
                                            const int16_t *b, int16_t *output, int16_t *below)
{
    /* the upper half, halved and rounded, is the rounded upper half of half of the product */
    const int32_t multiplier = matmul->multiplier >> 1, skip = matmul->b_row - 4;
    uint32_t a0, a1, a2, a3;
    tinydsn_load_two(&a, &a0, &a1);
    tinydsn_load_two(&next, &a2, &a3);
    for (int32_t n = matmul->columns; n > 0; n--) {
        uint32_t b0, b1;
        tinydsn_load_two(&b, &b0, &b1);
        b += skip;
        const int32_t sum0 = tinydsn_qadd(tinydsn_smuad(a0, b0), tinydsn_smuad(a1, b1));
        const int32_t sum1 = tinydsn_qadd(tinydsn_smuad(a2, b0), tinydsn_smuad(a3, b1));
        *output++ = (int16_t)tinydsn_saturate16(tinydsn_smmulr(sum0, multiplier));
        *below++ = (int16_t)tinydsn_saturate16(tinydsn_smmulr(sum1, multiplier));
    }
}

/* All rows, of four elements, with the transposed b. */
static void short_rows(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *output)
{
    int32_t left = matmul->rows;
    for (; left >= 2; left -= 2) {
        two_short_rows(matmul, a, a + matmul->a_row, b, output, output + matmul->output_row);
        a += 2 * matmul->a_row;
        output += 2 * matmul->output_row;
    }
    if (left > 0) {
        row_transposed(matmul, a, b, output);
    }
}

/* Four columns of b [inner][columns], pairs of rows: k and k + 1 of each column side by side. */
static void pack(const int16_t *b, int32_t step, int32_t inner, int16_t *packed)
{
    for (int32_t pairs = inner >> 1; pairs > 0; pairs--) {
        const int16_t *next = b + step;
        uint32_t first, second, below, below2;
        tinydsn_load_two(&b, &first, &second);
        tinydsn_load_two(&next, &below, &below2);
        tinydsn_store_two(&packed, tinydsn_lows(first, below), tinydsn_highs(first, below));
        tinydsn_store_two(&packed, tinydsn_lows(second, below2), tinydsn_highs(second, below2));
        b = next + step - 4;
    }
}

/* All rows of a with four packed columns, sums of 32 bits. */
static TINYDSN_NOINLINE void four_narrow_columns(const tinydsn_matmul *matmul, const int16_t *a,
                                                 const int16_t *packed, int16_t *output)
{
    const int32_t multiplier = matmul->multiplier, half = 1 << matmul->shift, right = matmul->shift + 1;
    for (int32_t rows = matmul->rows; rows > 0; rows--) {
        const int16_t *left = a, *const end = a + matmul->inner, *columns = packed;
        int16_t *result = output;
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        while (left < end) {
            const uint32_t pair = tinydsn_load32(left);
            uint32_t first, second;
            tinydsn_load_two(&columns, &first, &second);
            sum0 = tinydsn_smlad(pair, first, sum0);
            sum1 = tinydsn_smlad(pair, second, sum1);
            tinydsn_load_two(&columns, &first, &second);
            sum2 = tinydsn_smlad(pair, first, sum2);
            sum3 = tinydsn_smlad(pair, second, sum3);
            left += 2;
        }
        sum0 = tinydsn_saturate16(tinydsn_smmla(sum0, multiplier, half) >> right);
        sum1 = tinydsn_saturate16(tinydsn_smmla(sum1, multiplier, half) >> right);
        sum2 = tinydsn_saturate16(tinydsn_smmla(sum2, multiplier, half) >> right);
        sum3 = tinydsn_saturate16(tinydsn_smmla(sum3, multiplier, half) >> right);
        tinydsn_store_two(&result, tinydsn_pair(sum0, sum1), tinydsn_pair(sum2, sum3));
        a += matmul->a_row;
        output += matmul->output_row;
    }
}

#endif

/* All rows of one batch, as the sums allow. */
static void multiply(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *scratch,
                     int16_t *output)
{
    const int32_t a_row = matmul->a_row, output_row = matmul->output_row, columns = matmul->columns;
    const int aligned = tinydsn_words(a, b, output) && ((a_row | matmul->b_row | output_row) & 1) == 0;
    if (matmul->narrow && !matmul->transposed && aligned && matmul->inner % NARROW_ROWS == 0
        && columns % 4 == 0) {
        for (int32_t n = 0; n < columns; n += 4) {
            pack(b + n, matmul->b_row, matmul->inner, scratch);
            four_narrow_columns(matmul, a, scratch, output + n);
        }
        return;
    }
    if (matmul->saturates && matmul->transposed && matmul->inner == 4 && aligned
        && columns % SHORT_COLUMNS == 0 && are_safe(a, matmul->rows, a_row)) {
        short_rows(matmul, a, b, output);
        return;
    }
    for (int32_t left = matmul->rows; left > 0; left--) {
        if (matmul->transposed) {
            row_transposed(matmul, a, b, output);
        } else {
            row_straight(matmul, a, b, output);
        }
        a += a_row;
        output += output_row;
    }
}

void tinydsn_batch_matmul_s16(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b,
                              int16_t *scratch, int16_t *output)
{
    for (int32_t batch = 0; batch < matmul->batches; batch++) {
        multiply(matmul, a, b, scratch, output);
        a += matmul->a_batch;
        b += matmul->b_batch;
        output += matmul->output_batch;
    }
}
