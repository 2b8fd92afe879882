/* The steps between the front end's two calls: for cores with vectors in tinydsn_frontend_mve*.c, else in
 * tinydsn_frontend_scalar.c and tinydsn_frontend_fft.c. Both give the same bits. A function is one step, so
 * that instructions can be counted by step.
 */
#ifndef TINYDSN_FRONTEND_STEPS_H
#define TINYDSN_FRONTEND_STEPS_H

#include "tinydsn_frontend.h"
#include "tinydsn_frontend_fft.h"

#define WINDOW TINYDSN_FRONTEND_WINDOW
#define HOP TINYDSN_FRONTEND_HOP
#define LATENCY TINYDSN_FRONTEND_LATENCY
#define BINS TINYDSN_FRONTEND_BINS
#define LINES TINYDSN_FFT_POINTS /* spectrum lines but for Nyquist */
#define LINES_BITS TINYDSN_FFT_BITS
#define OVERLAPS TINYDSN_FRONTEND_OVERLAPS

#define FRAME_BITS 30 /* the normalised frame has magnitudes up to 2^30: one guard bit for the FFT */
#define ACCUMULATOR_BITS 8

/* Half a step of the output: it goes into the shift before, where all sums of a leg are complete and 32 bits
 * hold it. */
#define OUTPUT_HALF (1 << (ACCUMULATOR_BITS - 1))
#define HALF_IN_SHIFT (OVERLAPS == 2 && TINYDSN_FRONTEND_SYNTHESIS_SHIFT <= 28)

/* Whether a feature may be 32768 or more: where |X| <= WINDOW comes out at 2^15 or above. */
#define CAN_SATURATE \
    (LINES_BITS + 1 > (((INT64_C(15) << 20) - TINYDSN_FRONTEND_FEATURE_OFFSET) << 10) \
                          / TINYDSN_FRONTEND_HALF_COMPRESSION)

/* The bits that differ from the sign: OR them over a block to find its headroom. */
static inline uint32_t magnitude_bits(int32_t value)
{
    return (uint32_t)(value ^ (value >> 31));
}

/* Windows history and hop, shifted up by the headroom, and makes the first pass of the FFT. */
void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, int32_t headroom,
                                 complex_t *points);

/* Spectrum of the real frame from the FFT of its even and odd samples. Lines k and LINES - k are made from
 * the same two points, which lie at mirrored places of an octave of places. */
void tinydsn_frontend_split(complex_t *line);

/* |X| ** compression of all lines. */
void tinydsn_frontend_compress(const complex_t *line, int32_t headroom, int16_t *features);

/* Multiplies the lines by the mask; returns the OR of their magnitudes. */
uint32_t tinydsn_frontend_mask(const int16_t *mask, complex_t *line);

/* The inverse of split, of a spectrum that is first shifted up. */
void tinydsn_frontend_join(complex_t *line, int32_t up);

/* Makes the last pass of the inverse FFT, windows the samples, shifts them right (in all, with the window's
 * 31 bits) and adds them to the output. */
void tinydsn_frontend_last_pass(tinydsn_frontend_t *state, int32_t shift, complex_t *points, int16_t *out);

#endif
