/*
 * 2-D convolution, int16 activations and int8 weights (16x8), one scale a channel.
 */
#include "tinydsn_windows.h"

static void connect(const tinydsn_matrix *matrix, const void *input, int32_t rows, int32_t row_stride,
                    void *scratch, void *output)
{
    tinydsn_fully_connected_s16(matrix, input, rows, row_stride, scratch, output);
}

void tinydsn_convolve_s16(const tinydsn_matrix *matrix, const tinydsn_window *window, const int16_t *input,
                          void *scratch, int16_t *output)
{
    const tinydsn_windowing how = {
        .size = 2,
        .padding = 0,
        .columns = matrix->columns,
        .filled = matrix->columns,
        .windows = 2,
        .connect = connect,
    };
    /* windows that are read in place are packed where others would be gathered */
    tinydsn_convolve(matrix, window, how, (const uint8_t *)input, scratch, scratch, (uint8_t *)output);
}
