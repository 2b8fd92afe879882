/*
 * Inner loops of the matrix kernels: sums of int16 activations by int8 or 4-bit weights, blocks of rows by
 * channels, 32-bit sums (modulo 2^32; the generator has proven that the final sums fit).
 *
 * Layout of 8-bit weights: fours of columns; those of two channels alternate ([N / 2][K / 4][2][4]). The first
 * and third byte of a four (SXTB16) meet the first pair of activations, the others (rotated) the second.
 * Layout of 4-bit weights: eights of columns, a word each, those of two channels alternate ([N / 2][K / 8][2]).
 * A nibble is the weight + 8; nibbles 0 and 4 of a word meet the first pair of activations, 1 and 5 the second,
 * 2 and 6, 3 and 7. The caller takes 8 * sum(x) away.
 *
 * On cores with the DSP extension the loops are written out in assembly, twice unrolled and entered in the
 * middle for odd counts: GCC keeps neither all operands in registers nor loads in pairs. Rows and weights
 * must start at a multiple of 4 bytes there.
 */
#ifndef TINYDSN_DOT_S16_H
#define TINYDSN_DOT_S16_H

#include "tinydsn_port.h"

#if TINYDSN_DSP && defined(__OPTIMIZE__)
#define TINYDSN_ASSEMBLY 1
#else
#define TINYDSN_ASSEMBLY 0
#endif

#define TINYDSN_NIBBLES 0x000F000Fu

/* Two halves of one loop that runs count times in all: an odd count starts in the middle. */
#define TINYDSN_TWICE(half)                                                                                  \
    "lsrs    %[count], %[count], #1\n\t"                                                                     \
    "bcc     1f\n\t"                                                                                         \
    "add     %[count], #1\n\t"                                                                               \
    "b       2f\n\t"                                                                                         \
    "1:\n\t" half "2:\n\t" half "subs    %[count], #1\n\t"                                                   \
    "bne     1b\n\t"

/* One word of 8-bit weights by two pairs of activations. */
#define TINYDSN_FOUR(word, low, high, sum)                                                                   \
    "sxtb16  %[t], %[" word "]\n\t"                                                                          \
    "smlad   %[" sum "], %[" low "], %[t], %[" sum "]\n\t"                                                   \
    "sxtb16  %[t], %[" word "], ror #8\n\t"                                                                  \
    "smlad   %[" sum "], %[" high "], %[t], %[" sum "]\n\t"

/* The same for two rows. */
#define TINYDSN_FOUR_TWICE(word, sum0, sum1)                                                                 \
    "sxtb16  %[t], %[" word "]\n\t"                                                                          \
    "smlad   %[" sum0 "], %[p0], %[t], %[" sum0 "]\n\t"                                                      \
    "smlad   %[" sum1 "], %[q0], %[t], %[" sum1 "]\n\t"                                                      \
    "sxtb16  %[t], %[" word "], ror #8\n\t"                                                                  \
    "smlad   %[" sum0 "], %[p1], %[t], %[" sum0 "]\n\t"                                                      \
    "smlad   %[" sum1 "], %[q1], %[t], %[" sum1 "]\n\t"

/* One word of 4-bit weights by two pairs of activations; the shifts bring their nibbles down. */
#define TINYDSN_NIBBLE_PAIRS(word, shift0, shift1, sum)                                                      \
    "and     %[t], %[mask], %[" word "]" shift0 "\n\t"                                                       \
    "smlad   %[" sum "], %[p0], %[t], %[" sum "]\n\t"                                                        \
    "and     %[t], %[mask], %[" word "], lsr #" shift1 "\n\t"                                                \
    "smlad   %[" sum "], %[p1], %[t], %[" sum "]\n\t"

/* Adds `fours` times 4 columns of one row by one channel; its words are `step` bytes apart. */
static inline int32_t tinydsn_dot_1x1(int32_t fours, const int16_t *x, const int8_t *w, int32_t step,
                                      int32_t sum)
{
    for (; fours > 0; fours--) {
        const uint32_t word = tinydsn_load32(w);
        sum = tinydsn_smlad(tinydsn_load32(x), tinydsn_sxtb16(word), sum);
        sum = tinydsn_smlad(tinydsn_load32(x + 2), tinydsn_sxtb16_ror8(word), sum);
        x += 4;
        w += step;
    }
    return sum;
}

/* As tinydsn_dot_1x1 with 4-bit weights, `eights` times 8 columns. */
static inline int32_t tinydsn_nibbles_1x1(int32_t eights, const int16_t *x, const int8_t *w, int32_t step,
                                          int32_t sum)
{
    for (; eights > 0; eights--) {
        const uint32_t word = tinydsn_load32(w);
        for (int32_t pair = 0; pair < 4; pair++) {
            sum = tinydsn_smlad(tinydsn_load32(x + 2 * pair), (word >> (4 * pair)) & TINYDSN_NIBBLES, sum);
        }
        x += 8;
        w += step;
    }
    return sum;
}

#if TINYDSN_ASSEMBLY

/* One row by the four channels of two blocks; returns the next block. */
static inline const int8_t *tinydsn_dot_1x4(int32_t fours, const int16_t *x, const int8_t *w, int32_t sums[4])
{
    const int8_t *next = w + 8 * fours;
    uint32_t p0, p1, word0, word1, t;
    __asm volatile(
        TINYDSN_TWICE(
            "ldrd    %[p0], %[p1], [%[x]], #8\n\t"
            "ldrd    %[word0], %[word1], [%[w]], #8\n\t"
            TINYDSN_FOUR("word0", "p0", "p1", "sum0")
            TINYDSN_FOUR("word1", "p0", "p1", "sum1")
            "ldrd    %[word0], %[word1], [%[next]], #8\n\t"
            TINYDSN_FOUR("word0", "p0", "p1", "sum2")
            TINYDSN_FOUR("word1", "p0", "p1", "sum3"))
        : [x] "+r"(x), [w] "+r"(w), [next] "+r"(next), [count] "+r"(fours), [sum0] "+r"(sums[0]),
          [sum1] "+r"(sums[1]), [sum2] "+r"(sums[2]), [sum3] "+r"(sums[3]), [word0] "=&r"(word0),
          [word1] "=&r"(word1), [p0] "=&r"(p0), [p1] "=&r"(p1), [t] "=&r"(t)
        :
        : "cc", "memory");
    return next;
}

