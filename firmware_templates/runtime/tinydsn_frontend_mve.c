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

/* Upper halves of (sum + whole * 2^31), and of (whole * 2^31 - sum). */
static inline int32x4_t upper_of_sum(wide_t sum, int32x4_t whole)
{
    const int32x4_t top = vreinterpretq_s32_u32(vshrq_n_u32(sum.low, 31));
    return vaddq_s32(vaddq_s32(sum.high, vshrq_n_s32(whole, 1)), vandq_s32(top, whole));
}

static inline int32x4_t upper_of_difference(wide_t sum, int32x4_t whole)
{
    const uint32x4_t low = vshlq_n_u32(vreinterpretq_u32_s32(whole), 31);
    const int32x4_t high = vsubq_s32(vshrq_n_s32(whole, 1), sum.high);
    return vsubq_m_n_s32(high, high, 1, vcmphiq_u32(sum.low, low));
}

/* Where four lines, their mirrors and their turns lie, in words. */
typedef struct {
    uint32x4_t line, mirror, turn;
} places_t;

/* Makes four lines and their mirrors from each other; `back` for the inverse, of lines that are shifted up. */
static inline void exchange(complex_t *line, complex_t *mirror, const int32_t *turns, places_t at, int32_t up,
                            int back)
{
    points_t a = gather(line, at.line), b = gather(mirror, at.mirror);
    const int32x4_t cosine = vldrwq_gather_shifted_offset_s32(turns, at.turn);
    const int32x4_t sine = vldrwq_gather_shifted_offset_s32(turns + 1, at.turn);
    const int32x4_t even_re = vaddq_n_s32(vshlq_r_s32(vaddq_s32(a.re, b.re), up), 1);
    int32x4_t even_im = vshlq_r_s32(vsubq_s32(a.im, b.im), up);
    int32x4_t sum = vshlq_r_s32(vaddq_s32(a.im, b.im), up);
    const int32x4_t ahead = vshlq_r_s32(back ? vsubq_s32(a.re, b.re) : vsubq_s32(b.re, a.re), up);
    const wide_t re = products(sum, cosine, ahead, sine);
    a.re = back ? upper_of_difference(re, even_re) : upper_of_sum(re, even_re);
    b.re = back ? upper_of_sum(re, even_re) : upper_of_difference(re, even_re);
    VECTOR_AFTER(sum, b.re);
    VECTOR_AFTER(even_im, b.re);
    const wide_t im = products(ahead, cosine, vnegq_s32(sum), sine);
    a.im = upper_of_sum(im, vaddq_n_s32(even_im, 1));
    b.im = upper_of_sum(im, vsubq_s32(vdupq_n_s32(1), even_im));
    scatter(line, at.line, a);
    scatter(mirror, at.mirror, b);
}

/* All lines but those that are their own mirrors. */
static inline void exchange_all(complex_t *line, int32_t up, int back)
{
    /* The octaves of places 2 and 3, and 4 to 7, have three pairs; the last one is made twice. */
    static const uint32_t first[3][LANES] = {{4, 8, 12, 12}, {6, 14, 10, 10}, {0, 2, 4, 4}};
    const int32_t *turns = tinydsn_frontend_line_turns;
    const places_t three = {vld1q_u32(first[0]), vld1q_u32(first[1]), vld1q_u32(first[2])};
    exchange(line, line, turns, three, up, back);
    turns += 6;
    const uint32x4_t there = lanes_times(4);
    const places_t at = {there, vsubq_u32(vdupq_n_u32(12), there), lanes_times(2)};
    for (complex_t *octave = line + 8; octave < line + LINES; octave += octave - line) {
        complex_t *place = octave, *end = octave + (octave - line);
        /* Four mirrors are named by the lowest. */
        for (complex_t *mirror = end - 7; place < end; place += 2 * LANES, mirror -= 2 * LANES) {
            exchange(place, mirror, turns, at, up, back);
            turns += 2 * LANES;
        }
    }
}

void tinydsn_frontend_split(complex_t *line)
{
    const complex_t zero = line[0];
    line[0].re = zero.re + zero.im;
    line[0].im = zero.re - zero.im;
    line[1].im = -line[1].im;
    exchange_all(line, 0, 0);
}

void tinydsn_frontend_join(complex_t *line, int32_t up)
{
    const complex_t zero = {shift_left(line[0].re, up), shift_left(line[0].im, up)};
    line[0].re = (zero.re + zero.im + 1) >> 1;
    line[0].im = (zero.re - zero.im + 1) >> 1;
    line[1].re = shift_left(line[1].re, up);
    line[1].im = -shift_left(line[1].im, up);
    exchange_all(line, up, 1);
}

/* entry + (next entry - entry) * fraction >> bits, of a table. */
static inline int32x4_t interpolate(const int32_t *table, uint32x4_t index, int32x4_t fraction, int bits)
{
    const int32x4_t start = vldrwq_gather_shifted_offset_s32(table, index);
    const int32x4_t step = vsubq_s32(vldrwq_gather_shifted_offset_s32(table + 1, index), start);
    return vaddq_s32(start, vshlq_r_s32(vmulq_s32(step, fraction), -bits));
}

