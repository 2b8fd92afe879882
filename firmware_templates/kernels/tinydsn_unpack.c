/*
 * Unpacks weights of 2 to 7 bits; tinydsn_packed.h tells how they lie.
 */
#include "tinydsn_packed.h"

#define BYTES(value) ((uint32_t)(value) * 0x01010101u)

/* Places of the parts of two bits and of one in a byte; that of four is the upper half. */
#define TWO_AT(bits) (((bits) & 4) ? 2 : 6)
#define ONE_AT(bits) (8 - (bits))

/* The rest of a matrix: fields of `bits` one after the other. */
static TINYDSN_NOINLINE void tinydsn_unpack_rest(const uint8_t *packed, int32_t bits, int32_t count, int8_t *target)
{
    uint32_t held = 0;
    int32_t have = 0;
    for (; count > 0; count--) {
        if (have < bits) {
            held |= (uint32_t)*packed++ << have;
            have += 8;
        }
        *target++ = (int8_t)(uint8_t)(held << (8 - bits));
        held >>= bits;
        have -= bits;
    }
}

#if TINYDSN_MVE

/* Shifts of the four words of a vector, whose first is word `q` of the block, of a part of `width` bits at `to`. */
TINYDSN_INLINE int32x4_t shifts(int32_t q, int32_t width, int32_t to)
{
    return (int32x4_t){
        to - q / width * width,
        to - (q + 1) / width * width,
        to - (q + 2) / width * width,
        to - (q + 3) / width * width,
    };
}

/* Adds a part to the lower and the upper vector of a block. */
TINYDSN_INLINE uint32x4x2_t with_part(uint32x4x2_t made, uint32x4_t words, int32_t width, int32_t to)
{
    const uint32x4_t mask = vdupq_n_u32(BYTES(((1u << width) - 1) << to));
    made.val[0] = vorrq_u32(made.val[0], vandq_u32(vshlq_u32(words, shifts(0, width, to)), mask));
    made.val[1] = vorrq_u32(made.val[1], vandq_u32(vshlq_u32(words, shifts(4, width, to)), mask));
    return made;
}

TINYDSN_INLINE const uint8_t *block(const uint8_t *packed, int32_t bits, int lower, int8_t *target)
{
    const uint32_t *words = (const uint32_t *)(const void *)packed;
    uint32x4x2_t made = {{vdupq_n_u32(0), vdupq_n_u32(0)}};
    if (bits & 4) {
        const uint32x4_t fours = vldrwq_u32(words);
        made.val[0] = vandq_u32(fours, vdupq_n_u32(BYTES(0xF0)));
        made.val[1] = vandq_u32(vshlq_n_u32(fours, 4), vdupq_n_u32(BYTES(0xF0)));
        words += 4;
    }
    if (bits & 2) {
        const uint32x4_t offsets = {0, 1, 0, 1};
        made = with_part(made, vldrwq_gather_shifted_offset_u32(words, offsets), 2, TWO_AT(bits));
        words += 2;
    }
    if (bits & 1) {
        made = with_part(made, vdupq_n_u32(words[0]), 1, ONE_AT(bits));
    }
    for (int32_t half = 0; half < 2; half++) {
        const int8x16_t weights = vreinterpretq_s8_u32(made.val[half]);
        vstrbq_s8(target + 16 * half, lower ? vshrq_n_s8(weights, 4) : weights);
    }
    return packed + 4 * bits;
}

#else

/* GCC shifts and masks in one instruction only where the mask is in a register. */
#if defined(__GNUC__)
#define OPAQUE(mask) __asm("" : "+r"(mask))
#else
#define OPAQUE(mask) (void)(mask)
#endif

/* A field of every byte, moved from bit `from` to bit `to`. */
TINYDSN_INLINE uint32_t field(uint32_t word, int32_t from, int32_t to, uint32_t mask)
{
    return mask & (to >= from ? word << (to - from) : word >> (from - to));
}

/* The words come in an order in which every packed word is loaded once. */
TINYDSN_INLINE const uint8_t *block(const uint8_t *packed, int32_t bits, int lower, int8_t *target)
{
    const uint8_t *const twos = packed + ((bits & 4) ? 16 : 0), *const ones = twos + ((bits & 2) ? 8 : 0);
    uint32_t mask4 = BYTES(0xF0), mask2 = BYTES(3u << TWO_AT(bits)), mask1 = BYTES(1u << ONE_AT(bits));
    OPAQUE(mask4);
    OPAQUE(mask2);
    OPAQUE(mask1);
    const uint32_t one = (bits & 1) ? tinydsn_load32(ones) : 0;
    for (int32_t pair = 0; pair < 2; pair++) {
        const uint32_t two = (bits & 2) ? tinydsn_load32(twos + 4 * pair) : 0;
        for (int32_t i = pair; i < 4; i += 2) {
            const uint32_t four = (bits & 4) ? tinydsn_load32(packed + 4 * i) : 0;
            for (int32_t q = i; q < 8; q += 4) {
                uint32_t word = (bits & 4) ? field(four, q < 4 ? 4 : 0, 4, mask4) : 0;
                word |= (bits & 2) ? field(two, q & 6, TWO_AT(bits), mask2) : 0;
                word |= (bits & 1) ? field(one, q, ONE_AT(bits), mask1) : 0;
                if (lower) {
                    /* 0..15 to -8..7: bit 3 becomes the sign of the byte */
                    word = (((word >> 4) ^ BYTES(8)) + BYTES(0x78)) ^ BYTES(0x80);
                }
                tinydsn_store32(target + 4 * q, word);
            }
        }
    }
    return packed + 4 * bits;
}

#endif

/* lower: 4 bits are not the upper ones of an int8, but all of it. */
TINYDSN_INLINE void unpack(const uint8_t *packed, int32_t bits, int lower, int32_t count, int8_t *target)
{
    for (; count >= 32; count -= 32) {
        packed = block(packed, bits, lower, target);
        target += 32;
    }
    if (count > 0) {
        tinydsn_unpack_rest(packed, bits, count, target);
        for (; lower && count > 0; count--) {
            *target = (int8_t)(*target >> 4);
            target++;
        }
    }
}

#define UNPACK(name, bits, lower)                                                                            \
    void name(const uint8_t *packed, int32_t count, int8_t *target)                                          \
    {                                                                                                        \
        unpack(packed, bits, lower, count, target);                                                          \
    }

UNPACK(tinydsn_unpack_2, 2, 0)
UNPACK(tinydsn_unpack_3, 3, 0)
UNPACK(tinydsn_unpack_4, 4, 1)
UNPACK(tinydsn_unpack_4_upper, 4, 0)
UNPACK(tinydsn_unpack_5, 5, 0)
UNPACK(tinydsn_unpack_6, 6, 0)
UNPACK(tinydsn_unpack_7, 7, 0)
