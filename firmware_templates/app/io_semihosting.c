/* Input and output through Arm semihosting, as QEMU and debug probes offer it; empty on the host. */
#if defined(__arm__)
#include "io.h"

#include <stddef.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};
#define APPLICATION_EXIT 0x20026u
#define OPEN_READ_BINARY 1u
#define OPEN_WRITE_BINARY 5u

static int32_t call(int32_t operation, const void *block)
{
    register int32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = block;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int io_arguments(int argc, char **argv, char **arguments, int most)
{
    static char line[256];
    const uint32_t block[2] = {(uint32_t)line, sizeof line};
    int count = 0;
    (void)argc;
    (void)argv;
    if (call(SYS_GET_CMDLINE, block) != 0) {
        return 0;
    }
    for (char *text = line; *text != '\0' && count < most;) {
        while (*text == ' ') {
            *text++ = '\0';
        }
        if (*text != '\0') {
            arguments[count++] = text;
        }
        while (*text != ' ' && *text != '\0') {
            text++;
        }
    }
    return count;
}

int io_open(const char *name, int mode)
{
    uint32_t length = 0;
    while (name[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)name, mode == IO_READ ? OPEN_READ_BINARY : OPEN_WRITE_BINARY,
                               length};
    const int32_t handle = call(SYS_OPEN, block);
    return handle > 0 ? (int)handle : 0;
}

int32_t io_read(int handle, void *data, int32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, (uint32_t)bytes};
    return bytes - call(SYS_READ, block);
}

int io_write(int handle, const void *data, int32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, (uint32_t)bytes};
    return call(SYS_WRITE, block) == 0 ? 0 : -1;
}

void io_close(int handle)
{
    const uint32_t block[1] = {(uint32_t)handle};
    call(SYS_CLOSE, block);
}

void io_print(const char *text)
{
    call(SYS_WRITE0, text);
}

void io_exit(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    call(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
#endif
