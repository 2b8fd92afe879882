/*
 * Matrix products in plain C: weights in natural order, one channel at a time.
 *
 * 4-bit weights are bytes [N][(K + 1) / 2], the even column in the lower nibble; a nibble is the weight + 8.
 */
#ifndef TINYDSN_ROWS_C_H
#define TINYDSN_ROWS_C_H

#include "tinydsn_finish.h"
#include "tinydsn_kernels.h"

TINYDSN_INLINE int32_t tinydsn_weight(const int8_t *row, int32_t bits, int32_t k)
{
    return bits == 8 ? row[k] : (((uint8_t)row[k >> 1] >> (4 * (k & 1))) & 15) - 8;
}

/* wide: inputs are int16. */
TINYDSN_INLINE void tinydsn_multiply(const tinydsn_matrix *matrix, int32_t bits, int32_t wide, const void *input,
                                    int32_t rows, int32_t row_stride, tinydsn_finishing how, void *output)
{
    const int32_t columns = matrix->columns, bytes = (columns * bits + 7) / 8 + tinydsn_skip(matrix);
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t n = 0; n < matrix->channels; n++) {
            const int8_t *w = matrix->weights + n * bytes;
            const int32_t *scale = matrix->scales + tinydsn_scale_words(how) * n;
            /* modulo 2^32: with the zero point in the bias, sums may overflow on the way */
            uint32_t sum = (uint32_t)scale[0];
            for (int32_t k = 0; k < columns; k++) {
                const int32_t at = row * row_stride + k;
                const int32_t x = wide ? ((const int16_t *)input)[at] : ((const int8_t *)input)[at];
                sum += (uint32_t)(x * tinydsn_weight(w, bits, k));
            }
            tinydsn_finish(scale, (int32_t)sum, how, output, row * matrix->channels + n);
        }
    }
}

#endif
