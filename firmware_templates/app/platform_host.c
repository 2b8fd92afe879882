/* platform_host.c: the test program as an ordinary process. */
#include "platform.h"

#include <stdio.h>

#define FILES 5

static FILE *files[FILES];

int32_t platform_open(const char *name, int write)
{
    for (int32_t handle = 0; handle < FILES; handle++) {
        if (files[handle] == NULL) {
            files[handle] = fopen(name, write ? "wb" : "rb");
            return files[handle] != NULL ? handle : -1;
        }
    }
    return -1;
}

int32_t platform_read(int32_t handle, void *data, int32_t bytes)
{
    return (int32_t)fread(data, 1, (size_t)bytes, files[handle]);
}

int32_t platform_write(int32_t handle, const void *data, int32_t bytes)
{
    return fwrite(data, 1, (size_t)bytes, files[handle]) == (size_t)bytes ? 0 : -1;
}

int32_t platform_close(int32_t handle)
{
    FILE *file = files[handle];
    files[handle] = NULL;
    return fclose(file) == 0 ? 0 : -1;
}

void platform_print(const char *text)
{
    fputs(text, stdout);
}

uint32_t *platform_stack_limit(void)
{
    return NULL;
}

int main(int argc, char **argv)
{
    return app_main(argc, argv);
}
