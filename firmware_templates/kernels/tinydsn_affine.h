/*
 * Sums and changes of scale of int8 in one product an input, where the generator has found a line that gives the
 * results of TFLite's roundings for all inputs (tinydsn/codegen/affine.py):
 *     result = saturate((constant + sum of (factor * input >> 8)) >> fraction)
 * with 21 bits of fraction for int8 results, 14 for int16. For cores without MVE that have the DSP extension.
 */
#ifndef TINYDSN_AFFINE_H
#define TINYDSN_AFFINE_H

#include "tinydsn_pairs.h"

#define TINYDSN_UPPER_BYTES 0xFF00FF00u

/* Elements 0 and 2 of a word, and 1 and 3, each 256 times: operands of SMLAWB and SMLAWT. */
static inline uint32_t tinydsn_even_uppers(uint32_t word)
{
    return (word << 8) & TINYDSN_UPPER_BYTES;
}

static inline uint32_t tinydsn_odd_uppers(uint32_t word)
{
    return word & TINYDSN_UPPER_BYTES;
}

/* SSAT with shift. */
static inline int32_t tinydsn_line_s8(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #8, %1, asr #21" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value >> 21, INT8_MIN, INT8_MAX);
#endif
}

static inline int32_t tinydsn_line_s16(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #16, %1, asr #14" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_saturate16(value >> 14);
#endif
}

/* BFI: four bytes as a word; what lies above them is cut off. */
static inline uint32_t tinydsn_four_bytes(int32_t byte0, int32_t byte1, int32_t byte2, int32_t byte3)
{
#if TINYDSN_DSP
    __asm("bfi %0, %1, #8, #8" : "+r"(byte0) : "r"(byte1));
    __asm("bfi %0, %1, #8, #8" : "+r"(byte2) : "r"(byte3));
    return tinydsn_pair(byte0, byte2);
#else
    return (uint32_t)(uint8_t)byte0 | (uint32_t)(uint8_t)byte1 << 8 | (uint32_t)(uint8_t)byte2 << 16
           | (uint32_t)(uint8_t)byte3 << 24;
#endif
}

#endif
