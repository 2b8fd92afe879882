/* semihosting.c: requests to the debugger or emulator. */
#include "semihosting.h"

#include <string.h>

#define SYS_OPEN 0x01
#define SYS_CLOSE 0x02
#define SYS_WRITE0 0x04
#define SYS_WRITE 0x05
#define SYS_READ 0x06
#define SYS_GET_CMDLINE 0x15
#define SYS_EXIT_EXTENDED 0x20

#define MODE_READ_BINARY 1u
#define MODE_WRITE_BINARY 5u
#define ADP_STOPPED_APPLICATION_EXIT 0x20026u

/* Operation in r0, its argument (mostly the address of a block of words) in r1; the answer comes in r0. */
static int32_t request(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

int32_t semihosting_open(const char *name, int write)
{
    const uint32_t block[3] = {
        (uint32_t)(uintptr_t)name, write ? MODE_WRITE_BINARY : MODE_READ_BINARY, (uint32_t)strlen(name)
    };
    return request(SYS_OPEN, block);
}

int32_t semihosting_close(int32_t handle)
{
    const uint32_t block[1] = { (uint32_t)handle };
    return request(SYS_CLOSE, block);
}

int32_t semihosting_read(int32_t handle, void *data, int32_t bytes)
{
    const uint32_t block[3] = { (uint32_t)handle, (uint32_t)(uintptr_t)data, (uint32_t)bytes };
    /* The answer is how many bytes are missing. */
    return bytes - request(SYS_READ, block);
}

int32_t semihosting_write(int32_t handle, const void *data, int32_t bytes)
{
    const uint32_t block[3] = { (uint32_t)handle, (uint32_t)(uintptr_t)data, (uint32_t)bytes };
    return request(SYS_WRITE, block);
}

void semihosting_print(const char *text)
{
    request(SYS_WRITE0, text);
}

int32_t semihosting_command_line(char *buffer, int32_t size)
{
    const uint32_t block[2] = { (uint32_t)(uintptr_t)buffer, (uint32_t)size };
    return request(SYS_GET_CMDLINE, block);
}

void semihosting_exit(int32_t code)
{
    const uint32_t block[2] = { ADP_STOPPED_APPLICATION_EXIT, (uint32_t)code };
    request(SYS_EXIT_EXTENDED, block);
}
