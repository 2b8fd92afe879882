/*
 * Fully connected, int16 activations and int8 weights (16x8), one scale a channel:
 *     output[r][n] = clamp(requantize(bias[n] + sum_k input[r][k] * weights[n][k]))
 *
 * Interleaved weights: blocks of two rows by two channels, else of one row by four channels, so that each
 * loaded word serves twice or more. MVE: four channels by eight columns.
 */
#include "tinydsn_kernels.h"

static inline int16_t finish(const tinydsn_matrix_s16 *matrix, int32_t channel, int32_t sum)
{
    int32_t high = (int32_t)(((int64_t)sum * matrix->multiplier[channel]) >> 32);
    int32_t scaled = ((high >> matrix->shift[channel]) + 1) >> 1;
    return (int16_t)tinydsn_clamp(scaled, matrix->activation_min, matrix->activation_max);
}

#if TINYDSN_INTERLEAVED

/* Two rows by two channels. */
TINYDSN_NOINLINE static void block_2x2(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t row_stride,
                      int32_t channel, int16_t *output)
{
    const int32_t columns = matrix->columns;
    const int16_t *x0 = input;
    const int16_t *x1 = input + row_stride;
    const int8_t *w0 = matrix->weights + channel * columns;
    const int8_t *w1 = w0 + columns;
    int32_t sum00 = matrix->bias[channel], sum10 = sum00;
    int32_t sum01 = matrix->bias[channel + 1], sum11 = sum01;

    for (int32_t fours = columns >> 2; fours > 0; fours--) {
        uint32_t word0 = tinydsn_load32(w0), word1 = tinydsn_load32(w1);
        uint32_t a0 = tinydsn_sxtb16(word0), a1 = tinydsn_sxtb16(word1);
        uint32_t b0 = tinydsn_sxtb16_ror8(word0), b1 = tinydsn_sxtb16_ror8(word1);
        uint32_t pair = tinydsn_load32(x0);
        sum00 = tinydsn_smlad(pair, a0, sum00);
        sum01 = tinydsn_smlad(pair, a1, sum01);
        pair = tinydsn_load32(x0 + 2);
        sum00 = tinydsn_smlad(pair, b0, sum00);
        sum01 = tinydsn_smlad(pair, b1, sum01);
        pair = tinydsn_load32(x1);
        sum10 = tinydsn_smlad(pair, a0, sum10);
        sum11 = tinydsn_smlad(pair, a1, sum11);
        pair = tinydsn_load32(x1 + 2);
        sum10 = tinydsn_smlad(pair, b0, sum10);
        sum11 = tinydsn_smlad(pair, b1, sum11);
        x0 += 4;
        x1 += 4;
        w0 += 4;
        w1 += 4;
    }
    for (int32_t k = columns & 3; k > 0; k--) {
        sum00 += *x0 * *w0;
        sum01 += *x0++ * *w1;
        sum10 += *x1 * *w0++;
        sum11 += *x1++ * *w1++;
    }
    output[channel] = finish(matrix, channel, sum00);
    output[channel + 1] = finish(matrix, channel + 1, sum01);
    output += matrix->channels;
    output[channel] = finish(matrix, channel, sum10);
    output[channel + 1] = finish(matrix, channel + 1, sum11);
}

/* One row by four channels. */
TINYDSN_NOINLINE static void block_1x4(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t channel,
                      int16_t *output)
{
    const int32_t columns = matrix->columns;
    const int8_t *w0 = matrix->weights + channel * columns;
    const int8_t *w1 = w0 + columns;
    const int8_t *w2 = w1 + columns;
    const int8_t *w3 = w2 + columns;
    int32_t sum0 = matrix->bias[channel];
    int32_t sum1 = matrix->bias[channel + 1];
    int32_t sum2 = matrix->bias[channel + 2];
    int32_t sum3 = matrix->bias[channel + 3];

    for (int32_t fours = columns >> 2; fours > 0; fours--) {
        uint32_t low = tinydsn_load32(input), high = tinydsn_load32(input + 2);
        uint32_t word = tinydsn_load32(w0);
        sum0 = tinydsn_smlad(low, tinydsn_sxtb16(word), sum0);
        sum0 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word), sum0);
        word = tinydsn_load32(w1);
        sum1 = tinydsn_smlad(low, tinydsn_sxtb16(word), sum1);
        sum1 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word), sum1);
        word = tinydsn_load32(w2);
        sum2 = tinydsn_smlad(low, tinydsn_sxtb16(word), sum2);
        sum2 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word), sum2);
        word = tinydsn_load32(w3);
        sum3 = tinydsn_smlad(low, tinydsn_sxtb16(word), sum3);
        sum3 = tinydsn_smlad(high, tinydsn_sxtb16_ror8(word), sum3);
        input += 4;
        w0 += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
    }
    for (int32_t k = columns & 3; k > 0; k--) {
        int32_t x = *input++;
        sum0 += x * *w0++;
        sum1 += x * *w1++;
        sum2 += x * *w2++;
        sum3 += x * *w3++;
    }
    output[channel] = finish(matrix, channel, sum0);
    output[channel + 1] = finish(matrix, channel + 1, sum1);
    output[channel + 2] = finish(matrix, channel + 2, sum2);
    output[channel + 3] = finish(matrix, channel + 3, sum3);
}

