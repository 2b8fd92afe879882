/* The front end's steps on spectrum lines for cores with vectors: the same bits as those of
 * tinydsn_frontend_scalar.c. See tinydsn_frontend_steps.h.
 */
#include "tinydsn_frontend_mve.h"

#if TINYDSN_FRONTEND_VECTORS

/* 64-bit sums of products, in two words. */
typedef struct {
    uint32x4_t low;
    int32x4_t high;
} wide_t;

static inline wide_t products(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d)
{
    const uint32x4_t one = vreinterpretq_u32_s32(vmulq_s32(a, b));
    const uint32x4_t other = vreinterpretq_u32_s32(vmulq_s32(c, d));
    wide_t sum = {vaddq_u32(one, other), vaddq_s32(vmulhq_s32(a, b), vmulhq_s32(c, d))};
    sum.high = vaddq_m_n_s32(sum.high, sum.high, 1, vcmphiq_u32(one, sum.low));
    return sum;
}

/* Where four lines, their mirrors and their turns lie, in words. */
typedef struct {
    uint32x4_t line, mirror, turn;
} places_t;

static inline points_t half_sum(points_t a, points_t b)
{
    const points_t sum = {vshrq_n_s32(vaddq_s32(a.re, b.re), 1), vshrq_n_s32(vsubq_s32(a.im, b.im), 1)};
    return sum;
}

/* Makes four lines and their mirrors from each other. */
static inline void split_four(complex_t *line, complex_t *mirror, const int32_t *turns, places_t at)
{
    points_t a = gather(line, at.line), b = gather(mirror, at.mirror);
    const points_t even = half_sum(a, b), difference = {vaddq_s32(a.im, b.im), vsubq_s32(b.re, a.re)};
    const points_t odd = turned_by(difference, turns, at.turn, 0);
    a = plus(odd, even);
    b.re = vsubq_s32(even.re, odd.re);
    b.im = vsubq_s32(odd.im, even.im);
    scatter(line, at.line, a);
    scatter(mirror, at.mirror, b);
}

/* The octaves of places 2 and 3, and 4 to 7, have three pairs; the last one is made twice. */
static const uint32_t first_octaves[3][LANES] = {{4, 8, 12, 12}, {6, 14, 10, 10}, {0, 2, 4, 4}};

static inline places_t first_places(void)
{
    const places_t at = {vld1q_u32(first_octaves[0]), vld1q_u32(first_octaves[1]), vld1q_u32(first_octaves[2])};
    return at;
}

/* Those of four places and, from the lowest of them on, four mirrors. */
static inline places_t other_places(void)
{
    const uint32x4_t there = lanes_times(4);
    const places_t at = {there, vsubq_u32(vdupq_n_u32(12), there), lanes_times(2)};
    return at;
}

void tinydsn_frontend_split(complex_t *line)
{
    const complex_t zero = line[0];
    line[0].re = zero.re + zero.im;
    line[0].im = zero.re - zero.im;
    line[1].im = -line[1].im;
    const int32_t *turns = tinydsn_frontend_line_turns;
    split_four(line, line, turns, first_places());
    turns += 6;
    const places_t at = other_places();
    for (complex_t *octave = line + 8; octave < line + LINES; octave += octave - line) {
        complex_t *place = octave, *end = octave + (octave - line);
        for (complex_t *mirror = end - 7; place < end; place += 2 * LANES, mirror -= 2 * LANES) {
            split_four(place, mirror, turns, at);
            turns += 2 * LANES;
        }
    }
}

/* Features of four lines; see feature() of tinydsn_frontend_scalar.c. */
static inline int32x4_t features_of(int32x4_t re, int32x4_t im)
{
    const wide_t power = products(re, re, im, im);
    const uint32x4_t upper = vreinterpretq_u32_s32(power.high);
    /* Zeros of the upper word first, then of what has come up from the lower one. */
    const int32x4_t above = vreinterpretq_s32_u32(vclzq_u32(upper));
    const uint32x4_t raised = vorrq_u32(vshlq_u32(upper, above), vshlq_u32(power.low, vsubq_n_s32(above, 32)));
    const int32x4_t below = vreinterpretq_s32_u32(vclzq_u32(raised));
    const int32x4_t mantissa = vreinterpretq_s32_u32(vshlq_u32(raised, below));
    const uint32x4_t zeros = vreinterpretq_u32_s32(vaddq_s32(above, below));
    const uint32x4_t bits = vshrq_n_u32(vreinterpretq_u32_s32(mantissa), 24);
    const uint32x4_t segment = vandq_u32(bits, vdupq_n_u32(126));
    const int32x4_t start = vldrwq_gather_shifted_offset_s32(tinydsn_frontend_curve, segment);
    const int32x4_t slope = vldrwq_gather_shifted_offset_s32(tinydsn_frontend_curve + 1, segment);
    const int32x4_t value = vaddq_s32(start, vmulhq_s32(mantissa, slope));
    const int32x4_t gain = vldrwq_gather_shifted_offset_s32(tinydsn_frontend_gains, zeros);
    const int32x4_t feature = vrmulhq_s32(value, gain);
    return TINYDSN_FRONTEND_CAN_SATURATE ? vminq_s32(feature, vdupq_n_s32(INT16_MAX)) : feature;
}

