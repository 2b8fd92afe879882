/*
 * The int16 logistic function and tanh of CMSIS-NN (arm_nn_activation_s16), with fewer instructions.
 *
 * `x` is three times the argument in Q3.12; the result is Q15. CMSIS-NN interpolates in a table of 256 values of
 * the logistic function, whose steps are 1/24, for the magnitude of x. Here one table of 512 segments
 * (tinydsn_segments.h) has both signs, minus the value at 0: tanh is the segment itself, the logistic function
 * half of it and a half.
 */
#ifndef TINYDSN_ACTIVATION_H
#define TINYDSN_ACTIVATION_H

#include "tinydsn_segments.h"

#define TINYDSN_SIGMOID_LIMIT 130559 /* at this magnitude the logistic function has reached its last value */

/* For arguments from -256/24 to 255/24. */
extern const uint32_t tinydsn_sigmoid_segments[512];

/* The result is the upper half of what is returned. |x| <= TINYDSN_SIGMOID_LIMIT. */
static inline int32_t tinydsn_sigmoid_high(int32_t x)
{
    return tinydsn_segment_9_away(tinydsn_sigmoid_segments + 256, x, 0x40008000);
}

/* The result is what is returned, shifted right by 15. x is of 17 bits. */
static inline int32_t tinydsn_tanh_high(int32_t x)
{
    return tinydsn_segment_8_away(tinydsn_sigmoid_segments + 256, x, 1 << 14);
}

/* For any x. */
static inline int32_t tinydsn_sigmoid_q15(int32_t x)
{
    return tinydsn_sigmoid_high(tinydsn_clamp(x, -TINYDSN_SIGMOID_LIMIT, TINYDSN_SIGMOID_LIMIT)) >> 16;
}

/* SSAT: the nearest value of 17 bits. */
static inline int32_t tinydsn_saturate17(int32_t value)
{
#if TINYDSN_DSP
    int32_t result;
    __asm("ssat %0, #17, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return tinydsn_clamp(value, -65536, 65535);
#endif
}

static inline int32_t tinydsn_tanh_q15(int32_t x)
{
    return tinydsn_tanh_high(tinydsn_saturate17(x)) >> 15;
}

#if TINYDSN_MVE
/* The logistic function of four values of any magnitude. */
static inline int32x4_t tinydsn_sigmoid_four(int32x4_t x)
{
    x = vminq_s32(x, vdupq_n_s32(TINYDSN_SIGMOID_LIMIT));
    x = vmaxq_s32(x, vdupq_n_s32(-TINYDSN_SIGMOID_LIMIT));
    const int32x4_t rounding = vaddq_n_s32(vshrq_n_s32(x, 31), (1 << 24) + (1 << 9));
    return vshrq_n_s32(vaddq_s32(tinydsn_segments_9(tinydsn_sigmoid_segments + 256, x), rounding), 10);
}

static inline int32x4_t tinydsn_tanh_four(int32x4_t x)
{
    x = vmaxq_s32(vminq_s32(x, vdupq_n_s32(65535)), vdupq_n_s32(-65536));
    const int32x4_t rounding = vaddq_n_s32(vshrq_n_s32(x, 31), 1 << 7);
    return vshrq_n_s32(vaddq_s32(tinydsn_segments_8(tinydsn_sigmoid_segments + 256, x), rounding), 8);
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
 * For pairs: a value times a multiplier of at most TINYDSN_PAIRED must not leave TINYDSN_SIGMOID_LIMIT. The room
 * is how far below 32767 the limit of the value lies; all values at that limit and beyond have one result.
 */
#define TINYDSN_PAIRED 3072

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

/* The logistic function of both values, multiplied and limited. */
static inline uint32_t tinydsn_sigmoid_pair(uint32_t pair, int16_t multiplier, uint32_t room)
{
    const uint32_t limited = room == 0 ? pair : tinydsn_limit16(pair, room);
    const int32_t first = tinydsn_sigmoid_high(tinydsn_low(limited) * multiplier);
    const int32_t second = tinydsn_sigmoid_high(tinydsn_smultb(limited, (uint32_t)multiplier));
    return tinydsn_highs((uint32_t)first, (uint32_t)second);
}

#endif
