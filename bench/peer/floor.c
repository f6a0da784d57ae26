/*
 * The floor: a vfio-user server with nothing in it but the system calls, one recvmsg and one send for a
 * request. It is the best that a blocking server of one thread can do on a machine, so that the figures of another
 * server can be given as a ratio to it. DMA maps are acknowledged and forgotten. Of the control block it
 * knows the message operations only: translating without a map table would measure nothing.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "process.h"
#include "wire.h"

enum { BAR_SIZE = 64 << 10, REGIONS = 9, IRQS = 5, RECEIVE_SIZE = 2 * MAX_MESSAGE };

static uint8_t bar[BAR_SIZE];
static _Alignas(8) uint8_t received[RECEIVE_SIZE];
static _Alignas(8) uint8_t reply[sizeof(struct header) + sizeof(struct region_access) + BAR_SIZE];

static int client;
static size_t head, tail; /* received[head .. tail) is not handled yet */
static const char *socket_path;

static void on_end(int signal)
{
    (void)signal;
    unlink(socket_path);
    _exit(EXIT_SUCCESS);
}

static void close_descriptors(struct msghdr *carrier)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(carrier); c; c = CMSG_NXTHDR(carrier, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            close(fd);
        }
    }
}

/* The next whole message, good until the next call; NULL when the client is gone or out of step. */
static const struct header *next_message(void)
{
    if (head == tail)
        head = tail = 0;
    for (;;) {
        const struct header *h = (const void *)(received + head);
        if (tail - head >= sizeof(*h)) {
            if (h->size < sizeof(*h) || h->size > MAX_MESSAGE)
                return NULL;
            if (tail - head >= h->size) {
                head += h->size;
                return h;
            }
        }
        /* Moving is rare: only when the rest of a message could not fit behind its beginning. */
        if (RECEIVE_SIZE - head < MAX_MESSAGE) {
            memmove(received, received + head, tail - head);
            tail -= head;
            head = 0;
        }
        union { struct cmsghdr align; char space[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))]; } control;
        struct iovec part = { received + tail, RECEIVE_SIZE - tail };
        struct msghdr carrier = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
        };
        ssize_t got = recvmsg(client, &carrier, MSG_CMSG_CLOEXEC);
        if (got <= 0)
            return NULL;
        if (carrier.msg_controllen > 0)
            close_descriptors(&carrier);
        tail += (size_t)got;
    }
}

