/*
 * Four rows of int16 or int8 activations by 8-bit weights in the layout of tinydsn_dot_s16.h, two channels at a
 * time: 16 multiply-accumulates for 2 loads of activations and 2 of weights that are unpacked once for all rows.
 *
 * The rows are packed first, int8 widened, their pairs side by side: [K / 2][4] words, K rounded up to a multiple
 * of 4.
 */
#ifndef TINYDSN_FOUR_ROWS_H
#define TINYDSN_FOUR_ROWS_H

#include "tinydsn_dot_s16.h"
#include "tinydsn_finish.h"
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

/*
 * Packs four rows, with zeros up to a whole four. Nothing is read beyond the end of a row: what lies there may be
 * somebody else's. aligned: rows start at multiples of 4 bytes.
 */
static TINYDSN_NOINLINE void tinydsn_pack_four_rows(const int16_t *x, int32_t columns, int32_t row_stride,
                                                    int aligned, int16_t *packed)
{
    const int16_t *row0 = x, *row1 = x + row_stride, *row2 = row1 + row_stride, *row3 = row2 + row_stride;
    int32_t left = columns;
    for (; aligned && left >= 4; left -= 4) {
        uint32_t word0, word1, word2, word3, next0, next1, next2, next3;
        tinydsn_load_two(&row0, &word0, &next0);
        tinydsn_load_two(&row1, &word1, &next1);
        tinydsn_load_two(&row2, &word2, &next2);
        tinydsn_load_two(&row3, &word3, &next3);
        tinydsn_store_two(&packed, word0, word1);
        tinydsn_store_two(&packed, word2, word3);
        tinydsn_store_two(&packed, next0, next1);
        tinydsn_store_two(&packed, next2, next3);
    }
    for (x += columns - left; left > 0; left -= 4) {
        for (int32_t k = 0; k < 4; k++) {
            int16_t *const pair = packed + 8 * (k >> 1) + (k & 1);
            for (int32_t row = 0; row < 4; row++) {
                pair[2 * row] = k < left ? x[row * row_stride + k] : 0;
            }
        }
        x += 4;
        packed += 16;
    }
}

/* The same of int8, from any address: columns of a four in the order 0 2 1 3. */
static TINYDSN_NOINLINE void tinydsn_pack_four_rows_s8(const int8_t *x, int32_t columns, int32_t row_stride,
                                                       int16_t *packed)
{
    const int8_t *row0 = x, *row1 = x + row_stride, *row2 = row1 + row_stride, *row3 = row2 + row_stride;
    int32_t left = columns;
    for (; left >= 4; left -= 4) {
        const uint32_t word0 = tinydsn_load32(row0), word1 = tinydsn_load32(row1);
        const uint32_t word2 = tinydsn_load32(row2), word3 = tinydsn_load32(row3);
        tinydsn_store_two(&packed, tinydsn_sxtb16(word0), tinydsn_sxtb16(word1));
        tinydsn_store_two(&packed, tinydsn_sxtb16(word2), tinydsn_sxtb16(word3));
        tinydsn_store_two(&packed, tinydsn_sxtb16_ror8(word0), tinydsn_sxtb16_ror8(word1));
        tinydsn_store_two(&packed, tinydsn_sxtb16_ror8(word2), tinydsn_sxtb16_ror8(word3));
        row0 += 4;
        row1 += 4;
        row2 += 4;
        row3 += 4;
    }
    for (int32_t k = 0; left > 0 && k < 4; k++) {
        int16_t *const pair = packed + 8 * (k & 1) + (k >> 1);
        pair[0] = k < left ? row0[k] : 0;
        pair[2] = k < left ? row1[k] : 0;
        pair[4] = k < left ? row2[k] : 0;
        pair[6] = k < left ? row3[k] : 0;
    }
}

/* Adds four packed rows by one channel, whose words are `step` bytes apart. */
TINYDSN_INLINE void tinydsn_dot_4x1(int32_t fours, const int16_t *x, const int8_t *w, int32_t step,
                                   int32_t sums[4])
{
    for (; fours > 0; fours--) {
        const uint32_t word = tinydsn_load32(w), low = tinydsn_sxtb16(word), high = tinydsn_sxtb16_ror8(word);
        for (int32_t row = 0; row < 4; row++) {
            sums[row] = tinydsn_smlad(tinydsn_load32(x + 2 * row), low, sums[row]);
            sums[row] = tinydsn_smlad(tinydsn_load32(x + 8 + 2 * row), high, sums[row]);
        }
        x += 16;
        w += step;
    }
}

