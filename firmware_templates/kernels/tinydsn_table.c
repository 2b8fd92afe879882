/*
 * Functions of one variable by table: int8 exactly, int16 by interpolation (TFLite's LUTLookup).
 */
#include "tinydsn_kernels.h"

void tinydsn_table_s8(const int8_t *table, const int8_t *input, int32_t size, int8_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        output[i] = table[input[i] + 128];
    }
}

void tinydsn_table_s16(const int16_t *table, const int16_t *input, int32_t size, int16_t *output)
{
    for (int32_t i = 0; i < size; i++) {
        const int32_t index = 256 + (input[i] >> 7);
        const int32_t slope = table[index + 1] - table[index];
        output[i] = (int16_t)(table[index] + ((slope * (input[i] & 0x7F) + 64) >> 7));
    }
}
