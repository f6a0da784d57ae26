#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>

#include "process.h"

static const char usage[] =
    "usage: client [options] SOCKET\n"
    "  --measures LIST    comma-separated shell patterns, each with an optional :OPERATIONS\n"
    "                     (default region_*,dma_map_*; translate_* and dma_message_* need a control block)\n"
    "  --operations N     operations of a measure, where the list gives no number\n"
    "  --warm-up N        operations before each measure (default a tenth)\n"
    "  --batch N          operations of a batch\n"
    "  --region N         region index of the region measures (default 0)\n"
    "  --offset N         offset in that region (default 0)\n"
    "  --label TEXT       text for the label field (default the socket path)\n"
    "  --cpu N            run on core N only\n"
    "  --wait SECONDS     keep trying to connect (default 60)\n"
    "  --timeout SECONDS  longest time for a batch (default 60)\n"
    "  --list             print the names of the measures";

static void parse_selections(struct options *options, char *list)
{
    char *rest = list;
    for (char *item; (item = strsep(&rest, ",")) != NULL;) {
        char *colon = strchr(item, ':');
        if (colon)
            *colon = '\0';
        if (options->selection_count == MAX_SELECTIONS)
            fail(EXIT_USAGE, "--measures: more than %d patterns", MAX_SELECTIONS);
        struct selection *selection = &options->selections[options->selection_count++];
        if (*item == '\0' || strlen(item) >= sizeof(selection->pattern))
            fail(EXIT_USAGE, "--measures: '%s' is not a pattern of 1 to %zu characters", item, sizeof(selection->pattern) - 1);
        strcpy(selection->pattern, item);
        selection->operations = colon ? parse_number("--measures", colon + 1) : 0;
        if (colon && selection->operations == 0)
            fail(EXIT_USAGE, "--measures: '%s' with no operations; leave it out instead", item);
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    enum { MEASURES = 1, OPERATIONS, WARM_UP, BATCH, REGION, OFFSET, LABEL, CPU, WAIT, TIMEOUT, LIST, HELP };
    static const struct option known[] = {
        { "measures", required_argument, NULL, MEASURES }, { "operations", required_argument, NULL, OPERATIONS },
        { "warm-up", required_argument, NULL, WARM_UP },   { "batch", required_argument, NULL, BATCH },
        { "region", required_argument, NULL, REGION },     { "offset", required_argument, NULL, OFFSET },
        { "label", required_argument, NULL, LABEL },       { "cpu", required_argument, NULL, CPU },
        { "wait", required_argument, NULL, WAIT },         { "timeout", required_argument, NULL, TIMEOUT },
        { "list", no_argument, NULL, LIST },               { "help", no_argument, NULL, HELP },
        { 0 },
    };
    *options = (struct options){ .wait_seconds = 60, .timeout_seconds = 60 };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case MEASURES: parse_selections(options, optarg); break;
        case OPERATIONS: options->operations = parse_number("--operations", optarg); break;
        case WARM_UP:
            options->warm_up = parse_number("--warm-up", optarg);
            options->warm_up_given = true;
            break;
        case BATCH: options->batch = parse_number("--batch", optarg); break;
        case REGION: options->region = parse_number("--region", optarg); break;
        case OFFSET: options->offset = parse_number("--offset", optarg); break;
        case LABEL: options->label = optarg; break;
        case CPU: pin_to_cpu(parse_number("--cpu", optarg)); break;
        case WAIT: options->wait_seconds = parse_number("--wait", optarg); break;
        case TIMEOUT: options->timeout_seconds = parse_number("--timeout", optarg); break;
        case LIST: options->list = true; break;
        case HELP:
            puts(usage);
            exit(EXIT_SUCCESS);
        default: /* getopt named the option already */
            exit(EXIT_USAGE);
        }
    }
    if (options->list)
        return;
    if (optind != argc - 1) {
        fprintf(stderr, "%s\n", usage);
        exit(EXIT_USAGE);
    }
    options->socket = argv[optind];
    if (!options->label)
        options->label = options->socket;
    if (options->selection_count == 0)
        parse_selections(options, (char[]){ "region_*,dma_map_*" });
    if (options->timeout_seconds == 0 || options->timeout_seconds > 3600)
        fail(EXIT_USAGE, "--timeout: has to be 1 to 3600 seconds");
    if (options->wait_seconds > 3600)
        fail(EXIT_USAGE, "--wait: has to be at most 3600 seconds");
}
