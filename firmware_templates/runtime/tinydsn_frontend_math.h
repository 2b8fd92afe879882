/* Products and shifts of the front end: one instruction each where the core has it, else plain C.
 *
 * Right shifts of negative numbers are arithmetic (GCC and Clang define them so).
 */
#ifndef TINYDSN_FRONTEND_MATH_H
#define TINYDSN_FRONTEND_MATH_H

#include "tinydsn_port.h"

/* Keeps a calculation that takes `input` behind that of `value`. */
#define AFTER(input, value) __asm("" : "+r"(input), "+r"(value))

/* Keeps loads through `pointer` behind the calculation of `value`: there are few registers. */
#define LOAD_LATE(pointer, value) __asm("" : "+r"(pointer), "+r"(value))

/* Keeps the loads or stores of two neighbours together, so that they become one LDRD or STRD. */
#define TOGETHER(first, second) __asm("" : "+r"(first), "+r"(second))

/* SMMUL: upper half of the product, rounded down. */
static inline int32_t mul_high(int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmul %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* SMMLA: sum + mul_high(a, b). */
static inline int32_t mul_high_add(int32_t sum, int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + mul_high(a, b);
#endif
}

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

/* SMLAWB: sum + bits 16 to 47 of a times the lower halfword of b. */
static inline int32_t mul_half_add(int32_t sum, int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smlawb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    return sum + (int32_t)(((int64_t)a * (int16_t)b) >> 16);
#endif
}

/* Upper half of (sum + whole * 2^31). */
static inline int32_t high_of_sum(int64_t sum, int32_t whole)
{
#if TINYDSN_DSP
    int32_t result, low;
    __asm("adds %0, %2, %4, lsl #31\n\tadc %1, %3, %4, asr #1"
          : "=&r"(low), "=r"(result)
          : "r"((uint32_t)sum), "r"((int32_t)(sum >> 32)), "r"(whole)
          : "cc");
    return result;
#else
    return (int32_t)((sum + (int64_t)whole * (INT64_C(1) << 31)) >> 32);
#endif
}

/* Upper half of (whole * 2^31 - sum). */
static inline int32_t high_of_difference(int64_t sum, int32_t whole)
{
#if TINYDSN_DSP
    int32_t result, low;
    __asm("rsbs %0, %2, %4, lsl #31\n\tsbc %1, %5, %3"
          : "=&r"(low), "=r"(result)
          : "r"((uint32_t)sum), "r"((int32_t)(sum >> 32)), "r"(whole), "r"(whole >> 1)
          : "cc");
    return result;
#else
    return (int32_t)(((int64_t)whole * (INT64_C(1) << 31) - sum) >> 32);
#endif
}

/* Saturates value / 256, rounded down, to 16 bits. */
static inline int16_t saturate_256th(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #16, %1, asr #8" : "=r"(result) : "r"(value));
    return (int16_t)result;
#else
    return (int16_t)tinydsn_saturate16(value >> 8);
#endif
}

/* 1 << bits; 0 for negative bits (above -225), as LSL of a register takes them. */
static inline int32_t one_shifted(int32_t bits)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("lsl %0, %1, %2" : "=r"(result) : "r"(1), "r"(bits));
    return result;
#else
    return bits < 0 ? 0 : (int32_t)1 << bits;
#endif
}

/* Shifts left, of negative numbers too. */
static inline int32_t shift_left(int32_t value, int32_t bits)
{
    return (int32_t)((uint32_t)value << bits);
}

/* The lower `bits` bits of value in reverse order; there are no others. */
static inline uint32_t reverse_bits(uint32_t value, int32_t bits)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("rbit %0, %1" : "=r"(result) : "r"(value));
    return result >> (32 - bits);
#else
    uint32_t result = 0;
    for (int32_t i = 0; i < bits; i++) {
        result = (result << 1) | ((value >> i) & 1u);
    }
    return result;
#endif
}

#endif