/* One row by one channel. */
TINYDSN_NOINLINE static void block_1x1(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t channel,
                      int16_t *output)
{
    const int8_t *w = matrix->weights + channel * matrix->columns;
    int32_t sum = matrix->bias[channel];
    for (int32_t fours = matrix->columns >> 2; fours > 0; fours--) {
        uint32_t word = tinydsn_load32(w);
        sum = tinydsn_smlad(tinydsn_load32(input), tinydsn_sxtb16(word), sum);
        sum = tinydsn_smlad(tinydsn_load32(input + 2), tinydsn_sxtb16_ror8(word), sum);
        input += 4;
        w += 4;
    }
    for (int32_t k = matrix->columns & 3; k > 0; k--) {
        sum += *input++ * *w++;
    }
    output[channel] = finish(matrix, channel, sum);
}

void tinydsn_fully_connected_s16(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                                 int32_t row_stride, int16_t *output)
{
    const int32_t channels = matrix->channels;
    for (; rows >= 2; rows -= 2) {
        int32_t channel = 0;
        for (; channel + 2 <= channels; channel += 2) {
            block_2x2(matrix, input, row_stride, channel, output);
        }
        if (channel < channels) {
            block_1x1(matrix, input, channel, output);
            block_1x1(matrix, input + row_stride, channel, output + channels);
        }
        input += 2 * row_stride;
        output += 2 * channels;
    }
    if (rows > 0) {
        int32_t channel = 0;
        for (; channel + 4 <= channels; channel += 4) {
            block_1x4(matrix, input, channel, output);
        }
        for (; channel < channels; channel++) {
            block_1x1(matrix, input, channel, output);
        }
    }
}

#elif TINYDSN_MVE

void tinydsn_fully_connected_s16(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                                 int32_t row_stride, int16_t *output)
{
    const int32_t columns = matrix->columns, channels = matrix->channels;
    for (int32_t row = 0; row < rows; row++) {
        int32_t channel = 0;
        for (; channel + 4 <= channels; channel += 4) {
            const int8_t *w = matrix->weights + channel * columns;
            int32_t sum0 = matrix->bias[channel];
            int32_t sum1 = matrix->bias[channel + 1];
            int32_t sum2 = matrix->bias[channel + 2];
            int32_t sum3 = matrix->bias[channel + 3];
            for (int32_t k = 0; k < columns; k += 8) {
                mve_pred16_t live = vctp16q((uint32_t)(columns - k));
                int16x8_t x = vldrhq_z_s16(input + k, live);
                sum0 = vmladavaq_s16(sum0, x, vldrbq_z_s16(w + k, live));
                sum1 = vmladavaq_s16(sum1, x, vldrbq_z_s16(w + columns + k, live));
                sum2 = vmladavaq_s16(sum2, x, vldrbq_z_s16(w + 2 * columns + k, live));
                sum3 = vmladavaq_s16(sum3, x, vldrbq_z_s16(w + 3 * columns + k, live));
            }
            output[channel] = finish(matrix, channel, sum0);
            output[channel + 1] = finish(matrix, channel + 1, sum1);
            output[channel + 2] = finish(matrix, channel + 2, sum2);
            output[channel + 3] = finish(matrix, channel + 3, sum3);
        }
        for (; channel < channels; channel++) {
            const int8_t *w = matrix->weights + channel * columns;
            int32_t sum = matrix->bias[channel];
            for (int32_t k = 0; k < columns; k += 8) {
                mve_pred16_t live = vctp16q((uint32_t)(columns - k));
                sum = vmladavaq_s16(sum, vldrhq_z_s16(input + k, live), vldrbq_z_s16(w + k, live));
            }
            output[channel] = finish(matrix, channel, sum);
        }
        input += row_stride;
        output += channels;
    }
}

#else

void tinydsn_fully_connected_s16(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                                 int32_t row_stride, int16_t *output)
{
    for (int32_t row = 0; row < rows; row++) {
        const int8_t *w = matrix->weights;
        for (int32_t channel = 0; channel < matrix->channels; channel++) {
            int32_t sum = matrix->bias[channel];
            for (int32_t k = 0; k < matrix->columns; k++) {
                sum += input[k] * *w++;
            }
            *output++ = finish(matrix, channel, sum);
        }
        input += row_stride;
    }
}

#endif
