/*
 * Linear interpolation in tables of segments, one word and one SMLAD each.
 *
 * A word holds the slope of a segment (upper half) and the negative of the function's value at its even end
 * (lower half): that end which has an even index. Multiplied by -2^15 and by the distance from that end, which
 * is the lower bits of the place and, as their sign, the lowest bit of the index, they give the function in
 * Q15 times 2^15. tinydsn/codegen/segments.py makes the tables.
 */
#ifndef TINYDSN_SEGMENTS_H
#define TINYDSN_SEGMENTS_H

#include "tinydsn_pairs.h"

/* Its lower half is -2^15; the upper one saves a register where the logistic function is rounded. */
#define TINYDSN_SEGMENT_BASE 0x40008000

/*
 * Segments of 128 places; `middle` is the one of place 0. The rounding, half of the last place, is added to the
 * result.
 */
static inline int32_t tinydsn_segment_7(const uint32_t *middle, int32_t place, int32_t rounding)
{
#if TINYDSN_DSP
    uint32_t segment, distance;
    __asm("asr     %[segment], %[place], #7\n\t"
          "ldr     %[segment], [%[middle], %[segment], lsl #2]\n\t"
          "orr     %[distance], %[base], %[place], lsl #24\n\t"
          "smlad   %[place], %[segment], %[distance], %[rounding]"
          : [place] "+r"(place), [segment] "=&r"(segment), [distance] "=&r"(distance)
          : [middle] "r"(middle), [base] "r"(0x8000), [rounding] "r"(rounding), "m"(*middle));
    return place;
#else
    return tinydsn_smlad(middle[place >> 7], ((uint32_t)place << 24) | 0x8000u, rounding);
#endif
}

/*
 * Segments of 2^15 places, of which the distance takes 10 bits at most, so that the result is a multiple of 64.
 * Halves are rounded away from zero: the rounding is less by one where the place is negative.
 */
static inline int32_t tinydsn_segment_away(const uint32_t *middle, int32_t place, int32_t rounding)
{
#if TINYDSN_DSP
    uint32_t segment, distance;
    __asm("asr     %[segment], %[place], #15\n\t"
          "ldr     %[segment], [%[middle], %[segment], lsl #2]\n\t"
          "pkhbt   %[distance], %[base], %[place], lsl #16\n\t"
          "add     %[place], %[rounding], %[place], asr #31\n\t"
          "smlad   %[place], %[segment], %[distance], %[place]"
          : [place] "+r"(place), [segment] "=&r"(segment), [distance] "=&r"(distance)
          : [middle] "r"(middle), [base] "r"(TINYDSN_SEGMENT_BASE), [rounding] "r"(rounding), "m"(*middle));
    return place;
#else
    const uint32_t distance = ((uint32_t)place << 16) | 0x8000u;
    return tinydsn_smlad(middle[place >> 15], distance, rounding + (place >> 31));
#endif
}

#if TINYDSN_MVE
/* Four segments of 2^bits places: their functions' values times 2^bits. */
#define TINYDSN_FOUR_SEGMENTS(name, bits)                                                                    \
    static inline int32x4_t name(const uint32_t *middle, int32x4_t place)                                    \
    {                                                                                                        \
        const uint32x4_t index = vreinterpretq_u32_s32(vaddq_n_s32(vshrq_n_s32(place, bits), 256));          \
        const uint32x4_t segment = vldrwq_gather_shifted_offset_u32(middle - 256, index);                    \
        const int32x4_t base = vmovlbq_s16(vreinterpretq_s16_u32(segment));                                  \
        const int32x4_t slope = vshrq_n_s32(vreinterpretq_s32_u32(segment), 16);                             \
        const int32x4_t distance = vshrq_n_s32(vshlq_n_s32(place, 31 - bits), 31 - bits);                    \
        return vmlaq_n_s32(vmulq_s32(slope, distance), base, -(1 << bits));                                  \
    }

TINYDSN_FOUR_SEGMENTS(tinydsn_segments_7, 7)
TINYDSN_FOUR_SEGMENTS(tinydsn_segments_8, 8)
TINYDSN_FOUR_SEGMENTS(tinydsn_segments_9, 9)
#endif

#endif
