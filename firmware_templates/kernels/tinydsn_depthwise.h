/*
 * Depthwise convolution: four channels at a time, taps outside the image left out.
 *
 * Weights are [N / 4][taps][4], then the taps of the last one to three channels, [taps][N % 4]. Where
 * TINYDSN_INTERLEAVED they are int16, which saves two instructions a tap and costs 9 bytes a channel of a 3x3
 * window; for int8 activations four channels are in the order 0 2 1 3, as SXTAB16 widens them. Scales are those of
 * tinydsn_matrix, whose `columns` are the taps here; the input's zero point is no part of the bias.
 */
#ifndef TINYDSN_DEPTHWISE_H
#define TINYDSN_DEPTHWISE_H

#include "tinydsn_rows.h"

/* What differs between element types; `wide` (int16) is known to the compiler. */
typedef struct {
    int32_t wide;
    int32_t offset; /* int8: minus the input's zero point */
    tinydsn_finishing finishing;
} tinydsn_depthwise;

/* Part of a window that lies in the image: `rows` times `count` taps; steps are in elements. */
typedef struct {
    int32_t rows, count;
    int32_t tap_step, row_step;
    int32_t skipped; /* taps between the last of a row and the first of the next */
} tinydsn_taps;

#if TINYDSN_INTERLEAVED
typedef int16_t tinydsn_tap;
#else
typedef int8_t tinydsn_tap;
#endif

TINYDSN_INLINE const void *tinydsn_at(const void *elements, int32_t index, int32_t wide)
{
    return (const uint8_t *)elements + (wide ? 2 * index : index);
}

#if TINYDSN_MVE

typedef int32x4_t tinydsn_quad;

TINYDSN_INLINE tinydsn_quad tinydsn_quad_bias(const int32_t *scales)
{
    return vldrwq_s32(scales);
}

TINYDSN_INLINE tinydsn_quad tinydsn_quad_tap(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                            tinydsn_depthwise how)
{
    const int32x4_t values = how.wide ? vldrhq_s32(x) : vaddq_n_s32(vldrbq_s32(x), how.offset);
    return vaddq_s32(sums, vmulq_s32(values, vldrbq_s32(w)));
}

TINYDSN_INLINE void tinydsn_quad_finish(const int32_t *scales, tinydsn_quad sums, tinydsn_depthwise how,
                                       void *output)
{
    tinydsn_finish_vector(scales, sums, how.finishing, output);
}

#else

typedef struct {
    int32_t sum[4];
} tinydsn_quad;

TINYDSN_INLINE tinydsn_quad tinydsn_quad_bias(const int32_t *scales)
{
    return (tinydsn_quad){{scales[0], scales[3], scales[6], scales[9]}};
}

#if TINYDSN_INTERLEAVED

/* A value in both halves of a word. */
TINYDSN_INLINE uint32_t tinydsn_both(int32_t value)
{
    return (uint32_t)(uint16_t)value * 0x00010001u;
}

TINYDSN_INLINE tinydsn_quad tinydsn_quad_tap(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                            tinydsn_depthwise how)
{
    const uint32_t first = tinydsn_load32(w), second = tinydsn_load32(w + 2);
    if (how.wide) {
        const uint32_t low = tinydsn_load32(x), high = tinydsn_load32((const int16_t *)x + 2);
        sums.sum[0] += tinydsn_low(low) * tinydsn_low(first);
        sums.sum[1] += tinydsn_high(low) * tinydsn_high(first);
        sums.sum[2] += tinydsn_low(high) * tinydsn_low(second);
        sums.sum[3] += tinydsn_high(high) * tinydsn_high(second);
        return sums;
    }
    const uint32_t word = tinydsn_load32(x), offsets = tinydsn_both(how.offset);
    const uint32_t even = tinydsn_sxtab16(offsets, word), odd = tinydsn_sxtab16_ror8(offsets, word);
    sums.sum[0] += tinydsn_low(even) * tinydsn_low(first);
    sums.sum[1] += tinydsn_low(odd) * tinydsn_low(second);
    sums.sum[2] += tinydsn_high(even) * tinydsn_high(first);
    sums.sum[3] += tinydsn_high(odd) * tinydsn_high(second);
    return sums;
}

#else

TINYDSN_INLINE tinydsn_quad tinydsn_quad_tap(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                            tinydsn_depthwise how)
{
    for (int32_t i = 0; i < 4; i++) {
        const int32_t value = how.wide ? ((const int16_t *)x)[i] : ((const int8_t *)x)[i] + how.offset;
        sums.sum[i] += value * w[i];
    }
    return sums;
}

