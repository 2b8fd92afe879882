/* Four points at a time, for cores with vectors (MVE, Cortex-M55). */
#ifndef TINYDSN_FRONTEND_MVE_H
#define TINYDSN_FRONTEND_MVE_H

#include "tinydsn_frontend_steps.h"

#if TINYDSN_FRONTEND_VECTORS

#define LANES 4

/* Keeps loads through `pointer` behind the calculation of vector `value`: there are eight registers. */
#define POINTER_AFTER(pointer, value) __asm("" : "+r"(pointer) : "w"(value))

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

/* A load that is not made before `value`. */
static inline points_t load_after(const complex_t *points, int32x4_t value)
{
    const int32_t *words = (const int32_t *)points;
    POINTER_AFTER(words, value);
    const int32x4x2_t both = vld2q_s32(words);
    const points_t x = {both.val[0], both.val[1]};
    return x;
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

/* Sums of four points, of which a is halved, from those of b and d. */
static inline butterflies_t sums_with(points_t a, points_t c, points_t bd, points_t b_d, int back)
{
    a.re = vshrq_n_s32(a.re, 1);
    a.im = vshrq_n_s32(a.im, 1);
    const points_t ac = plus(a, c), a_c = minus(a, c);
    const butterflies_t y = {
        plus(ac, bd), back ? plus_i(a_c, b_d) : minus_i(a_c, b_d),
        minus(ac, bd), back ? minus_i(a_c, b_d) : plus_i(a_c, b_d),
    };
    return y;
}

/* Sums of four points from those of two. */
static inline butterflies_t sums(points_t ac, points_t a_c, points_t b, points_t d, int back)
{
    const points_t bd = plus(b, d), b_d = minus(b, d);
    const butterflies_t y = {
        plus(ac, bd), back ? plus_i(a_c, b_d) : minus_i(a_c, b_d),
        minus(ac, bd), back ? minus_i(a_c, b_d) : plus_i(a_c, b_d),
    };
    return y;
}

/* Butterflies of the first pass. */
static inline butterflies_t combine(butterflies_t x, int back)
{
    return sums(plus(x.a, x.c), minus(x.a, x.c), x.b, x.d, back);
}

/* Half of x turned by angles; see fft_turn. */
static inline points_t turned(points_t x, int32x4_t cosine, int32x4_t sine, int back)
{
    points_t y = {vrmulhq_s32(x.re, cosine), vrmulhq_s32(x.im, cosine)};
    const int32x4_t other = vnegq_s32(sine);
    y.re = vaddq_s32(y.re, vrmulhq_s32(x.im, back ? other : sine));
    y.im = vaddq_s32(y.im, vrmulhq_s32(x.re, back ? sine : other));
    return y;
}

/* The same by the angles of table entries that lie `words` apart. */
static inline points_t turned_by(points_t x, const int32_t *entry, uint32x4_t words, int back)
{
    const int32x4_t cosine = vldrwq_gather_shifted_offset_s32(entry, words);
    return turned(x, cosine, vldrwq_gather_shifted_offset_s32(entry + 1, words), back);
}

/* The same, clockwise, by one angle. Entries are even, so that a doubling product takes half of them. */
static inline points_t turned_alike(points_t x, const int32_t *entry)
{
    const int32_t cosine = entry[0] >> 1, sine = entry[1] >> 1;
    points_t y = {vqrdmulhq_n_s32(x.re, cosine), vqrdmulhq_n_s32(x.im, cosine)};
    y.re = vqrdmlahq_n_s32(y.re, x.im, sine);
    y.im = vqrdmlahq_n_s32(y.im, x.re, -sine);
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
