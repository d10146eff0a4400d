/* SPDX-License-Identifier: MIT */
/* --net and -p: their words, taps, descriptors, passt, and packets. */
#include <stdio.h>
#include <string.h>

#include "tests/cli/cli_test.h"

static struct shell shell;

TestSuite(net_option, .timeout = 240);

/* A script that fails before a VM exists: status 125 and a message. */
static void assert_refused(const char *script, const char *message)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 125, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, message), "%s: %s", script, shell.err);
    cr_assert_str_eq(shell.out, "");
}

/* Words that are fine: what is missing is the image. */
static void assert_taken(const char *script)
{
    run_shell(&shell, script);
    cr_assert_eq(shell.status, 127, "%s: status %d", script, shell.status);
    cr_assert(strstr(shell.err, "cannot open x:"), "%s", shell.err);
}

/* Skips the test unless a script succeeds, which makes what it needs. */
static void need(const char *script, const char *otherwise)
{
    run_shell(&shell, script);
    if (shell.status != 0)
        cr_skip_test("%s", otherwise);
}

/* A network namespace of the test's own, where the shell is root. */
#define IN_NETWORK "exec unshare -n sh -c '\n"
#define END        "\n'"

static void need_tap(void)
{
    need("command -v ip && " IN_NETWORK "ip tuntap add t0 mode tap" END,
         "no tap device can be made: needs root, ip and /dev/net/tun");
}

static void need_image(const char *name)
{
    char script[64];

    snprintf(script, sizeof(script), "test -e $images/%s.elf", name);
    need(script, "an image is missing");
}

/* passt by itself works: it may make namespaces, and finds an interface. */
static void need_passt(void)
{
    need_kvm();
    need("command -v passt", "passt is not installed");
    need("chmod 777 $dir\n"
         "passt --socket $dir/socket --pid $dir/pid && kill $(cat $dir/pid)",
         "passt does not work here");
}

#define NET(words) "$mayfly run --net " words " x"

/* ---- Words -------------------------------------------------------------- */

Test(net_option, bad_kinds_are_refused)
{
    assert_refused("$mayfly run --net", "--net needs a value");
    assert_refused("$mayfly run --net user", "an image is needed");
    assert_refused(NET("''"), "tap=NAME, user or fd=N, not ''");
    assert_refused(NET("eth0"), "not 'eth0'");
    assert_refused(NET("users"), "not 'users'");
    assert_refused(NET("tap"), "not 'tap'");
    assert_refused(NET("tap="), "tap= of 1 to 15 bytes");
    assert_refused(NET("tap=1234567890123456"), "tap= of 1 to 15 bytes");
    assert_taken(NET("tap=123456789012345"));
    assert_refused(NET("fd="), "from 3 on, not ''");
    assert_refused(NET("fd=2"), "from 3 on, not '2'");
    assert_refused(NET("fd=-3"), "from 3 on, not '-3'");
    assert_refused(NET("fd=3x"), "from 3 on, not '3x'");
}

Test(net_option, bad_words_are_refused)
{
    assert_refused(NET("user,"), "mtu=N, pps=N and bps=N, not ''");
    assert_refused(NET("user,ro"), "not 'ro'");
    assert_refused(NET("user,iops=1"), "not 'iops=1'");
    assert_refused(NET("tap=t,host"), "not 'host'");
    assert_refused(NET("user,mtu=67"), "68 to 65520 bytes here, not '67'");
    assert_refused(NET("user,mtu=65521"), "here, not '65521'");
    assert_refused(NET("tap=t,mtu=65536"), "68 to 65535 bytes here");
    assert_refused(NET("user,mtu="), "here, not ''");
    assert_refused(NET("user,mtu=0x500"), "here, not '0x500'");
    assert_refused(NET("user,mtu=68,mtu=68"), "mtu= once");
}

Test(net_option, a_mac_is_one_station_written_in_full)
{
    assert_refused(NET("user,mac=2:0:0:0:0:1"), "not '2:0:0:0:0:1'");
    assert_refused(NET("user,mac=02:00:00:00:00"), "such as 02:");
    assert_refused(NET("user,mac=02:00:00:00:00:01:"), "such as 02:");
    assert_refused(NET("user,mac=02-00-00-00-00-01"), "such as 02:");
    assert_refused(NET("user,mac=02:00:00:00:00:0g"), "such as 02:");
    assert_refused(NET("user,mac=01:00:00:00:00:01"), "multicast");
    assert_refused(NET("user,mac=ff:ff:ff:ff:ff:ff"), "multicast");
    assert_refused(NET("user,mac=00:00:00:00:00:00"), "nobody's");
    assert_refused(NET("user,mac=02:00:00:00:00:01,mac=02:00:00:00:00:01"),
                   "mac= once");
}

