/* SPDX-License-Identifier: MIT */
/* Reads metrics as strictly as Prometheus' text format 0.0.4 is written. */
#ifndef TESTS_EXPOSITION_H
#define TESTS_EXPOSITION_H

/*
 * A family is its HELP line, its TYPE line and its samples, in this order and
 * in one piece. Names have the suffix that their type asks for, no series is
 * there twice, and the buckets of a histogram add up.
 */

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPOSITION_LINES 1024
#define EXPOSITION_LINE  512

struct exposition {
    unsigned seen_count;
    char seen[EXPOSITION_LINES][EXPOSITION_LINE]; /* series and families */
    char family[EXPOSITION_LINE], type[32];
    unsigned samples;                 /* of this family */
    double le, bucket, infinity, sum; /* of this histogram; negative: none */
    double count;
    char fault[2 * EXPOSITION_LINE];
};

/* Notes what is wrong. Returns false. */
static inline bool exposition_fault(struct exposition *e, const char *what,
                                    const char *line)
{
    snprintf(e->fault, sizeof(e->fault), "%s: %.400s", what, line);
    return false;
}

/* Returns whether it is there for the first time. */
static inline bool exposition_is_new(struct exposition *e, const char *what)
{
    for (unsigned i = 0; i < e->seen_count; i++)
        if (strcmp(e->seen[i], what) == 0)
            return false;
    if (e->seen_count == EXPOSITION_LINES)
        return false;
    snprintf(e->seen[e->seen_count++], EXPOSITION_LINE, "%s", what);
    return true;
}

static inline size_t exposition_name(const char *text, bool label)
{
    const char *start = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t length = *text && strchr(start, *text) ? 1 : 0;

    while (length && text[length] &&
           (strchr(start, text[length]) || strchr("0123456789", text[length]) ||
            (!label && text[length] == ':')))
        length++;
    return length;
}

static inline bool exposition_ends(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    return length > tail && strcmp(name + length - tail, suffix) == 0;
}

/* The end of a family: it has samples, and a histogram all of its own. */
static inline bool exposition_close(struct exposition *e)
{
    if (!e->family[0])
        return true;
    if (!e->samples)
        return exposition_fault(e, "no samples", e->family);
    if (strcmp(e->type, "histogram") != 0)
        return true;
    if (e->infinity < 0 || e->count != e->infinity || e->sum < 0)
        return exposition_fault(e, "histogram does not add up", e->family);
    return true;
}

static inline bool exposition_help(struct exposition *e, const char *line)
{
    const char *name = line + strlen("# HELP ");
    size_t length = exposition_name(name, false);

    if (!exposition_close(e))
        return false;
    if (!length || name[length] != ' ' || !name[length + 1] ||
        strchr(name, '\\'))
        return exposition_fault(e, "HELP", line);
    snprintf(e->family, sizeof(e->family), "%.*s", (int)length, name);
    e->type[0] = '\0';
    e->samples = 0;
    e->le = e->bucket = e->infinity = e->sum = e->count = -1;
    return exposition_is_new(e, e->family) ||
           exposition_fault(e, "family twice", line);
}

static inline bool exposition_type(struct exposition *e, const char *line)
{
    char name[EXPOSITION_LINE];
    bool total;

    if (sscanf(line, "# TYPE %500s %31s", name, e->type) != 2 ||
        strcmp(name, e->family) != 0 || e->samples)
        return exposition_fault(e, "TYPE", line);
    total = exposition_ends(name, "_total");
    if (strcmp(e->type, "counter") == 0)
        return total || exposition_fault(e, "counter without _total", line);
    if (strcmp(e->type, "gauge") && strcmp(e->type, "histogram"))
        return exposition_fault(e, "unknown type", line);
    return !total || exposition_fault(e, "_total without counter", line);
}

