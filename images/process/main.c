/* SPDX-License-Identifier: MIT */
/* What programs ask and set about their process when they start. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

static bool fails(long result, int error)
{
    return result == -1 && errno == error;
}

static void check_processes(void)
{
    static char name[] = "true";
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    pid_t pid;

    check("fork", fails(fork(), ENOSYS));
    check("fork, again", fails(fork(), ENOSYS));
    check("execve", fails(execve("/bin/true", argv, envp), ENOSYS));
    check("posix_spawn",
          posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) == ENOSYS);
    check("system", system("true") == -1);
    check("wait", fails(wait(NULL), ECHILD));
    check("waitpid with a bad option", fails(waitpid(-1, NULL, 64), EINVAL));
}

static void check_groups_of_processes(void)
{
    check("getpgrp", getpgrp() == getpid() && getpgid(0) == getpid());
    check("getsid", getsid(0) == getpid());
    check("setsid", fails(setsid(), EPERM));
    check("getpgid of another", fails(getpgid(4711), ESRCH));
}

static void check_users(void)
{
    gid_t list[2] = {7, 8}, got[2];
    uid_t real, effective, saved;

    check("root at first", getuid() == 0 && geteuid() == 0 && getgid() == 0);
    check("setgroups", setgroups(2, list) == 0 && getgroups(2, got) == 2 &&
                           got[1] == 8 && getgroups(0, NULL) == 2);
    check("getgroups with too little room", fails(getgroups(1, got), EINVAL));
    check("seteuid", seteuid(1000) == 0 && geteuid() == 1000 && getuid() == 0);
    check("and back", seteuid(0) == 0 && geteuid() == 0);
    check("setgid", setgid(1001) == 0 && getegid() == 1001);
    check("setuid", setuid(1000) == 0 && getuid() == 1000);
    getresuid(&real, &effective, &saved);
    check("for good", saved == 1000 && fails(setuid(0), EPERM));
    check("setgroups, then", fails(setgroups(0, NULL), EPERM));
}

static void check_rights(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    struct utsname names;

    check("capget",
          syscall(SYS_capget, &header, data) == 0 && data[0].effective == ~0u);
    check("capset", syscall(SYS_capset, &header, data) == 0);
    header.version = 1;
    check("of a version that is not there",
          fails(syscall(SYS_capget, &header, data), EINVAL) &&
              header.version == _LINUX_CAPABILITY_VERSION_3);
    check("sethostname", fails(sethostname("x", 1), EPERM));
    check("personality", personality(0xffffffff) == 0);
    uname(&names);
    printf("host name %s\n", names.nodename);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    check_processes();
    check_groups_of_processes();
    check_rights();
    check_users();
    printf("%d failed\n", failures);
    return failures > 0;
}
