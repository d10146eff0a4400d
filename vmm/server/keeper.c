/* SPDX-License-Identifier: MIT */
/* The process that has a worker's descriptors, too. */
#include "vmm/server/keeper.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_filter.h"
#include "vmm/cli.h"
#include "vmm/server/child.h"

/* Only a keeper that was stopped takes so long. */
#define ANSWER_MS 1000

static void confine(void)
{
    struct sock_fprog program = {
        sizeof(filter_for_keeper) / sizeof(filter_for_keeper[0]),
        filter_for_keeper,
    };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
        cli_end_at_once(CLI_FAILED);
}

static _Noreturn void keep(int socket)
{
    const int connection = KEEPER_CONNECTION;
    char word;

    prctl(PR_SET_NAME, "mayfly-keeper");
    confine();
    while (recv(socket, &word, 1, 0) == 1)
        if (child_send(socket, &word, 1, &connection, 1))
            (void)child_send(socket, &word, 1, NULL, 0);
    cli_end_at_once(CLI_OK);
}

/* Not fork(): only the table of descriptors is shared. */
int keeper_start(int socket)
{
    long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        keep(socket);
    return pid < 0 ? -errno : 0;
}

int keeper_fetch(int socket)
{
    struct pollfd answer = {.fd = socket, .events = POLLIN};
    unsigned count = 1;
    int connection;
    char word = 0;

    if (send(socket, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1 ||
        poll(&answer, 1, ANSWER_MS) != 1 ||
        child_receive(socket, &word, 1, &connection, &count) || count != 1)
        return -1;
    return connection;
}
