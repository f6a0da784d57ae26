/*
 * Measures a vfio-user server from the other end of its socket: one JSON object a line on standard output.
 *
 * A measure takes samples. Where each operation has a reply, a sample is one operation; posted writes and
 * operations timed inside the server have no end of their own that the client could see, so there a sample is the mean
 * of one batch. `sample_operations` in the output tells which.
 */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "options.h"
#include "process.h"
#include "report.h"
#include "session.h"
#include "wire.h"

enum { REGION_BATCH = 1000, MAP_BATCH = 200, BATCHES_IN_SERVER = 20, POLL_MS = 20 };
/* A server gives up an operation that takes it more than some seconds. */
enum { MOST_MESSAGES_IN_SERVER = 50000, MOST_LOOKUPS_IN_SERVER = 50000000 };
enum sizes { MOST_MAPS = 65535, PAGE = 4096, HUGE_PAGE = 2 << 20, TRANSLATE_LENGTH = 64 };
static const uint64_t map_iova = 1ull << 30, message_iova = 1ull << 33;
static const uint64_t translate_iova = 1ull << 32, translate_stride = HUGE_PAGE;

struct run {
    struct session session;
    const struct options *options;
    const struct measure *measure;
    int memory; /* descriptor of the guest memory; -1 when there is none */
    uint8_t data[PAGE];
};

struct measure {
    const char *name;
    uint64_t operations;
    void (*prepare)(struct run *);
    /* Exactly one of the two is set. */
    void (*once)(struct run *);
    uint64_t (*batch)(struct run *, uint64_t operations); /* returns nanoseconds */
    void (*finish)(struct run *);
    uint32_t size; /* bytes of an access, or of a map */
    uint32_t maps;
    uint32_t operation;
    uint32_t choice;
};

static void read_region(struct run *run)
{
    session_region_read(&run->session, run->options->region, run->options->offset, run->data, run->measure->size);
}

static void write_region(struct run *run)
{
    session_region_write(&run->session, run->options->region, run->options->offset, run->data, run->measure->size);
}

static uint64_t post_region(struct run *run, uint64_t operations)
{
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < operations; i++)
        session_region_post(&run->session, run->options->region, run->options->offset, run->data, run->measure->size);
    /* Commands are handled in order: this reply says that the writes are done. */
    read_region(run);
    return now_ns() - begin;
}

/* What a driver does first: a PCI device answers at its BARs and reaches memory only when it is allowed to. */
static void enable_device(struct session *s, uint32_t regions)
{
    uint16_t command;
    if (regions <= CONFIG_REGION || session_region_size(s, CONFIG_REGION) < CONFIG_COMMAND + sizeof(command))
        return;
    s->activity = "enable";
    session_region_read(s, CONFIG_REGION, CONFIG_COMMAND, &command, sizeof(command));
    command |= COMMAND_MEMORY | COMMAND_MASTER;
    session_region_write(s, CONFIG_REGION, CONFIG_COMMAND, &command, sizeof(command));
}

static void need_region(struct run *run)
{
    uint64_t size = session_region_size(&run->session, run->options->region);
    if (run->options->offset > size || run->measure->size > size - run->options->offset)
        fail(EXIT_WRONG, "%s: region %llu has %llu bytes, too small for %u bytes at offset %llu", run->measure->name,
             (unsigned long long)run->options->region, (unsigned long long)size, run->measure->size,
             (unsigned long long)run->options->offset);
}

static void make_memory(struct run *run, uint64_t size)
{
    run->memory = memfd_create("bench", MFD_CLOEXEC);
    if (run->memory < 0 || ftruncate(run->memory, (off_t)size) < 0)
        fail(EXIT_WRONG, "%s: guest memory of %llu bytes: %s", run->measure->name, (unsigned long long)size, strerror(errno));
}

static void release_memory(struct run *run)
{
    close(run->memory);
    run->memory = -1;
}

static void make_map_memory(struct run *run)
{
    make_memory(run, run->measure->size);
}

static void map_and_unmap(struct run *run)
{
    session_dma_map(&run->session, map_iova, run->measure->size, run->memory, 0);
    session_dma_unmap(&run->session, map_iova, run->measure->size);
}

