/* The front end's steps for cores without vectors; see tinydsn_frontend_steps.h. */
#include "tinydsn_frontend_steps.h"

#if !TINYDSN_FRONTEND_VECTORS

/* Weights of two samples that follow each other, in the window's rising and in its falling half. */
static inline complex_t rising(const int32_t *weights)
{
    return fft_load((const complex_t *)weights);
}

static inline complex_t falling(const int32_t *weights)
{
    const complex_t reversed = fft_load((const complex_t *)(weights - 1));
    const complex_t pair = {reversed.im, reversed.re};
    return pair;
}

/* Two samples that follow each other, windowed. */
static inline complex_t windowed(const int16_t *samples, complex_t weights)
{
    const uint32_t pair = tinydsn_load32(samples);
    const complex_t point = {mul_low_half(weights.re, pair), tinydsn_smulwt(weights.im, pair)};
    return point;
}

/* A sample's place: what came before the hop is in the history. */
static inline const int16_t *sample(const tinydsn_frontend_t *state, const int16_t *in, int32_t n)
{
    return n < LATENCY ? state->history + n : in + (n - LATENCY);
}

/* The FFT's first pass has legs of this many samples; a leg may have its end in the hop. */
#define LEG (WINDOW / TINYDSN_FFT_FIRST)
#define PART (LEG < HOP ? LEG : HOP)

/* Between the four points of a butterfly over all lines: LDRD reaches 1020 bytes either way. */
#define MIDDLE (LINES / 8 * 3)

void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, complex_t *points)
{
    for (int32_t part = 0; part < LEG; part += PART) {
        const int32_t *up = tinydsn_frontend_analysis_weights + part;
        const int32_t *down = tinydsn_frontend_analysis_weights + WINDOW / 2 - part;
#if LINES_BITS % 2
        const int16_t *in_a = sample(state, in, part), *in_b = sample(state, in, LEG + part);
        for (int32_t n = 0; n < PART; n += 2, points++) {
            const complex_t a = windowed(in_a + n, rising(up + n)), b = windowed(in_b + n, falling(down - n));
            const complex_t sum = {a.re + b.re, a.im + b.im}, difference = {a.re - b.re, a.im - b.im};
            fft_store(&points[0], sum);
            fft_store(&points[LINES / 2], difference);
        }
#else
        const int16_t *in_a = sample(state, in, part), *in_b = sample(state, in, LEG + part);
        const int16_t *in_c = sample(state, in, 2 * LEG + part), *in_d = sample(state, in, 3 * LEG + part);
        complex_t *middle = points + MIDDLE;
        points += PART / 2;
        for (const complex_t *end = middle + PART / 2; middle < end; middle++) {
            four_t x;
            x.a = windowed(in_a, rising(up));
            x.c = windowed(in_c, falling(down));
            const complex_t ac = {x.a.re + x.c.re, x.a.im + x.c.im};
            complex_t a_c = {x.a.re - x.c.re, x.a.im - x.c.im};
            LOAD_LATE(up, a_c.re);
            LOAD_LATE(down, a_c.im);
            x.b = windowed(in_b, rising(up + LEG));
            LOAD_LATE(down, x.b.re);
            x.d = windowed(in_d, falling(down - LEG));
            const four_t y = fft_sums(ac, a_c, x.b, x.d, 0);
            LOAD_LATE(middle, x.d.re);
            fft_store(&middle[-MIDDLE], y.a);
            fft_store(&middle[LINES / 4 - MIDDLE], y.c);
            fft_store(&middle[LINES / 2 - MIDDLE], y.b);
            fft_store(&middle[LINES / 4 * 3 - MIDDLE], y.d);
            up += 2, down -= 2;
            in_a += 2, in_b += 2, in_c += 2, in_d += 2;
        }
#endif
    }
}

