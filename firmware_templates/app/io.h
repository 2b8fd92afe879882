/*
 * The application's window to the outside: arguments, files, console. Two implementations: the host's C
 * library (io_host.c) and Arm semihosting in an emulator (io_semihosting.c).
 */
#ifndef TINYDSN_IO_H
#define TINYDSN_IO_H

#include <stdint.h>

#define IO_READ 0
#define IO_WRITE 1

/* Splits the command line; returns the number of arguments after the program's name. */
int io_arguments(int argc, char **argv, char **arguments, int most);
/* A handle above 0, or 0. */
int io_open(const char *name, int mode);
/* Bytes read; less than asked for at the end of the file. */
int32_t io_read(int handle, void *data, int32_t bytes);
/* 0, or -1 when not all could be written. */
int io_write(int handle, const void *data, int32_t bytes);
void io_close(int handle);
void io_print(const char *text);
void io_exit(int code);

#endif
