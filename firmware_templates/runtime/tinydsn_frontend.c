/* The fixed-point audio front end; see tinydsn_frontend.h.
 *
 * Block floating point: a frame is shifted up by its common headroom before the FFT, and its masked
 * spectrum again before the inverse FFT, so that quiet speech keeps the precision of loud speech.
 * Signed left shifts are written as products, because C leaves shifts of negative numbers undefined.
 */
#include "tinydsn_frontend.h"

#include <string.h>

#include "arm_const_structs.h"

#if defined(ARM_MATH_MVEI) || defined(ARM_MATH_NEON)
#error "CMSIS-DSP's vector FFT rounds differently: compile it and this file with -DARM_MATH_AUTOVECTORIZE"
#endif

#define WINDOW TINYDSN_FRONTEND_WINDOW
#define HOP TINYDSN_FRONTEND_HOP
#define LATENCY TINYDSN_FRONTEND_LATENCY
#define BINS TINYDSN_FRONTEND_BINS
#define LINES (WINDOW / 2) /* points of the complex FFT; spectrum lines but for Nyquist */

#define FRAME_BITS 30 /* the normalised frame has magnitudes up to 2^30: one guard bit for the FFT */
#define MASK_SHIFT 17 /* Q31 * Q15 goes back to Q31 with two guard bits */
#define MASKED_BITS 29 /* masked lines are shifted up to magnitudes below 2^29 */
#define ACCUMULATOR_BITS 8

/* The memory planner and the Python side know these sizes. */
typedef char state_size_is_as_planned[sizeof(tinydsn_frontend_t) == TINYDSN_FRONTEND_STATE_BYTES ? 1 : -1];

typedef struct {
    int32_t re;
    int32_t im;
} complex_t;

static int32_t bit_length(uint32_t value)
{
    return value == 0 ? 0 : 32 - __builtin_clz(value);
}

/* The bits that differ from the sign: OR them over a block to find its headroom. */
static uint32_t magnitude_bits(int32_t value)
{
    return (uint32_t)(value ^ (value >> 31));
}

