/*
 * Convolution as a fully connected layer over windows, for elements of any size.
 *
 * Windows of one kernel row without dilation lie contiguous in the image: the inner ones are read in place,
 * as rows that overlap. All other windows are gathered, a few at a time.
 */
#ifndef TINYDSN_WINDOWS_H
#define TINYDSN_WINDOWS_H

#include "tinydsn_kernels.h"

/* What differs between element types; all members are constants of the kernel but `padding`. */
typedef struct {
    int32_t size;    /* bytes of an element of input and output */
    int32_t padding; /* the byte of which padding consists */
    int32_t columns; /* elements from one gathered window to the next */
    int32_t filled;  /* up to which a window is filled; 0: the kernel reads no further than the window */
    int32_t windows; /* that are gathered at a time: as many as the kernel takes together */
    void (*connect)(const tinydsn_matrix *matrix, const void *input, int32_t rows, int32_t row_stride,
                    void *scratch, void *output);
} tinydsn_windowing;

/* Counts of both are whole elements; `size` is known to the compiler. */
TINYDSN_INLINE uint8_t *tinydsn_fill_bytes(uint8_t *target, int32_t value, int32_t count, int32_t size)
{
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 4; count -= 4) {
        tinydsn_store32(target, word);
        target += 4;
    }
    for (; count > 0; count -= size) {
        memcpy(target, &word, (size_t)size);
        target += size;
    }
    return target;
}

TINYDSN_INLINE uint8_t *tinydsn_copy_bytes(uint8_t *target, const uint8_t *source, int32_t count, int32_t size)
{
    for (; count >= 16; count -= 16) {
        const uint32_t word0 = tinydsn_load32(source), word1 = tinydsn_load32(source + 4);
        const uint32_t word2 = tinydsn_load32(source + 8), word3 = tinydsn_load32(source + 12);
        tinydsn_store32(target, word0);
        tinydsn_store32(target + 4, word1);
        tinydsn_store32(target + 8, word2);
        tinydsn_store32(target + 12, word3);
        source += 16;
        target += 16;
    }
    for (; count >= 4; count -= 4) {
        tinydsn_store32(target, tinydsn_load32(source));
        source += 4;
        target += 4;
    }
    if (count & 2) {
        memcpy(target, source, 2);
        source += 2;
        target += 2;
    }
    if (size == 1 && (count & 1)) {
        *target++ = *source;
    }
    return target;
}

/* Copies a window that lies in the image without dilation, and pads it to the end of the column. row: bytes from one
 * row of the window to the next. */
TINYDSN_INLINE void tinydsn_gather_inside(const tinydsn_window *window, tinydsn_windowing how, const uint8_t *source,
                                          int32_t row, uint8_t *column)
{
    const int32_t span = window->kernel_width * window->channels * how.size;
    uint8_t *const end = column + how.filled * how.size;
    for (int32_t ky = window->kernel_height; ky > 0; ky--) {
        column = tinydsn_copy_bytes(column, source, span, how.size);
        source += row;
    }
    if (how.filled > 0) {
        tinydsn_fill_bytes(column, how.padding, (int32_t)(end - column), how.size);
    }
}

/* Copies any window, padded outside the image, and pads it to the end of the column. */
static TINYDSN_NOINLINE void tinydsn_gather(const tinydsn_window *window, tinydsn_windowing how,
                                            const uint8_t *input, int32_t out_y, int32_t out_x, uint8_t *column)
{
    const int32_t channels = window->channels * how.size, dilation = window->dilation_width;
    uint8_t *const end = column + how.filled * how.size;
    const int32_t x0 = out_x * window->stride_width - window->pad_left;
    int32_t y = out_y * window->stride_height - window->pad_top;
    /* columns first..last-1 of the kernel lie inside the image */
    int32_t first = x0 < 0 ? (-x0 + dilation - 1) / dilation : 0;
    int32_t last = x0 < window->width ? (window->width - x0 + dilation - 1) / dilation : 0;
    first = first < window->kernel_width ? first : window->kernel_width;
    last = last < window->kernel_width ? last : window->kernel_width;
    last = last < first ? first : last;
    for (int32_t ky = 0; ky < window->kernel_height; ky++, y += window->dilation_height) {
        if (y < 0 || y >= window->height) {
            column = tinydsn_fill_bytes(column, how.padding, window->kernel_width * channels, how.size);
            continue;
        }
        const uint8_t *source = input + (y * window->width + x0) * channels;
        column = tinydsn_fill_bytes(column, how.padding, first * channels, how.size);
        if (dilation == 1) {
            column = tinydsn_copy_bytes(column, source + first * channels, (last - first) * channels, how.size);
        } else {
            for (int32_t kx = first; kx < last; kx++) {
                column = tinydsn_copy_bytes(column, source + kx * dilation * channels, channels, how.size);
            }
        }
        column = tinydsn_fill_bytes(column, how.padding, (window->kernel_width - last) * channels, how.size);
    }
    if (how.filled > 0) {
        tinydsn_fill_bytes(column, how.padding, (int32_t)(end - column), how.size);
    }
}

