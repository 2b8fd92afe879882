/*
 * tinydsn_kernels.h: the integer kernels of tinydsn.
 *
 * They complement CMSIS-NN: what it lacks, and what it does slowly. Every function equals, bit for bit, the
 * integer meaning of its operator in quant/ops. Activations are row-major; right shifts of negative
 * numbers are arithmetic.
 */
#ifndef TINYDSN_KERNELS_H
#define TINYDSN_KERNELS_H

#include "tinydsn_port.h"

/*
 * A matrix of constant weights with per-channel scale; the function says which widths it is for.
 *
 * The generator has proven that no int32 sum of bias and products can overflow. int16: the result of channel
 * n, before it is clamped to the activation range, is the upper half of sum * multiplier; where `rounded`, that
 * half is rounded and final (all shifts are 0), else it is ((half >> shift) + 1) >> 1. int8: twice the sum fits
 * 32 bits as well; TFLite's double rounding with a right shift of shift + 1. The input's zero point is part of
 * the bias.
 *
 * Weights and scales are laid out for the core (tinydsn/codegen/layouts.py): see tinydsn_dot_s16.h where
 * TINYDSN_INTERLEAVED, tinydsn_rows_mve.h for MVE, tinydsn_rows_c.h elsewhere.
 */
typedef struct {
    int32_t columns;        /* inputs of a row (K) */
    int32_t channels;       /* outputs of a row (N) */
    int32_t activation_min; /* int16: 0 or INT16_MIN */
    int32_t activation_max;
    int32_t rounded;        /* int16 with 8-bit weights only */
    int32_t output_offset;  /* int8 only: the output's zero point */
    const int8_t *weights;
    const int32_t *scales;  /* bias, multiplier, shift of each channel; _s16_s4: two words (tinydsn_finish.h) */
} tinydsn_matrix;

/*
 * The leading rows and columns of a matrix of `channels` channels. skip: bytes from the end of the columns of a pair
 * of channels (not TINYDSN_INTERLEAVED: of one) to the next.
 */
typedef struct {
    tinydsn_matrix matrix;
    int32_t channels;
    int32_t skip;
} tinydsn_cut;

/*
 * The same with 64-bit sums and any scale: ((sum * multiplier[n]) >> (14 - shift[n]) + 1) >> 1 with the Q15
 * multiplier of CMSIS-NN's REDUCE_MULTIPLIER. Weights are in natural order.
 */
typedef struct {
    int32_t columns;
    int32_t channels;
    int32_t activation_min;
    int32_t activation_max;
    const int8_t *weights;
    const int64_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
} tinydsn_wide_matrix_s16;

/* A convolution's window over an image [height][width][channels]. */
typedef struct {
    int32_t height, width, channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t dilation_height, dilation_width;
    int32_t pad_top, pad_left;
    int32_t out_height, out_width;
} tinydsn_window;

/*
 * Input [rows][columns], the start of a row `row_stride` elements after the last; output [rows][channels].
 * scratch, where TINYDSN_INTERLEAVED: two rows of int16, columns rounded up to a multiple of 4 (of 8 for 4-bit
 * weights); with 8-bit weights and four rows or more, four of them. Up to three rows of int16 of such a multiple
 * need none.
 */
void tinydsn_fully_connected_s16(const tinydsn_matrix *matrix, const int16_t *input, int32_t rows,
                                 int32_t row_stride, int16_t *scratch, int16_t *output);
void tinydsn_fully_connected_s8(const tinydsn_matrix *matrix, const int8_t *input, int32_t rows,
                                int32_t row_stride, int16_t *scratch, int8_t *output);
void tinydsn_fully_connected_s16_cut(const tinydsn_cut *cut, const int16_t *input, int32_t rows,
                                     int32_t row_stride, int16_t *scratch, int16_t *output);
void tinydsn_fully_connected_s8_cut(const tinydsn_cut *cut, const int8_t *input, int32_t rows,
                                    int32_t row_stride, int16_t *scratch, int8_t *output);
