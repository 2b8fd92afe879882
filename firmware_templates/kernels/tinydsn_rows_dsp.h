/*
 * Matrix products with interleaved weights (tinydsn_dot_s16.h): rows of int16 activations, or int8 ones that
 * are widened, one, two or four at a time.
 *
 * `bits` of the weights and the members of `how` are constants of the callers, so that each kernel is compiled
 * for its own case.
 */
#ifndef TINYDSN_ROWS_DSP_H
#define TINYDSN_ROWS_DSP_H

#include "tinydsn_dot_s16.h"
#include "tinydsn_finish.h"
#include "tinydsn_four_rows.h"
#include "tinydsn_kernels.h"

/* Columns of a row, rounded up to whole words of weights. */
TINYDSN_INLINE int32_t tinydsn_whole(int32_t columns, int32_t bits)
{
    const int32_t word = 32 / bits;
    return (columns + word - 1) / word * word;
}

/* What biased nibbles add to every sum of a row, negative. */
TINYDSN_INLINE int32_t tinydsn_nibble_bias(const int16_t *x, int32_t eights)
{
    int32_t sum = 0;
    for (; eights > 0; eights--) {
        for (int32_t pair = 0; pair < 4; pair++) {
            sum = tinydsn_smlad(tinydsn_load32(x + 2 * pair), 0x00010001u, sum);
        }
        x += 8;
    }
    return (int32_t)((uint32_t)sum * (uint32_t)-8);
}

