/*
 * From a channel's sum to its output, for one channel.
 *
 * int16: the upper half of sum * multiplier; rounded and final where all shifts are 0 (`rounded`), else
 * ((half >> shift) + 1) >> 1. int8: TFLite's double rounding, ((high + sign) >> shift) and, with the output's
 * zero point, one bit more; high is the rounded upper half of twice the product. Where TINYDSN_INTERLEAVED the
 * int8 multiplier is doubled, less 2^32, and in place of the shift stands -2^(31 - shift): three instructions
 * then round twice and add the zero point.
 *
 * `brief`, int16 only: two words a channel, the bias, and a multiplier of 15 bits above a shift. Bits 16 to 47 of the
 * product, shifted: ((bits >> shift) + 1) >> 1. With MVE the shift of whole fours of channels is negative.
 */
#ifndef TINYDSN_FINISH_H
#define TINYDSN_FINISH_H

#include "tinydsn_pairs.h"

/* What all channels of a matrix have in common; the compiler knows all but `cut` and `offset`. */
typedef struct {
    int32_t narrow;  /* int8 outputs */
    int32_t brief;   /* scales of two words */
    int32_t rounded;
    int32_t relu;    /* int16: 1 for outputs from 0 up, 0 for all, -1 for what `cut` says */
    int32_t cut;     /* all ones to cut off negative outputs, or 0 */
    int32_t offset;  /* int8: what tinydsn_finishing_offset makes of the output's zero point */
} tinydsn_finishing;

TINYDSN_INLINE int32_t tinydsn_finishing_offset(int32_t zero_point)
{
    return TINYDSN_INTERLEAVED ? zero_point : 2 * zero_point + 1;
}

/* Words of a channel's scale. */
TINYDSN_INLINE int32_t tinydsn_scale_words(tinydsn_finishing how)
{
    return how.brief ? 2 : 3;
}

/* An int16 output; factor: the channel's second word. */
TINYDSN_INLINE int32_t tinydsn_finished_briefly(uint32_t factor, int32_t sum, tinydsn_finishing how)
{
    const int32_t doubled = (tinydsn_smulwt(sum, factor) >> (factor & 255)) + 1;
    return how.relu == 1 ? tinydsn_saturate15(doubled >> 1) : tinydsn_saturate16_half(doubled);
}

/* A channel's output; multiplier and shift are the channel's. */
TINYDSN_INLINE int32_t tinydsn_finished(int32_t multiplier, int32_t shift, int32_t sum, tinydsn_finishing how)
{
    if (how.narrow) {
#if TINYDSN_INTERLEAVED
        const int32_t high = tinydsn_smmlar(sum, multiplier, sum);
        return tinydsn_saturate8(tinydsn_smmlsr(high + (high >> 31), shift, how.offset));
#else
        const int32_t high = tinydsn_smmulr((int32_t)((uint32_t)sum << 1), multiplier);
        return tinydsn_saturate8_half(((high + (high >> 31)) >> shift) + how.offset);
#endif
    }
    int32_t result;
    if (how.rounded) {
        result = tinydsn_smmulr(sum, multiplier);
        result = how.relu == 1 ? tinydsn_saturate15(result) : tinydsn_saturate16(result);
    } else {
        const int32_t high = (int32_t)(((int64_t)sum * multiplier) >> 32);
        result = tinydsn_saturate16_half((high >> shift) + 1);
    }
    return how.relu < 0 ? result & ~(how.cut & (result >> 31)) : result;
}

/* Stores output `at` of a row; scale: that of the channel. */
TINYDSN_INLINE void tinydsn_finish(const int32_t *scale, int32_t sum, tinydsn_finishing how, void *row,
                                  int32_t at)
{
    const int32_t result = how.brief ? tinydsn_finished_briefly((uint32_t)scale[1], sum, how)
                                     : tinydsn_finished(scale[1], scale[2], sum, how);
    if (how.narrow) {
        ((int8_t *)row)[at] = (int8_t)result;
    } else {
        ((int16_t *)row)[at] = (int16_t)result;
    }
}

#endif
