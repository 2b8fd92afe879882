/* The passes of the front end's FFT; see tinydsn_frontend_fft.h. */
#include "tinydsn_frontend_fft.h"

#if !TINYDSN_FRONTEND_VECTORS

#define POINTS TINYDSN_FFT_POINTS
#define BLOCKS TINYDSN_FFT_BLOCKS
#define BLOCK TINYDSN_FFT_BLOCK

#define FFT_INLINE inline __attribute__((always_inline))

/* Words of the table for one butterfly: cosine and sine of one, two and three times its angle. */
#define TURN 6

/* Pass over four points that is neither first nor last: it divides by four. */
static FFT_INLINE four_t middle(four_t x, const int32_t *turns, int back)
{
    four_t y = fft_combine(x, back);
    y.a = fft_shifted(y.a, 2);
    return fft_turn_three(y, turns, 0, back);
}

/* A middle pass over `blocks` blocks of points in their order. All passes are inlined, so that distances
 * are constants. */
static FFT_INLINE void forward_pass(complex_t *points, int32_t blocks)
{
    const int32_t quarter = POINTS / blocks / 4, step = TURN * blocks / BLOCKS;
    for (complex_t *block = points; block < points + POINTS; block += 4 * quarter) {
        const int32_t *turns = tinydsn_frontend_turns;
#pragma GCC unroll 1
        for (complex_t *p = block; p < block + quarter; p++, turns += step) {
            const four_t x = {
                fft_load(&p[0]), fft_load(&p[quarter]), fft_load(&p[2 * quarter]), fft_load(&p[3 * quarter])
            };
            const four_t y = middle(x, turns, 0);
            fft_store(&p[0], y.a);
            fft_store(&p[quarter], y.c);
            fft_store(&p[2 * quarter], y.b);
            fft_store(&p[3 * quarter], y.d);
        }
    }
}

/* The same for the inverse FFT, over points whose places have their bits reversed. */
static FFT_INLINE void inverse_pass(complex_t *points, int32_t blocks, int32_t bits)
{
    const int32_t step = TURN * blocks / BLOCKS;
    const int32_t *turns = tinydsn_frontend_turns;
    for (uint32_t j = 0; j < (uint32_t)1 << bits; j++, turns += step) {
        complex_t *p = points + 4 * blocks * (int32_t)reverse_bits(j, bits);
#pragma GCC unroll 1
        for (const complex_t *end = p + blocks; p < end; p++) {
            const four_t x = {
                fft_load(&p[0]), fft_load(&p[2 * blocks]), fft_load(&p[blocks]), fft_load(&p[3 * blocks])
            };
            const four_t y = middle(x, turns, 1);
            fft_store(&p[0], y.a);
            fft_store(&p[blocks], y.b);
            fft_store(&p[2 * blocks], y.c);
            fft_store(&p[3 * blocks], y.d);
        }
    }
}

/* Last forward pass, over neighbours. */
static FFT_INLINE void forward_last(complex_t *points)
{
#pragma GCC unroll 1
    for (complex_t *p = points; p < points + POINTS; p += 4) {
        const four_t x = {fft_load(&p[0]), fft_load(&p[1]), fft_load(&p[2]), fft_load(&p[3])};
        const four_t y = fft_combine(x, 0);
        p[0].re = shift_left(y.a.re, BLOCKS - 1);
        p[0].im = shift_left(y.a.im, BLOCKS - 1);
        p[1].re = shift_left(y.c.re, BLOCKS - 1);
        p[1].im = shift_left(y.c.im, BLOCKS - 1);
        p[2].re = shift_left(y.b.re, BLOCKS - 1);
        p[2].im = shift_left(y.b.im, BLOCKS - 1);
        p[3].re = shift_left(y.d.re, BLOCKS - 1);
        p[3].im = shift_left(y.d.im, BLOCKS - 1);
    }
}

