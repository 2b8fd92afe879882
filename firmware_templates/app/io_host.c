/* Input and output through the C library; empty on a board. */
#if !defined(__arm__)
#include "io.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_FILES 8
static FILE *files[MOST_FILES + 1];

int io_arguments(int argc, char **argv, char **arguments, int most)
{
    int count = 0;
    for (int i = 1; i < argc && count < most; i++) {
        arguments[count++] = argv[i];
    }
    return count;
}

int io_open(const char *name, int mode)
{
    for (int handle = 1; handle <= MOST_FILES; handle++) {
        if (files[handle] == NULL) {
            files[handle] = fopen(name, mode == IO_READ ? "rb" : "wb");
            return files[handle] != NULL ? handle : 0;
        }
    }
    return 0;
}

int32_t io_read(int handle, void *data, int32_t bytes)
{
    return (int32_t)fread(data, 1, (size_t)bytes, files[handle]);
}

int io_write(int handle, const void *data, int32_t bytes)
{
    return fwrite(data, 1, (size_t)bytes, files[handle]) == (size_t)bytes ? 0 : -1;
}

void io_close(int handle)
{
    fclose(files[handle]);
    files[handle] = NULL;
}

void io_print(const char *text)
{
    fputs(text, stdout);
}

void io_exit(int code)
{
    exit(code);
}
#endif
