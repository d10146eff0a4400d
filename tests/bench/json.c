/* SPDX-License-Identifier: MIT */
/* Figures as JSON, as data for plots, and against their targets. */
#include <math.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include "tests/bench/bench.h"

void json_number(FILE *to, const char *key, double value)
{
    if (isnan(value))
        fprintf(to, "\"%s\": null", key);
    else
        fprintf(to, "\"%s\": %.10g", key, value);
}

void json_host(FILE *to)
{
    struct utsname kernel;
    char date[32];
    time_t now = time(NULL);

    uname(&kernel);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    fprintf(
        to,
        "  \"schema\": 1,\n"
        "  \"host\": {\"date\": \"%s\", \"kernel\": \"%s\", \"cpus\": %d},\n",
        date, kernel.release, get_nprocs());
}

void json_samples(FILE *to, const char *key, const struct samples *samples)
{
    fprintf(to, "\"%s\": {\"count\": %u, ", key, samples->count);
    json_number(to, "p10", samples_percentile(samples, 10));
    fprintf(to, ", ");
    json_number(to, "median", samples_median(samples));
    fprintf(to, ", ");
    json_number(to, "p99", samples_percentile(samples, 99));
    fputc('}', to);
}

void plot_distribution(FILE *to, const char *title,
                       const struct samples *samples)
{
    fprintf(to, "\"%s\"\n", title);
    for (double percent = 0.5; percent < 100; percent += 0.5)
        fprintf(to, "%.2f %.1f\n", samples_percentile(samples, percent),
                percent);
    fprintf(to, "\n\n");
}

unsigned put_target(FILE *to, const char *figure, double value,
                    const char *relation, double limit, int decimals,
                    const char *unit)
{
    bool met = relation[0] == '<' ? value <= limit : value >= limit;

    fprintf(to, "%-46s %8.*f   %s %8.*f %-4s %s\n", figure, decimals, value,
            relation, decimals, limit, unit, met ? "met" : "MISSED");
    return !met;
}