/* Channel n, whose first word is w, of four packed rows. */
TINYDSN_INLINE void tinydsn_four_rows_1(const tinydsn_matrix *matrix, int32_t fours, int32_t n, const int8_t *w,
                                       int32_t step, const int16_t *x, tinydsn_finishing how, void *output)
{
    const int32_t *const scale = matrix->scales + 3 * n;
    int32_t sums[4] = {scale[0], scale[0], scale[0], scale[0]};
    tinydsn_dot_4x1(fours, x, w, step, sums);
    for (int32_t row = 0; row < 4; row++) {
        tinydsn_finish(scale, sums[row], how, output, row * matrix->channels + n);
    }
}

#if TINYDSN_ASSEMBLY

/* One pair of columns of two channels by four rows. */
#define TINYDSN_TWO_BY_TWO(first, second)                                                                    \
    "ldrd    %[p], %[q], [%[x]], #8\n\t"                                                                     \
    "smlad   %[a" first "], %[p], %[a], %[a" first "]\n\t"                                                   \
    "smlad   %[b" first "], %[p], %[b], %[b" first "]\n\t"                                                   \
    "smlad   %[a" second "], %[q], %[a], %[a" second "]\n\t"                                                 \
    "smlad   %[b" second "], %[q], %[b], %[b" second "]\n\t"

/* One four of columns. */
#define TINYDSN_FOUR_BY_TWO                                                                                  \
    "ldrd    %[a], %[b], [%[w]]\n\t"                                                                         \
    "sxtb16  %[a], %[a]\n\t"                                                                                 \
    "sxtb16  %[b], %[b]\n\t"                                                                                 \
    TINYDSN_TWO_BY_TWO("0", "1")                                                                             \
    TINYDSN_TWO_BY_TWO("2", "3")                                                                             \
    "ldrd    %[a], %[b], [%[w]], #8\n\t"                                                                     \
    "sxtb16  %[a], %[a], ror #8\n\t"                                                                         \
    "sxtb16  %[b], %[b], ror #8\n\t"                                                                         \
    TINYDSN_TWO_BY_TWO("0", "1")                                                                             \
    TINYDSN_TWO_BY_TWO("2", "3")

/* The outputs of a row: `p` and `a` are the channels' multipliers. */
#define TINYDSN_FINISH_TWO(row, saturate, bits)                                                              \
    "smmulr  %[a" row "], %[a" row "], %[p]\n\t"                                                             \
    "smmulr  %[b" row "], %[b" row "], %[a]\n\t"                                                             \
    saturate " %[a" row "], #" bits ", %[a" row "]\n\t"                                                      \
    saturate " %[b" row "], #" bits ", %[b" row "]\n\t"                                                      \
    "pkhbt   %[a" row "], %[a" row "], %[b" row "], lsl #16\n\t"

/* Two channels of four rows: finished and stored. Then `q` is the place of the next scales, `a` where they end. */
#define TINYDSN_FINISH_S16(saturate, bits)                                                                   \
    "ldr     %[q], %[scale]\n\t"                                                                             \
    "ldr     %[p], [%[q], #4]\n\t"                                                                           \
    "ldr     %[a], [%[q], #16]\n\t"                                                                          \
    "adds    %[q], #24\n\t"                                                                                  \
    "str     %[q], %[scale]\n\t"                                                                             \
    TINYDSN_FINISH_TWO("0", saturate, bits)                                                                  \
    TINYDSN_FINISH_TWO("1", saturate, bits)                                                                  \
    TINYDSN_FINISH_TWO("2", saturate, bits)                                                                  \
    TINYDSN_FINISH_TWO("3", saturate, bits)                                                                  \
    "ldr     %[p], %[output]\n\t"                                                                            \
    "ldr     %[b], %[stride]\n\t"                                                                            \
    "ldr     %[a], %[last]\n\t"                                                                              \
    "str     %[a1], [%[p], %[b]]\n\t"                                                                        \
    "str     %[a2], [%[p], %[b], lsl #1]\n\t"                                                                \
    "add     %[x], %[p], %[b]\n\t"                                                                           \
    "str     %[a0], [%[p]], #4\n\t"                                                                          \
    "str     %[a3], [%[x], %[b], lsl #1]\n\t"                                                                \
    "str     %[p], %[output]\n\t"

