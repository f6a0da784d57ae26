/* The plugin's source with a QEMU of its own around it, for TapPluginWalkTests: built as a library and loaded into the tests. */
#include "penstock-tap.c"
#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

#define EXPORT __attribute__((visibility("default")))

static const uint8_t *guest;
static uint64_t guest_size;

/* ---- GLib and QEMU, as far as the tests come there ---- */

GByteArray *g_byte_array_new(void) { return calloc(1, sizeof(GByteArray)); }

GByteArray *g_byte_array_set_size(GByteArray *array, unsigned length)
{
    if (length > array->len) array->data = realloc(array->data, length);
    array->len = length;
    return array;
}

GByteArray *g_byte_array_append(GByteArray *array, const uint8_t *data, unsigned length)
{
    unsigned before = array->len;
    memcpy(g_byte_array_set_size(array, before + length)->data + before, data, length);
    return array;
}

int qemu_plugin_read_memory_hwaddr(uint64_t address, GByteArray *to, size_t length)
{
    if (address > guest_size || length > guest_size - address) return 1;
    memcpy(g_byte_array_set_size(to, (unsigned)length)->data, guest + address, length);
    return 0;
}

GArray *qemu_plugin_get_registers(void) { abort(); }
int qemu_plugin_read_register(void *handle, GByteArray *to)
{
    uint64_t value = htobe64(*(const uint64_t *)handle);
    g_byte_array_append(to, (const uint8_t *)&value, sizeof value);
    return sizeof value;
}

int qemu_plugin_write_register(void *handle, GByteArray *from) { (void)handle, (void)from; abort(); }
bool qemu_plugin_read_memory_vaddr(uint64_t address, GByteArray *to, size_t length) { (void)address, (void)to, (void)length; abort(); }
void qemu_plugin_set_pc(uint64_t address) { (void)address; abort(); }
size_t qemu_plugin_tb_n_insns(const void *tb) { (void)tb; abort(); }
void *qemu_plugin_tb_get_insn(const void *tb, size_t index) { (void)tb, (void)index; abort(); }
size_t qemu_plugin_insn_data(const void *insn, void *to, size_t length) { (void)insn, (void)to, (void)length; abort(); }
uint64_t qemu_plugin_insn_vaddr(const void *insn) { (void)insn; abort(); }
void qemu_plugin_register_vcpu_init_cb(uint64_t id, void (*cb)(unsigned, void *), void *data) { (void)id, (void)cb, (void)data; abort(); }
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(void *, void *), void *data) { (void)id, (void)cb, (void)data; abort(); }
void qemu_plugin_register_vcpu_insn_exec_cb(void *insn, void (*cb)(unsigned, void *), int flags, void *data)
{
    (void)insn, (void)cb, (void)flags, (void)data;
    abort();
}

/* ---- what the tests call ---- */

EXPORT int harness_tables_are_right(const uint8_t *memory, uint64_t size, uint64_t iota, uint64_t first, uint64_t last)
{
    static Vcpu vcpu;
    if (vcpu.memory == NULL) vcpu.memory = g_byte_array_new();
    guest = memory, guest_size = size;
    Function function = { .iota = iota, .memory = size };
    return tables_are_right(&vcpu, &function, first, last);
}

static void *beat_late(void *unused)
{
    usleep(200000);
    store(&channel->heartbeat, now());
    return unused;
}

/* Whether a server whose heartbeat is so old is gone; with BEATS it moves soon after it is looked at. */
EXPORT int harness_is_gone(uint64_t milliseconds, int owned, int beats)
{
    pthread_t server;
    channel = calloc(1, sizeof *channel);
    channel->owner = (uint32_t)owned;
    channel->heartbeat = now() - milliseconds * 1000000;
    gone = dead = false;
    if (beats) pthread_create(&server, NULL, beat_late, NULL);
    int result = is_gone() ? 1 : 0;
    if (beats) pthread_join(server, NULL);
    if (result != (int)channel->given_up) result = -1;
    free(channel);
    return result;
}

