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

#if TINYDSN_DSP && defined(__OPTIMIZE__)

/* A place in the table of the logistic function becomes its value: tinydsn_segment_away. */
#define SEGMENT(place, rounding, u, v)                                                                       \
    "asr     %[" u "], %[" place "], #15\n\t"                                                                \
    "pkhbt   %[" v "], %[base], %[" place "], lsl #16\n\t"                                                   \
    "ldr     %[" u "], [%[middle], %[" u "], lsl #2]\n\t"                                                    \
    "add     %[" place "], %[" rounding "], %[" place "], asr #31\n\t"                                       \
    "smlad   %[" place "], %[" u "], %[" v "], %[" place "]\n\t"

/* The logistic function of a pair; three scratch registers. */
#define OPEN(pair, limit, second, u, v)                                                                      \
    limit                                                                                                    \
    "smultb  %[" second "], %[" pair "], %[factors]\n\t"                                                     \
    "smulbb  %[" pair "], %[" pair "], %[factors]\n\t"                                                       \
    SEGMENT(pair, "base", u, v)                                                                              \
    SEGMENT(second, "base", u, v)                                                                            \
    "pkhtb   %[" pair "], %[" second "], %[" pair "], asr #16\n\t"

/* tinydsn_limit16. */
#define LIMIT(pair, u)                                                                                       \
    "ldr     %[" u "], %[room]\n\t"                                                                          \
    "qadd16  %[" pair "], %[" pair "], %[" u "]\n\t"                                                         \
    "qsub16  %[" pair "], %[" pair "], %[" u "]\n\t"                                                         \
    "qsub16  %[" pair "], %[" pair "], %[" u "]\n\t"                                                         \
    "qadd16  %[" pair "], %[" pair "], %[" u "]\n\t"

/* The pairs of a row, as `two` below computes them; a is minus n when z is computed. */
#define ROW_OF_PAIRS(name, limit_a, limit_b)                                                                 \
    static void name(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t hidden,             \
                     uint32_t factors, uint32_t room, int16_t *output)                                       \
    {                                                                                                        \
        const int16_t *const end = gx + (hidden & ~1);                                                       \
        int32_t a, b, c, d, e;                                                                               \
        __asm volatile(                                                                                      \
            "1:\n\t"                                                                                         \
            "ldr     %[a], [%[gh]]\n\t"                                                                      \
            "ldr     %[b], [%[gx]]\n\t"                                                                      \
            "qadd16  %[a], %[a], %[b]\n\t"                                                                   \
            OPEN("a", limit_a, "b", "c", "d")                                                                \
            "ldr     %[b], [%[gh], %[gate], lsl #1]\n\t"                                                     \
            "smlabb  %[c], %[a], %[b], %[half]\n\t"                                                          \
            "smlatt  %[a], %[a], %[b], %[half]\n\t"                                                          \
            "ldr     %[b], [%[gx], %[gate], lsl #1]\n\t"                                                     \
            "lsls    %[a], %[a], #1\n\t"                                                                     \
            "pkhtb   %[a], %[a], %[c], asr #15\n\t"                                                          \
            "qadd16  %[a], %[a], %[b]\n\t"                                                                   \
            "smultt  %[b], %[a], %[factors]\n\t"                                                             \
            "smulbt  %[a], %[a], %[factors]\n\t"                                                             \
            "ssat    %[b], #24, %[b]\n\t"                                                                    \
            "ssat    %[a], #24, %[a]\n\t"                                                                    \
            SEGMENT("a", "half", "c", "d")                                                                   \
            SEGMENT("b", "half", "c", "d")                                                                   \
            "lsls    %[b], %[b], #1\n\t"                                                                     \
            "pkhtb   %[a], %[b], %[a], asr #15\n\t"                                                          \
            "ldr     %[b], [%[gh], %[gate]]\n\t"                                                             \
            "ldr     %[c], [%[gx], %[gate]]\n\t"                                                             \
            "qadd16  %[b], %[b], %[c]\n\t"                                                                   \
            OPEN("b", limit_b, "c", "d", "e")                                                                \
            "ldr     %[c], [%[state]], #4\n\t"                                                               \
            "smlabb  %[d], %[b], %[c], %[half]\n\t"                                                          \
            "smlatt  %[e], %[b], %[c], %[half]\n\t"                                                          \
            "smlabb  %[d], %[b], %[a], %[d]\n\t"                                                             \
            "smlatt  %[e], %[b], %[a], %[e]\n\t"                                                             \
            "lsls    %[e], %[e], #1\n\t"                                                                     \
            "pkhtb   %[d], %[e], %[d], asr #15\n\t"                                                          \
            "ssub16  %[d], %[d], %[a]\n\t"                                                                   \
            "ldr     %[e], %[end]\n\t"                                                                       \
            "str     %[d], [%[output]], #4\n\t"                                                              \
            "adds    %[gx], #4\n\t"                                                                          \
            "adds    %[gh], #4\n\t"                                                                          \
            "cmp     %[gx], %[e]\n\t"                                                                        \
            "bne     1b\n\t"                                                                                 \
            : [gx] "+r"(gx), [gh] "+r"(gh), [state] "+r"(state), [output] "+r"(output), [a] "=&r"(a),        \
              [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e)                                         \
            : [middle] "r"(TINYDSN_SIGMOID_MIDDLE), [base] "r"(TINYDSN_SIGMOID_ROUNDING),                    \
              [half] "r"(TINYDSN_TANH_ROUNDING), [factors] "r"(factors), [gate] "r"(2 * hidden),             \
              [end] "m"(end), [room] "m"(room)                                                               \
            : "cc", "memory");                                                                               \
    }

