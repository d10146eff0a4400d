/* SPDX-License-Identifier: MIT */
/* What became of the requests, in numbers. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "tests/load/load.h"

double load_percentile(const struct load_results *results, double percent)
{
    size_t count = results->latency_count;
    size_t rank = (size_t)ceil(percent / 100 * (double)count);

    return count ? (double)results->latencies[rank ? rank - 1 : 0] : NAN;
}

static bool is_first(const struct load_config *config, unsigned path)
{
    for (unsigned i = 0; i < path; i++)
        if (strcmp(config->paths[i], config->paths[path]) == 0)
            return false;
    return true;
}

/* Of all places where a path stands. */
static void print_path(FILE *to, const struct load_config *config,
                       const struct load_results *results, unsigned path)
{
    fprintf(to, "%-20s", config->paths[path]);
    for (unsigned outcome = 0; outcome < LOAD_OUTCOMES; outcome++) {
        uint64_t count = 0;

        for (unsigned i = path; i < config->path_count; i++)
            if (strcmp(config->paths[i], config->paths[path]) == 0)
                count += results->outcomes[i][outcome];
        fprintf(to, " %8llu", (unsigned long long)count);
    }
    fputc('\n', to);
}

void load_print(FILE *to, const struct load_config *config,
                const struct load_results *results)
{
    fprintf(to, "%-20s", "");
    for (unsigned i = 0; i < LOAD_OUTCOMES; i++)
        fprintf(to, " %8s", load_outcome_names[i]);
    fputc('\n', to);
    for (unsigned i = 0; i < config->path_count; i++)
        if (is_first(config, i))
            print_path(to, config, results, i);
    fprintf(to,
            "%llu requests in %.2f s: %.0f a second; right ones, us: "
            "p50 %.1f, p90 %.1f, p99 %.1f, longest %.1f\n",
            (unsigned long long)results->ended, results->seconds,
            (double)results->ended / results->seconds,
            load_percentile(results, 50), load_percentile(results, 90),
            load_percentile(results, 99), load_percentile(results, 100));
    if (results->complaint[0])
        fprintf(to, "first surprise: %s\n", results->complaint);
}

int load_write_histogram(const char *path, const struct load_results *results)
{
    FILE *to = fopen(path, "we");
    size_t at = 0;

    if (!to)
        return -errno;
    for (int step = 0; at < results->latency_count; step++) {
        double us = exp2(step / 32.0);
        size_t begin = at;

        while (at < results->latency_count && results->latencies[at] <= us)
            at++;
        if (at > begin)
            fprintf(to, "%.2f %zu\n", us, at - begin);
    }
    return fclose(to) ? -errno : 0;
}
