/* SPDX-License-Identifier: MIT
 *
 * penstock-tap: a QEMU plugin that hands an s390x guest's PCI instructions to Penstock before QEMU acts on them.
 *   -plugin penstock-tap.so,channel=FILE
 * FILE is shared memory that Penstock has made; TapLayout.cs is its other description and has to agree with this one. RPCIT of a function
 * that Penstock has taken over is answered here: as Penstock says (mode ASK), or at once with a line in a ring that Penstock reads before its
 * next translation, if the guest's tables are right (mode BY_RING). All else goes on to QEMU, and what came of MPCIFC and CLP is told.
 * When Penstock is gone, its functions go back to QEMU by the way that Linux has for a host without resources.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- what QEMU offers to plugins of version 7, as far as it is used here ---- */

typedef struct { uint8_t *data; unsigned len; } GByteArray;
typedef struct { char *data; unsigned len; } GArray;
typedef struct { void *handle; const char *name; const char *feature; uint64_t flag; } Register;
typedef struct { const char *target_name; int versions[2]; bool is_system; int processors, most_processors; } Info;
enum { NO_REGISTERS = 0, READS_REGISTERS = 1, WRITES_REGISTERS_AND_PC = 3 };

extern GByteArray *g_byte_array_new(void);
extern GByteArray *g_byte_array_set_size(GByteArray *array, unsigned length);
extern GByteArray *g_byte_array_append(GByteArray *array, const uint8_t *data, unsigned length);
extern GArray *qemu_plugin_get_registers(void);
extern int qemu_plugin_read_register(void *handle, GByteArray *to);
extern int qemu_plugin_write_register(void *handle, GByteArray *from);
extern bool qemu_plugin_read_memory_vaddr(uint64_t address, GByteArray *to, size_t length);
extern int qemu_plugin_read_memory_hwaddr(uint64_t address, GByteArray *to, size_t length);
extern void qemu_plugin_set_pc(uint64_t address) __attribute__((noreturn));
extern size_t qemu_plugin_tb_n_insns(const void *tb);
extern void *qemu_plugin_tb_get_insn(const void *tb, size_t index);
extern size_t qemu_plugin_insn_data(const void *insn, void *to, size_t length);
extern uint64_t qemu_plugin_insn_vaddr(const void *insn);
extern void qemu_plugin_register_vcpu_init_cb(uint64_t id, void (*cb)(unsigned, void *), void *data);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(void *, void *), void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(void *insn, void (*cb)(unsigned, void *), int flags, void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 7;

/* ---- the shared memory ---- */

#define MAGIC 0x504154534e455031ull
enum { VERSION = 4, FUNCTIONS = 16, RING = 1024, SLOTS = 64, SLOT_DATA = 16256, WATCHED = 2 };
enum { THROUGH = 0, ASK = 1, BY_RING = 2 };                                        /* mode of a function */
enum { IDLE = 0, ASKED = 1, TAKEN = 2, ANSWERED = 3, ABANDONED = 4 };              /* state of a slot */
enum { RPCIT_ASKED = 1, RPCIT_DONE = 2, MPCIFC_DONE = 3, CLP_DONE = 4, STORE = 5, BLOCK_STORE = 6 }; /* what a slot tells */
enum { GO_ON = 0, GO_ON_AND_TELL = 1, IS_ANSWERED = 2 };                           /* what Penstock says */
enum { TELL_RPCIT = 1, HELD = 1, NOT_HELD = 2 };                                   /* flags; what "held" says */

typedef struct { uint32_t handle, mode; uint64_t first, last, answered, iota, memory, unused[2]; } Function;
typedef struct { uint32_t handle, space; uint64_t first, last; } Watched;
typedef struct { uint64_t start, length; uint32_t handle, sequence; uint64_t unused; } Line;
typedef struct {
    uint32_t state, sleeping, kind, vcpu; uint64_t r1, start, length, r1_after;
    uint32_t cc, data_length, action, answer_cc; uint64_t answer_r1; uint8_t unused[56], data[SLOT_DATA];
} Slot;
typedef struct {
    uint64_t magic; uint32_t version, slots; uint64_t size; uint32_t owner, flags;
    uint64_t heartbeat; uint32_t bell, server_sleeps, attached, given_up, processors, process, connection, held; uint8_t unused0[56];
    uint32_t head; uint8_t unused1[60]; uint32_t drained, drain_sleepers; uint8_t unused2[56]; uint32_t busy; uint8_t unused3[60];
    Function functions[FUNCTIONS];
    Watched watched[WATCHED]; uint8_t unused4[1408 - 320 - FUNCTIONS * 64 - WATCHED * 24]; uint32_t in_guest; uint8_t unused5[4096 - 1412];
    Line ring[RING]; Slot slot[SLOTS];
} Channel;
#define AT(type, field, place) _Static_assert(offsetof(type, field) == (place), #field)
AT(Channel, heartbeat, 32); AT(Channel, held, 68); AT(Channel, head, 128); AT(Channel, drained, 192); AT(Channel, busy, 256);
AT(Channel, functions, 320); AT(Channel, watched, 1344); AT(Channel, in_guest, 1408); AT(Channel, ring, 4096); AT(Channel, slot, 36864);
AT(Function, memory, 40); AT(Line, sequence, 20); AT(Slot, r1, 16); AT(Slot, cc, 48); AT(Slot, answer_r1, 64); AT(Slot, data, 128);
_Static_assert(sizeof(Slot) == 16384 && sizeof(Channel) == 36864 + SLOTS * 16384, "size");

/* The guest's I/O tables: flags of entries and of the first table's address, and where tables are. */
enum { TRANSLATED = 0x800, TABLE_INVALID = 0x20, PAGE_INVALID = 0x400, LARGE_FRAME = 0x400, ENTRY_TYPE = 0x0c, REGION_FLAGS = 0xcf, WHOLE = 3 };
#define REGION_ORIGIN (~0x3fffull)
#define SEGMENT_ORIGIN (~0x7ffull)

/* How long a guest waits: polling (less after it was in vain: on a busy machine it takes the processor from the one that it waits for), then in
 * naps, counted because time goes by also while the whole machine stands still; and how old the heartbeat of a Penstock that lives may be. */
enum { MOST_POLLS = 4000, LEAST_POLLS = 8, MOST_NAPS = 750, LEAVE_NAPS = 250, MOST_LOOKS = 1024, MOST_INSNS = 65536, BUCKETS = 4096, PENDING = 8 };
#define NAP 20000000ull
#define STALE 10000000000ull

/* ---- instructions and processors ---- */

typedef struct Insn {
    struct Insn *next_in_bucket; uint64_t address, after;
    uint8_t bytes[6], kind, first, second, index; int32_t displacement;
} Insn;

/* What QEMU does now, whose result is to be told. An interrupt may come before the next instruction, and its handler may do the like: so several. */
typedef struct { const Insn *insn; uint64_t stack, r1, start, length; } Pending;
typedef struct { void *r[16], *pswm; GByteArray *bytes, *memory; Pending pending[PENDING]; unsigned made; } Vcpu;

static Channel *channel;
static Vcpu vcpus[SLOTS];
static Insn *insns[BUCKETS]; /* by the address after them */
static unsigned insn_count, polling = MOST_POLLS;
static pthread_mutex_t tables = PTHREAD_MUTEX_INITIALIZER, ring_lock = PTHREAD_MUTEX_INITIALIZER;
static bool gone, dead, given_back[FUNCTIONS];

#define load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define swap_if(p, old, new) __sync_bool_compare_and_swap(p, old, new)

static uint64_t now(void)
{
    struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, 1 << 30, NULL, NULL, 0); }

