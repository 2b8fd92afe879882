/* The fixed-point audio front end; see tinydsn_frontend.h.
 *
 * Numbers have fixed places: samples of 16 bits leave enough of a word's 32 bits that no sum can overflow and
 * that all rounding lies far below the last bit of the output (quant/frontend/reference.py has the proof).
 */
#include "tinydsn_frontend.h"

#include <string.h>

#include "tinydsn_frontend_steps.h"

/* The memory planner and the Python side know these sizes. */
typedef char state_size_is_as_planned[sizeof(tinydsn_frontend_t) == TINYDSN_FRONTEND_STATE_BYTES ? 1 : -1];

void tinydsn_frontend_reset(tinydsn_frontend_t *state)
{
    memset(state->history, 0, sizeof(state->history));
    for (int32_t n = 0; n < LATENCY; n++) {
        state->overlap[n] = OUTPUT_HALF;
    }
}

void tinydsn_frontend_analysis(tinydsn_frontend_t *state, const int16_t *in, int16_t *features,
                               int32_t *spectrum)
{
    complex_t *points = (complex_t *)spectrum;
    tinydsn_frontend_first_pass(state, in, points);
    memmove(state->history, state->history + HOP, (LATENCY - HOP) * sizeof(int16_t));
    memcpy(state->history + LATENCY - HOP, in, HOP * sizeof(int16_t));
    tinydsn_fft_forward(points);
    tinydsn_frontend_split(points);
    tinydsn_frontend_compress(points, features);
}

void tinydsn_frontend_synthesis(tinydsn_frontend_t *state, const int16_t *mask, int16_t *out,
                                int32_t *spectrum)
{
    complex_t *points = (complex_t *)spectrum;
    tinydsn_frontend_join(mask, points);
    tinydsn_fft_inverse(points);
    tinydsn_frontend_overlap_add(state, points, out);
}
