/*
 * Sums and differences of int16 tensors of one scale: exact, saturated, then clamped.
 */
#include "tinydsn_kernels.h"

typedef uint32_t (*pair_function)(uint32_t a, uint32_t b);

static inline void combine(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                           int32_t high, int16_t *output, pair_function pair, int32_t sign)
{
    const int clamps = low > INT16_MIN || high < INT16_MAX;
    int16_t *const first = output;
    const int32_t total = size;
    while (size > 0) {
        const int16_t *other = b;
        const uint32_t splat = (uint16_t)b[0] | ((uint32_t)(uint16_t)b[0] << 16);
        int32_t run = b_size == 1 ? size : b_size;
        size -= run;
        for (; run >= 2; run -= 2) {
            uint32_t second = splat;
            if (b_size > 1) {
                second = tinydsn_load32(other);
                other += 2;
            }
            tinydsn_store32(output, pair(tinydsn_load32(a), second));
            a += 2;
            output += 2;
        }
        if (run > 0) {
            *output++ = (int16_t)tinydsn_saturate16(*a++ + sign * *other);
        }
    }
    if (clamps) {
        tinydsn_clamp_s16(first, total, low, high, first);
    }
}

void tinydsn_add_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output)
{
    combine(a, b, size, b_size, low, high, output, tinydsn_qadd16, 1);
}

void tinydsn_sub_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output)
{
    combine(a, b, size, b_size, low, high, output, tinydsn_qsub16, -1);
}
