/*
 * platform.h: what the test program needs from where it runs. There are three implementations:
 * platform_host.c (an ordinary process), platform_semihosting.c (a debugger or emulator serves files and the
 * console), and platform_memory.c (a simulator loads and saves pieces of memory).
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdint.h>

/* Opens a file for reading, or (write != 0) for writing from its start; a handle, or -1. */
int32_t platform_open(const char *name, int write);

/* Reads up to `bytes` bytes; how many there were, 0 at the end. */
int32_t platform_read(int32_t handle, void *data, int32_t bytes);

/* Writes all `bytes` bytes; 0, or -1 where that failed. */
int32_t platform_write(int32_t handle, const void *data, int32_t bytes);

/* Closes a file; 0, or -1 where what was written may be lost. */
int32_t platform_close(int32_t handle);

/* Text for the person or program that watches. */
void platform_print(const char *text);

/* The lowest address of the stack, NULL where the stack is not measured. */
uint32_t *platform_stack_limit(void);

/* The test program (main.c); its result is the exit code. */
int app_main(int argc, char **argv);

#endif
