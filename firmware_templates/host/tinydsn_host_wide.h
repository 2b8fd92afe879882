/*
 * int8 convolutions whose sums or scales rule out the kernels of 32 bits; the firmware runs CMSIS-NN there.
 */
#ifndef TINYDSN_HOST_WIDE_H
#define TINYDSN_HOST_WIDE_H

#include "tinydsn_kernels.h"

/* weights: [channels][columns]; with depthwise a row holds the taps of its own channel only. */
typedef struct {
    int32_t columns, channels;
    int32_t activation_min, activation_max;
    int32_t input_offset, output_offset;
    int32_t depthwise;
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier, *shift; /* of TFLite */
} tinydsn_host_wide_s8;

static int64_t tinydsn_host_window_sum(const tinydsn_host_wide_s8 *matrix, const tinydsn_window *window,
                                       const int8_t *input, int32_t channel, int32_t out_y, int32_t out_x)
{
    const int8_t *weights = matrix->weights + channel * matrix->columns;
    const int32_t first = matrix->depthwise ? channel : 0;
    const int32_t last = matrix->depthwise ? channel + 1 : window->channels;
    int64_t sum = 0;
    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const int32_t y = out_y * window->stride_height - window->pad_top + ky * window->dilation_height;
        for (int32_t kx = 0; kx < window->kernel_width; kx++, weights += last - first) {
            const int32_t x = out_x * window->stride_width - window->pad_left + kx * window->dilation_width;
            if (y < 0 || y >= window->height || x < 0 || x >= window->width) {
                continue;
            }
            const int8_t *source = input + (y * window->width + x) * window->channels;
            for (int32_t c = first; c < last; c++) {
                sum += (source[c] + matrix->input_offset) * weights[c - first];
            }
        }
    }
    return sum;
}

static void tinydsn_host_convolve_wide_s8(const tinydsn_host_wide_s8 *matrix, const tinydsn_window *window,
                                          const int8_t *input, int8_t *output)
{
    for (int32_t y = 0; y < window->out_height; y++) {
        for (int32_t x = 0; x < window->out_width; x++) {
            for (int32_t n = 0; n < matrix->channels; n++) {
                const int64_t sum = tinydsn_host_window_sum(matrix, window, input, n, y, x) + matrix->bias[n];
                const int32_t scaled = tinydsn_requantize((int32_t)sum, matrix->multiplier[n], matrix->shift[n]);
                const int32_t moved = scaled + matrix->output_offset;
                *output++ = (int8_t)tinydsn_clamp(moved, matrix->activation_min, matrix->activation_max);
            }
        }
    }
}

#endif
