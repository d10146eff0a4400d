/* SPDX-License-Identifier: MIT */
/* A host that has no descriptors, or no memory, for a while. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/server.h"

#define PAUSE_NS 10000000u

Test(server_host, a_connection_that_it_cannot_hand_out_stays_with_it)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};
    struct fake worker;
    int client;

    server_start(1);
    worker = fake_start(true);
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        client = server_knock(GET);
        server_accept_error = errors[i];
        for (unsigned n = 0; n < 40; n++) /* more than there is room */
            cr_assert_eq(server_accept(), -errors[i]);
        cr_assert_eq(clients_count(&server_clients), 0);
        cr_assert_eq(server_metrics.accepted, i);
        server_accept_error = 0;
        cr_assert_eq(server_accept(), 0);
        fake_answer(&worker, client);
    }
    fake_die(&worker);
    server_end();
}

Test(server_host, a_connection_that_failed_is_no_reason_to_wait)
{
    static const int errors[] = {ECONNABORTED, EPROTO, EPERM, EHOSTUNREACH};

    server_start(1);
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        server_accept_error = errors[i];
        cr_assert_eq(server_accept(), 0);
    }
    server_accept_error = 0;
    cr_assert_eq(server_accept(), -EAGAIN);
    cr_assert_eq(clients_count(&server_clients), 0);
    server_end();
}

/* Too many descriptors are under way between processes (unix(7)), or there is
 * no memory: that is not the worker's fault. */
Test(server_host, a_connection_that_it_cannot_pass_on_waits)
{
    static const int errors[] = {ETOOMANYREFS, ENOMEM, ENOBUFS};
    struct fake worker;
    int clients[2];

    server_start(1);
    worker = fake_start(true);
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        server_pass_error = errors[i];
        server_connect_all(clients, 2);
        cr_assert_eq(server_clients.counts[CLIENT_QUEUED], 2);
        cr_assert_eq(worker.page->next[0] | worker.page->next[1], 0);
        cr_assert_gt(server_dispatch.paused_until_ns, 0);
        server_pass_error = 0;
        server_wait(PAUSE_NS);
        for (unsigned n = 0; n < 2; n++) {
            cr_assert(fake_take(&worker));
            cr_assert_eq(worker.id, 2 * i + n + 1, "in the old order");
            fake_serve(&worker, ANSWER, false);
            server_expect(clients[n], ANSWER);
        }
    }
    cr_assert_eq(server_kills, 0);
    fake_die(&worker);
    server_end();
}

Test(server_host, a_worker_that_takes_nothing_is_replaced)
{
    struct fake a, b;
    int client;

    server_start(1);
    a = fake_start(true);
    server_pass_error = EPIPE;
    client = server_connect(GET);
    cr_assert_eq(server_kills, 1);
    server_pass_error = 0;
    fake_die(&a);
    b = fake_start(true);
    fake_answer(&b, client);
    fake_die(&b);
    server_end();
}
