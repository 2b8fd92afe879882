/*
 * Fully connected with packed weights of 2 to 7 bits; the kernel is tinydsn_fully_connected_s8.
 */
#include "tinydsn_packed.h"

void tinydsn_fully_connected_s8_packed(const tinydsn_packed *packed, const int8_t *input, int32_t rows,
                                        int32_t row_stride, void *scratch, int8_t *output)
{
    for (int32_t first = 0; first < packed->matrix->channels; first += packed->group) {
        tinydsn_group group;
        tinydsn_unpack_group(packed, first, rows, tinydsn_unpack_scales_s8, scratch, &group);
        int8_t *const target = group.strip ? group.strip : output + first;
        tinydsn_fully_connected_s8(&group.matrix, input, rows, row_stride, group.rest, target);
        tinydsn_scatter(packed, &group, rows, (int32_t)sizeof *output, output + first);
    }
}
