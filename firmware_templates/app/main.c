/*
 * main.c: the program that tests a generated network: PCM of a file goes through it, frame by frame.
 *
 *     tinydsn_app IN OUT GATES [FORCED] [--trace FRAME FILE]
 *     tinydsn_app --selftest
 *
 * IN and OUT are int16 PCM, little endian, without a header; a last frame that is not full is filled with
 * zeros. OUT of a model with several output channels has a hop of each of them in turn, frame by frame.
 * GATES receives the gate word of each frame (uint32), FORCED holds one that overrules the model's
 * decisions for each frame. With -DTINYDSN_TRACE, FILE receives what each operator wrote in frame FRAME. The last line printed is JSON. Exit code: 0, 1 for a self-test that failed,
 * 2 for a wrong call, 3 for a file that fails, 4 for a stack that is too small.
 */
#include "platform.h"
#include "tinydsn.h"

#include <string.h>

/* Frames between file accesses: each one stops the emulator. */
#define BLOCK 4

/* Samples that a frame gives. */
#define GIVEN (TINYDSN_OUTPUT_CHANNELS * TINYDSN_HOP)

#define PAINT UINT32_C(0x5AA5C33C)

/* Buffers that only this program needs; the linker script keeps them apart from the network's RAM. */
#if defined(__arm__)
#define APP_BUFFER __attribute__((section(".app_heap")))
#else
#define APP_BUFFER
#endif

/* A compiler that clones or inlines app_frames() takes from the counting plugin its mark of a frame's end. */
#if defined(__clang__)
#define APP_OWN_SYMBOL __attribute__((noinline))
#else
#define APP_OWN_SYMBOL __attribute__((noipa))
#endif

static uint64_t memory[(TINYDSN_CONTEXT_BYTES + 15) / 16 * 2] __attribute__((aligned(16)));
static int16_t input[BLOCK * TINYDSN_HOP] APP_BUFFER;
static int16_t output[BLOCK * GIVEN] APP_BUFFER;
static uint32_t forced[BLOCK] APP_BUFFER;
static uint32_t gates[BLOCK] APP_BUFFER;

/* Fills the unused stack with a pattern. What lies below the stack pointer belongs to nobody. */
static inline __attribute__((always_inline)) void paint_stack(volatile uint32_t *limit, const void *pointer)
{
    for (volatile uint32_t *word = limit; word < (const uint32_t *)pointer; word++) {
        *word = PAINT;
    }
}

/* Bytes between the stack pointer and the lowest word that has lost the pattern. */
static inline __attribute__((always_inline)) uint32_t used_stack(volatile uint32_t *limit, const void *pointer)
{
    volatile uint32_t *word = limit;
    while (word < (const uint32_t *)pointer && *word == PAINT) {
        word++;
    }
    return (uint32_t)((const char *)pointer - (const char *)word);
}

static inline __attribute__((always_inline)) const void *stack_pointer(void)
{
#if defined(__arm__)
    const void *pointer;
    __asm volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
#else
    return NULL;
#endif
}

/* A mark that the counting plugin sees: here a frame is over. */
void tinydsn_app_frame_end(void);
APP_OWN_SYMBOL void tinydsn_app_frame_end(void)
{
    __asm volatile("" ::: "memory");
}

#if defined(TINYDSN_TRACE)
static int32_t trace_file = -1;
static uint32_t trace_frame, current_frame;

/* Called by the generated code behind each operator: index, bytes and data go to the trace's file. */
void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes);
void tinydsn_trace(uint32_t index, const void *data, uint32_t bytes)
{
    const uint32_t head[2] = {index, bytes};
    if (trace_file >= 0 && current_frame == trace_frame) {
        platform_write(trace_file, head, (int32_t)sizeof head);
        platform_write(trace_file, data, (int32_t)bytes);
    }
}

static int open_trace(const char *frame, const char *name)
{
    for (trace_frame = 0; *frame != '\0'; frame++) {
        trace_frame = trace_frame * 10 + (uint32_t)(*frame - '0');
    }
    trace_file = platform_open(name, 1);
    return trace_file >= 0;
}
#endif

/* Processes `count` frames and gives the bytes of stack that this took. */
APP_OWN_SYMBOL uint32_t app_frames(tinydsn_t *ctx, int32_t count, int force)
{
    const void *pointer = stack_pointer();
    uint32_t *limit = platform_stack_limit();
    if (limit != NULL) {
        paint_stack(limit, pointer);
    }
    for (int32_t frame = 0; frame < count; frame++) {
        if (force) {
            tinydsn_force_gates(ctx, UINT32_MAX, forced[frame]);
        }
        tinydsn_process(ctx, input + frame * TINYDSN_HOP, output + frame * GIVEN);
        tinydsn_app_frame_end();
        gates[frame] = tinydsn_gates(ctx);
#if defined(TINYDSN_TRACE)
        current_frame++;
#endif
    }
    return limit != NULL ? used_stack(limit, pointer) : 0;
}

