/* The front end's complex FFT of TINYDSN_FRONTEND_WINDOW / 2 points, in passes.
 *
 * It computes what CMSIS-DSP's portable arm_cfft_q31 does, bit for bit, in both directions (four points a
 * pass, each pass divides by four; a first pass over two points where the length is no power of four). It
 * differs in where numbers lie: the forward FFT leaves line k at place reverse(k), the bits of k in
 * reverse order, and the inverse one takes the lines from there and leaves the samples in their order, so
 * that nothing is ever sorted. The first forward pass and the last inverse pass are split into butterflies,
 * which the front end calls where it windows the samples.
 */
#ifndef TINYDSN_FRONTEND_FFT_H
#define TINYDSN_FRONTEND_FFT_H

#include "tinydsn_frontend_math.h"
#include "tinydsn_frontend_tables.h"

#define TINYDSN_FFT_POINTS (TINYDSN_FRONTEND_WINDOW / 2)
#define TINYDSN_FFT_BITS TINYDSN_FRONTEND_FFT_BITS

/* Blocks that passes over four points start with: 2 behind a pass over two points. */
#define TINYDSN_FFT_BLOCKS (1 + TINYDSN_FFT_BITS % 2)

/* Points of one such block. */
#define TINYDSN_FFT_BLOCK (TINYDSN_FFT_POINTS / TINYDSN_FFT_BLOCKS)

/* Whether the steps of tinydsn_frontend_mve*.c are there: on cores with vectors, for windows that overlap
 * by half and have a power of four points. */
#define TINYDSN_FRONTEND_VECTORS \
    (TINYDSN_MVE && TINYDSN_FRONTEND_OVERLAPS == 2 && TINYDSN_FFT_BLOCKS == 1 && TINYDSN_FFT_POINTS >= 64)

typedef struct {
    int32_t re;
    int32_t im;
} complex_t;

/* Four points of a butterfly, at distances of a quarter of the block. */
typedef struct {
    complex_t a, b, c, d;
} four_t;

/* All forward passes behind the first one. */
void tinydsn_fft_forward(complex_t *points);

/* All inverse passes but the last one over four points. */
void tinydsn_fft_inverse(complex_t *points);

/* Member by member: GCC copies a whole structure through the stack. */
static inline complex_t fft_load(const complex_t *point)
{
    complex_t x = {point->re, point->im};
    TOGETHER(x.re, x.im);
    return x;
}

static inline void fft_store(complex_t *point, complex_t x)
{
    TOGETHER(x.re, x.im);
    point->re = x.re;
    point->im = x.im;
}

/* Sums and differences of four points, ready to be turned; `back` is 1 for the inverse FFT. */
static inline four_t fft_combine(four_t x, int back)
{
    const complex_t ac = {x.a.re + x.c.re, x.a.im + x.c.im};
    const complex_t a_c = {x.a.re - x.c.re, x.a.im - x.c.im};
    const complex_t bd = {x.b.re + x.d.re, x.b.im + x.d.im};
    const complex_t b_d = {x.b.re - x.d.re, x.b.im - x.d.im};
    const complex_t plus = {a_c.re + b_d.im, a_c.im - b_d.re};
    const complex_t minus = {a_c.re - b_d.im, a_c.im + b_d.re};
    const four_t y = {
        {ac.re + bd.re, ac.im + bd.im},
        back ? minus : plus,
        {ac.re - bd.re, ac.im - bd.im},
        back ? plus : minus,
    };
    return y;
}

/* Half of x turned by an angle with this cosine and sine, clockwise unless `back`. Each product is rounded down
 * by itself, as CMSIS-DSP does. */
static inline complex_t fft_turn(complex_t x, int32_t cosine, int32_t sine, int back)
{
    complex_t y;
    if (back) {
        y.re = mul_high(x.re, cosine) - mul_high(x.im, sine);
        y.im = mul_high_add(mul_high(x.im, cosine), x.re, sine);
    } else {
        y.re = mul_high_add(mul_high(x.re, cosine), x.im, sine);
        y.im = mul_high(x.im, cosine) - mul_high(x.re, sine);
    }
    return y;
}

/* Turns b, c and d by the angles of a table entry and shifts them left by 1 or right by 1. */
static inline four_t fft_turn_three(four_t x, const int32_t *turns, int left, int back)
{
    LOAD_LATE(turns, x.b.re);
    x.b = fft_turn(x.b, turns[0], turns[1], back);
    x.b.re = left ? shift_left(x.b.re, 1) : x.b.re >> 1;
    x.b.im = left ? shift_left(x.b.im, 1) : x.b.im >> 1;
    LOAD_LATE(turns, x.b.re);
    x.c = fft_turn(x.c, turns[2], turns[3], back);
    x.c.re = left ? shift_left(x.c.re, 1) : x.c.re >> 1;
    x.c.im = left ? shift_left(x.c.im, 1) : x.c.im >> 1;
    LOAD_LATE(turns, x.c.re);
    x.d = fft_turn(x.d, turns[4], turns[5], back);
    x.d.re = left ? shift_left(x.d.re, 1) : x.d.re >> 1;
    x.d.im = left ? shift_left(x.d.im, 1) : x.d.im >> 1;
    return x;
}

/* First pass over four points, which have been divided by 16. */
static inline four_t fft_first(four_t x, const int32_t *turns, int back)
{
    return fft_turn_three(fft_combine(x, back), turns, 1, back);
}

static inline complex_t fft_shifted(complex_t x, int32_t bits)
{
    const complex_t y = {x.re >> bits, x.im >> bits};
    return y;
}

static inline four_t fft_divided(four_t x, int32_t bits)
{
    const four_t y = {
        fft_shifted(x.a, bits), fft_shifted(x.b, bits), fft_shifted(x.c, bits), fft_shifted(x.d, bits)
    };
    return y;
}

#endif
