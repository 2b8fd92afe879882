/*
 * Matrix products with MVE: one row by four channels at a time.
 *
 * 8-bit weights are in natural order, [N][K]. 4-bit weights: blocks of 16 columns (int16 activations) or 32
 * (int8), of which a byte holds two, the first half of the block in the lower nibbles: [N][blocks][8 or 16]; a
 * nibble is the weight + 8. Scales of four channels stand together, [N / 4][3][4]: bias, multiplier, shift, the
 * shift negative and that of int8 in one step; those of the last one to three channels are [3] each, as on
 * other cores.
 *
 * The loops are assembly, because GCC makes neither tail-predicated loops nor loads that move their pointer.
 */
#ifndef TINYDSN_ROWS_MVE_H
#define TINYDSN_ROWS_MVE_H

#include "tinydsn_finish.h"
#include "tinydsn_kernels.h"

/* Where four channels of weights and a row of activations are read, and their sums. */
typedef struct {
    const void *x;
    const int8_t *w[4];
    int32_t sum[4];
} tinydsn_four;

#define TINYDSN_FOUR_OPERANDS                                                                                \
    [x] "+r"(four->x), [w0] "+l"(four->w[0]), [w1] "+l"(four->w[1]), [w2] "+l"(four->w[2]),                  \
        [w3] "+l"(four->w[3]), [sum0] "+Te"(four->sum[0]), [sum1] "+Te"(four->sum[1]),                       \
        [sum2] "+Te"(four->sum[2]), [sum3] "+Te"(four->sum[3])

/* 8-bit weights: a vector of columns a pass, the last one predicated. */
#define TINYDSN_CHANNEL(load, step, multiply, w, sum)                                                        \
    load " q1, [%[" w "]], #" step "\n\t"                                                                    \
    multiply " %[" sum "], q0, q1\n\t"

#define TINYDSN_LOOP(lanes, load_x, load_w, step, multiply)                                                  \
    __asm volatile("dlstp." lanes " lr, %[count]\n\t"                                                        \
                   "1:\n\t" load_x " q0, [%[x]], #16\n\t"                                                    \
                   TINYDSN_CHANNEL(load_w, step, multiply, "w0", "sum0")                                     \
                   TINYDSN_CHANNEL(load_w, step, multiply, "w1", "sum1")                                     \
                   TINYDSN_CHANNEL(load_w, step, multiply, "w2", "sum2")                                     \
                   TINYDSN_CHANNEL(load_w, step, multiply, "w3", "sum3")                                     \
                   "letp    lr, 1b\n\t"                                                                      \
                   : TINYDSN_FOUR_OPERANDS                                                                   \
                   : [count] "r"(columns)                                                                    \
                   : "q0", "q1", "lr", "memory")

/* 4-bit weights: whole blocks, two vectors of columns each. */
#define TINYDSN_NIBBLE_CHANNEL(load, lanes, step, w, sum)                                                    \
    load " q2, [%[" w "]], #" step "\n\t"                                                                    \
    "vshr.u" lanes " q3, q2, #4\n\t"                                                                         \
    "vand    q2, q2, %q[mask]\n\t"                                                                           \
    "vmladava.s" lanes " %[" sum "], q0, q2\n\t"                                                             \
    "vmladava.s" lanes " %[" sum "], q1, q3\n\t"

#define TINYDSN_NIBBLE_LOOP(load_x, load_w, lanes, step)                                                     \
    __asm volatile("dls     lr, %[count]\n\t"                                                                \
                   "1:\n\t" load_x " q0, [%[x]], #16\n\t" load_x " q1, [%[x]], #16\n\t"                      \
                   TINYDSN_NIBBLE_CHANNEL(load_w, lanes, step, "w0", "sum0")                                 \
                   TINYDSN_NIBBLE_CHANNEL(load_w, lanes, step, "w1", "sum1")                                 \
                   TINYDSN_NIBBLE_CHANNEL(load_w, lanes, step, "w2", "sum2")                                 \
                   TINYDSN_NIBBLE_CHANNEL(load_w, lanes, step, "w3", "sum3")                                 \
                   "le      lr, 1b\n\t"                                                                      \
                   : TINYDSN_FOUR_OPERANDS                                                                   \
                   : [count] "r"(blocks), [mask] "w"(mask)                                                   \
                   : "q0", "q1", "q2", "q3", "lr", "memory")

