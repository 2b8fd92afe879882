/*
 * TFLite's requantization with double rounding (tinydsn_requantize) of values of few bits, in few instructions.
 *
 * Where the doubled and shifted value fits 32 bits, the first rounding is one SMMULR; the second, halves away
 * from zero, is a shift of the sum with a half and with the sign.
 */
#ifndef TINYDSN_RESCALE_H
#define TINYDSN_RESCALE_H

#include "tinydsn_pairs.h"

/* value -> (value * factor + offset) * multiplier / 2^32 / 2^right. */
typedef struct {
    int32_t factor, offset;
    int32_t multiplier, right, half;
} tinydsn_rescaling;

/* Of (value + offset) << before, requantized; 2^(before + 1 + shift) times that must fit 32 bits. */
static inline tinydsn_rescaling tinydsn_rescaling_of(int32_t offset, int32_t before, int32_t multiplier,
                                                     int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0, right = left - shift, factor = 2 << (before + left);
    return (tinydsn_rescaling){.factor = factor,
                               .offset = offset * factor,
                               .multiplier = multiplier,
                               .right = right,
                               .half = right > 0 ? 1 << (right - 1) : 0};
}

static inline int32_t tinydsn_rescaled(const tinydsn_rescaling *how, int32_t value)
{
    const int32_t high = tinydsn_smmulr(tinydsn_mla(value, how->factor, how->offset), how->multiplier);
    return how->right > 0 ? (high + how->half + (high >> 31)) >> how->right : high;
}

#endif
