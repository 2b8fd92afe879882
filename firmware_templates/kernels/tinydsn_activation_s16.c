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
#if TINYDSN_MVE
    for (; right_shift == 0 && multiplier <= INT16_MAX && size > 0; size -= 8) {
        const mve_pred16_t live = vctp16q((uint32_t)size);
        const int16x8_t value = vldrhq_z_s16(input, live);
        vstrhq_p_s16(output, tinydsn_sigmoid_eight(value, (int16_t)multiplier), live);
        input += 8;
        output += 8;
    }
#else
    if (right_shift == 0 && multiplier <= TINYDSN_PAIRED) {
        const uint32_t factors = tinydsn_pair_factors(multiplier), room = tinydsn_sigmoid_room(multiplier);
        if (tinydsn_words(input, output, input)) {
            for (; size >= 4; size -= 4) {
                uint32_t first, second;
                tinydsn_load_two(&input, &first, &second);
                first = tinydsn_sigmoid_pair(first, factors, room);
                second = tinydsn_sigmoid_pair(second, factors, room);
                tinydsn_store_two(&output, first, second);
            }
        }
        for (; size >= 2; size -= 2) {
            tinydsn_store32(output, tinydsn_sigmoid_pair(tinydsn_load32(input), factors, room));
            input += 2;
            output += 2;
        }
    }
#endif
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_sigmoid_q15((input[i] * multiplier + half) >> right_shift);
    }
}

void tinydsn_tanh_s16(const int16_t *input, int32_t size, int32_t multiplier, int32_t right_shift,
                      int16_t *output)
{
    const int32_t half = right_shift > 0 ? 1 << (right_shift - 1) : 0;
#if TINYDSN_MVE
    for (; right_shift == 0 && multiplier <= INT16_MAX && size > 0; size -= 8) {
        const mve_pred16_t live = vctp16q((uint32_t)size);
        const int16x8_t value = vldrhq_z_s16(input, live);
        vstrhq_p_s16(output, tinydsn_tanh_eight(value, (int16_t)multiplier), live);
        input += 8;
        output += 8;
    }
#else
    if (right_shift == 0 && multiplier <= TINYDSN_PAIRED) {
        const uint32_t factors = tinydsn_pair_factors(-multiplier);
        for (; size >= 2; size -= 2) {
            tinydsn_store32(output, tinydsn_minus_tanh_pair(tinydsn_load32(input), factors));
            input += 2;
            output += 2;
        }
    }
#endif
    for (int32_t i = 0; i < size; i++) {
        output[i] = (int16_t)tinydsn_tanh_q15((input[i] * multiplier + half) >> right_shift);
    }
}
