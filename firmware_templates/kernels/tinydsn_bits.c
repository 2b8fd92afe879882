/*
 * Between numbers and bits: a step makes bits of numbers, and unpacking makes two numbers of bits. 32 channels to a
 * word, channel c in bit c % 32 of word c / 32; bits beyond the last channel are 0.
 */
#include "tinydsn_kernels.h"

#define STEP(name, type)                                                                                               \
    void name(const type *input, int32_t rows, int32_t channels, int32_t zero_point, int32_t *output)                  \
    {                                                                                                                  \
        for (; rows > 0; rows--) {                                                                                     \
            for (int32_t start = 0; start < channels; start += 32) {                                                   \
                const int32_t left = channels - start, count = left < 32 ? left : 32;                                  \
                uint32_t word = 0;                                                                                     \
                for (int32_t c = 0; c < count; c++) {                                                                  \
                    word |= (uint32_t)(*input++ > zero_point) << c;                                                    \
                }                                                                                                      \
                *output++ = (int32_t)word;                                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }

#define UNPACK(name, type)                                                                                             \
    void name(const int32_t *input, int32_t rows, int32_t channels, int32_t zero, int32_t one, type *output)           \
    {                                                                                                                  \
        for (; rows > 0; rows--) {                                                                                     \
            for (int32_t start = 0; start < channels; start += 32) {                                                   \
                const int32_t left = channels - start, count = left < 32 ? left : 32;                                  \
                uint32_t word = (uint32_t)*input++;                                                                    \
                for (int32_t c = 0; c < count; c++, word >>= 1) {                                                      \
                    *output++ = (type)(word & 1 ? one : zero);                                                         \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

STEP(tinydsn_step_s8, int8_t)
STEP(tinydsn_step_s16, int16_t)
UNPACK(tinydsn_unpack_bits_s8, int8_t)
UNPACK(tinydsn_unpack_bits_s16, int16_t)
