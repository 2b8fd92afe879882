/* A stand-in for a generated network: three gates, two operators, and a loop of known length. */
#ifndef TINYDSN_H
#define TINYDSN_H

#include <stddef.h>
#include <stdint.h>

#define TINYDSN_HOP 32
#define TINYDSN_GATES 3
#define TINYDSN_CONTEXT_BYTES 32

#if defined(WITH_SELFTEST)
#define TINYDSN_SELFTEST_FRAMES 1
#endif

typedef struct tinydsn tinydsn_t;

size_t tinydsn_size(void);
tinydsn_t *tinydsn_init(void *memory);
void tinydsn_reset(tinydsn_t *ctx);
void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out);
uint32_t tinydsn_gates(const tinydsn_t *ctx);
void tinydsn_set_bias(tinydsn_t *ctx, int16_t bias);
void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value);
int32_t tinydsn_selftest(void *memory);

#endif
