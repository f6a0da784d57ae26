#define _GNU_SOURCE
#include "session.h"

#include <poll.h>
#include <unistd.h>

#include "process.h"
#include "wire.h"

#define WRONG(s, ...) wrong((s)->activity, __VA_ARGS__)

__attribute__((noreturn, format(printf, 2, 3)))
static void wrong(const char *activity, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fflush(stdout);
    fail(EXIT_WRONG, "%s: %s", activity, text);
}

static void transmit(struct session *s, const void *message, size_t size, int fd)
{
    ssize_t sent;
    if (fd < 0) {
        sent = send(s->socket, message, size, MSG_NOSIGNAL);
    } else {
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        struct iovec part = { .iov_base = (void *)message, .iov_len = size };
        struct msghdr carrier = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
        };
        sent = sendmsg(s->socket, &carrier, MSG_NOSIGNAL);
    }
    if (sent < 0)
        WRONG(s, "sending failed: %s", strerror(errno));
    if ((size_t)sent != size)
        WRONG(s, "sent %zd of %zu bytes", sent, size);
}

/* Takes the next whole message; valid until the next call. */
static const struct header *receive(struct session *s)
{
    if (s->start == s->end)
        s->start = s->end = 0;
    for (;;) {
        size_t have = s->end - s->start;
        if (have >= sizeof(struct header)) {
            const struct header *h = (const void *)(s->incoming + s->start);
            if (h->size < sizeof(*h) || h->size > MAX_MESSAGE)
                WRONG(s, "message of command %u announces %u bytes", h->command, h->size);
            if (have >= h->size) {
                s->start += h->size;
                return h;
            }
        }
        /* Messages are read in place: the part of one that came moves to the front to have room. */
        if (s->start > 0) {
            memmove(s->incoming, s->incoming + s->start, have);
            s->start = 0;
            s->end = have;
        }
        ssize_t got = recv(s->socket, s->incoming + s->end, MAX_MESSAGE - s->end, 0);
        if (got < 0)
            WRONG(s, "receiving failed: %s", strerror(errno));
        if (got == 0)
            WRONG(s, "the server closed the connection");
        s->end += (size_t)got;
    }
}

static void serve_dma(struct session *s, const struct header *h)
{
    const struct dma_access *access = (const void *)(h + 1);
    bool write = h->command == CMD_DMA_WRITE;
    if ((!write && h->command != CMD_DMA_READ) || h->size < sizeof(*h) + sizeof(*access))
        WRONG(s, "the server sent command %u of %u bytes", h->command, h->size);
    if (access->count > MAX_DATA || h->size != sizeof(*h) + sizeof(*access) + (write ? access->count : 0))
        WRONG(s, "DMA command %u of %u bytes asks for %llu bytes", h->command, h->size, (unsigned long long)access->count);
    if (!s->memory || access->iova < s->memory_iova || access->count > s->memory_size ||
        access->iova - s->memory_iova > s->memory_size - access->count)
        WRONG(s, "DMA command %u reaches outside the mapped memory, at 0x%llx", h->command, (unsigned long long)access->iova);

    uint8_t *memory = s->memory + (access->iova - s->memory_iova);
    size_t size = sizeof(*h) + sizeof(*access);
    if (write) {
        memcpy(memory, access + 1, access->count);
    } else {
        memcpy(s->outgoing + size, memory, access->count);
        size += access->count;
    }
    if (h->flags & FLAG_NO_REPLY)
        return;
    struct header reply = { .id = h->id, .command = h->command, .size = (uint32_t)size, .flags = TYPE_REPLY };
    memcpy(s->outgoing, &reply, sizeof(reply));
    memcpy(s->outgoing + sizeof(reply), access, sizeof(*access));
    transmit(s, s->outgoing, size, -1);
}

