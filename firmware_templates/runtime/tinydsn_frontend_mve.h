/* Four points at a time, for cores with vectors (MVE, Cortex-M55). */
#ifndef TINYDSN_FRONTEND_MVE_H
#define TINYDSN_FRONTEND_MVE_H

#include "tinydsn_frontend_steps.h"

#if TINYDSN_FRONTEND_VECTORS

#define LANES 4

/* Keeps a calculation that takes vector `input` behind that of vector `value`: there are eight registers. */
#define VECTOR_AFTER(input, value) __asm("" : "+w"(input) : "w"(value))

/* Real and imaginary parts of four points. */
typedef struct {
    int32x4_t re, im;
} points_t;

/* Four butterflies. */
typedef struct {
    points_t a, b, c, d;
} butterflies_t;

/* GCC 12 may give VLD21 and VST21 an address that goes up by a register, which they do not have; it does not
 * where it cannot see how the pointer was made. */
static inline points_t load_words(const int32_t *words)
{
    __asm("" : "+r"(words));
    const int32x4x2_t both = vld2q_s32(words);
    const points_t x = {both.val[0], both.val[1]};
    return x;
}

static inline void store_words(int32_t *words, points_t x)
{
    const uint32x4_t even = vidupq_n_u32(0, 2);
    vstrwq_scatter_shifted_offset_s32(words, even, x.re);
    vstrwq_scatter_shifted_offset_s32(words + 1, even, x.im);
}

static inline points_t load(const complex_t *points)
{
    return load_words((const int32_t *)points);
}

static inline void store(complex_t *points, points_t x)
{
    store_words((int32_t *)points, x);
}

/* Four points at distances; `words` are those of the real parts. */
static inline points_t gather(const complex_t *points, uint32x4_t words)
{
    const int32_t *base = (const int32_t *)points;
    points_t x;
    x.re = vldrwq_gather_shifted_offset_s32(base, words);
    x.im = vldrwq_gather_shifted_offset_s32(base + 1, words);
    return x;
}

static inline void scatter(complex_t *points, uint32x4_t words, points_t x)
{
    int32_t *base = (int32_t *)points;
    vstrwq_scatter_shifted_offset_s32(base, words, x.re);
    vstrwq_scatter_shifted_offset_s32(base + 1, words, x.im);
}

static inline points_t plus(points_t x, points_t y)
{
    points_t z;
    z.re = vaddq_s32(x.re, y.re);
    z.im = vaddq_s32(x.im, y.im);
    return z;
}

static inline points_t minus(points_t x, points_t y)
{
    points_t z;
    z.re = vsubq_s32(x.re, y.re);
    z.im = vsubq_s32(x.im, y.im);
    return z;
}

/* x + i y, and x - i y. */
static inline points_t plus_i(points_t x, points_t y)
{
    points_t z;
    z.re = vsubq_s32(x.re, y.im);
    z.im = vaddq_s32(x.im, y.re);
    return z;
}

static inline points_t minus_i(points_t x, points_t y)
{
    points_t z;
    z.re = vaddq_s32(x.re, y.im);
    z.im = vsubq_s32(x.im, y.re);
    return z;
}

static inline points_t shifted(points_t x, int32_t left)
{
    x.re = vshlq_r_s32(x.re, left);
    x.im = vshlq_r_s32(x.im, left);
    return x;
}

static inline butterflies_t combine(butterflies_t x, int back)
{
    const points_t ac = plus(x.a, x.c), bd = plus(x.b, x.d), a_c = minus(x.a, x.c), b_d = minus(x.b, x.d);
    const butterflies_t y = {
        plus(ac, bd), back ? plus_i(a_c, b_d) : minus_i(a_c, b_d),
        minus(ac, bd), back ? minus_i(a_c, b_d) : plus_i(a_c, b_d),
    };
    return y;
}

/* Half of x turned by the angles of table entries, which lie `words` apart; see fft_turn. */
static inline points_t turn(points_t x, const int32_t *entry, uint32x4_t words, int back)
{
    const int32x4_t cosine = vldrwq_gather_shifted_offset_s32(entry, words);
    const int32x4_t sine = vldrwq_gather_shifted_offset_s32(entry + 1, words);
    points_t y;
    if (back) {
        y.re = vsubq_s32(vmulhq_s32(x.re, cosine), vmulhq_s32(x.im, sine));
        y.im = vaddq_s32(vmulhq_s32(x.im, cosine), vmulhq_s32(x.re, sine));
    } else {
        y.re = vaddq_s32(vmulhq_s32(x.re, cosine), vmulhq_s32(x.im, sine));
        y.im = vsubq_s32(vmulhq_s32(x.im, cosine), vmulhq_s32(x.re, sine));
    }
    return y;
}

/* The sums of a butterfly go to their places one by one: there are eight vector registers. */
static inline void put_turned(complex_t *b, complex_t *c, complex_t *d, butterflies_t x, const int32_t *turns,
                              uint32x4_t words, int left, int back)
{
    x.c = shifted(turn(x.c, turns + 2, words, back), left);
    store(c, x.c);
    VECTOR_AFTER(x.b.re, x.c.re);
    VECTOR_AFTER(x.b.im, x.c.im);
    x.b = shifted(turn(x.b, turns, words, back), left);
    store(b, x.b);
    VECTOR_AFTER(x.d.re, x.b.re);
    VECTOR_AFTER(x.d.im, x.b.im);
    store(d, shifted(turn(x.d, turns + 4, words, back), left));
}

static inline butterflies_t divided_by_16(butterflies_t x)
{
    const butterflies_t y = {shifted(x.a, -4), shifted(x.b, -4), shifted(x.c, -4), shifted(x.d, -4)};
    return y;
}

/* Neighbours of four groups of four. */
static inline butterflies_t gather_groups(const complex_t *points, uint32x4_t words)
{
    const butterflies_t x = {
        gather(points, words), gather(points + 1, words), gather(points + 2, words), gather(points + 3, words)
    };
    return x;
}

static inline uint32x4_t lanes_times(uint32_t distance)
{
    return vmulq_n_u32(vidupq_n_u32(0, 1), distance);
}

#endif

#endif
