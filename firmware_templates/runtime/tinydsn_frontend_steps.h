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
#define ACCUMULATOR_BITS TINYDSN_FRONTEND_ACCUMULATOR_BITS

/* Half a step of the output, with which a sum of windows begins. */
#define OUTPUT_HALF (1 << (ACCUMULATOR_BITS - 1))

/* Windows history and hop, and makes the first pass of the FFT. */
void tinydsn_frontend_first_pass(const tinydsn_frontend_t *state, const int16_t *in, complex_t *points);

/* Spectrum of the real frame from the FFT of its even and odd samples. Lines k and LINES - k are made from
 * the same two points, which lie at mirrored places of an octave of places. */
void tinydsn_frontend_split(complex_t *line);

/* |X| ** compression of all lines. */
void tinydsn_frontend_compress(const complex_t *line, int16_t *features);

/* Multiplies the lines by half of the mask; then the inverse of split. */
void tinydsn_frontend_join(const int16_t *mask, complex_t *line);

/* Windows the inverse FFT's samples and adds them to the output. */
void tinydsn_frontend_overlap_add(tinydsn_frontend_t *state, const complex_t *points, int16_t *out);

#endif
