/*
 * What the programs for guests stand on instead of a C library: system calls, text, the entry point. A program includes
 * it once, defines PROGRAM (its name, for errors) before, and `run`.
 */
#include <asm/unistd.h>
#include <linux/time.h>

typedef unsigned long word;

#if defined(__s390x__)
static inline long syscall6(long number, word a, word b, word c, word d, word e, word f)
{
	register word first __asm__("2") = a;
	register word second __asm__("3") = b;
	register word third __asm__("4") = c;
	register word fourth __asm__("5") = d;
	register word fifth __asm__("6") = e;
	register word sixth __asm__("7") = f;
	register long which __asm__("1") = number;
	__asm__ volatile("svc 0" : "+d"(first) : "d"(which), "d"(second), "d"(third), "d"(fourth), "d"(fifth), "d"(sixth) : "memory");
	return (long)first;
}
#else
static inline long syscall6(long number, word a, word b, word c, word d, word e, word f)
{
	long result;
	register word fourth __asm__("r10") = d;
	register word fifth __asm__("r8") = e;
	register word sixth __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth) : "rcx", "r11", "memory");
	return result;
}
#endif

static inline long syscall3(long number, word a, word b, word c)
{
	return syscall6(number, a, b, c, 0, 0, 0);
}

/* The compiler may call these even in freestanding code. */
#if defined(__s390x__)
/* Volatile, or the compiler would make them calls of themselves. */
void *memset(void *to, int value, word count)
{
	for (volatile unsigned char *at = to; count-- > 0; at++)
		*at = value;
	return to;
}

void *memcpy(void *to, const void *from, word count)
{
	const unsigned char *source = from;
	for (volatile unsigned char *at = to; count-- > 0; at++)
		*at = *source++;
	return to;
}
#else
void *memset(void *to, int value, word count)
{
	void *start = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, word count)
{
	void *start = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return start;
}
#endif

static void put(int fd, const char *text)
{
	word length = 0;
	while (text[length])
		length++;
	syscall3(__NR_write, fd, (word)text, length);
}

static void put_number(int fd, word value)
{
	char digits[24];
	int at = sizeof digits;
	digits[--at] = 0;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	put(fd, digits + at);
}

__attribute__((noreturn)) static void leave(int status)
{
	syscall3(__NR_exit_group, status, 0, 0);
	__builtin_unreachable();
}

static long check(const char *what, long result)
{
	if (result >= 0)
		return result;
	put(2, PROGRAM ": ");
	put(2, what);
	put(2, ": errno ");
	put_number(2, -result);
	put(2, "\n");
	leave(1);
}

static inline word nanoseconds(void)
{
	long time[2];
	check("clock_gettime", syscall3(__NR_clock_gettime, CLOCK_MONOTONIC, (word)time, 0));
	return time[0] * 1000000000UL + time[1];
}

static inline word to_number(const char *digits)
{
	word value = 0;
	while (*digits >= '0' && *digits <= '9')
		value = value * 10 + (*digits++ - '0');
	return value;
}

__attribute__((noreturn, used)) void run(word *stack);

#if defined(__s390x__)
/* At entry the stack pointer is at argc; a callee wants room for the registers that it saves. */
__asm__(".globl _start\n_start:\n\tlgr %r2,%r15\n\taghi %r15,-160\n\tbrasl %r14,run\n");
#else
/* At entry the stack pointer is at argc; calls want it on a multiple of 16. */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n");
#endif
