/*
 * tinydsn_fully_connected_s8 with the leading rows and columns of a larger matrix.
 */
#define TINYDSN_CUT 1
#include "tinydsn_rows.h"

void tinydsn_fully_connected_s8_cut(const tinydsn_cut *cut, const int8_t *input, int32_t rows,
                                    int32_t row_stride, int16_t *scratch, int8_t *output)
{
    tinydsn_connect_s8(&cut->matrix, 8, input, rows, row_stride, scratch, output);
}
