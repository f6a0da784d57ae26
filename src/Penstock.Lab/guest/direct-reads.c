/*
 * direct-reads: random reads of 4 KiB, past the page cache, by io_uring, so that some may be under way at once and that their completions may be polled for.
 *
 *   direct-reads FILE COUNT DEPTH interrupts|polled      for example: direct-reads /dev/nvme0n1 1000 8 polled
 *
 * It says `direct-reads: RATE a second, NANOSECONDS each`, by the guest's own clock. Polled needs a queue for it (nvme.poll_queues=1). Exit status: 0 done,
 * 1 a call or a read failed, 2 wrong usage.
 */
#include <stddef.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/mman.h>

#define PROGRAM "direct-reads"
#include "freestanding.h"

#define BLOCK 4096UL
#define MOST 128UL

/* Prime, so that every block's turn comes and neighbours are not read after each other, which the block layer would put together. */
#define STRIDE 7919UL

static word submissions, completions;
static struct io_uring_params ring;
static struct io_uring_sqe *entries;

static word get_memory(word length, word flags, word file, word offset)
{
	word arguments[6] = { 0, length, PROT_READ | PROT_WRITE, flags, file, offset };
#if defined(__s390x__)
	return check("mmap", syscall3(__NR_mmap, (word)arguments, 0, 0));
#else
	return check("mmap", syscall6(__NR_mmap, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]));
#endif
}

static unsigned *at(word base, unsigned offset)
{
	return (unsigned *)(base + offset);
}

static void submit(int file, word buffer, word block)
{
	unsigned tail = *at(submissions, ring.sq_off.tail), mask = *at(submissions, ring.sq_off.ring_mask), slot = tail & mask;
	memset(&entries[slot], 0, sizeof entries[slot]);
	entries[slot].opcode = IORING_OP_READ;
	entries[slot].fd = file;
	entries[slot].addr = buffer;
	entries[slot].len = BLOCK;
	entries[slot].off = block * BLOCK;
	entries[slot].user_data = buffer;
	at(submissions, ring.sq_off.array)[slot] = slot;
	__atomic_store_n(at(submissions, ring.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
}

/* Takes what has completed, and begins another read for each while there are some left; gives how many there were. */
static word reap(int file, word blocks, word *begun, word count)
{
	unsigned head = *at(completions, ring.cq_off.head), mask = *at(completions, ring.cq_off.ring_mask);
	word found = 0;
	for (; head != __atomic_load_n(at(completions, ring.cq_off.tail), __ATOMIC_ACQUIRE); head++, found++) {
		struct io_uring_cqe *done = (struct io_uring_cqe *)(completions + ring.cq_off.cqes) + (head & mask);
		if (done->res != (int)BLOCK)
			check("a read failed", done->res < 0 ? done->res : -5);
		if (*begun < count)
			submit(file, done->user_data, *begun * STRIDE % blocks), ++*begun;
	}
	__atomic_store_n(at(completions, ring.cq_off.head), head, __ATOMIC_RELEASE);
	return found;
}

void run(word *stack)
{
	char **argv = (char **)(stack + 1);
	word count = stack[0] == 5 ? to_number(argv[2]) : 0, depth = stack[0] == 5 ? to_number(argv[3]) : 0, size = 0;
	if (count == 0 || depth == 0 || depth > MOST || (argv[4][0] != 'i' && argv[4][0] != 'p')) {
		put(2, "usage: direct-reads FILE COUNT DEPTH interrupts|polled (DEPTH to 128)\n");
		leave(2);
	}
	int file = check(argv[1], syscall3(__NR_open, (word)argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC, 0));
	check("BLKGETSIZE64", syscall3(__NR_ioctl, file, BLKGETSIZE64, (word)&size));
	ring.flags = argv[4][0] == 'p' ? IORING_SETUP_IOPOLL : 0;
	int uring = check("io_uring_setup", syscall3(__NR_io_uring_setup, MOST, (word)&ring, 0));
	submissions = get_memory(ring.sq_off.array + ring.sq_entries * sizeof(unsigned), MAP_SHARED | MAP_POPULATE, uring, IORING_OFF_SQ_RING);
	completions = get_memory(ring.cq_off.cqes + ring.cq_entries * sizeof(struct io_uring_cqe), MAP_SHARED | MAP_POPULATE, uring, IORING_OFF_CQ_RING);
	entries = (struct io_uring_sqe *)get_memory(ring.sq_entries * sizeof *entries, MAP_SHARED | MAP_POPULATE, uring, IORING_OFF_SQES);
	word buffers = get_memory(depth * BLOCK, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1UL, 0);

	word blocks = size / BLOCK, begun = 0, done = 0, start = nanoseconds();
	for (; begun < depth && begun < count; begun++)
		submit(file, buffers + begun * BLOCK, begun * STRIDE % blocks);
	while (done < count) {
		unsigned waiting = *at(submissions, ring.sq_off.tail) - __atomic_load_n(at(submissions, ring.sq_off.head), __ATOMIC_ACQUIRE);
		check("io_uring_enter", syscall6(__NR_io_uring_enter, uring, waiting, 1, IORING_ENTER_GETEVENTS, 0, 0));
		done += reap(file, blocks, &begun, count);
	}
	word took = nanoseconds() - start;
	put(1, PROGRAM ": ");
	put_number(1, count * 1000000000UL / took);
	put(1, " a second, ");
	put_number(1, took / count);
	put(1, " each\n");
	leave(0);
}
