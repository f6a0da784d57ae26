/* The line that a measure prints. */
#define _GNU_SOURCE
#include "report.h"

#include <stdbool.h>
#include <stdlib.h>

#include "process.h"

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20)
            printf("\\u%04x", c);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else
            putchar(c);
    }
    putchar('"');
}

void report(const char *measure, const char *label, double *samples, uint64_t count, uint64_t sample_operations, uint64_t batch,
            uint64_t total_ns)
{
    uint64_t operations = count * sample_operations;
    uint64_t group = batch / sample_operations;
    double least = 0;
    for (uint64_t first = 0; first < count; first += group) {
        double sum = 0;
        for (uint64_t i = first; i < first + group; i++)
            sum += samples[i];
        if (first == 0 || sum / (double)group < least)
            least = sum / (double)group;
    }
    qsort(samples, count, sizeof(*samples), by_value);
#define RANK(percent) samples[(count * (percent) + 99) / 100 - 1] /* nearest rank */
    printf("{\"measure\":\"%s\",\"label\":", measure);
    print_json_text(label);
    printf(",\"operations\":%llu,\"seconds\":%.6f,\"ns_mean\":%.2f,\"ns_p50\":%.2f,\"ns_p90\":%.2f,\"ns_p99\":%.2f,"
           "\"ns_min_batch\":%.2f,\"batch\":%llu,\"sample_operations\":%llu}\n",
           (unsigned long long)operations, (double)total_ns / 1e9, (double)total_ns / (double)operations, RANK(50), RANK(90),
           RANK(99), least, (unsigned long long)batch, (unsigned long long)sample_operations);
#undef RANK
    if (fflush(stdout) != 0)
        fail(EXIT_WRONG, "standard output: %s", strerror(errno));
}