/* A server is killed with a message unread: what QEMU's receive says then. HELD: the plugin is offered the server's end of the connection. */
EXPORT int harness_death(int held)
{
    int ends[2];
    pthread_t watcher;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
    pid_t server = fork();
    if (server == 0) {
        close(ends[0]);
        for (;;) pause();
    }
    close(ends[1]);
    channel = calloc(1, sizeof *channel);
    channel->process = (uint32_t)server;
    channel->connection = held ? (uint32_t)ends[1] + 1 : 0;
    channel->in_guest = 1; /* as one leaves it that is killed there */
    gone = dead = false;
    pthread_create(&watcher, NULL, watch, NULL);
    while (held && load(&channel->held) == 0) usleep(100);
    int result = held && channel->held != HELD ? EPERM : 0;
    send(ends[0], "unread", 6, MSG_NOSIGNAL);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    pthread_join(watcher, NULL);
    char byte;
    if (result == 0 && recv(ends[0], &byte, 1, 0) != 0) result = errno;
    if (!channel->given_up) result = EAGAIN;
    close(ends[0]);
    free(channel);
    return result;
}

static void *record(void *to)
{
    char *told = to;
    Slot *s = channel->slot;
    while (load(&channel->owner) != 0) {
        if (load(&s->state) != ASKED) {
            sched_yield();
            continue;
        }
        *told++ = (char)(s->kind == RPCIT_ASKED ? s->start : s->start - 'a' + 'A');
        s->action = GO_ON_AND_TELL;
        store(&s->state, ANSWERED);
        wake(&s->state);
    }
    return to;
}

/* One processor's RPCITs while a recording is made. STEPS: a small letter for the begin of one, the capital for the instruction after it; each letter
 * has a stack of its own. TO gets the like for what is told. */
EXPORT void harness_recording(const char *steps, char *to)
{
    static uint64_t registers[16], mask;
    static Insn insn = { .after = 0x1004, .kind = RPCIT_DONE, .first = 1, .second = 2 };
    pthread_t recorder;
    Vcpu *c = &vcpus[0];
    for (int i = 0; i < 16; i++) c->r[i] = &registers[i];
    c->pswm = &mask, c->bytes = g_byte_array_new();
    channel = calloc(1, sizeof *channel);
    channel->owner = 1, channel->flags = TELL_RPCIT, channel->heartbeat = now() + STALE * 10;
    gone = dead = false;
    memset(c->pending, 0, sizeof c->pending), c->made = 0;
    pthread_create(&recorder, NULL, record, to);
    for (; *steps != 0; steps++) {
        bool begins = *steps >= 'a';
        registers[15] = registers[2] = (uint64_t)(begins ? *steps : *steps - 'A' + 'a'), registers[3] = 4096;
        if (begins) on_insn(0, &insn); else on_after(0, &insn.after);
    }
    store(&channel->owner, 0);
    pthread_join(recorder, NULL);
    free(channel);
}

/* One of a server's threads is in the guest's memory when the plugin gives up, and leaves 20 ms later. Whether it had left when that returned. */
static void *leave_guest(void *left)
{
    usleep(20000);
    store((uint32_t *)left, 1);
    __atomic_fetch_sub(&channel->in_guest, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

EXPORT int harness_give_up(void)
{
    pthread_t server;
    uint32_t left = 0;
    channel = calloc(1, sizeof *channel);
    channel->in_guest = 1;
    gone = dead = false;
    pthread_create(&server, NULL, leave_guest, &left);
    give_up();
    int result = (int)load(&left) && channel->given_up && gone;
    pthread_join(server, NULL);

    /* One that is dead never leaves. */
    channel->in_guest = 1, gone = false, dead = true;
    give_up();
    result = result && gone;
    free(channel);
    return result;
}