/* Makes two lines from each other. */
static inline void split_two(complex_t *place, complex_t *mirror, const complex_t *turn)
{
    complex_t a = fft_load(place), b = fft_load(mirror);
    const complex_t doubled = {a.re + b.re, a.im - b.im}, difference = {a.im + b.im, b.re - a.re};
    const complex_t odd = fft_turn(difference, fft_load(turn), 0);
    a.re = add_half(odd.re, doubled.re);
    a.im = add_half(odd.im, doubled.im);
    b.re = half_sub(doubled.re, odd.re);
    b.im = sub_half(odd.im, doubled.im);
    fft_store(place, a);
    fft_store(mirror, b);
}

void tinydsn_frontend_split(complex_t *line)
{
    const complex_t zero = line[0];
    line[0].re = zero.re + zero.im;
    line[0].im = zero.re - zero.im;
    line[1].im = -line[1].im;
    const complex_t *turn = (const complex_t *)tinydsn_frontend_line_turns;
    split_two(line + 2, line + 3, turn++);
    complex_t *place = line + 4;
    for (complex_t *end = line + 8; place < line + LINES; end += end - line) {
        for (complex_t *mirror = end - 1; place < end; place += 4, mirror -= 4, turn += 2) {
            split_two(place, mirror, turn);
            split_two(place + 2, mirror - 2, turn + 1);
        }
    }
}

/* |X| ** compression of a line: the leading zeros of its power choose the gain, the bits behind the leading one a
 * segment of the curve. */
static inline int32_t feature(complex_t line)
{
    const uint64_t power = (uint64_t)((int64_t)line.re * line.re) + (uint64_t)((int64_t)line.im * line.im);
    const uint32_t upper = (uint32_t)(power >> 32), lower = (uint32_t)power;
    uint32_t mantissa;
    int32_t zeros;
    if (upper != 0) {
        /* A power is below 2^62, so that there are two zeros or more. */
        zeros = tinydsn_clz(upper);
        mantissa = upper << zeros | lower >> (32 - zeros);
    } else if (lower != 0) {
        zeros = tinydsn_clz(lower);
        mantissa = lower << zeros;
        zeros += 32;
    } else {
        return 0;
    }
    const complex_t segment = fft_load((const complex_t *)tinydsn_frontend_curve + (mantissa >> 25 & 63));
    const int32_t value = mul_high_add(segment.re, (int32_t)mantissa, segment.im);
    const int32_t result = mul_high_round(value, tinydsn_frontend_gains[zeros]);
    return TINYDSN_FRONTEND_CAN_SATURATE ? tinydsn_saturate16(result) : result;
}

static inline void store_feature(int16_t *place, complex_t line)
{
    int32_t value = feature(line);
    /* Else GCC extends its sign. */
    __asm("" : "+r"(value));
    *place = (int16_t)value;
}

void tinydsn_frontend_compress(const complex_t *line, int16_t *features)
{
    for (uint32_t place = 0; place < LINES; place += 4) {
        int16_t *number = features + reverse_bits(place, LINES_BITS);
        store_feature(number, fft_load(line + place));
        store_feature(number + LINES / 2, fft_load(line + place + 1));
        store_feature(number + LINES / 4, fft_load(line + place + 2));
        store_feature(number + LINES / 4 * 3, fft_load(line + place + 3));
    }
    const complex_t first = {line[0].re, 0};
    store_feature(features, first);
#if BINS > LINES
    const complex_t nyquist = {line[0].im, 0};
    store_feature(features + LINES, nyquist);
#endif
}

static inline complex_t masked(complex_t line, int16_t gain)
{
    const complex_t product = {mul_low_half(line.re, (uint32_t)gain), mul_low_half(line.im, (uint32_t)gain)};
    return product;
}

/* Masks two lines, whose numbers are k and LINES - k; then the inverse of split_two. */
static inline void join_two(complex_t *place, complex_t *mirror, const complex_t *turn, const int16_t *gain,
                            const int16_t *mirror_gain)
{
    complex_t a = masked(fft_load(place), *gain), b = masked(fft_load(mirror), *mirror_gain);
    const complex_t doubled = {a.re + b.re, a.im - b.im}, difference = {a.re - b.re, a.im + b.im};
    const complex_t odd = fft_turn(difference, fft_load(turn), 1);
    a.re = half_sub(doubled.re, odd.im);
    a.im = add_half(odd.re, doubled.im);
    b.re = add_half(odd.im, doubled.re);
    b.im = sub_half(odd.re, doubled.im);
    fft_store(place, a);
    fft_store(mirror, b);
}

