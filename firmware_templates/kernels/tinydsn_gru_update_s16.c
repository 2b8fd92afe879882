/*
 * Gated recurrent unit, what follows the two matrix products; products in Q30 rounded to Q15:
 *     r = sigmoid(gx_r + gh_r)      z = sigmoid(gx_z + gh_z)
 *     n = tanh(gx_n + r * gh_n)     output = n + z * (state - n)
 */
#include "tinydsn_activation.h"
#include "tinydsn_kernels.h"

void tinydsn_gru_update_s16(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t rows,
                            int32_t hidden, int32_t multiplier, int16_t *output)
{
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t i = 0; i < hidden; i++) {
            const int32_t reset = tinydsn_saturate16(gx[i] + gh[i]);
            const int32_t update = tinydsn_saturate16(gx[hidden + i] + gh[hidden + i]);
            const int32_t r = tinydsn_sigmoid_q15(multiplier * reset);
            const int32_t z = tinydsn_sigmoid_q15(multiplier * update);
            const int32_t carried = (r * gh[2 * hidden + i] + (1 << 14)) >> 15;
            const int32_t fresh = tinydsn_saturate16(gx[2 * hidden + i] + carried);
            const int32_t n = tinydsn_tanh_q15(multiplier * fresh);
            /* at most 32767 * 65535 + 16384, which is below 2^31 */
            const int32_t moved = (z * (state[i] - n) + (1 << 14)) >> 15;
            output[i] = (int16_t)tinydsn_saturate16(n + moved);
        }
        gx += 3 * hidden;
        gh += 3 * hidden;
        state += hidden;
        output += hidden;
    }
}
