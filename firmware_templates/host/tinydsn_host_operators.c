/*
 * One function a family of operators: reads the arguments and calls the firmware's kernel.
 */
#include "tinydsn_host_operators.h"

#include <string.h>

#include "tinydsn_host_wide.h"
#include "tinydsn_kernels.h"

static inline tinydsn_matrix matrix(reader *from)
{
    tinydsn_matrix made;
    made.columns = number(from);
    made.channels = number(from);
    made.activation_min = number(from);
    made.activation_max = number(from);
    made.rounded = number(from);
    made.output_offset = number(from);
    made.weights = place(from);
    made.scales = place(from);
    return made;
}

/* Structures of int32_t only: their fields in order. */
#define FIELDS(type, name)                                                                                   \
    type name;                                                                                               \
    do {                                                                                                     \
        int32_t *field = (int32_t *)&name;                                                                   \
        for (uint32_t i = 0; i < sizeof(name) / sizeof(int32_t); i++) {                                      \
            field[i] = number(&from);                                                                        \
        }                                                                                                    \
    } while (0)

/* What all cases of a kernel with an int8 and an int16 variant read last. */
#define WIDE(name) KERNEL_##name##_s16
#define NARROW(name) KERNEL_##name##_s8

static void linear(int64_t kernel, reader from)
{
    const tinydsn_matrix weights = matrix(&from);
    if (kernel == WIDE(fully_connected) || kernel == NARROW(fully_connected)) {
        const int32_t rows = number(&from), stride = number(&from);
        const void *x = place(&from);
        void *y = place(&from);
        if (kernel == WIDE(fully_connected)) {
            tinydsn_fully_connected_s16(&weights, x, rows, stride, NULL, y);
        } else {
            tinydsn_fully_connected_s8(&weights, x, rows, stride, NULL, y);
        }
        return;
    }
    FIELDS(tinydsn_window, window);
    const int32_t offset = number(&from); /* int8: padding, or with depthwise the input's offset */
    const void *x = place(&from);
    void *scratch = place(&from);
    void *y = place(&from);
    switch (kernel) {
    case WIDE(conv2d):
        tinydsn_convolve_s16(&weights, &window, x, scratch, y);
        break;
    case NARROW(conv2d):
        tinydsn_convolve_s8(&weights, &window, (int8_t)offset, x, scratch, y);
        break;
    case WIDE(depthwise_conv2d):
        tinydsn_depthwise_s16(&weights, &window, x, y);
        break;
    default:
        tinydsn_depthwise_s8(&weights, &window, offset, x, y);
    }
}

static void wide_linear(int64_t kernel, reader from)
{
    if (kernel == WIDE(wide)) {
        tinydsn_wide_matrix_s16 made;
        made.columns = number(&from);
        made.channels = number(&from);
        made.activation_min = number(&from);
        made.activation_max = number(&from);
        made.weights = place(&from);
        made.bias = place(&from);
        made.multiplier = place(&from);
        made.shift = place(&from);
        FIELDS(tinydsn_window, window);
        const void *x = place(&from);
        void *y = place(&from);
        tinydsn_convolve_s16_wide(&made, &window, x, y);
    } else {
        tinydsn_host_wide_s8 made;
        made.columns = number(&from);
        made.channels = number(&from);
        made.activation_min = number(&from);
        made.activation_max = number(&from);
        made.input_offset = number(&from);
        made.output_offset = number(&from);
        made.depthwise = number(&from);
        made.weights = place(&from);
        made.bias = place(&from);
        made.multiplier = place(&from);
        made.shift = place(&from);
        FIELDS(tinydsn_window, window);
        const void *x = place(&from);
        void *y = place(&from);
        tinydsn_host_convolve_wide_s8(&made, &window, x, y);
    }
}