static void ring_bell(void)
{
    __atomic_fetch_add(&channel->bell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&channel->server_sleeps, __ATOMIC_SEQ_CST)) wake(&channel->bell);
}

/* One of Penstock's threads that writes into the guest's memory at this moment has not seen it: that is soon over, unless it is stopped. */
static void give_up(void)
{
    __atomic_store_n(&channel->given_up, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < LEAVE_NAPS && __atomic_load_n(&channel->in_guest, __ATOMIC_SEQ_CST) != 0 && !load(&dead); i++)
        nanosleep(&(struct timespec){ 0, NAP }, NULL);
    store(&gone, true), ring_bell();
}

/* A Penstock that has left, or lives and has not moved for long and does not now, is as good as gone. */
static bool is_gone(void)
{
    uint64_t beat = load(&channel->heartbeat), t = now();
    bool stale = t > beat && t - beat > STALE;
    for (int i = 0; stale && load(&channel->owner) != 0 && !load(&gone) && i < 50; i++)
        nanosleep(&(struct timespec){ 0, NAP }, NULL), stale = load(&channel->heartbeat) == beat;
    if (!load(&gone) && (load(&channel->owner) == 0 || stale)) give_up();
    return load(&gone);
}

/* Sees when Penstock dies. QEMU 11.1 aborts when the other end of its connection is closed with something unread in it; so that end is held
 * here too, and emptied before the last of its holders closes it. */
