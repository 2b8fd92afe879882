/* startup.h: what the linker script and the start-up code know. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* The lowest word of the stack. */
extern uint32_t startup_stack_limit[];

/* Where the program ends; simulators without semihosting stop here. The exit code is in r0. */
void startup_exit(int32_t code);

#endif