#endif

TINYDSN_INLINE void tinydsn_quad_finish(const int32_t *scales, tinydsn_quad sums, tinydsn_depthwise how,
                                       void *output)
{
    for (int32_t i = 0; i < 4; i++) {
        tinydsn_finish(scales + 3 * i, sums.sum[i], how.finishing, output, i);
    }
}

#endif

#if TINYDSN_ASSEMBLY

#define TINYDSN_WIDE_TAP(place)                                                                              \
    "ldr     %[x0], [%[x]" place "]\n\t"                                                                     \
    "ldr     %[x1], [%[next]" place "]\n\t"                                                                  \
    "ldrd    %[w0], %[w1], [%[w]], #8\n\t"                                                                   \
    "smlabb  %[sum0], %[x0], %[w0], %[sum0]\n\t"                                                             \
    "smlatt  %[sum1], %[x0], %[w0], %[sum1]\n\t"                                                             \
    "smlabb  %[sum2], %[x1], %[w1], %[sum2]\n\t"                                                             \
    "smlatt  %[sum3], %[x1], %[w1], %[sum3]\n\t"

#define TINYDSN_NARROW_TAP(place)                                                                            \
    "ldr     %[x0], [%[x]" place "]\n\t"                                                                     \
    "ldrd    %[w0], %[w1], [%[w]], #8\n\t"                                                                   \
    "sxtab16 %[x1], %[next], %[x0]\n\t"                                                                      \
    "sxtab16 %[x0], %[next], %[x0], ror #8\n\t"                                                              \
    "smlabb  %[sum0], %[x1], %[w0], %[sum0]\n\t"                                                             \
    "smlatt  %[sum2], %[x1], %[w0], %[sum2]\n\t"                                                             \
    "smlabb  %[sum1], %[x0], %[w1], %[sum1]\n\t"                                                             \
    "smlatt  %[sum3], %[x0], %[w1], %[sum3]\n\t"

/* second: the second pair of int16 channels, or the int8 offset twice. */
#define TINYDSN_TAP_OPERANDS                                                                                 \
    [w] "+r"(w), [sum0] "+r"(sums.sum[0]), [sum1] "+r"(sums.sum[1]), [sum2] "+r"(sums.sum[2]),               \
        [sum3] "+r"(sums.sum[3]), [x0] "=&r"(x0), [x1] "=&r"(x1), [w0] "=&r"(w0), [w1] "=&r"(w1)
#define TINYDSN_TAPS(taps, second)                                                                           \
    __asm volatile(taps : TINYDSN_TAP_OPERANDS : [x] "r"(x), [next] "r"(second), [step] "r"(step) : "memory")
#define TINYDSN_ROWS_OF_TAPS(taps, second)                                                                   \
    __asm volatile(taps                                                                                      \
                   : TINYDSN_TAP_OPERANDS, [x] "+r"(x), [next] "+r"(second)                                  \
                   : [step] "r"(step), [row] "r"(row_step)                                                   \
                   : "memory")
#define TINYDSN_TWO_TAPS(tap) tap("") tap(", %[step]")
#define TINYDSN_THREE_TAPS(tap) TINYDSN_TWO_TAPS(tap) tap(", %[step], lsl #1")
#define TINYDSN_NINE_TAPS(tap, down)                                                                         \
    TINYDSN_THREE_TAPS(tap) down TINYDSN_THREE_TAPS(tap) down TINYDSN_THREE_TAPS(tap)
#define TINYDSN_NARROW_DOWN "add     %[x], %[row]\n\t"
#define TINYDSN_WIDE_DOWN TINYDSN_NARROW_DOWN "add     %[next], %[row]\n\t"

