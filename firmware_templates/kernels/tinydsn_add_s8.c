/*
 * TFLite's ADD and SUB for int8: both inputs are scaled to one fine scale, combined, and scaled down.
 */
#include "tinydsn_kernels.h"

void tinydsn_add_s8(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t size,
                    int32_t b_size, int subtract, int8_t *output)
{
    for (int32_t start = 0; start < size; start += b_size) {
        for (int32_t i = 0; i < b_size; i++) {
            const int32_t first = (a[start + i] + sum->offset1) * (1 << sum->left_shift);
            const int32_t second = (b[i] + sum->offset2) * (1 << sum->left_shift);
            const int32_t scaled1 = tinydsn_requantize(first, sum->multiplier1, sum->shift1);
            const int32_t scaled2 = tinydsn_requantize(second, sum->multiplier2, sum->shift2);
            const int32_t total = subtract ? scaled1 - scaled2 : scaled1 + scaled2;
            const int32_t result = tinydsn_requantize(total, sum->output_multiplier, sum->output_shift);
            output[start + i] = (int8_t)tinydsn_clamp(result + sum->output_offset, sum->low, sum->high);
        }
    }
}