/* Waits for the reply to `id`, serving DMA meanwhile; returns its payload. `size` 0 accepts any length. */
static const void *await_reply(struct session *s, uint16_t id, uint16_t command, size_t size)
{
    for (;;) {
        const struct header *h = receive(s);
        uint32_t type = h->flags & TYPE_MASK;
        if (type == TYPE_COMMAND) {
            serve_dma(s, h);
            continue;
        }
        if (type != TYPE_REPLY)
            WRONG(s, "reply to command %u has type %u", command, type);
        if (h->id != id || h->command != command)
            WRONG(s, "reply has id %u and command %u, expected id %u and command %u", h->id, h->command, id, command);
        if (h->flags & FLAG_ERROR)
            WRONG(s, "command %u was refused with error %u (%s)", command, h->error, strerror((int)h->error));
        if (size != 0 && h->size != size)
            WRONG(s, "reply to command %u has %u bytes, expected %zu", command, h->size, size);
        return h + 1;
    }
}

static struct header command_header(struct session *s, uint16_t command, size_t size, uint32_t flags)
{
    return (struct header){ .id = s->next_id++, .command = command, .size = (uint32_t)size, .flags = flags };
}

void session_open(struct session *s, const char *path, unsigned wait_seconds)
{
    *s = (struct session){ .activity = "connect", .outgoing = malloc(MAX_MESSAGE), .incoming = malloc(MAX_MESSAGE) };
    if (!s->outgoing || !s->incoming)
        fail(EXIT_WRONG, "no memory for the message buffers");
    struct sockaddr_un address = socket_address(path);
    s->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->socket < 0)
        WRONG(s, "socket: %s", strerror(errno));
    uint64_t deadline = now_ns() + wait_seconds * 1000000000ull;
    while (connect(s->socket, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if ((errno != ENOENT && errno != ECONNREFUSED) || now_ns() >= deadline)
            WRONG(s, "'%s': %s", path, strerror(errno));
        usleep(10000);
    }

    s->activity = "version";
    /* Minor 0 is what every server can answer; one that counts further has to come down to it. */
    struct { struct header header; struct version body; } request = { .body = { .capabilities = CAPABILITIES } };
    size_t size = sizeof(struct header) + offsetof(struct version, capabilities) + sizeof(CAPABILITIES);
    request.header = command_header(s, CMD_VERSION, size, TYPE_COMMAND);
    transmit(s, &request, size, -1);
    const struct version *reply = await_reply(s, request.header.id, CMD_VERSION, 0);
    const struct header *h = (const struct header *)reply - 1;
    if (h->size < sizeof(*h) + offsetof(struct version, capabilities))
        WRONG(s, "reply has %u bytes", h->size);
    if (reply->major != 0 || reply->minor != 0)
        WRONG(s, "the server answered %u.%u to a client of 0.0", reply->major, reply->minor);
}

void session_close(struct session *s)
{
    close(s->socket);
    free(s->outgoing);
    free(s->incoming);
}

uint32_t session_regions(struct session *s)
{
    struct { struct header header; struct device_info body; } request = { .body = { .argsz = sizeof(struct device_info) } };
    request.header = command_header(s, CMD_DEVICE_GET_INFO, sizeof(request), TYPE_COMMAND);
    transmit(s, &request, sizeof(request), -1);
    const struct device_info *info = await_reply(s, request.header.id, CMD_DEVICE_GET_INFO, sizeof(request));
    return info->regions;
}

uint64_t session_region_size(struct session *s, uint32_t region)
{
    /* With argsz for the bare structure, no capability and no descriptor comes back. */
    struct { struct header header; struct region_info body; } request = {
        .body = { .argsz = sizeof(struct region_info), .index = region },
    };
    request.header = command_header(s, CMD_DEVICE_GET_REGION_INFO, sizeof(request), TYPE_COMMAND);
    transmit(s, &request, sizeof(request), -1);
    const struct region_info *info = await_reply(s, request.header.id, CMD_DEVICE_GET_REGION_INFO, sizeof(request));
    if (info->index != region)
        WRONG(s, "asked for region %u, got region %u", region, info->index);
    return info->size;
}