void tinydsn_fully_connected_s16_s4(const tinydsn_matrix *matrix, const int16_t *input, int32_t rows,
                                    int32_t row_stride, int16_t *scratch, int16_t *output);
void tinydsn_fully_connected_s8_s4(const tinydsn_matrix *matrix, const int8_t *input, int32_t rows,
                                   int32_t row_stride, int16_t *scratch, int8_t *output);

/*
 * Output [out_height][out_width][matrix->channels]. matrix->columns is the size of the window, with int16 and
 * where TINYDSN_INTERLEAVED rounded up to a multiple of 4 (with zero weights). Padding is zero, or with int8 the
 * input's zero point. scratch: 2 * columns elements, columns rounded up to a multiple of 4; where
 * TINYDSN_INTERLEAVED twice as much with int16, six times with int8.
 */
void tinydsn_convolve_s16(const tinydsn_matrix *matrix, const tinydsn_window *window, const int16_t *input,
                          void *scratch, int16_t *output);
void tinydsn_convolve_s8(const tinydsn_matrix *matrix, const tinydsn_window *window, int8_t padding,
                         const int8_t *input, void *scratch, int8_t *output);

/* As tinydsn_convolve_s16 for matrices without the int32 proof; slow, needs no scratch. */
void tinydsn_convolve_s16_wide(const tinydsn_wide_matrix_s16 *matrix, const tinydsn_window *window,
                               const int16_t *input, int16_t *output);

/*
 * Depthwise convolution, one filter a channel; matrix->columns are the taps of the window. Padding is zero, or with
 * int8 the input's zero point, of which input_offset is the negative.
 */
void tinydsn_depthwise_s16(const tinydsn_matrix *matrix, const tinydsn_window *window, const int16_t *input,
                           int16_t *output);
void tinydsn_depthwise_s8(const tinydsn_matrix *matrix, const tinydsn_window *window, int32_t input_offset,
                          const int8_t *input, int8_t *output);

/*
 * A convolution to bits, N = channels of them, of bits or numbers with C = window->channels channels. Bits: 32
 * channels to a word, channel c in bit c % 32 of word c / 32, those beyond the last 0. Weights: [N / 16, rounded
 * up][taps][C][16]; for numbers where TINYDSN_INTERLEAVED two columns at a time, [N / 16, rounded up][taps * C / 2,
 * rounded up][8][2][2]: of two channels the even column of both, then the odd one. A bit is set where starts[n] +
 * sum is not negative, starts being -1 less the threshold; beyond the last channel they are -1 and weights zero. No
 * such sum can overflow.
 */
#define TINYDSN_BINARY_BLOCK 16
typedef struct {
    int32_t channels;
    int32_t input_offset;  /* int8 only: minus the zero point, which is what padding is */
    const int8_t *weights;
    const int32_t *starts; /* whole blocks of 16; NULL with lanes */
    const int16_t *lanes;  /* bits only: the same, where all sums of any set of bits fit int16; by fours in the order
                            * 0 2 1 3 where TINYDSN_INTERLEAVED */
} tinydsn_binary;

/* scratch: one window, of words or of an even number of int16. Padding is bits of 0, or the zero point. */
void tinydsn_binary_conv2d_bits(const tinydsn_binary *binary, const tinydsn_window *window, const int32_t *input,
                                int32_t *scratch, int32_t *output);
void tinydsn_binary_conv2d_s8(const tinydsn_binary *binary, const tinydsn_window *window, const int8_t *input,
                              int16_t *scratch, int32_t *output);
void tinydsn_binary_conv2d_s16(const tinydsn_binary *binary, const tinydsn_window *window, const int16_t *input,
                               int16_t *scratch, int32_t *output);

/* [rows][channels] of numbers to bits, 1 above the zero point; and of bits to one of two numbers. */
void tinydsn_step_s8(const int8_t *input, int32_t rows, int32_t channels, int32_t zero_point, int32_t *output);
void tinydsn_step_s16(const int16_t *input, int32_t rows, int32_t channels, int32_t zero_point, int32_t *output);
void tinydsn_unpack_bits_s8(const int32_t *input, int32_t rows, int32_t channels, int32_t zero, int32_t one,
                            int8_t *output);
