/*
 * Product of two int16 activations (16x16), 64-bit sums, one rounding:
 *     output[m][n] = saturate(requantize(sum_k a[m][k] * b[k][n]))
 *
 * Two products an instruction (SMLALD); rows of b that are not transposed are paired on the way.
 */
#include "tinydsn_kernels.h"

static inline int16_t finish(const tinydsn_matmul *matmul, int64_t sum)
{
    if (matmul->upper) {
        const int32_t high = (int32_t)(((uint64_t)sum * (uint32_t)matmul->multiplier) >> 32);
        return (int16_t)tinydsn_saturate16(((high >> matmul->shift) + 1) >> 1);
    }
    const int64_t scaled = (((sum * matmul->multiplier) >> matmul->shift) + 1) >> 1;
    return (int16_t)(scaled < INT16_MIN ? INT16_MIN : scaled > INT16_MAX ? INT16_MAX : scaled);
}

/* One row of a with b [columns][inner], two columns at a time. */
static void row_transposed(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b, int16_t *output)
{
    const int32_t inner = matmul->inner;
    int32_t n = matmul->columns;
    for (; n >= 2; n -= 2) {
        const int16_t *left = a;
        const int16_t *next = b + inner;
        int64_t sum0 = 0, sum1 = 0;
        for (int32_t pairs = inner >> 1; pairs > 0; pairs--) {
            const uint32_t pair = tinydsn_load32(left);
            sum0 = tinydsn_smlald(pair, tinydsn_load32(b), sum0);
            sum1 = tinydsn_smlald(pair, tinydsn_load32(next), sum1);
            left += 2;
            b += 2;
            next += 2;
        }
        if (inner & 1) {
            sum0 += *left * *b;
            sum1 += *left * *next++;
        }
        b = next;
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
    const int32_t columns = matmul->columns;
    int32_t n = 0;
    for (; n + 2 <= columns; n += 2) {
        const int16_t *left = a;
        const int16_t *right = b + n;
        int64_t sum0 = 0, sum1 = 0;
        for (int32_t pairs = matmul->inner >> 1; pairs > 0; pairs--) {
            const uint32_t pair = tinydsn_load32(left);
            const uint32_t upper = tinydsn_load32(right);
            const uint32_t lower = tinydsn_load32(right + columns);
            sum0 = tinydsn_smlald(pair, (upper & 0xFFFFu) | (lower << 16), sum0);
            sum1 = tinydsn_smlald(pair, (upper >> 16) | (lower & 0xFFFF0000u), sum1);
            left += 2;
            right += 2 * columns;
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
            sum += a[k] * b[k * columns + n];
        }
        output[n] = finish(matmul, sum);
    }
}

void tinydsn_batch_matmul_s16(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b,
                              int16_t *output)
{
    for (int32_t batch = 0; batch < matmul->batches; batch++) {
        for (int32_t m = 0; m < matmul->rows; m++) {
            if (matmul->transposed) {
                row_transposed(matmul, a, b, output);
            } else {
                row_straight(matmul, a, b, output);
            }
            a += matmul->inner;
            output += matmul->columns;
        }
        b += matmul->inner * matmul->columns;
    }
}
