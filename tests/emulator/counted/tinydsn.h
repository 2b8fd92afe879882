/* The interface of a generated project, for a network of one line: see tinydsn.c beside this. */
#ifndef TINYDSN_H
#define TINYDSN_H

#include <stddef.h>
#include <stdint.h>

#define TINYDSN_OUTPUT_CHANNELS 1
#define TINYDSN_HOP 64
#define TINYDSN_GATES 3
#define TINYDSN_CONTEXT_BYTES 32

typedef struct tinydsn tinydsn_t;

size_t tinydsn_size(void);
tinydsn_t *tinydsn_init(void *memory);
void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out);
uint32_t tinydsn_gates(const tinydsn_t *ctx);
void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value);

#endif
