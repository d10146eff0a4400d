/* SPDX-License-Identifier: MIT */
/* Figures as JSON, and as data for plots. */
#include <math.h>

#include "tests/bench/bench.h"

void json_number(FILE *to, const char *key, double value)
{
    if (isnan(value))
        fprintf(to, "\"%s\": null", key);
    else
        fprintf(to, "\"%s\": %.10g", key, value);
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
