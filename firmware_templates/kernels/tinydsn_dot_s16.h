/*
 * Inner loops of the 16x8 kernels with interleaved weights: sums of a block of rows and channels.
 *
 * On cores with the DSP extension they are written out in assembly: 19 instructions for 16 products. GCC
 * makes 23 to 26 of the C below, for want of registers.
 */
#ifndef TINYDSN_DOT_S16_H
#define TINYDSN_DOT_S16_H

#include "tinydsn_port.h"

/*
 * Adds `fours` times 4 columns of two rows by two channels to sums[row][channel]; advances all pointers.
 */
static inline void tinydsn_dot_2x2(int32_t fours, const int16_t **row0, const int16_t **row1,
                                   const int8_t **weights, int32_t sums[2][2])
{
    const int16_t *x0 = *row0, *x1 = *row1;
    const int8_t *w = *weights;
    int32_t sum00 = sums[0][0], sum01 = sums[0][1], sum10 = sums[1][0], sum11 = sums[1][1];
#if TINYDSN_DSP
    uint32_t word0, word1, pair0, pair1, operand;
    __asm volatile(
        "1:\n\t"
        "ldrd    %[word0], %[word1], [%[w]], #8\n\t"
        "ldr     %[pair0], [%[x0]], #4\n\t"
        "ldr     %[pair1], [%[x1]], #4\n\t"
        "sxtb16  %[operand], %[word0]\n\t"
        "smlad   %[sum00], %[pair0], %[operand], %[sum00]\n\t"
        "smlad   %[sum10], %[pair1], %[operand], %[sum10]\n\t"
        "sxtb16  %[operand], %[word1]\n\t"
        "smlad   %[sum01], %[pair0], %[operand], %[sum01]\n\t"
        "smlad   %[sum11], %[pair1], %[operand], %[sum11]\n\t"
        "ldr     %[pair0], [%[x0]], #4\n\t"
        "ldr     %[pair1], [%[x1]], #4\n\t"
        "sxtb16  %[operand], %[word0], ror #8\n\t"
        "smlad   %[sum00], %[pair0], %[operand], %[sum00]\n\t"
        "smlad   %[sum10], %[pair1], %[operand], %[sum10]\n\t"
        "sxtb16  %[operand], %[word1], ror #8\n\t"
        "smlad   %[sum01], %[pair0], %[operand], %[sum01]\n\t"
        "smlad   %[sum11], %[pair1], %[operand], %[sum11]\n\t"
        "subs    %[fours], %[fours], #1\n\t"
        "bne     1b\n\t"
        : [x0] "+r"(x0), [x1] "+r"(x1), [w] "+r"(w), [fours] "+r"(fours), [sum00] "+r"(sum00),
          [sum01] "+r"(sum01), [sum10] "+r"(sum10), [sum11] "+r"(sum11), [word0] "=&r"(word0),
          [word1] "=&r"(word1), [pair0] "=&r"(pair0), [pair1] "=&r"(pair1), [operand] "=&r"(operand)
        :
        : "cc", "memory");
#else
    for (; fours > 0; fours--) {
        const uint32_t word0 = tinydsn_load32(w), word1 = tinydsn_load32(w + 4);
        for (int32_t half = 0; half < 2; half++) {
            const uint32_t pair0 = tinydsn_load32(x0), pair1 = tinydsn_load32(x1);
            const uint32_t operand0 = half ? tinydsn_sxtb16_ror8(word0) : tinydsn_sxtb16(word0);
            const uint32_t operand1 = half ? tinydsn_sxtb16_ror8(word1) : tinydsn_sxtb16(word1);
            sum00 = tinydsn_smlad(pair0, operand0, sum00);
            sum10 = tinydsn_smlad(pair1, operand0, sum10);
            sum01 = tinydsn_smlad(pair0, operand1, sum01);
            sum11 = tinydsn_smlad(pair1, operand1, sum11);
            x0 += 2;
            x1 += 2;
        }
        w += 8;
    }
#endif
    *row0 = x0;
    *row1 = x1;
    *weights = w;
    sums[0][0] = sum00;
    sums[0][1] = sum01;
    sums[1][0] = sum10;
    sums[1][1] = sum11;
}

/* Adds `fours` times 4 columns of one row by two channels to sums[channel]; advances both pointers. */
static inline void tinydsn_dot_1x2(int32_t fours, const int16_t **row, const int8_t **weights,
                                   int32_t sums[2])
{
    const int16_t *x = *row;
    const int8_t *w = *weights;
    int32_t sum0 = sums[0], sum1 = sums[1];
    for (; fours > 0; fours--) {
        const uint32_t word0 = tinydsn_load32(w), word1 = tinydsn_load32(w + 4);
        const uint32_t low = tinydsn_load32(x), high = tinydsn_load32(x + 2);
        sum0 = tinydsn_smlad(low, tinydsn_sxtb16(word0), sum0);
        sum1 = tinydsn_smlad(low, tinydsn_sxtb16(word1), sum1);
        sum0 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word0), sum0);
        sum1 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word1), sum1);
        x += 4;
        w += 8;
    }
    *row = x;
    *weights = w;
    sums[0] = sum0;
    sums[1] = sum1;
}

/* One row by one channel. */
static inline int32_t tinydsn_dot_1x1(int32_t fours, const int16_t **row, const int8_t **weights, int32_t sum)
{
    const int16_t *x = *row;
    const int8_t *w = *weights;
    for (; fours > 0; fours--) {
        const uint32_t word = tinydsn_load32(w);
        sum = tinydsn_smlad(tinydsn_load32(x), tinydsn_sxtb16(word), sum);
        sum = tinydsn_smlad(tinydsn_load32(x + 2), tinydsn_sxtb16_ror8(word), sum);
        x += 4;
        w += 4;
    }
    *row = x;
    *weights = w;
    return sum;
}

#endif