/* Rows of `count` taps, two or three, which is known to the compiler. */
TINYDSN_INLINE tinydsn_quad tinydsn_quad_rows(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                              tinydsn_taps taps, int32_t count, tinydsn_depthwise how)
{
    const int32_t size = how.wide ? 2 : 1, step = taps.tap_step * size, row_step = taps.row_step * size;
    uint32_t x0, x1, w0, w1, offsets = tinydsn_both(how.offset);
    if (count == 3 && taps.rows == 3) { /* most of an image */
        const void *second = (const int16_t *)x + 2;
        if (how.wide) {
            TINYDSN_ROWS_OF_TAPS(TINYDSN_NINE_TAPS(TINYDSN_WIDE_TAP, TINYDSN_WIDE_DOWN), second);
        } else {
            TINYDSN_ROWS_OF_TAPS(TINYDSN_NINE_TAPS(TINYDSN_NARROW_TAP, TINYDSN_NARROW_DOWN), offsets);
        }
        return sums;
    }
    for (int32_t row = taps.rows; row > 0; row--) {
        const void *second = (const int16_t *)x + 2;
        if (how.wide && count == 3) {
            TINYDSN_TAPS(TINYDSN_THREE_TAPS(TINYDSN_WIDE_TAP), second);
        } else if (how.wide) {
            TINYDSN_TAPS(TINYDSN_TWO_TAPS(TINYDSN_WIDE_TAP), second);
        } else if (count == 3) {
            TINYDSN_TAPS(TINYDSN_THREE_TAPS(TINYDSN_NARROW_TAP), offsets);
        } else {
            TINYDSN_TAPS(TINYDSN_TWO_TAPS(TINYDSN_NARROW_TAP), offsets);
        }
        x = tinydsn_at(x, taps.row_step, how.wide);
        w += count == 3 ? 0 : 4 * taps.skipped;
    }
    return sums;
}

#else

TINYDSN_INLINE tinydsn_quad tinydsn_quad_rows(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                              tinydsn_taps taps, int32_t count, tinydsn_depthwise how)
{
    for (int32_t row = taps.rows; row > 0; row--) {
        for (int32_t tap = 0; tap < count; tap++) {
            sums = tinydsn_quad_tap(sums, tinydsn_at(x, tap * taps.tap_step, how.wide), w + 4 * tap, how);
        }
        x = tinydsn_at(x, taps.row_step, how.wide);
        w += 4 * count + (count == 3 ? 0 : 4 * taps.skipped);
    }
    return sums;
}

#endif

TINYDSN_INLINE tinydsn_quad tinydsn_quad_window(tinydsn_quad sums, const void *x, const tinydsn_tap *w,
                                               tinydsn_taps taps, tinydsn_depthwise how)
{
    for (int32_t row = taps.rows; row > 0; row--) {
        for (int32_t tap = 0; tap < taps.count; tap++) {
            sums = tinydsn_quad_tap(sums, tinydsn_at(x, tap * taps.tap_step, how.wide), w, how);
            w += 4;
        }
        x = tinydsn_at(x, taps.row_step, how.wide);
        w += 4 * taps.skipped;
    }
    return sums;
}

/* The last one to three channels of one position; x, w: their first tap that lies in the image. */
TINYDSN_INLINE void tinydsn_depthwise_rest(const tinydsn_matrix *matrix, const void *x, const tinydsn_tap *w,
                                           tinydsn_taps taps, tinydsn_depthwise how, void *output)
{
    const int32_t left = matrix->channels & 3;
    const int32_t *scales = matrix->scales + 3 * (matrix->channels - left);
    for (int32_t i = 0; i < left; i++) {
        int32_t sum = scales[0];
        for (int32_t row = 0; row < taps.rows; row++) {
            for (int32_t tap = 0; tap < taps.count; tap++) {
                const int32_t at = row * taps.row_step + tap * taps.tap_step + i;
                const int32_t value = how.wide ? ((const int16_t *)x)[at] : ((const int8_t *)x)[at] + how.offset;
                sum += value * w[(row * (taps.count + taps.skipped) + tap) * left + i];
            }
        }
        tinydsn_finish(scales, sum, how.finishing, output, i);
        scales += 3;
    }
}

/* Where a window's taps lie in an axis of `size`: the first one and how many. */
static inline int32_t tinydsn_clip(int32_t start, int32_t step, int32_t kernel, int32_t size, int32_t *count)
{
    int32_t first = 0, last = kernel;
    while (first < kernel && start + first * step < 0) {
        first++;
    }
    while (last > first && start + (last - 1) * step >= size) {
        last--;
    }
    *count = last - first;
    return first;
}

/* Output positions first..last-1 of a row, four channels after four: with three taps in each row of the window
 * where `inside`, else (one position) with what of it lies in the image. */
