/*
 * audio.h: two buffers each way between a codec and the network, and a monitor of the deadline.
 *
 * While the codec fills one input buffer and plays one output buffer, the program works with the other two.
 * When the codec has finished its two, its interrupt calls audio_swap(). A result that is not in place by
 * then is late: it is counted at that moment, the codec plays silence instead of it (never half of it),
 * and the program goes on with the newest input. Input to output takes two buffers.
 */
#ifndef AUDIO_H
#define AUDIO_H

#include "tinydsn.h"

#define AUDIO_NONE UINT32_MAX

typedef struct {
    int16_t in[2][TINYDSN_HOP];
    int16_t out[2][TINYDSN_HOP];
    volatile uint32_t side;       /* the codec's buffers */
    volatile uint32_t swaps;      /* input frames that the codec has finished */
    volatile uint32_t delivered;  /* the newest of them whose result is in place; frames count from 1 */
    volatile uint32_t late;       /* frames whose result was not in place when it was due */
    volatile uint32_t first_late; /* the first such frame, from 0, or AUDIO_NONE */
    uint32_t taken;               /* the newest frame that the program has taken */
    uint32_t idle;                /* microseconds asleep in audio_wait() */
} audio_t;

void audio_init(audio_t *audio);

/* For the codec's interrupt: both of its buffers are done. */
void audio_swap(audio_t *audio);

/* Sleeps until there is a frame that was not yet taken, and copies it to `frame`. */
void audio_wait(audio_t *audio, int16_t *frame);

/* Hands over the result for the frame that audio_wait() gave last; one that is late is dropped. */
void audio_deliver(audio_t *audio, const int16_t *frame);

#endif
