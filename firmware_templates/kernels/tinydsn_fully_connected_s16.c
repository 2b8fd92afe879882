/*
 * Fully connected, int16 activations and int8 weights (16x8), one scale a channel:
 *     output[r][n] = clamp(requantize(bias[n] + sum_k input[r][k] * weights[n][k]))
 *
 * Interleaved weights: blocks of two rows by two channels, so that each loaded word serves twice. MVE: four
 * channels by eight columns.
 */
#include "tinydsn_kernels.h"

/* What all channels of a matrix have in common, in registers. */
typedef struct {
    int32_t rounded;
    int32_t relu; /* all ones to cut off negative results, or 0 */
} finishing;

/* scale: bias, multiplier and shift of the channel. */
static inline int16_t finish(const int32_t *scale, int32_t sum, finishing how)
{
    int32_t result;
    if (how.rounded) {
        result = tinydsn_saturate16(tinydsn_smmulr(sum, scale[1]));
    } else {
        const int32_t high = (int32_t)(((int64_t)sum * scale[1]) >> 32);
        result = tinydsn_saturate16(((high >> scale[2]) + 1) >> 1);
    }
    return (int16_t)(result & ~(how.relu & (result >> 31)));
}

#if TINYDSN_INTERLEAVED

#include "tinydsn_dot_s16.h"

/* The last one to three columns of a row as two pairs, filled with zeros. */
static inline void load_rest(const int16_t *x, int32_t rest, int16_t four[4])
{
    four[0] = x[0];
    four[1] = rest > 1 ? x[1] : 0;
    four[2] = rest > 2 ? x[2] : 0;
    four[3] = 0;
}

static inline void two_rows(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t row_stride,
                            finishing how, int16_t *output)
{
    const int32_t fours = matrix->columns >> 2, rest = matrix->columns & 3, channels = matrix->channels;
    const int8_t *weights = matrix->weights;
    const int32_t *scale = matrix->scales;
    const int32_t *const end = scale + 3 * (channels & ~1);
    for (; scale < end; scale += 6) {
        const int16_t *row0 = input, *row1 = input + row_stride;
        int32_t sums[2][2] = {{scale[0], scale[3]}, {scale[0], scale[3]}};
        if (fours > 0) {
            tinydsn_dot_2x2(fours, &row0, &row1, &weights, sums);
        }
        if (rest > 0) {
            int16_t last0[4], last1[4];
            const int16_t *x0 = last0, *x1 = last1;
            load_rest(row0, rest, last0);
            load_rest(row1, rest, last1);
            tinydsn_dot_2x2(1, &x0, &x1, &weights, sums);
        }
        output[0] = finish(scale, sums[0][0], how);
        output[1] = finish(scale + 3, sums[0][1], how);
        output[channels] = finish(scale, sums[1][0], how);
        output[channels + 1] = finish(scale + 3, sums[1][1], how);
        output += 2;
    }
    if (channels & 1) {
        for (int32_t row = 0; row < 2; row++) {
            const int16_t *x = input + row * row_stride;
            const int8_t *w = weights;
            int16_t last[4];
            int32_t sum = tinydsn_dot_1x1(fours, &x, &w, scale[0]);
            if (rest > 0) {
                load_rest(x, rest, last);
                x = last;
                sum = tinydsn_dot_1x1(1, &x, &w, sum);
            }
            output[row * channels] = finish(scale, sum, how);
        }
    }
}

static inline void one_row(const tinydsn_matrix_s16 *matrix, const int16_t *input, finishing how,
                           int16_t *output)
{
    const int32_t fours = matrix->columns >> 2, rest = matrix->columns & 3, channels = matrix->channels;
    const int8_t *weights = matrix->weights;
    const int32_t *scale = matrix->scales;
    const int32_t *const end = scale + 3 * (channels & ~1);
    int16_t last[4];
    if (rest > 0) {
        load_rest(input + 4 * fours, rest, last);
    }
    for (; scale < end; scale += 6) {
        const int16_t *x = input;
        int32_t sums[2] = {scale[0], scale[3]};
        tinydsn_dot_1x2(fours, &x, &weights, sums);
        if (rest > 0) {
            x = last;
            tinydsn_dot_1x2(1, &x, &weights, sums);
        }
        *output++ = finish(scale, sums[0], how);
        *output++ = finish(scale + 3, sums[1], how);
    }
    if (channels & 1) {
        const int16_t *x = input;
        int32_t sum = tinydsn_dot_1x1(fours, &x, &weights, scale[0]);
        if (rest > 0) {
            x = last;
            sum = tinydsn_dot_1x1(1, &x, &weights, sum);
        }
        *output = finish(scale, sum, how);
    }
}

static inline void multiply(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                     int32_t row_stride, finishing how, int16_t *output)
{
    for (; rows >= 2; rows -= 2) {
        two_rows(matrix, input, row_stride, how, output);
        input += 2 * row_stride;
        output += 2 * matrix->channels;
    }
    if (rows > 0) {
        one_row(matrix, input, how, output);
    }
}

