/*
 * Matrix products for the core that is compiled for: tinydsn_multiply_s16 and tinydsn_multiply_s8 compute
 *     output[r][n] = finish(bias[n] + sum_k input[r][k] * weights[n][k])
 * bits: of the weights, 8 or 4 (int16 results of 4: brief scales, tinydsn_finish.h). scratch: where
 * TINYDSN_INTERLEAVED two rows of int16, rounded up to whole words of weights; int16 rows of whole words need none.
 */
#ifndef TINYDSN_ROWS_H
#define TINYDSN_ROWS_H

#include "tinydsn_kernels.h"

/* 1 in the kernels of matrices that are the leading rows and columns of larger ones (tinydsn_cut). */
#ifndef TINYDSN_CUT
#define TINYDSN_CUT 0
#endif

/* Bytes from the end of the columns of a pair of channels (not TINYDSN_INTERLEAVED: of one) to the next. */
TINYDSN_INLINE int32_t tinydsn_skip(const tinydsn_matrix *matrix)
{
    return TINYDSN_CUT ? ((const tinydsn_cut *)matrix)->skip : 0;
}

/* Whether channel n has no second one beside it. */
TINYDSN_INLINE int tinydsn_alone(const tinydsn_matrix *matrix, int32_t n)
{
    const int32_t channels = TINYDSN_CUT ? ((const tinydsn_cut *)matrix)->channels : matrix->channels;
    return n == channels - 1 && (n & 1) == 0;
}

#if TINYDSN_INTERLEAVED
#include "tinydsn_rows_dsp.h"
#else

#if TINYDSN_MVE
#include "tinydsn_rows_mve.h"
#else
#include "tinydsn_rows_c.h"
#endif

TINYDSN_INLINE void tinydsn_multiply_s16(const tinydsn_matrix *matrix, int32_t bits, const int16_t *input,
                                        int32_t rows, int32_t row_stride, int16_t *scratch,
                                        tinydsn_finishing how, void *output)
{
    (void)scratch;
    tinydsn_multiply(matrix, bits, 1, input, rows, row_stride, how, output);
}

TINYDSN_INLINE void tinydsn_multiply_s8(const tinydsn_matrix *matrix, int32_t bits, const int8_t *input,
                                       int32_t rows, int32_t row_stride, int16_t *scratch,
                                       tinydsn_finishing how, void *output)
{
    (void)scratch;
    tinydsn_multiply(matrix, bits, 0, input, rows, row_stride, how, output);
}

#endif

/* All of a kernel with int16 outputs, or int8 ones: the common factors, then what clamps further. */
TINYDSN_INLINE void tinydsn_connect_s16(const tinydsn_matrix *matrix, int32_t bits, const int16_t *input,
                                       int32_t rows, int32_t row_stride, int16_t *scratch, int16_t *output)
{
    const int cut = matrix->activation_min == 0;
    if (bits == 4 && cut) {
        const tinydsn_finishing how = {.brief = 1, .relu = 1};
        tinydsn_multiply_s16(matrix, bits, input, rows, row_stride, scratch, how, output);
    } else if (bits == 4) {
        const tinydsn_finishing how = {.brief = 1, .relu = 0};
        tinydsn_multiply_s16(matrix, bits, input, rows, row_stride, scratch, how, output);
    } else if (matrix->rounded && cut) {
        const tinydsn_finishing how = {.rounded = 1, .relu = 1};
        tinydsn_multiply_s16(matrix, bits, input, rows, row_stride, scratch, how, output);
    } else if (matrix->rounded) {
        const tinydsn_finishing how = {.rounded = 1, .relu = 0};
        tinydsn_multiply_s16(matrix, bits, input, rows, row_stride, scratch, how, output);
    } else {
        const tinydsn_finishing how = {.relu = -1, .cut = -cut};
        tinydsn_multiply_s16(matrix, bits, input, rows, row_stride, scratch, how, output);
    }
    if (matrix->activation_max < INT16_MAX) {
        const int32_t size = rows * matrix->channels;
        tinydsn_clamp_s16(output, size, matrix->activation_min, matrix->activation_max, output);
    }
}

TINYDSN_INLINE void tinydsn_connect_s8(const tinydsn_matrix *matrix, int32_t bits, const int8_t *input,
                                      int32_t rows, int32_t row_stride, int16_t *scratch, int8_t *output)
{
    const tinydsn_finishing how = {.narrow = 1, .offset = tinydsn_finishing_offset(matrix->output_offset)};
    tinydsn_multiply_s8(matrix, bits, input, rows, row_stride, scratch, how, output);
    if (matrix->activation_min > INT8_MIN || matrix->activation_max < INT8_MAX) {
        const int32_t size = rows * matrix->channels;
        tinydsn_clamp_s8(output, size, matrix->activation_min, matrix->activation_max, output);
    }
}

#endif
