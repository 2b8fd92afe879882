/* The fixed-point audio front end; see tinydsn_frontend.h.
 *
 * Block floating point: a frame is shifted up by its common headroom before the FFT, and its masked
 * spectrum again before the inverse FFT, so that quiet speech keeps the precision of loud speech.
 */
#include "tinydsn_frontend.h"

#include <string.h>

#include "tinydsn_frontend_steps.h"

#define MASKED_BITS 29 /* masked lines are shifted up to magnitudes below 2^29 */

/* The memory planner and the Python side know these sizes. */
typedef char state_size_is_as_planned[sizeof(tinydsn_frontend_t) == TINYDSN_FRONTEND_STATE_BYTES ? 1 : -1];

/* Bits in which a sample of a packed pair differs from the next lower bit. Bit 0 of either half says nothing. */
static inline uint32_t steps_of_pair(uint32_t pair)
{
    return pair ^ (pair << 1);
}

/* Notes the loudness of a hop; returns the bits by which the whole window can be shifted up. */
static TINYDSN_NOINLINE int32_t headroom_of(tinydsn_frontend_t *state, const int16_t *in)
{
    uint32_t newest = 0;
    for (const int16_t *end = in + HOP; in < end; in += HOP < 16 ? HOP : 16) {
        for (int32_t n = 0; n < (HOP < 16 ? HOP : 16); n += 2) {
            newest |= steps_of_pair(tinydsn_load32(in + n));
        }
    }
    newest = (newest | newest >> 16) & 0xFFFEu;
    uint32_t all = newest;
    for (int32_t i = 0; i < OVERLAPS - 2; i++) {
        all |= state->steps[i];
        state->steps[i] = state->steps[i + 1];
    }
    all |= state->steps[OVERLAPS - 2];
    state->steps[OVERLAPS - 2] = newest;
    /* The highest step is where the widest sample ends. */
    return all == 0 ? 15 : tinydsn_clz(all) - 16;
}

void tinydsn_frontend_reset(tinydsn_frontend_t *state)
{
    memset(state, 0, sizeof(*state));
}

void tinydsn_frontend_analysis(tinydsn_frontend_t *state, const int16_t *in, int16_t *features,
                               int32_t *spectrum)
{
    complex_t *points = (complex_t *)spectrum;
    const int32_t headroom = headroom_of(state, in);
    state->headroom = headroom;
    tinydsn_frontend_first_pass(state, in, headroom, points);
    memmove(state->history, state->history + HOP, (LATENCY - HOP) * sizeof(int16_t));
    memcpy(state->history + LATENCY - HOP, in, HOP * sizeof(int16_t));
    tinydsn_fft_forward(points);
    tinydsn_frontend_split(points);
    tinydsn_frontend_compress(points, headroom, features);
}

void tinydsn_frontend_synthesis(tinydsn_frontend_t *state, const int16_t *mask, int16_t *out,
                                int32_t *spectrum)
{
    complex_t *points = (complex_t *)spectrum;
    const int32_t free_bits = MASKED_BITS - 32 + tinydsn_clz(tinydsn_frontend_mask(mask, points));
    /* More than 26 bits in all would only shift what the output's rounding drops anyway. */
    const int32_t up = free_bits < 26 - state->headroom ? free_bits : 26 - state->headroom;
    tinydsn_frontend_join(points, up);
    tinydsn_fft_inverse(points);
    tinydsn_frontend_last_pass(state, TINYDSN_FRONTEND_SYNTHESIS_SHIFT + state->headroom + up, points, out);
}
