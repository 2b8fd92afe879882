/* The FFT's passes for cores with vectors, the first and last one with the window: the same bits as those of
 * tinydsn_frontend_fft.c and tinydsn_frontend_scalar.c. See tinydsn_frontend_steps.h.
 */
#include "tinydsn_frontend_mve.h"

#if TINYDSN_FRONTEND_VECTORS

/* A pass over blocks of at least four times LANES points. */
static inline __attribute__((always_inline)) void forward_pass(complex_t *points, int32_t blocks)
{
    const int32_t quarter = LINES / blocks / 4;
    complex_t *p = points;
    for (int32_t block = 0; block < blocks; block++, p += 3 * quarter) {
        const int32_t *turns = tinydsn_frontend_turns + 6 * reverse_bits((uint32_t)block, LINES_BITS - 2);
        for (const complex_t *end = p + quarter; p < end; p += LANES) {
            butterflies_t x;
            x.b = turned_alike(load(p + quarter), turns);
            x.d = turned_alike(load_after(p + 3 * quarter, x.b.im), turns + 4);
            const points_t bd = plus(x.b, x.d), b_d = minus(x.b, x.d);
            x.c = turned_alike(load_after(p + 2 * quarter, b_d.im), turns + 2);
            const butterflies_t y = sums_with(load_after(p, x.c.im), x.c, bd, b_d, 0);
            store(p, y.a);
            store(p + quarter, y.c);
            store(p + 2 * quarter, y.b);
            store(p + 3 * quarter, y.d);
        }
    }
}

void tinydsn_fft_forward(complex_t *points)
{
    forward_pass(points, 4);
#if LINES > 64
    forward_pass(points, 16);
#endif
#if LINES > 256
    forward_pass(points, 64);
#endif
#if LINES > 1024
    forward_pass(points, 256);
#endif
    const uint32x4_t words = lanes_times(8);
    uint32x4_t group = vidupq_n_u32(0, 1);
    for (complex_t *p = points; p < points + LINES; p += 4 * LANES, group = vaddq_n_u32(group, LANES)) {
        const uint32x4_t angle = vmulq_n_u32(vbrsrq_n_u32(group, LINES_BITS - 2), 6);
        const int32_t *turns = tinydsn_frontend_turns;
        complex_t *from = p;
        butterflies_t x;
        x.b = turned_by(gather(from + 1, words), turns, angle, 0);
        POINTER_AFTER(from, x.b.im);
        x.d = turned_by(gather(from + 3, words), turns + 4, angle, 0);
        const points_t bd = plus(x.b, x.d), b_d = minus(x.b, x.d);
        POINTER_AFTER(from, b_d.im);
        x.c = turned_by(gather(from + 2, words), turns + 2, angle, 0);
        POINTER_AFTER(from, x.c.im);
        const butterflies_t y = sums_with(gather(from, words), x.c, bd, b_d, 0);
        scatter(p, words, y.a);
        scatter(p + 1, words, y.c);
        scatter(p + 2, words, y.b);
        scatter(p + 3, words, y.d);
    }
}

/* Butterflies of an inverse pass whose points have distances of `length`. */
static inline butterflies_t inverse_four(const complex_t *p, int32_t length, const int32_t *turns, uint32x4_t words)
{
    butterflies_t x;
    x.b = turned_by(load(p + 2 * length), turns, words, 1);
    x.d = turned_by(load_after(p + 3 * length, x.b.im), turns + 4, words, 1);
    const points_t bd = plus(x.b, x.d), b_d = minus(x.b, x.d);
    x.c = turned_by(load_after(p + length, b_d.im), turns + 2, words, 1);
    return sums_with(load_after(p, x.c.im), x.c, bd, b_d, 1);
}

static inline __attribute__((always_inline)) void inverse_pass(complex_t *points, int32_t length)
{
    const int32_t step = 6 * (LINES / 4 / length);
    const uint32x4_t words = lanes_times((uint32_t)step);
    for (complex_t *p = points; p < points + LINES; p += 3 * length) {
        const int32_t *turns = tinydsn_frontend_turns;
        for (const complex_t *end = p + length; p < end; p += LANES, turns += LANES * step) {
            const butterflies_t y = inverse_four(p, length, turns, words);
            store(p, y.a);
            store(p + length, y.b);
            store(p + 2 * length, y.c);
            store(p + 3 * length, y.d);
        }
    }
}

