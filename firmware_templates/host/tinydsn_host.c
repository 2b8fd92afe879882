/*
 * Executes the words of a network, frame by frame (tinydsn_host.h).
 */
#include "tinydsn_host.h"

#include <string.h>

#include "tinydsn_host_operators.h"

#if TINYDSN_HOST_FRONTEND
#include "tinydsn_frontend.h"
#endif

static void decide(reader from)
{
    uint8_t *predicate = place(&from);
    const void *logits = place(&from);
    const int32_t wide = number(&from), index = number(&from), threshold = number(&from);
    const int32_t logit = wide ? ((const int16_t *)logits)[index] : ((const int8_t *)logits)[index];
    *predicate = logit > threshold;
}

/* Whether a gate is as a region needs it to run; notes it in the gate word. */
static int take(reader from, const uint32_t *forced, uint32_t *gates)
{
    const uint32_t bit = UINT32_C(1) << number(&from);
    const uint8_t *predicate = place(&from);
    const int decision = forced != NULL ? (*forced & bit) != 0 : *predicate;
    *gates = decision ? *gates | bit : *gates & ~bit;
    return decision == (number(&from) != 0);
}

/* One frame; `forced`: the frame's gate word, or NULL. */
static void frame(const tinydsn_host_network *network, const uint32_t *forced, uint32_t *gates)
{
    const int64_t *end = network->words + network->count;
    const int64_t *at = network->words;
    while (at < end) {
        const int64_t kernel = at[0];
        const reader from = {network, at + 2};
        at += at[1];
        if (kernel == KERNEL_branch) {
            /* the last argument is where a skipped frame goes on */
            at = take(from, forced, gates) ? at : network->words + from.next[3];
        } else if (kernel == KERNEL_jump) {
            at = network->words + from.next[0];
        } else if (kernel == KERNEL_gate) {
            decide(from);
        } else {
            tinydsn_host_operator(kernel, from);
        }
    }
}

static void run_clip(const tinydsn_host_network *network, const tinydsn_host_clip *clip)
{
    reader input = {network, &network->input}, output = {network, &network->output};
    int16_t *source = place(&input);
    const int16_t *result = place(&output);
    uint32_t gates = 0;
    memcpy(network->areas[2], network->initial, (size_t)network->state_bytes);
#if TINYDSN_HOST_FRONTEND
    tinydsn_frontend_t front;
    int32_t spectrum[TINYDSN_FRONTEND_SPECTRUM_BYTES / sizeof(int32_t)];
    tinydsn_frontend_reset(&front);
#endif
    for (int32_t i = 0; i < clip->frames; i++) {
        memcpy(source, clip->input + (int64_t)i * network->input_size,
               (size_t)network->input_size * sizeof(int16_t));
        frame(network, clip->forced == NULL ? NULL : clip->forced + i, &gates);
        int16_t *out = clip->out + (int64_t)i * network->hop;
#if TINYDSN_HOST_FRONTEND
        if (network->answers != 0) {
            memcpy(out, result, (size_t)network->answers * sizeof(int16_t));
            memset(out + network->answers, 0, (size_t)(network->hop - network->answers) * sizeof(int16_t));
            clip->gates[i] = gates;
            continue;
        }
        const int32_t *lines = clip->spectra + i * (int64_t)(sizeof spectrum / sizeof *spectrum);
        memcpy(spectrum, lines, sizeof spectrum); /* all that synthesis takes from analysis */
        tinydsn_frontend_synthesis(&front, result, out, spectrum);
#else
        memcpy(out, result, (size_t)network->hop * sizeof(int16_t));
#endif
        clip->gates[i] = gates;
    }
}

void tinydsn_host_run(const tinydsn_host_network *network, const tinydsn_host_clip *clips, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        run_clip(network, &clips[i]);
    }
}

#if TINYDSN_HOST_FRONTEND
void tinydsn_host_analyse(const int16_t *pcm, int32_t frames, int16_t *features, int32_t *spectra)
{
    tinydsn_frontend_t front;
    tinydsn_frontend_reset(&front);
    for (int32_t i = 0; i < frames; i++) {
        int32_t *lines = spectra + i * (int64_t)(TINYDSN_FRONTEND_SPECTRUM_BYTES / sizeof(int32_t));
        tinydsn_frontend_analysis(&front, pcm + (int64_t)i * TINYDSN_FRONTEND_HOP,
                                  features + (int64_t)i * TINYDSN_FRONTEND_BINS, lines);
    }
}
#endif
