/* SPDX-License-Identifier: MIT */
/* Processes as they are seen from outside. */
#ifndef TESTS_LOAD_WATCH_H
#define TESTS_LOAD_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A process's children now, without keepers, `most` of them at most. Returns
 * how many. */
unsigned watch_children(pid_t pid, pid_t *children, unsigned most);

/* Descriptors that a process has open; -1 if that cannot be seen. */
int watch_descriptors(pid_t pid);

/* What is mapped and there, in KiB: of the process alone or proportionally.
 * -1 if it has ended. `key` is one of /proc/PID/smaps_rollup, such as "Rss:".
 */
long watch_memory_kib(pid_t pid, const char *key);

/* Gets a page by HTTP from 127.0.0.1:`port`. Returns its bytes, text and a 0
 * at its end being in `text`; 0 if nobody answers. */
size_t watch_get(unsigned port, const char *path, char *text, size_t room);

/* The value of a line of Prometheus's text that begins so; -1 if none does. */
double watch_metric(const char *text, const char *name);

/* A TCP port of 127.0.0.1 that nobody has at the moment. */
unsigned watch_free_port(void);

#endif
