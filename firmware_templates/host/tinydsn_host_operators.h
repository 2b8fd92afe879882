/*
 * The words of a network as they are read, and the operators that they name.
 */
#ifndef TINYDSN_HOST_OPERATORS_H
#define TINYDSN_HOST_OPERATORS_H

#include <stddef.h>

#include "tinydsn_host.h"
#include "tinydsn_host_kernels.h"

/* The words that are being read. */
typedef struct {
    const tinydsn_host_network *network;
    const int64_t *next;
} reader;

static inline int32_t number(reader *from)
{
    return (int32_t)*from->next++;
}

static inline void *place(reader *from)
{
    const uint64_t word = (uint64_t)*from->next++;
    uint8_t *area = from->network->areas[word >> TINYDSN_HOST_OFFSET_BITS];
    return area == NULL ? NULL : area + (word & ((UINT64_C(1) << TINYDSN_HOST_OFFSET_BITS) - 1));
}

/* Runs one operator; `from` stands at its first argument. */
void tinydsn_host_operator(int64_t kernel, reader from);

#endif