/* Behind the labels that start here, or NULL. */
static inline const char *exposition_labels(const char *at)
{
    for (at++;; at++) {
        size_t length = exposition_name(at, true);

        if (!length || strncmp(at + length, "=\"", 2) != 0)
            return NULL;
        for (at += length + 2; *at != '"'; at++)
            if (!*at || *at == '\\')
                return NULL;
        if (*++at == '}')
            return at + 1;
        if (*at != ',')
            return NULL;
    }
}

static inline bool exposition_bucket(struct exposition *e, const char *labels,
                                     double value)
{
    char *end;

    if (strncmp(labels, "{le=\"", 5) != 0 || e->infinity >= 0)
        return false;
    double le = strtod(labels + 5, &end);
    if (strncmp(end, "\"}", 2) != 0 || le <= e->le || value < e->bucket)
        return false;
    e->le = le;
    e->bucket = value;
    if (isinf(le))
        e->infinity = value;
    return true;
}

/* `labels` is empty where there are none. */
static inline bool exposition_add(struct exposition *e, const char *name,
                                  const char *labels, double value)
{
    size_t length = strlen(e->family);
    const char *suffix = name + length;

    if (strncmp(name, e->family, length) != 0)
        return false;
    e->samples++;
    if (strcmp(e->type, "histogram") != 0)
        return !*suffix && value >= 0;
    if (strcmp(suffix, "_bucket") == 0)
        return exposition_bucket(e, labels, value);
    if (strcmp(suffix, "_sum") == 0 && !*labels)
        e->sum = value;
    else if (strcmp(suffix, "_count") == 0 && !*labels)
        e->count = value;
    else
        return false;
    return true;
}

static inline bool exposition_sample(struct exposition *e, const char *line)
{
    size_t length = exposition_name(line, false);
    const char *at = line + length;
    char series[EXPOSITION_LINE], name[EXPOSITION_LINE];
    char labels[EXPOSITION_LINE] = "", *end;

    if (*at == '{')
        at = exposition_labels(at);
    if (!length || !at || *at != ' ' || at[1] == ' ' || !e->type[0])
        return exposition_fault(e, "sample", line);
    snprintf(name, sizeof(name), "%.*s", (int)length, line);
    snprintf(labels, sizeof(labels), "%.*s", (int)(at - line - (long)length),
             line + length);
    snprintf(series, sizeof(series), "%.*s", (int)(at - line), line);
    /* A gauge without labels is called as its family is. */
    strncat(series, " sample", sizeof(series) - strlen(series) - 1);
    double value = strtod(at + 1, &end);
    if (end == at + 1 || *end)
        return exposition_fault(e, "value", line);
    if (!exposition_is_new(e, series))
        return exposition_fault(e, "series twice", line);
    return exposition_add(e, name, labels, value) ||
           exposition_fault(e, "does not belong here", line);
}

static inline bool exposition_line(struct exposition *e, const char *line)
{
    if (strncmp(line, "# HELP ", 7) == 0)
        return exposition_help(e, line);
    if (strncmp(line, "# TYPE ", 7) == 0)
        return exposition_type(e, line);
    return exposition_sample(e, line);
}

/* Whether the text is right. If it is not, `e->fault` says why. */
static inline bool exposition_check(struct exposition *e, const char *text)
{
    char line[EXPOSITION_LINE];

    memset(e, 0, sizeof(*e));
    while (*text) {
        size_t length = strcspn(text, "\n");

        if (text[length] != '\n' || length >= sizeof(line))
            return exposition_fault(e, "line without an end", text);
        snprintf(line, sizeof(line), "%.*s", (int)length, text);
        if (!exposition_line(e, line))
            return false;
        text += length + 1;
    }
    return exposition_close(e);
}

/* The value of a series, written as in the text; -1 if there is none. */
static inline double exposition_value(const char *text, const char *series)
{
    char start[EXPOSITION_LINE];

    snprintf(start, sizeof(start), "\n%s ", series);
    const char *found = strstr(text, start);
    return found ? strtod(found + strlen(start), NULL) : -1;
}

#endif
