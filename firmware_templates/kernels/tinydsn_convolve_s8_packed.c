/*
 * 2-D convolution with packed weights of 2 to 7 bits; the kernel is tinydsn_convolve_s8.
 */
#include "tinydsn_packed.h"

void tinydsn_convolve_s8_packed(const tinydsn_packed *packed, const tinydsn_window *window,
                                 int8_t padding, const int8_t *input, void *scratch, int8_t *output)
{
    const int32_t rows = window->out_height * window->out_width;
    for (int32_t first = 0; first < packed->matrix->channels; first += packed->group) {
        tinydsn_group group;
        tinydsn_unpack_group(packed, first, rows, tinydsn_unpack_scales_s8, scratch, &group);
        int8_t *const target = group.strip ? group.strip : output + first;
        tinydsn_convolve_s8(&group.matrix, window, padding, input, group.rest, target);
        tinydsn_scatter(packed, &group, rows, (int32_t)sizeof *output, output + first);
    }
}