#elif TINYDSN_MVE

/* Four sums at once, as `finish`; scale: of the first of four channels. */
static inline void finish_four(const int32_t *scale, const int32_t sums[4], finishing how, int16_t *output)
{
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), 12);
    const int32x4_t multipliers = vldrwq_gather_offset_s32(scale + 1, places);
    int32x4_t result;
    if (how.rounded) {
        result = vrmulhq_s32(vldrwq_s32(sums), multipliers);
    } else {
        const int32x4_t shifts = vldrwq_gather_offset_s32(scale + 2, places);
        result = vshlq_s32(vmulhq_s32(vldrwq_s32(sums), multipliers), vnegq_s32(shifts));
        result = vshrq_n_s32(vaddq_n_s32(result, 1), 1);
    }
    result = vmaxq_s32(result, vdupq_n_s32(how.relu ? 0 : INT16_MIN));
    result = vminq_s32(result, vdupq_n_s32(INT16_MAX));
    vstrhq_s32(output, result);
}

/* One row by four channels. */
static inline void four_sums(const int16_t *x, const int8_t *w, int32_t columns, const int32_t *scale,
                             int32_t sums[4])
{
    int32_t sum0 = scale[0], sum1 = scale[3], sum2 = scale[6], sum3 = scale[9];
    int32_t left = columns;
    for (; left >= 8; left -= 8) {
        const int16x8_t eight = vldrhq_s16(x);
        sum0 = vmladavaq_s16(sum0, eight, vldrbq_s16(w));
        sum1 = vmladavaq_s16(sum1, eight, vldrbq_s16(w + columns));
        sum2 = vmladavaq_s16(sum2, eight, vldrbq_s16(w + 2 * columns));
        sum3 = vmladavaq_s16(sum3, eight, vldrbq_s16(w + 3 * columns));
        x += 8;
        w += 8;
    }
    if (left > 0) {
        const mve_pred16_t live = vctp16q((uint32_t)left);
        const int16x8_t rest = vldrhq_z_s16(x, live);
        sum0 = vmladavaq_s16(sum0, rest, vldrbq_z_s16(w, live));
        sum1 = vmladavaq_s16(sum1, rest, vldrbq_z_s16(w + columns, live));
        sum2 = vmladavaq_s16(sum2, rest, vldrbq_z_s16(w + 2 * columns, live));
        sum3 = vmladavaq_s16(sum3, rest, vldrbq_z_s16(w + 3 * columns, live));
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static inline void multiply(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                     int32_t row_stride, finishing how, int16_t *output)
{
    const int32_t columns = matrix->columns;
    const int32_t *const end = matrix->scales + 3 * matrix->channels;
    for (int32_t row = 0; row < rows; row++) {
        const int8_t *w = matrix->weights;
        const int32_t *scale = matrix->scales;
        for (; scale + 12 <= end; scale += 12) {
            int32_t sums[4];
            four_sums(input, w, columns, scale, sums);
            finish_four(scale, sums, how, output);
            output += 4;
            w += 4 * columns;
        }
        for (; scale < end; scale += 3) {
            int32_t sum = scale[0];
            for (int32_t k = 0; k < columns; k += 8) {
                const mve_pred16_t live = vctp16q((uint32_t)(columns - k));
                sum = vmladavaq_s16(sum, vldrhq_z_s16(input + k, live), vldrbq_z_s16(w + k, live));
            }
            *output++ = finish(scale, sum, how);
            w += columns;
        }
        input += row_stride;
    }
}

#else

static inline void multiply(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                     int32_t row_stride, finishing how, int16_t *output)
{
    for (int32_t row = 0; row < rows; row++) {
        const int8_t *w = matrix->weights;
        for (int32_t channel = 0; channel < matrix->channels; channel++) {
            const int32_t *scale = matrix->scales + 3 * channel;
            int32_t sum = scale[0];
            for (int32_t k = 0; k < matrix->columns; k++) {
                sum += input[k] * *w++;
            }
            *output++ = finish(scale, sum, how);
        }
        input += row_stride;
    }
}

#endif

void tinydsn_fully_connected_s16(const tinydsn_matrix_s16 *matrix, const int16_t *input, int32_t rows,
                                 int32_t row_stride, int16_t *output)
{
    const int32_t relu = matrix->activation_min == 0 ? -1 : 0;
    if (matrix->rounded) {
        multiply(matrix, input, rows, row_stride, (finishing){.rounded = 1, .relu = relu}, output);
    } else {
        multiply(matrix, input, rows, row_stride, (finishing){.rounded = 0, .relu = relu}, output);
    }
    if (matrix->activation_max < INT16_MAX) {
        const int32_t size = rows * matrix->channels;
        tinydsn_clamp_s16(output, size, matrix->activation_min, matrix->activation_max, output);
    }
}