/* int32 sums modulo 2^32: what overflows on the way comes back. */
TINYDSN_INLINE int32_t tinydsn_wrapping_sum(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Channels first..N-1 of one row, one by one, from any address. Out of line: rarely more than three channels. */
static TINYDSN_NOINLINE void tinydsn_single_channels(const tinydsn_matrix *matrix, int32_t first, int32_t bits,
                                                     const int16_t *x, int32_t start, tinydsn_finishing how,
                                                     void *row)
{
    const int32_t words = tinydsn_whole(matrix->columns, bits) * bits / 32;
    for (int32_t n = first; n < matrix->channels; n++) {
        const int alone = tinydsn_alone(matrix, n);
        const int8_t *w = matrix->weights + (n >> 1) * 8 * words + (n & 1) * 4;
        w += (n >> 1) * tinydsn_skip(matrix);
        const int32_t *scale = matrix->scales + tinydsn_scale_words(how) * n;
        int32_t sum = tinydsn_wrapping_sum(scale[0], start);
        if (bits == 4) {
            sum = tinydsn_nibbles_1x1(words, x, w, alone ? 4 : 8, sum);
        } else {
            sum = tinydsn_dot_1x1(words, x, w, alone ? 4 : 8, sum);
        }
        tinydsn_finish(scale, sum, how, row, n);
    }
}

/* One row of whole words; four channels at a time where it starts at a multiple of 4 bytes. */
TINYDSN_INLINE void tinydsn_one_row(const tinydsn_matrix *matrix, int32_t bits, const int16_t *x,
                                   tinydsn_finishing how, void *row)
{
    const int32_t words = tinydsn_whole(matrix->columns, bits) * bits / 32;
    const int32_t start = bits == 4 ? tinydsn_nibble_bias(x, words) : 0;
    const int8_t *w = matrix->weights;
    const int32_t *scale = matrix->scales;
    const int32_t last = TINYDSN_CUT || ((uintptr_t)x & 3) ? 0 : matrix->channels & ~3;
    const int32_t scale_words = tinydsn_scale_words(how);
    uint8_t *output = row;
    for (const int32_t *end = scale + scale_words * last; scale < end; scale += 4 * scale_words) {
        int32_t sums[4];
        for (int32_t i = 0; i < 4; i++) {
            sums[i] = tinydsn_wrapping_sum(scale[scale_words * i], start);
        }
        if (bits == 4) {
            w = tinydsn_nibbles_1x4(words, x, w, sums);
        } else {
            w = tinydsn_dot_1x4(words, x, w, sums);
        }
        for (int32_t i = 0; i < 4; i++) {
            tinydsn_finish(scale + scale_words * i, sums[i], how, output, i);
        }
        output += how.narrow ? 4 : 8;
    }
    if (last < matrix->channels) {
        tinydsn_single_channels(matrix, last, bits, x, start, how, row);
    }
}

/* Two rows of whole words that start at multiples of 4 bytes, two channels at a time; 8-bit weights. */
TINYDSN_INLINE void tinydsn_two_rows(const tinydsn_matrix *matrix, const int16_t *x0, const int16_t *x1,
                                    tinydsn_finishing how, void *row)
{
    const int32_t words = tinydsn_whole(matrix->columns, 8) / 4, channels = matrix->channels;
    const int8_t *w = matrix->weights;
    const int32_t *scale = matrix->scales;
    uint8_t *output = row;
    for (const int32_t *end = scale + 3 * (channels & ~1); scale < end; scale += 6) {
        int32_t sums[4] = {scale[0], scale[3], scale[0], scale[3]};
        w = tinydsn_dot_2x2(words, x0, x1, w, sums) + tinydsn_skip(matrix);
        uint8_t *const below = output + channels * (how.narrow ? 1 : 2);
        tinydsn_finish(scale, sums[0], how, output, 0);
        tinydsn_finish(scale + 3, sums[1], how, output, 1);
        tinydsn_finish(scale, sums[2], how, below, 0);
        tinydsn_finish(scale + 3, sums[3], how, below, 1);
        output += how.narrow ? 2 : 4;
    }
    if (channels & 1) {
        tinydsn_single_channels(matrix, channels - 1, 8, x0, 0, how, row);
        tinydsn_single_channels(matrix, channels - 1, 8, x1, 0, how,
                                (uint8_t *)row + channels * (how.narrow ? 1 : 2));
    }
}

/* Copies a row and fills it with zeros to whole words. */
TINYDSN_INLINE void tinydsn_pad_s16(const int16_t *x, int32_t columns, int32_t whole, int16_t *target)
{
    memcpy(target, x, (size_t)columns * sizeof *x);
    memset(target + columns, 0, (size_t)(whole - columns) * sizeof *x);
}

/* Widens a row, columns of a four in the order 0 2 1 3, with zeros to whole words. */
TINYDSN_INLINE void tinydsn_widen_s8(const int8_t *x, int32_t columns, int32_t whole, int16_t *target)
{
    int32_t left = columns;
    for (; left >= 4; left -= 4) {
        const uint32_t word = tinydsn_load32(x);
        tinydsn_store32(target, tinydsn_sxtb16(word));
        tinydsn_store32(target + 2, tinydsn_sxtb16_ror8(word));
        x += 4;
        target += 4;
    }
    if (left > 0) {
        target[0] = x[0];
        target[1] = left > 2 ? x[2] : 0;
        target[2] = left > 1 ? x[1] : 0;
        target[3] = 0;
        target += 4;
        columns += 4 - left;
    }
    memset(target, 0, (size_t)(whole - columns) * sizeof *target);
}

/* Elements from one output row to the next are matrix->channels. */
TINYDSN_INLINE void *tinydsn_row(void *output, const tinydsn_matrix *matrix, tinydsn_finishing how, int32_t row)
{
    return (uint8_t *)output + row * matrix->channels * (how.narrow ? 1 : 2);
}

TINYDSN_INLINE void tinydsn_multiply_s16(const tinydsn_matrix *matrix, int32_t bits, const int16_t *input,
                                        int32_t rows, int32_t row_stride, int16_t *scratch,
                                        tinydsn_finishing how, void *output)
{
    const int32_t columns = matrix->columns, whole = tinydsn_whole(columns, bits);
    const int pads = whole > columns;
    const int in_words = (((uintptr_t)input | (uintptr_t)(2 * row_stride)) & 3) == 0, aligned = pads || in_words;
    for (; bits == 8 && how.rounded && rows >= 4; rows -= 4) {
        tinydsn_pack_four_rows(input, columns, row_stride, in_words, scratch);
        tinydsn_four_rows(matrix, scratch, how, output);
        input += 4 * row_stride;
        output = tinydsn_row(output, matrix, how, 4);
    }
    while (rows > 0) {
        const int32_t together = bits == 8 && rows >= 2 && aligned ? 2 : 1;
        const int16_t *x0 = input, *x1 = input + row_stride;
        if (pads) {
            tinydsn_pad_s16(x0, columns, whole, scratch);
            x0 = scratch;
        }
        if (together == 2) {
            if (pads) {
                tinydsn_pad_s16(x1, columns, whole, scratch + whole);
                x1 = scratch + whole;
            }
            tinydsn_two_rows(matrix, x0, x1, how, output);
        } else {
            tinydsn_one_row(matrix, bits, x0, how, output);
        }
        input += together * row_stride;
        output = tinydsn_row(output, matrix, how, together);
        rows -= together;
    }
}

TINYDSN_INLINE void tinydsn_multiply_s8(const tinydsn_matrix *matrix, int32_t bits, const int8_t *input,
                                       int32_t rows, int32_t row_stride, int16_t *scratch,
                                       tinydsn_finishing how, void *output)
{
    const int32_t columns = matrix->columns, whole = tinydsn_whole(columns, bits);
    for (; bits == 8 && rows >= 4; rows -= 4) {
        tinydsn_pack_four_rows_s8(input, columns, row_stride, scratch);
        tinydsn_four_rows(matrix, scratch, how, output);
        input += 4 * row_stride;
        output = tinydsn_row(output, matrix, how, 4);
    }
    while (rows > 0) {
        const int32_t together = bits == 8 && rows >= 2 ? 2 : 1;
        tinydsn_widen_s8(input, columns, whole, scratch);
        if (together == 2) {
            tinydsn_widen_s8(input + row_stride, columns, whole, scratch + whole);
            tinydsn_two_rows(matrix, scratch, scratch + whole, how, output);
        } else {
            tinydsn_one_row(matrix, bits, scratch, how, output);
        }
        input += together * row_stride;
        output = tinydsn_row(output, matrix, how, together);
        rows -= together;
    }
}

#endif