void tinydsn_frontend_join(const int16_t *mask, complex_t *line)
{
    const int32_t dc = mul_low_half(line[0].re, (uint32_t)mask[0]);
    const int32_t nyquist = BINS > LINES ? mul_low_half(line[0].im, (uint32_t)mask[BINS - 1]) : 0;
    line[0].re = (dc + nyquist) >> 1;
    line[0].im = (dc - nyquist) >> 1;
    const complex_t middle = masked(line[1], mask[LINES / 2]);
    line[1].re = middle.re;
    line[1].im = -middle.im;
    const complex_t *turn = (const complex_t *)tinydsn_frontend_line_turns;
    join_two(line + 2, line + 3, turn++, mask + LINES / 4, mask + LINES / 4 * 3);
    complex_t *place = line + 4;
    uint32_t number = 4;
    for (complex_t *end = line + 8; place < line + LINES; end += end - line) {
        for (complex_t *mirror = end - 1; place < end; place += 4, mirror -= 4, turn += 2, number += 4) {
            const uint32_t k = reverse_bits(number, LINES_BITS);
            const int16_t *gain = mask + k, *mirror_gain = mask + LINES - k;
            join_two(place, mirror, turn, gain, mirror_gain);
            join_two(place + 2, mirror - 2, turn + 1, gain + LINES / 4, mirror_gain - LINES / 4);
        }
    }
}

/* Two samples that earlier windows began and this one finishes. */
static inline void finish(int16_t *out, const int32_t *overlap, complex_t x, complex_t weights)
{
    complex_t sum = fft_load((const complex_t *)overlap);
    sum.re = mul_high_add_round(sum.re, x.re, weights.re);
    sum.im = mul_high_add_round(sum.im, x.im, weights.im);
    SATURATED_SHIFT(sum.re, sum.re, ACCUMULATOR_BITS);
    SATURATED_SHIFT(sum.im, sum.im, ACCUMULATOR_BITS);
    tinydsn_store32(out, pack_halves(sum.re, sum.im));
}

/* Two samples that go on in later windows. */
static inline void add(int32_t *overlap, complex_t sum, complex_t x, complex_t weights)
{
    sum.re = mul_high_add_round(sum.re, x.re, weights.re);
    sum.im = mul_high_add_round(sum.im, x.im, weights.im);
    fft_store((complex_t *)overlap, sum);
}

void tinydsn_frontend_overlap_add(tinydsn_frontend_t *state, const complex_t *points, int16_t *out)
{
    const complex_t begin = {OUTPUT_HALF, OUTPUT_HALF};
    const int32_t *rise = tinydsn_frontend_synthesis_weights, *fall = rise + WINDOW / 2;
#if OVERLAPS == 2
    int32_t *overlap = state->overlap;
    const complex_t *middle = points + LINES / 4;
    for (const int16_t *end = out + HOP; out < end;) {
#pragma GCC unroll 4
        for (int32_t n = 0; n < 8; n += 2) {
            finish(out + n, overlap + n, fft_load(middle + n / 2 - LINES / 4), rising(rise + n));
            add(overlap + n, begin, fft_load(middle + n / 2 + LINES / 4), falling(fall - n));
        }
        out += 8, overlap += 8, middle += 4, rise += 8, fall -= 8;
        LOAD_LATE(fall, rise);
    }
#else
    /* In an order that reads what other hops left before it is overwritten. */
    for (int32_t n = 0; n < WINDOW; n += 2) {
        const complex_t weights = n < WINDOW / 2 ? rising(rise + n) : falling(fall - (n - WINDOW / 2));
        const complex_t x = fft_load(points + n / 2);
        if (n < HOP) {
            finish(out + n, state->overlap + n, x, weights);
        } else {
            const complex_t before = n < LATENCY ? fft_load((complex_t *)(state->overlap + n)) : begin;
            add(state->overlap + n - HOP, before, x, weights);
        }
    }
#endif
}

#endif