/* int8: `p` and `x` are the first channel's multiplier and power, `a` and `b` those of the second, `q` the offset. */
#define TINYDSN_FINISH_TWO_S8(row)                                                                           \
    "smmlar  %[a" row "], %[a" row "], %[p], %[a" row "]\n\t"                                                \
    "smmlar  %[b" row "], %[b" row "], %[a], %[b" row "]\n\t"                                                \
    "add     %[a" row "], %[a" row "], %[a" row "], asr #31\n\t"                                             \
    "add     %[b" row "], %[b" row "], %[b" row "], asr #31\n\t"                                             \
    "smmlsr  %[a" row "], %[a" row "], %[x], %[q]\n\t"                                                       \
    "smmlsr  %[b" row "], %[b" row "], %[b], %[q]\n\t"                                                       \
    "ssat    %[a" row "], #8, %[a" row "]\n\t"                                                               \
    "ssat    %[b" row "], #8, %[b" row "]\n\t"                                                               \
    "bfi     %[a" row "], %[b" row "], #8, #8\n\t"

#define TINYDSN_FINISH_S8                                                                                    \
    "ldr     %[q], %[scale]\n\t"                                                                             \
    "ldrd    %[p], %[x], [%[q], #4]\n\t"                                                                     \
    "ldrd    %[a], %[b], [%[q], #16]\n\t"                                                                    \
    "adds    %[q], #24\n\t"                                                                                  \
    "str     %[q], %[scale]\n\t"                                                                             \
    "ldr     %[q], %[offset]\n\t"                                                                            \
    TINYDSN_FINISH_TWO_S8("0")                                                                               \
    TINYDSN_FINISH_TWO_S8("1")                                                                               \
    TINYDSN_FINISH_TWO_S8("2")                                                                               \
    TINYDSN_FINISH_TWO_S8("3")                                                                               \
    "ldr     %[p], %[output]\n\t"                                                                            \
    "ldr     %[b], %[stride]\n\t"                                                                            \
    "ldr     %[q], %[scale]\n\t"                                                                             \
    "ldr     %[a], %[last]\n\t"                                                                              \
    "strh    %[a1], [%[p], %[b]]\n\t"                                                                        \
    "strh    %[a2], [%[p], %[b], lsl #1]\n\t"                                                                \
    "add     %[x], %[p], %[b]\n\t"                                                                           \
    "strh    %[a0], [%[p]], #2\n\t"                                                                          \
    "strh    %[a3], [%[x], %[b], lsl #1]\n\t"                                                                \
    "str     %[p], %[output]\n\t"

/* Where rows are cut: from the end of a pair's columns to the next pair. */
#if TINYDSN_CUT
#define TINYDSN_CUT_VARIABLE const int32_t skip = tinydsn_skip(matrix);
#define TINYDSN_CUT_OPERAND , [skip] "m"(skip)
#define TINYDSN_CUT_NEXT                                                                                     \
    "ldr     %[a], %[skip]\n\t"                                                                              \
    "add     %[w], %[w], %[a]\n\t"
#else
#define TINYDSN_CUT_VARIABLE
#define TINYDSN_CUT_OPERAND
#define TINYDSN_CUT_NEXT
#endif

/*
 * All pairs of channels; int16: whose results are the rounded upper halves. Every register is taken: what changes
 * from pair to pair lives in memory, and the loop over columns, entered in the middle for an odd count, ends by the
 * place that it has reached. last_operand: `offset`, or for int16, which has none, what is there anyway.
 */
