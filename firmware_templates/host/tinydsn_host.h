/*
 * tinydsn_host.h: runs a network that is given as data, on this machine, by the kernels of the firmware.
 *
 * The program of a frame is a list of 64-bit words: a kernel (tinydsn_host_kernels.h), its number of words, and
 * its arguments. A place is an area and an offset in bytes; tinydsn/estimate/program.py writes all of them.
 */
#ifndef TINYDSN_HOST_H
#define TINYDSN_HOST_H

#include <stdint.h>

#define TINYDSN_HOST_AREAS 4 /* nothing, constants, states, arena */
#define TINYDSN_HOST_OFFSET_BITS 48

typedef struct {
    const int64_t *words;
    int64_t count;
    uint8_t *areas[TINYDSN_HOST_AREAS]; /* the first is NULL */
    const uint8_t *initial;             /* the states before the first frame */
    int64_t state_bytes;
    int64_t input, output; /* places */
    int32_t input_size;    /* elements of the network's input: features, or a hop of PCM */
    int32_t hop;
    int32_t answers; /* elements of the output that go out as they are, zeros behind them; 0: a mask */
} tinydsn_host_network;

/* One recording from a reset state; with a front end `input` is its features, without one the PCM. */
typedef struct {
    int32_t frames;
    const int16_t *input;   /* [frames][input_size] */
    const int32_t *spectra; /* [frames][window], or NULL without a front end */
    const uint32_t *forced; /* [frames] gate words that overrule the policy, or NULL */
    int16_t *out;           /* [frames][hop] */
    uint32_t *gates;        /* [frames] */
} tinydsn_host_clip;

void tinydsn_host_run(const tinydsn_host_network *network, const tinydsn_host_clip *clips, int32_t count);

#if TINYDSN_HOST_FRONTEND
/* What the front end makes of a recording, which is the same for every network behind it. */
void tinydsn_host_analyse(const int16_t *pcm, int32_t frames, int16_t *features, int32_t *spectra);
#endif

#endif
