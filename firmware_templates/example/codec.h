/*
 * codec.h: what the application needs from the part: its clocks, sleep, and a codec that calls
 * audio_swap() from its interrupt. codec_stm32f405.c lets a timer stand for the codec and plays a recording;
 * a product replaces it by its I2S or SAI driver, which calls audio_swap() from the DMA's half-transfer and
 * transfer-complete interrupts, with audio->in[] and audio->out[] as the DMA's two halves.
 */
#ifndef CODEC_H
#define CODEC_H

#include "audio.h"

/* Brings the processor and the timers to speed; first of all. */
void clock_start(void);

/* Microseconds; wraps after 71 minutes. */
uint32_t clock_us(void);

/* Starts the codec, which has a frame every `period_us` microseconds. */
void codec_start(audio_t *audio, uint32_t period_us);

/* Whether the recording was played to its end; the codec then stands still. */
int codec_finished(void);

/* 32-bit FNV-1a over the bytes, low byte first, of all samples that answered the recording. */
uint32_t codec_heard(void);

static inline void interrupts_off(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

/* The barrier lets an interrupt that waits come in at once. */
static inline void interrupts_on(void)
{
    __asm volatile("cpsie i\n isb" ::: "memory");
}

static inline void wait_for_interrupt(void)
{
    __asm volatile("dsb\n wfi" ::: "memory");
}

#endif
