/* audio.c: see audio.h. */
#include "audio.h"

#include "codec.h"

#include <string.h>

void audio_init(audio_t *audio)
{
    memset(audio, 0, sizeof *audio);
    audio->first_late = AUDIO_NONE;
}

void audio_swap(audio_t *audio)
{
    const uint32_t due = audio->swaps; /* the frame, from 1, that the program has had since the last swap */
    if (audio->delivered != due) {
        audio->late++;
        if (audio->first_late == AUDIO_NONE) {
            audio->first_late = due - 1;
        }
    }
    /* What was played becomes the place for the next result; without one it is silence. */
    memset(audio->out[audio->side], 0, sizeof audio->out[0]);
    audio->side ^= 1;
    audio->swaps = due + 1;
}

void audio_wait(audio_t *audio, int16_t *frame)
{
    /* With interrupts off: one that comes between the test and WFI still ends the sleep. */
    interrupts_off();
    while (audio->swaps == audio->taken) {
        const uint32_t before = clock_us();
        wait_for_interrupt();
        audio->idle += clock_us() - before;
        interrupts_on();
        interrupts_off();
    }
    audio->taken = audio->swaps;
    memcpy(frame, audio->in[audio->side ^ 1], sizeof audio->in[0]);
    interrupts_on();
}

void audio_deliver(audio_t *audio, const int16_t *frame)
{
    interrupts_off();
    if (audio->taken == audio->swaps) {
        memcpy(audio->out[audio->side ^ 1], frame, sizeof audio->out[0]);
        audio->delivered = audio->taken;
    }
    interrupts_on();
}
