/* The FFT's passes for cores with vectors, the first and last one with the window: the same bits as those of
 * tinydsn_frontend_fft.c and tinydsn_frontend_scalar.c. See tinydsn_frontend_steps.h.
 */
#include "tinydsn_frontend_mve.h"

#if TINYDSN_FRONTEND_VECTORS

static void forward_pass(complex_t *points, int32_t blocks)
{
    const int32_t quarter = LINES / blocks / 4;
    const uint32x4_t words = lanes_times((uint32_t)(6 * blocks));
    for (complex_t *block = points; block < points + LINES; block += 4 * quarter) {
        const int32_t *turns = tinydsn_frontend_turns;
        for (complex_t *p = block; p < block + quarter; p += LANES, turns += 6 * blocks * LANES) {
            const butterflies_t x = {load(p), load(p + quarter), load(p + 2 * quarter), load(p + 3 * quarter)};
            const butterflies_t y = combine(x, 0);
            store(p, shifted(y.a, -2));
            put_turned(p + 2 * quarter, p + quarter, p + 3 * quarter, y, turns, words, -1, 0);
        }
    }
}

void tinydsn_fft_forward(complex_t *points)
{
    for (int32_t blocks = 4; blocks < LINES / 4; blocks *= 4) {
        forward_pass(points, blocks);
    }
    const uint32x4_t words = lanes_times(8);
    for (complex_t *p = points; p < points + LINES; p += 4 * LANES) {
        const butterflies_t y = combine(gather_groups(p, words), 0);
        scatter(p, words, y.a);
        scatter(p + 1, words, y.c);
        scatter(p + 2, words, y.b);
        scatter(p + 3, words, y.d);
    }
}

static void inverse_pass(complex_t *points, int32_t blocks, int32_t bits)
{
    const int32_t *turns = tinydsn_frontend_turns;
    const uint32x4_t same = vdupq_n_u32(0);
    for (uint32_t j = 0; j < (uint32_t)1 << bits; j++, turns += 6 * blocks) {
        complex_t *p = points + 4 * blocks * (int32_t)reverse_bits(j, bits);
        for (const complex_t *end = p + blocks; p < end; p += LANES) {
            const butterflies_t x = {load(p), load(p + 2 * blocks), load(p + blocks), load(p + 3 * blocks)};
            const butterflies_t y = combine(x, 1);
            store(p, shifted(y.a, -2));
            put_turned(p + blocks, p + 2 * blocks, p + 3 * blocks, y, turns, same, -1, 1);
        }
    }
}

void tinydsn_fft_inverse(complex_t *points)
{
    const uint32x4_t words = lanes_times(8);
    uint32x4_t group = vidupq_n_u32(0, 1);
    for (complex_t *p = points; p < points + LINES; p += 4 * LANES, group = vaddq_n_u32(group, LANES)) {
        const uint32x4_t angle = vmulq_n_u32(vbrsrq_n_u32(group, LINES_BITS - 2), 6);
        butterflies_t x = gather_groups(p, words);
        const points_t b = x.b;
        x.b = x.c;
        x.c = b;
        const butterflies_t y = combine(divided_by_16(x), 1);
        const int32_t *turns = tinydsn_frontend_turns;
        scatter(p, words, y.a);
        scatter(p + 2, words, shifted(turn(y.c, turns + 2, angle, 1), 1));
        scatter(p + 1, words, shifted(turn(y.b, turns, angle, 1), 1));
        scatter(p + 3, words, shifted(turn(y.d, turns + 4, angle, 1), 1));
    }
    int32_t bits = LINES_BITS - 4;
    for (int32_t blocks = 4; blocks < LINES / 4; blocks *= 4, bits -= 2) {
        inverse_pass(points, blocks, bits);
    }
}

/* Weights of samples that follow each other, in the window's rising and in its falling half. */
static inline points_t rising(const int32_t *sine)
{
    return load_words(sine);
}

static inline points_t falling(const int32_t *sine)
{
    const uint32x4_t words = vsubq_u32(vdupq_n_u32(6), lanes_times(2));
    points_t weights;
    weights.re = vldrwq_gather_shifted_offset_s32(sine - 6, words);
    weights.im = vldrwq_gather_shifted_offset_s32(sine - 7, words);
    return weights;
}

