/*
 * TFLite's ADD and SUB for int16 of several scales: both inputs are scaled to one fine scale, combined, and scaled
 * down.
 */
#include "tinydsn_kernels.h"

void tinydsn_add_scaled_s16(const tinydsn_sum_s8 *sum, const int16_t *a, const int16_t *b, int32_t size,
                            int32_t b_size, int subtract, int16_t *output)
{
    const int32_t unit = 1 << sum->left_shift;
    int32_t place = 0;
    for (int32_t i = 0; i < size; i++) {
        const int32_t first = tinydsn_requantize(a[i] * unit, sum->multiplier1, sum->shift1);
        const int32_t second = tinydsn_requantize(b[place] * unit, sum->multiplier2, sum->shift2);
        const int32_t total = subtract ? first - second : first + second;
        const int32_t result = tinydsn_requantize(total, sum->output_multiplier, sum->output_shift);
        output[i] = (int16_t)tinydsn_clamp(result, sum->low, sum->high);
        place = place + 1 == b_size ? 0 : place + 1;
    }
}
