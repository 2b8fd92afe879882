/*
 * TFLite's MUL where the second factor is repeated: over the leading axes, or a single number.
 */
#include "tinydsn_kernels.h"

static inline int32_t scaled(const tinydsn_product *product, int32_t a, int32_t b)
{
    const int32_t exact = (a + product->offset1) * (b + product->offset2);
    const int32_t result = tinydsn_requantize(exact, product->multiplier, product->shift);
    return tinydsn_clamp(result + product->output_offset, product->low, product->high);
}

void tinydsn_mul_s8(const tinydsn_product *product, const int8_t *a, const int8_t *b, int32_t size,
                    int32_t b_size, int8_t *output)
{
    for (int32_t start = 0; start < size; start += b_size) {
        for (int32_t i = 0; i < b_size; i++) {
            output[start + i] = (int8_t)scaled(product, a[start + i], b[i]);
        }
    }
}

void tinydsn_mul_s16(const tinydsn_product *product, const int16_t *a, const int16_t *b, int32_t size,
                     int32_t b_size, int16_t *output)
{
    for (int32_t start = 0; start < size; start += b_size) {
        for (int32_t i = 0; i < b_size; i++) {
            output[start + i] = (int16_t)scaled(product, a[start + i], b[i]);
        }
    }
}