/* Eight samples, windowed and divided by 16. */
static inline points_t windowed(const int16_t *samples, int32_t headroom, points_t weights)
{
    const uint32x4_t pairs = vreinterpretq_u32_u16(vld1q_u16((const uint16_t *)samples));
    const uint32x4_t second = vshrq_n_u32(pairs, 16);
    points_t x;
    x.re = vreinterpretq_s32_u32(vshlq_r_u32(pairs, FRAME_BITS - 14 + headroom));
    x.im = vreinterpretq_s32_u32(vshlq_r_u32(second, FRAME_BITS - 14 + headroom));
    x.re = vshrq_n_s32(vrmulhq_s32(x.re, weights.re), 4);
    x.im = vshrq_n_s32(vrmulhq_s32(x.im, weights.im), 4);
    return x;
}

void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, int32_t headroom,
                                 complex_t *points)
{
    const int32_t *up = tinydsn_frontend_sine, *down = tinydsn_frontend_sine + WINDOW / 2;
    const int32_t *turns = tinydsn_frontend_turns;
    const int16_t *before = state->history;
    const uint32x4_t words = lanes_times(6);
    for (int32_t n = 0; n < WINDOW / 4; n += 2 * LANES, points += LANES, turns += 6 * LANES) {
        const butterflies_t x = {
            windowed(before + n, headroom, rising(up + n)),
            windowed(before + WINDOW / 4 + n, headroom, rising(up + WINDOW / 4 + n)),
            windowed(in + n, headroom, falling(down - n)),
            windowed(in + WINDOW / 4 + n, headroom, falling(down - WINDOW / 4 - n)),
        };
        const butterflies_t y = combine(x, 0);
        store(points, y.a);
        put_turned(points + LINES / 2, points + LINES / 4, points + LINES / 4 * 3, y, turns, words, 1, 0);
    }
}

/* How a windowed sample comes to the accumulator's format; see tinydsn_frontend_scalar.c. */
typedef struct {
    int32_t up;
    int32_t down;
} scale_t;

static inline points_t scaled(points_t value, points_t weights, scale_t scale, int32_t half)
{
    points_t x = shifted(value, scale.up);
    x.re = vshlq_r_s32(vaddq_n_s32(vmulhq_s32(x.re, weights.re), half), -scale.down);
    x.im = vshlq_r_s32(vaddq_n_s32(vmulhq_s32(x.im, weights.im), half), -scale.down);
    return x;
}

/* Eight finished samples. */
static inline void put(int16_t *out, const int32_t *overlap, points_t sum)
{
    points_t x = plus(sum, load_words(overlap));
    if (!HALF_IN_SHIFT) {
        x.re = vaddq_n_s32(x.re, OUTPUT_HALF);
        x.im = vaddq_n_s32(x.im, OUTPUT_HALF);
    }
    const int16x8_t even = vqmovnbq_s32(vdupq_n_s16(0), vshrq_n_s32(x.re, ACCUMULATOR_BITS));
    vst1q_s16(out, vqmovntq_s32(even, vshrq_n_s32(x.im, ACCUMULATOR_BITS)));
}

void tinydsn_frontend_last_pass(tinydsn_frontend_t *state, int32_t shift, complex_t *points, int16_t *out)
{
    const int32_t up = shift < 33 ? 33 - shift : 0, down = shift + up - 32;
    const scale_t scale = {up, down};
    const int32_t half = (int32_t)1 << (down - 1);
    const int32_t half_of_both = half + (HALF_IN_SHIFT ? shift_left(OUTPUT_HALF, down) : 0);
    const int32_t *rise = tinydsn_frontend_sine, *fall = tinydsn_frontend_sine + WINDOW / 2;
    int32_t *overlap = state->overlap;
    for (int32_t n = 0; n < WINDOW / 4; n += 2 * LANES, points += LANES) {
        const butterflies_t x = {
            load(points), load(points + LINES / 2), load(points + LINES / 4), load(points + LINES / 4 * 3)
        };
        const butterflies_t y = combine(x, 1);
        put(out + n, overlap + n, scaled(y.a, rising(rise + n), scale, half_of_both));
        store_words(overlap + n, scaled(y.c, falling(fall - n), scale, half));
        const int32_t behind = WINDOW / 4 + n;
        put(out + behind, overlap + behind, scaled(y.b, rising(rise + behind), scale, half_of_both));
        store_words(overlap + behind, scaled(y.d, falling(fall - behind), scale, half));
    }
}

#endif
