/*
 * Sends a recording through the network, hop by hop.
 *
 *     in.pcm out.pcm gates.bin [forced.bin] [--trace FRAME FILE]
 *     --selftest
 *
 * All files are little endian and without headers: int16 samples; gates.bin has a gate word (uint32) a frame,
 * and so has forced.bin, which decides for all gates. The last hop is filled up with zeros. With
 * -DTINYDSN_TRACE the outputs of all operators in one frame are written to FILE: index, bytes, data.
 * One line of JSON on the console ends the run.
 */
#include "io.h"
#include "tinydsn.h"

#include <string.h>

/* Frames between two accesses to files: 4 KB of samples. */
#define BATCH (TINYDSN_HOP < 2048 ? 2048 / TINYDSN_HOP : 1)

#define NONE UINT32_MAX
#define ERROR 2

static union {
    uint8_t memory[TINYDSN_CONTEXT_BYTES];
    long long aligned __attribute__((aligned(16)));
} context;

static int16_t samples[BATCH * TINYDSN_HOP];
static uint32_t gates[BATCH], forced[BATCH];

#ifdef TINYDSN_TRACE
static uint32_t trace_frame = NONE, current_frame;
static int trace_file = -1;

/* Called by the generated network after each operator. */
void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes);
void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes)
{
    const uint32_t head[2] = {index, bytes};
    if (trace_file >= 0 && current_frame == trace_frame) {
        io_write(trace_file, head, sizeof head);
        io_write(trace_file, data, bytes);
    }
}
#endif

/* Called after each frame: the emulator's instruction count of the frame ends here. */
void tinydsn_frame_end_marker(void) __attribute__((noinline, used));
void tinydsn_frame_end_marker(void)
{
    __asm volatile("");
}

#ifdef __arm__
/*
 * Stack of tinydsn_process(): before each batch the free memory below the stack pointer is filled with a
 * pattern; afterwards the lowest changed word tells how deep the calls went.
 */
#define PATTERN 0xA5C3F00Du
#define PAINTED 65536u

extern uint32_t __bss_end;

static inline uint32_t *stack_pointer(void)
{
    uint32_t *pointer;
    __asm volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

static inline volatile uint32_t *stack_limit(uint32_t *pointer)
{
    const uint32_t free_bytes = (uint32_t)pointer - (uint32_t)&__bss_end;
    return free_bytes > PAINTED ? pointer - PAINTED / 4 : &__bss_end;
}

static inline void paint_stack(uint32_t *pointer)
{
    for (volatile uint32_t *word = stack_limit(pointer); word < pointer; word++) {
        *word = PATTERN;
    }
}

static inline uint32_t used_stack(uint32_t *pointer)
{
    volatile uint32_t *word = stack_limit(pointer);
    while (word < pointer && *word == PATTERN) {
        word++;
    }
    return (uint32_t)pointer - (uint32_t)word;
}
#endif

/* Processes `count` hops in place; the most bytes of stack that a call took. */
static __attribute__((noinline)) uint32_t process(tinydsn_t *ctx, uint32_t count, int is_forced)
{
#ifdef __arm__
    uint32_t *const pointer = stack_pointer();
    paint_stack(pointer);
#endif
    for (uint32_t i = 0; i < count; i++) {
        if (is_forced) {
            tinydsn_force_gates(ctx, UINT32_MAX, forced[i]);
        }
        tinydsn_process(ctx, samples + i * TINYDSN_HOP, samples + i * TINYDSN_HOP);
        tinydsn_frame_end_marker();
        gates[i] = tinydsn_gates(ctx);
#ifdef TINYDSN_TRACE
        current_frame++;
#endif
    }
#ifdef __arm__
    return used_stack(pointer);
#else
    return 0;
#endif
}

static int fail(const char *what, const char *which)
{
    io_print("error: ");
    io_print(what);
    io_print(which);
    io_print("\n");
    return ERROR;
}

static void print_number(const char *label, uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    io_print(label);
    io_print(first);
}

/* Opens the files named by `words`; the last is optional. */
static int run(const char *const *words, int count)
{
    tinydsn_t *ctx = tinydsn_init(context.memory);
    int files[4] = {-1, -1, -1, -1};
    uint32_t frames = 0, stack = 0, bytes;
    for (int i = 0; i < count; i++) {
        files[i] = io_open(words[i], i == 1 || i == 2);
        if (files[i] < 0) {
            return fail("cannot open ", words[i]);
        }
    }
    while ((bytes = io_read(files[0], samples, sizeof samples)) != 0) {
        const uint32_t hops = (bytes + 2 * TINYDSN_HOP - 1) / (2 * TINYDSN_HOP);
        memset((uint8_t *)samples + bytes, 0, sizeof samples - bytes);
        if (count == 4 && io_read(files[3], forced, 4 * hops) != 4 * hops) {
            return fail("too few frames in ", words[3]);
        }
        const uint32_t used = process(ctx, hops, count == 4);
        stack = used > stack ? used : stack;
        frames += hops;
        if (io_write(files[1], samples, 2 * TINYDSN_HOP * hops) || io_write(files[2], gates, 4 * hops)) {
            return fail("cannot write ", words[1]);
        }
    }
    for (int i = 0; i < count; i++) {
        if (io_close(files[i]) != 0) {
            return fail("cannot write ", words[i]);
        }
    }
    print_number("{\"frames\":", frames);
    print_number(",\"stack\":", stack);
    print_number(",\"context\":", TINYDSN_CONTEXT_BYTES);
    io_print("}\n");
    return 0;
}

#ifdef TINYDSN_TRACE
static uint32_t number(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9') {
        value = value * 10 + (uint32_t)(*text++ - '0');
    }
    return value;
}
#endif

int main(int argc, char **argv)
{
    const char *const *words = (const char *const *)argv + 1;
    int count = argc - 1;
#ifdef TINYDSN_SELFTEST_FRAMES
    if (count == 1 && strcmp(words[0], "--selftest") == 0) {
        const int32_t result = tinydsn_selftest(context.memory);
        print_number("{\"selftest\":", (uint32_t)result);
        io_print("}\n");
        return result != 0;
    }
#endif
#ifdef TINYDSN_TRACE
    if (count >= 6 && strcmp(words[count - 3], "--trace") == 0) {
        trace_frame = number(words[count - 2]);
        trace_file = io_open(words[count - 1], 1);
        count -= 3;
    }
#endif
    if (count != 3 && count != 4) {
        return fail("arguments: in.pcm out.pcm gates.bin [forced.bin]", "");
    }
    const int code = run(words, count);
#ifdef TINYDSN_TRACE
    if (trace_file >= 0) {
        io_close(trace_file);
    }
#endif
    return code;
}
