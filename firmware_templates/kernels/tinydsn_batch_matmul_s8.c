/*
 * Product of two int8 activations with zero points, 32-bit sums, double rounding (TFLite BATCH_MATMUL).
 *
 * Both are widened to pairs of int16 and centred: b once, before, a as it is read. A four of rows of b makes two
 * pairs, elements 0 and 2 and elements 1 and 3, as SXTAB16 takes them from a word of a; two rows are one pair.
 * Up to four elements of a stay in registers for a whole row of results; more go by blocks of two rows and two
 * columns.
 */
#include "tinydsn_affine.h"
#include "tinydsn_kernels.h"

/* The scale as two products want it: see tinydsn_finish.h. */
typedef struct {
    int32_t multiplier, power, offset;
} rounding;

static inline rounding rounding_of(const tinydsn_matmul *matmul)
{
    return (rounding){
        .multiplier = (int32_t)((uint32_t)matmul->multiplier << 1),
        .power = (int32_t)(0u - (1u << (32 + matmul->shift))),
        .offset = matmul->output_offset,
    };
}

static inline int32_t rounded(rounding how, int32_t sum)
{
    const int32_t high = tinydsn_smmlar(sum, how.multiplier, sum);
    return tinydsn_saturate8(tinydsn_smmlsr(high + (high >> 31), how.power, how.offset));
}

/* Two bytes of b, `step` apart, centred; offsets: the offset twice. */
static inline uint32_t centred(const int8_t *b, int32_t step, uint32_t offsets)
{
    return tinydsn_sxtab16(offsets, (uint8_t)b[0] | (uint32_t)(uint8_t)b[step] << 16);
}

/* The same of the first `left` of four rows, from row `first`, with zeros for the others. */
static TINYDSN_NOINLINE uint32_t centred_rest(const int8_t *b, int32_t step, int32_t offset, int32_t first,
                                              int32_t second, int32_t left)
{
    const int32_t low = first < left ? b[first * step] + offset : 0;
    return tinydsn_pair(low, second < left ? b[second * step] + offset : 0);
}

/* One column of b: its pairs, `apart` words from one to the next. */
static void pack_column(const tinydsn_matmul *matmul, const int8_t *b, int32_t apart, int16_t *packed)
{
    const int32_t step = matmul->transposed ? 1 : matmul->b_row, offset = matmul->offset2;
    const uint32_t offsets = (uint32_t)(uint16_t)offset * 0x00010001u;
    int32_t left = matmul->inner;
    if (left <= 2) {
        tinydsn_store32(packed, left == 2 ? centred(b, step, offsets) : centred_rest(b, step, offset, 0, 1, left));
        return;
    }
    for (; left >= 4; left -= 4) {
        tinydsn_store32(packed, centred(b, 2 * step, offsets));
        tinydsn_store32(packed + 2 * apart, centred(b + step, 2 * step, offsets));
        packed += 4 * apart;
        b += 4 * step;
    }
    if (left > 0) {
        tinydsn_store32(packed, centred_rest(b, step, offset, 0, 2, left));
        tinydsn_store32(packed + 2 * apart, centred_rest(b, step, offset, 1, 3, left));
    }
}

/* The first `count` of four elements, and anything. */
static inline uint32_t elements(const int8_t *a, int32_t count)
{
    uint32_t word = 0;
    if (count >= 4) {
        return tinydsn_load32(a);
    }
    for (int32_t k = 0; k < count; k++) {
        word |= (uint32_t)(uint8_t)a[k] << (8 * k);
    }
    return word;
}

/* One result of a row of up to four elements, in `pairs` pairs, with the next column. */
static inline int32_t short_sum(uint32_t even, uint32_t odd, const int16_t **packed, int32_t pairs)
{
    int32_t sum = tinydsn_smuad(even, tinydsn_load32(*packed));
    if (pairs == 2) {
        sum = tinydsn_smlad(odd, tinydsn_load32(*packed + 2), sum);
    }
    *packed += 2 * pairs;
    return sum;
}

/* All rows, of up to two elements a pair; pairs: 1 or 2, which is known to the compiler. */
static inline void short_rows(const tinydsn_matmul *matmul, const int8_t *a, const int16_t *packed, int32_t pairs,
                              int8_t *output)
{
    const rounding how = rounding_of(matmul);
    const uint32_t offsets = (uint32_t)(uint16_t)matmul->offset1 * 0x00010001u;
    const int32_t columns = matmul->columns, skip = matmul->output_row - columns;
    for (int32_t rows = matmul->rows; rows > 0; rows--) {
        const uint32_t word = elements(a, matmul->inner);
        /* a single pair: elements 0 and 1 to where SXTAB16 takes them */
        const uint32_t even = tinydsn_sxtab16(offsets, pairs == 1 ? word | word << 8 : word);
        const uint32_t odd = tinydsn_sxtab16_ror8(offsets, word);
        const int16_t *column = packed;
        int32_t left = columns;
        for (; left >= 4; left -= 4) {
            const int32_t value0 = rounded(how, short_sum(even, odd, &column, pairs));
            const int32_t value1 = rounded(how, short_sum(even, odd, &column, pairs));
            const int32_t value2 = rounded(how, short_sum(even, odd, &column, pairs));
            const int32_t value3 = rounded(how, short_sum(even, odd, &column, pairs));
            tinydsn_store32(output, tinydsn_four_bytes(value0, value1, value2, value3));
            output += 4;
        }
        for (; left > 0; left--) {
            *output++ = (int8_t)rounded(how, short_sum(even, odd, &column, pairs));
        }
        a += matmul->a_row;
        output += skip;
    }
}

