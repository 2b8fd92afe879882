/* Vector table and start of a Cortex-M program; reset_handler() runs main() and ends with its exit code. */
#include "io.h"

#include <stdint.h>
#include <string.h>

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define CCR_LOB (UINT32_C(1) << 19)
#define FAULT_CODE 3

extern uint32_t __data_load, __data_start, __data_end, __bss_start, __bss_end, __stack_top;

int main(int argc, char **argv);
void reset_handler(void);

static void fault_handler(void)
{
    io_print("fault: the program stopped on a processor exception\n");
    io_exit(FAULT_CODE);
}

typedef void (*handler)(void);

/* Stack pointer and reset, then the exceptions; interrupts stay off. */
static const handler vectors[16] __attribute__((section(".vectors"), used)) = {
    (handler)&__stack_top, reset_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    fault_handler, fault_handler, fault_handler, fault_handler,
};

static size_t bytes_between(const uint32_t *start, const uint32_t *end)
{
    return (size_t)((uintptr_t)end - (uintptr_t)start);
}

static int enter(void)
{
    const char *words[1 + IO_MAX_WORDS] = {"tinydsn"};
    memcpy(&__data_start, &__data_load, bytes_between(&__data_start, &__data_end));
    memset(&__bss_start, 0, bytes_between(&__bss_start, &__bss_end));
    return main(1 + io_arguments(words + 1), (char **)(uintptr_t)words);
}

/* Floating point and MVE must be on before any function that the compiler may vectorise. */
void reset_handler(void)
{
    CPACR |= UINT32_C(0xF) << 20;
#if defined(__ARM_FEATURE_LOB) || (defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE)
    CCR |= CCR_LOB;
#endif
    __asm volatile("dsb\n isb" ::: "memory");
    io_exit(enter());
}
