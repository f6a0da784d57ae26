/*
 * The part of the vfio-user wire format that the bench peers speak.
 * Integers are little-endian. The structures have no holes; they are marked packed because a message may begin at any
 * byte of a receive buffer.
 */
#ifndef PENSTOCK_BENCH_WIRE_H
#define PENSTOCK_BENCH_WIRE_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the peers are written for little-endian machines"
#endif

#define PACKED __attribute__((packed))

enum command {
    CMD_VERSION = 1,
    CMD_DMA_MAP = 2,
    CMD_DMA_UNMAP = 3,
    CMD_DEVICE_GET_INFO = 4,
    CMD_DEVICE_GET_REGION_INFO = 5,
    CMD_REGION_READ = 9,
    CMD_REGION_WRITE = 10,
    CMD_DMA_READ = 11,
    CMD_DMA_WRITE = 12,
};

enum message_flags {
    TYPE_MASK = 0xf,
    TYPE_COMMAND = 0,
    TYPE_REPLY = 1,
    FLAG_NO_REPLY = 0x10,
    FLAG_ERROR = 0x20,
};

enum limits {
    MAX_DATA = 1 << 20,
    MAX_MESSAGE = MAX_DATA + 32,
    MAX_DESCRIPTORS = 8,
};

#define CAPABILITIES "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}"

struct PACKED header {
    uint16_t id;
    uint16_t command;
    uint32_t size; /* of the whole message, this header included */
    uint32_t flags;
    uint32_t error;
};

struct PACKED version {
    uint16_t major;
    uint16_t minor;
    char capabilities[sizeof(CAPABILITIES)];
};

enum dma_map_flags { DMA_MAP_READ = 1, DMA_MAP_WRITE = 2 };

struct PACKED dma_map {
    uint32_t argsz;
    uint32_t flags;
    uint64_t fd_offset;
    uint64_t iova;
    uint64_t size;
};

struct PACKED dma_unmap {
    uint32_t argsz;
    uint32_t flags;
    uint64_t iova;
    uint64_t size;
};

enum device_flags { DEVICE_RESETTABLE = 1, DEVICE_PCI = 2 };

struct PACKED device_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t regions;
    uint32_t irqs;
};

enum region_flags { REGION_READABLE = 1, REGION_WRITABLE = 2 };

struct PACKED region_info {
    uint32_t argsz;
    uint32_t flags;
    uint32_t index;
    uint32_t cap_offset;
    uint64_t size;
    uint64_t fd_offset;
};

/* PCI configuration space: its region, the command register and two of its bits. */
#define CONFIG_REGION 7
#define CONFIG_COMMAND 4
#define COMMAND_MEMORY 0x2
#define COMMAND_MASTER 0x4

/* REGION_READ and REGION_WRITE, command and reply; data follows. */
struct PACKED region_access {
    uint64_t offset;
    uint32_t region;
    uint32_t count;
};

/* DMA_READ and DMA_WRITE, command and reply; data follows. */
struct PACKED dma_access {
    uint64_t iova;
    uint64_t count;
};

_Static_assert(sizeof(struct header) == 16, "header");
_Static_assert(sizeof(struct dma_map) == 32, "DMA_MAP");
_Static_assert(sizeof(struct dma_unmap) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct device_info) == 16, "DEVICE_GET_INFO");
_Static_assert(sizeof(struct region_info) == 32, "DEVICE_GET_REGION_INFO");
_Static_assert(sizeof(struct region_access) == 16, "REGION_READ");
_Static_assert(sizeof(struct dma_access) == 16, "DMA_READ");

/*
 * The control block of a bench device: registers in BAR0 that let the client start an operation inside the
 * server and fetch the time it took there. All are plain storage but OPERATION, whose 4-byte write starts it.
 * The server may be done before it acknowledges that write, or work on after it; NANOSECONDS turns non-zero
 * at the end.
 */
enum control_block {
    CONTROL_REGION = 0,
    CONTROL_OPERATION = 0xf000,
    CONTROL_ITERATIONS = 0xf008,
    CONTROL_IOVA = 0xf010,
    CONTROL_STRIDE = 0xf018,
    CONTROL_MAPS = 0xf020,
    CONTROL_LENGTH = 0xf028,
    CONTROL_NANOSECONDS = 0xf030,
    CONTROL_SUCCEEDED = 0xf038,
    CONTROL_CHOICE = 0xf040,
    CONTROL_END = 0xf048,
};

enum control_operation {
    OPERATION_TRANSLATE = 1,
    OPERATION_MESSAGE_READ = 2,
    OPERATION_MESSAGE_WRITE = 3,
    OPERATION_TRANSLATE_HOLD = 4, /* translate, take a reference, give it back */
};

enum control_choice { CHOICE_SAME = 0, CHOICE_ROUND_ROBIN = 1, CHOICE_RANDOM = 2 };

#endif