void tinydsn_fft_inverse(complex_t *points)
{
    const uint32x4_t words = lanes_times(8);
    for (complex_t *p = points; p < points + LINES; p += 4 * LANES) {
        butterflies_t x = gather_groups(p, words);
        const points_t b = x.b;
        x.b = x.c;
        x.c = b;
        const butterflies_t y = combine(x, 1);
        scatter(p, words, y.a);
        scatter(p + 1, words, y.b);
        scatter(p + 2, words, y.c);
        scatter(p + 3, words, y.d);
    }
    inverse_pass(points, 4);
    inverse_pass(points, 16);
#if LINES > 64
    inverse_pass(points, 64);
#endif
#if LINES > 256
    inverse_pass(points, 256);
#endif
#if LINES > 1024
    inverse_pass(points, 1024);
#endif
}

/* Weights of samples that follow each other, in the window's rising and in its falling half. */
static inline points_t rising(const int32_t *weights)
{
    return load_words(weights);
}

static inline points_t falling(const int32_t *weights)
{
    const uint32x4_t words = vsubq_u32(vdupq_n_u32(6), lanes_times(2));
    points_t x;
    x.re = vldrwq_gather_shifted_offset_s32(weights - 6, words);
    x.im = vldrwq_gather_shifted_offset_s32(weights - 7, words);
    return x;
}

/* Eight samples, windowed. */
static inline points_t windowed(const int16_t *samples, points_t weights)
{
    const int32x4_t pairs = vreinterpretq_s32_s16(vld1q_s16(samples));
    points_t x;
    x.re = vmulhq_s32(vshlq_n_s32(pairs, 16), weights.re);
    x.im = vmulhq_s32(vshlq_n_s32(vshrq_n_s32(pairs, 16), 16), weights.im);
    return x;
}

void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, complex_t *points)
{
    const int32_t *up = tinydsn_frontend_analysis_weights, *down = up + WINDOW / 2;
    const int16_t *before = state->history;
    for (int32_t n = 0; n < WINDOW / 4; n += 2 * LANES, points += LANES) {
        const butterflies_t x = {
            windowed(before + n, rising(up + n)),
            windowed(before + WINDOW / 4 + n, rising(up + WINDOW / 4 + n)),
            windowed(in + n, falling(down - n)),
            windowed(in + WINDOW / 4 + n, falling(down - WINDOW / 4 - n)),
        };
        const butterflies_t y = combine(x, 0);
        store(points, y.a);
        store(points + LINES / 4, y.c);
        store(points + LINES / 2, y.b);
        store(points + LINES / 4 * 3, y.d);
    }
}

/* Eight finished samples. */
static inline void put(int16_t *out, const int32_t *overlap, points_t x, points_t weights)
{
    const points_t before = load_words(overlap);
    const int32x4_t re = vaddq_s32(before.re, vrmulhq_s32(x.re, weights.re));
    const int32x4_t im = vaddq_s32(before.im, vrmulhq_s32(x.im, weights.im));
    const int16x8_t even = vqmovnbq_s32(vdupq_n_s16(0), vshrq_n_s32(re, ACCUMULATOR_BITS));
    vst1q_s16(out, vqmovntq_s32(even, vshrq_n_s32(im, ACCUMULATOR_BITS)));
}

/* Eight samples that the next window will finish. */
static inline void keep(int32_t *overlap, points_t x, points_t weights)
{
    x.re = vaddq_n_s32(vrmulhq_s32(x.re, weights.re), OUTPUT_HALF);
    x.im = vaddq_n_s32(vrmulhq_s32(x.im, weights.im), OUTPUT_HALF);
    store_words(overlap, x);
}

void tinydsn_frontend_overlap_add(tinydsn_frontend_t *state, const complex_t *points, int16_t *out)
{
    const int32_t *rise = tinydsn_frontend_synthesis_weights, *fall = rise + WINDOW / 2;
    int32_t *overlap = state->overlap;
    for (int32_t n = 0; n < HOP; n += 2 * LANES, points += LANES) {
        put(out + n, overlap + n, load(points), rising(rise + n));
        keep(overlap + n, load(points + LINES / 2), falling(fall - n));
    }
}

#endif
