/* Input and output through Arm semihosting (BKPT 0xAB), version 2 for the exit code. */
#ifndef TINYDSN_IO_MEMORY

#include "io.h"

#include <string.h>

#define SYS_OPEN 0x01
#define SYS_CLOSE 0x02
#define SYS_WRITE0 0x04
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_GET_CMDLINE 0x15
#define SYS_EXIT_EXTENDED 0x20

#define OPEN_READ_BINARY 1
#define OPEN_WRITE_BINARY 5
#define APPLICATION_EXIT 0x20026

static int32_t call(int32_t operation, const void *parameter)
{
    register int32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = parameter;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int io_open(const char *name, int write)
{
    const uint32_t mode = write ? OPEN_WRITE_BINARY : OPEN_READ_BINARY;
    const uint32_t block[3] = {(uint32_t)name, mode, strlen(name)};
    return call(SYS_OPEN, block);
}

uint32_t io_read(int file, void *data, uint32_t bytes)
{
    uint32_t done = 0;
    while (done < bytes) {
        const uint32_t block[3] = {(uint32_t)file, (uint32_t)data + done, bytes - done};
        const uint32_t missing = (uint32_t)call(SYS_READ, block);
        if (missing >= bytes - done) {
            break;
        }
        done = bytes - missing;
    }
    return done;
}

int io_write(int file, const void *data, uint32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)data, bytes};
    return call(SYS_WRITE, block);
}

int io_close(int file)
{
    const uint32_t block[1] = {(uint32_t)file};
    return call(SYS_CLOSE, block);
}

void io_print(const char *text)
{
    call(SYS_WRITE0, text);
}

int io_arguments(const char *words[IO_MAX_WORDS])
{
    static char line[IO_LINE_BYTES];
    const uint32_t block[2] = {(uint32_t)line, sizeof line};
    int count = 0;
    if (call(SYS_GET_CMDLINE, block) != 0) {
        return 0;
    }
    char *next = strchr(line, ' ');
    while (next != NULL && count < IO_MAX_WORDS) {
        *next++ = '\0';
        words[count++] = next;
        next = strchr(next, ' ');
    }
    return count;
}

void io_exit(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    call(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

#endif
