/* Reset handler and vector table of a Cortex-M board; empty on the host. */
#if defined(__arm__)
#include <stdint.h>

#include "io.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define FPU_AND_MVE (0xFu << 20)
#define LOOP_AND_BRANCH_INFO_CACHE (1u << 19)

extern uint32_t __data_load, __data_start, __data_end, __bss_start, __bss_end, __stack_top;
int main(int argc, char **argv);

static void fault(void)
{
    io_print("fault\n");
    io_exit(3);
}

__attribute__((noreturn)) void tinydsn_app_reset(void)
{
    CPACR |= FPU_AND_MVE;
#if defined(__ARM_FEATURE_MVE)
    CCR |= LOOP_AND_BRANCH_INFO_CACHE;
#endif
    __asm volatile("dsb\n isb" ::: "memory");
    const uint32_t *from = &__data_load;
    for (uint32_t *to = &__data_start; to < &__data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &__bss_start; to < &__bss_end;) {
        *to++ = 0;
    }
    io_exit(main(0, (char **)0));
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &__stack_top,
    (const void *)tinydsn_app_reset,
    [2] = (const void *)fault,
    [3] = (const void *)fault,
    [4] = (const void *)fault,
    [5] = (const void *)fault,
    [6] = (const void *)fault,
    [7] = (const void *)fault,
    [11] = (const void *)fault,
    [14] = (const void *)fault,
    [15] = (const void *)fault,
};
#endif