Test(net_option, a_rate_is_a_number_of_at_least_one)
{
    assert_refused(NET("user,pps=0"), "such as 500 or 10M, not '0'");
    assert_refused(NET("user,pps="), "not ''");
    assert_refused(NET("user,bps=1T"), "not '1T'");
    assert_refused(NET("user,bps=1MB"), "not '1MB'");
    assert_refused(NET("user,bps=-1"), "not '-1'");
    assert_refused(NET("user,bps=18446744074G"), "not '18446744074G'");
    assert_taken(NET("user,bps=18446744073G"));
    assert_refused(NET("user,pps=1,bps=1,pps=1"), "pps= once");
    assert_refused("$mayfly run --disk d,iops=0 x", "a second");
    assert_refused("$mayfly run --disk d,iops=1k,bps=2m,iops=1 x",
                   "iops= once");
    assert_refused("$mayfly run --disk d,pps=1 x", "not 'pps=1'");
}

#define PORT(words) "$mayfly run -p " words " x"

Test(net_option, bad_forwards_are_refused)
{
    static const char *const scripts[] = {
        PORT("''"),          PORT("80"),         PORT("0:80"),
        PORT("80:0"),        PORT("80:65536"),   PORT(":80"),
        PORT("80:80/sctp"),  PORT("80:80/"),     PORT(":80:80"),
        PORT("a:80:80"),     PORT("[]:80:80"),   PORT("::1:80:80"),
        PORT("1.2.3:80:80"), PORT("80:+80"),     PORT("[127.0.0.1]:80:80"),
        PORT("lo:80:80"),    PORT("1%lo:80:80"),
    };

    for (unsigned i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        assert_refused(scripts[i], "[ADDR:]HOST:GUEST[/tcp|/udp]");
    assert_taken("$mayfly run --net user -p [::1]:65535:65535/udp x");
    assert_taken(PORT("[::1]:65535:65535"));
    assert_refused(PORT("80:80/udp"), "--net user only");
    assert_refused("$mayfly run -p", "-p needs a value");
}

Test(net_option, devices_that_do_not_go_together_are_refused)
{
    assert_refused("$mayfly run --net user --net user x", "possible once");
    assert_refused("$mayfly run --net tap=t -p 80:80 x",
                   "without --net, or with --net user");
    assert_refused("$mayfly run --net tap=t --net user --net fd=9 x",
                   "at most 2");
}

/* ---- What is behind the words ------------------------------------------- */

#define ON(words) "$mayfly run --net " words " $images/hello.elf"

Test(net_option, a_tap_that_is_not_there_is_refused_with_the_way_to_one)
{
    assert_refused(ON("tap=nosuchtap"),
                   "there is no tap device nosuchtap; make it, as root, with: "
                   "ip tuntap add nosuchtap mode tap");
}

Test(net_option, interfaces_that_are_no_taps_are_refused)
{
    need_tap();
    assert_refused(IN_NETWORK ON("tap=lo") END, "not a tap device");
    assert_refused(IN_NETWORK "ip tuntap add n0 mode tun\n" ON("tap=n0") END,
                   "not a tap device");
    assert_refused(IN_NETWORK
                   "ip tuntap add m0 mode tap multi_queue\n" ON("tap=m0") END,
                   "one of several queues");
}

Test(net_option, a_tap_of_someone_else_is_refused)
{
    need_tap();
    need("setpriv --reuid 65534 --clear-groups test -w /dev/net/tun",
         "/dev/net/tun is for root only, or there is no setpriv");
    assert_refused(IN_NETWORK
                   "ip tuntap add t0 mode tap user 1\n"
                   "exec setpriv --reuid 65534 --clear-groups " ON("tap=t0")
                       END,
                   "it belongs to someone else");
}

Test(net_option, descriptors_that_are_no_network_are_refused)
{
    assert_refused(ON("fd=9"), "descriptor 9: it is not open");
    assert_refused(ON("fd=9") " 9</dev/null",
                   "neither a tap device nor a socket");
}

Test(net_option, user_says_which_package_it_lacks)
{
    assert_refused("PATH=/nowhere " ON("user"), "apt-get install passt");
}

Test(net_option, user_passes_on_why_passt_failed)
{
    need_passt();
    /* An address for documentation, which no host has. */
    assert_refused("$mayfly run --net user -p 127.0.0.1:18080:7/udp "
                   "$images/hello.elf",
                   "--net user,host");
    assert_refused("$mayfly run --net user -p [::1]:18080:7/udp "
                   "$images/hello.elf",
                   "--net user,host");
    assert_refused("$mayfly run --net user -p 203.0.113.1:18080:80 "
                   "$images/hello.elf",
                   "passt failed: Failed to bind");
}

/* ---- Packets ------------------------------------------------------------ */

Test(net_option, a_tap_has_one_vm_at_a_time)
{
    need_kvm();
    need_tap();
    need_image("netping");
    run_shell(&shell, IN_NETWORK
              "ip tuntap add t0 mode tap\n"
              "ip link set t0 up\n"
              "$mayfly run --net tap=t0 $images/netping.elf 10.0.0.2/24 &\n"
              "until ip link show t0 | grep -q LOWER_UP; do\n"
              "    kill -0 $! || exit 99\n"
              "    sleep 0.01\n"
              "done\n" ON("tap=t0") "\nstatus=$?\nkill $!\nexit $status" END);
    cr_assert_eq(shell.status, 125, "%d: %s", shell.status, shell.err);
    cr_assert(strstr(shell.err, "it is in use"), "%s", shell.err);
}

Test(net_option, a_guest_on_a_tap_answers_a_ping)
{
    need_kvm();
    need_tap();
    need("command -v ping", "there is no ping");
    need_image("netping");
    run_shell(&shell,
              IN_NETWORK "ip tuntap add t0 mode tap\n"
                         "ip addr add 10.0.0.1/24 dev t0\n"
                         "ip link set t0 up\n"
                         "$mayfly run --net tap=t0,mac=02:00:00:00:00:07 \\\n"
                         "    $images/netping.elf -n 4 10.0.0.2/24 &\n"
                         "ping -c 3 -i 0.2 -W 5 10.0.0.2 || exit 98\n"
                         "ip neigh show dev t0\n"
                         "ping -c 1 -W 5 10.0.0.2 || exit 97\n"
                         "wait $!" END);
    cr_assert_eq(shell.status, 0, "%d: %s%s", shell.status, shell.out,
                 shell.err);
    cr_assert(strstr(shell.out, "02:00:00:00:00:07"), "%s", shell.out);
}

Test(net_option, a_forwarded_port_leads_to_the_guest_and_back)
{
    need_passt();
    need("command -v bash", "there is no bash, which sends a datagram");
    need_image("netecho");
    run_shell(&shell, "port=$((20000 + $$ % 10000))\n"
                      "$mayfly run --net user,host -p 127.0.0.1:$port:7/udp "
                      "$images/netecho.elf \\\n"
                      "    >$dir/out &\n"
                      "until grep -q ready $dir/out; do\n"
                      "    kill -0 $! || exit 99\n"
                      "    sleep 0.01\n"
                      "done\n"
                      "bash -c \"exec 3<>/dev/udp/127.0.0.1/$port\n"
                      "    echo there and back >&3\n"
                      "    timeout 20 head -n 1 <&3\"\n"
                      "status=$?\n"
                      "kill $!\n"
                      "wait\n"
                      "exit $status");
    cr_assert_eq(shell.status, 0, "%d: %s", shell.status, shell.err);
    cr_assert_str_eq(shell.out, "there and back\n");
}

Test(net_option, passt_ends_with_the_vm)
{
    need_passt();
    expect_status(&shell, 0,
                  "mkdir $dir/bin\n"
                  "cat >$dir/bin/passt <<END\n"
                  "#!/bin/sh\n"
                  "echo \\$* >$dir/words\n"
                  "exec $(command -v passt) --pid $dir/pid \\$*\n"
                  "END\n"
                  "chmod 755 $dir $dir/bin/passt\n"
                  ": >$dir/pid\n"
                  "chmod 666 $dir/pid\n"
                  "PATH=$dir/bin:$PATH\n"
                  "$mayfly run --net user,mtu=9000 $images/hello.elf || exit\n"
                  "cat $dir/words\n"
                  "pid=$(cat $dir/pid)\n"
                  "[ \"$pid\" ] || exit 97\n"
                  "for i in $(seq 500); do\n"
                  "    grep -q '^State:.[^Z]' /proc/$pid/status || exit 0\n"
                  "    sleep 0.01\n"
                  "done\n"
                  "exit 96");
    cr_assert(strstr(shell.out, "--mtu 9000"), "%s", shell.out);
    cr_assert(strstr(shell.out, "--no-map-gw"), "%s", shell.out);
}
