/* The line that a measure prints: one JSON object. */
#ifndef PENSTOCK_BENCH_REPORT_H
#define PENSTOCK_BENCH_REPORT_H

#include <stdint.h>

/* `count` samples of `sample_operations` operations each, taken in batches of `batch` operations; they are sorted in place. */
void report(const char *measure, const char *label, double *samples, uint64_t count, uint64_t sample_operations, uint64_t batch,
            uint64_t total_ns);

#endif
