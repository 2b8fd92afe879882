/* The front end's steps for cores without vectors; see tinydsn_frontend_steps.h. */
#include "tinydsn_frontend_steps.h"

#if !TINYDSN_FRONTEND_VECTORS

/* Weights of two samples that follow each other, in the window's rising and in its falling half. */
static inline complex_t rising(const int32_t *sine)
{
    const complex_t weights = {sine[0], sine[1]};
    return weights;
}

static inline complex_t falling(const int32_t *sine)
{
    const complex_t weights = {sine[0], sine[-1]};
    return weights;
}

/* Two samples that follow each other, windowed: Q31 at headroom 0. */
static inline complex_t windowed(const int16_t *samples, int32_t headroom, complex_t weights)
{
    const uint32_t pair = tinydsn_load32(samples);
    const int32_t first = (int32_t)(pair << (FRAME_BITS - 14 + headroom));
    const int32_t second = (int32_t)((pair >> 16) << (FRAME_BITS - 14 + headroom));
    const complex_t point = {mul_high_round(first, weights.re), mul_high_round(second, weights.im)};
    return point;
}

/* A sample's place: what came before the hop is in the history. */
static inline const int16_t *sample(const tinydsn_frontend_t *state, const int16_t *in, int32_t n)
{
    return n < LATENCY ? state->history + n : in + (n - LATENCY);
}

/* Places and the FFT's first pass have legs of this many samples; a leg may have its end in the hop. */
#define LEG (LINES_BITS % 2 ? WINDOW / 2 : WINDOW / 4)
#define PART (LEG < HOP ? LEG : HOP)

void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, int32_t headroom,
                                 complex_t *points)
{
    const int32_t *sine = tinydsn_frontend_sine;
#if LINES_BITS % 2
    const int32_t *turn = tinydsn_frontend_half_turns;
    for (int32_t part = 0; part < LEG; part += PART) {
        const int16_t *in_a = sample(state, in, part), *in_b = sample(state, in, WINDOW / 2 + part);
        const int32_t *up = sine + part, *down = sine + WINDOW / 2 - part;
        for (int32_t n = 0; n < PART; n += 2, points++, turn += 2) {
            const complex_t a = fft_shifted(windowed(in_a + n, headroom, rising(up + n)), 2);
            const complex_t b = fft_shifted(windowed(in_b + n, headroom, falling(down - n)), 2);
            const complex_t difference = {a.re - b.re, a.im - b.im};
            const int32_t re = mul_high_round(difference.re, turn[0]);
            const int32_t im = mul_high_round(difference.im, turn[0]);
            points[0].re = a.re + b.re;
            points[0].im = a.im + b.im;
            points[LINES / 2].re = shift_left(mul_high_add_round(re, difference.im, turn[1]), 1);
            points[LINES / 2].im = shift_left(mul_high_sub_round(im, difference.re, turn[1]), 1);
        }
    }
#else
    const int32_t *turns = tinydsn_frontend_turns;
    for (int32_t part = 0; part < LEG; part += PART) {
        const int16_t *in_a = sample(state, in, part), *in_b = sample(state, in, LEG + part);
        const int16_t *in_c = sample(state, in, 2 * LEG + part), *in_d = sample(state, in, 3 * LEG + part);
        const int32_t *up = sine + part, *down = sine + WINDOW / 2 - part;
        for (int32_t n = 0; n < PART; n += 2, points++, turns += 6) {
            const four_t x = {
                windowed(in_a + n, headroom, rising(up + n)),
                windowed(in_b + n, headroom, rising(up + LEG + n)),
                windowed(in_c + n, headroom, falling(down - n)),
                windowed(in_d + n, headroom, falling(down - LEG - n)),
            };
            const four_t y = fft_first(fft_divided(x, 4), turns, 0);
            fft_store(&points[0], y.a);
            fft_store(&points[LINES / 4], y.c);
            fft_store(&points[LINES / 2], y.b);
            fft_store(&points[LINES / 4 * 3], y.d);
        }
    }
#endif
}

void tinydsn_frontend_split(complex_t *line)
{
    const complex_t zero = line[0];
    line[0].re = zero.re + zero.im;
    line[0].im = zero.re - zero.im;
    line[1].im = -line[1].im;
    const complex_t *turn = (const complex_t *)tinydsn_frontend_line_turns;
    for (complex_t *octave = line + 2; octave < line + LINES; octave += octave - line) {
        complex_t *place = octave;
        for (complex_t *mirror = octave + (octave - line) - 1; mirror > octave; place += 2, mirror -= 2) {
            complex_t a = fft_load(place), b = fft_load(mirror);
            const complex_t by = fft_load(turn++);
            const int32_t even_re = a.re + b.re + 1, even_im = a.im - b.im;
            const int32_t odd_re = a.im + b.im;
            int32_t odd_im = b.re - a.re;
            const int64_t turned_re = (int64_t)odd_re * by.re + (int64_t)odd_im * by.im;
            a.re = high_of_sum(turned_re, even_re);
            b.re = high_of_difference(turned_re, even_re);
            AFTER(odd_im, b.re);
            const int64_t turned_im = (int64_t)odd_im * by.re + (int64_t)-odd_re * by.im;
            a.im = high_of_sum(turned_im, 1 + even_im);
            b.im = high_of_sum(turned_im, 1 - even_im);
            fft_store(place, a);
            fft_store(mirror, b);
        }
    }
}