static void *watch(void *unused)
{
    struct pollfd penstock = { (int)syscall(SYS_pidfd_open, channel->process, 0), POLLIN, 0 };
    uint32_t connection = 0; int end = -1; sigset_t all;
    sigfillset(&all), pthread_sigmask(SIG_SETMASK, &all, NULL); /* signals are for QEMU's own threads */
    while (poll(&penstock, 1, connection != 0 ? -1 : 5) <= 0) {
        if (connection != 0 || (connection = load(&channel->connection)) == 0) continue;
        end = (int)syscall(SYS_pidfd_getfd, penstock.fd, connection - 1, 0);
        store(&channel->held, end >= 0 ? HELD : NOT_HELD);
        ring_bell();
    }
    store(&dead, true), give_up();
    shutdown(end, SHUT_RDWR);
    for (char waste[4096]; recv(end, waste, sizeof waste, MSG_DONTWAIT) > 0;) continue;
    close(end);
    return unused;
}

static uint64_t read_register(Vcpu *c, void *handle)
{
    uint64_t value = 0;
    g_byte_array_set_size(c->bytes, 0);
    qemu_plugin_read_register(handle, c->bytes);
    if (c->bytes->len == 8) memcpy(&value, c->bytes->data, 8);
    return be64toh(value);
}

static void write_register(Vcpu *c, void *handle, uint64_t value)
{
    value = htobe64(value);
    g_byte_array_set_size(c->bytes, 0);
    g_byte_array_append(c->bytes, (const uint8_t *)&value, 8);
    qemu_plugin_write_register(handle, c->bytes);
}

static uint32_t read_memory(Vcpu *c, uint64_t address, uint8_t *to, uint32_t length)
{
    g_byte_array_set_size(c->memory, 0);
    if (length == 0 || !qemu_plugin_read_memory_vaddr(address, c->memory, length) || c->memory->len < length) return 0;
    memcpy(to, c->memory->data, length);
    return length;
}

/* Polls, then sleeps, until the word is WANTED, or has passed it if it counts. False: Penstock is gone, or as good as gone. */
static bool wait_until(uint32_t *word, uint32_t *sleepers, bool counts, uint32_t wanted)
{
    unsigned naps = 0;
    bool there = false;
    for (unsigned polls = 0; !there; polls++) {
        uint32_t seen = load(word);
        there = counts ? (int32_t)(seen - wanted) > 0 : seen == wanted;
        if (there || polls < polling) __sync_synchronize();
        else if (naps++ == 0) __atomic_fetch_add(sleepers, 1, __ATOMIC_SEQ_CST);
        else {
            struct timespec nap = { 0, NAP };
            syscall(SYS_futex, word, FUTEX_WAIT, seen, &nap, NULL, 0);
            if (is_gone() || naps > MOST_NAPS) break;
        }
    }
    if (naps != 0) __atomic_fetch_sub(sleepers, 1, __ATOMIC_SEQ_CST);
    polling = naps != 0 ? polling / 2 | LEAST_POLLS : polling < MOST_POLLS ? polling * 2 : MOST_POLLS;
    return there;
}

