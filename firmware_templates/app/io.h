/*
 * io.h: files, console and exit of the program around the network.
 *
 * io_host.c uses the C library; io_semihosting.c asks the emulator or debugger; io_memory.c (compiled with
 * -DTINYDSN_IO_MEMORY) finds its files in memories that a simulator loaded and dumps.
 */
#ifndef IO_H
#define IO_H

#include <stdint.h>

/* Most words of a command line, and bytes of it. */
#define IO_MAX_WORDS 8
#define IO_LINE_BYTES 256

/* A file; -1 where it cannot be opened. */
int io_open(const char *name, int write);

/* Reads up to `bytes`; the number read, which is less only at the end of the file. */
uint32_t io_read(int file, void *data, uint32_t bytes);

/* Writes all of `data`; 0 if that went well. */
int io_write(int file, const void *data, uint32_t bytes);

int io_close(int file);

/* Prints to the console. */
void io_print(const char *text);

#ifdef __arm__
/* Fills `words` with the words of the command line after the program's name; how many there are. */
int io_arguments(const char *words[IO_MAX_WORDS]);

/* Ends the program, and the emulator. */
void io_exit(int code) __attribute__((noreturn));
#endif

#endif