/* The live maps of a guest behind its own IOMMU: as many as type1 allows, each a page of one file, removed at once afterwards. */
static uint64_t map_many(struct run *run, uint64_t operations)
{
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < operations; i++)
        session_dma_map(&run->session, map_iova + i * 2 * PAGE, PAGE, run->memory, i * PAGE);
    uint64_t elapsed = now_ns() - begin;
    session_dma_unmap(&run->session, map_iova, operations * 2 * PAGE);
    return elapsed;
}

static void make_many_memory(struct run *run)
{
    make_memory(run, (uint64_t)run->measure->maps * PAGE);
}

static void need_control_block(struct run *run)
{
    uint64_t size = session_region_size(&run->session, CONTROL_REGION);
    if (size < CONTROL_END)
        fail(EXIT_WRONG, "%s: BAR0 has %llu bytes, no room for a control block", run->measure->name, (unsigned long long)size);
}

static void set_control(struct run *run, uint64_t offset, uint64_t value)
{
    session_region_write(&run->session, CONTROL_REGION, offset, &value, sizeof(value));
}

static uint64_t get_control(struct run *run, uint64_t offset)
{
    uint64_t value;
    session_region_read(&run->session, CONTROL_REGION, offset, &value, sizeof(value));
    return value;
}

static uint64_t run_in_server(struct run *run, uint64_t operations)
{
    const struct measure *m = run->measure;
    bool message = m->operation == OPERATION_MESSAGE_READ || m->operation == OPERATION_MESSAGE_WRITE;
    set_control(run, CONTROL_ITERATIONS, operations);
    set_control(run, CONTROL_IOVA, message ? message_iova : translate_iova);
    set_control(run, CONTROL_STRIDE, message ? 0 : translate_stride);
    set_control(run, CONTROL_MAPS, m->maps);
    set_control(run, CONTROL_LENGTH, m->size);
    set_control(run, CONTROL_CHOICE, m->choice);
    set_control(run, CONTROL_SUCCEEDED, 0);
    set_control(run, CONTROL_NANOSECONDS, 0);
    session_region_write(&run->session, CONTROL_REGION, CONTROL_OPERATION, &m->operation, sizeof(m->operation));

    uint64_t nanoseconds;
    while ((nanoseconds = get_control(run, CONTROL_NANOSECONDS)) == 0) {
        /* Asking again costs the server time, so ask only when it has been quiet for a while. */
        while (session_serve(&run->session, POLL_MS))
            continue;
    }
    uint64_t succeeded = get_control(run, CONTROL_SUCCEEDED);
    if (succeeded != operations)
        fail(EXIT_WRONG, "%s: %llu of %llu operations succeeded in the server", m->name, (unsigned long long)succeeded,
             (unsigned long long)operations);
    return nanoseconds;
}

static void map_for_translate(struct run *run)
{
    need_control_block(run);
    make_memory(run, (uint64_t)run->measure->maps * PAGE);
    for (uint64_t i = 0; i < run->measure->maps; i++)
        session_dma_map(&run->session, translate_iova + i * translate_stride, PAGE, run->memory, i * PAGE);
}

static void unmap_for_translate(struct run *run)
{
    for (uint64_t i = 0; i < run->measure->maps; i++)
        session_dma_unmap(&run->session, translate_iova + i * translate_stride, PAGE);
    release_memory(run);
}

static void map_for_messages(struct run *run)
{
    need_control_block(run);
    run->session.memory = run->data;
    run->session.memory_iova = message_iova;
    run->session.memory_size = sizeof(run->data);
    session_dma_map(&run->session, message_iova, sizeof(run->data), -1, 0);
}

static void unmap_for_messages(struct run *run)
{
    session_dma_unmap(&run->session, message_iova, sizeof(run->data));
    run->session.memory = NULL;
}

#define REGION(name_, count, bytes, how) { name_, count, .prepare = need_region, how, .size = bytes }
#define MAP(name_, count, bytes) { name_, count, .once = map_and_unmap, .size = bytes }
#define MAP_FD(name_, count, bytes) \
    { name_, count, .prepare = make_map_memory, .once = map_and_unmap, .finish = release_memory, .size = bytes }
