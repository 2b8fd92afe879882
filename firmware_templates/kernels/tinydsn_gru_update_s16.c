/*
 * Gated recurrent unit, what follows the two matrix products; products in Q30 rounded to Q15:
 *     r = sigmoid(gx_r + gh_r)      z = sigmoid(gx_z + gh_z)
 *     n = tanh(gx_n + r * gh_n)     output = n + z * (state - n)
 * The output lies between n and the state, so that it needs no saturation.
 */
#include "tinydsn_activation.h"
#include "tinydsn_kernels.h"

#define HALF (1 << 14)

/* One element, any multiplier. */
static int32_t one(const int16_t *gx, const int16_t *gh, int32_t state, int32_t hidden, int32_t multiplier)
{
    const int32_t reset = tinydsn_saturate16(gx[0] + gh[0]);
    const int32_t update = tinydsn_saturate16(gx[hidden] + gh[hidden]);
    const int32_t r = tinydsn_sigmoid_q15(multiplier * reset);
    const int32_t z = tinydsn_sigmoid_q15(multiplier * update);
    const int32_t carried = (r * gh[2 * hidden] + HALF) >> 15;
    const int32_t fresh = tinydsn_saturate16(gx[2 * hidden] + carried);
    const int32_t n = tinydsn_tanh_q15(multiplier * fresh);
    /* at most 32767 * 65535 + 16384, which is below 2^31 */
    return n + ((z * (state - n) + HALF) >> 15);
}

#if TINYDSN_MVE

/* z * (state - n), rounded, of four; its lower 16 bits are all that n needs to become the output. */
static inline int32x4_t moved(int32x4_t by_state, int32x4_t by_new)
{
    return vrshrq_n_s32(vsubq_s32(by_state, by_new), 15);
}

/* All elements, eight at a time. */
static void all(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t rows, int32_t hidden,
                int16_t multiplier, int16_t *output)
{
    for (; rows > 0; rows--) {
        for (int32_t i = 0; i < hidden; i += 8) {
            const mve_pred16_t live = vctp16q((uint32_t)(hidden - i));
            const int16_t *x = gx + i, *h = gh + i;
            const int16x8_t reset = vqaddq_s16(vldrhq_z_s16(x, live), vldrhq_z_s16(h, live));
            const int16x8_t r = tinydsn_sigmoid_eight(reset, multiplier);
            /* (2 * r * h + 2^15) >> 16; r is not negative, so that nothing saturates */
            const int16x8_t carried = vqrdmulhq_s16(r, vldrhq_z_s16(h + 2 * hidden, live));
            const int16x8_t fresh = vqaddq_s16(vldrhq_z_s16(x + 2 * hidden, live), carried);
            const int16x8_t n = tinydsn_tanh_eight(fresh, multiplier);
            const int16x8_t update = vqaddq_s16(vldrhq_z_s16(x + hidden, live), vldrhq_z_s16(h + hidden, live));
            const int16x8_t z = tinydsn_sigmoid_eight(update, multiplier);
            const int16x8_t old = vldrhq_z_s16(state + i, live);
            const int32x4_t even = moved(vmullbq_int_s16(z, old), vmullbq_int_s16(z, n));
            const int32x4_t odd = moved(vmulltq_int_s16(z, old), vmulltq_int_s16(z, n));
            vstrhq_p_s16(output + i, vaddq_s16(n, vmovntq_s32(vmovnbq_s32(old, even), odd)), live);
        }
        gx += 3 * hidden;
        gh += 3 * hidden;
        state += hidden;
        output += hidden;
    }
}

#else

/* The logistic function of the sums of two pairs. */
static inline uint32_t open(const int16_t *gx, const int16_t *gh, int16_t multiplier, uint32_t room)
{
    return tinydsn_sigmoid_pair(tinydsn_qadd16(tinydsn_load32(gx), tinydsn_load32(gh)), multiplier, room);
}

static inline uint32_t two(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t hidden,
                           int16_t multiplier, uint32_t room)
{
    const uint32_t r = open(gx, gh, multiplier, room), z = open(gx + hidden, gh + hidden, multiplier, room);
    const uint32_t factor = (uint32_t)multiplier, recurrent = tinydsn_load32(gh + 2 * hidden);
    const int32_t first = tinydsn_smlabb(r, recurrent, HALF), second = tinydsn_smlatt(r, recurrent, HALF);
    /* below 2^30 + 2^14 */
    const uint32_t carried = tinydsn_pair_q15(first, second);
    const uint32_t fresh = tinydsn_qadd16(tinydsn_load32(gx + 2 * hidden), carried);
    const int32_t n0 = tinydsn_tanh_high(tinydsn_saturate17(tinydsn_low(fresh) * multiplier)) >> 15;
    const int32_t n1 = tinydsn_tanh_high(tinydsn_saturate17(tinydsn_smultb(fresh, factor))) >> 15;
    const int32_t moved0 = tinydsn_mla(tinydsn_low(z), state[0] - n0, HALF);
    const int32_t moved1 = tinydsn_mla(tinydsn_high(z), state[1] - n1, HALF);
    return tinydsn_pair(n0 + (moved0 >> 15), n1 + (moved1 >> 15));
}

/* All pairs. */
static inline void pairs(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t rows,
                         int32_t hidden, int16_t multiplier, uint32_t room, int16_t *output)
{
    for (; rows > 0; rows--) {
        const int16_t *const end = gx + (hidden & ~1);
        while (gx < end) {
            tinydsn_store32(output, two(gx, gh, state, hidden, multiplier, room));
            gx += 2;
            gh += 2;
            state += 2;
            output += 2;
        }
        gx += 2 * hidden + (hidden & 1);
        gh += 2 * hidden + (hidden & 1);
        state += hidden & 1;
        output += hidden & 1;
    }
}

#endif

void tinydsn_gru_update_s16(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t rows,
                            int32_t hidden, int32_t multiplier, int16_t *output)
{
    int32_t begin = 0;
    if (multiplier <= TINYDSN_PAIRED) {
#if TINYDSN_MVE
        all(gx, gh, state, rows, hidden, (int16_t)multiplier, output);
        begin = hidden;
#else
        const uint32_t room = tinydsn_sigmoid_room(multiplier);
        if (room == 0) {
            pairs(gx, gh, state, rows, hidden, (int16_t)multiplier, 0, output);
        } else {
            pairs(gx, gh, state, rows, hidden, (int16_t)multiplier, room, output);
        }
        begin = hidden & ~1;
#endif
    }
    for (int32_t row = 0; begin < hidden && row < rows; row++) {
        for (int32_t i = begin; i < hidden; i++) {
            output[i] = (int16_t)one(gx + i, gh + i, state[i], hidden, multiplier);
        }
        gx += 3 * hidden;
        gh += 3 * hidden;
        state += hidden;
        output += hidden;
    }
}
