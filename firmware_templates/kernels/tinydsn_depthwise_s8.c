/*
 * Depthwise 2-D convolution, int8 activations and weights, one scale a channel.
 */
#include "tinydsn_depthwise.h"

void tinydsn_depthwise_s8(const tinydsn_matrix *matrix, const tinydsn_window *window, int32_t input_offset,
                          const int8_t *input, int8_t *output)
{
    const tinydsn_finishing finishing = {.narrow = 1, .offset = tinydsn_finishing_offset(matrix->output_offset)};
    const tinydsn_depthwise how = {.wide = 0, .offset = input_offset, .finishing = finishing};
    tinydsn_depthwise_image(matrix, window, how, input, output);
    if (matrix->activation_min > INT8_MIN || matrix->activation_max < INT8_MAX) {
        const int32_t size = window->out_height * window->out_width * matrix->channels;
        tinydsn_clamp_s8(output, size, matrix->activation_min, matrix->activation_max, output);
    }
}