static char *append(char *end, const char *text)
{
    const size_t length = strlen(text);
    memcpy(end, text, length + 1);
    return end + length;
}

static char *append_number(char *end, const char *key, uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return append(append(end, key), first);
}

static int fail(int code, const char *what, const char *name)
{
    platform_print("error: ");
    platform_print(what);
    platform_print(name);
    platform_print("\n");
    return code;
}

/* Reads the next block: frames, 0 at the end of the input. */
static int32_t read_block(int32_t in)
{
    const int32_t bytes = platform_read(in, input, sizeof input);
    memset((char *)input + bytes, 0, sizeof input - (size_t)bytes);
    return (bytes + TINYDSN_HOP * 2 - 1) / (TINYDSN_HOP * 2);
}

static int run_files(char **names, int count)
{
    const int32_t in = platform_open(names[0], 0);
    if (in < 0) {
        return fail(3, "cannot open ", names[0]);
    }
    const int32_t out = platform_open(names[1], 1);
    const int32_t words = platform_open(names[2], 1);
    const int32_t force = count > 3 ? platform_open(names[3], 0) : -1;
    if (out < 0 || words < 0 || (count > 3 && force < 0)) {
        return fail(3, "cannot open ", out < 0 ? names[1] : words < 0 ? names[2] : names[3]);
    }
    tinydsn_t *ctx = tinydsn_init(memory);
    if (ctx == NULL || tinydsn_size() > sizeof memory) {
        return fail(2, "tinydsn_init refuses the memory", "");
    }
    uint32_t frames = 0, stack = 0;
    for (int32_t got = read_block(in); got > 0; got = read_block(in)) {
        const int32_t size = got * (int32_t)sizeof(uint32_t);
        if (force >= 0 && platform_read(force, forced, size) != size) {
            return fail(3, "fewer gate words than frames in ", names[3]);
        }
        const uint32_t used = app_frames(ctx, got, force >= 0);
        stack = used > stack ? used : stack;
        frames += (uint32_t)got;
        if (platform_write(out, output, got * GIVEN * 2) != 0 || platform_write(words, gates, size) != 0) {
            return fail(3, "cannot write ", names[1]);
        }
    }
#if defined(TINYDSN_TRACE)
    if (trace_file >= 0) {
        platform_close(trace_file);
    }
#endif
    if (platform_close(out) != 0 || platform_close(words) != 0) {
        return fail(3, "cannot write ", names[1]);
    }
    const uint32_t *limit = platform_stack_limit();
    if (limit != NULL && *limit != PAINT && frames != 0) {
        return fail(4, "the stack is too small", "");
    }
    char line[160];
    char *end = append_number(line, "{\"frames\":", frames);
    end = append_number(end, ",\"hop\":", TINYDSN_HOP);
#if TINYDSN_OUTPUT_CHANNELS > 1
    end = append_number(end, ",\"channels\":", TINYDSN_OUTPUT_CHANNELS);
#endif
    end = append_number(end, ",\"gates\":", TINYDSN_GATES);
    end = append_number(end, ",\"context\":", (uint32_t)tinydsn_size());
    end = limit == NULL ? append(end, ",\"stack\":null") : append_number(end, ",\"stack\":", stack);
    append(end, "}\n");
    platform_print(line);
    return 0;
}

static int run_selftest(void)
{
#if defined(TINYDSN_SELFTEST_FRAMES)
    const int32_t result = tinydsn_selftest(memory);
    char line[64];
    char *end = append_number(line, "{\"selftest\":", (uint32_t)(result < 0 ? 0 : result));
    append(append(end, ",\"ok\":"), result == 0 ? "true}\n" : "false}\n");
    platform_print(line);
    return result == 0 ? 0 : 1;
#else
    return fail(2, "this project was generated without a self-test", "");
#endif
}

int app_main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--selftest") == 0) {
        return run_selftest();
    }
#if defined(TINYDSN_TRACE)
    if (argc > 6 && strcmp(argv[argc - 3], "--trace") == 0) {
        if (!open_trace(argv[argc - 2], argv[argc - 1])) {
            return fail(3, "cannot open ", argv[argc - 1]);
        }
        argc -= 3;
    }
#endif
    if (argc != 4 && argc != 5) {
        return fail(2, "call: tinydsn_app IN OUT GATES [FORCED], or --selftest", "");
    }
    return run_files(argv + 1, argc - 1);
}
