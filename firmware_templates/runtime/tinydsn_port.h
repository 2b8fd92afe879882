/*
 * tinydsn_port.h: what differs between compilers, cores and CMSIS-NN revisions.
 *
 * Cores with the DSP extension and without MVE (Cortex-M4, M7, M33) take weights in an order of their own, so
 * that one SXTB16 and one SXTB16 with rotation give two operands of SMLAD (tinydsn_dot_s16.h).
 * -DTINYDSN_INTERLEAVED=1 builds their kernels for a target without DSP, with plain C in place of the
 * instructions.
 */
#ifndef TINYDSN_PORT_H
#define TINYDSN_PORT_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define TINYDSN_MVE 1
#else
#define TINYDSN_MVE 0
#endif

#if defined(__ARM_FEATURE_DSP) && (__ARM_FEATURE_DSP == 1)
#define TINYDSN_DSP 1
#else
#define TINYDSN_DSP 0
#endif

#ifndef TINYDSN_INTERLEAVED
#define TINYDSN_INTERLEAVED (TINYDSN_DSP && !TINYDSN_MVE)
#endif

#if TINYDSN_MVE
#include <arm_mve.h>
#endif

#if defined(__GNUC__)
#define TINYDSN_NOINLINE __attribute__((noinline))
/* For functions whose callers' constants decide what they are. */
#define TINYDSN_INLINE static inline __attribute__((always_inline))
#define TINYDSN_ALIGNED(bytes) __attribute__((aligned(bytes)))
#else
#define TINYDSN_NOINLINE
#define TINYDSN_INLINE static inline
#define TINYDSN_ALIGNED(bytes)
#endif

/*
 * Constants of the network, in the order of their file, so that their bytes are known before they are linked
 * (tinydsn/codegen/weight_bytes.py), at whole words, which LDRD needs.
 */
#if defined(__GNUC__) && defined(__ELF__) && !defined(__clang__)
#define TINYDSN_WEIGHTS TINYDSN_ALIGNED(4) __attribute__((section(".rodata.tinydsn_weights"), no_reorder))
#elif defined(__GNUC__) && defined(__ELF__)
#define TINYDSN_WEIGHTS TINYDSN_ALIGNED(4) __attribute__((section(".rodata.tinydsn_weights")))
#else
#define TINYDSN_WEIGHTS TINYDSN_ALIGNED(4)
#endif

/*
 * CMSIS-NN takes scale factors through pointers to plain int32_t, and reads them only.
 * Revision V.12.5.1 (January 2024) and upstream up to V.19 share every function that generated code calls;
 * those that changed (arm_convolve_s8, arm_convolve_s16, arm_vector_sum_s8) are reached through their
 * wrappers or not used.
 */
#define TINYDSN_FACTORS(array) ((int32_t *)(uintptr_t)(array))

/* A 32-bit load from any address; one LDR on every supported core. */
static inline uint32_t tinydsn_load32(const void *source)
{
    uint32_t word;
    memcpy(&word, source, sizeof word);
    return word;
}

/* A 32-bit store to any address. */
static inline void tinydsn_store32(void *target, uint32_t word)
{
    memcpy(target, &word, sizeof word);
}

static inline int32_t tinydsn_clamp(int32_t value, int32_t low, int32_t high)
{
    value = value < low ? low : value;
    return value > high ? high : value;
}

/* SSAT: the nearest value that int16 can hold. */
static inline int32_t tinydsn_saturate16(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #16, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value, INT16_MIN, INT16_MAX);
#endif
}

/* USAT: the nearest value from 0 to INT16_MAX. */
static inline int32_t tinydsn_saturate15(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("usat %0, #15, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value, 0, INT16_MAX);
#endif
}

/* SSAT with shift: half the value, rounded down, and saturated to int16. */
static inline int32_t tinydsn_saturate16_half(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #16, %1, asr #1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_saturate16(value >> 1);
#endif
}

/* The same for int8. */
static inline int32_t tinydsn_saturate8_half(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #8, %1, asr #1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value >> 1, INT8_MIN, INT8_MAX);
#endif
}

/* SXTB16: bytes 0 and 2, sign-extended, as two halfwords. */
static inline uint32_t tinydsn_sxtb16(uint32_t word)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("sxtb16 %0, %1" : "=r"(result) : "r"(word));
    return result;
#else
    return ((uint32_t)(int8_t)word & 0xFFFFu) | ((uint32_t)(int8_t)(word >> 16) << 16);
#endif
}