static bool transmit(const void *message, size_t size)
{
    return send(client, message, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Each of these fills the payload of the reply and returns its size, or a negative errno. */

static int answer_version(const struct version *request, size_t size)
{
    if (size < offsetof(struct version, capabilities) || request->major != 0)
        return -EINVAL;
    struct version *v = (void *)(reply + sizeof(struct header));
    *v = (struct version){ .minor = request->minor < 1 ? request->minor : 1, .capabilities = CAPABILITIES };
    return (int)(offsetof(struct version, capabilities) + sizeof(CAPABILITIES));
}

static int answer_info(size_t size)
{
    struct device_info info = { sizeof(info), DEVICE_RESETTABLE | DEVICE_PCI, REGIONS, IRQS };
    if (size < sizeof(info))
        return -EINVAL;
    memcpy(reply + sizeof(struct header), &info, sizeof(info));
    return sizeof(info);
}

static int answer_region_info(const struct region_info *request, size_t size)
{
    if (size < sizeof(*request) || request->index >= REGIONS)
        return -EINVAL;
    struct region_info info = { .argsz = sizeof(info), .index = request->index };
    if (request->index == 0) {
        info.flags = REGION_READABLE | REGION_WRITABLE;
        info.size = BAR_SIZE;
    }
    memcpy(reply + sizeof(struct header), &info, sizeof(info));
    return sizeof(info);
}

static int answer_access(const struct region_access *request, size_t size, bool write)
{
    if (size < sizeof(*request) || request->region != 0 || request->count > BAR_SIZE ||
        request->offset > BAR_SIZE - request->count || size != sizeof(*request) + (write ? request->count : 0))
        return -EINVAL;
    uint8_t *payload = reply + sizeof(struct header);
    memcpy(payload, request, sizeof(*request));
    if (write) {
        memcpy(bar + request->offset, request + 1, request->count);
        return sizeof(*request);
    }
    memcpy(payload + sizeof(*request), bar + request->offset, request->count);
    return (int)(sizeof(*request) + request->count);
}

static int answer_unmap(const struct dma_unmap *request, size_t size)
{
    if (size != sizeof(*request))
        return -EINVAL;
    memcpy(reply + sizeof(struct header), request, sizeof(*request));
    return sizeof(*request);
}

/* Handles one command and sends its reply; false when the client is gone. */
static bool handle(const struct header *h)
{
    const void *body = h + 1;
    size_t size = h->size - sizeof(*h);
    int payload = -EINVAL;
    switch ((h->flags & TYPE_MASK) == TYPE_COMMAND ? h->command : 0) {
    case CMD_REGION_READ: payload = answer_access(body, size, false); break;
    case CMD_REGION_WRITE: payload = answer_access(body, size, true); break;
    case CMD_DMA_MAP: payload = size == sizeof(struct dma_map) ? 0 : -EINVAL; break;
    case CMD_DMA_UNMAP: payload = answer_unmap(body, size); break;
    case CMD_VERSION: payload = answer_version(body, size); break;
    case CMD_DEVICE_GET_INFO: payload = answer_info(size); break;
    case CMD_DEVICE_GET_REGION_INFO: payload = answer_region_info(body, size); break;
    }
    if (h->flags & FLAG_NO_REPLY)
        return true;
    struct header *r = (void *)reply;
    *r = (struct header){ .id = h->id, .command = h->command, .size = sizeof(*r), .flags = TYPE_REPLY };
    if (payload >= 0) {
        r->size += (uint32_t)payload;
    } else {
        r->flags |= FLAG_ERROR;
        r->error = (uint32_t)-payload;
    }
    return transmit(reply, r->size);
}

static uint64_t control(uint64_t offset)
{
    uint64_t value;
    memcpy(&value, bar + offset, sizeof(value));
    return value;
}

static void set_control(uint64_t offset, uint64_t value)
{
    memcpy(bar + offset, &value, sizeof(value));
}

/* One DMA_READ or DMA_WRITE; region commands of the client that come before the reply are answered. */
static bool message_dma(uint16_t id, uint16_t command, uint64_t iova, uint64_t count, bool *succeeded)
{
    static struct { struct header header; struct dma_access access; uint8_t data[BAR_SIZE]; } request;
    size_t bare = offsetof(typeof(request), data);
    size_t size = bare + (command == CMD_DMA_WRITE ? count : 0);
    request.header = (struct header){ .id = id, .command = command, .size = (uint32_t)size };
    request.access = (struct dma_access){ iova, count };
    if (!transmit(&request, size))
        return false;
    for (;;) {
        const struct header *h = next_message();
        if (!h)
            return false;
        if ((h->flags & TYPE_MASK) == TYPE_COMMAND) {
            if (!handle(h))
                return false;
            continue;
        }
        size_t expected = bare + (command == CMD_DMA_READ ? count : 0);
        *succeeded = h->id == id && h->command == command && !(h->flags & FLAG_ERROR) && h->size == expected &&
                     memcmp(h + 1, &request.access, sizeof(request.access)) == 0;
        if (*succeeded && command == CMD_DMA_READ)
            memcpy(request.data, (const uint8_t *)h + bare, count);
        return true;
    }
}

static bool run_operation(uint32_t operation)
{
    if (operation != OPERATION_MESSAGE_READ && operation != OPERATION_MESSAGE_WRITE) {
        set_control(CONTROL_NANOSECONDS, 1); /* done, and nothing succeeded */
        return true;
    }
    uint16_t command = operation == OPERATION_MESSAGE_READ ? CMD_DMA_READ : CMD_DMA_WRITE;
    uint64_t iterations = control(CONTROL_ITERATIONS), iova = control(CONTROL_IOVA), count = control(CONTROL_LENGTH);
    uint64_t good = 0, begin = now_ns();
    for (uint64_t i = 0; i < iterations && count <= BAR_SIZE; i++) {
        bool succeeded;
        if (!message_dma((uint16_t)i, command, iova, count, &succeeded))
            return false;
        good += succeeded;
    }
    uint64_t elapsed = now_ns() - begin;
    set_control(CONTROL_SUCCEEDED, good);
    set_control(CONTROL_NANOSECONDS, elapsed > 0 ? elapsed : 1);
    return true;
}

/* Whether a command that was handled asks for a control operation; it runs after the acknowledgement. */
static uint32_t requested_operation(const struct header *h)
{
    const struct region_access *access = (const void *)(h + 1);
    if (h->command != CMD_REGION_WRITE || h->size != sizeof(*h) + sizeof(*access) + sizeof(uint32_t) ||
        access->region != CONTROL_REGION || access->offset != CONTROL_OPERATION)
        return 0;
    uint32_t operation;
    memcpy(&operation, access + 1, sizeof(operation));
    return operation;
}

static void serve_client(void)
{
    head = tail = 0;
    for (const struct header *h; (h = next_message()) != NULL;) {
        uint32_t operation = requested_operation(h);
        if (!handle(h) || (operation != 0 && !run_operation(operation)))
            break;
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "--cpu") == 0)
        pin_to_cpu(parse_number("--cpu", argv[3]));
    else if (argc != 2)
        fail(EXIT_USAGE, "usage: floor SOCKET [--cpu N]");

    socket_path = argv[1];
    struct sockaddr_un address = socket_address(socket_path);
    unlink(socket_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
        fail(EXIT_WRONG, "'%s': %s", socket_path, strerror(errno));
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    for (;;) {
        client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            fail(EXIT_WRONG, "accept: %s", strerror(errno));
        serve_client();
        close(client);
    }
}
