/*
 * Scales and groups of channels of packed matrices; tinydsn_packed.h tells how they lie.
 */
#include "tinydsn_packed.h"

typedef struct {
    int32_t multiplier, shift;
} factor;

TINYDSN_INLINE factor factor_of(const uint8_t *multipliers, const int8_t *exponents, int32_t n, int32_t wide)
{
    const int32_t exponent = exponents[n];
    if (!wide) {
        return (factor){(int32_t)tinydsn_load32(multipliers + 4 * n), exponent};
    }
    int16_t mantissa;
    memcpy(&mantissa, multipliers + 2 * n, sizeof mantissa);
    const int32_t left = exponent > 0 ? exponent : 0;
    return (factor){(int32_t)((uint32_t)mantissa << left), left - exponent};
}

TINYDSN_INLINE void unpack(const uint8_t *scales, int32_t channels, int32_t first, int32_t count, int32_t wide,
                           int32_t *target)
{
    const uint8_t *const multipliers = scales + 4 * channels;
    const int8_t *const exponents = (const int8_t *)multipliers + (wide ? 2 : 4) * channels;
    int32_t n = first;
#if TINYDSN_MVE
    for (; n + 4 <= first + count; n += 4) {
        const int32x4_t exponent = vldrbq_s32(exponents + n);
        const int32x4_t left = vmaxq_s32(exponent, vdupq_n_s32(0));
        vstrwq_s32(target, vldrwq_s32((const int32_t *)(const void *)scales + n));
        if (wide) {
            const int32x4_t mantissa = vldrhq_s32((const int16_t *)(const void *)multipliers + n);
            vstrwq_s32(target + 4, vshlq_s32(mantissa, left));
            vstrwq_s32(target + 8, vsubq_s32(exponent, left));
        } else {
            vstrwq_s32(target + 4, vldrwq_s32((const int32_t *)(const void *)multipliers + n));
            vstrwq_s32(target + 8, vsubq_s32(vdupq_n_s32(-1), exponent));
        }
        target += 12;
    }
#endif
    for (; n < first + count; n++) {
        const factor made = factor_of(multipliers, exponents, n, wide);
        target[0] = (int32_t)tinydsn_load32(scales + 4 * n);
        target[1] = made.multiplier;
        target[2] = TINYDSN_INTERLEAVED && !wide ? (int32_t)(0u - (0x80000000u >> made.shift)) : made.shift;
        target += 3;
    }
}

void tinydsn_unpack_scales_s16(const uint8_t *scales, int32_t channels, int32_t first, int32_t count,
                               int32_t *target)
{
    unpack(scales, channels, first, count, 1, target);
}

void tinydsn_unpack_scales_s8(const uint8_t *scales, int32_t channels, int32_t first, int32_t count,
                              int32_t *target)
{
    unpack(scales, channels, first, count, 0, target);
}

void tinydsn_unpack_group(const tinydsn_packed *packed, int32_t first, int32_t rows,
                          tinydsn_scale_unpacker unpack_scales, void *scratch, tinydsn_group *group)
{
    uint8_t *const memory = scratch;
    int32_t *const scales = (int32_t *)(void *)(memory + packed->scales_place);
    const int32_t channels = packed->matrix->channels, index = first / packed->group;
    const int32_t left = packed->weights - index * packed->group_weights;
    const int32_t weights = left < packed->group_weights ? left : packed->group_weights;
    const int32_t count = channels - first < packed->group ? channels - first : packed->group;
    const uint8_t *source = (const uint8_t *)packed->matrix->weights + index * packed->group_bytes;
    packed->unpack(source, weights, (int8_t *)memory);
    unpack_scales(packed->scales, channels, first, count, scales);
    group->matrix = *packed->matrix;
    group->matrix.channels = count;
    group->matrix.weights = (const int8_t *)memory;
    group->matrix.scales = scales;
    group->strip = count < channels && rows > 1 ? memory + packed->strip_place : NULL;
    group->rest = memory + packed->rest_place;
}

void tinydsn_scatter(const tinydsn_packed *packed, const tinydsn_group *group, int32_t rows, int32_t size,
                     void *output)
{
    const int32_t bytes = group->matrix.channels * size;
    const uint8_t *source = group->strip;
    uint8_t *target = output;
    for (; source != NULL && rows > 0; rows--) {
        memcpy(target, source, (size_t)bytes);
        source += bytes;
        target += packed->matrix->channels * size;
    }
}
