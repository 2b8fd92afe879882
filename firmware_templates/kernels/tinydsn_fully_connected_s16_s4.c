/*
 * Fully connected, int16 activations and 4-bit weights (16x4), one scale a channel:
 *     output[r][n] = clamp(requantize(bias[n] + sum_k input[r][k] * weights[n][k]))
 */
#include "tinydsn_rows.h"

void tinydsn_fully_connected_s16_s4(const tinydsn_matrix *matrix, const int16_t *input, int32_t rows,
                                    int32_t row_stride, int16_t *scratch, int16_t *output)
{
    tinydsn_connect_s16(matrix, 4, input, rows, row_stride, scratch, output);
}