void tinydsn_frontend_join(complex_t *line, int32_t up)
{
    const complex_t zero = {shift_left(line[0].re, up), shift_left(line[0].im, up)};
    line[0].re = (zero.re + zero.im + 1) >> 1;
    line[0].im = (zero.re - zero.im + 1) >> 1;
    line[1].re = shift_left(line[1].re, up);
    line[1].im = -shift_left(line[1].im, up);
    const complex_t *turn = (const complex_t *)tinydsn_frontend_line_turns;
    for (complex_t *octave = line + 2; octave < line + LINES; octave += octave - line) {
        complex_t *place = octave;
        for (complex_t *mirror = octave + (octave - line) - 1; mirror > octave; place += 2, mirror -= 2) {
            complex_t a = fft_load(place), b = fft_load(mirror);
            const complex_t by = fft_load(turn++);
            const int32_t even_re = shift_left(a.re + b.re, up) + 1, even_im = shift_left(a.im - b.im, up);
            const int32_t odd_im = shift_left(a.im + b.im, up);
            int32_t odd_re = shift_left(a.re - b.re, up);
            const int64_t turned_im = (int64_t)odd_im * by.re + (int64_t)odd_re * by.im;
            a.re = high_of_difference(turned_im, even_re);
            b.re = high_of_sum(turned_im, even_re);
            AFTER(odd_re, b.re);
            const int64_t turned_re = (int64_t)odd_re * by.re + (int64_t)-odd_im * by.im;
            a.im = high_of_sum(turned_re, 1 + even_im);
            b.im = high_of_sum(turned_re, 1 - even_im);
            fft_store(place, a);
            fft_store(mirror, b);
        }
    }
}

/* An entry of a table of segments and how it goes on: entry[0] + (entry[1] - entry[0]) * fraction >> bits. */
static inline int32_t interpolate(const int32_t *entry, uint32_t fraction, int32_t bits)
{
    complex_t ends = fft_load((const complex_t *)entry);
    return ends.re + (((ends.im - ends.re) * (int32_t)fraction) >> bits);
}

/* |X| ** compression of a line whose power is mantissa * 2^(32 - zeros), with the leading one in bit 31: base-2
 * logarithm (Q20), times compression, power of two; in either table seven bits choose a segment, the next ones
 * interpolate. scale: Q20, 126 less twice log2 of the square of the spectrum's scale. */
static inline int16_t compressed(uint32_t mantissa, int32_t zeros, int32_t scale)
{
    const int32_t *segment = tinydsn_frontend_log2 + (mantissa >> 24 & 127);
    const int32_t logarithm = interpolate(segment, mantissa >> 8 & 0xFFFF, 16) - zeros * (1 << 20);
    /* Eight more, so that the shift below has none. */
    const int32_t exponent = mul_high_add_round(TINYDSN_FRONTEND_FEATURE_OFFSET + (8 << 20), 2 * logarithm + scale,
                                                TINYDSN_FRONTEND_HALF_COMPRESSION);
    if (CAN_SATURATE && exponent >= 23 << 20) {
        return INT16_MAX;
    }
    segment = tinydsn_frontend_exp2 + (exponent >> 13 & 127);
    const int32_t value = interpolate(segment, (uint32_t)exponent & 0x1FFF, 13);
    /* Right shift by 32 - (exponent >> 20), as a product; all below 1/2 becomes 0. */
    const int32_t feature = mul_high_round(value, one_shifted(exponent >> 20));
    return (int16_t)(CAN_SATURATE ? tinydsn_saturate16(feature) : feature);
}

static inline int16_t feature(complex_t line, int32_t scale)
{
    const uint64_t power = (uint64_t)((int64_t)line.re * line.re) + (uint64_t)((int64_t)line.im * line.im);
    const uint32_t upper = (uint32_t)(power >> 32), lower = (uint32_t)power;
    if (upper != 0) {
        /* A power is below 2^63, so that there is at least one zero. */
        const int32_t zeros = tinydsn_clz(upper);
        return compressed(upper << zeros | lower >> (32 - zeros), zeros, scale);
    }
    if (lower != 0) {
        const int32_t zeros = tinydsn_clz(lower);
        return compressed(lower << zeros, zeros + 32, scale);
    }
    return 0;
}

