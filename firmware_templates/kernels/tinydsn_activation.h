/*
 * The int16 logistic function and tanh of CMSIS-NN (arm_nn_activation_s16) for one value.
 *
 * `x` is three times the argument in Q3.12; the result is Q15. Linear interpolation in CMSIS-NN's table of
 * 256 values of the logistic function, whose steps are 1/24.
 */
#ifndef TINYDSN_ACTIVATION_H
#define TINYDSN_ACTIVATION_H

#include "arm_nn_tables.h"
#include "tinydsn_port.h"

static inline int32_t tinydsn_sigmoid_q15(int32_t x)
{
    const uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
    const uint32_t index = magnitude >> 9;
    int32_t result = 0x7FFF << 10;
    if (index < 255) {
        const int32_t low = sigmoid_table_uint16[index];
        const int32_t high = sigmoid_table_uint16[index + 1];
        result = (low << 9) + (int32_t)(magnitude & 0x1FF) * (high - low);
    }
    return (int16_t)((x >= 0 ? result + (1 << 9) : (1 << 25) - result + (1 << 9) - 1) >> 10);
}

static inline int32_t tinydsn_tanh_q15(int32_t x)
{
    const uint32_t magnitude = (uint32_t)(x < 0 ? -x : x);
    const uint32_t index = magnitude >> 8;
    int32_t result = 0xFFFF << 8;
    if (index < 255) {
        const int32_t low = sigmoid_table_uint16[index];
        const int32_t high = sigmoid_table_uint16[index + 1];
        result = (low << 8) + (int32_t)(magnitude & 0xFF) * (high - low);
    }
    return (int16_t)((x >= 0 ? result - (1 << 23) + (1 << 7) : (1 << 23) - result + (1 << 7) - 1) >> 8);
}

#endif
