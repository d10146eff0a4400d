/* SPDX-License-Identifier: MIT */
/* The one process with its one thread: who it is, waiting, the end. */
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/memory.h"
#include "guest_rt/option.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/user.h"

#define KERNEL_SYSINFO_BYTES 112

/* arch_prctl(2)'s codes; musl has no header for them. */
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

long __mayfly_sys_exit_group(long status)
{
    if (memory_sync_file) {
        mf_lock();
        memory_sync_file(0, UINTPTR_MAX);
    }
    mf_exit((int)status);
}

long __mayfly_sys_exit(long status)
{
    if (thread_exit)
        thread_exit((int)status);
    mf_exit((int)status);
}

long __mayfly_sys_getpid(void)
{
    return MF_PID;
}

long __mayfly_sys_getppid(void)
{
    return 0;
}

long __mayfly_sys_set_tid_address(long address)
{
    return thread_set_clear_tid ? thread_set_clear_tid((int *)address) : MF_PID;
}

long __mayfly_sys_arch_prctl(long code, long argument)
{
    long base;

    switch (code) {
    case ARCH_SET_FS:
        __asm__ volatile("wrfsbase %0" : : "r"(argument) : "memory");
        return 0;
    case ARCH_SET_GS:
        __asm__ volatile("wrgsbase %0" : : "r"(argument) : "memory");
        return 0;
    case ARCH_GET_FS:
        __asm__ volatile("rdfsbase %0" : "=r"(base));
        return USER_PUT(argument, base);
    case ARCH_GET_GS:
        __asm__ volatile("rdgsbase %0" : "=r"(base));
        return USER_PUT(argument, base);
    default:
        return -EINVAL;
    }
}

long __mayfly_sys_uname(long result)
{
    const char *host = option_get("hostname", 0);
    struct utsname names = {
        .sysname = "Linux", /* the system calls are Linux's */
        .nodename = "mayfly",
        .release = "6.1.0-mayfly",
        .version = "Mayfly ABI 1",
        .machine = "x86_64",
    };
    if (host)
        strlcpy(names.nodename, host, sizeof(names.nodename));
    return USER_PUT(result, names);
}

long __mayfly_sys_sysinfo(long result)
{
    const struct mf_boot *boot = mf_boot_page();

    struct sysinfo info = {
        .uptime = mf_clock_monotonic() / 1000000000,
        .totalram = boot->mem_bytes,
        .freeram = mf_memory_free_bytes
                       ? mf_memory_free_bytes()
                       : boot->free[0].bytes + boot->free[1].bytes,
        .procs = 1,
        .mem_unit = 1,
    };

    /* musl's structure has more room behind the kernel's. */
    return user_put((void *)result, &info, KERNEL_SYSINFO_BYTES);
}
