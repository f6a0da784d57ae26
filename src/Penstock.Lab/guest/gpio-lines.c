/*
 * gpio-lines: reads, sets and watches GPIO lines through the kernel's character device (uAPI version 2), for guests
 * that have nothing but a kernel. No C library: system calls only.
 *
 *   gpio-lines info CHIP
 *   gpio-lines get CHIP LINE...
 *   gpio-lines set CHIP LINE=VALUE...
 *   gpio-lines watch CHIP COUNT TIMEOUT_MS LINE...
 *
 * Exit status: 0 done, 1 a call failed or the watch ran out of time, 2 wrong usage.
 */
#include <linux/fcntl.h>
#include <linux/gpio.h>
#include <linux/poll.h>

#define PROGRAM "gpio-lines"
#include "freestanding.h"

__attribute__((noreturn)) static void usage(void)
{
	put(2, "usage: gpio-lines info CHIP\n"
	       "       gpio-lines get CHIP LINE...\n"
	       "       gpio-lines set CHIP LINE=VALUE...\n"
	       "       gpio-lines watch CHIP COUNT TIMEOUT_MS LINE...\n");
	leave(2);
}

/* A decimal number that ends at `end`; anything else is wrong usage. */
static word number(const char **text, char end)
{
	const char *at = *text;
	word value = 0;
	if (*at == end)
		usage();
	while (*at >= '0' && *at <= '9' && value < 1000000000)
		value = value * 10 + (*at++ - '0');
	if (*at != end)
		usage();
	*text = at;
	return value;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static int request(int chip, struct gpio_v2_line_request *lines, __u64 flags)
{
	static const char consumer[] = "gpio-lines";
	memcpy(lines->consumer, consumer, sizeof consumer);
	lines->config.flags = flags;
	check("cannot request the lines", syscall3(__NR_ioctl, chip, GPIO_V2_GET_LINE_IOCTL, (word)lines));
	return lines->fd;
}

static void parse_lines(struct gpio_v2_line_request *lines, char **names, word *values)
{
	if (!*names)
		usage();
	for (; *names; names++) {
		const char *at = *names;
		if (lines->num_lines == GPIO_V2_LINES_MAX)
			usage();
		lines->offsets[lines->num_lines] = number(&at, values ? '=' : 0);
		if (values) {
			at++;
			word value = number(&at, 0);
			if (value > 1)
				usage();
			*values |= value << lines->num_lines;
		}
		lines->num_lines++;
	}
}

static void info(int chip)
{
	struct gpiochip_info chip_info;
	memset(&chip_info, 0, sizeof chip_info);
	check("cannot ask the chip", syscall3(__NR_ioctl, chip, GPIO_GET_CHIPINFO_IOCTL, (word)&chip_info));
	put(1, "name ");
	put(1, chip_info.name);
	put(1, "\nlabel ");
	put(1, chip_info.label);
	put(1, "\nlines ");
	put_number(1, chip_info.lines);
	put(1, "\n");
}

/* Reads without naming a direction, so that an output can be read back as it stands. */
static void get(int chip, char **names)
{
	struct gpio_v2_line_request lines;
	struct gpio_v2_line_values values;
	memset(&lines, 0, sizeof lines);
	memset(&values, 0, sizeof values);
	parse_lines(&lines, names, 0);
	int fd = request(chip, &lines, 0);
	values.mask = lines.num_lines == 64 ? ~0UL : (1UL << lines.num_lines) - 1;
	check("cannot read the lines", syscall3(__NR_ioctl, fd, GPIO_V2_LINE_GET_VALUES_IOCTL, (word)&values));
	for (word i = 0; i < lines.num_lines; i++)
		put(1, values.bits >> i & 1 ? "1\n" : "0\n");
}

static void set(int chip, char **names)
{
	struct gpio_v2_line_request lines;
	word values = 0;
	memset(&lines, 0, sizeof lines);
	parse_lines(&lines, names, &values);
	/* The values travel with the request: no line shows a wrong level in between. */
	lines.config.num_attrs = 1;
	lines.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
	lines.config.attrs[0].attr.values = values;
	lines.config.attrs[0].mask = lines.num_lines == 64 ? ~0UL : (1UL << lines.num_lines) - 1;
	request(chip, &lines, GPIO_V2_LINE_FLAG_OUTPUT);
}

static int watch(int chip, char **arguments)
{
	struct gpio_v2_line_request lines;
	struct gpio_v2_line_event event;
	if (!arguments[0] || !arguments[1])
		usage();
	const char *at = arguments[0];
	word count = number(&at, 0), seen = 0;
	at = arguments[1];
	word timeout = number(&at, 0);
	memset(&lines, 0, sizeof lines);
	parse_lines(&lines, arguments + 2, 0);
	int fd = request(chip, &lines, GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING);
	put(1, "ready\n");
	while (seen < count) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		if (check("cannot wait", syscall3(__NR_poll, (word)&waiting, 1, timeout)) == 0)
			break;
		check("cannot read an event", syscall3(__NR_read, fd, (word)&event, sizeof event));
		put(1, "line ");
		put_number(1, event.offset);
		put(1, event.id == GPIO_V2_LINE_EVENT_RISING_EDGE ? " rising\n" : " falling\n");
		seen++;
	}
	put(1, "events ");
	put_number(1, seen);
	put(1, "\n");
	return seen == count ? 0 : 1;
}

void run(word *stack)
{
	word count = stack[0];
	char **arguments = (char **)(stack + 1);
	int status = 0;
	if (count < 3)
		usage();
	const char *verb = arguments[1];
	if (!same(verb, "info") && !same(verb, "get") && !same(verb, "set") && !same(verb, "watch"))
		usage();
	int chip = check(arguments[2], syscall3(__NR_open, (word)arguments[2], O_RDWR | O_CLOEXEC, 0));
	if (same(verb, "info"))
		info(chip);
	else if (same(verb, "get"))
		get(chip, arguments + 3);
	else if (same(verb, "set"))
		set(chip, arguments + 3);
	else
		status = watch(chip, arguments + 3);
	leave(status);
}