/* Two rows by all columns, two at a time. */
static void two_rows(const tinydsn_matmul *matmul, rounding how, const int8_t *a0, const int8_t *a1,
                     const int16_t *packed, int8_t *output0, int8_t *output1)
{
    const uint32_t offsets = (uint32_t)(uint16_t)matmul->offset1 * 0x00010001u;
    for (int32_t columns = matmul->columns; columns > 0; columns -= 2) {
        const int8_t *x0 = a0, *x1 = a1;
        int32_t sum00 = 0, sum01 = 0, sum10 = 0, sum11 = 0;
        for (int32_t left = matmul->inner; left > 0; left -= 4) {
            const uint32_t word0 = elements(x0, left), word1 = elements(x1, left);
            uint32_t first, second, pair0, pair1;
            tinydsn_load_two(&packed, &first, &second);
            pair0 = tinydsn_sxtab16(offsets, word0);
            pair1 = tinydsn_sxtab16(offsets, word1);
            sum00 = tinydsn_smlad(pair0, first, sum00);
            sum01 = tinydsn_smlad(pair0, second, sum01);
            sum10 = tinydsn_smlad(pair1, first, sum10);
            sum11 = tinydsn_smlad(pair1, second, sum11);
            tinydsn_load_two(&packed, &first, &second);
            pair0 = tinydsn_sxtab16_ror8(offsets, word0);
            pair1 = tinydsn_sxtab16_ror8(offsets, word1);
            sum00 = tinydsn_smlad(pair0, first, sum00);
            sum01 = tinydsn_smlad(pair0, second, sum01);
            sum10 = tinydsn_smlad(pair1, first, sum10);
            sum11 = tinydsn_smlad(pair1, second, sum11);
            x0 += 4;
            x1 += 4;
        }
        *output0++ = (int8_t)rounded(how, sum00);
        *output1++ = (int8_t)rounded(how, sum10);
        if (columns > 1) {
            *output0++ = (int8_t)rounded(how, sum01);
            *output1++ = (int8_t)rounded(how, sum11);
        }
    }
}

/* One batch with sums and a scale that fit. */
static void multiply(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int16_t *packed, int8_t *output)
{
    const int32_t inner = matmul->inner, step = matmul->transposed ? matmul->b_row : 1;
    const int32_t fours = (inner + 3) >> 2, whole = matmul->columns & ~1;
    if (inner <= 4) {
        for (int32_t n = 0; n < matmul->columns; n++) {
            pack_column(matmul, b + n * step, 1, packed + (inner <= 2 ? 2 : 4) * n);
        }
        if (inner <= 2) {
            short_rows(matmul, a, packed, 1, output);
        } else {
            short_rows(matmul, a, packed, 2, output);
        }
        return;
    }
    for (int32_t n = 0; n < whole; n++) {
        pack_column(matmul, b + n * step, 2, packed + (n >> 1) * 8 * fours + (n & 1) * 2);
    }
    if (whole < matmul->columns) {
        /* the second column of the last block may be anything: its sums are not used */
        memset(packed + whole * 4 * fours, 0, (size_t)(16 * fours));
        pack_column(matmul, b + whole * step, 2, packed + whole * 4 * fours);
    }
    for (int32_t m = 0; m < matmul->rows; m += 2) {
        /* the last row of an odd number is computed twice */
        const int32_t next = m + 1 < matmul->rows ? 1 : 0;
        two_rows(matmul, rounding_of(matmul), a, a + next * matmul->a_row, packed, output,
                 output + next * matmul->output_row);
        a += 2 * matmul->a_row;
        output += 2 * matmul->output_row;
    }
}

/* One batch of any scale. */
static void any(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int8_t *output)
{
    const int32_t row_step = matmul->transposed ? 1 : matmul->b_row, step = matmul->transposed ? matmul->b_row : 1;
    for (int32_t m = 0; m < matmul->rows; m++) {
        for (int32_t n = 0; n < matmul->columns; n++) {
            int32_t sum = 0;
            for (int32_t k = 0; k < matmul->inner; k++) {
                sum += (a[k] + matmul->offset1) * (b[k * row_step + n * step] + matmul->offset2);
            }
            const int32_t scaled = tinydsn_requantize(sum, matmul->multiplier, matmul->shift);
            output[n] = (int8_t)tinydsn_saturate8(scaled + matmul->output_offset);
        }
        a += matmul->a_row;
        output += matmul->output_row;
    }
}

void tinydsn_batch_matmul_s8(const tinydsn_matmul *matmul, const int8_t *a, const int8_t *b, int16_t *scratch,
                             int8_t *output)
{
    for (int32_t batch = 0; batch < matmul->batches; batch++) {
        if (matmul->narrow) {
            multiply(matmul, a, b, scratch, output);
        } else {
            any(matmul, a, b, output);
        }
        a += matmul->a_batch;
        b += matmul->b_batch;
        output += matmul->output_batch;
    }
}
