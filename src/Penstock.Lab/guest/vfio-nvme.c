/*
 * vfio-nvme: a driver in user space for the controller of an NVMe disk, over the kernel's VFIO: group, container of type1v2, device. It maps read-only and
 * read-write pages and looks what the controller can do with them. For s390x guests: registers are reached by pread and pwrite.
 *
 *   vfio-nvme GROUP DEVICE PAGES [timed]     for example: vfio-nvme /dev/vfio/0 0001:00:00.0 512
 *
 * It says `vfio-nvme: STEP ...` after each step. PAGES, 16 to 16384, are mapped one by one; timed it only maps and unmaps them, half of them in a call, and says
 * how many microseconds each took by the guest's own clock. Exit status: 0 done, 1 a call failed or something was not as it must be, 2 wrong usage.
 */
#define PROGRAM "vfio-nvme"
#include "vfio.h"

/* Registers and the two commands, by the NVMe specification. All of it is little-endian. */
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000 };
enum { IDENTIFY = 0x06, CONTROLLER = 1, ENTRIES = 16, SUBMISSION_SIZE = 64, COMPLETION_SIZE = 16 };

/* I/O addresses: zPCI functions of QEMU begin at 4 GiB. */
#define SUBMISSIONS 0x100000000UL
#define COMPLETIONS 0x100001000UL
#define BUFFER 0x100002000UL
#define READ_ONLY 0x100003000UL
#define UNMAPPED 0x100004000UL
#define SINGLE_PAGES 0x100100000UL
#define TRIES 300000

static word registers;
static unsigned char *submissions;
static volatile unsigned char *completions;
static unsigned tail, head, phase = 1;

static void store_little(unsigned char *to, word value, word bytes)
{
	for (word i = 0; i < bytes; i++)
		to[i] = value >> 8 * i;
}

static void write_register(word offset, word value, word bytes)
{
	unsigned char data[8];
	store_little(data, value, bytes);
	require(check("cannot write a register", syscall6(__NR_pwrite64, device, (word)data, bytes, registers + offset, 0, 0)) == (long)bytes, "a register write");
}

static word read_register(word offset)
{
	unsigned char data[4];
	require(check("cannot read a register", syscall6(__NR_pread64, device, (word)data, 4, registers + offset, 0, 0)) == 4, "a register read");
	return data[0] | (word)data[1] << 8 | (word)data[2] << 16 | (word)data[3] << 24;
}

static void pause_shortly(void)
{
	struct { long seconds, nanoseconds; } time = { 0, 1000000 };
	syscall3(__NR_nanosleep, (word)&time, 0, 0);
}

static unsigned char *pages(word count)
{
	word arguments[6] = { 0, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1UL, 0 };
#if defined(__s390x__)
	long at = check("cannot get memory", syscall3(__NR_mmap, (word)arguments, 0, 0));
#else
	long at = check("cannot get memory", syscall6(__NR_mmap, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]));
#endif
	for (word i = count; i-- > 0;)
		((volatile unsigned char *)at)[i * PAGE] = 0;
	return (unsigned char *)at;
}

static void wait_ready(word ready)
{
	for (int i = 0; i < TRIES; i++) {
		if ((read_register(CSTS) & 1) == ready)
			return;
		pause_shortly();
	}
	require(0, "the controller does not get ready");
}

