/* SPDX-License-Identifier: MIT */
/* A guest at a terminal, whose size changes while it runs. */
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(terminal, .timeout = 120);

static const struct winsize before = {.ws_row = 24, .ws_col = 80};
static const struct winsize after = {.ws_row = 50, .ws_col = 132};

struct person {
    int fd; /* of the terminal */
    struct mayfly *vm;
    char seen[4096];
    size_t bytes;
};

/* Reads on until the guest has written this. Returns whether it has. */
static bool read_until(struct person *person, const char *text)
{
    while (!strstr(person->seen, text)) {
        ssize_t got = read(person->fd, person->seen + person->bytes,
                           sizeof(person->seen) - 1 - person->bytes);

        if (got <= 0)
            return false;
        person->bytes += (size_t)got;
    }
    return true;
}

/* Enlarges the window when the guest has seen the small one, and asks again. */
static void *enlarge(void *argument)
{
    struct person *person = argument;

    if (!read_until(person, "24 rows, 80 columns"))
        return NULL;
    ioctl(person->fd, TIOCSWINSZ, &after);
    mayfly_resize(person->vm);
    /* The end of input follows the line: Ctrl-D. */
    if (write(person->fd, "\n\004", 2) == 2)
        read_until(person, "50 rows, 132 columns");
    return NULL;
}

static void change_size(enum mayfly_transport transport)
{
    struct guest guest = {.image = "winsize"};
    struct person person = {0};
    pthread_t thread;
    char error[MAYFLY_ERROR_BYTES];
    int slave;

    cr_assert_eq(openpty(&person.fd, &slave, NULL, NULL, &before), 0);
    guest.options.in = guest.options.out = guest.options.err = slave;
    guest.options.transport = transport;
    load_guest(&guest);
    cr_assert(mayfly_has_terminal(guest.vm));
    person.vm = guest.vm;
    cr_assert_eq(pthread_create(&thread, NULL, enlarge, &person), 0);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    pthread_join(thread, NULL);
    collect_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(strstr(person.seen, "50 rows, 132 columns"), "%s", person.seen);
}

Test(terminal, tells_the_guest_its_new_size)
{
    change_size(MAYFLY_TRANSPORT_NATIVE);
}

Test(terminal, tells_the_guest_its_new_size_through_registers)
{
    change_size(MAYFLY_TRANSPORT_MMIO);
}

Test(terminal, is_not_there_for_files)
{
    struct guest guest = {.image = "winsize", .input = ""};

    run_guest(&guest);
    assert_exited(&guest, 0, "no terminal\n");
}
