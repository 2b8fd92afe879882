/*
 * platform_memory.c: "files" in two pieces of memory, for simulators without semihosting files.
 *
 * The simulator loads the first piece before the start: a header of four words (bytes of PCM, bytes of
 * forced gate words, offset of the gate words in the second piece, 0), the PCM, the forced gate words. It
 * saves the second one when the program stops at startup_exit(): four words (bytes of PCM, bytes of gate
 * words, 0, 0), the PCM, and, at the offset asked for, the gate words. Addresses come from the linker script.
 */
#include "platform.h"
#include "semihosting.h"
#include "startup.h"

#include <string.h>

#define HEADER 16

extern uint8_t tinydsn_io_in[], tinydsn_io_out[];

typedef struct {
    uint8_t *data;
    int32_t size;   /* bytes that can be read; unused for writing */
    int32_t offset;
} file_t;

/* In the order of app_main()'s arguments: PCM in, PCM out, gate words, forced gate words. */
static file_t files[4];

int32_t platform_open(const char *name, int write)
{
    (void)write;
    return name[0] - '0';
}

int32_t platform_read(int32_t handle, void *data, int32_t bytes)
{
    file_t *file = &files[handle];
    const int32_t left = file->size - file->offset;
    const int32_t count = bytes < left ? bytes : left;
    memcpy(data, file->data + file->offset, (size_t)count);
    file->offset += count;
    return count;
}

int32_t platform_write(int32_t handle, const void *data, int32_t bytes)
{
    file_t *file = &files[handle];
    memcpy(file->data + file->offset, data, (size_t)bytes);
    file->offset += bytes;
    return 0;
}

int32_t platform_close(int32_t handle)
{
    const int32_t slot = handle - 1;
    memcpy(tinydsn_io_out + 4 * slot, &files[handle].offset, 4);
    return 0;
}

void platform_print(const char *text)
{
    semihosting_print(text);
}

uint32_t *platform_stack_limit(void)
{
    return startup_stack_limit;
}

int main(void)
{
    static char names[5][2] = { "-", "0", "1", "2", "3" };
    char *arguments[5] = { names[0], names[1], names[2], names[3], names[4] };
    int32_t header[4];
    memcpy(header, tinydsn_io_in, sizeof header);
    files[0] = (file_t){ tinydsn_io_in + HEADER, header[0], 0 };
    files[1] = (file_t){ tinydsn_io_out + HEADER, 0, 0 };
    files[2] = (file_t){ tinydsn_io_out + header[2], 0, 0 };
    files[3] = (file_t){ tinydsn_io_in + HEADER + header[0], header[1], 0 };
    return app_main(header[1] > 0 ? 5 : 4, arguments);
}
