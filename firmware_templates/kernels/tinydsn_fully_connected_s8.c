/*
 * Fully connected, int8 activations and weights (8x8), one scale a channel:
 *     output[r][n] = clamp(requantize(bias[n] + sum_k input[r][k] * weights[n][k]))
 */
#include "tinydsn_rows.h"

void tinydsn_fully_connected_s8(const tinydsn_matrix *matrix, const int8_t *input, int32_t rows,
                                int32_t row_stride, int16_t *scratch, int8_t *output)
{
    tinydsn_connect_s8(matrix, 8, input, rows, row_stride, scratch, output);
}
