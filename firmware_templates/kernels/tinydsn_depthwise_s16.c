/*
 * Depthwise 2-D convolution, int16 activations and int8 weights (16x8), one scale a channel.
 */
#include "tinydsn_depthwise.h"

void tinydsn_depthwise_s16(const tinydsn_matrix *matrix, const tinydsn_window *window, const int16_t *input,
                           int16_t *output)
{
    const int32_t cut = matrix->activation_min == 0 ? -1 : 0;
    const tinydsn_finishing finishing = {.rounded = 1, .relu = -1, .cut = cut};
    const tinydsn_depthwise how = {.wide = 1, .finishing = finishing};
    tinydsn_depthwise_image(matrix, window, how, input, output);
    if (matrix->activation_max < INT16_MAX) {
        const int32_t size = window->out_height * window->out_width * matrix->channels;
        tinydsn_clamp_s16(output, size, matrix->activation_min, matrix->activation_max, output);
    }
}
