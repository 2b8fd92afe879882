/*
 * A whole GRU cell, a few rows at a time: both matrix products, requantized each on its own, then gates and state.
 *
 * All rows of a block go through the weights together (tinydsn_rows.h), and what the products give lives in
 * scratch only until the block's gates have read it. A block of input, state and old state is read before its
 * output is written.
 */
#include "tinydsn_kernels.h"

void tinydsn_gru_s16(const tinydsn_gru *gru, const int16_t *x, int32_t x_stride, const int16_t *h, int32_t h_stride,
                     const int16_t *state, int32_t rows, int16_t *scratch, int16_t *output)
{
    const int32_t channels = gru->input.channels, hidden = channels / 3;
    while (rows > 0) {
        const int32_t block = rows < TINYDSN_GRU_ROWS ? rows : TINYDSN_GRU_ROWS;
        int16_t *const gx = scratch, *const gh = gx + block * channels, *const packed = gh + block * channels;
        tinydsn_fully_connected_s16(&gru->input, x, block, x_stride, packed, gx);
        tinydsn_fully_connected_s16(&gru->hidden, h, block, h_stride, packed, gh);
        tinydsn_gru_update_s16(gx, gh, state, block, hidden, gru->multiplier, output);
        x += block * x_stride;
        h += block * h_stride;
        state += block * hidden;
        output += block * hidden;
        rows -= block;
    }
}
