/*
 * A vfio-user session as the client holds it. Every reply is checked for id, command, type, size, error and the
 * echoed fields; anything else ends the program with one line. DMA commands of the server are served
 * from `memory` whenever they arrive.
 */
#ifndef PENSTOCK_BENCH_SESSION_H
#define PENSTOCK_BENCH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session {
    int socket;
    uint16_t next_id;
    const char *activity; /* what a failure line names as the place */
    uint8_t *outgoing;
    uint8_t *incoming;
    size_t start, end; /* bytes of `incoming` received and not yet taken */
    uint8_t *memory;   /* guest memory given without a descriptor; NULL when none */
    uint64_t memory_iova;
    uint64_t memory_size;
};

/* Connects, trying for `wait_seconds`, and agrees on the version. */
void session_open(struct session *s, const char *path, unsigned wait_seconds);
void session_close(struct session *s);

uint32_t session_regions(struct session *s);
uint64_t session_region_size(struct session *s, uint32_t region);
void session_region_read(struct session *s, uint32_t region, uint64_t offset, void *to, uint32_t count);
void session_region_write(struct session *s, uint32_t region, uint64_t offset, const void *from, uint32_t count);
/* A write that asks for no reply: done once a later command is answered. */
void session_region_post(struct session *s, uint32_t region, uint64_t offset, const void *from, uint32_t count);
/* `fd` -1 leaves the memory with the client, reached by messages. */
void session_dma_map(struct session *s, uint64_t iova, uint64_t size, int fd, uint64_t fd_offset);
void session_dma_unmap(struct session *s, uint64_t iova, uint64_t size);
/* Serves one DMA command; false when none came in time. */
bool session_serve(struct session *s, int timeout_ms);

#endif
