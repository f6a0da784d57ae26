/* The command line of the measuring client. */
#ifndef PENSTOCK_BENCH_OPTIONS_H
#define PENSTOCK_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_SELECTIONS = 32 };

/* Measures whose name fits a shell pattern, and how often to run them; 0 leaves the measure's own number. */
struct selection {
    char pattern[64];
    uint64_t operations;
};

struct options {
    const char *socket;
    const char *label;
    struct selection selections[MAX_SELECTIONS];
    unsigned selection_count;
    uint64_t operations; /* for selections without a number; 0: the measure's own */
    uint64_t warm_up;
    bool warm_up_given;
    uint64_t batch; /* 0: the measure's own */
    uint64_t region;
    uint64_t offset;
    uint64_t wait_seconds;
    uint64_t timeout_seconds;
    bool list;
};

/* Fills `options` and applies --cpu; a bad line ends the program with status 2. */
void options_parse(struct options *options, int argc, char **argv);

#endif
