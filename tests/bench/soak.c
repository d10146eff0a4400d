/* SPDX-License-Identifier: MIT */
/* soak: boots guests in a row and looks for failures and leaks. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAYFLY "build/bench/mayfly"
#define IMAGES "build/bench/"

/* What a boot may leave in the kernel on average before it is a leak, and what
 * other programs on this host may do to the sums meanwhile. */
#define LEAK_KIB_A_BOOT 0.25
#define NOISE_KIB       131072
#define NOISE_FILES     512

#define WARM_UP     20
#define REPORTS     20
#define FAILURES    10 /* enough to see what is wrong */
#define CRASH_TEXT  "mayfly: the guest crashed"
#define LIMIT_TEXT  "mayfly: the guest ran into its time limit"
#define SILENT_TEXT ""

/* Guests that end in all the ways there are. */
static const struct guest {
    const char *argv[8];
    int status;
    const char *output; /* all of standard output */
    const char *errors; /* how standard error starts */
    unsigned every;     /* which boots it is, counted from 1 */
} guests[] = {
    {{MAYFLY, "run", "--timeout", "0.02", IMAGES "loop.elf"},
     124,
     "",
     LIMIT_TEXT,
     500},
    {{MAYFLY, "run", IMAGES "null.elf"}, 123, "", CRASH_TEXT, 50},
    {{MAYFLY, "run", IMAGES "overflow.elf"}, 123, "", CRASH_TEXT, 51},
    {{MAYFLY, "run", IMAGES "abort.elf"},
     123,
     "giving up: step 3\n",
     CRASH_TEXT,
     53},
    {{MAYFLY, "run", IMAGES "boot.elf"}, 0, "", SILENT_TEXT, 4},
    {{MAYFLY, "run", IMAGES "hello.elf"},
     0,
     "Hello from a Mayfly VM.\n",
     SILENT_TEXT,
     1},
};

/* ---- One boot ------------------------------------------------------- */

/* What came through a pipe: the first bytes of it. */
struct text {
    char bytes[4096];
    size_t count;
};

/* Reads until both pipes have ended. */
static void read_both(int out, int err, struct text *output,
                      struct text *errors)
{
    struct text *texts[] = {output, errors};
    struct pollfd polls[] = {{.fd = out, .events = POLLIN},
                             {.fd = err, .events = POLLIN}};

    for (unsigned open = 2; open;) {
        if (poll(polls, 2, -1) < 0)
            die("poll");
        for (unsigned i = 0; i < 2; i++) {
            struct text *text = texts[i];
            char rest[4096];
            size_t room = sizeof(text->bytes) - 1 - text->count;

            if (!polls[i].revents)
                continue;
            ssize_t got =
                read(polls[i].fd, room ? text->bytes + text->count : rest,
                     room ? room : sizeof(rest));
            if (got <= 0) {
                polls[i].fd = -1;
                open--;
            } else if (room) {
                text->count += (size_t)got;
            }
        }
    }
}

/* Returns whether the guest did what it should. */
static bool boot(const struct guest *guest, unsigned number)
{
    struct text output = {.count = 0}, errors = {.count = 0};
    int out[2], err[2], status;

    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        die("pipe");
    pid_t pid = spawn(guest->argv, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    read_both(out[0], err[0], &output, &errors);
    close(out[0]);
    close(err[0]);
    if (waitpid(pid, &status, 0) != pid)
        die("wait");
    output.bytes[output.count] = 0;
    errors.bytes[errors.count] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == guest->status &&
        strcmp(output.bytes, guest->output) == 0 &&
        strncmp(errors.bytes, guest->errors, strlen(guest->errors)) == 0 &&
        (*guest->errors || !errors.count))
        return true;
    printf("boot %u, %s: wait status %#x\n  output '%s'\n  errors '%s'\n",
           number, guest->argv[2], (unsigned)status, output.bytes,
           errors.bytes);
    return false;
}

static const struct guest *choose(unsigned number)
{
    const struct guest *guest = guests;

    while (number % guest->every)
        guest++;
    return guest;
}

/* ---- What boots leave behind ----------------------------------------- */

struct host {
    double kernel_kib;    /* kernel memory that nothing can reclaim */
    double available_kib; /* MemAvailable */
    double files;         /* open files */
    int vms;              /* or -1 */
};

static void look(struct host *host)
{
    static const char *const keys[] = {
        "SUnreclaim:", "Percpu:", "KernelStack:", "PageTables:", "Shmem:"};

    host->kernel_kib = 0;
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        host->kernel_kib += file_number("/proc/meminfo", keys[i]);
    host->available_kib = file_number("/proc/meminfo", "MemAvailable:");
    host->files = file_number("/proc/sys/fs/file-nr", "");
    host->vms = count_vms();
}

static void report(unsigned number, unsigned failures, double seconds,
                   const struct host *before)
{
    struct host now;

    look(&now);
    printf("%7u boots, %u failed, %5.0f s, %5.0f/s; kernel memory %+.0f KiB, "
           "available %+.0f KiB, files %+.0f, VMs %+d\n",
           number, failures, seconds, number / seconds,
           now.kernel_kib - before->kernel_kib,
           now.available_kib - before->available_kib, now.files - before->files,
           now.vms - before->vms);
    fflush(stdout);
}

/* Descriptors of this program. */
static unsigned own_files(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool leaks(const struct host *before, unsigned boots)
{
    struct host after;

    /* The kernel frees some of it later. */
    sleep(2);
    look(&after);
    return after.kernel_kib - before->kernel_kib >
               LEAK_KIB_A_BOOT * boots + NOISE_KIB ||
           after.files - before->files > NOISE_FILES;
}

int main(int argc, char **argv)
{
    unsigned boots = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 100000;
    unsigned failures = 0, number, step = boots / REPORTS + 1;
    struct host before;

    for (number = 1; number <= WARM_UP; number++)
        failures += !boot(choose(number), number);
    unsigned files = own_files();
    look(&before);
    uint64_t begin = now_ns();
    for (number = 1; number <= boots && failures < FAILURES; number++) {
        failures += !boot(choose(number), number);
        if (number % step == 0 || number == boots)
            report(number, failures, (double)(now_ns() - begin) / 1e9, &before);
    }
    bool leaked = leaks(&before, boots) || own_files() != files;
    if (leaked)
        printf("something leaks\n");
    printf("%d passed, %d failed\n", !failures && !leaked, failures || leaked);
    return failures || leaked;
}
