/* SPDX-License-Identifier: MIT */
/* /proc: what the files say, as far as programs read it. */
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "guest_rt/file.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/proc.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

#define KIB     1024
#define PAGE    4096
#define TICKS   100 /* a second, in these files */
#define NS_TICK (1000000000 / TICKS)

static uint64_t memory_used(void)
{
    return mf_boot_page()->mem_bytes - mf_memory_free_bytes();
}

static const char *argument(unsigned index)
{
    const struct mf_boot *boot = mf_boot_page();
    const char *string = (const char *)boot->strings;

    if (index >= boot->argc)
        return "mayfly";
    for (unsigned i = 0; i < index; i++)
        string += strlen(string) + 1;
    return string;
}

static const char *program_name(void)
{
    const char *name = argument(0), *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

/* ---- The machine -------------------------------------------------------- */

void proc_meminfo(struct proc_text *text)
{
    uint64_t total = mf_boot_page()->mem_bytes, free = mf_memory_free_bytes();

    proc_print(text,
               "MemTotal:       %8lu kB\nMemFree:        %8lu kB\n"
               "MemAvailable:   %8lu kB\nBuffers:        %8u kB\n"
               "Cached:         %8u kB\nSwapTotal:      %8u kB\n"
               "SwapFree:       %8u kB\nCommitLimit:    %8lu kB\n"
               "Committed_AS:   %8lu kB\nHugePages_Total: %7u\n"
               "Hugepagesize:   %8u kB\n",
               total / KIB, free / KIB, free / KIB, 0u, 0u, 0u, 0u, total / KIB,
               (total - free) / KIB, 0u, 2048u);
}

void proc_cpuinfo(struct proc_text *text)
{
    unsigned khz = mf_boot_page()->clock.tsc_khz;

    proc_print(
        text,
        "processor\t: 0\nvendor_id\t: Mayfly\nmodel name\t: Mayfly vCPU\n"
        "cpu MHz\t\t: %u.%03u\ncpu cores\t: 1\nflags\t\t: fpu sse sse2\n"
        "clflush size\t: 64\ncache_alignment\t: 64\n\n",
        khz / 1000, khz % 1000);
}

void proc_machine_stat(struct proc_text *text)
{
    uint64_t up = mf_clock_monotonic();
    uint64_t began = (mf_clock_realtime() - up) / 1000000000;

    proc_print(text,
               "cpu  %lu 0 0 0 0 0 0 0 0 0\ncpu0 %lu 0 0 0 0 0 0 0 0 0\n"
               "intr 0\nctxt 0\nbtime %lu\nprocesses 1\nprocs_running 1\n"
               "procs_blocked 0\n",
               up / NS_TICK, up / NS_TICK, began);
}

void proc_loadavg(struct proc_text *text)
{
    proc_print(text, "0.00 0.00 0.00 1/1 1\n");
}

void proc_uptime(struct proc_text *text)
{
    uint64_t ticks = mf_clock_monotonic() / NS_TICK;

    proc_print(text, "%lu.%02lu 0.00\n", ticks / TICKS, ticks % TICKS);
}

void proc_version(struct proc_text *text)
{
    struct utsname name;

    __mayfly_sys_uname((long)&name);
    proc_print(text, "%s version %s %s\n", name.sysname, name.release,
               name.version);
}

void proc_hostname(struct proc_text *text)
{
    struct utsname name;

    __mayfly_sys_uname((long)&name);
    proc_print(text, "%s\n", name.nodename);
}

/* A random one (RFC 9562, version 4). */
void proc_uuid(struct proc_text *text)
{
    unsigned char b[16];

    mf_random_fill(b, sizeof(b));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    for (unsigned i = 0; i < sizeof(b); i++)
        proc_print(text, "%s%02x",
                   i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    proc_add(text, "\n", 1);
}

/* ---- The process -------------------------------------------------------- */

void proc_status(struct proc_text *text)
{
    uint64_t used = memory_used() / KIB;

    proc_print(text,
               "Name:\t%.15s\nUmask:\t%04o\nState:\tR (running)\nTgid:\t1\n"
               "Ngid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n"
               "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%u\nGroups:\t0\n"
               "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmHWM:\t%8lu kB\n"
               "VmRSS:\t%8lu kB\nThreads:\t%u\nCpus_allowed:\t1\n"
               "Cpus_allowed_list:\t0\n",
               program_name(), (unsigned)vfs_umask, file_table.count, used,
               used, used, used, thread_count);
}

/* Fields as proc(5) numbers them; those that mean nothing here are 0. */
void proc_stat(struct proc_text *text)
{
    uint64_t up = mf_clock_monotonic() / NS_TICK, used = memory_used();

    proc_print(text,
               "1 (%.15s) R 0 1 1 0 -1 0 0 0 0 0 %lu 0 0 0 20 0 %u 0 0 %lu %lu "
               "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 "
               "0 0 0 0 0 0 0\n",
               program_name(), up, thread_count, used, used / PAGE);
}

void proc_statm(struct proc_text *text)
{
    uint64_t pages = memory_used() / PAGE;

    proc_print(text, "%lu %lu 0 %lu 0 %lu 0\n", pages, pages,
               mf_boot_page()->image.bytes / PAGE, pages);
}

/* `count` strings with their NULs, from string `first` on. */
static void add_strings(struct proc_text *text, unsigned first, unsigned count)
{
    const char *string = (const char *)mf_boot_page()->strings;

    for (unsigned i = 0; i < first + count; i++) {
        size_t bytes = strlen(string) + 1;

        if (i >= first)
            proc_add(text, string, bytes);
        string += bytes;
    }
}

void proc_cmdline(struct proc_text *text)
{
    add_strings(text, 0, mf_boot_page()->argc);
}

void proc_environ(struct proc_text *text)
{
    add_strings(text, mf_boot_page()->argc, mf_boot_page()->envc);
}

void proc_comm(struct proc_text *text)
{
    proc_print(text, "%.15s\n", program_name());
}

void proc_limits(struct proc_text *text)
{
    struct rlimit limit = {0};

    __mayfly_sys_prlimit64(0, RLIMIT_NOFILE, 0, (long)&limit);
    proc_print(text, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit",
               "Hard Limit", "Units");
    proc_print(text, "%-26s%-21lu%-21lu%-10s\n", "Max open files",
               (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max,
               "files");
}

/* ---- Memory ------------------------------------------------------------- */

static void print_map(struct proc_text *text, uint64_t from, uint64_t to,
                      const char *access, const char *name)
{
    proc_print(text, "%08lx-%08lx %sp 00000000 00:00 0 %25s\n",
               from & -(uint64_t)PAGE, (to + PAGE - 1) & -(uint64_t)PAGE,
               access, name);
}

void proc_maps(struct proc_text *text)
{
    const struct mf_boot *boot = mf_boot_page();
    const Elf64_Phdr *headers = (const Elf64_Phdr *)boot->phdr;
    long brk = __mayfly_sys_brk(0);

    for (unsigned i = 0; headers && i < boot->phnum; i++) {
        char access[4] = {headers[i].p_flags & PF_R ? 'r' : '-',
                          headers[i].p_flags & PF_W ? 'w' : '-',
                          headers[i].p_flags & PF_X ? 'x' : '-'};

        if (headers[i].p_type == PT_LOAD)
            print_map(text, headers[i].p_vaddr,
                      headers[i].p_vaddr + headers[i].p_memsz, access,
                      argument(0));
    }
    if ((uint64_t)brk > boot->free[0].base)
        print_map(text, boot->free[0].base, (uint64_t)brk, "rw-", "[heap]");
    print_map(text, boot->stack_low, boot->stack_top, "rw-", "[stack]");
}

/* ---- Mounts ------------------------------------------------------------- */

/* Where it is mounted; "/" if there is no memory to say. */
static void path_of(const struct vfs *fs, char *path, size_t bytes)
{
    long length = vfs_path_of(fs->root, path, bytes - 1);

    if (length < 0)
        length = (long)strlen(strcpy(path, "/"));
    path[length] = '\0';
}

void proc_mounts(struct proc_text *text)
{
    char path[256];

    for (const struct vfs *fs = vfs_first(); fs; fs = fs->next) {
        path_of(fs, path, sizeof(path));
        proc_print(text, "%s %s %s %s 0 0\n",
                   fs->source ? fs->source : fs->type, path, fs->type,
                   fs->read_only ? "ro" : "rw");
    }
}

void proc_mountinfo(struct proc_text *text)
{
    unsigned id = 1;
    char path[256];

    for (const struct vfs *fs = vfs_first(); fs; fs = fs->next, id++) {
        const char *access = fs->read_only ? "ro" : "rw";

        path_of(fs, path, sizeof(path));
        proc_print(text, "%u %u %u:%u / %s %s - %s %s %s\n", id, id > 1 ? 1 : 0,
                   major(fs->device), minor(fs->device), path, access, fs->type,
                   fs->source ? fs->source : fs->type, access);
    }
}

/* ---- Links -------------------------------------------------------------- */

long proc_exe(char *buffer, size_t bytes)
{
    const char *name = argument(0);

    return snprintf(buffer, bytes, "%s%s", *name == '/' ? "" : "/",
                    *name == '/' ? name : program_name());
}

long proc_cwd(char *buffer, size_t bytes)
{
    return vfs_path_of(vfs_directory, buffer, bytes);
}