void tinydsn_frontend_compress(const complex_t *line, int16_t *features)
{
    uint32x4_t place = vidupq_n_u32(0, 1);
    for (int32_t n = 0; n < LINES; n += LANES, place = vaddq_n_u32(place, LANES)) {
        const points_t x = load(line + n);
        const int32x4_t values = features_of(x.re, x.im);
        vstrhq_scatter_shifted_offset_s32(features, vbrsrq_n_u32(place, LINES_BITS), values);
    }
    /* The first line and Nyquist's have real parts only, at one place. */
    const int32x4_t nothing = vdupq_n_s32(0);
    features[0] = (int16_t)vgetq_lane_s32(features_of(vdupq_n_s32(line[0].re), nothing), 0);
#if BINS > LINES
    features[LINES] = (int16_t)vgetq_lane_s32(features_of(vdupq_n_s32(line[0].im), nothing), 0);
#endif
}

static inline points_t masked(points_t x, const int16_t *mask, uint32x4_t line)
{
    const int32x4_t gain = vshlq_n_s32(vldrhq_gather_shifted_offset_s32(mask, line), 16);
    x.re = vmulhq_s32(x.re, gain);
    x.im = vmulhq_s32(x.im, gain);
    return x;
}

/* Masks four lines and their mirrors; then the inverse of split_four. */
static inline void join_four(complex_t *line, complex_t *mirror, const int32_t *turns, places_t at,
                             const int16_t *mask, uint32x4_t places)
{
    const uint32x4_t number = vbrsrq_n_u32(places, LINES_BITS);
    points_t a = masked(gather(line, at.line), mask, number);
    points_t b = masked(gather(mirror, at.mirror), mask, vsubq_u32(vdupq_n_u32(LINES), number));
    const points_t even = half_sum(a, b), difference = {vsubq_s32(a.re, b.re), vaddq_s32(a.im, b.im)};
    const points_t odd = turned_by(difference, turns, at.turn, 1);
    a.re = vsubq_s32(even.re, odd.im);
    a.im = vaddq_s32(odd.re, even.im);
    b.re = vaddq_s32(even.re, odd.im);
    b.im = vsubq_s32(odd.re, even.im);
    scatter(line, at.line, a);
    scatter(mirror, at.mirror, b);
}

void tinydsn_frontend_join(const int16_t *mask, complex_t *line)
{
    const int32_t dc = mul_low_half(line[0].re, (uint32_t)mask[0]);
    const int32_t nyquist = BINS > LINES ? mul_low_half(line[0].im, (uint32_t)mask[BINS - 1]) : 0;
    line[0].re = (dc + nyquist) >> 1;
    line[0].im = (dc - nyquist) >> 1;
    line[1].re = mul_low_half(line[1].re, (uint32_t)mask[LINES / 2]);
    line[1].im = -mul_low_half(line[1].im, (uint32_t)mask[LINES / 2]);
    const int32_t *turns = tinydsn_frontend_line_turns;
    const places_t three = first_places();
    join_four(line, line, turns, three, mask, vshrq_n_u32(three.line, 1));
    turns += 6;
    const places_t at = other_places();
    for (complex_t *octave = line + 8; octave < line + LINES; octave += octave - line) {
        complex_t *place = octave, *end = octave + (octave - line);
        for (complex_t *mirror = end - 7; place < end; place += 2 * LANES, mirror -= 2 * LANES) {
            join_four(place, mirror, turns, at, mask, vidupq_n_u32((uint32_t)(place - line), 2));
            turns += 2 * LANES;
        }
    }
}

#endif
