/* The interface of a generated project around the front end alone: see tinydsn.c beside this. */
#ifndef TINYDSN_H
#define TINYDSN_H

#include <stddef.h>
#include <stdint.h>

#include "tinydsn_frontend.h"

#define TINYDSN_OUTPUT_CHANNELS 1
#define TINYDSN_HOP TINYDSN_FRONTEND_HOP
#define TINYDSN_GATES 32

typedef struct tinydsn tinydsn_t;

/* As tinydsn.c states them, which checks it. */
#define TINYDSN_CONTEXT_BYTES \
    (16 + (TINYDSN_FRONTEND_STATE_BYTES + 15) / 16 * 16 + TINYDSN_FRONTEND_SPECTRUM_BYTES \
     + (4 * TINYDSN_FRONTEND_BINS + 15) / 16 * 16)

size_t tinydsn_size(void);
tinydsn_t *tinydsn_init(void *memory);
void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out);
uint32_t tinydsn_gates(const tinydsn_t *ctx);
void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value);

#endif