void tinydsn_frontend_compress(const complex_t *line, int32_t headroom, int16_t *features)
{
    const int32_t scale = (126 - 4 * (FRAME_BITS + headroom - LINES_BITS)) * (1 << 20);
    const complex_t first = {line[0].re, 0};
    features[0] = feature(first, scale);
    for (uint32_t place = 1; place < LINES; place++) {
        features[reverse_bits(place, LINES_BITS)] = feature(fft_load(line + place), scale);
    }
#if BINS > LINES
    const complex_t nyquist = {line[0].im, 0};
    features[LINES] = feature(nyquist, scale);
#endif
}

/* Q31 times Q15, back to Q31 with two guard bits. */
static inline int32_t masked(int32_t value, int32_t gain)
{
    return mul_half_add(1, value, gain) >> 1;
}

uint32_t tinydsn_frontend_mask(const int16_t *mask, complex_t *line)
{
#if BINS > LINES
    line[0].im = masked(line[0].im, mask[LINES]);
#else
    line[0].im = 0;
#endif
    line[0].re = masked(line[0].re, mask[0]);
    uint32_t bits = magnitude_bits(line[0].re) | magnitude_bits(line[0].im);
    for (uint32_t place = 1; place < LINES; place++) {
        const int32_t gain = mask[reverse_bits(place, LINES_BITS)];
        const complex_t value = fft_load(line + place);
        const complex_t product = {masked(value.re, gain), masked(value.im, gain)};
        fft_store(line + place, product);
        bits |= magnitude_bits(product.re) | magnitude_bits(product.im);
    }
    return bits;
}

/* How a windowed sample comes to the accumulator's format: the upper half of (sample << up) * weight, plus a
 * half step, >> down. */
typedef struct {
    int32_t up;
    int32_t down;
} scale_t;

static inline complex_t scaled(complex_t value, complex_t weights, const scale_t *scale, int32_t half)
{
    const complex_t result = {
        mul_high_add(half, shift_left(value.re, scale->up), weights.re) >> scale->down,
        mul_high_add(half, shift_left(value.im, scale->up), weights.im) >> scale->down,
    };
    return result;
}

/* Adds two finished samples of a window to what earlier ones left; n is even. */
static inline void add_overlap(tinydsn_frontend_t *state, int16_t *out, int32_t n, complex_t sum)
{
    if (n < LATENCY) {
        sum.re += state->overlap[n];
        sum.im += state->overlap[n + 1];
    }
    if (n < HOP) {
        out[n] = saturate_256th(sum.re + (HALF_IN_SHIFT ? 0 : OUTPUT_HALF));
        out[n + 1] = saturate_256th(sum.im + (HALF_IN_SHIFT ? 0 : OUTPUT_HALF));
    } else {
        state->overlap[n - HOP] = sum.re;
        state->overlap[n - HOP + 1] = sum.im;
    }
}

/* Adds two samples of a window, where it overlaps with one other only; else leaves them for a pass of their own,
 * in an order that reads what other hops left before it is overwritten. */
static inline void finish(tinydsn_frontend_t *state, int16_t *out, complex_t *point, int32_t n, complex_t sum)
{
    if (OVERLAPS == 2) {
        add_overlap(state, out, n, sum);
    } else {
        fft_store(point, sum);
    }
}

void tinydsn_frontend_last_pass(tinydsn_frontend_t *state, int32_t shift, complex_t *points, int16_t *out)
{
    /* An energy below the window's bounds the samples: they can be shifted so far. */
    const int32_t up = shift < 33 ? 33 - shift : 0;
    const int32_t down = shift + up - 32;
    const scale_t scale = {up + TINYDSN_FFT_BLOCKS - 1, down};
    const int32_t half = (int32_t)1 << (down - 1);
    const int32_t half_of_both = half + (HALF_IN_SHIFT ? shift_left(OUTPUT_HALF, down) : 0);
    const int32_t *rise = tinydsn_frontend_sine, *fall = tinydsn_frontend_sine + WINDOW / 2;
    for (int32_t n = 0; n < WINDOW / 4; n += 2, points++) {
        const complex_t *b = points + LINES / 2, *c = points + LINES / 4, *d = points + LINES / 4 * 3;
        const four_t x = {{points->re, points->im}, {b->re, b->im}, {c->re, c->im}, {d->re, d->im}};
        four_t y = fft_combine(x, 1);
        y.a = scaled(y.a, rising(rise + n), &scale, half_of_both);
        finish(state, out, points, n, y.a);
        y.b = scaled(y.b, rising(rise + WINDOW / 4 + n), &scale, half_of_both);
        finish(state, out, points + LINES / 4, WINDOW / 4 + n, y.b);
        y.c = scaled(y.c, falling(fall - n), &scale, half);
        finish(state, out, points + LINES / 2, WINDOW / 2 + n, y.c);
        y.d = scaled(y.d, falling(fall - WINDOW / 4 - n), &scale, half);
        finish(state, out, points + LINES / 4 * 3, WINDOW / 4 * 3 + n, y.d);
    }
#if OVERLAPS > 2
    points -= LINES / 4;
    for (int32_t n = 0; n < WINDOW; n += 2) {
        add_overlap(state, out, n, points[n / 2]);
    }
#endif
}

#endif
