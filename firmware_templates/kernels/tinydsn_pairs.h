/*
 * Instructions of the DSP extension that work on pairs of int16 and on upper halves of products, and the same
 * in plain C. A pair is a word: its first element in the lower half.
 */
#ifndef TINYDSN_PAIRS_H
#define TINYDSN_PAIRS_H

#include "tinydsn_port.h"

/* One instruction with two or three operands; DSP names are those of the Arm manual. */
#if TINYDSN_DSP
#define TINYDSN_TWO(name, a, b)                                                                              \
    int32_t result;                                                                                          \
    __asm(name " %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));                                               \
    return result
#define TINYDSN_THREE(name, a, b, c)                                                                         \
    int32_t result;                                                                                          \
    __asm(name " %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));                                   \
    return result
#endif

static inline int32_t tinydsn_low(uint32_t pair)
{
    return (int16_t)pair;
}

static inline int32_t tinydsn_high(uint32_t pair)
{
    return (int32_t)pair >> 16;
}

/* PKHBT: two values as a pair; their upper halves are cut off. */
static inline uint32_t tinydsn_pair(int32_t low, int32_t high)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(low), "r"(high));
    return result;
#else
    return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16);
#endif
}

/* PKHBT and PKHTB: the lower halves of two pairs as a pair, and their upper halves. */
static inline uint32_t tinydsn_lows(uint32_t first, uint32_t second)
{
    return tinydsn_pair((int32_t)first, (int32_t)second);
}

static inline uint32_t tinydsn_highs(uint32_t first, uint32_t second)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(second), "r"(first));
    return result;
#else
    return (second & 0xFFFF0000u) | (first >> 16);
#endif
}

/* LSL and PKHTB: two values of 31 bits, shifted right by 15, as a pair. */
static inline uint32_t tinydsn_pair_q15(int32_t low, int32_t high)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("pkhtb %0, %1, %2, asr #15" : "=r"(result) : "r"((uint32_t)high << 1), "r"(low));
    return result;
#else
    return tinydsn_pair(low >> 15, high >> 15);
#endif
}

/* SMULBB, SMULBT and SMULTT: product of two halves. */
static inline int32_t tinydsn_smulbb(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("smulbb", a, b);
#else
    return tinydsn_low(a) * tinydsn_low(b);
#endif
}

static inline int32_t tinydsn_smulbt(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("smulbt", a, b);
#else
    return tinydsn_low(a) * tinydsn_high(b);
#endif
}

static inline int32_t tinydsn_smultt(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("smultt", a, b);
#else
    return tinydsn_high(a) * tinydsn_high(b);
#endif
}

/* SSUB16: differences of two pairs, modulo 2^16. */
static inline uint32_t tinydsn_ssub16(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("ssub16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b) : "cc");
    return result;
#else
    return ((a - b) & 0xFFFFu) | ((a & 0xFFFF0000u) - (b & 0xFFFF0000u));
#endif
}

/* SMULTB: product of the upper half of a and the lower half of b. */
static inline int32_t tinydsn_smultb(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("smultb", a, b);
#else
    return tinydsn_high(a) * tinydsn_low(b);
#endif
}

/* MLA: a * b + c, modulo 2^32; GCC often prefers MUL and ADD. */
static inline int32_t tinydsn_mla(int32_t a, int32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("mla", a, b, c);
#else
    return (int32_t)((uint32_t)a * (uint32_t)b + (uint32_t)c);
#endif
}

/* SMLABB, SMLATB and SMLATT: c plus a product of two halves, modulo 2^32. */
static inline int32_t tinydsn_smlabb(uint32_t a, uint32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smlabb", a, b, c);
#else
    return (int32_t)((uint32_t)(tinydsn_low(a) * tinydsn_low(b)) + (uint32_t)c);
#endif
}

static inline int32_t tinydsn_smlatb(uint32_t a, uint32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smlatb", a, b, c);
#else
    return (int32_t)((uint32_t)(tinydsn_high(a) * tinydsn_low(b)) + (uint32_t)c);
#endif
}

static inline int32_t tinydsn_smlatt(uint32_t a, uint32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smlatt", a, b, c);
#else
    return (int32_t)((uint32_t)(tinydsn_high(a) * tinydsn_high(b)) + (uint32_t)c);
#endif
}

/* SMLAWB and SMLAWT: c plus a word times a half, shifted right by 16, modulo 2^32. */
static inline int32_t tinydsn_smlawb(int32_t a, uint32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smlawb", a, b, c);
#else
    return (int32_t)((uint32_t)(((int64_t)a * tinydsn_low(b)) >> 16) + (uint32_t)c);
#endif
}

static inline int32_t tinydsn_smlawt(int32_t a, uint32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smlawt", a, b, c);
#else
    return (int32_t)((uint32_t)(((int64_t)a * tinydsn_high(b)) >> 16) + (uint32_t)c);
#endif
}

/* SMUAD: low(a) * low(b) + high(a) * high(b); wraps to -2^31 where all four are -32768. */
static inline int32_t tinydsn_smuad(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("smuad", a, b);
#else
    return tinydsn_smlad(a, b, 0);
#endif
}

/* QADD: the nearest int32 to a sum. */
static inline int32_t tinydsn_qadd(int32_t a, int32_t b)
{
#if TINYDSN_DSP
    TINYDSN_TWO("qadd", a, b);
#else
    const int64_t sum = (int64_t)a + b;
    return (int32_t)(sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : sum);
#endif
}

/* SMMLA: upper half of a * b, rounded down, plus c, modulo 2^32. */
static inline int32_t tinydsn_smmla(int32_t a, int32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smmla", a, b, c);
#else
    return (int32_t)((uint32_t)(((int64_t)a * b) >> 32) + (uint32_t)c);
#endif
}

/* SMMLAR: upper half of a * b, rounded, plus c, modulo 2^32. */
static inline int32_t tinydsn_smmlar(int32_t a, int32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smmlar", a, b, c);
#else
    return (int32_t)((uint32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32) + (uint32_t)c);
#endif
}

/* SMMLSR: c minus the upper half of a * b, rounded once together, modulo 2^32. */
static inline int32_t tinydsn_smmlsr(int32_t a, int32_t b, int32_t c)
{
#if TINYDSN_DSP
    TINYDSN_THREE("smmlsr", a, b, c);
#else
    return (int32_t)((uint32_t)(((INT64_C(1) << 31) - (int64_t)a * b) >> 32) + (uint32_t)c);
#endif
}

/* SSAT: the nearest value that int8 can hold. */
static inline int32_t tinydsn_saturate8(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value, INT8_MIN, INT8_MAX);
#endif
}

