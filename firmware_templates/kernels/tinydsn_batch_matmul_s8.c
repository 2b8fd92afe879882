/*
 * Product of two int8 activations with zero points, 32-bit sums, double rounding (TFLite BATCH_MATMUL).
 */
#include "tinydsn_kernels.h"

void tinydsn_batch_matmul_s8(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int8_t *output)
{
    const int32_t step = matmul->transposed ? 1 : matmul->columns;
    const int32_t next = matmul->transposed ? matmul->inner : 1;
    for (int32_t batch = 0; batch < matmul->batches; batch++) {
        for (int32_t m = 0; m < matmul->rows; m++) {
            for (int32_t n = 0; n < matmul->columns; n++) {
                const int8_t *right = b + n * next;
                int32_t sum = 0;
                for (int32_t k = 0; k < matmul->inner; k++) {
                    sum += (a[k] + matmul->offset1) * (*right + matmul->offset2);
                    right += step;
                }
                sum = tinydsn_requantize(sum, matmul->multiplier, matmul->shift) + matmul->output_offset;
                *output++ = (int8_t)tinydsn_clamp(sum, INT8_MIN, INT8_MAX);
            }
            a += matmul->inner;
        }
        b += matmul->inner * matmul->columns;
    }
}
