/*
 * tinydsn_packed.h: matrices whose weights have 2 to 7 bits in flash, and the unpacker in front of the kernels for
 * 8 bits.
 *
 * A weight of b bits is an int8 of which only the upper b bits are used; its channel's scale is made for that. (4
 * bits also as they are, from -7 to 7: `tinydsn_unpack_4`.) The packed bytes are those that the kernels for 8 bits
 * read, in their order (tinydsn/codegen/layouts.py), in blocks of 32, which are 8 words of 4 bytes each. A block
 * takes b words: its bits in parts of 4, 2 and 1, from the highest bit down, as many as b needs. Of a part of p bits,
 * p words hold all 8 words of the block: word i the words i, i + p, i + 2p, ..., each in fields of p bits of every
 * byte. So one shift and one mask give a part of four weights. What the last block leaves over is a string of
 * b-bit fields, the first in the lowest bits.
 *
 * Scales of N channels: N int32 biases; N multipliers; N int8 exponents. int16 results: a multiplier is int16, to be
 * shifted left by the exponent, or for a negative exponent the result right by its negative. int8 results: a
 * multiplier is int32, the exponent the shift of tinydsn_matrix. They become those of tinydsn_matrix.
 */
#ifndef TINYDSN_PACKED_H
#define TINYDSN_PACKED_H

#include "tinydsn_kernels.h"

/* Writes scales of `count` channels from `first` on, of `channels`; _s16 and _s8: of such results. */
typedef void (*tinydsn_scale_unpacker)(const uint8_t *scales, int32_t channels, int32_t first, int32_t count,
                                       int32_t *target);
void tinydsn_unpack_scales_s16(const uint8_t *scales, int32_t channels, int32_t first, int32_t count,
                               int32_t *target);
void tinydsn_unpack_scales_s8(const uint8_t *scales, int32_t channels, int32_t first, int32_t count,
                              int32_t *target);

/* A group of channels, unpacked, and where its results go before they are scattered. */
typedef struct {
    tinydsn_matrix matrix;
    void *strip; /* NULL: into the output */
    void *rest;  /* of the scratch */
} tinydsn_group;

/* Unpacks the channels from `first` on. rows: of the output, all channels each. */
void tinydsn_unpack_group(const tinydsn_packed *packed, int32_t first, int32_t rows,
                          tinydsn_scale_unpacker unpack_scales, void *scratch, tinydsn_group *group);

/* Results of a group to its columns of the output, which begin at `output`; `size`: bytes of an element. */
void tinydsn_scatter(const tinydsn_packed *packed, const tinydsn_group *group, int32_t rows, int32_t size,
                     void *output);

#endif
