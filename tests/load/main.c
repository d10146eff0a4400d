/* SPDX-License-Identifier: MIT */
/* The load generator's command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/load/load.h"

static const char usage[] =
    "load [-c CONNECTIONS] [-n REQUESTS] [-k REQUESTS-A-CONNECTION]\n"
    "     [-t SECONDS-A-REQUEST] [-h HISTOGRAM] ADDR:PORT|unix:PATH PATH...\n"
    "\n"
    "Makes REQUESTS (1000) to images/function, over CONNECTIONS (1) at a "
    "time,\n"
    "and ends with 0 if each had the answer that is due to its PATH.\n";

static int parse(int argc, char **argv, struct load_config *config,
                 const char **histogram)
{
    int option;

    while ((option = getopt(argc, argv, "c:n:k:t:h:")) != -1) {
        unsigned long long number = optarg ? strtoull(optarg, NULL, 10) : 0;

        if (option == 'c')
            config->connections = (unsigned)number;
        else if (option == 'n')
            config->requests = number;
        else if (option == 'k')
            config->per_connection = (unsigned)number;
        else if (option == 't')
            config->limit_ns = number * 1000000000;
        else if (option == 'h')
            *histogram = optarg;
        else
            return -EINVAL;
    }
    if (argc - optind < 2)
        return -EINVAL;
    config->to = argv[optind++];
    config->paths = (const char *const *)argv + optind;
    config->path_count = (unsigned)(argc - optind);
    return 0;
}

/* Whether each path had nothing but its own outcome. */
static bool all_expected(const struct load_config *config,
                         const struct load_results *results)
{
    uint64_t expected = 0, total = 0;

    for (unsigned i = 0; i < config->path_count; i++)
        expected += results->outcomes[i][load_expected(config->paths[i])];
    for (unsigned i = 0; i < LOAD_OUTCOMES; i++)
        total += results->total[i];
    return expected == total;
}

int main(int argc, char **argv)
{
    struct load_config config = {.connections = 1, .requests = 1000};
    struct load_results results;
    const char *histogram = NULL;
    struct rlimit files;
    int error;

    if (parse(argc, argv, &config, &histogram)) {
        fputs(usage, stderr);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    error = load_run(&config, &results);
    if (!error && histogram)
        error = load_write_histogram(histogram, &results);
    if (error) {
        fprintf(stderr, "load: %s: %s\n", config.to, strerror(-error));
        return 2;
    }
    load_print(stdout, &config, &results);
    free(results.latencies);
    return !all_expected(&config, &results);
}