static const void *await_access(struct session *s, const struct header *h, const struct region_access *access, size_t data)
{
    const struct region_access *reply = await_reply(s, h->id, h->command, sizeof(*h) + sizeof(*reply) + data);
    if (reply->offset != access->offset || reply->region != access->region || reply->count != access->count)
        WRONG(s, "reply to command %u is about region %u, offset 0x%llx, %u bytes", h->command, reply->region,
              (unsigned long long)reply->offset, reply->count);
    return reply + 1;
}

void session_region_read(struct session *s, uint32_t region, uint64_t offset, void *to, uint32_t count)
{
    struct { struct header header; struct region_access access; } request = { .access = { offset, region, count } };
    request.header = command_header(s, CMD_REGION_READ, sizeof(request), TYPE_COMMAND);
    transmit(s, &request, sizeof(request), -1);
    memcpy(to, await_access(s, &request.header, &request.access, count), count);
}

static struct header send_write(struct session *s, const struct region_access *access, const void *from, uint32_t flags)
{
    size_t size = sizeof(struct header) + sizeof(*access) + access->count;
    struct header h = command_header(s, CMD_REGION_WRITE, size, flags);
    memcpy(s->outgoing, &h, sizeof(h));
    memcpy(s->outgoing + sizeof(h), access, sizeof(*access));
    memcpy(s->outgoing + sizeof(h) + sizeof(*access), from, access->count);
    transmit(s, s->outgoing, size, -1);
    return h;
}

void session_region_write(struct session *s, uint32_t region, uint64_t offset, const void *from, uint32_t count)
{
    struct region_access access = { offset, region, count };
    struct header h = send_write(s, &access, from, TYPE_COMMAND);
    await_access(s, &h, &access, 0);
}

void session_region_post(struct session *s, uint32_t region, uint64_t offset, const void *from, uint32_t count)
{
    struct region_access access = { offset, region, count };
    send_write(s, &access, from, TYPE_COMMAND | FLAG_NO_REPLY);
}

void session_dma_map(struct session *s, uint64_t iova, uint64_t size, int fd, uint64_t fd_offset)
{
    struct { struct header header; struct dma_map body; } request = {
        .body = { sizeof(struct dma_map), DMA_MAP_READ | DMA_MAP_WRITE, fd_offset, iova, size },
    };
    request.header = command_header(s, CMD_DMA_MAP, sizeof(request), TYPE_COMMAND);
    transmit(s, &request, sizeof(request), fd);
    await_reply(s, request.header.id, CMD_DMA_MAP, sizeof(struct header));
}

void session_dma_unmap(struct session *s, uint64_t iova, uint64_t size)
{
    struct { struct header header; struct dma_unmap body; } request = {
        .body = { sizeof(struct dma_unmap), 0, iova, size },
    };
    request.header = command_header(s, CMD_DMA_UNMAP, sizeof(request), TYPE_COMMAND);
    transmit(s, &request, sizeof(request), -1);
    const struct dma_unmap *reply = await_reply(s, request.header.id, CMD_DMA_UNMAP, sizeof(request));
    if (reply->iova != iova || reply->size != size)
        WRONG(s, "unmap of 0x%llx was answered for 0x%llx", (unsigned long long)iova, (unsigned long long)reply->iova);
}

bool session_serve(struct session *s, int timeout_ms)
{
    if (s->start == s->end) {
        struct pollfd ready = { .fd = s->socket, .events = POLLIN };
        if (poll(&ready, 1, timeout_ms) <= 0)
            return false;
    }
    const struct header *h = receive(s);
    if ((h->flags & TYPE_MASK) != TYPE_COMMAND)
        WRONG(s, "a reply to command %u came unasked", h->command);
    serve_dma(s, h);
    return true;
}
