/*
 * 2-D convolution with packed weights of 2 to 7 bits; the kernel is tinydsn_convolve_s16.
 */
#include "tinydsn_packed.h"

void tinydsn_convolve_s16_packed(const tinydsn_packed *packed, const tinydsn_window *window,
                                 const int16_t *input, void *scratch, int16_t *output)
{
    const int32_t rows = window->out_height * window->out_width;
    for (int32_t first = 0; first < packed->matrix->channels; first += packed->group) {
        tinydsn_group group;
        tinydsn_unpack_group(packed, first, rows, tinydsn_unpack_scales_s16, scratch, &group);
        int16_t *const target = group.strip ? group.strip : output + first;
        tinydsn_convolve_s16(&group.matrix, window, input, group.rest, target);
        tinydsn_scatter(packed, &group, rows, (int32_t)sizeof *output, output + first);
    }
}
