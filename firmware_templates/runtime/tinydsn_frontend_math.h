/* Products and shifts of the front end: one instruction each where the core has it, else plain C.
 *
 * Right shifts of negative numbers are arithmetic (GCC and Clang define them so).
 */
#ifndef TINYDSN_FRONTEND_MATH_H
#define TINYDSN_FRONTEND_MATH_H

#include "tinydsn_port.h"

/* Keeps loads through `pointer` behind the calculation of `value`: there are few registers. */
#define LOAD_LATE(pointer, value) __asm("" : "+r"(pointer), "+r"(value))

/* SMMULR: upper half of the product, rounded to nearest. */
static inline int32_t mul_high_round(int32_t a, int32_t b)
{
    return tinydsn_smmulr(a, b);
}

/* SMMLAR: sum + the upper half of the product, rounded to nearest. */
static inline int32_t mul_high_add_round(int32_t sum, int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
#endif
}

/* SMMLSR: the upper half of (sum * 2^32 - a * b), rounded to nearest. */
static inline int32_t mul_high_sub_round(int32_t sum, int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmlsr %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int32_t)(((INT64_C(1) << 31) - (int64_t)a * b) >> 32);
#endif
}

/* SMULWB: bits 16 to 47 of a times the lower halfword of b. */
static inline int32_t mul_low_half(int32_t a, uint32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smulwb %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * (int16_t)b) >> 16);
#endif
}

/* SMMLA: sum + the upper half of the product, rounded down. */
static inline int32_t mul_high_add(int32_t sum, int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* ADD with a shift: value + half / 2, rounded down. GCC would shift once for two sums. */
static inline int32_t add_half(int32_t value, int32_t half)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("add %0, %1, %2, asr #1" : "=r"(result) : "r"(value), "r"(half));
    return result;
#else
    return value + (half >> 1);
#endif
}

/* SUB with a shift: value - half / 2. */
static inline int32_t sub_half(int32_t value, int32_t half)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("sub %0, %1, %2, asr #1" : "=r"(result) : "r"(value), "r"(half));
    return result;
#else
    return value - (half >> 1);
#endif
}

/* RSB with a shift: half / 2 - value. */
static inline int32_t half_sub(int32_t half, int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("rsb %0, %1, %2, asr #1" : "=r"(result) : "r"(value), "r"(half));
    return result;
#else
    return (half >> 1) - value;
#endif
}

/* SSAT with a shift: value >> bits, saturated to 16 bits; bits is a constant. */
#if TINYDSN_DSP
#define SATURATED_SHIFT(result, value, bits) \
    __asm("ssat %0, #16, %1, asr %2" : "=r"(result) : "r"(value), "I"(bits))
#else
#define SATURATED_SHIFT(result, value, bits) ((result) = tinydsn_saturate16((value) >> (bits)))
#endif

/* PKHBT: two halfwords as a word. */
static inline uint32_t pack_halves(int32_t low, int32_t high)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(low), "r"(high));
    return result;
#else
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
#endif
}

/* The lower `bits` bits of value in reverse order; there are no others. */
static inline uint32_t reverse_bits(uint32_t value, int32_t bits)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("rbit %0, %1" : "=r"(result) : "r"(value));
    return bits < 32 ? result >> (32 - bits) : result;
#else
    uint32_t result = 0;
    for (int32_t i = 0; i < bits; i++) {
        result = (result << 1) | ((value >> i) & 1u);
    }
    return result;
#endif
}

#endif
