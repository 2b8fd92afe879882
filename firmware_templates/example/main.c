/*
 * main.c: the network between a codec's buffers. The processor sleeps between frames; a frame that is not
 * finished when the codec needs it is counted (audio.h).
 *
 * Built with EXAMPLE_QEMU it takes "PERIOD_US GATES" from the command line (semihosting): the time between two
 * frames, and a gate word that overrules the model in every frame. It prints the report as one line of JSON
 * and ends with 0, 1 for late frames, 2 for output that is not the expected one, 3 for a wrong call.
 * On the part, a debugger reads the report in `example_report`.
 */
#include "codec.h"
#include "recording.h"
#include "semihosting.h"

#include <string.h>

/* Microseconds from a frame to the next in real time. */
#define PERIOD_US ((uint32_t)(UINT64_C(1000000) * TINYDSN_HOP / TINYDSN_SAMPLE_RATE))

typedef struct {
    uint32_t frames;     /* taken from the codec, of the recording and of the silence behind it */
    uint32_t period;     /* microseconds */
    uint32_t late;       /* results that were not in place when they were due */
    uint32_t first_late; /* or AUDIO_NONE */
    uint32_t time;       /* microseconds from start to end */
    uint32_t idle;       /* of them asleep */
    uint32_t worst;      /* of the longest frame */
    uint32_t output;     /* hash of what the codec played for the recording */
    uint32_t expected;   /* the same of the model's reference, all gates learned */
    uint32_t finished;   /* 1 when all of this is final */
} report_t;

volatile report_t example_report;

static uint64_t memory[(TINYDSN_CONTEXT_BYTES + 15) / 16 * 2] __attribute__((aligned(16)));
static audio_t audio;
static int16_t frame[TINYDSN_HOP];

static void run(uint32_t period, int force, uint32_t gates)
{
    tinydsn_t *ctx = tinydsn_init(memory);
    uint32_t worst = 0, frames = 0;
    if (force) {
        tinydsn_force_gates(ctx, UINT32_MAX, gates);
    }
    clock_start();
    audio_init(&audio);
    const uint32_t begin = clock_us();
    codec_start(&audio, period);
    for (;;) {
        audio_wait(&audio, frame);
        if (codec_finished()) {
            break;
        }
        const uint32_t before = clock_us();
        tinydsn_process(ctx, frame, frame);
        audio_deliver(&audio, frame);
        const uint32_t spent = clock_us() - before;
        worst = spent > worst ? spent : worst;
        frames++;
    }
    example_report = (report_t){
        .frames = frames,
        .period = period,
        .late = audio.late,
        .first_late = audio.first_late,
        .time = clock_us() - begin,
        .idle = audio.idle,
        .worst = worst,
        .output = codec_heard(),
        .expected = RECORDING_EXPECTED,
        .finished = 1,
    };
}

#if defined(EXAMPLE_QEMU)
static void print_number(const char *key, uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    semihosting_print(key);
    semihosting_print(first);
}

static void print_report(void)
{
    print_number("{\"frames\":", example_report.frames);
    print_number(",\"period_us\":", example_report.period);
    print_number(",\"late\":", example_report.late);
    if (example_report.first_late == AUDIO_NONE) {
        semihosting_print(",\"first_late\":null");
    } else {
        print_number(",\"first_late\":", example_report.first_late);
    }
    print_number(",\"time_us\":", example_report.time);
    print_number(",\"idle_us\":", example_report.idle);
    print_number(",\"worst_us\":", example_report.worst);
    print_number(",\"output\":", example_report.output);
    print_number(",\"expected\":", example_report.expected);
    semihosting_print("}\n");
}

/* The next decimal number of `*text`; 0 where there is none. */
static int next_number(const char **text, uint32_t *value)
{
    while (**text == ' ') {
        (*text)++;
    }
    const char *begin = *text;
    for (*value = 0; **text >= '0' && **text <= '9'; (*text)++) {
        *value = *value * 10 + (uint32_t)(**text - '0');
    }
    return *text != begin;
}

int main(void)
{
    char text[64];
    uint32_t period = PERIOD_US, gates = 0;
    const char *rest = semihosting_command_line(text, sizeof text) == 0 ? strchr(text, ' ') : NULL;
    const int given = rest != NULL && next_number(&rest, &period);
    const int force = given && next_number(&rest, &gates);
    if (period == 0 || (rest != NULL && *rest != '\0')) {
        semihosting_print("error: call: example [PERIOD_US [GATES]], numbers above zero in microseconds\n");
        return 3;
    }
    run(period, force, gates);
    print_report();
    if (example_report.late != 0) {
        return 1;
    }
    return force || example_report.output == example_report.expected ? 0 : 2;
}
#else
int main(void)
{
    run(PERIOD_US, 0, 0);
    for (;;) {
        wait_for_interrupt();
    }
}
#endif
