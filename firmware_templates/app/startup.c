/* startup.c: vector table, and the way from reset to main() on a Cortex-M4, M7, M33 or M55. */
#include "startup.h"

#include "semihosting.h"

#include <string.h>

/* Places that the linker script names. */
extern uint32_t startup_stack_top[];
extern uint8_t startup_data[], startup_data_end[], startup_data_image[];
extern uint8_t startup_bss[], startup_bss_end[];

int main(void);
void startup_reset(void);
void startup_run(void);

__attribute__((noinline, used)) void startup_exit(int32_t code)
{
    semihosting_exit(code);
    for (;;) {
    }
}

/* Exit codes above 127 are those of faults: 128 + the number of the exception. */
static void startup_fault(void)
{
    uint32_t number;
    __asm volatile("mrs %0, ipsr" : "=r"(number));
    semihosting_print("error: the processor faulted\n");
    startup_exit(128 + (int32_t)(number & 0x7Fu));
}

__attribute__((used, section(".vectors"))) static const uintptr_t vectors[16] = {
    (uintptr_t)startup_stack_top,
    (uintptr_t)startup_reset,
    (uintptr_t)startup_fault, /* NMI */
    (uintptr_t)startup_fault, /* HardFault */
    (uintptr_t)startup_fault, /* MemManage */
    (uintptr_t)startup_fault, /* BusFault */
    (uintptr_t)startup_fault, /* UsageFault */
    (uintptr_t)startup_fault, /* SecureFault */
    0,
    0,
    0,
    (uintptr_t)startup_fault, /* SVCall */
    (uintptr_t)startup_fault, /* DebugMonitor */
    0,
    (uintptr_t)startup_fault, /* PendSV */
    (uintptr_t)startup_fault, /* SysTick */
};

/*
 * Naked, so that the compiler can use no floating-point register before the unit is on:
 * VTOR = vectors; CPACR: full access to CP10 and CP11 (FPU and MVE); on Armv8.1-M CCR.LOB (bit 19), without
 * which low-overhead loops fault.
 */
__attribute__((naked, noreturn)) void startup_reset(void)
{
    __asm volatile(
        "ldr r0, =0xE000ED08\n"
        "ldr r1, =%c0\n"
        "str r1, [r0]\n"
        "ldr r0, =0xE000ED88\n"
        "ldr r1, [r0]\n"
        "orr r1, r1, #0x00F00000\n"
        "str r1, [r0]\n"
#if defined(__ARM_FEATURE_MVE) || defined(__ARM_ARCH_8_1M_MAIN__)
        "ldr r0, =0xE000ED14\n"
        "ldr r1, [r0]\n"
        "orr r1, r1, #0x00080000\n"
        "str r1, [r0]\n"
#endif
        "dsb\n"
        "isb\n"
        "b startup_run\n"
        ".ltorg\n"
        :
        : "i"(vectors));
}

__attribute__((used)) void startup_run(void)
{
    memcpy(startup_data, startup_data_image, (size_t)(startup_data_end - startup_data));
    memset(startup_bss, 0, (size_t)(startup_bss_end - startup_bss));
    startup_exit(main());
}