/* Features of four lines; see compressed() of tinydsn_frontend_scalar.c. */
static inline int32x4_t features_of(int32x4_t re, int32x4_t im, int32_t scale)
{
    const wide_t power = products(re, re, im, im);
    const uint32x4_t upper = vreinterpretq_u32_s32(power.high);
    /* Zeros of the upper word first, then of what has come up from the lower one. */
    const int32x4_t above = vreinterpretq_s32_u32(vclzq_u32(upper));
    const uint32x4_t raised = vorrq_u32(vshlq_u32(upper, above), vshlq_u32(power.low, vsubq_n_s32(above, 32)));
    const int32x4_t below = vreinterpretq_s32_u32(vclzq_u32(raised));
    const uint32x4_t mantissa = vshlq_u32(raised, below);
    const int32x4_t zeros = vaddq_s32(above, below);
    const uint32x4_t segment = vandq_u32(vshrq_n_u32(mantissa, 24), vdupq_n_u32(127));
    const uint32x4_t rest = vandq_u32(vshrq_n_u32(mantissa, 8), vdupq_n_u32(0xFFFF));
    const int32x4_t curve = interpolate(tinydsn_frontend_log2, segment, vreinterpretq_s32_u32(rest), 16);
    const int32x4_t logarithm = vsubq_s32(curve, vshlq_n_s32(zeros, 20));
    const int32x4_t scaled = vaddq_n_s32(vshlq_n_s32(logarithm, 1), scale);
    const int32x4_t compressed = vrmulhq_s32(scaled, vdupq_n_s32(TINYDSN_FRONTEND_HALF_COMPRESSION));
    const int32x4_t exponent = vaddq_n_s32(compressed, TINYDSN_FRONTEND_FEATURE_OFFSET);
    const uint32x4_t index = vandq_u32(vshrq_n_u32(vreinterpretq_u32_s32(exponent), 13), vdupq_n_u32(127));
    const int32x4_t fraction = vandq_s32(exponent, vdupq_n_s32(0x1FFF));
    const int32x4_t value = interpolate(tinydsn_frontend_exp2, index, fraction, 13);
    const int32x4_t feature = vrshlq_s32(value, vsubq_n_s32(vshrq_n_s32(exponent, 20), 24));
    const int32x4_t limited = CAN_SATURATE ? vminq_s32(feature, vdupq_n_s32(INT16_MAX)) : feature;
    return vpselq_s32(vdupq_n_s32(0), limited, vcmpeqq_n_u32(raised, 0));
}

void tinydsn_frontend_compress(const complex_t *line, int32_t headroom, int16_t *features)
{
    const int32_t scale = (126 - 4 * (FRAME_BITS + headroom - LINES_BITS)) * (1 << 20);
    uint32x4_t place = vidupq_n_u32(0, 1);
    for (int32_t n = 0; n < LINES; n += LANES, place = vaddq_n_u32(place, LANES)) {
        const points_t x = load(line + n);
        const int32x4_t values = features_of(x.re, x.im, scale);
        vstrhq_scatter_shifted_offset_s32(features, vbrsrq_n_u32(place, LINES_BITS), values);
    }
    /* The first line and Nyquist's have real parts only, at one place. */
    const int32x4_t nothing = vdupq_n_s32(0);
    features[0] = (int16_t)vgetq_lane_s32(features_of(vdupq_n_s32(line[0].re), nothing, scale), 0);
#if BINS > LINES
    features[LINES] = (int16_t)vgetq_lane_s32(features_of(vdupq_n_s32(line[0].im), nothing, scale), 0);
#endif
}

/* Q31 times Q31 (a gain of Q15, shifted up by 16), with two guard bits. */
static inline int32x4_t masked(int32x4_t value, int32x4_t gain)
{
    return vrshrq_n_s32(vmulhq_s32(value, gain), 1);
}

uint32_t tinydsn_frontend_mask(const int16_t *mask, complex_t *line)
{
    const int32_t nyquist = BINS > LINES ? mul_half_add(1, line[0].im, mask[BINS - 1]) >> 1 : 0;
    line[0].im = 0;
    uint32x4_t place = vidupq_n_u32(0, 1);
    int32x4_t bits = vdupq_n_s32(0);
    for (int32_t n = 0; n < LINES; n += LANES, place = vaddq_n_u32(place, LANES)) {
        const uint32x4_t number = vbrsrq_n_u32(place, LINES_BITS);
        const int32x4_t gain = vshlq_n_s32(vldrhq_gather_shifted_offset_s32(mask, number), 16);
        points_t x = load(line + n);
        x.re = masked(x.re, gain);
        x.im = masked(x.im, gain);
        store(line + n, x);
        bits = vorrq_s32(bits, veorq_s32(x.re, vshrq_n_s32(x.re, 31)));
        bits = vorrq_s32(bits, veorq_s32(x.im, vshrq_n_s32(x.im, 31)));
    }
    line[0].im = nyquist;
    int32_t each[LANES];
    vst1q_s32(each, bits);
    return (uint32_t)(each[0] | each[1] | each[2] | each[3]) | magnitude_bits(nyquist);
}

#endif
