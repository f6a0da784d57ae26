/*
 * vfio-edu: a driver in user space for the EDU device (1234:11e8) behind an IOMMU, over the kernel's VFIO: group,
 * container of type1v2, device. For guests that have nothing but a kernel.
 *
 *   vfio-edu GROUP DEVICE PAGES      for example: vfio-edu /dev/vfio/1 0000:00:03.0 4096
 *
 * It goes through its steps in order and says `vfio-edu: STEP ...` after each. After the steps marked with "?" it waits for
 * a line on standard input, so that the other side can look at the device. PAGES, 64 to 16384, are mapped one by one.
 * Exit status: 0 done, 1 a call failed or something was not as it must be, 2 wrong usage.
 */
#include <linux/poll.h>

#define PROGRAM "vfio-edu"
#include "vfio.h"

/* The device's registers, by its public description. */
enum {
	IDENTIFICATION = 0x00, LIVENESS = 0x04, FACTORIAL = 0x08, STATUS = 0x20, CAUSES = 0x24, RAISE = 0x60, ACKNOWLEDGE = 0x64,
	DMA_SOURCE = 0x80, DMA_DESTINATION = 0x88, DMA_COUNT = 0x90, DMA_COMMAND = 0x98, BUFFER = 0x40000
};

enum { COMPUTING = 0x01, INTERRUPT_WHEN_COMPUTED = 0x80 };
enum { START = 1, TO_MEMORY = 2, INTERRUPT_WHEN_DONE = 4 };
enum { CAUSE_FACTORIAL = 0x1, CAUSE_DMA = 0x100 };

/* I/O addresses: all below 2^28, which is what the device reaches. */
#define SINGLE_PAGES 0x1000000UL
#define ONE_RANGE 0x8000000UL
#define READ_ONLY 0xf000000UL
#define RANGE_PAGES 1024UL
#define MESSAGES 50UL
#define PIN_INTERRUPTS 10UL
#define COPIES 16UL
/* Only what never comes takes so long: whoever emulates this machine may stand still for a while. */
#define TIMEOUT_MS 300000

static int message = -1;
static volatile unsigned char *bar;

static void wait_for_line(void)
{
	char c;
	do
		require(check("cannot read standard input", syscall3(__NR_read, 0, (word)&c, 1)) == 1, "standard input has ended");
	while (c != '\n');
}

static unsigned read32(word offset)
{
	return *(volatile unsigned *)(bar + offset);
}

static void write32(word offset, unsigned value)
{
	*(volatile unsigned *)(bar + offset) = value;
}

static void write64(word offset, word value)
{
	*(volatile word *)(bar + offset) = value;
}

/* Anonymous pages, touched from the last to the first so that hardly any two lie side by side in memory. */
static unsigned char *pages(word count)
{
	long at = check("cannot get memory", syscall6(__NR_mmap, 0, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	syscall3(__NR_madvise, at, count * PAGE, MADV_NOHUGEPAGE);
	for (word i = count; i-- > 0;)
		((volatile unsigned char *)at)[i * PAGE] = 0;
	return (unsigned char *)at;
}

static void set_irqs(unsigned index, unsigned flags, unsigned count, int event)
{
	struct {
		struct vfio_irq_set set;
		int event;
	} argument;
	memset(&argument, 0, sizeof argument);
	argument.set.argsz = flags & VFIO_IRQ_SET_DATA_EVENTFD ? sizeof argument : sizeof argument.set;
	argument.set.flags = flags;
	argument.set.index = index;
	argument.set.count = count;
	argument.event = event;
	ioctl("VFIO_DEVICE_SET_IRQS", device, VFIO_DEVICE_SET_IRQS, (word)&argument);
}

static word wait_for_interrupt(int event)
{
	struct pollfd waiting = { .fd = event, .events = POLLIN };
	word count = 0;
	require(check("cannot wait", syscall3(__NR_poll, (word)&waiting, 1, TIMEOUT_MS)) == 1, "no interrupt came");
	check("cannot read an eventfd", syscall3(__NR_read, event, (word)&count, sizeof count));
	return count;
}

static void open_registers(void)
{
	struct vfio_region_info region = region_at(VFIO_PCI_BAR0_REGION_INDEX);
	bar = (unsigned char *)check("cannot map BAR 0", syscall6(
		__NR_mmap, 0, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, region.offset));
	require(read32(IDENTIFICATION) == 0x010000ed, "the identification");
	write32(LIVENESS, 0x5a5a1234);
	require(read32(LIVENESS) == ~0x5a5a1234U, "the liveness check");
	say("opened", region.size, " bytes of BAR 0");
}

static int new_event(void)
{
	return check("cannot make an eventfd", syscall3(__NR_eventfd2, 0, O_CLOEXEC, 0));
}

static void acknowledge(unsigned cause)
{
	require(read32(CAUSES) == cause, "the cause of an interrupt");
	write32(ACKNOWLEDGE, cause);
}

static void interrupt_by_pin(void)
{
	int pin = new_event();
	set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, pin);
	for (word i = 1; i <= PIN_INTERRUPTS; i++) {
		write32(RAISE, i);
		require(wait_for_interrupt(pin) == 1, "the pin interrupts once");
		acknowledge(i);
		set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 1, -1);
	}
	set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, -1);
	say("pin", PIN_INTERRUPTS, " interrupts");
}

