/*
 * Logistic function and tanh of int16 tensors whose scale is any power of two.
 *
 * CMSIS-NN's arm_nn_activation_s16 has the same results where right_shift is 0.
 */
#include "tinydsn_activation.h"
#include "tinydsn_kernels.h"

void tinydsn_sigmoid_s16(const int16_t *input, int32_t size, int32_t multiplier, int32_t right_shift,
                         int16_t *output)
{
    const int32_t half = right_shift > 0 ? 1 << (right_shift - 1) : 0;
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_sigmoid_q15((input[i] * multiplier + half) >> right_shift);
    }
}

void tinydsn_tanh_s16(const int16_t *input, int32_t size, int32_t multiplier, int32_t right_shift,
                      int16_t *output)
{
    const int32_t half = right_shift > 0 ? 1 << (right_shift - 1) : 0;
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_tanh_q15((input[i] * multiplier + half) >> right_shift);
    }
}
