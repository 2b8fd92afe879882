/*
 * tinydsn_count.c: a QEMU plugin that counts the instructions a frame executes, in all and by operator.
 *
 *     -plugin tinydsn_count.so,map=FILE,out=FILE[,functions=FILE]
 *
 * The map names addresses, one line each, numbers in hexadecimal without 0x:
 *
 *     columns N            operators; a row of the output has one number more, for the code between them
 *     frame LOW HIGH       code that runs a frame (tinydsn_process); the first such LOW is its entry
 *     outside LOW HIGH     code that calls it; being there ends the frame
 *     operator LOW COLUMN  entry of an operator (column in hexadecimal, too)
 *     function LOW HIGH    code of a function, for the second output; the first such line is function 0
 *
 * The output has one row of N + 1 uint32 (little endian on every host that QEMU is shipped for) a frame;
 * the last number is "runtime": the frame's own code and everything it calls that is no operator. A row's
 * sum is the frame's total, from the first instruction of tinydsn_process to its return.
 *
 * Whatever an operator calls counts as that operator, until execution comes back to the frame's code or
 * leaves it; returns need no watching, and a tail call of the last operator is no special case. An operator
 * entered from another one does not change the column (identical functions may be merged by the compiler).
 *
 * The second output says by which function's own code the instructions of all frames were executed: a matrix of
 * uint64 [2 N + 1][functions + 1], whose last column is code outside all functions. Row k < N is operator k,
 * row N + k the runtime that comes before operator k is entered, and row 2 N the runtime at the end of a frame.
 *
 * What is counted: QEMU executes whole blocks of code without a jump in them, and each counts its
 * instructions when it starts. Conditional instructions whose condition fails (in IT blocks) count like
 * those that are executed, as they take an issue slot on a real core as well. LE at the end of a
 * low-overhead loop counts in each pass, although a core with loop cache skips it from the second on.
 *
 * Only code that changes the column calls back; all other blocks add to a counter in line, which
 * keeps the emulation about as fast as it is without a plugin.
 *
 * QEMU's header is not part of its packages. What is used of it is declared here: TINYDSN_PLUGIN_API is 1
 * for QEMU up to 8.2 and 2 from 9.0 on, where counters in line moved to "scoreboards".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id_t;
struct qemu_plugin_tb;
typedef void (*translate_t)(plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*execute_t)(unsigned int cpu, void *data);
typedef void (*exit_t)(plugin_id_t id, void *data);
enum { CALLBACK_NO_REGISTERS = 0, INLINE_ADD = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id_t id, translate_t callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, execute_t callback, int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id_t id, exit_t callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

EXPORT int qemu_plugin_version = TINYDSN_PLUGIN_API;

/* Counter 0 counts all instructions, counter 1 + k those of function k. */
#if TINYDSN_PLUGIN_API == 1

void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *target,
                                              uint64_t value);

static uint64_t *counters;

static int counter_start(size_t count)
{
    counters = calloc(count, sizeof *counters);
    return counters != NULL;
}
static uint64_t counter_get(size_t index)
{
    return counters[index];
}
static void counter_add(size_t index, uint64_t count)
{
    counters[index] += count;
}
static void counter_inline(struct qemu_plugin_tb *block, size_t index, uint64_t count)
{
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD, &counters[index], count);
}

#else

struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} entry_t;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *block, int operation, entry_t entry,
                                                       uint64_t value);
uint64_t qemu_plugin_u64_get(entry_t entry, unsigned int cpu);
void qemu_plugin_u64_add(entry_t entry, unsigned int cpu, uint64_t value);

static struct qemu_plugin_scoreboard *counters;

