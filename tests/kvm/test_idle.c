/* SPDX-License-Identifier: MIT */
/* VMs with every device and nothing to do cost no processor time at all. */
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(idle, .timeout = 240);

#define VMS_MAX 100
#define SECONDS 2

struct fleet {
    pid_t vms[VMS_MAX];
    unsigned count;
};

/* What all threads of the VMs have cost so far. */
struct cost {
    uint64_t run_ns;   /* on a processor */
    uint64_t switches; /* wake-ups end in as many */
    unsigned threads;
};

/* One VM with every device; runs in a child until it is killed. */
static void run_vm(int out)
{
    struct guest guest = {.image = "idle"};
    struct mayfly_disk disk;
    struct mayfly_net net = {.kind = MAYFLY_NET_STREAM};
    FILE *file = tmpfile();
    int sockets[2];

    cr_assert_not_null(file);
    cr_assert_eq(ftruncate(fileno(file), 1 << 20), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    disk = (struct mayfly_disk){.fd = fileno(file)};
    net.fd = sockets[0];
    guest.options = (struct mayfly_options)MAYFLY_OPTIONS;
    guest.options.in = -1;
    guest.options.out = guest.options.err = out;
    guest.options.disks = &disk;
    guest.options.disk_count = 1;
    guest.options.nets = &net;
    guest.options.net_count = 1;
    guest.options.entropy = guest.options.balloon = true;
    guest.options.io = MAYFLY_IO_THREAD;
    run_guest(&guest);
}

static void add_status(const char *path, struct cost *cost)
{
    char line[256];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof(line), file)) {
        char *number = strstr(line, "_ctxt_switches:");

        if (number)
            cost->switches += strtoul(strchr(number, ':') + 1, NULL, 10);
    }
    fclose(file);
}

static void add_thread(const char *directory, const char *thread,
                       struct cost *cost)
{
    char path[PATH_MAX];
    uint64_t run_ns;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s/schedstat", directory, thread);
    file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fscanf(file, "%" SCNu64, &run_ns), 1);
    fclose(file);
    cost->run_ns += run_ns;
    snprintf(path, sizeof(path), "%s/%s/status", directory, thread);
    add_status(path, cost);
    cost->threads++;
}

static struct cost read_cost(const struct fleet *fleet)
{
    struct cost cost = {0};

    for (unsigned i = 0; i < fleet->count; i++) {
        char path[64];
        struct dirent *entry;
        DIR *threads;

        snprintf(path, sizeof(path), "/proc/%d/task", fleet->vms[i]);
        threads = opendir(path);
        cr_assert_not_null(threads);
        while ((entry = readdir(threads)) != NULL)
            if (entry->d_name[0] != '.')
                add_thread(path, entry->d_name, &cost);
        closedir(threads);
    }
    return cost;
}

/* Starts the VMs, and waits until each has said that it is idle. */
static void start_fleet(struct fleet *fleet)
{
    char said[VMS_MAX * 5];
    size_t bytes = 0;
    int out[2];

    cr_assert_eq(pipe(out), 0);
    for (unsigned i = 0; i < fleet->count; i++) {
        fleet->vms[i] = fork();
        if (fleet->vms[i] == 0) {
            close(out[0]);
            run_vm(out[1]);
            _exit(1);
        }
    }
    close(out[1]);
    while (bytes < fleet->count * strlen("idle\n")) {
        ssize_t got = read(out[0], said + bytes, sizeof(said) - bytes);

        cr_assert_gt(got, 0, "a VM has ended");
        bytes += (size_t)got;
    }
    close(out[0]);
}

Test(idle, a_hundred_vms_with_every_device_use_no_processor_time)
{
    /* One processor has better things to do than to start a hundred. */
    struct fleet fleet = {
        .count = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? VMS_MAX : 5,
    };
    struct cost before, after;

    need_kvm();
    start_fleet(&fleet);
    sleep(1);
    before = read_cost(&fleet);
    sleep(SECONDS);
    after = read_cost(&fleet);
    for (unsigned i = 0; i < fleet.count; i++) {
        kill(fleet.vms[i], SIGKILL);
        waitpid(fleet.vms[i], NULL, 0);
    }
    /* A vCPU and an I/O thread each; KVM may add one of its own. */
    cr_assert_geq(before.threads, 2 * fleet.count);
    cr_assert_eq(after.run_ns, before.run_ns);
    cr_assert_eq(after.switches, before.switches);
}
