/* SPDX-License-Identifier: MIT */
/* /proc: what its files say. */
#ifndef GUEST_RT_PROC_H
#define GUEST_RT_PROC_H

/*
 * The tree is a table (proc.c). A file's text is made when it is opened, by a
 * function that prints into a growing buffer.
 */

#include <stdbool.h>
#include <stddef.h>

struct proc_text {
    char *bytes; /* pages, or NULL */
    size_t count, capacity;
    bool failed; /* no memory: the text is not used */
};

/* Appends bytes. */
void proc_add(struct proc_text *text, const void *bytes, size_t count);

/* Appends as printf does, up to 512 bytes. */
void proc_print(struct proc_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What the files say (proc_text.c). */
void proc_meminfo(struct proc_text *text);
void proc_cpuinfo(struct proc_text *text);
void proc_machine_stat(struct proc_text *text);
void proc_loadavg(struct proc_text *text);
void proc_uptime(struct proc_text *text);
void proc_version(struct proc_text *text);
void proc_hostname(struct proc_text *text);
void proc_uuid(struct proc_text *text);
void proc_status(struct proc_text *text);
void proc_stat(struct proc_text *text);
void proc_statm(struct proc_text *text);
void proc_cmdline(struct proc_text *text);
void proc_environ(struct proc_text *text);
void proc_comm(struct proc_text *text);
void proc_limits(struct proc_text *text);
void proc_maps(struct proc_text *text);
void proc_mounts(struct proc_text *text);
void proc_mountinfo(struct proc_text *text);

/* The text of the symbolic links; returns its length. */
long proc_exe(char *buffer, size_t bytes);
long proc_cwd(char *buffer, size_t bytes);

#endif