#define MAP_MANY(name_, count) { name_, count, .batch = map_many, .maps = count }
#define MAP_MANY_FD(name_, count) \
    { name_, count, .prepare = make_many_memory, .batch = map_many, .finish = release_memory, .maps = count }
#define TRANSLATE(name_, op, count, pick) \
    { name_, 2000000, .prepare = map_for_translate, .batch = run_in_server, .finish = unmap_for_translate, \
      .size = TRANSLATE_LENGTH, .maps = count, .operation = op, .choice = pick }
#define MESSAGE(name_, op, bytes) \
    { name_, 20000, .prepare = map_for_messages, .batch = run_in_server, .finish = unmap_for_messages, \
      .size = bytes, .maps = 1, .operation = op, .choice = CHOICE_SAME }

static const struct measure measures[] = {
    REGION("region_read_4", 100000, 4, .once = read_region),
    REGION("region_write_4", 100000, 4, .once = write_region),
    REGION("region_write_4_posted", 200000, 4, .batch = post_region),
    REGION("region_read_4096", 100000, 4096, .once = read_region),
    REGION("region_write_4096", 100000, 4096, .once = write_region),
    MAP("dma_map_unmap_4k", 20000, PAGE),
    MAP_FD("dma_map_unmap_4k_fd", 20000, PAGE),
    MAP_FD("dma_map_unmap_2m_fd", 20000, HUGE_PAGE),
    MAP_MANY("dma_map_65535", MOST_MAPS),
    MAP_MANY_FD("dma_map_65535_fd", MOST_MAPS),
    TRANSLATE("translate_1_same", OPERATION_TRANSLATE, 1, CHOICE_SAME),
    TRANSLATE("translate_1_random", OPERATION_TRANSLATE, 1, CHOICE_RANDOM),
    TRANSLATE("translate_64_same", OPERATION_TRANSLATE, 64, CHOICE_SAME),
    TRANSLATE("translate_64_random", OPERATION_TRANSLATE, 64, CHOICE_RANDOM),
    TRANSLATE("translate_1024_same", OPERATION_TRANSLATE, 1024, CHOICE_SAME),
    TRANSLATE("translate_1024_random", OPERATION_TRANSLATE, 1024, CHOICE_RANDOM),
    TRANSLATE("hold_1024_same", OPERATION_TRANSLATE_HOLD, 1024, CHOICE_SAME),
    TRANSLATE("hold_1024_random", OPERATION_TRANSLATE_HOLD, 1024, CHOICE_RANDOM),
    MESSAGE("dma_message_read_64", OPERATION_MESSAGE_READ, 64),
    MESSAGE("dma_message_read_4096", OPERATION_MESSAGE_READ, 4096),
    MESSAGE("dma_message_write_64", OPERATION_MESSAGE_WRITE, 64),
    MESSAGE("dma_message_write_4096", OPERATION_MESSAGE_WRITE, 4096),
};

enum { MEASURES = sizeof(measures) / sizeof(measures[0]) };

/* What the watchdog says; built beforehand, since a signal handler may not format. */
static char late[256];

static void on_alarm(int signal)
{
    (void)signal;
    ssize_t ignored = write(STDERR_FILENO, late, strlen(late));
    (void)ignored;
    _exit(EXIT_WRONG);
}

static void watch(const struct options *options, const char *activity)
{
    snprintf(late, sizeof(late), "%s: %s: not finished within %u s\n", program_invocation_short_name, activity,
             (unsigned)options->timeout_seconds);
    alarm((unsigned)options->timeout_seconds);
}

static uint64_t batch_size(const struct run *run, uint64_t operations)
{
    const struct measure *m = run->measure;
    uint64_t batch = run->options->batch;
    if (batch == 0 && m->batch == run_in_server) {
        bool message = m->operation == OPERATION_MESSAGE_READ || m->operation == OPERATION_MESSAGE_WRITE;
        uint64_t most = message ? MOST_MESSAGES_IN_SERVER : MOST_LOOKUPS_IN_SERVER;
        batch = (operations + BATCHES_IN_SERVER - 1) / BATCHES_IN_SERVER;
        batch = batch < most ? batch : most;
    }
    else if (batch == 0 && m->batch == map_many)
        batch = m->maps;
    else if (batch == 0)
        batch = m->once == map_and_unmap ? MAP_BATCH : REGION_BATCH;
    return batch < operations ? batch : operations;
}