/* USAT16: negative values of a pair become 0. */
static inline uint32_t tinydsn_relu16(uint32_t pair)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("usat16 %0, #15, %1" : "=r"(result) : "r"(pair));
    return result;
#else
    return tinydsn_pair(pair & 0x8000u ? 0 : tinydsn_low(pair), pair >> 31 ? 0 : tinydsn_high(pair));
#endif
}

/* SSUB16 and SEL: the larger and the smaller values of two pairs. */
static inline uint32_t tinydsn_max16(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
#else
    const int32_t low = tinydsn_low(a) > tinydsn_low(b) ? tinydsn_low(a) : tinydsn_low(b);
    return tinydsn_pair(low, tinydsn_high(a) > tinydsn_high(b) ? tinydsn_high(a) : tinydsn_high(b));
#endif
}

static inline uint32_t tinydsn_min16(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("ssub16 %0, %1, %2\n\tsel %0, %2, %1" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
#else
    const int32_t low = tinydsn_low(a) < tinydsn_low(b) ? tinydsn_low(a) : tinydsn_low(b);
    return tinydsn_pair(low, tinydsn_high(a) < tinydsn_high(b) ? tinydsn_high(a) : tinydsn_high(b));
#endif
}

/* Whether LDRD and STRD may read and write at these places. */
static inline int tinydsn_words(const void *a, const void *b, const void *c)
{
    return (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & 3) == 0;
}

/* LDRD: the next two words, which start at a multiple of 4; the pointer moves past them. */
static inline void tinydsn_load_two(const int16_t **source, uint32_t *first, uint32_t *second)
{
#if TINYDSN_DSP
    __asm volatile("ldrd %0, %1, [%2], #8" : "=&r"(*first), "=&r"(*second), "+r"(*source) : : "memory");
#else
    *first = tinydsn_load32(*source);
    *second = tinydsn_load32(*source + 2);
    *source += 4;
#endif
}

/* LDRD of two numbers. */
static inline void tinydsn_load_numbers(const int32_t **source, int32_t *first, int32_t *second)
{
#if TINYDSN_DSP
    __asm volatile("ldrd %0, %1, [%2], #8" : "=&r"(*first), "=&r"(*second), "+r"(*source) : : "memory");
#else
    *first = (*source)[0];
    *second = (*source)[1];
    *source += 2;
#endif
}

/* STRD, likewise. */
static inline void tinydsn_store_two(int16_t **target, uint32_t first, uint32_t second)
{
#if TINYDSN_DSP
    __asm volatile("strd %1, %2, [%0], #8" : "+r"(*target) : "r"(first), "r"(second) : "memory");
#else
    tinydsn_store32(*target, first);
    tinydsn_store32(*target + 2, second);
    *target += 4;
#endif
}

#endif
