/*
 * Copies between layouts: transposition, and slices, paddings and concatenations that are not contiguous.
 */
#include "tinydsn_kernels.h"

void tinydsn_copy_s8(const tinydsn_block *block, const int8_t *input, int8_t *output)
{
    const int whole = block->from[3] == 1 && block->to[3] == 1; /* rows go word by word */
    for (int32_t i = 0; i < block->size[0]; i++) {
        for (int32_t j = 0; j < block->size[1]; j++) {
            for (int32_t k = 0; k < block->size[2]; k++) {
                const int8_t *from = input + i * block->from[0] + j * block->from[1] + k * block->from[2];
                int8_t *to = output + i * block->to[0] + j * block->to[1] + k * block->to[2];
                int32_t n = block->size[3];
                for (; whole && n >= 4; n -= 4) {
                    tinydsn_store32(to, tinydsn_load32(from));
                    from += 4;
                    to += 4;
                }
                for (; n > 0; n--) {
                    *to = *from;
                    from += block->from[3];
                    to += block->to[3];
                }
            }
        }
    }
}

void tinydsn_copy_s16(const tinydsn_block *block, const int16_t *input, int16_t *output)
{
    const int whole = block->from[3] == 1 && block->to[3] == 1; /* rows go word by word */
    for (int32_t i = 0; i < block->size[0]; i++) {
        for (int32_t j = 0; j < block->size[1]; j++) {
            for (int32_t k = 0; k < block->size[2]; k++) {
                const int16_t *from = input + i * block->from[0] + j * block->from[1] + k * block->from[2];
                int16_t *to = output + i * block->to[0] + j * block->to[1] + k * block->to[2];
                int32_t n = block->size[3];
                for (; whole && n >= 2; n -= 2) {
                    tinydsn_store32(to, tinydsn_load32(from));
                    from += 2;
                    to += 2;
                }
                for (; n > 0; n--) {
                    *to = *from;
                    from += block->from[3];
                    to += block->to[3];
                }
            }
        }
    }
}

/* Words of bits; few, and rarely in another order. */
void tinydsn_copy_s32(const tinydsn_block *block, const int32_t *input, int32_t *output)
{
    for (int32_t i = 0; i < block->size[0]; i++) {
        for (int32_t j = 0; j < block->size[1]; j++) {
            for (int32_t k = 0; k < block->size[2]; k++) {
                const int32_t *from = input + i * block->from[0] + j * block->from[1] + k * block->from[2];
                int32_t *to = output + i * block->to[0] + j * block->to[1] + k * block->to[2];
                for (int32_t n = 0; n < block->size[3]; n++) {
                    to[n * block->to[3]] = from[n * block->from[3]];
                }
            }
        }
    }
}
