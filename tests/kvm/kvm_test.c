/* SPDX-License-Identifier: MIT */
/* Whole VMs through the public library: what these tests share. */
#include "tests/kvm/kvm_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define GUEST_SECONDS 100 /* a limit that no guest should reach */

/* Of the test; forked processes are others. */
static pid_t test_process;

__attribute__((constructor)) static void note_process(void)
{
    test_process = getpid();
}

int open_image(const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/images/%s.elf", build_directory(), name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && getpid() != test_process) {
        fprintf(stderr, "cannot open %s\n", path);
        _exit(1);
    }
    cr_assert_geq(fd, 0, "cannot open %s", path);
    return fd;
}

/* An unnamed file with this text, to be read from the start. */
static int text_file(const char *text)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

static void set_up_files(struct guest *guest)
{
    struct mayfly_options *options = &guest->options;

    guest->out_file = guest->err_file = -1;
    if (options->in == 0)
        options->in = text_file(guest->input ? guest->input : "");
    if (options->out == 0)
        options->out = guest->out_file = text_file("");
    if (options->err == 0)
        options->err = guest->err_file = text_file("");
}

void load_guest(struct guest *guest)
{
    char error[MAYFLY_ERROR_BYTES] = "";

    need_kvm();
    /* A host that uses huge pages always touches 2 MiB where others do a page.
     */
    if (!guest->options.huge_pages)
        cr_assert_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    set_up_files(guest);
    if (guest->image)
        guest->image_fd = open_image(guest->image);
    if (!guest->options.args) {
        guest->argv[0] = guest->image ? guest->image : "guest";
        memcpy(guest->argv + 1, guest->args,
               sizeof(guest->args) - sizeof(guest->args[0]));
        guest->options.args = guest->argv;
    }
    if (!guest->options.timeout_ns)
        guest->options.timeout_ns = GUEST_SECONDS * 1000000000ull;
    cr_assert_eq(mayfly_create(&guest->options, &guest->vm, error), 0, "%s",
                 error);
    int (*load)(struct mayfly * vm, int fd, char *error) =
        guest->restore ? mayfly_restore : mayfly_load;
    cr_assert_eq(load(guest->vm, guest->image_fd, error), 0, "%s", error);
}

static void read_output(int fd, char *to)
{
    if (fd < 0)
        return;
    ssize_t got = pread(fd, to, GUEST_OUTPUT_ROOM - 1, 0);

    cr_assert_geq(got, 0);
    to[got] = '\0';
    close(fd);
}

void collect_guest(struct guest *guest)
{
    mayfly_get_stats(guest->vm, &guest->stats);
    if (guest->result.end == MAYFLY_CRASHED)
        guest->frame_count = mayfly_backtrace(guest->vm, &guest->result.crash,
                                              guest->frames, MAYFLY_FRAMES_MAX);
    mayfly_destroy(guest->vm);
    close(guest->image_fd);
    read_output(guest->out_file, guest->output);
    read_output(guest->err_file, guest->errors);
}

void run_guest(struct guest *guest)
{
    char error[MAYFLY_ERROR_BYTES] = "";

    load_guest(guest);
    cr_assert_eq(mayfly_run(guest->vm, &guest->result, error), 0, "%s", error);
    collect_guest(guest);
}

int write_snapshot(struct guest *guest)
{
    char error[MAYFLY_ERROR_BYTES] = "";
    int fd = memfd_create("snapshot", MFD_CLOEXEC);

    cr_assert(guest->result.end == MAYFLY_AT_SNAPSHOT ||
                  guest->result.end == MAYFLY_AT_CALL,
              "end %d", guest->result.end);
    cr_assert_eq(mayfly_snapshot(guest->vm, fd, error), 0, "%s", error);
    return fd;
}

int take_snapshot(struct guest *guest)
{
    char error[MAYFLY_ERROR_BYTES] = "";

    load_guest(guest);
    cr_assert_eq(mayfly_run(guest->vm, &guest->result, error), 0, "%s", error);
    return write_snapshot(guest);
}

void assert_exited(const struct guest *guest, int status, const char *output)
{
    cr_assert_eq(guest->result.end, MAYFLY_EXITED, "%s: end %d, output: %s%s",
                 guest->image, guest->result.end, guest->output, guest->errors);
    cr_assert_eq(guest->result.status, status, "%s: status %d, output: %s%s",
                 guest->image, guest->result.status, guest->output,
                 guest->errors);
    if (output)
        cr_assert_str_eq(guest->output, output);
}

int find_frame(const struct guest *guest, const char *name)
{
    for (unsigned i = 0; i < guest->frame_count; i++)
        if (strncmp(guest->frames[i].name, name, strlen(name)) == 0)
            return (int)i;
    return -1;
}
