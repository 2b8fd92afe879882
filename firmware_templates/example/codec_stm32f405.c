/*
 * codec_stm32f405.c: timer 2 stands for an audio codec and plays the recording; timer 5 is the clock.
 *
 * With EXAMPLE_QEMU for QEMU's machine netduinoplus2 (7.2), which has the timers, but no clock control, and
 * whose timers run at 1 GHz whatever the processor does.
 */
#include "codec.h"
#include "recording.h"
#include "stm32f405.h"

#include <string.h>

#if defined(EXAMPLE_QEMU)
#define TIMER_HZ 1000000000u
#else
#define TIMER_HZ 84000000u /* twice APB1's 42 MHz */
#endif
#define PRESCALER (TIMER_HZ / 1000000u - 1u)

/* Results come two frames after their input. */
#define DELAY 2

static uint32_t vectors[EXCEPTIONS + INTERRUPTS] __attribute__((aligned(512)));
static audio_t *line;
static volatile uint32_t periods; /* that have passed */
static uint32_t heard;

static void timer_start(uint32_t timer, uint32_t last, uint32_t interrupt)
{
    TIM_PSC(timer) = PRESCALER;
    TIM_ARR(timer) = last;
    TIM_EGR(timer) = 1; /* takes over both */
    TIM_SR(timer) = 0;
    TIM_DIER(timer) = interrupt;
    TIM_CR1(timer) = 1;
}

#if !defined(EXAMPLE_QEMU)
/* 168 MHz from the internal oscillator: 16 MHz / 16 * 336 / 2; APB1 at 42, APB2 at 84 MHz. */
static void pll_start(void)
{
    FLASH_ACR = 5u | 1u << 8 | 1u << 9 | 1u << 10; /* 5 wait states, prefetch, both caches */
    RCC_PLLCFGR = 16u | 336u << 6 | 7u << 24;      /* M, N, P = 2, source HSI, Q */
    RCC_CR |= 1u << 24;
    while ((RCC_CR & 1u << 25) == 0) {
    }
    RCC_CFGR = 5u << 10 | 4u << 13 | 2u;
    while ((RCC_CFGR >> 2 & 3u) != 2u) {
    }
    RCC_APB1ENR |= 1u << 0 | 1u << 3; /* timers 2 and 5 */
    (void)RCC_APB1ENR;                /* the clocks need two cycles */
}
#endif

void clock_start(void)
{
#if !defined(EXAMPLE_QEMU)
    pll_start();
#endif
    timer_start(TIM5, UINT32_MAX, 0);
}

uint32_t clock_us(void)
{
    return TIM_CNT(TIM5);
}

/* What the codec sends: the recording, then silence. */
static void capture(int16_t *in, uint32_t frame)
{
    if (frame < RECORDING_FRAMES) {
        memcpy(in, recording + frame * TINYDSN_HOP, TINYDSN_HOP * sizeof *in);
    } else {
        memset(in, 0, TINYDSN_HOP * sizeof *in);
    }
}

static void listen(const int16_t *out)
{
    for (int32_t i = 0; i < TINYDSN_HOP; i++) {
        heard = (heard ^ ((uint16_t)out[i] & 0xFFu)) * UINT32_C(16777619);
        heard = (heard ^ ((uint16_t)out[i] >> 8)) * UINT32_C(16777619);
    }
}

/* A codec's DMA moves the samples during the period; here all of them move at its end. */
static void codec_interrupt(void)
{
    TIM_SR(TIM2) = 0;
    const uint32_t frame = periods;
    if (frame < RECORDING_FRAMES + DELAY) {
        capture(line->in[line->side], frame);
        if (frame >= DELAY) {
            listen(line->out[line->side]);
        }
        audio_swap(line);
        periods = frame + 1;
    }
    if (codec_finished()) {
        TIM_CR1(TIM2) = 0;
    }
}

void codec_start(audio_t *audio, uint32_t period_us)
{
    line = audio;
    heard = UINT32_C(2166136261);
    /* The start-up code's table has the exceptions only; this one, in RAM, has the interrupts too. */
    memcpy(vectors, (const void *)(uintptr_t)SCB_VTOR, EXCEPTIONS * sizeof *vectors);
    vectors[EXCEPTIONS + TIM2_INTERRUPT] = (uint32_t)(uintptr_t)codec_interrupt;
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    __asm volatile("dsb\n isb" ::: "memory");
    timer_start(TIM2, period_us - 1u, 1);
    NVIC_ISER0 = 1u << TIM2_INTERRUPT;
}

int codec_finished(void)
{
    return periods == RECORDING_FRAMES + DELAY;
}

uint32_t codec_heard(void)
{
    return heard;
}