/* Gives the slot to Penstock and waits until it is answered. False: Penstock did not, and the instruction goes on. */
static bool hand_over(Slot *s, unsigned vcpu, uint32_t kind)
{
    if (is_gone()) return false;
    s->kind = kind, s->vcpu = vcpu;
    __atomic_store_n(&s->state, ASKED, __ATOMIC_SEQ_CST);
    ring_bell();
    bool answered = wait_until(&s->state, &s->sleeping, false, ANSWERED)
        || (!swap_if(&s->state, ASKED, ABANDONED) && !swap_if(&s->state, TAKEN, ABANDONED));
    if (!answered) give_up();
    else store(&s->state, IDLE);
    return answered;
}

/* ---- RPCIT ---- */

static __attribute__((noreturn)) void answer(Vcpu *c, const Insn *insn, uint32_t cc, uint64_t r1)
{
    write_register(c, c->r[insn->first], r1);
    uint64_t mask = read_register(c, c->pswm);
    write_register(c, c->pswm, (mask & ~(0x30ull << 40)) | (uint64_t)(cc & 3) << 44);
    qemu_plugin_set_pc(insn->after);
}

/* Writes the range into the ring and waits until nothing uses what stood there before: not at all while the device is idle. */
static bool by_ring(uint32_t handle, uint64_t start, uint64_t length)
{
    pthread_mutex_lock(&ring_lock);
    uint32_t head = channel->head;
    bool room = head - load(&channel->drained) < RING;
    if (room) {
        channel->ring[head % RING] = (Line){ .start = start, .length = length, .handle = handle, .sequence = head };
        __atomic_store_n(&channel->head, head + 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&ring_lock);
    if (!room || !__atomic_load_n(&channel->busy, __ATOMIC_SEQ_CST)) return room;
    ring_bell();
    if (!wait_until(&channel->drained, &channel->drain_sleepers, true, head)) return give_up(), false;
    return true;
}

/* Entries of a table in the guest's memory; zeroes, which are an error, where there is none. */
static const uint64_t *entries(Vcpu *c, uint64_t address, unsigned count)
{
    if (qemu_plugin_read_memory_hwaddr(address, c->memory, count * 8) != 0 || c->memory->len < count * 8)
        memset(g_byte_array_set_size(c->memory, count * 8)->data, 0, count * 8);
    return (const uint64_t *)(const void *)c->memory->data;
}

/* Whether the guest's tables lead each page of a range to memory or nowhere. If not, what is wrong is QEMU's to say, or there is too much to
 * look at here. After what leads nowhere, a large frame and a page table it begins at the first table again. */
static bool tables_are_right(Vcpu *c, const Function *f, uint64_t at, uint64_t last)
{
    uint64_t iota = f->iota, memory = f->memory, table = iota & REGION_ORIGIN;
    unsigned top = iota >> 2 & 7, level = top;
    if (!(iota & TRANSLATED) || top > 3 || (top < 3 && last >> (31 + 11 * top) != 0)) return false;
    for (unsigned looks = 0; looks < MOST_LOOKS; looks++) {
        unsigned shift = 20 + 11 * level, count = 0;
        uint64_t until = at | ((1ull << shift) - 1), entry = be64toh(*entries(c, table + (at >> shift & 0x7ff) * 8, 1));
        if (entry == 0) return false;
        if (!(entry & TABLE_INVALID) && level != 0) {
            table = entry & REGION_ORIGIN;
            if ((entry & REGION_FLAGS) != (level << 2 | WHOLE) || table == 0) return false;
            level--;
            continue;
        }
        if (!(entry & TABLE_INVALID)) {
            table = entry & SEGMENT_ORIGIN;
            if ((entry & ENTRY_TYPE) != 0 || table == 0 || (entry & LARGE_FRAME && (entry | 0xfffff) >= memory)) return false;
            count = entry & LARGE_FRAME ? 0 : (unsigned)(((until < last ? until : last) >> 12) - (at >> 12) + 1);
        }
        const uint64_t *pages = count != 0 ? entries(c, table + (at >> 12 & 0xff) * 8, count) : NULL;
        for (unsigned i = 0; i < count; i++) {
            entry = be64toh(pages[i]);
            if (!(entry & PAGE_INVALID) && (entry <= 0xfff || (entry | 0xfff) >= memory)) return false;
        }
        if (until >= last) return true;
        at = until + 1, table = iota & REGION_ORIGIN, level = top, looks += count;
    }
    return false;
}

/* What is pending with the same stack is over. Without a free place another one's result is never told. */
static void expect(Vcpu *c, const Insn *insn, uint64_t r1, uint64_t start, uint64_t length)
{
    uint64_t stack = read_register(c, c->r[15]);
    Pending *place = &c->pending[c->made++ % PENDING];
    for (Pending *i = c->pending + PENDING; i-- > c->pending;) if (i->insn == NULL || i->stack == stack) (place = i)->insn = NULL;
    *place = (Pending){ insn, stack, r1, start, length };
}

static bool is_program(Vcpu *c) { return (read_register(c, c->pswm) & 0x0001000000000000ull) != 0; }

static void before_rpcit(Vcpu *c, unsigned vcpu, const Insn *insn)
{
    uint64_t r1 = read_register(c, c->r[insn->first]);
    if (is_program(c) || (insn->second & 1) != 0) return; /* a program's own fault: problem state, odd register */
    uint64_t start = read_register(c, c->r[insn->second]), length = read_register(c, c->r[insn->second + 1]);
    uint32_t handle = (uint32_t)(r1 >> 32);
    bool tell = (load(&channel->flags) & TELL_RPCIT) != 0;
    Function *f = NULL;
    for (Function *i = channel->functions; i < channel->functions + FUNCTIONS && f == NULL; i++)
        if (load(&i->mode) != THROUGH && i->handle == handle) f = i;
    Slot *s = &channel->slot[vcpu]; s->r1 = r1, s->start = start, s->length = length;
    if (f != NULL || tell) { /* also for what is left to QEMU, whose call is then known in its order, and its tables as QEMU finds them */
        uint64_t last = start + length - 1;
        bool plain = f != NULL && length != 0 && last >= start && ((start | length) & 0xfff) == 0 && start >= f->first && last <= f->last;
        if (plain && load(&f->mode) == BY_RING && !tell && !is_gone() && tables_are_right(c, f, start, last)
            && by_ring(handle, start, length)) {
            __atomic_fetch_add(&f->answered, 1, __ATOMIC_RELAXED);
            answer(c, insn, 0, r1);
        }
        if (hand_over(s, vcpu, RPCIT_ASKED)) {
            if (load(&s->action) == IS_ANSWERED) answer(c, insn, s->answer_cc, s->answer_r1);
            tell = s->action == GO_ON_AND_TELL;
        } else if (f != NULL && !given_back[f - channel->functions]) {
            /* QEMU knows nothing of this function's pages: Linux tells it all of them when it is refused one. */
            if (!plain || start > f->first || last < f->last) answer(c, insn, 1, (r1 & ~0xff000000ull) | 16u << 24);
            given_back[f - channel->functions] = true;
            tell = false;
        }
    }
    if (tell) expect(c, insn, r1, start, length);
}

/* ---- MPCIFC and CLP: QEMU acts, and what came of it is told ---- */

/* A block of CLP begins with its length. */
static uint32_t read_clp(Vcpu *c, uint64_t address, uint8_t *to, uint32_t most)
{
    uint32_t length = read_memory(c, address, to, 2) != 0 ? (uint32_t)to[0] << 8 | to[1] : 0;
    return length >= 4 && length <= most ? read_memory(c, address, to, length) : 0;
}

static void before_block(Vcpu *c, const Insn *insn)
{
    uint64_t base = insn->second != 0 || insn->kind == CLP_DONE ? read_register(c, c->r[insn->second]) : 0;
    uint64_t address = base + (insn->index != 0 ? read_register(c, c->r[insn->index]) : 0) + (uint64_t)(int64_t)insn->displacement;
    expect(c, insn, read_register(c, c->r[insn->first]), address, 0);
}

/* Told before QEMU does it, so that a mask is in force when the guest goes on; only what goes to a place that Penstock has named. */
static void before_store(Vcpu *c, unsigned vcpu, const Insn *insn)
{
    bool block = insn->kind == BLOCK_STORE;
    uint64_t what = read_register(c, c->r[block ? insn->first : insn->second]);
    uint64_t at = read_register(c, c->r[block ? insn->index : (insn->second + 1) & 15]);
    for (Watched *w = channel->watched; w < channel->watched + WATCHED; w++) {
        if (load(&w->handle) != what >> 32 || w->space != (what >> 16 & 15) || at > w->last || at + (what & 0xff) <= w->first) continue;
        Slot *s = &channel->slot[vcpu];
        s->r1 = what, s->start = at, s->length = read_register(c, c->r[insn->first]);
        if (!is_program(c)) hand_over(s, vcpu, insn->kind);
    }
}

static void on_after(unsigned vcpu, void *data)
{
    if (vcpu >= SLOTS || vcpus[vcpu].bytes == NULL) return;
    Vcpu *c = &vcpus[vcpu];
    Pending *p = c->pending, *end = p + PENDING;
    while (p < end && (p->insn == NULL || p->insn->after != *(uint64_t *)data || p->stack != read_register(c, c->r[15]))) p++;
    if (p == end) return;
    const Insn *insn = p->insn;
    p->insn = NULL;
    Slot *s = &channel->slot[vcpu];
    s->r1 = p->r1, s->start = p->start, s->length = p->length, s->data_length = 0;
    if (insn->kind == MPCIFC_DONE) s->data_length = read_memory(c, p->start, s->data, 80);
    if (insn->kind == CLP_DONE) {
        uint32_t request = read_clp(c, p->start, s->data, 8184); /* the response follows it */
        s->data_length = request + (request != 0 ? read_clp(c, p->start + request, s->data + request, 8192 - request) : 0);
        s->start = request;
    }
    if (s->data_length == 0 && insn->kind != RPCIT_DONE) return;
    s->cc = (uint32_t)(read_register(c, c->pswm) >> 44) & 3;
    s->r1_after = read_register(c, c->r[insn->first]);
    hand_over(s, vcpu, insn->kind);
}

static void on_insn(unsigned vcpu, void *data)
{
    const Insn *insn = data;
    if (vcpu >= SLOTS || vcpus[vcpu].bytes == NULL) return;
    if (insn->kind == RPCIT_DONE) before_rpcit(&vcpus[vcpu], vcpu, insn);
    else if (insn->kind >= STORE) before_store(&vcpus[vcpu], vcpu, insn);
    else before_block(&vcpus[vcpu], insn);
}

/* ---- translation ---- */

static unsigned bucket(uint64_t address) { return (unsigned)((address >> 1) * 0x9e3779b97f4a7c15ull >> 52) % BUCKETS; }

static bool decode(const uint8_t *b, size_t length, Insn *insn)
{
    if (length == 4 && b[0] == 0xb9 && (b[1] == 0xd3 || b[1] == 0xa0 || b[1] == 0xd0)) {
        insn->kind = b[1] == 0xd3 ? RPCIT_DONE : b[1] == 0xa0 ? CLP_DONE : STORE;
        insn->second = b[3] & 15, insn->first = insn->kind == CLP_DONE ? insn->second : b[3] >> 4;
    }
    if (length == 6 && (b[0] == 0xe3 || b[0] == 0xeb) && b[5] == 0xd0) {
        insn->kind = b[0] == 0xe3 ? MPCIFC_DONE : BLOCK_STORE;
        insn->first = b[1] >> 4, insn->index = b[1] & 15, insn->second = b[2] >> 4;
        insn->displacement = (int32_t)(int8_t)b[4] * 4096 + ((b[2] & 15) << 8 | b[3]);
    }
    return insn->kind != 0;
}

/* One record for each instruction and place, however often it is translated. */
static Insn *remember(uint64_t address, const uint8_t *bytes, size_t length)
{
    Insn found = { .address = address, .after = address + length };
    if (!decode(bytes, length, &found)) return NULL;
    Insn **list = &insns[bucket(found.after)];
    for (Insn *i = *list; i != NULL; i = i->next_in_bucket)
        if (i->address == address && i->after == found.after && memcmp(i->bytes, bytes, length) == 0) return i;
    Insn *kept = insn_count < MOST_INSNS ? malloc(sizeof found) : NULL;
    if (kept == NULL) return NULL;
    insn_count++, found.next_in_bucket = *list;
    memcpy(found.bytes, bytes, length);
    return *list = memcpy(kept, &found, sizeof found);
}

/* Where one of ours has ended, if that is here. */
static uint64_t *ends_before(uint64_t address)
{
    for (Insn *i = insns[bucket(address)]; i != NULL; i = i->next_in_bucket) if (i->after == address) return &i->after;
    return NULL;
}

static void on_translation(void *tb, void *data)
{
    (void)data, pthread_mutex_lock(&tables);
    for (size_t n = qemu_plugin_tb_n_insns(tb), i = 0; i < n; i++) {
        void *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn), *after = ends_before(address);
        if (after != NULL) qemu_plugin_register_vcpu_insn_exec_cb(insn, on_after, READS_REGISTERS, after);
        uint8_t bytes[8];
        size_t length = qemu_plugin_insn_data(insn, bytes, sizeof bytes);
        Insn *known = remember(address, bytes, length);
        if (known != NULL) qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, WRITES_REGISTERS_AND_PC, known);
    }
    pthread_mutex_unlock(&tables);
}