ROW_OF_PAIRS(tinydsn_gru_update_pairs, "", "")
ROW_OF_PAIRS(tinydsn_gru_update_limited, LIMIT("a", "b"), LIMIT("b", "c"))

#else

/* Two elements. */
static inline uint32_t two(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t hidden,
                           uint32_t factors, uint32_t room)
{
    const uint32_t reset = tinydsn_qadd16(tinydsn_load32(gx), tinydsn_load32(gh));
    const uint32_t r = tinydsn_sigmoid_pair(reset, factors, room);
    const uint32_t recurrent = tinydsn_load32(gh + 2 * hidden);
    /* below 2^30 + 2^14 */
    const uint32_t carried = tinydsn_pair_q15(tinydsn_smlabb(r, recurrent, HALF), tinydsn_smlatt(r, recurrent, HALF));
    const uint32_t fresh = tinydsn_qadd16(tinydsn_load32(gx + 2 * hidden), carried);
    const uint32_t minus = tinydsn_minus_tanh_pair(fresh, factors);
    const uint32_t update = tinydsn_qadd16(tinydsn_load32(gx + hidden), tinydsn_load32(gh + hidden));
    const uint32_t z = tinydsn_sigmoid_pair(update, factors, room), old = tinydsn_load32(state);
    const int32_t first = tinydsn_smlabb(z, minus, tinydsn_smlabb(z, old, HALF));
    const int32_t second = tinydsn_smlatt(z, minus, tinydsn_smlatt(z, old, HALF));
    /* what moves may have 17 bits, of which the sum with n, which fits, needs 16 */
    return tinydsn_ssub16(tinydsn_pair_q15(first, second), minus);
}

static void tinydsn_gru_update_limited(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t hidden,
                                 uint32_t factors, uint32_t room, int16_t *output)
{
    for (int32_t i = 0; i < (hidden & ~1); i += 2) {
        tinydsn_store32(output + i, two(gx + i, gh + i, state + i, hidden, factors, room));
    }
}

#define tinydsn_gru_update_pairs tinydsn_gru_update_limited

#endif

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
        const uint32_t factors = tinydsn_pair_factors(multiplier), room = tinydsn_sigmoid_room(multiplier);
        for (int32_t row = 0; hidden > 1 && row < rows; row++) {
            const int32_t from = row * hidden;
            const int16_t *const x = gx + 3 * from, *const h = gh + 3 * from;
            if (room == 0) {
                tinydsn_gru_update_pairs(x, h, state + from, hidden, factors, room, output + from);
            } else {
                tinydsn_gru_update_limited(x, h, state + from, hidden, factors, room, output + from);
            }
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
