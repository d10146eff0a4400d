/* SPDX-License-Identifier: MIT */
/* Signals of the host: the guest's, or the VM's end. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(host_signals, .timeout = 240);

/* Sends signals to images/hostsignal once it has said that it is ready. */
static void send(const char *mode, const char *signals, int status)
{
    char script[512];

    snprintf(script, sizeof(script),
             "rm -f $dir/out\n" /* what the last guest said */
             "$mayfly run --timeout 60 $images/hostsignal.elf %s >$dir/out &\n"
             "pid=$!\n"
             "while ! grep -qs ready $dir/out; do sleep 0.05; done\n"
             "for s in %s; do sleep 0.2; kill -$s $pid; done\n"
             "wait $pid; status=$?; cat $dir/out; exit $status",
             mode, signals);
    expect_status(&shell, status, script);
}

Test(host_signals, interrupt_a_guest_that_computes)
{
    send("loop", "TERM", 15);
    cr_assert_str_eq(shell.out, "ready\ngot 15\n");
    cr_assert_str_eq(shell.err, "");
}

Test(host_signals, wake_a_guest_that_sleeps)
{
    send("sleep", "TERM", 15);
    send("pause", "INT", 2);
    send("wait", "USR1", 10);
    send("thread", "USR2", 12);
    cr_assert_str_eq(shell.out, "ready\ngot 12\n");
}

Test(host_signals, are_seven)
{
    send("pause", "HUP", 1);
    send("pause", "QUIT", 3);
    send("pause", "WINCH", 28);
}

Test(host_signals, wait_for_a_guest_that_blocks_them)
{
    send("late", "TERM", 15);
    send("late", "USR1", 10);
    cr_assert_str_eq(shell.out, "ready\ngot 10\n");
}

Test(host_signals, may_be_ignored)
{
    send("ignore", "TERM INT HUP QUIT KILL", 137);
    cr_assert_str_eq(shell.out, "ready\n");
}

Test(host_signals, end_a_guest_that_does_not_listen_the_second_time)
{
    send("deaf", "TERM TERM", 143);
    send("deaf", "USR1 USR1 INT TERM INT", 130);
}
