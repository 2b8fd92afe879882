/*
 * Input and output through memory, for simulators without semihosting files.
 *
 * A file is a memory at a fixed address: a word with the number of bytes, then the bytes. The simulator loads
 * "in.pcm" and "forced.bin" there and dumps the others after the program stopped in io_stop().
 */
#ifdef TINYDSN_IO_MEMORY

#include "io.h"

#include <string.h>

#define FILES 4
#define BASE 0x60000000u
#define STRIDE 0x01000000u
#define SYS_WRITE0 0x04

static const char *const names[FILES] = {"in.pcm", "out.pcm", "gates.bin", "forced.bin"};
static uint32_t places[FILES];

/* The exit code: a simulator waits for this function and reads its argument. */
void io_stop(int code) __attribute__((noreturn, noinline, used));

static volatile uint32_t *size_of(int file)
{
    return (volatile uint32_t *)(BASE + (uint32_t)file * STRIDE);
}

static uint8_t *next(int file)
{
    return (uint8_t *)(BASE + (uint32_t)file * STRIDE + 4u + places[file]);
}

int io_open(const char *name, int write)
{
    for (int file = 0; file < FILES; file++) {
        if (strcmp(name, names[file]) == 0) {
            places[file] = 0;
            if (write) {
                *size_of(file) = 0;
            }
            return file;
        }
    }
    return -1;
}

uint32_t io_read(int file, void *data, uint32_t bytes)
{
    const uint32_t left = *size_of(file) - places[file];
    const uint32_t count = bytes < left ? bytes : left;
    memcpy(data, next(file), count);
    places[file] += count;
    return count;
}

int io_write(int file, const void *data, uint32_t bytes)
{
    if (bytes > STRIDE - 4u - places[file]) {
        return -1;
    }
    memcpy(next(file), data, bytes);
    places[file] += bytes;
    *size_of(file) = places[file];
    return 0;
}

int io_close(int file)
{
    (void)file;
    return 0;
}

void io_print(const char *text)
{
    register int32_t r0 __asm("r0") = SYS_WRITE0;
    register const char *r1 __asm("r1") = text;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

/* Without "forced.bin" where that memory is empty. */
int io_arguments(const char *words[IO_MAX_WORDS])
{
    const int count = *size_of(FILES - 1) != 0 ? FILES : FILES - 1;
    memcpy(words, names, sizeof names);
    return count;
}

void io_stop(int code)
{
    for (;;) {
        __asm volatile("" : : "r"(code) : "memory");
    }
}

void io_exit(int code)
{
    io_stop(code);
}

#endif