#define TINYDSN_FOUR_ROWS(name, size, last_operand, finish)                                                  \
    static TINYDSN_NOINLINE void name(const tinydsn_matrix *matrix, int32_t fours, const int16_t *packed,    \
                                      void *output)                                                          \
    {                                                                                                        \
        const int8_t *w = matrix->weights;                                                                   \
        const int32_t *scale = matrix->scales, *const last = scale + 3 * (matrix->channels & ~1);            \
        const int16_t *const end = packed + 16 * fours, *x;                                                  \
        const int32_t odd = fours << 31, stride = size * matrix->channels;                                   \
        const int32_t offset = matrix->output_offset;                                                        \
        TINYDSN_CUT_VARIABLE                                                                                 \
        (void)offset;                                                                                        \
        int32_t a0, a1, a2, a3, b0, b1, b2, b3, a, b, p, q;                                                  \
        __asm volatile(                                                                                      \
            "ldr     %[q], %[scale]\n\t"                                                                     \
            "1:\n\t"                                                                                         \
            "ldr     %[p], %[odd]\n\t"                                                                       \
            "ldr     %[a0], [%[q]]\n\t"                                                                      \
            "ldr     %[b0], [%[q], #12]\n\t"                                                                 \
            "ldr     %[x], %[packed]\n\t"                                                                    \
            "mov     %[a1], %[a0]\n\t"                                                                       \
            "mov     %[a2], %[a0]\n\t"                                                                       \
            "mov     %[a3], %[a0]\n\t"                                                                       \
            "mov     %[b1], %[b0]\n\t"                                                                       \
            "mov     %[b2], %[b0]\n\t"                                                                       \
            "mov     %[b3], %[b0]\n\t"                                                                       \
            "cmp     %[p], #0\n\t"                                                                           \
            "bne     3f\n\t"                                                                                 \
            "2:\n\t" TINYDSN_FOUR_BY_TWO                                                                     \
            "3:\n\t" TINYDSN_FOUR_BY_TWO                                                                     \
            "ldr     %[a], %[end]\n\t"                                                                       \
            "cmp     %[x], %[a]\n\t"                                                                         \
            "bne     2b\n\t" TINYDSN_CUT_NEXT                                                                \
            finish                                                                                           \
            "cmp     %[q], %[a]\n\t"                                                                         \
            "bne     1b\n\t"                                                                                 \
            : [x] "=&r"(x), [w] "+r"(w), [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3),     \
              [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3), [a] "=&r"(a), [b] "=&r"(b),    \
              [p] "=&r"(p), [q] "=&r"(q), [scale] "+m"(scale), [output] "+m"(output)                         \
            : [odd] "m"(odd), [packed] "m"(packed), [end] "m"(end), [stride] "m"(stride), [last] "m"(last),  \
              [offset] "m"(last_operand) TINYDSN_CUT_OPERAND                                                 \
            : "cc", "memory");                                                                               \
    }

TINYDSN_FOUR_ROWS(tinydsn_four_rows_any, 2, stride, TINYDSN_FINISH_S16("ssat", "16"))
TINYDSN_FOUR_ROWS(tinydsn_four_rows_relu, 2, stride, TINYDSN_FINISH_S16("usat", "15"))
TINYDSN_FOUR_ROWS(tinydsn_four_rows_s8, 1, offset, TINYDSN_FINISH_S8)

#endif

/* All channels of four packed rows; int16: whose results are the rounded upper halves. */
TINYDSN_INLINE void tinydsn_four_rows(const tinydsn_matrix *matrix, const int16_t *packed, tinydsn_finishing how,
                                     void *output)
{
    const int32_t fours = (matrix->columns + 3) / 4, even = matrix->channels & ~1;
#if TINYDSN_ASSEMBLY
    if (even > 0 && how.narrow) {
        tinydsn_four_rows_s8(matrix, fours, packed, output);
    } else if (even > 0 && how.relu) {
        tinydsn_four_rows_relu(matrix, fours, packed, output);
    } else if (even > 0) {
        tinydsn_four_rows_any(matrix, fours, packed, output);
    }
#else
    for (int32_t n = 0; n < even; n++) {
        const int8_t *const w =
            matrix->weights + (n >> 1) * 8 * fours + (n & 1) * 4 + (n >> 1) * tinydsn_skip(matrix);
        tinydsn_four_rows_1(matrix, fours, n, w, 8, packed, how, output);
    }
#endif
    if (even < matrix->channels) {
        const int8_t *const w = matrix->weights + even * 4 * fours + (even >> 1) * tinydsn_skip(matrix);
        const int32_t step = TINYDSN_CUT && !tinydsn_alone(matrix, even) ? 8 : 4;
        tinydsn_four_rows_1(matrix, fours, even, w, step, packed, how, output);
    }
}

#endif