static void elementwise(int64_t kernel, reader from)
{
    const int32_t size = number(&from);
    const void *a = place(&from);
    const void *b = place(&from);
    void *y = place(&from);
    switch (kernel) {
    case WIDE(add):
    case WIDE(sub): {
        const int32_t b_size = number(&from), low = number(&from), high = number(&from);
        if (kernel == WIDE(add)) {
            tinydsn_add_s16(a, b, size, b_size, low, high, y);
        } else {
            tinydsn_sub_s16(a, b, size, b_size, low, high, y);
        }
        break;
    }
    case NARROW(add):
    case NARROW(sub): {
        const int32_t b_size = number(&from);
        FIELDS(tinydsn_sum_s8, sum);
        tinydsn_add_s8(&sum, a, b, size, b_size, kernel == NARROW(sub), y);
        break;
    }
    case WIDE(mul):
    case NARROW(mul): {
        const int32_t b_size = number(&from);
        FIELDS(tinydsn_product, product);
        if (kernel == WIDE(mul)) {
            tinydsn_mul_s16(&product, a, b, size, b_size, y);
        } else {
            tinydsn_mul_s8(&product, a, b, size, b_size, y);
        }
        break;
    }
    case WIDE(relu):
    case NARROW(relu): {
        const int32_t low = number(&from), high = number(&from);
        if (kernel == WIDE(relu)) {
            tinydsn_clamp_s16(a, size, low, high, y);
        } else {
            tinydsn_clamp_s8(a, size, low, high, y);
        }
        break;
    }
    case WIDE(leaky_relu):
    case NARROW(leaky_relu): {
        FIELDS(tinydsn_leaky_relu, leaky);
        if (kernel == WIDE(leaky_relu)) {
            tinydsn_leaky_relu_s16(&leaky, a, size, y);
        } else {
            tinydsn_leaky_relu_s8(&leaky, a, size, y);
        }
        break;
    }
    case KERNEL_sigmoid: {
        const int32_t multiplier = number(&from), right_shift = number(&from);
        tinydsn_sigmoid_s16(a, size, multiplier, right_shift, y);
        break;
    }
    case KERNEL_tanh: {
        const int32_t multiplier = number(&from), right_shift = number(&from);
        tinydsn_tanh_s16(a, size, multiplier, right_shift, y);
        break;
    }
    case WIDE(table):
        tinydsn_table_s16(b, a, size, y);
        break;
    default:
        tinydsn_table_s8(b, a, size, y);
    }
}

static void requantize(int64_t kernel, reader from)
{
    const int32_t size = number(&from);
    const void *x = place(&from);
    void *y = place(&from);
    FIELDS(tinydsn_scale, scale);
    switch (kernel) {
    case KERNEL_requantize_s8_s8:
        tinydsn_requantize_s8_s8(&scale, x, size, y);
        break;
    case KERNEL_requantize_s8_s16:
        tinydsn_requantize_s8_s16(&scale, x, size, y);
        break;
    case KERNEL_requantize_s16_s8:
        tinydsn_requantize_s16_s8(&scale, x, size, y);
        break;
    default:
        tinydsn_requantize_s16_s16(&scale, x, size, y);
    }
}

static void sequence(int64_t kernel, reader from)
{
    const void *x = place(&from);
    void *y = place(&from);
    const int32_t rows = number(&from);
    if (kernel == KERNEL_gru_update) {
        const int32_t hidden = number(&from), multiplier = number(&from);
        const void *gh = place(&from), *state = place(&from);
        tinydsn_gru_update_s16(x, gh, state, rows, hidden, multiplier, y);
    } else if (kernel == KERNEL_layer_norm) {
        tinydsn_layer_norm norm;
        norm.columns = number(&from);
        norm.shift = number(&from);
        norm.narrow = number(&from);
        norm.epsilon = (uint64_t)*from.next++;
        norm.scales = place(&from);
        tinydsn_layer_norm_s16(&norm, x, rows, y);
    } else {
        tinydsn_softmax softmax;
        softmax.columns = number(&from);
        softmax.multiplier = number(&from);
        softmax.shift = number(&from);
        softmax.exp = place(&from);
        softmax.reciprocal = place(&from);
        tinydsn_softmax_s16(&softmax, x, rows, y);
    }
}