static int counter_start(size_t count)
{
    counters = qemu_plugin_scoreboard_new(count * sizeof(uint64_t));
    return counters != NULL;
}
static entry_t counter_entry(size_t index)
{
    return (entry_t){ counters, index * sizeof(uint64_t) };
}
static uint64_t counter_get(size_t index)
{
    return qemu_plugin_u64_get(counter_entry(index), 0);
}
static void counter_add(size_t index, uint64_t count)
{
    qemu_plugin_u64_add(counter_entry(index), 0, count);
}
static void counter_inline(struct qemu_plugin_tb *block, size_t index, uint64_t count)
{
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, INLINE_ADD, counter_entry(index), count);
}

#endif

typedef enum { OUTSIDE, FRAME, ENTRY, OPERATOR } kind_t;

/* A range of the map; high is exclusive. */
typedef struct {
    kind_t kind;
    uint64_t low, high;
    uint32_t column;
} place_t;

/* A translated block that lies in a place. */
typedef struct {
    const place_t *place;
    uint64_t instructions;
    size_t function;
} block_t;

#define MOST_PLACES 4096

static place_t places[MOST_PLACES];
static size_t place_count;
static uint32_t columns; /* operators; also the column of the runtime */
static uint32_t *row;
static FILE *output;

/* The second output; without it there are no functions, and counter 1 takes all of them. */
static place_t functions[MOST_PLACES];
static size_t function_count;
static uint64_t *matrix;           /* [2 * columns + 1][function_count + 1] */
static uint64_t *function_settled; /* [function_count + 1], as `settled` */
static FILE *function_output;

static int inside;       /* a frame has begun */
static uint32_t current; /* column that what executes belongs to */
static uint64_t settled; /* instructions that have been put into a row, or left out */

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "tinydsn_count: %s %s\n", what, name);
    exit(1);
}

/* Puts what was executed since the last call into the current column. */
static void settle(void)
{
    const uint64_t now = counter_get(0);
    if (inside) {
        row[current] += (uint32_t)(now - settled);
    }
    settled = now;
}

/* The same for the second output: `line` is the row of the matrix, negative to leave it out. */
static void settle_functions(int64_t line)
{
    if (function_output == NULL) {
        return;
    }
    for (size_t i = 0; i <= function_count; i++) {
        const uint64_t now = counter_get(1 + i);
        if (line >= 0) {
            matrix[(size_t)line * (function_count + 1) + i] += now - function_settled[i];
        }
        function_settled[i] = now;
    }
}

static void finish_frame(void)
{
    if (!inside) {
        return;
    }
    settle_functions(current == columns ? 2 * columns : current);
    if (fwrite(row, sizeof *row, columns + 1, output) != columns + 1) {
        fail("cannot write", "the counts");
    }
    inside = 0;
}

/* A block of a place starts. Its own instructions belong to what is current afterwards. */
static void on_block(unsigned int cpu, void *data)
{
    const block_t *block = data;
    (void)cpu;
    settle();
    switch (block->place->kind) {
    case OUTSIDE:
        finish_frame();
        break;
    case ENTRY:
    case FRAME:
        if (!inside && block->place->kind == ENTRY) {
            memset(row, 0, (columns + 1) * sizeof *row);
            settle_functions(-1);
            inside = 1;
        } else if (current < columns) {
            settle_functions(inside ? current : -1);
        }
        current = columns;
        break;
    case OPERATOR:
        if (current == columns) {
            current = block->place->column;
            settle_functions(inside ? (int64_t)columns + current : -1);
        }
        break;
    }
    counter_add(0, block->instructions);
    counter_add(1 + block->function, block->instructions);
}

static size_t find(const place_t *among, size_t count, uint64_t address)
{
    size_t i = 0;
    while (i < count && (address < among[i].low || address >= among[i].high)) {
        i++;
    }
    return i;
}