static void take(struct run *run, uint64_t operations)
{
    const struct measure *m = run->measure;
    run->session.activity = m->name;
    watch(run->options, m->name);
    uint64_t batch = batch_size(run, operations);
    uint64_t batches = (operations + batch - 1) / batch;
    uint64_t count = m->once ? batches * batch : batches;
    double *samples = malloc(count * sizeof(*samples));
    if (!samples)
        fail(EXIT_WRONG, "%s: no memory for %llu samples", m->name, (unsigned long long)count);
    /* Touched now, so that no page fault falls into a sample. */
    for (uint64_t i = 0; i < count; i++)
        samples[i] = 0;

    if (m->prepare)
        m->prepare(run);
    uint64_t warm_up = run->options->warm_up_given ? run->options->warm_up : operations / 10;
    for (uint64_t left = warm_up; left > 0;) {
        uint64_t some = left < batch ? left : batch;
        alarm((unsigned)run->options->timeout_seconds);
        if (m->batch)
            m->batch(run, some);
        for (uint64_t i = 0; m->once && i < some; i++)
            m->once(run);
        left -= some;
    }

    uint64_t total = 0;
    for (uint64_t b = 0; b < batches; b++) {
        alarm((unsigned)run->options->timeout_seconds);
        if (m->batch) {
            uint64_t elapsed = m->batch(run, batch);
            samples[b] = (double)elapsed / (double)batch;
            total += elapsed;
            continue;
        }
        /* One clock reading ends a sample and begins the next. */
        uint64_t begin = now_ns(), previous = begin;
        for (uint64_t i = b * batch; i < (b + 1) * batch; i++) {
            m->once(run);
            uint64_t now = now_ns();
            samples[i] = (double)(now - previous);
            previous = now;
        }
        total += previous - begin;
    }
    if (m->finish)
        m->finish(run);
    report(m->name, run->options->label, samples, count, m->once ? 1 : batch, batch, total);
    free(samples);
}

/* The last selection that fits decides, so that a list can go from the general to the special. */
static const struct selection *chosen(const struct options *options, const struct measure *m)
{
    for (unsigned i = options->selection_count; i-- > 0;) {
        if (fnmatch(options->selections[i].pattern, m->name, 0) == 0)
            return &options->selections[i];
    }
    return NULL;
}

static void check_selections(const struct options *options)
{
    for (unsigned i = 0; i < options->selection_count; i++) {
        unsigned fitting = 0;
        for (unsigned m = 0; m < MEASURES; m++)
            fitting += fnmatch(options->selections[i].pattern, measures[m].name, 0) == 0;
        if (fitting == 0)
            fail(EXIT_USAGE, "--measures: '%s' fits no measure; --list names them", options->selections[i].pattern);
    }
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct run run = { .memory = -1 };
    options_parse(&options, argc, argv);
    if (options.list) {
        for (unsigned i = 0; i < MEASURES; i++)
            puts(measures[i].name);
        return EXIT_SUCCESS;
    }
    check_selections(&options);
    run.options = &options;

    signal(SIGALRM, on_alarm);
    snprintf(late, sizeof(late), "%s: connect: no answer in time\n", program_invocation_short_name);
    alarm((unsigned)(options.wait_seconds + options.timeout_seconds));
    session_open(&run.session, options.socket, (unsigned)options.wait_seconds);
    uint32_t regions = session_regions(&run.session);
    if (options.region >= regions)
        fail(EXIT_WRONG, "--region: the device has %u regions, no region %llu", regions, (unsigned long long)options.region);
    enable_device(&run.session, regions);

    for (unsigned i = 0; i < MEASURES; i++) {
        const struct selection *selection = chosen(&options, &measures[i]);
        if (!selection)
            continue;
        run.measure = &measures[i];
        take(&run, selection->operations ? selection->operations
                                         : options.operations ? options.operations : measures[i].operations);
    }
    session_close(&run.session);
    return EXIT_SUCCESS;
}