/* Gathers and computes output columns first..last-1 of one output row. `gathered`: room for `how.windows`. */
static TINYDSN_NOINLINE void tinydsn_gathered(const tinydsn_matrix *matrix, const tinydsn_window *window,
                                              tinydsn_windowing how, const uint8_t *input, int32_t out_y,
                                              int32_t first, int32_t last, uint8_t *gathered, void *scratch,
                                              uint8_t *output)
{
    const int32_t channels = matrix->channels * how.size, pixel = window->channels * how.size;
    const int32_t y = out_y * window->stride_height - window->pad_top;
    const int32_t bottom = y + (window->kernel_height - 1) * window->dilation_height;
    const int plain = window->dilation_width == 1 && y >= 0 && bottom < window->height;
    /* a window lies inside where it starts at 0..inside */
    const int32_t inside = plain ? window->width - window->kernel_width : -1;
    const uint8_t *const image = input + y * window->width * pixel;
    output += (out_y * window->out_width + first) * channels;
    while (first < last) {
        const int32_t rows = last - first >= how.windows ? how.windows : last - first >= 2 ? 2 : 1;
        uint8_t *column = gathered;
        for (int32_t row = 0; row < rows; row++) {
            const int32_t x = (first + row) * window->stride_width - window->pad_left;
            if (x >= 0 && x <= inside) {
                tinydsn_gather_inside(window, how, image + x * pixel,
                                      window->dilation_height * window->width * pixel, column);
            } else {
                tinydsn_gather(window, how, input, out_y, first + row, column);
            }
            column += how.columns * how.size;
        }
        how.connect(matrix, gathered, rows, how.columns, scratch, output);
        output += rows * channels;
        first += rows;
    }
}

TINYDSN_INLINE void tinydsn_convolve(const tinydsn_matrix *matrix, const tinydsn_window *window,
                                    tinydsn_windowing how, const uint8_t *input, uint8_t *gathered,
                                    void *scratch, uint8_t *output)
{
    const int32_t span = window->kernel_width * window->channels;
    const int32_t width = window->out_width, channels = window->channels * how.size;
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
        if (how.windows > 2) {
            /* the others then go by as many as the kernel takes together as well */
            begin = (begin + how.windows - 1) / how.windows * how.windows;
            begin = begin < width ? begin : width;
            end = end < begin ? begin : end - (end - begin) % how.windows;
        }
    }
    for (int32_t y = 0; y < window->out_height; y++) {
        const int32_t in_y = y * window->stride_height - window->pad_top;
        if (end > begin && in_y >= 0 && in_y < window->height) {
            const int32_t in_x = begin * window->stride_width - window->pad_left;
            tinydsn_gathered(matrix, window, how, input, y, 0, begin, gathered, scratch, output);
            how.connect(matrix, input + (in_y * window->width + in_x) * channels, end - begin,
                        window->stride_width * window->channels, scratch,
                        output + (y * width + begin) * matrix->channels * how.size);
            tinydsn_gathered(matrix, window, how, input, y, end, width, gathered, scratch, output);
        } else {
            tinydsn_gathered(matrix, window, how, input, y, 0, width, gathered, scratch, output);
        }
    }
}

#endif
