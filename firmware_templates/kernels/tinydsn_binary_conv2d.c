/*
 * Convolution of bits or numbers whose sums are compared with a threshold a channel: one bit a result.
 *
 * Bits need no product: a sum is that of the weights whose bit is set. Weights of 16 results stand together in a row
 * of 16 bytes, [N / 16][taps][C][16], so that one set bit adds one row to 16 sums; from the highest set bit down (CLZ).
 * Where the generator has proven that sums fit 16 bits (it then gives `lanes`), cores with the DSP extension add two a
 * time (SXTAB16), MVE eight. Sums begin at -1 less the threshold: what is not negative in the end lies above it.
 */
#include "tinydsn_kernels.h"
#include "tinydsn_pairs.h"

#define BLOCK TINYDSN_BINARY_BLOCK
#define WORD 32

static inline int32_t leading_zeros(uint32_t word)
{
#if defined(__GNUC__)
    return __builtin_clz(word);
#else
    int32_t count = 0;
    for (; !(word >> 31); word <<= 1) {
        count++;
    }
    return count;
#endif
}

/* Sums of 16 channels in the form of the core, which only the lanes_ functions know. */
#if TINYDSN_MVE

typedef struct {
    int16x8_t low, high;
} lanes;

TINYDSN_INLINE lanes lanes_start(const int16_t *starts)
{
    return (lanes){vldrhq_s16(starts), vldrhq_s16(starts + 8)};
}

TINYDSN_INLINE void lanes_add(lanes *sums, const int8_t *row)
{
    sums->low = vaddq_s16(sums->low, vldrbq_s16(row));
    sums->high = vaddq_s16(sums->high, vldrbq_s16(row + 8));
}

/* One bit of every two of a predicate. */
static inline uint32_t halved(uint32_t pairs)
{
    pairs &= 0x5555u;
    pairs = (pairs | pairs >> 1) & 0x3333u;
    pairs = (pairs | pairs >> 2) & 0x0F0Fu;
    return (pairs | pairs >> 4) & 0x00FFu;
}

TINYDSN_INLINE uint32_t lanes_bits(const lanes *sums)
{
    const uint32_t low = vcmpgeq_n_s16(sums->low, 0), high = vcmpgeq_n_s16(sums->high, 0);
    return halved(low) | halved(high) << 8;
}

#elif TINYDSN_INTERLEAVED

/* Pairs of channels: 0 and 2, 1 and 3, 4 and 6, 5 and 7, ... */
typedef struct {
    uint32_t a, b, c, d, e, f, g, h;
} lanes;

TINYDSN_INLINE lanes lanes_start(const int16_t *starts)
{
    lanes made;
    tinydsn_load_two(&starts, &made.a, &made.b);
    tinydsn_load_two(&starts, &made.c, &made.d);
    tinydsn_load_two(&starts, &made.e, &made.f);
    tinydsn_load_two(&starts, &made.g, &made.h);
    return made;
}

TINYDSN_INLINE void lanes_add(lanes *sums, const int8_t *row)
{
    const int16_t *from = (const int16_t *)(const void *)row;
    uint32_t first, second;
    tinydsn_load_two(&from, &first, &second);
    sums->a = tinydsn_sxtab16(sums->a, first);
    sums->b = tinydsn_sxtab16_ror8(sums->b, first);
    sums->c = tinydsn_sxtab16(sums->c, second);
    sums->d = tinydsn_sxtab16_ror8(sums->d, second);
    tinydsn_load_two(&from, &first, &second);
    sums->e = tinydsn_sxtab16(sums->e, first);
    sums->f = tinydsn_sxtab16_ror8(sums->f, first);
    sums->g = tinydsn_sxtab16(sums->g, second);
    sums->h = tinydsn_sxtab16_ror8(sums->h, second);
}

