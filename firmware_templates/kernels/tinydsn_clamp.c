/*
 * ReLU and its kin: values limited to a range of their own scale.
 */
#include "tinydsn_kernels.h"

void tinydsn_clamp_s8(const int8_t *input, int32_t size, int32_t low, int32_t high, int8_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int8_t)tinydsn_clamp(input[i], low, high);
    }
}

void tinydsn_clamp_s16(const int16_t *input, int32_t size, int32_t low, int32_t high, int16_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_clamp(input[i], low, high);
    }
}
