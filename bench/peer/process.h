/* What both peers need of their own process: an end with one clear line, numbers, a pinned core, a clock. */
#ifndef PENSTOCK_BENCH_PROCESS_H
#define PENSTOCK_BENCH_PROCESS_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum exit_status { EXIT_WRONG = 1, EXIT_USAGE = 2 };

__attribute__((noreturn, format(printf, 2, 3)))
static inline void fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

/* Reads a decimal or 0x number that fills the whole text. */
static inline uint64_t parse_number(const char *what, const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || *text == '-')
        fail(EXIT_USAGE, "%s: '%s' is not a number", what, text);
    return value;
}

static inline void pin_to_cpu(uint64_t cpu)
{
    if (cpu >= CPU_SETSIZE)
        fail(EXIT_USAGE, "--cpu: %llu is above the last core, %d", (unsigned long long)cpu, CPU_SETSIZE - 1);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        fail(EXIT_USAGE, "--cpu: core %llu: %s", (unsigned long long)cpu, strerror(errno));
}

static inline struct sockaddr_un socket_address(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address.sun_path))
        fail(EXIT_USAGE, "socket path '%s' is longer than %zu bytes", path, sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);
    return address;
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
