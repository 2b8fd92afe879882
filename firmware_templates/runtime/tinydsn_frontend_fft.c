/* The passes of the front end's FFT; see tinydsn_frontend_fft.h. */
#include "tinydsn_frontend_fft.h"

#if !TINYDSN_FRONTEND_VECTORS

#define POINTS TINYDSN_FFT_POINTS

#define FFT_INLINE inline __attribute__((always_inline))

/* LDM and STM, for which GCC does not find registers. */
static FFT_INLINE four_t load_neighbours(const complex_t *p)
{
#if TINYDSN_DSP
    register int32_t r0 __asm("r2"), r1 __asm("r3"), r2 __asm("r4"), r3 __asm("r5");
    register int32_t r4 __asm("r6"), r5 __asm("r8"), r6 __asm("r9"), r7 __asm("r10");
    __asm("ldm %8, {r2, r3, r4, r5, r6, r8, r9, r10}"
          : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3), "=r"(r4), "=r"(r5), "=r"(r6), "=r"(r7)
          : "r"(p), "m"(*(const complex_t(*)[4])p));
    const four_t x = {{r0, r1}, {r2, r3}, {r4, r5}, {r6, r7}};
#else
    const four_t x = {p[0], p[1], p[2], p[3]};
#endif
    return x;
}

static FFT_INLINE void store_neighbours(complex_t *p, four_t y)
{
#if TINYDSN_DSP
    register int32_t r0 __asm("r2") = y.a.re, r1 __asm("r3") = y.a.im, r2 __asm("r4") = y.b.re;
    register int32_t r3 __asm("r5") = y.b.im, r4 __asm("r6") = y.c.re, r5 __asm("r8") = y.c.im;
    register int32_t r6 __asm("r9") = y.d.re, r7 __asm("r10") = y.d.im;
    __asm("stm %9, {r2, r3, r4, r5, r6, r8, r9, r10}"
          : "=m"(*(complex_t(*)[4])p)
          : "r"(r0), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(r7), "r"(p));
#else
    p[0] = y.a;
    p[1] = y.b;
    p[2] = y.c;
    p[3] = y.d;
#endif
}

/* A butterfly in its places, of which the first may lie before *points. */
static FFT_INLINE void butterfly(complex_t **points, int32_t at_a, int32_t at_b, int32_t at_c, int32_t at_d,
                                 const complex_t **turns, int back)
{
    const four_t y = fft_turn_combine(points, at_a, at_b, at_c, at_d, turns, back);
    complex_t *p = *points;
    fft_store(p + at_a, y.a);
    fft_store(p + at_b, y.c);
    fft_store(p + at_c, y.b);
    fft_store(p + at_d, y.d);
}

/* A pass over `blocks` blocks of points in their order; a block has one turn. All passes are inlined, so that
 * distances are constants. */
static FFT_INLINE void forward_pass(complex_t *points, int32_t blocks)
{
    const int32_t quarter = POINTS / blocks / 4;
    complex_t *p = points;
    for (int32_t block = 0; block < blocks; block++, p += 3 * quarter) {
        const complex_t *turns = (const complex_t *)tinydsn_frontend_turns;
        turns += TINYDSN_FFT_TURN * reverse_bits((uint32_t)block, TINYDSN_FFT_BITS - 2);
#pragma GCC unroll 1
        for (const complex_t *end = p + quarter; p < end; p++) {
            butterfly(&p, 0, quarter, 2 * quarter, 3 * quarter, &turns, 0);
        }
    }
}

/* The last one, over blocks of four points. */
static FFT_INLINE void forward_last(complex_t *p)
{
    /* A block's number is counted in the upper bits, where it ends with 0. */
    uint32_t block = 0;
    do {
        const complex_t *turns = (const complex_t *)tinydsn_frontend_turns;
        turns += TINYDSN_FFT_TURN * reverse_bits(block, 32);
        const four_t y = fft_turn_combine(&p, 0, 1, 2, 3, &turns, 0);
        const four_t reordered = {y.a, y.c, y.b, y.d};
        store_neighbours(p, reordered);
        p += 4;
        block += UINT32_C(1) << (34 - TINYDSN_FFT_BITS);
    } while (block != 0);
}

/* A pass over blocks of four times `length` points whose places have their bits reversed. */
static FFT_INLINE void inverse_pass(complex_t *points, int32_t length)
{
    const int32_t step = TINYDSN_FFT_TURN * (POINTS / 4 / length);
    for (complex_t *p = points; p < points + POINTS; p += 3 * length) {
        const complex_t *turns = (const complex_t *)tinydsn_frontend_turns;
#pragma GCC unroll 1
        for (const complex_t *end = p + length; p < end; p++, turns += step) {
            butterfly(&p, 0, 2 * length, length, 3 * length, &turns, 1);
        }
    }
}

/* The last one, over one block. */
static FFT_INLINE void inverse_last(complex_t *points)
{
    /* LDRD reaches 1020 bytes either way. */
    const int32_t middle = POINTS / 8 * 3;
    const complex_t *turns = (const complex_t *)tinydsn_frontend_turns;
    complex_t *p = points + middle;
    LOAD_LATE(p, points);
#pragma GCC unroll 1
    for (const complex_t *end = p + POINTS / 4; p < end; p++, turns += TINYDSN_FFT_TURN) {
        butterfly(&p, -middle, POINTS / 2 - middle, POINTS / 4 - middle, POINTS / 4 * 3 - middle, &turns, 1);
    }
}

/* First inverse pass, over neighbours. */
static FFT_INLINE void inverse_first(complex_t *points)
{
#pragma GCC unroll 1
    for (complex_t *p = points; p < points + POINTS; p += TINYDSN_FFT_FIRST) {
#if TINYDSN_FFT_BITS % 2
        const complex_t a = fft_load(&p[0]), b = fft_load(&p[1]);
        const complex_t sum = {a.re + b.re, a.im + b.im}, difference = {a.re - b.re, a.im - b.im};
        fft_store(&p[0], sum);
        fft_store(&p[1], difference);
#else
        const four_t x = load_neighbours(p);
        const four_t reordered = {x.a, x.c, x.b, x.d};
        store_neighbours(p, fft_combine(reordered, 1));
#endif
    }
}

/* Passes between the first and the last: at most four. */
#define HAS_PASS(blocks) ((blocks) < POINTS)

void tinydsn_fft_forward(complex_t *points)
{
#if HAS_PASS(4 * TINYDSN_FFT_FIRST)
    forward_pass(points, TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(16 * TINYDSN_FFT_FIRST)
    forward_pass(points, 4 * TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(64 * TINYDSN_FFT_FIRST)
    forward_pass(points, 16 * TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(256 * TINYDSN_FFT_FIRST)
    forward_pass(points, 64 * TINYDSN_FFT_FIRST);
#endif
    forward_last(points);
}

void tinydsn_fft_inverse(complex_t *points)
{
    inverse_first(points);
#if HAS_PASS(4 * TINYDSN_FFT_FIRST)
    inverse_pass(points, TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(16 * TINYDSN_FFT_FIRST)
    inverse_pass(points, 4 * TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(64 * TINYDSN_FFT_FIRST)
    inverse_pass(points, 16 * TINYDSN_FFT_FIRST);
#endif
#if HAS_PASS(256 * TINYDSN_FFT_FIRST)
    inverse_pass(points, 64 * TINYDSN_FFT_FIRST);
#endif
    inverse_last(points);
}

#endif
