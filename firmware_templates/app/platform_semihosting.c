/* platform_semihosting.c: files, console and command line by Arm semihosting. */
#include "platform.h"
#include "semihosting.h"
#include "startup.h"

#define ARGUMENTS 8

int32_t platform_open(const char *name, int write)
{
    return semihosting_open(name, write);
}

int32_t platform_read(int32_t handle, void *data, int32_t bytes)
{
    return semihosting_read(handle, data, bytes);
}

int32_t platform_write(int32_t handle, const void *data, int32_t bytes)
{
    return semihosting_write(handle, data, bytes) == 0 ? 0 : -1;
}

int32_t platform_close(int32_t handle)
{
    return semihosting_close(handle);
}

void platform_print(const char *text)
{
    semihosting_print(text);
}

uint32_t *platform_stack_limit(void)
{
    return startup_stack_limit;
}

/* The command line cut at blanks; names of files must not hold any. */
int main(void)
{
    char line[256];
    char *arguments[ARGUMENTS];
    int count = 0;
    if (semihosting_command_line(line, sizeof line) != 0) {
        line[0] = '\0';
    }
    for (char *next = line; *next != '\0' && count < ARGUMENTS; ) {
        arguments[count++] = next;
        while (*next != '\0' && *next != ' ') {
            next++;
        }
        while (*next == ' ') {
            *next++ = '\0';
        }
    }
    return app_main(count, arguments);
}
