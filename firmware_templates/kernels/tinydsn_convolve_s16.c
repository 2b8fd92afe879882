/*
 * 2-D convolution, int16 activations and int8 weights (16x8), one scale a channel.
 *
 * Windows of one kernel row without dilation lie contiguous in the image: the inner ones are read in place,
 * as rows of a fully connected layer that overlap. All other windows are gathered, two at a time.
 */
#include "tinydsn_kernels.h"

static inline int16_t *zeros(int16_t *target, int32_t count)
{
    for (; count > 0; count--) {
        *target++ = 0;
    }
    return target;
}

static inline int16_t *copy(int16_t *target, const int16_t *source, int32_t count)
{
    for (; count >= 2; count -= 2) {
        tinydsn_store32(target, tinydsn_load32(source));
        target += 2;
        source += 2;
    }
    if (count > 0) {
        *target++ = *source;
    }
    return target;
}

/* Copies one window, zero outside the image, and zeros up to `columns`. */
static void gather(const tinydsn_window *window, const int16_t *input, int32_t out_y, int32_t out_x,
                   int32_t columns, int16_t *column)
{
    const int32_t channels = window->channels, dilation = window->dilation_width;
    int16_t *const end = column + columns;
    const int32_t x0 = out_x * window->stride_width - window->pad_left;
    int32_t y = out_y * window->stride_height - window->pad_top;
    const int32_t bottom = y + (window->kernel_height - 1) * window->dilation_height;
    if (dilation == 1 && x0 >= 0 && x0 + window->kernel_width <= window->width && y >= 0
        && bottom < window->height) {
        const int32_t row = window->width * channels;
        const int16_t *source = input + y * row + x0 * channels;
        for (int32_t ky = window->kernel_height; ky > 0; ky--) {
            column = copy(column, source, window->kernel_width * channels);
            source += window->dilation_height * row;
        }
        zeros(column, (int32_t)(end - column));
        return;
    }
    /* columns first..last-1 of the kernel lie inside the image */
    int32_t first = x0 < 0 ? (-x0 + dilation - 1) / dilation : 0;
    int32_t last = x0 < window->width ? (window->width - x0 + dilation - 1) / dilation : 0;
    first = first < window->kernel_width ? first : window->kernel_width;
    last = last < window->kernel_width ? last : window->kernel_width;
    last = last < first ? first : last;
    for (int32_t ky = 0; ky < window->kernel_height; ky++, y += window->dilation_height) {
        if (y < 0 || y >= window->height) {
            column = zeros(column, window->kernel_width * channels);
            continue;
        }
        const int16_t *source = input + (y * window->width + x0) * channels;
        column = zeros(column, first * channels);
        if (dilation == 1) {
            column = copy(column, source + first * channels, (last - first) * channels);
        } else {
            for (int32_t kx = first; kx < last; kx++) {
                column = copy(column, source + kx * dilation * channels, channels);
            }
        }
        column = zeros(column, (window->kernel_width - last) * channels);
    }
    zeros(column, (int32_t)(end - column));
}

/* Gathers and computes output columns first..last-1 of one output row. */
static void gathered(const tinydsn_matrix_s16 *matrix, const tinydsn_window *window, const int16_t *input,
                     int32_t out_y, int32_t first, int32_t last, int16_t *scratch, int16_t *output)
{
    const int32_t columns = matrix->columns;
    output += (out_y * window->out_width + first) * matrix->channels;
    while (first < last) {
        int32_t rows = last - first >= 2 ? 2 : 1;
        gather(window, input, out_y, first, columns, scratch);
        if (rows == 2) {
            gather(window, input, out_y, first + 1, columns, scratch + columns);
        }
        tinydsn_fully_connected_s16(matrix, scratch, rows, columns, output);
        output += rows * matrix->channels;
        first += rows;
    }
}

void tinydsn_convolve_s16(const tinydsn_matrix_s16 *matrix, const tinydsn_window *window,
                          const int16_t *input, int16_t *scratch, int16_t *output)
{
    const int32_t span = window->kernel_width * window->channels;
    const int32_t width = window->out_width;
    const int in_place = window->kernel_height == 1 && window->dilation_width == 1 && span == matrix->columns;
    /* outputs begin..end-1 have their window wholly inside the image's width */
    int32_t begin = 0, end = 0;
    if (in_place) {
        const int32_t stride = window->stride_width;
        const int32_t room = window->width + window->pad_left - window->kernel_width;
        begin = (window->pad_left + stride - 1) / stride;
        begin = begin < width ? begin : width;
        end = room < 0 ? begin : room / stride + 1;
        end = end < width ? end : width;
        end = end < begin ? begin : end;
    }
    for (int32_t y = 0; y < window->out_height; y++) {
        const int32_t in_y = y * window->stride_height - window->pad_top;
        if (end > begin && in_y >= 0 && in_y < window->height) {
            const int32_t in_x = begin * window->stride_width - window->pad_left;
            gathered(matrix, window, input, y, 0, begin, scratch, output);
            tinydsn_fully_connected_s16(matrix, input + (in_y * window->width + in_x) * window->channels,
                                        end - begin, window->stride_width * window->channels,
                                        output + (y * width + begin) * matrix->channels);
            gathered(matrix, window, input, y, end, width, scratch, output);
        } else {
            gathered(matrix, window, input, y, 0, width, scratch, output);
        }
    }
}
