/*
 * Product of two int8 activations with zero points, 32-bit sums, double rounding (TFLite BATCH_MATMUL).
 *
 * Both are widened to int16 and centred first: b once, four columns side by side in pairs of rows, a row by
 * row. Two products an instruction then, and one load of a for four columns.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

/* Element [k][n] of b, centred; 0 outside. */
static inline int32_t centred(const tinydsn_matmul *matmul, const int8_t *b, int32_t k, int32_t n)
{
    const int32_t at = matmul->transposed ? n * matmul->b_row + k : k * matmul->b_row + n;
    return k < matmul->inner && n < matmul->columns ? b[at] + matmul->offset2 : 0;
}

/* Blocks of four columns; `pairs` of rows in each. */
static void pack(const tinydsn_matmul *matmul, const int8_t *b, int32_t pairs, int16_t *packed)
{
    for (int32_t block = 0; block < matmul->columns; block += 4) {
        for (int32_t k = 0; k < 2 * pairs; k += 2) {
            for (int32_t n = block; n < block + 4; n++) {
                *packed++ = (int16_t)centred(matmul, b, k, n);
                *packed++ = (int16_t)centred(matmul, b, k + 1, n);
            }
        }
    }
}

static void widen(const int8_t *a, int32_t offset, int32_t inner, int16_t *row)
{
    for (int32_t k = 0; k < inner; k++) {
        row[k] = (int16_t)(a[k] + offset);
    }
    if (inner & 1) {
        row[inner] = 0;
    }
}

/* requantize, for shift < 0 and where twice the sum fits 32 bits; else as the header has it. */
static inline int8_t finish(const tinydsn_matmul *matmul, int32_t sum)
{
    if (matmul->narrow) {
        const int32_t high = tinydsn_smmulr((int32_t)((uint32_t)sum << 1), matmul->multiplier);
        const int32_t twice = (high + (high >> 31)) >> (-matmul->shift - 1);
        return (int8_t)tinydsn_saturate8_half(twice + 2 * matmul->output_offset + 1);
    }
    return (int8_t)tinydsn_saturate8(tinydsn_requantize(sum, matmul->multiplier, matmul->shift)
                                     + matmul->output_offset);
}

/* One row with all blocks. */
static void multiply(const tinydsn_matmul *matmul, const int16_t *row, const int16_t *packed, int32_t pairs,
                     int8_t *output)
{
    for (int32_t left = matmul->columns; left > 0; left -= 4) {
        const int16_t *x = row;
        int8_t rest[4], *const four = left >= 4 ? output : rest;
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (int32_t count = pairs; count > 0; count--) {
            const uint32_t pair = tinydsn_load32(x);
            uint32_t first, second;
            tinydsn_load_two(&packed, &first, &second);
            sum0 = tinydsn_smlad(pair, first, sum0);
            sum1 = tinydsn_smlad(pair, second, sum1);
            tinydsn_load_two(&packed, &first, &second);
            sum2 = tinydsn_smlad(pair, first, sum2);
            sum3 = tinydsn_smlad(pair, second, sum3);
            x += 2;
        }
        four[0] = finish(matmul, sum0);
        four[1] = finish(matmul, sum1);
        four[2] = finish(matmul, sum2);
        four[3] = finish(matmul, sum3);
        if (left < 4) {
            memcpy(output, rest, (size_t)left);
        }
        output += 4;
    }
}

void tinydsn_batch_matmul_s8(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int16_t *scratch,
                             int8_t *output)
{
    const int32_t pairs = (matmul->inner + 1) >> 1;
    int16_t *const packed = scratch + ((2 * pairs + 3) & ~3);
    for (int32_t batch = 0; batch < matmul->batches; batch++) {
        pack(matmul, b, pairs, packed);
        for (int32_t m = 0; m < matmul->rows; m++) {
            widen(a + m * matmul->a_row, matmul->offset1, matmul->inner, scratch);
            multiply(matmul, scratch, packed, pairs, output + m * matmul->output_row);
        }
        a += matmul->a_batch;
        b += matmul->b_batch;
        output += matmul->output_batch;
    }
}
