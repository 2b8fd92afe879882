/* stm32f405.h: the registers that the example uses (reference manual RM0090, PM0214 for the core's). */
#ifndef STM32F405_H
#define STM32F405_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Reset and clock control, flash interface. */
#define RCC_CR REGISTER(0x40023800u)
#define RCC_PLLCFGR REGISTER(0x40023804u)
#define RCC_CFGR REGISTER(0x40023808u)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define FLASH_ACR REGISTER(0x40023C00u)

/* General-purpose timers with 32-bit counters. */
#define TIM2 0x40000000u
#define TIM5 0x40000C00u
#define TIM_CR1(timer) REGISTER((timer) + 0x00u)
#define TIM_DIER(timer) REGISTER((timer) + 0x0Cu)
#define TIM_SR(timer) REGISTER((timer) + 0x10u)
#define TIM_EGR(timer) REGISTER((timer) + 0x14u)
#define TIM_CNT(timer) REGISTER((timer) + 0x24u)
#define TIM_PSC(timer) REGISTER((timer) + 0x28u)
#define TIM_ARR(timer) REGISTER((timer) + 0x2Cu)
#define TIM2_INTERRUPT 28u

/* The core's interrupt controller and vector table. */
#define NVIC_ISER0 REGISTER(0xE000E100u)
#define SCB_VTOR REGISTER(0xE000ED08u)
#define EXCEPTIONS 16u
#define INTERRUPTS 82u

#endif