void tinydsn_unpack_bits_s16(const int32_t *input, int32_t rows, int32_t channels, int32_t zero, int32_t one,
                             int16_t *output);

/* Writes `count` packed weights (tinydsn_packed.h) of so many bits as int8; `upper`: as upper halves. */
typedef void (*tinydsn_unpacker)(const uint8_t *packed, int32_t count, int8_t *target);

void tinydsn_unpack_2(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_3(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_4(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_4_upper(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_5(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_6(const uint8_t *packed, int32_t count, int8_t *target);
void tinydsn_unpack_7(const uint8_t *packed, int32_t count, int8_t *target);

/*
 * A matrix whose weights have 2 to 7 bits in flash. `group` channels are unpacked at a time: a multiple of 8, or all.
 * Places are bytes of scratch: weights of a group come first, then its scales, then its results, where there are
 * several groups and several rows, then what the kernel for 8 bits needs.
 */
typedef struct {
    const tinydsn_matrix *matrix; /* whose weights are packed; without scales */
    const uint8_t *scales;        /* tinydsn_packed.h */
    tinydsn_unpacker unpack;
    int32_t group;
    int32_t group_weights; /* as the kernel reads them, with what fills up its rows */
    int32_t group_bytes;   /* of them, packed */
    int32_t weights;       /* of the whole matrix */
    int32_t scales_place, strip_place, rest_place;
} tinydsn_packed;

/* As their namesakes, with other scratch. */
void tinydsn_fully_connected_s16_packed(const tinydsn_packed *packed, const int16_t *input, int32_t rows,
                                        int32_t row_stride, void *scratch, int16_t *output);
void tinydsn_fully_connected_s8_packed(const tinydsn_packed *packed, const int8_t *input, int32_t rows,
                                       int32_t row_stride, void *scratch, int8_t *output);
void tinydsn_convolve_s16_packed(const tinydsn_packed *packed, const tinydsn_window *window, const int16_t *input,
                                 void *scratch, int16_t *output);
void tinydsn_convolve_s8_packed(const tinydsn_packed *packed, const tinydsn_window *window, int8_t padding,
                                const int8_t *input, void *scratch, int8_t *output);
void tinydsn_depthwise_s16_packed(const tinydsn_packed *packed, const tinydsn_window *window, const int16_t *input,
                                  void *scratch, int16_t *output);
void tinydsn_depthwise_s8_packed(const tinydsn_packed *packed, const tinydsn_window *window, int32_t input_offset,
                                 const int8_t *input, void *scratch, int8_t *output);

/*
 * Gated recurrent unit, the part after both matrix products (gates in the order reset, update, new).
 * gx, gh: [rows][3 * hidden], of one scale that `multiplier` brings to three times Q3.12; state, output:
 * [rows][hidden], Q15. output may be state.
 */
void tinydsn_gru_update_s16(const int16_t *gx, const int16_t *gh, const int16_t *state, int32_t rows,
                            int32_t hidden, int32_t multiplier, int16_t *output);

/* A whole cell: the products of its input and of its state, [3 * hidden] channels each, and the update. */
typedef struct {
    tinydsn_matrix input, hidden;
    int32_t multiplier;
} tinydsn_gru;

#define TINYDSN_GRU_ROWS 8 /* that go through a cell at a time */

/*
 * x: [rows] of input.columns elements, x_stride apart; h likewise of hidden.columns; state, output: [rows][hidden].
 * output may be x, h or state. scratch: 6 * hidden elements for each row that goes at a time, and what both products
 * need, as tinydsn_fully_connected_s16 says.
 */
void tinydsn_gru_s16(const tinydsn_gru *gru, const int16_t *x, int32_t x_stride, const int16_t *h, int32_t h_stride,
                     const int16_t *state, int32_t rows, int16_t *scratch, int16_t *output);

/*
 * Layer normalisation over the last axis; tinydsn_layer_norm_s16.c tells the arithmetic. Where `narrow`, the shift
 * is above 32, and in place of beta stands beta * 2^(shift - 32) + 2^(shift - 33), for sums of 32 bits.
 */
typedef struct {
    int32_t columns;       /* at most 1024 */
    int32_t shift;         /* of the product with gamma, 1..62 */
    int32_t narrow;
    uint64_t epsilon;      /* at least 1, at most 2^62 */
    const int32_t *scales; /* [columns][2]: gamma, beta; on cores with MVE whole fours of columns */
} tinydsn_layer_norm;

/* input, output: [rows][columns]; they may be the same array. */
void tinydsn_layer_norm_s16(const tinydsn_layer_norm *norm, const int16_t *input, int32_t rows,
                            int16_t *output);

/* Softmax over the last axis; the multiplier brings a difference of inputs to 65535 steps for 10.0. */
typedef struct {
    int32_t columns;
    int32_t multiplier, shift;
    const uint32_t *exp;       /* [512] segments over -10..0 (tinydsn_segments.h) */
    const int16_t *reciprocal; /* [513], of 1 + x over 0..1 */
} tinydsn_softmax;

/* input, output: [rows][columns]; they may be the same array. */
void tinydsn_softmax_s16(const tinydsn_softmax *softmax, const int16_t *input, int32_t rows,
                         int16_t *output);

/* output[i] = saturate(a[i] + b[i % b_size]), clamped; b_size divides size. output may be a or b. */
void tinydsn_add_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output);

/* output[i] = saturate(a[i] - b[i % b_size]), clamped. */
void tinydsn_sub_s16(const int16_t *a, const int16_t *b, int32_t size, int32_t b_size, int32_t low,
                     int32_t high, int16_t *output);

/* Scales of TFLite's ADD and SUB for int8; offsets are minus the inputs' zero points. */
typedef struct {
    int32_t offset1, multiplier1, shift1;
    int32_t offset2, multiplier2, shift2;
    int32_t left_shift;
    int32_t output_offset, output_multiplier, output_shift;
    int32_t low, high;
    int32_t line, factor1, factor2, constant; /* tinydsn_affine.h: whether there is one, and which */
} tinydsn_sum_s8;

/* TFLite ADD with b of b_size elements repeated; subtract: SUB. */
void tinydsn_add_s8(const tinydsn_sum_s8 *sum, const int8_t *a, const int8_t *b, int32_t size,
                    int32_t b_size, int subtract, int8_t *output);

/* The same for int16, whose offsets are 0. */
void tinydsn_add_scaled_s16(const tinydsn_sum_s8 *sum, const int16_t *a, const int16_t *b, int32_t size,
                            int32_t b_size, int subtract, int16_t *output);

/* Scales of TFLite's MUL; offsets are minus the inputs' zero points. */
typedef struct {
    int32_t offset1, offset2;
    int32_t output_offset, multiplier, shift;
    int32_t low, high;
} tinydsn_product;

/* TFLite MUL with b of b_size elements repeated; CMSIS-NN does it where both have one shape. */
void tinydsn_mul_s8(const tinydsn_product *product, const int8_t *a, const int8_t *b, int32_t size,
                    int32_t b_size, int8_t *output);
void tinydsn_mul_s16(const tinydsn_product *product, const int16_t *a, const int16_t *b, int32_t size,
                     int32_t b_size, int16_t *output);

/* output[i] = clamp(input[i]). */
void tinydsn_clamp_s8(const int8_t *input, int32_t size, int32_t low, int32_t high, int8_t *output);
void tinydsn_clamp_s16(const int16_t *input, int32_t size, int32_t low, int32_t high, int16_t *output);

/* Scales of TFLite's LEAKY_RELU. */
typedef struct {
    int32_t input_offset, output_offset;
    int32_t multiplier_identity, shift_identity;
    int32_t multiplier_alpha, shift_alpha;
} tinydsn_leaky_relu;

void tinydsn_leaky_relu_s8(const tinydsn_leaky_relu *leaky, const int8_t *input, int32_t size,
                           int8_t *output);
void tinydsn_leaky_relu_s16(const tinydsn_leaky_relu *leaky, const int16_t *input, int32_t size,
                            int16_t *output);

/* Logistic function and tanh of input * multiplier / 3 / 2^right_shift in Q3.12, as Q15. */
void tinydsn_sigmoid_s16(const int16_t *input, int32_t size, int32_t multiplier, int32_t right_shift,
                         int16_t *output);
void tinydsn_tanh_s16(const int16_t *input, int32_t size, int32_t multiplier, int32_t right_shift,
                      int16_t *output);

/* Any function of one variable: 256 entries; or 513 entries with linear interpolation. */
void tinydsn_table_s8(const int8_t *table, const int8_t *input, int32_t size, int8_t *output);
void tinydsn_table_s16(const int16_t *table, const int16_t *input, int32_t size, int16_t *output);

/* output = requantize(input + input_offset) + output_offset, saturated (TFLite QUANTIZE). */
typedef struct {
    int32_t input_offset, output_offset;
    int32_t multiplier, shift;
    int32_t line, factor, constant; /* tinydsn_affine.h; int16 to int8: line says that input_offset is 0 and
                                     * -31 <= shift <= -1 */
} tinydsn_scale;

void tinydsn_requantize_s8_s8(const tinydsn_scale *scale, const int8_t *input, int32_t size, int8_t *output);
void tinydsn_requantize_s8_s16(const tinydsn_scale *scale, const int8_t *input, int32_t size,
                               int16_t *output);
void tinydsn_requantize_s16_s8(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                               int8_t *output);
void tinydsn_requantize_s16_s16(const tinydsn_scale *scale, const int16_t *input, int32_t size,
                                int16_t *output);

/*
 * Product of two activations: a [batches][rows][inner] with b [batches][inner][columns] or transposed; the
 * elements of a row are neighbours, rows and batches lie as far apart as the strides say, in elements.
 * int16: the result is ((sum * multiplier) >> shift + 1) >> 1; with `upper`, what shifts is the upper half of the
 * product, which the generator has proven to fit 32 bits. int8: multiplier and shift of TFLite.
 */
typedef struct {
    int32_t batches, rows, inner, columns;
    int32_t transposed; /* b is [batches][columns][inner] */
    int32_t a_batch, a_row, b_batch, b_row, output_batch, output_row;
    int32_t upper;      /* int16 only */
    int32_t narrow;     /* no sum leaves 32 bits; int16: and upper; int8: nor twice a sum, and -31 <= shift < 0
                         * and multiplier >= 2^30 */
    int32_t saturates;  /* int16: a sum that does has a result that does not fit 16, and upper, and shift is 0 */
    int32_t offset1, offset2, output_offset; /* int8 only: minus the zero points; the output's */
    int32_t multiplier, shift;
} tinydsn_matmul;

/* scratch, with narrow: 4 * inner elements; int8: inner, up to a four, for each of an even number of columns. */
void tinydsn_batch_matmul_s16(const tinydsn_matmul *matmul, const int16_t *a, const int16_t *b,
                              int16_t *scratch, int16_t *output);
void tinydsn_batch_matmul_s8(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int16_t *scratch,
                             int8_t *output);

/* Copies a block of size[0] x .. x size[3] elements between two layouts; strides in elements. */
typedef struct {
    int32_t size[4];
    int32_t from[4];
    int32_t to[4];
} tinydsn_block;

void tinydsn_copy_s8(const tinydsn_block *block, const int8_t *input, int8_t *output);
void tinydsn_copy_s16(const tinydsn_block *block, const int16_t *input, int16_t *output);
void tinydsn_copy_s32(const tinydsn_block *block, const int32_t *input, int32_t *output);

/* value * multiplier / 2^31 * 2^shift with the double rounding of TFLite (arm_nn_requantize). */
static inline int32_t tinydsn_requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = (int32_t)((uint32_t)value << left);
    const int32_t high = (int32_t)(((int64_t)shifted * multiplier + (1 << 30)) >> 31);
    const int32_t mask = (int32_t)((1u << right) - 1u);
    const int32_t threshold = (mask >> 1) + (high < 0);
    return (high >> right) + ((high & mask) > threshold);
}

#endif