static void matmul(int64_t kernel, reader from)
{
    const void *a = place(&from);
    const void *b = place(&from);
    void *scratch = place(&from);
    void *y = place(&from);
    FIELDS(tinydsn_matmul, product);
    if (kernel == WIDE(batch_matmul)) {
        tinydsn_batch_matmul_s16(&product, a, b, scratch, y);
    } else {
        tinydsn_batch_matmul_s8(&product, a, b, scratch, y);
    }
}

static void bits(int64_t kernel, reader from)
{
    if (kernel == KERNEL_binary_conv2d_bits || kernel == WIDE(binary_conv2d) || kernel == NARROW(binary_conv2d)) {
        tinydsn_binary binary;
        binary.channels = number(&from);
        binary.input_offset = number(&from);
        binary.weights = place(&from);
        binary.starts = place(&from);
        binary.lanes = place(&from);
        FIELDS(tinydsn_window, window);
        const void *x = place(&from);
        void *scratch = place(&from);
        void *y = place(&from);
        if (kernel == KERNEL_binary_conv2d_bits) {
            tinydsn_binary_conv2d_bits(&binary, &window, x, scratch, y);
        } else if (kernel == WIDE(binary_conv2d)) {
            tinydsn_binary_conv2d_s16(&binary, &window, x, scratch, y);
        } else {
            tinydsn_binary_conv2d_s8(&binary, &window, x, scratch, y);
        }
        return;
    }
    const void *x = place(&from);
    void *y = place(&from);
    const int32_t rows = number(&from), channels = number(&from), zero = number(&from), one = number(&from);
    switch (kernel) {
    case WIDE(step):
        tinydsn_step_s16(x, rows, channels, zero, y);
        break;
    case NARROW(step):
        tinydsn_step_s8(x, rows, channels, zero, y);
        break;
    case WIDE(unpack):
        tinydsn_unpack_bits_s16(x, rows, channels, zero, one, y);
        break;
    default:
        tinydsn_unpack_bits_s8(x, rows, channels, zero, one, y);
    }
}

static void movement(int64_t kernel, reader from)
{
    void *target = place(&from);
    switch (kernel) {
    case KERNEL_move: {
        const void *source = place(&from);
        memmove(target, source, (size_t)number(&from));
        break;
    }
    case NARROW(fill): {
        const int32_t size = number(&from), value = number(&from);
        memset(target, value, (size_t)size);
        break;
    }
    case WIDE(fill): {
        const int32_t size = number(&from), value = number(&from);
        for (int32_t i = 0; i < size; i++) {
            ((int16_t *)target)[i] = (int16_t)value;
        }
        break;
    }
    default: {
        const void *source = place(&from);
        FIELDS(tinydsn_block, block);
        if (kernel == KERNEL_copy_s32) {
            tinydsn_copy_s32(&block, source, target);
        } else if (kernel == WIDE(copy)) {
            tinydsn_copy_s16(&block, source, target);
        } else {
            tinydsn_copy_s8(&block, source, target);
        }
    }
    }
}

void tinydsn_host_operator(int64_t kernel, reader from)
{
    if (kernel < KERNEL_last_movement) {
        movement(kernel, from);
    } else if (kernel < KERNEL_last_linear) {
        linear(kernel, from);
    } else if (kernel < KERNEL_last_wide) {
        wide_linear(kernel, from);
    } else if (kernel < KERNEL_last_elementwise) {
        elementwise(kernel, from);
    } else if (kernel < KERNEL_last_requantize) {
        requantize(kernel, from);
    } else if (kernel < KERNEL_last_sequence) {
        sequence(kernel, from);
    } else if (kernel < KERNEL_last_bits) {
        bits(kernel, from);
    } else {
        matmul(kernel, from);
    }
}