#if TINYDSN_FFT_BITS % 2
/* First pass over four points of the two blocks, in their order. */
static void forward_first(complex_t *points)
{
    const int32_t quarter = BLOCK / 4;
    for (complex_t *block = points; block < points + POINTS; block += BLOCK) {
        const int32_t *turns = tinydsn_frontend_turns;
#pragma GCC unroll 1
        for (complex_t *p = block; p < block + quarter; p++, turns += TURN) {
            const four_t x = {
                fft_load(&p[0]), fft_load(&p[quarter]), fft_load(&p[2 * quarter]), fft_load(&p[3 * quarter])
            };
            const four_t y = fft_first(fft_divided(x, 4), turns, 0);
            fft_store(&p[0], y.a);
            fft_store(&p[quarter], y.c);
            fft_store(&p[2 * quarter], y.b);
            fft_store(&p[3 * quarter], y.d);
        }
    }
}

/* First inverse pass, over two points; places have their bits reversed. */
static void inverse_two(complex_t *points)
{
    const int32_t *turn = tinydsn_frontend_half_turns;
    for (uint32_t j = 0; j < POINTS / 2; j++, turn += 2) {
        complex_t *p = points + 2 * reverse_bits(j, TINYDSN_FFT_BITS - 1);
        const complex_t a = fft_shifted(p[0], 2), b = fft_shifted(p[1], 2);
        const complex_t difference = {a.re - b.re, a.im - b.im};
        p[0].re = a.re + b.re;
        p[0].im = a.im + b.im;
        const int32_t re = mul_high_round(difference.re, turn[0]);
        const int32_t im = mul_high_round(difference.im, turn[0]);
        p[1].re = shift_left(mul_high_sub_round(re, difference.im, turn[1]), 1);
        p[1].im = shift_left(mul_high_add_round(im, difference.re, turn[1]), 1);
    }
}
#endif

/* First inverse pass over four points, which are neighbours (or every other point, of two blocks). */
static FFT_INLINE void inverse_first(complex_t *points)
{
    const int32_t *turns = tinydsn_frontend_turns;
    for (uint32_t j = 0; j < BLOCK / 4; j++, turns += TURN) {
        complex_t *p = points + 4 * BLOCKS * reverse_bits(j, TINYDSN_FFT_BITS / 2 * 2 - 2);
#pragma GCC unroll 1
        for (const complex_t *end = p + BLOCKS; p < end; p++) {
            const four_t x = {
                fft_load(&p[0]), fft_load(&p[2 * BLOCKS]), fft_load(&p[BLOCKS]), fft_load(&p[3 * BLOCKS])
            };
            const four_t y = fft_first(fft_divided(x, 4), turns, 1);
            fft_store(&p[0], y.a);
            fft_store(&p[BLOCKS], y.b);
            fft_store(&p[2 * BLOCKS], y.c);
            fft_store(&p[3 * BLOCKS], y.d);
        }
    }
}

/* What behind a first pass over four points remains but for the last pass: at most five passes. */
#define HAS_PASS(blocks) ((blocks) < POINTS / 4)
#define PASS_BITS(number) (TINYDSN_FFT_BITS / 2 * 2 - 2 - 2 * (number))

void tinydsn_fft_forward(complex_t *points)
{
#if TINYDSN_FFT_BITS % 2
    forward_first(points);
#endif
#if HAS_PASS(4 * BLOCKS)
    forward_pass(points, 4 * BLOCKS);
#endif
#if HAS_PASS(16 * BLOCKS)
    forward_pass(points, 16 * BLOCKS);
#endif
#if HAS_PASS(64 * BLOCKS)
    forward_pass(points, 64 * BLOCKS);
#endif
#if HAS_PASS(256 * BLOCKS)
    forward_pass(points, 256 * BLOCKS);
#endif
    forward_last(points);
}

void tinydsn_fft_inverse(complex_t *points)
{
#if TINYDSN_FFT_BITS % 2
    inverse_two(points);
#endif
    inverse_first(points);
#if HAS_PASS(4 * BLOCKS)
    inverse_pass(points, 4 * BLOCKS, PASS_BITS(1));
#endif
#if HAS_PASS(16 * BLOCKS)
    inverse_pass(points, 16 * BLOCKS, PASS_BITS(2));
#endif
#if HAS_PASS(64 * BLOCKS)
    inverse_pass(points, 64 * BLOCKS, PASS_BITS(3));
#endif
#if HAS_PASS(256 * BLOCKS)
    inverse_pass(points, 256 * BLOCKS, PASS_BITS(4));
#endif
}

#endif
