/*
 * 2-D convolution (or, with a window of one element, fully connected), 16x8 with 64-bit sums.
 *
 * For the rare layer whose weights or scale rule out 32-bit sums; plain C on every core.
 */
#include "tinydsn_kernels.h"

static int64_t window_sum(const tinydsn_window *window, const int16_t *input, const int8_t *weights,
                          int32_t out_y, int32_t out_x)
{
    int64_t sum = 0;
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const int32_t y = out_y * window->stride_height - window->pad_top + ky * window->dilation_height;
        for (int32_t kx = 0; kx < window->kernel_width; kx++, weights += window->channels) {
            const int32_t x = out_x * window->stride_width - window->pad_left + kx * window->dilation_width;
            if (y < 0 || y >= window->height || x < 0 || x >= window->width) {
                continue;
            }
            const int16_t *source = input + (y * window->width + x) * window->channels;
            for (int32_t c = 0; c < window->channels; c++) {
                sum += source[c] * weights[c];
            }
        }
    }
    return sum;
}

void tinydsn_convolve_s16_wide(const tinydsn_wide_matrix_s16 *matrix, const tinydsn_window *window,
                               const int16_t *input, int16_t *output)
{
    for (int32_t y = 0; y < window->out_height; y++) {
        for (int32_t x = 0; x < window->out_width; x++) {
            for (int32_t n = 0; n < matrix->channels; n++) {
                int64_t sum = window_sum(window, input, matrix->weights + n * matrix->columns, y, x);
                sum = (sum + matrix->bias[n]) * matrix->multiplier[n];
                sum = ((sum >> (14 - matrix->shift[n])) + 1) >> 1;
                sum = sum < matrix->activation_min ? matrix->activation_min : sum;
                sum = sum > matrix->activation_max ? matrix->activation_max : sum;
                *output++ = (int16_t)sum;
            }
        }
    }
}
