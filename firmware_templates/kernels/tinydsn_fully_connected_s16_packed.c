/*
 * Fully connected with packed weights of 2 to 7 bits; the kernel is tinydsn_fully_connected_s16.
 */
#include "tinydsn_packed.h"

void tinydsn_fully_connected_s16_packed(const tinydsn_packed *packed, const int16_t *input, int32_t rows,
                                        int32_t row_stride, void *scratch, int16_t *output)
{
    for (int32_t first = 0; first < packed->matrix->channels; first += packed->group) {
        tinydsn_group group;
        tinydsn_unpack_group(packed, first, rows, tinydsn_unpack_scales_s16, scratch, &group);
        int16_t *const target = group.strip ? group.strip : output + first;
        tinydsn_fully_connected_s16(&group.matrix, input, rows, row_stride, group.rest, target);
        tinydsn_scatter(packed, &group, rows, (int32_t)sizeof *output, output + first);
    }
}
