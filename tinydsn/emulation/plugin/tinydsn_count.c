/*
 * tinydsn_count: a QEMU plugin that counts the instructions of each frame, by operator.
 *
 * Argument: config=FILE, a text file of lines
 *     process ADDRESS SIZE      tinydsn_process(): a frame starts at its entry
 *     end ADDRESS               a frame ends at this entry (called right after tinydsn_process() returned)
 *     op INDEX ADDRESS SIZE     an operator; INDEX from 0
 *     out FILE                  where the counts go
 * (numbers in decimal). The result is, all uint32 of the host: magic, frames, columns, then frames x columns:
 * column 0 is the runtime (tinydsn_process() itself and what it calls but operators), column 1 + INDEX an
 * operator with what it calls. The sum of a row is the frame: everything from the entry of tinydsn_process()
 * to the entry of the marker, so that the one or two instructions of the caller between both are in it.
 *
 * A count is of instructions that the emulator entered: one in an IT block whose condition fails counts, as
 * does a predicated MVE instruction; both also take issue slots on a core.
 *
 * Code is counted in translation blocks: a block runs from its first to its last instruction, but for faults
 * and for instructions that leave the translator's loop, which QEMU puts last in a block of their own.
 * Blocks end at calls, returns and branches; a block entered in the middle is a block of its own. So a
 * block's first address tells whose it is.
 *
 * QEMU ships no header for plugins; the prototypes below are those functions that did not change between
 * version 1 of the interface (QEMU 7.2) and the later ones. Link with nothing: QEMU exports them.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TINYDSN_PLUGIN_API
#define TINYDSN_PLUGIN_API 1
#endif

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
enum { QEMU_PLUGIN_CB_NO_REGS = 0 };

typedef void (*tb_trans_callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*vcpu_callback)(unsigned int vcpu, void *data);
typedef void (*exit_callback)(qemu_plugin_id_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_callback callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, vcpu_callback callback, int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_callback callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

#define EXPORT __attribute__((visibility("default")))
#define MAGIC 0x544E4344u /* "DCNT" */
#define MAX_OPERATORS 4096

EXPORT int qemu_plugin_version = TINYDSN_PLUGIN_API;

/* What the first address of a block says about the instructions that follow. */
enum kind { OTHER, FRAME_START, FRAME_END, RUNTIME, OPERATOR };

struct range {
    uint64_t start, size;
};

struct block {
    enum kind kind;
    uint32_t count, column;
};

static struct range process;
static struct range operators[MAX_OPERATORS];
static uint64_t end_address;
static uint32_t columns = 1;
static char output[4096];

static uint32_t *rows;
static uint32_t frames, capacity;
static int inside;
static uint32_t column;

static int in_range(struct range range, uint64_t address)
{
    return address - range.start < range.size;
}

static struct block classify(uint64_t address, uint32_t count)
{
    struct block block = {OTHER, count, 0};
    if (address == process.start) {
        block.kind = FRAME_START;
    } else if (address == end_address) {
        block.kind = FRAME_END;
    } else if (in_range(process, address)) {
        block.kind = RUNTIME;
    }
    for (uint32_t index = 0; index + 1 < columns; index++) {
        /* Not only the entry: where an operator calls another, its rest counts as its own again. */
        if (in_range(operators[index], address)) {
            block.kind = OPERATOR;
            block.column = 1 + index;
        }
    }
    return block;
}

static void start_frame(void)
{
    if (frames == capacity) {
        capacity = capacity ? 2 * capacity : 1024;
        rows = realloc(rows, (size_t)capacity * columns * sizeof *rows);
        if (rows == NULL) {
            fprintf(stderr, "tinydsn_count: out of memory\n");
            exit(1);
        }
    }
    memset(rows + (size_t)frames * columns, 0, columns * sizeof *rows);
    inside = 1;
    column = 0;
}

static void execute(unsigned int vcpu, void *data)
{
    const struct block *block = data;
    (void)vcpu;
    switch (block->kind) {
    case FRAME_START:
        start_frame();
        break;
    case FRAME_END:
        frames += inside != 0;
        inside = 0;
        break;
    case RUNTIME:
        column = 0;
        break;
    case OPERATOR:
        column = block->column;
        break;
    case OTHER:
        break;
    }
    if (inside) {
        rows[(size_t)frames * columns + column] += block->count;
    }
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    /* Never freed: QEMU does not say when a block dies, and code is small. */
    struct block *block = malloc(sizeof *block);
    if (block == NULL) {
        fprintf(stderr, "tinydsn_count: out of memory\n");
        exit(1);
    }
    *block = classify(qemu_plugin_tb_vaddr(tb), (uint32_t)qemu_plugin_tb_n_insns(tb));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, QEMU_PLUGIN_CB_NO_REGS, block);
}

static void finish(qemu_plugin_id_t id, void *data)
{
    const uint32_t head[3] = {MAGIC, frames, columns};
    const size_t words = (size_t)frames * columns;
    FILE *file = fopen(output, "wb");
    (void)id;
    (void)data;
    if (file == NULL || fwrite(head, sizeof head, 1, file) != 1 ||
        fwrite(rows, sizeof *rows, words, file) != words || fclose(file) != 0) {
        fprintf(stderr, "tinydsn_count: cannot write %s\n", output);
    }
}

static int read_config(const char *name)
{
    char line[4200];
    FILE *file = fopen(name, "r");
    if (file == NULL) {
        return -1;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t address, size;
        uint32_t index;
        if (sscanf(line, "process %" SCNu64 " %" SCNu64, &address, &size) == 2) {
            process = (struct range){address, size};
        } else if (sscanf(line, "end %" SCNu64, &address) == 1) {
            end_address = address;
        } else if (sscanf(line, "op %" SCNu32 " %" SCNu64 " %" SCNu64, &index, &address, &size) == 3) {
            if (index >= MAX_OPERATORS) {
                break;
            }
            operators[index] = (struct range){address, size};
            columns = index + 2 > columns ? index + 2 : columns;
        } else if (sscanf(line, "out %4095[^\n]", output) != 1) {
            break;
        }
    }
    const int complete = feof(file) && process.size != 0 && end_address != 0 && output[0] != '\0';
    fclose(file);
    return complete ? 0 : -1;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "config=", 7) != 0 || read_config(argv[0] + 7) != 0) {
        fprintf(stderr, "tinydsn_count: needs config=FILE with process, end and out\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
