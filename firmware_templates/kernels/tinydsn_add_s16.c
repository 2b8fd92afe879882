/*
 * Sums and differences of int16 tensors of one scale: exact, saturated, then clamped.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

/* What happens to sums: nothing, the usual ReLU, or any range. */
enum limit { FREE, RELU, RANGE };

static inline enum limit limit_of(int32_t low, int32_t high)
{
    if (high < INT16_MAX) {
        return RANGE;
    }
    return low == 0 ? RELU : low > INT16_MIN ? RANGE : FREE;
}

#if TINYDSN_MVE

static inline int16x8_t combined(int16x8_t a, int16x8_t b, int minus, enum limit limit, int16x8_t lowest,
                                 int16x8_t highest)
{
    const int16x8_t result = minus ? vqsubq_s16(a, b) : vqaddq_s16(a, b);
    return limit == FREE ? result : vminq_s16(vmaxq_s16(result, lowest), highest);
}

/* One run of both; where `single`, b is one element. */
static inline void combine_as(const int16_t *a, const int16_t *b, int32_t size, int single, int minus,
                              enum limit limit, int32_t low, int32_t high, int16_t *output)
{
    const int16x8_t lowest = vdupq_n_s16((int16_t)low), highest = vdupq_n_s16((int16_t)high);
    const int16x8_t splat = vdupq_n_s16(b[0]);
    for (int32_t eights = size >> 3; eights > 0; eights--) {
        const int16x8_t second = single ? splat : vldrhq_s16(b);
        vstrhq_s16(output, combined(vldrhq_s16(a), second, minus, limit, lowest, highest));
        a += 8;
        b += single ? 0 : 8;
        output += 8;
    }
    if ((size & 7) > 0) {
        const mve_pred16_t live = vctp16q((uint32_t)size & 7);
        const int16x8_t second = single ? splat : vldrhq_z_s16(b, live);
        const int16x8_t result = combined(vldrhq_z_s16(a, live), second, minus, limit, lowest, highest);
        vstrhq_p_s16(output, result, live);
    }
}

#else

static inline uint32_t limited(uint32_t pair, enum limit limit, uint32_t lowest, uint32_t highest)
{
    if (limit == RANGE) {
        return tinydsn_min16(tinydsn_max16(pair, lowest), highest);
    }
    return limit == RELU ? tinydsn_relu16(pair) : pair;
}

static inline uint32_t combined(uint32_t a, uint32_t b, int minus)
{
    return minus ? tinydsn_qsub16(a, b) : tinydsn_qadd16(a, b);
}

/* The next four, which start at multiples of 4 bytes. */
static inline void combine_four(const int16_t **a, const int16_t **b, int minus, enum limit limit,
                                uint32_t lowest, uint32_t highest, int16_t **output)
{
    uint32_t a0, a1, b0, b1;
    tinydsn_load_two(a, &a0, &a1);
    tinydsn_load_two(b, &b0, &b1);
    a0 = limited(combined(a0, b0, minus), limit, lowest, highest);
    a1 = limited(combined(a1, b1, minus), limit, lowest, highest);
    tinydsn_store_two(output, a0, a1);
}

static inline void combine_as(const int16_t *a, const int16_t *b, int32_t size, int single, int minus,
                              enum limit limit, int32_t low, int32_t high, int16_t *output)
{
    const uint32_t lowest = tinydsn_pair(low, low), highest = tinydsn_pair(high, high);
    const uint32_t splat = tinydsn_pair(b[0], b[0]);
    if (!single && tinydsn_words(a, b, output)) {
        for (; size >= 16; size -= 16) {
            for (int32_t four = 0; four < 4; four++) {
                combine_four(&a, &b, minus, limit, lowest, highest, &output);
            }
        }
        for (; size >= 4; size -= 4) {
            combine_four(&a, &b, minus, limit, lowest, highest, &output);
        }
    }
    for (; size >= 2; size -= 2) {
        const uint32_t second = single ? splat : tinydsn_load32(b);
        const uint32_t pair = combined(tinydsn_load32(a), second, minus);
        tinydsn_store32(output, limited(pair, limit, lowest, highest));
        a += 2;
        b += single ? 0 : 2;
        output += 2;
    }
    if (size > 0) {
        const int32_t value = minus ? *a - *b : *a + *b;
        *output = (int16_t)tinydsn_clamp(value, low, high);
    }
}

#endif

static inline void combine(const int16_t *a, const int16_t *b, int32_t size, int single, int minus,
                           int32_t low, int32_t high, int16_t *output)
{
    switch (limit_of(low, high)) {
    case FREE:
        combine_as(a, b, size, single, minus, FREE, low, high, output);
        break;
    case RELU:
        combine_as(a, b, size, single, minus, RELU, low, high, output);
        break;
    default:
        combine_as(a, b, size, single, minus, RANGE, low, high, output);
    }
}

/* The elements of b once, or again and again. */
static inline void repeat(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int minus,
                          int32_t low, int32_t high, int16_t *output)
{
    if (b_size == 1) {
        combine(a, b, size, 1, minus, low, high, output);
        return;
    }
    for (; size > 0; size -= b_size) {
        combine(a, b, b_size, 0, minus, low, high, output);
        a += b_size;
        output += b_size;
    }
}

void tinydsn_add_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output)
{
    repeat(a, b, size, b_size, 0, low, high, output);
}

void tinydsn_sub_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output)
{
    repeat(a, b, size, b_size, 1, low, high, output);
}
