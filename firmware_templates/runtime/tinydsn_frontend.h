/* The fixed-point audio front end: PCM to features, mask to PCM, without a float operation.
 *
 * It equals FrontEndReference of quant/frontend/reference.py bit for bit. Needs GCC or Clang.
 */
#ifndef TINYDSN_FRONTEND_H
#define TINYDSN_FRONTEND_H

#include <stdint.h>

#include "tinydsn_frontend_tables.h"

typedef struct {
    int16_t history[TINYDSN_FRONTEND_LATENCY]; /* PCM of the window before the next hop */
    int32_t overlap[TINYDSN_FRONTEND_LATENCY]; /* unfinished output, with fraction bits and half a step */
} tinydsn_frontend_t;

/* Forget all past samples. */
void tinydsn_frontend_reset(tinydsn_frontend_t *state);

/* Features of the window that ends with a new hop.
 *
 * in:       [TINYDSN_FRONTEND_HOP] PCM
 * features: [TINYDSN_FRONTEND_BINS] |X| ** compression, saturated to 32767
 * spectrum: [TINYDSN_FRONTEND_WINDOW] written: real and imaginary parts in turn, line k at the place
 *           whose number has the bits of k in reverse order, with the (real) Nyquist line in place of the
 *           imaginary part of line 0
 */
void tinydsn_frontend_analysis(tinydsn_frontend_t *state, const int16_t *in, int16_t *features,
                               int32_t *spectrum);

/* The next hop of output, TINYDSN_FRONTEND_LATENCY samples behind the input.
 *
 * mask:     [TINYDSN_FRONTEND_BINS] Q15; lines from there on become zero
 * out:      [TINYDSN_FRONTEND_HOP] PCM
 * spectrum: what analysis wrote; its content is lost
 */
void tinydsn_frontend_synthesis(tinydsn_frontend_t *state, const int16_t *mask, int16_t *out,
                                int32_t *spectrum);

#endif