/* The controller reads the submission queue, which is mapped for reading only. */
static void start_controller(void)
{
	submissions = pages(1);
	completions = pages(1);
	map(submissions, SUBMISSIONS, PAGE, VFIO_DMA_MAP_FLAG_READ);
	map((void *)completions, COMPLETIONS, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	write_register(CC, 0, 4);
	wait_ready(0);
	write_register(AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4);
	write_register(ASQ, SUBMISSIONS, 8);
	write_register(ACQ, COMPLETIONS, 8);
	write_register(CC, 6 << 16 | 4 << 20 | 1, 4);
	wait_ready(1);
	say("started", ENTRIES, " entries in each queue");
}

/* Has the controller describe itself at an I/O address; gives the status. */
static unsigned identify(word iova)
{
	unsigned char *entry = submissions + tail * SUBMISSION_SIZE;
	memset(entry, 0, SUBMISSION_SIZE);
	entry[0] = IDENTIFY;
	entry[2] = tail;
	store_little(entry + 24, iova, 8);
	entry[40] = CONTROLLER;
	tail = (tail + 1) % ENTRIES;
	__sync_synchronize();
	write_register(DOORBELLS, tail, 4);
	volatile unsigned char *done = completions + head * COMPLETION_SIZE;
	for (int i = 0; i < TRIES && (done[14] & 1) != phase; i++)
		pause_shortly();
	require((done[14] & 1) == phase, "no completion came");
	__sync_synchronize();
	unsigned status = (done[14] | done[15] << 8) >> 1;
	head = (head + 1) % ENTRIES;
	phase ^= head == 0;
	write_register(DOORBELLS + 4, head, 4);
	return status;
}

/* An identity has text in it; untouched memory has what was put there. */
static int holds_identity(const unsigned char *page)
{
	return page[4] >= ' ' && page[4] < 127 && page[24] >= ' ' && page[24] < 127;
}

static void try_ranges(void)
{
	unsigned char *buffer = pages(1), *read_only = pages(1);
	memset(read_only, 0xa5, PAGE);
	map(buffer, BUFFER, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	map(read_only, READ_ONLY, PAGE, VFIO_DMA_MAP_FLAG_READ);
	require(identify(BUFFER) == 0 && holds_identity(buffer), "the identity in a page that may be written");
	say("identified", PAGE, " bytes");
	require(identify(READ_ONLY) != 0, "a write to a read-only page succeeded");
	for (word i = 0; i < PAGE; i++)
		require(read_only[i] == 0xa5, "a read-only page has changed");
	require(identify(UNMAPPED) != 0, "a write to an address that is not mapped succeeded");
	unmap(READ_ONLY, PAGE);
	unmap(BUFFER, PAGE);
	require(identify(BUFFER) != 0, "a write to an address that is not mapped any more succeeded");
	say("refused", 3, " writes");
}

static void try_pages(word count)
{
	unsigned char *memory = pages(count);
	word tried = 0;
	for (word i = 0; i < count; i++)
		map(memory + i * PAGE, SINGLE_PAGES + i * PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ | (i & 1 ? 0 : VFIO_DMA_MAP_FLAG_WRITE));
	say("mapped", count, " pages, every second one read-only");
	for (word i = 0; i < count; i += count / 16 | 1, tried++)
		require((identify(SINGLE_PAGES + i * PAGE) == 0) == !(i & 1) && holds_identity(memory + i * PAGE) == !(i & 1), "one of many pages");
	for (word i = 0; i < count; i++)
		unmap(SINGLE_PAGES + i * PAGE, PAGE);
	require(identify(SINGLE_PAGES) != 0, "a write to a page of many that was unmapped");
	say("tried", tried, " of them");
}

static void time_pages(word count)
{
	unsigned char *memory = pages(count);
	word half = count / 2 * PAGE, start = nanoseconds();
	map(memory, SINGLE_PAGES, half, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	map(memory + half, SINGLE_PAGES + half, half, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	word mapped = nanoseconds();
	unmap(SINGLE_PAGES, half);
	unmap(SINGLE_PAGES + half, half);
	say("unmapped", (nanoseconds() - mapped) / 1000, " us");
	say("mapped", (mapped - start) / 1000, " us");
}

void run(word *stack)
{
	char **argv = (char **)(stack + 1);
	if (stack[0] != 4 && stack[0] != 5) {
		put(2, "usage: vfio-nvme GROUP DEVICE PAGES [timed]\n");
		leave(2);
	}
	word count = to_number(argv[3]);
	require(count >= 16 && count <= 16384, "PAGES is from 16 to 16384");
	open_device(argv[1], argv[2]);
	if (stack[0] == 5) {
		time_pages(count);
		leave(0);
	}
	registers = region_at(VFIO_PCI_BAR0_REGION_INDEX).offset;
	enable_device();
	say("opened", read_register(8), " is the version register");
	start_controller();
	try_ranges();
	try_pages(count);
	write_register(CC, 0, 4);
	wait_ready(0);
	say("done", 0, " errors");
	leave(0);
}
