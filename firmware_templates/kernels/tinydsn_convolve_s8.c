/*
 * 2-D convolution, int8 activations and weights, one scale a channel.
 */
#include "tinydsn_windows.h"

static void connect(const tinydsn_matrix *matrix, const void *input, int32_t rows, int32_t row_stride,
                    void *scratch, void *output)
{
    tinydsn_fully_connected_s8(matrix, input, rows, row_stride, scratch, output);
}

void tinydsn_convolve_s8(const tinydsn_matrix *matrix, const tinydsn_window *window, int8_t padding,
                         const int8_t *input, void *scratch, int8_t *output)
{
    const int32_t whole = (matrix->columns + 3) & ~3;
    const int32_t windows = TINYDSN_INTERLEAVED ? 4 : 2;
    const tinydsn_windowing how = {
        .size = 1, .padding = padding, .columns = whole, .filled = 0, .windows = windows, .connect = connect};
    uint8_t *const gathered = (uint8_t *)scratch + (TINYDSN_INTERLEAVED ? 8 * whole : 0);
    tinydsn_convolve(matrix, window, how, (const uint8_t *)input, gathered, scratch, (uint8_t *)output);
}