/* Signs of four channels, as bits. */
static inline uint32_t signs(uint32_t even, uint32_t odd)
{
    const uint32_t first = even >> 15 & 0x10001u, second = odd >> 15 & 0x10001u, both = first | second << 1;
    return (both | both >> 14) & 15u;
}

TINYDSN_INLINE uint32_t lanes_bits(const lanes *sums)
{
    const uint32_t negative = signs(sums->a, sums->b) | signs(sums->c, sums->d) << 4 |
                              signs(sums->e, sums->f) << 8 | signs(sums->g, sums->h) << 12;
    return negative ^ 0xFFFFu;
}

#else

typedef struct {
    int16_t sum[BLOCK];
} lanes;

static inline lanes lanes_start(const int16_t *starts)
{
    lanes made;
    memcpy(made.sum, starts, sizeof made.sum);
    return made;
}

static inline void lanes_add(lanes *sums, const int8_t *row)
{
    for (int32_t n = 0; n < BLOCK; n++) {
        sums->sum[n] = (int16_t)(sums->sum[n] + row[n]);
    }
}

static inline uint32_t lanes_bits(const lanes *sums)
{
    uint32_t bits = 0;
    for (int32_t n = 0; n < BLOCK; n++) {
        bits |= (uint32_t)(sums->sum[n] >= 0) << n;
    }
    return bits;
}

#endif

static inline uint32_t bits_of(const int32_t *sums)
{
    uint32_t negative = 0;
    for (int32_t n = BLOCK - 1; n >= 0; n--) {
        negative = negative << 1 | (uint32_t)sums[n] >> 31;
    }
    return negative ^ 0xFFFFu;
}

/* Writes 16 bits of a position; a word is made anew by its first 16. */
static inline void put(int32_t *position, int32_t block, uint32_t bits)
{
    int32_t *const word = position + block / 2;
    *word = (int32_t)(block & 1 ? (uint32_t)*word | bits << BLOCK : bits);
}

static inline int32_t words_of(int32_t channels)
{
    return (channels + WORD - 1) / WORD;
}

/*
 * Gathers a window of `size` elements a position; `value` makes a number of an element `e`. Outside the image are
 * zeros.
 */
