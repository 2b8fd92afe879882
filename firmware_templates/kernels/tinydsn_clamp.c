/*
 * ReLU and its kin: values limited to a range of their own scale.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

void tinydsn_clamp_s8(const int8_t *input, int32_t size, int32_t low, int32_t high, int8_t *output)
{
#if TINYDSN_MVE
    const int8x16_t lowest = vdupq_n_s8((int8_t)low), highest = vdupq_n_s8((int8_t)high);
    for (; size > 0; size -= 16) {
        const mve_pred16_t live = vctp8q((uint32_t)size);
        const int8x16_t value = vmaxq_s8(vldrbq_z_s8(input, live), lowest);
        vstrbq_p_s8(output, vminq_s8(value, highest), live);
        input += 16;
        output += 16;
    }
#else
    int32_t left = size;
#if TINYDSN_DSP
    const uint32_t lowest = (uint32_t)(uint8_t)low * 0x01010101u, highest = (uint32_t)(uint8_t)high * 0x01010101u;
    for (; left >= 4; left -= 4) {
        uint32_t word = tinydsn_load32(input), unused;
        __asm("ssub8 %1, %0, %2\n\tsel %0, %0, %2" : "+r"(word), "=&r"(unused) : "r"(lowest) : "cc");
        __asm("ssub8 %1, %0, %2\n\tsel %0, %2, %0" : "+r"(word), "=&r"(unused) : "r"(highest) : "cc");
        tinydsn_store32(output, word);
        input += 4;
        output += 4;
    }
#endif
    for (; left > 0; left--) {
        *output++ = (int8_t)tinydsn_clamp(*input++, low, high);
    }
#endif
}

#if !TINYDSN_MVE
/* Fours of elements; the caller deals with the rest. */
static inline void clamp_fours(const int16_t *input, int32_t fours, int32_t low, int32_t high,
                               int16_t *output, int relu)
{
    const uint32_t lowest = tinydsn_pair(low, low), highest = tinydsn_pair(high, high);
    for (; fours > 0; fours--) {
        uint32_t first, second;
        tinydsn_load_two(&input, &first, &second);
        if (relu) {
            first = tinydsn_relu16(first);
            second = tinydsn_relu16(second);
        } else {
            first = tinydsn_min16(tinydsn_max16(first, lowest), highest);
            second = tinydsn_min16(tinydsn_max16(second, lowest), highest);
        }
        tinydsn_store_two(&output, first, second);
    }
}
#endif

void tinydsn_clamp_s16(const int16_t *input, int32_t size, int32_t low, int32_t high, int16_t *output)
{
#if TINYDSN_MVE
    const int16x8_t lowest = vdupq_n_s16((int16_t)low), highest = vdupq_n_s16((int16_t)high);
    for (int32_t eights = size >> 3; eights > 0; eights--) {
        vstrhq_s16(output, vminq_s16(vmaxq_s16(vldrhq_s16(input), lowest), highest));
        input += 8;
        output += 8;
    }
    if ((size & 7) > 0) {
        const mve_pred16_t live = vctp16q((uint32_t)size & 7);
        const int16x8_t value = vmaxq_s16(vldrhq_z_s16(input, live), lowest);
        vstrhq_p_s16(output, vminq_s16(value, highest), live);
    }
#else
    int32_t done = 0;
    if (tinydsn_words(input, output, output)) {
        done = size & ~3;
        if (low == 0 && high == INT16_MAX) {
            clamp_fours(input, done >> 2, low, high, output, 1);
        } else {
            clamp_fours(input, done >> 2, low, high, output, 0);
        }
    }
    for (; done < size; done++) {
        output[done] = (int16_t)tinydsn_clamp(input[done], low, high);
    }
#endif
}
