/* Input and output with the C library. */
#include "io.h"

#include <stdio.h>

#define FILES 8

static FILE *files[FILES];

int io_open(const char *name, int write)
{
    for (int file = 0; file < FILES; file++) {
        if (files[file] == NULL) {
            files[file] = fopen(name, write ? "wb" : "rb");
            return files[file] == NULL ? -1 : file;
        }
    }
    return -1;
}

uint32_t io_read(int file, void *data, uint32_t bytes)
{
    return (uint32_t)fread(data, 1, bytes, files[file]);
}

int io_write(int file, const void *data, uint32_t bytes)
{
    return fwrite(data, 1, bytes, files[file]) == bytes ? 0 : -1;
}

int io_close(int file)
{
    FILE *closed = files[file];
    files[file] = NULL;
    return fclose(closed);
}

void io_print(const char *text)
{
    fputs(text, stdout);
}
