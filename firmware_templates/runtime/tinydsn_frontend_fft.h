/* The front end's complex FFT of TINYDSN_FRONTEND_WINDOW / 2 points, in passes over four points (and a first one
 * over two, where the number of points is no power of four).
 *
 * Points are turned before they are added (decimation in time). The first pass only adds. In all others a turn
 * halves, and the point that is not turned is shifted within its additions. The forward FFT leaves line k at place
 * reverse(k), the bits of k in reverse order, and the inverse one takes the lines from there and leaves the samples
 * in their order, so that nothing is ever sorted. The first forward pass is made where the front end windows the
 * samples.
 */
#ifndef TINYDSN_FRONTEND_FFT_H
#define TINYDSN_FRONTEND_FFT_H

#include "tinydsn_frontend_math.h"
#include "tinydsn_frontend_tables.h"

#define TINYDSN_FFT_POINTS (TINYDSN_FRONTEND_WINDOW / 2)
#define TINYDSN_FFT_BITS TINYDSN_FRONTEND_FFT_BITS

/* Points that the first pass adds. */
#define TINYDSN_FFT_FIRST (TINYDSN_FFT_BITS % 2 ? 2 : 4)

/* A butterfly's angles in the table: cosine and sine of one, two and three times its own. */
#define TINYDSN_FFT_TURN 3

/* Whether the steps of tinydsn_frontend_mve*.c are there: on cores with vectors, for windows that overlap
 * by half and have a power of four points. */
#define TINYDSN_FRONTEND_VECTORS \
    (TINYDSN_MVE && TINYDSN_FRONTEND_OVERLAPS == 2 && TINYDSN_FFT_FIRST == 4 && TINYDSN_FFT_POINTS >= 64)

typedef struct {
    int32_t re;
    int32_t im;
} complex_t;

/* Four points of a butterfly, at distances of a quarter of the block. */
typedef struct {
    complex_t a, b, c, d;
} four_t;

/* All forward passes but the first. */
void tinydsn_fft_forward(complex_t *points);

/* All inverse passes. */
void tinydsn_fft_inverse(complex_t *points);

typedef int64_t __attribute__((may_alias, aligned(4))) words_t;

/* LDRD and STRD, which GCC does not find in every case; Uv are addresses that they can have. */
static inline complex_t fft_load(const complex_t *point)
{
    complex_t x;
#if TINYDSN_DSP
    __asm("ldrd %0, %1, %2" : "=r"(x.re), "=r"(x.im) : "Uv"(*(const words_t *)point));
#else
    x = *point;
#endif
    return x;
}

static inline void fft_store(complex_t *point, complex_t x)
{
#if TINYDSN_DSP
    __asm("strd %1, %2, %0" : "=Uv"(*(words_t *)point) : "r"(x.re), "r"(x.im));
#else
    *point = x;
#endif
}

/* Sums of four points from those of two; `back` is 1 for the inverse FFT. */
static inline four_t fft_sums(complex_t ac, complex_t a_c, complex_t b, complex_t d, int back)
{
    const complex_t bd = {b.re + d.re, b.im + d.im};
    const complex_t b_d = {b.re - d.re, b.im - d.im};
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

/* A butterfly of the first pass. */
static inline four_t fft_combine(four_t x, int back)
{
    const complex_t ac = {x.a.re + x.c.re, x.a.im + x.c.im};
    const complex_t a_c = {x.a.re - x.c.re, x.a.im - x.c.im};
    return fft_sums(ac, a_c, x.b, x.d, back);
}

/* Half of x turned by an angle, clockwise unless `back`; each product is rounded. */
static inline complex_t fft_turn(complex_t x, complex_t by, int back)
{
    complex_t y = {mul_high_round(x.re, by.re), mul_high_round(x.im, by.re)};
    if (back) {
        y.re = mul_high_sub_round(y.re, x.im, by.im);
        y.im = mul_high_add_round(y.im, x.re, by.im);
    } else {
        y.re = mul_high_add_round(y.re, x.im, by.im);
        y.im = mul_high_sub_round(y.im, x.re, by.im);
    }
    return y;
}

/* A butterfly of any other pass: the points at p[at_b], p[at_c] and p[at_d] are turned by the angles of a table
 * entry. They are loaded one by one, as registers become free. */
static inline four_t fft_turn_combine(complex_t **points, int32_t at_a, int32_t at_b, int32_t at_c,
                                      int32_t at_d, const complex_t **turns, int back)
{
    complex_t *p = *points;
    const complex_t *by = *turns;
    four_t x;
    x.c = fft_turn(fft_load(p + at_c), fft_load(by + 1), back);
    LOAD_LATE(p, x.c.re);
    LOAD_LATE(by, x.c.im);
    x.a = fft_load(p + at_a);
    const complex_t ac = {add_half(x.c.re, x.a.re), add_half(x.c.im, x.a.im)};
    complex_t a_c = {half_sub(x.a.re, x.c.re), half_sub(x.a.im, x.c.im)};
    LOAD_LATE(p, a_c.re);
    LOAD_LATE(by, a_c.im);
    x.b = fft_turn(fft_load(p + at_b), fft_load(by), back);
    LOAD_LATE(p, x.b.re);
    LOAD_LATE(by, x.b.im);
    x.d = fft_turn(fft_load(p + at_d), fft_load(by + 2), back);
    *points = p;
    *turns = by;
    return fft_sums(ac, a_c, x.b, x.d, back);
}

#endif
