/*
 * walk FILE IOTA FIRST PAGES [--cpu N]
 *
 * Walks dumped I/O translation tables of a zPCI guest: the C side of `penstock bench zpci`. FILE has the tables, with file offsets as
 * addresses. Each line on standard input, "COUNT SEED ORDER", asks for COUNT walks of pages behind FIRST, ORDER being 1 for random ones and
 * 0 for one after the other; the answer is a line "NANOSECONDS SUM", the sum of the addresses found.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define IOTA_TRANSLATE 0x800ull
#define IOTA_TYPE(i)   (((i) >> 2) & 7)
#define REGION_ORIGIN  (~0x3fffull)
#define SEGMENT_ORIGIN (~0x7ffull)
#define FRAME_ORIGIN   (~0xfffffull)
#define PAGE_ORIGIN    (~0xfffull)
#define OFFSET_MASK    0xc0ull
#define TYPE_MASK      0x0cull
#define LENGTH_MASK    0x03ull
#define TABLE_INVALID  0x20ull
#define PAGE_INVALID   0x400ull
#define LARGE_FRAME    0x400ull
#define PROTECT        0x200ull

enum fault { FAULT_NONE = 0, FAULT_SPACE = 0x1, FAULT_RANGE = 0x2, FAULT_FORMAT = 0x3, FAULT_ENTRY = 0x7, FAULT_LENGTH = 0x8, FAULT_TYPE = 0x9 };

struct tables {
	const unsigned char *memory;
	uint64_t length;
};

struct found {
	uint64_t address;
	enum fault fault;
	bool valid;
	bool writable;
};

static uint64_t entry_at(const struct tables *tables, uint64_t address)
{
	if (address >= tables->length)
		return 0;
	return __builtin_bswap64(*(const volatile uint64_t *)(tables->memory + address));
}

/* Why a region entry does not lead on: nothing there, no error when invalid, or what is wrong with it. */
static struct found region_end(uint64_t entry)
{
	struct found found = { 0 };

	found.fault = !entry ? FAULT_ENTRY
		: entry & TABLE_INVALID ? FAULT_NONE
		: (entry & (LENGTH_MASK | OFFSET_MASK)) != LENGTH_MASK ? FAULT_LENGTH
		: FAULT_TYPE;
	return found;
}

static struct found table_end(uint64_t entry, uint64_t invalid)
{
	struct found found = { 0 };

	found.fault = !entry ? FAULT_ENTRY : entry & invalid ? FAULT_NONE : FAULT_TYPE;
	return found;
}

static struct found refused(uint64_t iota)
{
	struct found found = { 0 };

	found.fault = !(iota & IOTA_TRANSLATE) ? FAULT_SPACE : IOTA_TYPE(iota) > 3 ? FAULT_FORMAT : FAULT_RANGE;
	return found;
}

/*
 * The order of checks is that of the walk in C#: one comparison a level while all is well, the reason only when it is not; region third
 * tables, which nearly all guests have, without a loop.
 */
static inline __attribute__((always_inline)) struct found walk(const struct tables *tables, uint64_t iota, uint64_t iova)
{
	const uint64_t region_flags = OFFSET_MASK | TABLE_INVALID | TYPE_MASK | LENGTH_MASK;
	uint64_t type = IOTA_TYPE(iota), table = iota & REGION_ORIGIN, seen = iota, entry;

	if (!(iota & IOTA_TRANSLATE) || type > 3 || (type < 3 && iova >> (31 + 11 * type)))
		return refused(iota);

	if (type == 1) {
		entry = entry_at(tables, table + ((iova >> 28) & 0x3ff8));
		table = entry & REGION_ORIGIN;
		if ((entry & region_flags) != (1 << 2 | LENGTH_MASK) || !table)
			return region_end(entry);
		seen |= entry;
		type = 0;
	}
	for (; type > 0; type--) {
		entry = entry_at(tables, table + ((iova >> (17 + 11 * type)) & 0x3ff8));
		table = entry & REGION_ORIGIN;
		if ((entry & region_flags) != (type << 2 | LENGTH_MASK) || !table)
			return region_end(entry);
		seen |= entry;
	}

	entry = entry_at(tables, table + ((iova >> 17) & 0x3ff8));
	table = entry & SEGMENT_ORIGIN;
	if ((entry & (TABLE_INVALID | TYPE_MASK)) || !table)
		return table_end(entry, TABLE_INVALID);
	seen |= entry;
	if (entry & LARGE_FRAME)
		return (struct found) { (entry & FRAME_ORIGIN) | (iova & ~FRAME_ORIGIN), FAULT_NONE, true, !(seen & PROTECT) };

	entry = entry_at(tables, table + ((iova >> 9) & 0x7f8));
	table = entry & PAGE_ORIGIN;
	if ((entry & PAGE_INVALID) || !table)
		return table_end(entry, PAGE_INVALID);
	return (struct found) { table | (iova & ~PAGE_ORIGIN), FAULT_NONE, true, !((seen | entry) & PROTECT) };
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end) {
		fprintf(stderr, "walk: '%s' is no number\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	struct tables tables;
	struct stat facts;
	uint64_t iota, first, pages, count, random;
	int file, order;

	if (argc != 5 && !(argc == 7 && !strcmp(argv[5], "--cpu"))) {
		fprintf(stderr, "usage: walk FILE IOTA FIRST PAGES [--cpu N]\n");
		return 2;
	}
	if (argc == 7) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(number(argv[6]), &set);
		if (sched_setaffinity(0, sizeof(set), &set)) {
			perror("walk: sched_setaffinity");
			return 1;
		}
	}
	file = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &facts)) {
		perror(argv[1]);
		return 1;
	}
	tables.length = (uint64_t)facts.st_size;
	tables.memory = mmap(NULL, tables.length, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
	if (tables.memory == MAP_FAILED) {
		perror(argv[1]);
		return 1;
	}
	iota = number(argv[2]);
	first = number(argv[3]);
	pages = number(argv[4]);

	while (scanf("%" SCNu64 " %" SCNu64 " %d", &count, &random, &order) == 3) {
		uint64_t sum = 0, turn = 0, start = now();

		for (uint64_t i = 0; i < count; i++) {
			uint64_t page = order ? (uint64_t)(((unsigned __int128)next(&random) * pages) >> 64) : turn;
			struct found found = walk(&tables, iota, first + page * 4096);

			turn = turn + 1 == pages ? 0 : turn + 1;
			sum += found.valid ? found.address + found.writable : (uint64_t)found.fault;
		}
		printf("%" PRIu64 " %" PRIu64 "\n", now() - start, sum);
		fflush(stdout);
	}
	return 0;
}
