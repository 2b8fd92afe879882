/*
 * Softmax of int16 rows: exp and 1 / (1 + x) by tables of 513 entries (TFLite Micro's SOFTMAX for int16).
 *
 * CMSIS-NN's arm_softmax_s16 computes the same but for sums of exponentials within 2^-18 of a power of two
 * and results of 1.0, where its int32 and int16 values wrap around.
 */
#include "tinydsn_kernels.h"

static inline int32_t look_up(const int16_t *table, int32_t value)
{
    const int32_t index = 256 + (value >> 7);
    const int32_t slope = table[index + 1] - table[index];
    return table[index] + ((slope * (value & 0x7F) + 64) >> 7);
}

void tinydsn_softmax_s16(const tinydsn_softmax *softmax, const int16_t *input, int32_t rows, int16_t *output)
{
    const int32_t columns = softmax->columns;
    for (int32_t row = 0; row < rows; row++) {
        int32_t largest = input[0];
        for (int32_t i = 1; i < columns; i++) {
            largest = input[i] > largest ? input[i] : largest;
        }
        uint32_t sum = 0;
        for (int32_t i = 0; i < columns; i++) {
            const int32_t scaled = tinydsn_requantize(input[i] - largest, softmax->multiplier, softmax->shift);
            output[i] = (int16_t)look_up(softmax->exp, tinydsn_clamp(scaled, -65535, 0) + INT16_MAX);
            sum += (uint32_t)output[i];
        }
        const int32_t zeros = tinydsn_clz(sum);
        const int32_t mantissa = (int32_t)(((sum << (zeros - 1)) + (1u << 13)) >> 14);
        const int32_t argument = tinydsn_clamp(mantissa - (1 << 15) - (1 << 16), INT16_MIN, INT16_MAX);
        const int32_t inverse = look_up(softmax->reciprocal, argument);
        const int32_t right = 31 - zeros;
        for (int32_t i = 0; i < columns; i++) {
            const int32_t share = (output[i] * inverse + (1 << (right - 1))) >> right;
            output[i] = (int16_t)tinydsn_clamp(share, 0, INT16_MAX);
        }
        input += columns;
        output += columns;
    }
}
