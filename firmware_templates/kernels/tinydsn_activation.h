/*
 * The int16 logistic function and tanh of CMSIS-NN (arm_nn_activation_s16), with fewer instructions.
 *
 * `x` is three times the argument in Q3.12; the result is Q15. CMSIS-NN interpolates in a table of 256 values of
 * the logistic function, whose steps are 1/24, for the magnitude of x. Here one table of 512 segments
 * (tinydsn_segments.h) has both signs, minus the value at 0: tanh is the segment itself, the logistic function
 * half of it and a half. A place in the table has 24 bits: x * 64 for the logistic function, x * 128 for tanh,
 * which saturates: it is constant in the first and in the last segment. The logistic function is another constant
 * there, and must not come to them.
 */
#ifndef TINYDSN_ACTIVATION_H
#define TINYDSN_ACTIVATION_H

#include "tinydsn_segments.h"

/* For arguments from -256/24 to 255/24. */
extern const uint32_t tinydsn_sigmoid_segments[512];

#define TINYDSN_SIGMOID_LIMIT 130559 /* at this magnitude the logistic function has reached its last value */
#define TINYDSN_SIGMOID_MIDDLE (tinydsn_sigmoid_segments + 256)
#define TINYDSN_SIGMOID_ROUNDING TINYDSN_SEGMENT_BASE /* a half, and half of the last place */
#define TINYDSN_TANH_ROUNDING (1 << 14)

/* For any x. */
static inline int32_t tinydsn_sigmoid_q15(int32_t x)
{
    const int32_t place = tinydsn_clamp(x, -TINYDSN_SIGMOID_LIMIT, TINYDSN_SIGMOID_LIMIT) * 64;
    return tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, place, TINYDSN_SIGMOID_ROUNDING) >> 16;
}

static inline int32_t tinydsn_tanh_q15(int32_t x)
{
    const int32_t place = tinydsn_clamp(x, -65536, 65535) * 128;
    return tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, place, TINYDSN_TANH_ROUNDING) >> 15;
}

#if TINYDSN_MVE
/* The logistic function of four values of any magnitude. */
static inline int32x4_t tinydsn_sigmoid_four(int32x4_t x)
{
    x = vminq_s32(x, vdupq_n_s32(TINYDSN_SIGMOID_LIMIT));
    x = vmaxq_s32(x, vdupq_n_s32(-TINYDSN_SIGMOID_LIMIT));
    const int32x4_t rounding = vaddq_n_s32(vshrq_n_s32(x, 31), (1 << 24) + (1 << 9));
    return vshrq_n_s32(vaddq_s32(tinydsn_segments_9(TINYDSN_SIGMOID_MIDDLE, x), rounding), 10);
}

static inline int32x4_t tinydsn_tanh_four(int32x4_t x)
{
    x = vmaxq_s32(vminq_s32(x, vdupq_n_s32(65535)), vdupq_n_s32(-65536));
    const int32x4_t rounding = vaddq_n_s32(vshrq_n_s32(x, 31), 1 << 7);
    return vshrq_n_s32(vaddq_s32(tinydsn_segments_8(TINYDSN_SIGMOID_MIDDLE, x), rounding), 8);
}

/* The same of eight values times a multiplier. */
static inline int16x8_t tinydsn_sigmoid_eight(int16x8_t value, int16_t multiplier)
{
    const int16x8_t factor = vdupq_n_s16(multiplier);
    const int32x4_t even = tinydsn_sigmoid_four(vmullbq_int_s16(value, factor));
    const int32x4_t odd = tinydsn_sigmoid_four(vmulltq_int_s16(value, factor));
    return vmovntq_s32(vmovnbq_s32(value, even), odd);
}

static inline int16x8_t tinydsn_tanh_eight(int16x8_t value, int16_t multiplier)
{
    const int16x8_t factor = vdupq_n_s16(multiplier);
    const int32x4_t even = tinydsn_tanh_four(vmullbq_int_s16(value, factor));
    const int32x4_t odd = tinydsn_tanh_four(vmulltq_int_s16(value, factor));
    return vmovntq_s32(vmovnbq_s32(value, even), odd);
}
#endif

/*
 * For pairs: factors are 64 times a multiplier of at most TINYDSN_PAIRED (lower half; for the logistic function)
 * and -128 times it (upper half; for tanh of the negative, which is exactly the negative of tanh).
 */
#define TINYDSN_PAIRED 255

static inline uint32_t tinydsn_pair_factors(int32_t multiplier)
{
    return tinydsn_pair(64 * multiplier, -128 * multiplier);
}

/* SSAT: the nearest value of 24 bits. */
static inline int32_t tinydsn_saturate24(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #24, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value, -(1 << 23), (1 << 23) - 1);
#endif
}

/* How far below 32767 a value lies that the multiplier brings to TINYDSN_SIGMOID_LIMIT; 0 where none reaches it. */
static inline uint32_t tinydsn_sigmoid_room(int32_t multiplier)
{
    const int32_t limit = TINYDSN_SIGMOID_LIMIT / multiplier - 1;
    const int32_t room = limit < INT16_MAX ? INT16_MAX - limit : 0;
    return tinydsn_pair(room, room);
}

/* Both values limited to -limit - 1 to limit, by saturation. */
static inline uint32_t tinydsn_limit16(uint32_t pair, uint32_t room)
{
    return tinydsn_qadd16(tinydsn_qsub16(tinydsn_qsub16(tinydsn_qadd16(pair, room), room), room), room);
}

/* The logistic function of both values. */
TINYDSN_INLINE uint32_t tinydsn_sigmoid_pair(uint32_t pair, uint32_t factors, uint32_t room)
{
    pair = room == 0 ? pair : tinydsn_limit16(pair, room);
    int32_t first = tinydsn_smulbb(pair, factors), second = tinydsn_smultb(pair, factors);
    first = tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, first, TINYDSN_SIGMOID_ROUNDING);
    second = tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, second, TINYDSN_SIGMOID_ROUNDING);
    return tinydsn_highs((uint32_t)first, (uint32_t)second);
}

/* Minus tanh of both values. */
TINYDSN_INLINE uint32_t tinydsn_minus_tanh_pair(uint32_t pair, uint32_t factors)
{
    const int32_t first = tinydsn_saturate24(tinydsn_smulbt(pair, factors));
    const int32_t second = tinydsn_saturate24(tinydsn_smultt(pair, factors));
    return tinydsn_pair_q15(tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, first, TINYDSN_TANH_ROUNDING),
                            tinydsn_segment_away(TINYDSN_SIGMOID_MIDDLE, second, TINYDSN_TANH_ROUNDING));
}

#endif
