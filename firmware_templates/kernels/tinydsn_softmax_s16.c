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
    const int32_t columns = softmax->columns, multiplier = softmax->multiplier, shift = softmax->shift;
    const int16_t *const exp = softmax->exp;
    /* a difference of 17 bits can be doubled and shifted within 32: the double rounding is one product */
    const int quick = shift >= 0 && shift <= 13;
    for (int32_t row = 0; row < rows; row++) {
        int32_t largest = input[0];
        for (int32_t i = 1; i < columns; i++) {
            largest = input[i] > largest ? input[i] : largest;
        }
        uint32_t sum = 0;
        for (int32_t i = 0; i < columns; i++) {
            const int32_t difference = input[i] - largest;
            int32_t scaled;
            if (quick) {
                scaled = tinydsn_smmulr(difference * (2 << shift), multiplier);
                scaled = scaled < -65535 ? -65535 : scaled;
            } else {
                scaled = tinydsn_clamp(tinydsn_requantize(difference, multiplier, shift), -65535, 0);
            }
            const int32_t power = look_up(exp, scaled + INT16_MAX);
            output[i] = (int16_t)power;
            sum += (uint32_t)power;
        }
        const int32_t zeros = tinydsn_clz(sum);
        const int32_t mantissa = (int32_t)(((sum << (zeros - 1)) + (1u << 13)) >> 14);
        const int32_t argument = tinydsn_clamp(mantissa - (1 << 15) - (1 << 16), INT16_MIN, INT16_MAX);
        const int32_t inverse = look_up(softmax->reciprocal, argument);
        const int32_t right = 31 - zeros, half = 1 << (right - 1);
        for (int32_t i = 0; i < columns; i++) {
            const int32_t share = (output[i] * inverse + half) >> right;
            output[i] = (int16_t)tinydsn_saturate16(share);
        }
        input += columns;
        output += columns;
    }
}