/* SXTB16 with rotation by 8: bytes 1 and 3, sign-extended, as two halfwords. */
static inline uint32_t tinydsn_sxtb16_ror8(uint32_t word)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
#else
    return tinydsn_sxtb16(word >> 8);
#endif
}

/* SXTAB16: bytes 0 and 2, sign-extended, added to two halfwords. */
static inline uint32_t tinydsn_sxtab16(uint32_t pair, uint32_t word)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("sxtab16 %0, %1, %2" : "=r"(result) : "r"(pair), "r"(word));
    return result;
#else
    const uint32_t low = pair + (uint32_t)(int8_t)word;
    const uint32_t high = (pair >> 16) + (uint32_t)(int8_t)(word >> 16);
    return (low & 0xFFFFu) | (high << 16);
#endif
}

/* SXTAB16 with rotation by 8: bytes 1 and 3, sign-extended, added to two halfwords. */
static inline uint32_t tinydsn_sxtab16_ror8(uint32_t pair, uint32_t word)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(pair), "r"(word));
    return result;
#else
    return tinydsn_sxtab16(pair, word >> 8);
#endif
}

/* SMLAD: sum + low(a) * low(b) + high(a) * high(b), modulo 2^32. */
static inline int32_t tinydsn_smlad(uint32_t a, uint32_t b, int32_t sum)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    uint32_t low = (uint32_t)((int16_t)a * (int16_t)b);
    uint32_t high = (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
    return (int32_t)((uint32_t)sum + low + high);
#endif
}

/* SMLALD: the same into 64 bits. */
static inline int64_t tinydsn_smlald(uint32_t a, uint32_t b, int64_t sum)
{
#if TINYDSN_DSP
    __asm("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
#else
    int64_t low = (int16_t)a * (int16_t)b;
    int64_t high = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return sum + low + high;
#endif
}

/* SMMULR: upper half of the product, rounded. */
static inline int32_t tinydsn_smmulr(int32_t a, int32_t b)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
#endif
}

/* SMULWT: bits 16 to 47 of a times the upper half of a pair. */
static inline int32_t tinydsn_smulwt(int32_t a, uint32_t pair)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("smulwt %0, %1, %2" : "=r"(result) : "r"(a), "r"(pair));
    return result;
#else
    return (int32_t)(((int64_t)a * ((int32_t)pair >> 16)) >> 16);
#endif
}

/* QADD16: saturating sums of two pairs of halfwords. */
static inline uint32_t tinydsn_qadd16(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("qadd16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    uint32_t low = (uint32_t)(uint16_t)tinydsn_saturate16((int16_t)a + (int16_t)b);
    uint32_t high = (uint32_t)(uint16_t)tinydsn_saturate16((int16_t)(a >> 16) + (int16_t)(b >> 16));
    return low | (high << 16);
#endif
}

/* QSUB16: saturating differences of two pairs of halfwords. */
static inline uint32_t tinydsn_qsub16(uint32_t a, uint32_t b)
{
#if TINYDSN_DSP
    uint32_t result;
    __asm("qsub16 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    uint32_t low = (uint32_t)(uint16_t)tinydsn_saturate16((int16_t)a - (int16_t)b);
    uint32_t high = (uint32_t)(uint16_t)tinydsn_saturate16((int16_t)(a >> 16) - (int16_t)(b >> 16));
    return low | (high << 16);
#endif
}

/* Leading zeros of a word; 32 for 0. */
static inline int32_t tinydsn_clz(uint32_t word)
{
#if defined(__GNUC__)
    return word ? __builtin_clz(word) : 32;
#else
    int32_t count = 0;
    while (count < 32 && !(word & (0x80000000u >> count))) {
        count++;
    }
    return count;
#endif
}

#endif