static int32_t multiply_q31(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* Twice a Q62 value back to Q31, rounded. */
static int32_t high(int64_t doubled)
{
    return (int32_t)((doubled + ((int64_t)1 << 31)) >> 32);
}

static int64_t to_q62(int32_t value)
{
    return (int64_t)value * ((int64_t)1 << 31);
}

/* Fill frame with history and hop, normalised and windowed; return the headroom. */
static int32_t load_frame(const tinydsn_frontend_t *state, const int16_t *in, int32_t *frame)
{
    uint32_t bits = 0;
    for (int32_t n = 0; n < LATENCY; n++) {
        frame[n] = state->history[n];
        bits |= magnitude_bits(frame[n]);
    }
    for (int32_t n = 0; n < HOP; n++) {
        frame[LATENCY + n] = in[n];
        bits |= magnitude_bits(frame[LATENCY + n]);
    }
    const int32_t headroom = 15 - bit_length(bits);
    const int32_t scale = (int32_t)1 << (FRAME_BITS - 15 + headroom);
    frame[0] = 0; /* the window's only zero */
    frame[LINES] = multiply_q31(frame[LINES] * scale, tinydsn_frontend_sine[LINES]);
    for (int32_t n = 1; n < LINES; n++) {
        const int32_t weight = tinydsn_frontend_sine[n];
        frame[n] = multiply_q31(frame[n] * scale, weight);
        frame[WINDOW - n] = multiply_q31(frame[WINDOW - n] * scale, weight);
    }
    return headroom;
}

/* Spectrum of the real frame from the FFT of its even and odd samples; lines k and LINES - k are made
 * from the same two points. */
static void split(int32_t *spectrum)
{
    complex_t *line = (complex_t *)spectrum;
    const complex_t zero = line[0];
    line[0].re = zero.re + zero.im;
    line[0].im = zero.re - zero.im;
    line[LINES / 2].im = -line[LINES / 2].im;
    for (int32_t k = 1; k < LINES / 2; k++) {
        const complex_t a = line[k];
        const complex_t b = line[LINES - k];
        const int32_t cosine = tinydsn_frontend_sine[LINES - 2 * k];
        const int32_t sine = tinydsn_frontend_sine[2 * k];
        const int64_t even_re = to_q62(a.re + b.re);
        const int64_t even_im = to_q62(a.im - b.im);
        const int32_t odd_re = a.im + b.im;
        const int32_t odd_im = b.re - a.re;
        const int64_t turned_re = (int64_t)odd_re * cosine + (int64_t)odd_im * sine;
        const int64_t turned_im = (int64_t)odd_im * cosine - (int64_t)odd_re * sine;
        line[k].re = high(even_re + turned_re);
        line[k].im = high(even_im + turned_im);
        line[LINES - k].re = high(even_re - turned_re);
        line[LINES - k].im = high(turned_im - even_im);
    }
}

/* The inverse of split, of a spectrum that is first multiplied by scale. */
static void join(int32_t *spectrum, int32_t scale)
{
    complex_t *line = (complex_t *)spectrum;
    const complex_t zero = {line[0].re * scale, line[0].im * scale};
    line[0].re = (zero.re + zero.im + 1) >> 1;
    line[0].im = (zero.re - zero.im + 1) >> 1;
    line[LINES / 2].re *= scale;
    line[LINES / 2].im *= -scale;
    for (int32_t k = 1; k < LINES / 2; k++) {
        const complex_t a = {line[k].re * scale, line[k].im * scale};
        const complex_t b = {line[LINES - k].re * scale, line[LINES - k].im * scale};
        const int32_t cosine = tinydsn_frontend_sine[LINES - 2 * k];
        const int32_t sine = tinydsn_frontend_sine[2 * k];
        const int64_t even_re = to_q62(a.re + b.re);
        const int64_t even_im = to_q62(a.im - b.im);
        const int32_t turned_re = a.re - b.re;
        const int32_t turned_im = a.im + b.im;
        const int64_t odd_re = (int64_t)turned_re * cosine - (int64_t)turned_im * sine;
        const int64_t odd_im = (int64_t)turned_im * cosine + (int64_t)turned_re * sine;
        line[k].re = high(even_re - odd_im);
        line[k].im = high(even_im + odd_re);
        line[LINES - k].re = high(even_re + odd_im);
        line[LINES - k].im = high(odd_re - even_im);
    }
}

/* Base-2 logarithm of a power above 0, Q20: seven bits below the leading one choose a segment of the
 * table, the next sixteen interpolate. */
static int32_t log2_q20(uint64_t power)
{
    const uint32_t upper = (uint32_t)(power >> 32);
    const int32_t bits = upper != 0 ? 32 + bit_length(upper) : bit_length((uint32_t)power);
    const uint32_t mantissa = (uint32_t)((power << (64 - bits)) >> 32);
    const int32_t *entry = &tinydsn_frontend_log2[(mantissa >> 24) & 127];
    const int32_t step = ((entry[1] - entry[0]) * (int32_t)((mantissa >> 8) & 0xFFFF)) >> 16;
    return ((bits - 1) << 20) + entry[0] + step;
}

/* Two to a Q20 exponent, rounded to a whole number and saturated. */
static int16_t exp2_q20(int32_t exponent)
{
    const int32_t whole = exponent >> 20;
    if (whole < -1) {
        return 0;
    }
    if (whole > 14) {
        return INT16_MAX;
    }
    const int32_t *entry = &tinydsn_frontend_exp2[(exponent >> 13) & 127];
    const int32_t value = entry[0] + (((entry[1] - entry[0]) * (exponent & 0x1FFF)) >> 13);
    const int32_t shift = 24 - whole;
    const int32_t rounded = (value + ((int32_t)1 << (shift - 1))) >> shift;
    return rounded > INT16_MAX ? INT16_MAX : (int16_t)rounded;
}

/* log_scale: Q20, log2 of the square of the spectrum's scale. */
static int16_t feature(int32_t re, int32_t im, int32_t log_scale)
{
    const uint64_t power = (uint64_t)((int64_t)re * re) + (uint64_t)((int64_t)im * im);
    if (power == 0) {
        return 0;
    }
    const int32_t log_amplitude =
        multiply_q31(log2_q20(power) - log_scale, TINYDSN_FRONTEND_HALF_COMPRESSION);
    return exp2_q20(log_amplitude + TINYDSN_FRONTEND_FEATURE_OFFSET);
}

static int32_t masked_line(int32_t value, int16_t gain)
{
    return (int32_t)(((int64_t)value * gain + (1 << (MASK_SHIFT - 1))) >> MASK_SHIFT);
}

/* Multiply the lines by the mask; return the OR of their magnitudes. */
static uint32_t apply_mask(const int16_t *mask, int32_t *spectrum)
{
#if BINS > LINES
    const int32_t nyquist = masked_line(spectrum[1], mask[LINES]);
#else
    const int32_t nyquist = 0;
#endif
    uint32_t bits = 0;
    for (int32_t k = 0; k < LINES; k++) {
        spectrum[2 * k] = masked_line(spectrum[2 * k], mask[k]);
        spectrum[2 * k + 1] = k == 0 ? nyquist : masked_line(spectrum[2 * k + 1], mask[k]);
        bits |= magnitude_bits(spectrum[2 * k]) | magnitude_bits(spectrum[2 * k + 1]);
    }
    return bits;
}

/* Window the samples and bring them to the accumulator's format. */
static void window_samples(int32_t *samples, int32_t shift)
{
    const int64_t half = (int64_t)1 << (shift - 1);
    samples[0] = 0;
    samples[LINES] = (int32_t)(((int64_t)samples[LINES] * tinydsn_frontend_sine[LINES] + half) >> shift);
    for (int32_t n = 1; n < LINES; n++) {
        const int64_t weight = tinydsn_frontend_sine[n];
        samples[n] = (int32_t)((samples[n] * weight + half) >> shift);
        samples[WINDOW - n] = (int32_t)((samples[WINDOW - n] * weight + half) >> shift);
    }
}

static int16_t saturate(int32_t value)
{
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

void tinydsn_frontend_reset(tinydsn_frontend_t *state)
{
    memset(state, 0, sizeof(*state));
}

void tinydsn_frontend_analysis(tinydsn_frontend_t *state, const int16_t *in, int16_t *features,
                               int32_t *spectrum)
{
    state->headroom = load_frame(state, in, spectrum);
    memmove(state->history, state->history + HOP, (LATENCY - HOP) * sizeof(int16_t));
    memcpy(state->history + LATENCY - HOP, in, HOP * sizeof(int16_t));
    arm_cfft_q31(&TINYDSN_FRONTEND_FFT, spectrum, 0, 1);
    split(spectrum);
    const int32_t log_scale = 2 * (FRAME_BITS + state->headroom - TINYDSN_FRONTEND_FFT_BITS) * (1 << 20);
    features[0] = feature(spectrum[0], 0, log_scale);
    for (int32_t k = 1; k < LINES; k++) {
        features[k] = feature(spectrum[2 * k], spectrum[2 * k + 1], log_scale);
    }
#if BINS > LINES
    features[LINES] = feature(spectrum[1], 0, log_scale);
#endif
}

void tinydsn_frontend_synthesis(tinydsn_frontend_t *state, const int16_t *mask, int16_t *out,
                                int32_t *spectrum)
{
    const int32_t free_bits = MASKED_BITS - bit_length(apply_mask(mask, spectrum));
    /* More than 26 bits in all would only shift what the output's rounding drops anyway. */
    const int32_t up = free_bits < 26 - state->headroom ? free_bits : 26 - state->headroom;
    join(spectrum, (int32_t)1 << up);
    arm_cfft_q31(&TINYDSN_FRONTEND_FFT, spectrum, 1, 1);
    window_samples(spectrum, TINYDSN_FRONTEND_SYNTHESIS_SHIFT + state->headroom + up);
    for (int32_t n = 0; n < HOP; n++) {
        const int32_t total = state->overlap[n] + spectrum[n];
        out[n] = saturate((total + (1 << (ACCUMULATOR_BITS - 1))) >> ACCUMULATOR_BITS);
    }
    for (int32_t n = HOP; n < LATENCY; n++) {
        state->overlap[n - HOP] = state->overlap[n] + spectrum[n];
    }
    memcpy(state->overlap + LATENCY - HOP, spectrum + LATENCY, HOP * sizeof(int32_t));
}