TINYDSN_INLINE void tinydsn_depthwise_row(const tinydsn_matrix *matrix, const tinydsn_window *window,
                                          tinydsn_depthwise how, const void *input, int32_t out_y, int32_t first,
                                          int32_t last, int inside, void *output)
{
    const int32_t channels = matrix->channels, width = window->kernel_width;
    tinydsn_taps taps = {
        .count = width,
        .tap_step = window->dilation_width * channels,
        .row_step = window->dilation_height * window->width * channels,
    };
    const int32_t y = out_y * window->stride_height - window->pad_top;
    const int32_t x = first * window->stride_width - window->pad_left;
    const int32_t ky =
        tinydsn_clip(y, window->dilation_height, window->kernel_height, window->height, &taps.rows);
    int32_t kx = 0;
    if (!inside) {
        kx = tinydsn_clip(x, window->dilation_width, width, window->width, &taps.count);
        taps.skipped = width - taps.count;
    }
    const int32_t in_y = y + ky * window->dilation_height, in_x = x + kx * window->dilation_width;
    const void *start = tinydsn_at(input, (in_y * window->width + in_x) * channels, how.wide);
    const int32_t step = window->stride_width * channels;
    const tinydsn_tap *w = (const tinydsn_tap *)(const void *)matrix->weights;
    const int32_t *scales = matrix->scales;
    uint8_t *place = (uint8_t *)output + (out_y * window->out_width + first) * channels * (how.wide ? 2 : 1);
    const int32_t first_tap = ky * width + kx;
    for (int32_t quad = channels >> 2; quad > 0; quad--) {
        const void *source = start;
        uint8_t *target = place;
        for (int32_t left = last - first; left > 0; left--) {
            tinydsn_quad sums = tinydsn_quad_bias(scales);
            if (inside) {
                sums = tinydsn_quad_rows(sums, source, w + 4 * first_tap, taps, 3, how);
            } else if (taps.count == 2) {
                sums = tinydsn_quad_rows(sums, source, w + 4 * first_tap, taps, 2, how);
            } else {
                sums = tinydsn_quad_window(sums, source, w + 4 * first_tap, taps, how);
            }
            tinydsn_quad_finish(scales, sums, how, target);
            source = tinydsn_at(source, step, how.wide);
            target += channels * (how.wide ? 2 : 1);
        }
        start = tinydsn_at(start, 4, how.wide);
        place += how.wide ? 8 : 4;
        w += 4 * matrix->columns;
        scales += 12;
    }
    for (int32_t left = (channels & 3) ? last - first : 0; left > 0; left--) {
        tinydsn_depthwise_rest(matrix, start, w + (channels & 3) * first_tap, taps, how, place);
        start = tinydsn_at(start, step, how.wide);
        place += channels * (how.wide ? 2 : 1);
    }
}

/* Positions at the border, for all finishings: out of line, as it is rarely much of the work. */
static TINYDSN_NOINLINE void tinydsn_depthwise_border(const tinydsn_matrix *matrix, const tinydsn_window *window,
                                                      tinydsn_depthwise how, const void *input, int32_t out_y,
                                                      int32_t first, int32_t last, void *output)
{
    for (; first < last; first++) {
        tinydsn_depthwise_row(matrix, window, how, input, out_y, first, first + 1, 0, output);
    }
}

/* The whole image. how: as if sums were rounded in one step (int16), which is made true at the border, where then
 * all positions go. */
TINYDSN_INLINE void tinydsn_depthwise_image(const tinydsn_matrix *matrix, const tinydsn_window *window,
                                            tinydsn_depthwise how, const void *input, void *output)
{
    const int fast = window->kernel_width == 3 && (how.finishing.narrow || matrix->rounded);
    tinydsn_depthwise any = how;
    any.finishing.rounded = matrix->rounded;
    const int32_t stride = window->stride_width, width = window->out_width;
    const int32_t span = (window->kernel_width - 1) * window->dilation_width + 1;
    const int32_t room = window->width + window->pad_left - span;
    /* outputs begin..end-1 have three taps in each row of their window, all inside the image's width */
    int32_t begin = (window->pad_left + stride - 1) / stride, end = room < 0 ? 0 : room / stride + 1;
    begin = begin < width ? begin : width;
    end = end < width ? end : width;
    end = end < begin || !fast ? begin : end;
    for (int32_t y = 0; y < window->out_height; y++) {
        tinydsn_depthwise_border(matrix, window, any, input, y, 0, begin, output);
        tinydsn_depthwise_row(matrix, window, how, input, y, begin, end, 1, output);
        tinydsn_depthwise_border(matrix, window, any, input, y, end, width, output);
    }
}

#endif
