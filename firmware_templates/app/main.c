/*
 * Sends recorded sound through the network, frame by frame:
 *
 *     in.pcm out.pcm gates.bin [forced.bin] [--trace FRAME FILE]
 *     --selftest
 *
 * Files hold int16 samples (in, out) and one 32-bit word of gates a frame (gates, forced), little endian.
 * Prints one line of JSON: frames, bytes of stack that tinydsn_process used, bytes of context.
 */
#include <stddef.h>
#include <stdint.h>

#include "io.h"
#include "tinydsn.h"

#define BLOCK_SAMPLES 1024
#define FRAMES_A_BLOCK ((BLOCK_SAMPLES + TINYDSN_HOP - 1) / TINYDSN_HOP)
#define MOST_ARGUMENTS 8

static _Alignas(16) uint8_t context[TINYDSN_CONTEXT_BYTES];
static int16_t in[FRAMES_A_BLOCK * TINYDSN_HOP];
static int16_t out[FRAMES_A_BLOCK * TINYDSN_HOP];
static uint32_t words[FRAMES_A_BLOCK];
static uint32_t forced[FRAMES_A_BLOCK];

void tinydsn_app_frame_end(void);

/* A place that an emulator's plugin can see: here a frame is over. */
__attribute__((noinline)) void tinydsn_app_frame_end(void)
{
    __asm volatile("" ::: "memory");
}

#if defined(__arm__)
#define STACK_PATTERN 0xA5A5A5A5u
#define STACK_MARGIN 64u /* bytes below the stack pointer that painting leaves to itself */
extern uint32_t __stack_limit;

static uint32_t *stack_pointer(void)
{
    uint32_t *pointer;
    __asm volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

__attribute__((noinline)) static void stack_paint(void)
{
    uint32_t *end = stack_pointer() - STACK_MARGIN / 4;
    for (uint32_t *word = &__stack_limit; word < end; word++) {
        *word = STACK_PATTERN;
    }
}

/* Bytes between the caller's stack pointer and the lowest word that was written since painting. */
__attribute__((noinline)) static uint32_t stack_used(const uint32_t *caller)
{
    const uint32_t *word = &__stack_limit;
    while (word < caller && *word == STACK_PATTERN) {
        word++;
    }
    return (uint32_t)((const uint8_t *)caller - (const uint8_t *)word);
}
#else
static uint32_t *stack_pointer(void)
{
    return NULL;
}

static void stack_paint(void)
{
}

static uint32_t stack_used(const uint32_t *caller)
{
    (void)caller;
    return 0;
}
#endif

#if defined(TINYDSN_TRACE)
static uint32_t trace_frame, current_frame;
static int trace_file;

void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes);

void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes)
{
    if (trace_file != 0 && current_frame == trace_frame) {
        const uint32_t head[2] = {index, bytes};
        io_write(trace_file, head, sizeof head);
        io_write(trace_file, data, (int32_t)bytes);
    }
}
#endif

static void print_number(const char *name, uint32_t value)
{
    char digits[12];
    int at = (int)sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    io_print(name);
    io_print(&digits[at]);
}

static uint32_t number(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9') {
        value = 10 * value + (uint32_t)(*text++ - '0');
    }
    return value;
}

static int same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static int fail(const char *message)
{
    io_print(message);
    io_print("\n");
    return 1;
}

static int selftest(void)
{
#if defined(TINYDSN_HAS_SELFTEST)
    const int32_t result = tinydsn_selftest(context);
    print_number("{\"selftest\": ", (uint32_t)result);
    io_print("}\n");
    return result == 0 ? 0 : 1;
#else
    return fail("this build has no self-test");
#endif
}

/* Runs a block of frames; the samples that the last hop lacks are zero. */
static void run_block(tinydsn_t *network, uint32_t frames, int with_forced)
{
    for (uint32_t frame = 0; frame < frames; frame++) {
        if (with_forced) {
            tinydsn_force_gates(network, 0xFFFFFFFFu, forced[frame]);
        }
        tinydsn_process(network, &in[frame * TINYDSN_HOP], &out[frame * TINYDSN_HOP]);
        tinydsn_app_frame_end();
        words[frame] = tinydsn_gates(network);
#if defined(TINYDSN_TRACE)
        current_frame++;
#endif
    }
}

static int run_file(tinydsn_t *network, int input, int output, int gates, int forces, uint32_t *frames)
{
    for (;;) {
        const int32_t bytes = io_read(input, in, (int32_t)sizeof in);
        if (bytes <= 0) {
            return 0;
        }
        for (uint32_t i = (uint32_t)bytes / 2; i < sizeof in / sizeof in[0]; i++) {
            in[i] = 0;
        }
        const uint32_t count = ((uint32_t)bytes / 2 + TINYDSN_HOP - 1) / TINYDSN_HOP;
        if (forces != 0 && io_read(forces, forced, (int32_t)(4 * count)) != (int32_t)(4 * count)) {
            return fail("forced gates: too few words");
        }
        run_block(network, count, forces != 0);
        if (io_write(output, out, (int32_t)(2 * TINYDSN_HOP * count)) != 0
            || io_write(gates, words, (int32_t)(4 * count)) != 0) {
            return fail("cannot write the results");
        }
        *frames += count;
    }
}

int main(int argc, char **argv)
{
    char *arguments[MOST_ARGUMENTS] = {0};
    int count = io_arguments(argc, argv, arguments, MOST_ARGUMENTS);
    if (count == 1 && same(arguments[0], "--selftest")) {
        return selftest();
    }
#if defined(TINYDSN_TRACE)
    if (count > 3 && same(arguments[count - 3], "--trace")) {
        trace_frame = number(arguments[count - 2]);
        trace_file = io_open(arguments[count - 1], IO_WRITE);
        count -= 3;
    }
#else
    (void)number;
#endif
    if (count < 3) {
        return fail("arguments: in.pcm out.pcm gates.bin [forced.bin]");
    }
    const int input = io_open(arguments[0], IO_READ);
    const int output = io_open(arguments[1], IO_WRITE);
    const int gates = io_open(arguments[2], IO_WRITE);
    const int forces = count > 3 ? io_open(arguments[3], IO_READ) : 0;
    if (input == 0 || output == 0 || gates == 0 || (count > 3 && forces == 0)) {
        return fail("cannot open a file");
    }
    tinydsn_t *network = tinydsn_init(context);
    uint32_t frames = 0;
    stack_paint();
    if (run_file(network, input, output, gates, forces, &frames) != 0) {
        return 1;
    }
    const uint32_t stack = stack_used(stack_pointer());
    io_close(output);
    io_close(gates);
#if defined(TINYDSN_TRACE)
    if (trace_file != 0) {
        io_close(trace_file);
    }
#endif
    print_number("{\"frames\": ", frames);
    print_number(", \"stack\": ", stack);
    print_number(", \"context\": ", TINYDSN_CONTEXT_BYTES);
    io_print("}\n");
    return 0;
}