/* Lanes first..first + 15 (or + 7) of a row of `columns`, zero beyond its end. */
TINYDSN_INLINE int16x8_t tinydsn_lanes_s16(const int16_t *x, int32_t left)
{
    return vldrhq_z_s16(x, vctp16q((uint32_t)(left > 0 ? left : 0)));
}

TINYDSN_INLINE int8x16_t tinydsn_lanes_s8(const int8_t *x, int32_t left)
{
    return vldrbq_z_s8(x, vctp8q((uint32_t)(left > 0 ? left : 0)));
}

/* One block of 4-bit weights by one channel. */
TINYDSN_INLINE int32_t tinydsn_nibble_block(int32_t sum, const void *x, int32_t left, int32_t wide, const int8_t *w)
{
    if (wide) {
        const uint16x8_t pairs = vldrbq_u16((const uint8_t *)w);
        const int16x8_t low = vreinterpretq_s16_u16(vandq_u16(pairs, vdupq_n_u16(15)));
        const int16x8_t high = vreinterpretq_s16_u16(vshrq_n_u16(pairs, 4));
        sum = vmladavaq_s16(sum, tinydsn_lanes_s16(x, left), low);
        return vmladavaq_s16(sum, tinydsn_lanes_s16((const int16_t *)x + 8, left - 8), high);
    }
    const uint8x16_t pairs = vldrbq_u8((const uint8_t *)w);
    const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(pairs, vdupq_n_u8(15)));
    const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(pairs, 4));
    sum = vmladavaq_s8(sum, tinydsn_lanes_s8(x, left), low);
    return vmladavaq_s8(sum, tinydsn_lanes_s8((const int8_t *)x + 16, left - 16), high);
}

/* What biased nibbles add to every sum of a row, negative. */
TINYDSN_INLINE int32_t tinydsn_nibble_bias(const void *x, int32_t columns, int32_t wide)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < columns; k += wide ? 8 : 16) {
        if (wide) {
            sum = vaddvaq_s16(sum, tinydsn_lanes_s16((const int16_t *)x + k, columns - k));
        } else {
            sum = vaddvaq_s8(sum, tinydsn_lanes_s8((const int8_t *)x + k, columns - k));
        }
    }
    return (int32_t)((uint32_t)sum * (uint32_t)-8);
}

TINYDSN_INLINE void tinydsn_four_channels(tinydsn_four *four, int32_t columns, int32_t bits, int32_t wide)
{
    if (bits == 8) {
        if (wide) {
            TINYDSN_LOOP("16", "vldrh.u16", "vldrb.s16", "8", "vmladava.s16");
        } else {
            TINYDSN_LOOP("8", "vldrb.u8", "vldrb.u8", "16", "vmladava.s8");
        }
        return;
    }
    const int32_t block = wide ? 16 : 32, blocks = columns / block, left = columns - blocks * block;
    const uint8x16_t mask = wide ? vreinterpretq_u8_u16(vdupq_n_u16(15)) : vdupq_n_u8(15);
    if (blocks > 0) {
        if (wide) {
            TINYDSN_NIBBLE_LOOP("vldrh.u16", "vldrb.u16", "16", "8");
        } else {
            TINYDSN_NIBBLE_LOOP("vldrb.u8", "vldrb.u8", "8", "16");
        }
    }
    for (int32_t i = 0; i < 4 && left > 0; i++) {
        four->sum[i] = tinydsn_nibble_block(four->sum[i], four->x, left, wide, four->w[i]);
    }
}