static void interrupt_by_message(void)
{
	message = new_event();
	set_irqs(VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, message);
	write32(STATUS, INTERRUPT_WHEN_COMPUTED);
	write32(FACTORIAL, 10);
	require(wait_for_interrupt(message) == 1, "a factorial interrupts once");
	require(read32(FACTORIAL) == 3628800 && !(read32(STATUS) & COMPUTING), "the factorial of 10");
	acknowledge(CAUSE_FACTORIAL);
	for (word i = 2; i <= MESSAGES; i++) {
		write32(RAISE, i);
		require(wait_for_interrupt(message) == 1, "a raise interrupts once");
		acknowledge(i);
	}
	say("messages", MESSAGES, " interrupts");
}

static void transfer(word source, word destination, word count, word command)
{
	write64(DMA_SOURCE, source);
	write64(DMA_DESTINATION, destination);
	write64(DMA_COUNT, count);
	write64(DMA_COMMAND, command | START | INTERRUPT_WHEN_DONE);
	require(wait_for_interrupt(message) == 1, "a transfer interrupts once");
	require(!(read32(DMA_COMMAND) & START), "a transfer has ended with its interrupt");
	acknowledge(CAUSE_DMA);
}

static void fill(unsigned char *page, word seed)
{
	for (word i = 0; i < PAGE / sizeof(word); i++) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		((word *)page)[i] = seed;
	}
}

static int equal(const unsigned char *a, const unsigned char *b)
{
	for (word i = 0; i < PAGE; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

/* The device carries pages from the first half of the memory to the second. */
static void copy(unsigned char *memory, word iova, word count)
{
	for (word i = 0; i < COPIES; i++) {
		word from = i * (count / 2) / COPIES, to = count - 1 - from;
		fill(memory + from * PAGE, i + 1);
		transfer(iova + from * PAGE, BUFFER, PAGE, 0);
		transfer(BUFFER, iova + to * PAGE, PAGE, TO_MEMORY);
		require(equal(memory + from * PAGE, memory + to * PAGE), "a page that the device copied");
	}
	say("copied", COPIES, " pages by DMA");
}

/* Only by DMA, as not every such device lets the processor into its buffer. `own` is mapped for both directions at `iova`. */
static void refuse_write(unsigned char *own, word iova)
{
	unsigned char *page = pages(1), *before = pages(1);
	fill(page, 77);
	memcpy(before, page, PAGE);
	map(page, READ_ONLY, PAGE, VFIO_DMA_MAP_FLAG_READ);
	transfer(READ_ONLY, BUFFER, PAGE, 0);
	transfer(BUFFER, iova, PAGE, TO_MEMORY);
	require(equal(own, before), "the device reads read-only memory");
	fill(own, 78);
	transfer(iova, BUFFER, PAGE, 0);
	transfer(BUFFER, READ_ONLY, PAGE, TO_MEMORY);
	require(equal(page, before), "memory that is mapped read-only keeps what it has");
	unmap(READ_ONLY, PAGE);
	say("refused", 1, " write to read-only memory");
}

void run(word *stack)
{
	char **arguments = (char **)(stack + 1);
	word count = 0;
	for (const char *at = stack[0] == 4 ? arguments[3] : ""; *at; at++)
		count = *at >= '0' && *at <= '9' && count < 100000 ? count * 10 + (*at - '0') : 1000000;
	if (count < 64 || count > 16384) {
		put(2, "usage: vfio-edu GROUP DEVICE PAGES\n");
		leave(2);
	}
	open_device(arguments[1], arguments[2]);
	enable_device();
	open_registers();
	interrupt_by_pin();
	interrupt_by_message();

	unsigned char *single = pages(count), *range = pages(RANGE_PAGES);
	for (word i = 0; i < count; i++)
		map(single + i * PAGE, SINGLE_PAGES + i * PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	map(range, ONE_RANGE, RANGE_PAGES * PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	copy(single, SINGLE_PAGES, count);
	copy(range, ONE_RANGE, RANGE_PAGES);
	say("mapped", count + RANGE_PAGES, " pages ?");
	wait_for_line();

	refuse_write(single, SINGLE_PAGES);
	unmap(ONE_RANGE, RANGE_PAGES * PAGE);
	unmap(SINGLE_PAGES, count * PAGE);
	fill(single, 99);
	fill(range, 99);
	transfer(BUFFER, SINGLE_PAGES, PAGE, TO_MEMORY);
	require(equal(single, range), "memory that is not mapped any more keeps what it has");
	say("unmapped", count + RANGE_PAGES, " pages ?");
	wait_for_line();

	/* What is mapped now goes with the container: the kernel closes it. */
	for (word i = 0; i < count; i++)
		map(single + i * PAGE, SINGLE_PAGES + i * PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	say("mapped", count, " pages ?");
	wait_for_line();
	leave(0);
}