/* Two rows by the two channels of a block; sums[row][channel]; returns the next block. */
static inline const int8_t *tinydsn_dot_2x2(int32_t fours, const int16_t *x0, const int16_t *x1,
                                            const int8_t *w, int32_t sums[4])
{
    uint32_t p0, p1, q0, q1, word, t;
    __asm volatile(
        TINYDSN_TWICE(
            "ldrd    %[p0], %[p1], [%[x0]], #8\n\t"
            "ldrd    %[q0], %[q1], [%[x1]], #8\n\t"
            "ldr     %[word], [%[w]], #4\n\t"
            TINYDSN_FOUR_TWICE("word", "sum0", "sum2")
            "ldr     %[word], [%[w]], #4\n\t"
            TINYDSN_FOUR_TWICE("word", "sum1", "sum3"))
        : [x0] "+r"(x0), [x1] "+r"(x1), [w] "+r"(w), [count] "+r"(fours), [sum0] "+r"(sums[0]),
          [sum1] "+r"(sums[1]), [sum2] "+r"(sums[2]), [sum3] "+r"(sums[3]), [word] "=&r"(word),
          [p0] "=&r"(p0), [p1] "=&r"(p1), [q0] "=&r"(q0), [q1] "=&r"(q1), [t] "=&r"(t)
        :
        : "cc", "memory");
    return w;
}

/* 4-bit weights: one row by the four channels of two blocks; `eights` > 0 times 8 columns. */
static inline const int8_t *tinydsn_nibbles_1x4(int32_t eights, const int16_t *x, const int8_t *w,
                                                int32_t sums[4])
{
    const int8_t *next = w + 8 * eights;
    uint32_t p0, p1, word0, word1, t;
    __asm volatile(
        "1:\n\t"
        "ldrd    %[p0], %[p1], [%[x]], #8\n\t"
        "ldrd    %[word0], %[word1], [%[w]], #8\n\t"
        TINYDSN_NIBBLE_PAIRS("word0", "", "4", "sum0")
        TINYDSN_NIBBLE_PAIRS("word1", "", "4", "sum1")
        "ldrd    %[p0], %[p1], [%[x]], #-8\n\t"
        TINYDSN_NIBBLE_PAIRS("word0", ", lsr #8", "12", "sum0")
        TINYDSN_NIBBLE_PAIRS("word1", ", lsr #8", "12", "sum1")
        "ldrd    %[p0], %[p1], [%[x]], #8\n\t"
        "ldrd    %[word0], %[word1], [%[next]], #8\n\t"
        TINYDSN_NIBBLE_PAIRS("word0", "", "4", "sum2")
        TINYDSN_NIBBLE_PAIRS("word1", "", "4", "sum3")
        "ldrd    %[p0], %[p1], [%[x]], #8\n\t"
        TINYDSN_NIBBLE_PAIRS("word0", ", lsr #8", "12", "sum2")
        TINYDSN_NIBBLE_PAIRS("word1", ", lsr #8", "12", "sum3")
        "subs    %[count], #1\n\t"
        "bne     1b\n\t"
        : [x] "+r"(x), [w] "+r"(w), [next] "+r"(next), [count] "+r"(eights), [sum0] "+r"(sums[0]),
          [sum1] "+r"(sums[1]), [sum2] "+r"(sums[2]), [sum3] "+r"(sums[3]), [word0] "=&r"(word0),
          [word1] "=&r"(word1), [p0] "=&r"(p0), [p1] "=&r"(p1), [t] "=&r"(t)
        : [mask] "r"(TINYDSN_NIBBLES)
        : "cc", "memory");
    return next;
}

#else

static inline const int8_t *tinydsn_dot_1x4(int32_t fours, const int16_t *x, const int8_t *w, int32_t sums[4])
{
    for (int32_t channel = 0; channel < 4; channel++) {
        const int8_t *first = w + (channel >> 1) * 8 * fours + (channel & 1) * 4;
        sums[channel] = tinydsn_dot_1x1(fours, x, first, 8, sums[channel]);
    }
    return w + 16 * fours;
}

static inline const int8_t *tinydsn_dot_2x2(int32_t fours, const int16_t *x0, const int16_t *x1,
                                            const int8_t *w, int32_t sums[4])
{
    for (int32_t channel = 0; channel < 2; channel++) {
        sums[channel] = tinydsn_dot_1x1(fours, x0, w + 4 * channel, 8, sums[channel]);
        sums[2 + channel] = tinydsn_dot_1x1(fours, x1, w + 4 * channel, 8, sums[2 + channel]);
    }
    return w + 8 * fours;
}

static inline const int8_t *tinydsn_nibbles_1x4(int32_t eights, const int16_t *x, const int8_t *w,
                                                int32_t sums[4])
{
    for (int32_t channel = 0; channel < 4; channel++) {
        const int8_t *first = w + (channel >> 1) * 8 * eights + (channel & 1) * 4;
        sums[channel] = tinydsn_nibbles_1x1(eights, x, first, 8, sums[channel]);
    }
    return w + 16 * eights;
}

#endif

#endif