/* One channel, with what the vectors of four leave over. */
TINYDSN_INLINE int32_t tinydsn_one_channel(const void *x, const int8_t *w, int32_t columns, int32_t bits,
                                          int32_t wide, int32_t sum)
{
    const int32_t block = bits == 8 ? (wide ? 8 : 16) : (wide ? 16 : 32);
    for (int32_t left = columns; left > 0; left -= block) {
        if (bits == 4) {
            sum = tinydsn_nibble_block(sum, x, left, wide, w);
            w += block / 2;
        } else if (wide) {
            const mve_pred16_t live = vctp16q((uint32_t)left);
            sum = vmladavaq_s16(sum, vldrhq_z_s16(x, live), vldrbq_z_s16(w, live));
            w += block;
        } else {
            const mve_pred16_t live = vctp8q((uint32_t)left);
            sum = vmladavaq_s8(sum, vldrbq_z_s8(x, live), vldrbq_z_s8(w, live));
            w += block;
        }
        x = (const uint8_t *)x + block * (wide ? 2 : 1);
    }
    return sum;
}

/* Four outputs at once, as tinydsn_finish. */
TINYDSN_INLINE void tinydsn_finish_vector(const int32_t *scales, int32x4_t sums, tinydsn_finishing how,
                                         void *output)
{
    const int32x4_t multipliers = vldrwq_s32(scales + 4);
    int32x4_t result;
    if (how.narrow) {
        result = vqrdmulhq_s32(sums, multipliers);
        result = vrshlq_s32(vaddq_s32(result, vshrq_n_s32(result, 31)), vldrwq_s32(scales + 8));
        result = vaddq_n_s32(result, how.offset >> 1);
        result = vmaxq_s32(vminq_s32(result, vdupq_n_s32(INT8_MAX)), vdupq_n_s32(INT8_MIN));
        vstrbq_s32(output, result);
        return;
    }
    if (how.brief) {
        const int32x4_t high = vmulhq_s32(sums, vbicq_n_s32(multipliers, 255));
        result = vrshrq_n_s32(vshlq_s32(high, multipliers), 1); /* by the lowest byte of each lane */
    } else if (how.rounded) {
        result = vrmulhq_s32(sums, multipliers);
    } else {
        result = vrshrq_n_s32(vshlq_s32(vmulhq_s32(sums, multipliers), vldrwq_s32(scales + 8)), 1);
    }
    result = vmaxq_s32(result, vdupq_n_s32(how.relu == 1 || how.cut ? 0 : INT16_MIN));
    vstrhq_s32(output, vminq_s32(result, vdupq_n_s32(INT16_MAX)));
}

TINYDSN_INLINE void tinydsn_multiply(const tinydsn_matrix *matrix, int32_t bits, int32_t wide, const void *input,
                                    int32_t rows, int32_t row_stride, tinydsn_finishing how, void *output)
{
    const int32_t columns = matrix->columns, channels = matrix->channels, block = wide ? 16 : 32;
    const int32_t bytes = bits == 8 ? columns + tinydsn_skip(matrix) : (columns + block - 1) / block * (block / 2);
    const int32_t size = how.narrow ? 1 : 2;
    for (int32_t row = 0; row < rows; row++) {
        const int32_t start = bits == 4 ? tinydsn_nibble_bias(input, columns, wide) : 0;
        const int8_t *w = matrix->weights;
        const int32_t *scale = matrix->scales;
        int32_t n = channels;
        for (; n >= 4; n -= 4) {
            tinydsn_four four = {
                .x = input,
                .w = {w, w + bytes, w + 2 * bytes, w + 3 * bytes},
                .sum = {scale[0] + start, scale[1] + start, scale[2] + start, scale[3] + start},
            };
            tinydsn_four_channels(&four, columns, bits, wide);
            const int32x4_t sums = {four.sum[0], four.sum[1], four.sum[2], four.sum[3]};
            tinydsn_finish_vector(scale, sums, how, output);
            w += 4 * bytes;
            scale += 4 * tinydsn_scale_words(how);
            output = (uint8_t *)output + 4 * size;
        }
        for (int32_t i = 0; i < n; i++) {
            const int32_t sum = tinydsn_one_channel(input, w, columns, bits, wide, scale[0] + start);
            tinydsn_finish(scale, sum, how, output, i);
            w += bytes;
            scale += tinydsn_scale_words(how);
        }
        output = (uint8_t *)output + n * size;
        input = (const uint8_t *)input + row_stride * (wide ? 2 : 1);
    }
}

#endif