static void on_translation(plugin_id_t id, struct qemu_plugin_tb *translated)
{
    const uint64_t instructions = qemu_plugin_tb_n_insns(translated);
    const size_t place = find(places, place_count, qemu_plugin_tb_vaddr(translated));
    const size_t function = find(functions, function_count, qemu_plugin_tb_vaddr(translated));
    (void)id;
    if (place == place_count) {
        counter_inline(translated, 0, instructions);
        if (function_output != NULL) {
            counter_inline(translated, 1 + function, instructions);
        }
        return;
    }
    /* Never freed: QEMU may execute the block until it exits. */
    block_t *block = malloc(sizeof *block);
    if (block == NULL) {
        fail("no memory for", "a block");
    }
    *block = (block_t){ &places[place], instructions, function };
    qemu_plugin_register_vcpu_tb_exec_cb(translated, on_block, CALLBACK_NO_REGISTERS, block);
}

static void on_end(plugin_id_t id, void *data)
{
    const size_t size = (2 * (size_t)columns + 1) * (function_count + 1);
    int bad = 0;
    (void)id;
    (void)data;
    if (function_output != NULL) {
        bad = fwrite(matrix, sizeof *matrix, size, function_output) != size;
        bad |= fclose(function_output) != 0;
    }
    if (fclose(output) != 0 || bad) {
        fprintf(stderr, "tinydsn_count: cannot write the counts\n");
    }
}

static void add_place(kind_t kind, uint64_t low, uint64_t high, uint32_t column)
{
    if (place_count == MOST_PLACES) {
        fail("too many lines in", "the map");
    }
    places[place_count++] = (place_t){ kind, low, high, column };
}

static void add_function(uint64_t low, uint64_t high)
{
    if (function_count == MOST_PLACES) {
        fail("too many functions in", "the map");
    }
    functions[function_count++] = (place_t){ OPERATOR, low, high, 0 };
}

static void read_map(const char *name)
{
    char word[16];
    uint64_t first, second;
    int entries = 0;
    FILE *file = fopen(name, "r");
    if (file == NULL || fscanf(file, "columns %" SCNx64, &first) != 1) {
        fail("cannot read", name);
    }
    columns = (uint32_t)first;
    while (fscanf(file, "%15s %" SCNx64 " %" SCNx64, word, &first, &second) == 3) {
        if (strcmp(word, "outside") == 0) {
            add_place(OUTSIDE, first, second, 0);
        } else if (strcmp(word, "function") == 0) {
            add_function(first, second);
        } else if (strcmp(word, "operator") == 0 && second < columns) {
            add_place(OPERATOR, first, first + 1, (uint32_t)second);
        } else if (strcmp(word, "frame") == 0) {
            if (entries++ == 0) {
                add_place(ENTRY, first, first + 1, 0);
            }
            add_place(FRAME, first, second, 0);
        } else {
            fail("strange line in", name);
        }
    }
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id_t id, const void *info, int argc, char **argv)
{
    const char *map = NULL, *out = NULL, *by_function = NULL;
    (void)info;
    for (int i = 0; i < argc; i++) {
        map = strncmp(argv[i], "map=", 4) == 0 ? argv[i] + 4 : map;
        out = strncmp(argv[i], "out=", 4) == 0 ? argv[i] + 4 : out;
        by_function = strncmp(argv[i], "functions=", 10) == 0 ? argv[i] + 10 : by_function;
    }
    if (map == NULL || out == NULL) {
        fail("needs", "map=FILE,out=FILE");
    }
    read_map(map);
    row = calloc(columns + 1, sizeof *row);
    output = fopen(out, "wb");
    if (row == NULL || output == NULL || !counter_start(function_count + 2)) {
        fail("cannot write", out);
    }
    if (by_function != NULL) {
        matrix = calloc((2 * (size_t)columns + 1) * (function_count + 1), sizeof *matrix);
        function_settled = calloc(function_count + 1, sizeof *function_settled);
        function_output = fopen(by_function, "wb");
        if (matrix == NULL || function_settled == NULL || function_output == NULL) {
            fail("cannot write", by_function);
        }
    }
    current = columns;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