#define GATHER(name, source_type, target_type, value)                                                                  \
    static void name(const tinydsn_window *window, const source_type *input, int32_t size, int32_t offset,             \
                     int32_t out_y, int32_t out_x, target_type *target)                                                \
    {                                                                                                                  \
        int32_t y = out_y * window->stride_height - window->pad_top;                                                   \
        for (int32_t ky = window->kernel_height; ky > 0; ky--, y += window->dilation_height) {                         \
            const int inside = y >= 0 && y < window->height;                                                           \
            int32_t x = out_x * window->stride_width - window->pad_left;                                               \
            for (int32_t kx = window->kernel_width; kx > 0; kx--, x += window->dilation_width) {                       \
                const int taken = inside && x >= 0 && x < window->width;                                               \
                const source_type *source = input + (taken ? (y * window->width + x) * size : 0);                      \
                for (int32_t left = size; left > 0; left--) {                                                          \
                    const source_type e = *source++;                                                                   \
                    *target++ = taken ? (target_type)(value) : 0;                                                      \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        (void)offset;                                                                                                  \
    }

GATHER(gather_bits, int32_t, int32_t, e)
GATHER(gather_s8, int8_t, int16_t, e + offset)
GATHER(gather_s16, int16_t, int16_t, e)

/* Adds the rows of all set bits of a gathered window with `add`, which is inlined. */
#define ADD_SET_BITS(window, taps, channels, weights, add, sums)                                                       \
    do {                                                                                                               \
        const int32_t words = words_of(channels);                                                                      \
        for (int32_t tap = (taps); tap > 0; tap--, (weights) += (channels) * BLOCK) {                                  \
            for (int32_t w = 0; w < words; w++) {                                                                      \
                uint32_t word = (uint32_t)*(window)++;                                                                 \
                const int8_t *row = (weights) + (w * WORD + WORD - 1) * BLOCK;                                         \
                while (word) {                                                                                         \
                    const int32_t zeros = leading_zeros(word);                                                         \
                    row -= zeros * BLOCK;                                                                              \
                    add(sums, row);                                                                                    \
                    row -= BLOCK;                                                                                      \
                    word = word << zeros << 1;                                                                         \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

static TINYDSN_NOINLINE uint32_t sum_lanes(const int32_t *window, int32_t taps, int32_t channels,
                                           const int8_t *weights, const int16_t *starts)
{
    lanes sums = lanes_start(starts);
    ADD_SET_BITS(window, taps, channels, weights, lanes_add, &sums);
    return lanes_bits(&sums);
}

static inline void add_row(int32_t *sums, const int8_t *row)
{
    for (int32_t n = 0; n < BLOCK; n++) {
        sums[n] += row[n];
    }
}

static TINYDSN_NOINLINE uint32_t sum_wide(const int32_t *window, int32_t taps, int32_t channels,
                                          const int8_t *weights, const int32_t *starts)
{
    int32_t sums[BLOCK];
    memcpy(sums, starts, sizeof sums);
    ADD_SET_BITS(window, taps, channels, weights, add_row, sums);
    return bits_of(sums);
}

/* All results of a gathered window of bits. */
static void put_bits(const tinydsn_binary *binary, const int32_t *window, int32_t taps, int32_t channels,
                     int32_t *position)
{
    const int8_t *weights = binary->weights;
    for (int32_t block = 0; block * BLOCK < binary->channels; block++, weights += taps * channels * BLOCK) {
        const uint32_t bits = binary->lanes
                                  ? sum_lanes(window, taps, channels, weights, binary->lanes + block * BLOCK)
                                  : sum_wide(window, taps, channels, weights, binary->starts + block * BLOCK);
        put(position, block, bits);
    }
}

/* Sums of products of a gathered window with the columns of 16 channels, as bits. */
#if TINYDSN_MVE

/* One bit of every four of a predicate. */
static inline uint32_t quartered(uint32_t fours)
{
    fours &= 0x1111u;
    fours = (fours | fours >> 3) & 0x0303u;
    return (fours | fours >> 6) & 0x000Fu;
}

static TINYDSN_NOINLINE uint32_t sum_products(const int16_t *window, int32_t count, const int8_t *weights,
                                              const int32_t *starts)
{
    int32x4_t a = vldrwq_s32(starts), b = vldrwq_s32(starts + 4);
    int32x4_t c = vldrwq_s32(starts + 8), d = vldrwq_s32(starts + 12);
    for (int32_t k = 0; k < count; k++, weights += BLOCK) {
        a = vmlaq_n_s32(a, vldrbq_s32(weights), window[k]);
        b = vmlaq_n_s32(b, vldrbq_s32(weights + 4), window[k]);
        c = vmlaq_n_s32(c, vldrbq_s32(weights + 8), window[k]);
        d = vmlaq_n_s32(d, vldrbq_s32(weights + 12), window[k]);
    }
    return quartered(vcmpgeq_n_s32(a, 0)) | quartered(vcmpgeq_n_s32(b, 0)) << 4 |
           quartered(vcmpgeq_n_s32(c, 0)) << 8 | quartered(vcmpgeq_n_s32(d, 0)) << 12;
}

#elif TINYDSN_INTERLEAVED

/* Two columns at a time: a word holds those of two channels, even column of both, odd column of both. */
static TINYDSN_NOINLINE uint32_t sum_products(const int16_t *window, int32_t count, const int8_t *weights,
                                              const int32_t *starts)
{
    int32_t sums[BLOCK];
    for (int32_t eight = 0; eight < BLOCK; eight += 8) {
        const int32_t *const start = starts + eight;
        int32_t s0 = start[0], s1 = start[1], s2 = start[2], s3 = start[3];
        int32_t s4 = start[4], s5 = start[5], s6 = start[6], s7 = start[7];
        const int8_t *row = weights + 2 * eight;
        for (const int16_t *x = window; x < window + count; x += 2, row += 2 * BLOCK) {
            const uint32_t pair = tinydsn_load32(x), first = tinydsn_load32(row), second = tinydsn_load32(row + 4);
            s0 = tinydsn_smlad(tinydsn_sxtb16(first), pair, s0);
            s1 = tinydsn_smlad(tinydsn_sxtb16_ror8(first), pair, s1);
            s2 = tinydsn_smlad(tinydsn_sxtb16(second), pair, s2);
            s3 = tinydsn_smlad(tinydsn_sxtb16_ror8(second), pair, s3);
            const uint32_t third = tinydsn_load32(row + 8), fourth = tinydsn_load32(row + 12);
            s4 = tinydsn_smlad(tinydsn_sxtb16(third), pair, s4);
            s5 = tinydsn_smlad(tinydsn_sxtb16_ror8(third), pair, s5);
            s6 = tinydsn_smlad(tinydsn_sxtb16(fourth), pair, s6);
            s7 = tinydsn_smlad(tinydsn_sxtb16_ror8(fourth), pair, s7);
        }
        int32_t *const sum = sums + eight;
        sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
        sum[4] = s4, sum[5] = s5, sum[6] = s6, sum[7] = s7;
    }
    return bits_of(sums);
}

#else

static uint32_t sum_products(const int16_t *window, int32_t count, const int8_t *weights, const int32_t *starts)
{
    int32_t sums[BLOCK];
    memcpy(sums, starts, sizeof sums);
    for (int32_t k = 0; k < count; k++, weights += BLOCK) {
        for (int32_t n = 0; n < BLOCK; n++) {
            sums[n] += window[k] * weights[n];
        }
    }
    return bits_of(sums);
}

#endif

/* All results of a gathered window of numbers. */
static void put_products(const tinydsn_binary *binary, const int16_t *window, int32_t taps, int32_t channels,
                         int32_t *position)
{
    /* an odd last column stands beside one of zeros */
    const int32_t count = TINYDSN_INTERLEAVED ? (taps * channels + 1) & ~1 : taps * channels;
    for (int32_t block = 0; block * BLOCK < binary->channels; block++) {
        const int8_t *const weights = binary->weights + block * count * BLOCK;
        put(position, block, sum_products(window, count, weights, binary->starts + block * BLOCK));
    }
}

/* A convolution: each window gathered with `gather`, `size` elements a position, and its results put. */
#define CONVOLVE(binary, window, input, scratch, output, size, gather, results)                                        \
    do {                                                                                                               \
        const int32_t taps = (window)->kernel_height * (window)->kernel_width;                                         \
        for (int32_t y = 0; y < (window)->out_height; y++) {                                                           \
            for (int32_t x = 0; x < (window)->out_width; x++) {                                                        \
                gather(window, input, size, (binary)->input_offset, y, x, scratch);                                    \
                results(binary, scratch, taps, (window)->channels, output);                                            \
                (output) += words_of((binary)->channels);                                                              \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

void tinydsn_binary_conv2d_bits(const tinydsn_binary *binary, const tinydsn_window *window, const int32_t *input,
                                int32_t *scratch, int32_t *output)
{
    CONVOLVE(binary, window, input, scratch, output, words_of(window->channels), gather_bits, put_bits);
}

void tinydsn_binary_conv2d_s8(const tinydsn_binary *binary, const tinydsn_window *window, const int8_t *input,
                              int16_t *scratch, int32_t *output)
{
    CONVOLVE(binary, window, input, scratch, output, window->channels, gather_s8, put_products);
}

void tinydsn_binary_conv2d_s16(const tinydsn_binary *binary, const tinydsn_window *window, const int16_t *input,
                               int16_t *scratch, int32_t *output)
{
    CONVOLVE(binary, window, input, scratch, output, window->channels, gather_s16, put_products);
}