static void on_vcpu(unsigned vcpu, void *data)
{
    (void)data; static _Thread_local bool again; /* one thread for several (thread=single, icount): atomic instructions as with one processor */
    GArray *all = qemu_plugin_get_registers();
    if (again) store(&channel->processors, 1); else again = true;
    if (vcpu >= SLOTS) give_up(); /* its RPCITs would pass unseen */
    if (vcpu >= SLOTS || all == NULL) return;
    Vcpu *c = &vcpus[vcpu];
    const Register *registers = (const Register *)(void *)all->data;
    for (unsigned i = 0, number; i < all->len; i++) {
        if (sscanf(registers[i].name, "r%2u", &number) == 1 && number < 16) c->r[number] = registers[i].handle;
        if (strcmp(registers[i].name, "pswm") == 0) c->pswm = registers[i].handle;
    }
    c->memory = g_byte_array_new();
    c->bytes = c->pswm != NULL && c->r[15] != NULL ? g_byte_array_new() : NULL;
}

static int refuse(const char *what, const char *name) { return fprintf(stderr, "penstock-tap: %s%s\n", what, name), 1; }

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const Info *info, int argc, char **argv)
{
    const char *path = NULL;
    for (int i = 0; i < argc; i++) if (strncmp(argv[i], "channel=", 8) == 0) path = argv[i] + 8;
    if (path == NULL) return refuse("give channel=FILE, the file that Penstock has named", "");
    if (strcmp(info->target_name, "s390x") != 0) return refuse("only s390x guests have what it looks for, not ", info->target_name);
    struct stat facts; pthread_t watcher;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0 || facts.st_size < (off_t)sizeof(Channel)
        || (channel = mmap(NULL, sizeof(Channel), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED
        || channel->magic != MAGIC || channel->version != VERSION || channel->size != sizeof(Channel))
        return refuse("not a channel of Penstock's, or one of another version: ", path);
    if (!swap_if(&channel->attached, 0, 1)) return refuse("another QEMU uses this channel: ", path);
    store(&channel->processors, (uint32_t)info->most_processors);
    if (pthread_create(&watcher, NULL, watch, NULL) != 0) return refuse("there is no thread for ", path);
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
    return 0;
}
