/* semihosting.h: requests to the debugger or emulator (Arm, "Semihosting for AArch32 and AArch64"). */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

/* Opens a file for reading, or (write != 0) for writing from its start; a handle, or -1. */
int32_t semihosting_open(const char *name, int write);

/* Closes a file; 0, or -1. */
int32_t semihosting_close(int32_t handle);

/* Reads up to `bytes` bytes; how many were read. */
int32_t semihosting_read(int32_t handle, void *data, int32_t bytes);

/* Writes; how many bytes were NOT written. */
int32_t semihosting_write(int32_t handle, const void *data, int32_t bytes);

/* Text for the console. */
void semihosting_print(const char *text);

/* The command line as one string; 0, or -1 where there is none or the buffer is too small. */
int32_t semihosting_command_line(char *buffer, int32_t size);

/* Ends the emulation with an exit code. */
void semihosting_exit(int32_t code);

#endif
