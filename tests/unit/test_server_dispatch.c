/* SPDX-License-Identifier: MIT */
/* Who gets which connection, and what becomes of it if a worker fails. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/server.h"

/* ---- In good order ------------------------------------------------------ */

Test(server_dispatch, a_request_goes_to_an_idle_worker)
{
    struct fake worker;
    int client;

    server_start(1);
    worker = fake_start(true);
    for (unsigned i = 0; i < 3; i++) {
        client = server_connect(GET);
        fake_answer(&worker, client);
    }
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 3);
    cr_assert_eq(clients_count(&server_clients), 0);
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, requests_wait_for_a_worker_in_order)
{
    struct fake worker;
    int clients[5];

    server_start(1);
    worker = fake_create(true);
    for (unsigned i = 0; i < 5; i++) {
        char request[64];

        snprintf(request, sizeof(request), "GET /%u HTTP/1.1\r\n\r\n", i);
        clients[i] = server_connect(request);
    }
    cr_assert_not(fake_take(&worker));
    fake_say(&worker, &(struct worker_report){.event = WORKER_READY});
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(fake_take(&worker), "%u", i);
        cr_assert_eq(worker.id, i + 1);
        fake_serve(&worker, ANSWER, false);
        server_expect(clients[i], ANSWER);
    }
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, a_busy_worker_has_one_in_advance_and_no_more)
{
    struct fake worker;
    int clients[3];
    uint64_t first;
    int connection;

    server_start(1);
    worker = fake_start(true);
    server_connect_all(clients, 3);
    cr_assert(fake_take(&worker));
    first = worker.id;
    connection = worker.connection;
    cr_assert(fake_take(&worker));
    cr_assert_not(fake_take(&worker));
    close(connection);
    close(worker.connection);
    worker.connection = -1;
    worker.id = first;
    fake_report(&worker, WORKER_SERVED);
    cr_assert(fake_take(&worker));
    fake_die(&worker);
    for (unsigned i = 0; i < 3; i++)
        close(clients[i]);
    server_end();
}

Test(server_dispatch, the_next_but_one_comes_before_the_next_is_claimed)
{
    struct fake worker;
    int clients[3];

    server_start(1);
    worker = fake_start(true);
    server_connect_all(clients, 3);
    cr_assert(fake_take(&worker));
    fake_serve(&worker, ANSWER, false);
    /* Now both of the others are handed over, and none is claimed. */
    cr_assert(worker.page->next[0] && worker.page->next[1]);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(fake_take(&worker));
        fake_serve(&worker, ANSWER, false);
    }
    for (unsigned i = 0; i < 3; i++)
        server_expect(clients[i], ANSWER);
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, who_is_idle_first_gets_what_waits_elsewhere)
{
    struct fake a, b;
    int clients[3];

    server_start_two(&a, &b);
    server_connect_all(clients, 3);
    /* The one used last, or made last, comes first. */
    cr_assert(fake_take(&b));
    cr_assert(fake_take(&a));
    cr_assert_eq(a.id, 2);
    /* The third waits at b, which is busy since longer. */
    cr_assert(b.page->next[0] == 3 || b.page->next[1] == 3);
    fake_serve(&a, ANSWER, false);
    cr_assert(fake_take(&a));
    cr_assert_eq(a.id, 3);
    fake_serve(&a, ANSWER, false);
    server_expect(clients[2], ANSWER);
    fake_serve(&b, ANSWER, false);
    cr_assert_not(fake_take(&b), "it was taken back");
    server_expect(clients[0], ANSWER);
    server_expect(clients[1], ANSWER);
    cr_assert_eq(server_kills, 0);
    fake_die(&a);
    fake_die(&b);
    server_end();
}

Test(server_dispatch, what_is_claimed_is_not_taken_back)
{
    struct fake a, b;
    int clients[3];

    server_start_two(&a, &b);
    server_connect_all(clients, 3);
    cr_assert(fake_take(&a));
    cr_assert(fake_take(&b));
    /* b is done with the first, and says so after a has ended. */
    cr_assert(worker_claim(b.page, 3));
    fake_serve(&a, ANSWER, false);
    cr_assert_not(fake_take(&a));
    fake_serve(&b, ANSWER, false);
    cr_assert_not(fake_take(&b), "its number is gone: it was claimed");
    fake_die(&b);
    fake_die(&a);
    server_expect(clients[0], ANSWER);
    server_expect(clients[1], ANSWER);
    close(clients[2]);
    server_end();
}

Test(server_dispatch, strays_at_a_worker_are_bounded)
{
    struct fake a, b;
    int clients[20];

    server_start_two(&a, &b);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&a));
    cr_assert(fake_take(&b));
    /* b hangs, and a serves what waits at b. */
    for (unsigned i = 2; i < 20; i++) {
        clients[i] = server_connect(GET);
        fake_serve(&a, ANSWER, false);
        while (!fake_take(&a))
            ;
        cr_assert_leq(b.worker->strays, DISPATCH_STRAYS_MAX);
    }
    fake_serve(&a, ANSWER, false);
    fake_serve(&b, ANSWER, false);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_not(fake_take(&b));
    for (unsigned i = 0; i < 20; i++)
        server_expect(clients[i], ANSWER);
    cr_assert_eq(server_kills, 0);
    fake_die(&a);
    fake_die(&b);
    server_end();
}

Test(server_dispatch, no_more_serve_at_a_time_than_may)
{
    struct fake a, b;
    int clients[2];

    server_start(1);
    a = fake_start(false);
    b = fake_start(false);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&b));
    cr_assert_not(fake_take(&a));
    cr_assert_not(fake_take(&b), "its VM is for one use");
    fake_serve(&b, ANSWER, true);
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, true);
    server_expect(clients[0], ANSWER);
    server_expect(clients[1], ANSWER);
    cr_assert(dispatch_is_expected(a.worker));
    fake_die(&a);
    fake_die(&b);
    server_end();
}

Test(server_dispatch, a_spent_worker_keeps_nothing)
{
    struct fake a, b;
    int clients[2];

    server_start(1);
    a = fake_start(true);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, true);
    b = fake_start(true);
    fake_answer(&b, clients[0]);
    server_expect(clients[1], ANSWER);
    fake_die(&a);
    fake_die(&b);
    server_end();
}

Test(server_dispatch, who_is_retired_finishes_and_ends)
{
    struct fake a, b;
    int clients[2];
    char byte;

    server_start(1);
    a = fake_start(true);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&a));
    dispatch_retire(a.worker);
    b = fake_start(true);
    fake_serve(&a, ANSWER, false);
    cr_assert_not(fake_take(&a));
    cr_assert_eq(recv(a.fd, &byte, 1, MSG_DONTWAIT), 0);
    fake_answer(&b, clients[0]);
    server_expect(clients[1], ANSWER);
    cr_assert(dispatch_is_expected(a.worker));
    fake_die(&a);
    fake_die(&b);
    server_end();
}

/* ---- Clients ------------------------------------------------------------ */

Test(server_dispatch, a_silent_client_holds_no_worker)
{
    struct fake worker;
    int silent, client;

    server_start(1);
    worker = fake_start(true);
    silent = server_connect("");
    client = server_connect(GET);
    cr_assert(fake_take(&worker));
    cr_assert_eq(worker.id, 2);
    fake_serve(&worker, ANSWER, false);
    server_expect(client, ANSWER);
    client = server_connect("");
    cr_assert_eq(send(client, GET, strlen(GET), 0), (ssize_t)strlen(GET));
    server_turn();
    cr_assert(fake_take(&worker));
    cr_assert_eq(worker.id, 3);
    fake_serve(&worker, ANSWER, false);
    server_expect(client, ANSWER);
    server_wait(SERVER_FAKE_TIMEOUT_NS - 1000000000u);
    cr_assert_eq(server_metrics.ends[CONNECTION_SILENT], 0);
    server_wait(1000000000u);
    server_expect(silent, "");
    cr_assert_eq(server_metrics.ends[CONNECTION_SILENT], 1);
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, a_client_that_goes_away_is_forgotten)
{
    int client;

    server_start(1);
    client = server_connect("");
    close(client);
    server_turn();
    cr_assert_eq(server_metrics.ends[CONNECTION_LEFT], 1);
    server_end();
}

Test(server_dispatch, who_waits_too_long_is_told_503)
{
    struct fake worker;
    int clients[3], other;

    clients[0] = server_begin(&worker, GET);
    server_wait(500000000u);
    clients[1] = server_connect(GET); /* in advance */
    clients[2] = server_connect(GET);
    other = server_connect("\x16\x03\x01");
    server_wait(SERVER_FAKE_TIMEOUT_NS);
    server_expect_refusal(clients[1], HTTP_UNAVAILABLE);
    server_expect_refusal(clients[2], HTTP_UNAVAILABLE);
    server_expect(other, NULL); /* its bytes were not read */
    cr_assert_eq(server_metrics.ends[CONNECTION_OVERDUE], 3);
    cr_assert_eq(server_kills, 0);
    fake_serve(&worker, ANSWER, false);
    server_expect(clients[0], ANSWER);
    cr_assert_not(fake_take(&worker));
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, there_is_no_room_for_more_than_there_may_be)
{
    int clients[32];

    server_start(1);
    for (unsigned i = 0; i < 32; i++) {
        cr_assert(clients_have_room(&server_clients));
        clients[i] = server_connect(GET);
    }
    cr_assert_not(clients_have_room(&server_clients));
    for (unsigned i = 0; i < 32; i++)
        close(clients[i]);
    server_end();
}

Test(server_dispatch, who_says_nothing_makes_room_for_others)
{
    struct fake worker;
    int clients[32];

    server_start(1);
    worker = fake_start(true);
    for (unsigned i = 0; i < 32; i++)
        clients[i] = server_connect(i < 30 ? "" : GET);
    cr_assert(fake_take(&worker));
    /* The first one is about to be heard: it stays, and the second one goes. */
    cr_assert_eq(send(clients[0], GET, strlen(GET), 0), (ssize_t)strlen(GET));
    cr_assert(clients_make_room(&server_clients));
    cr_assert(clients_make_room(&server_clients), "there is room already");
    server_expect(clients[1], "");
    cr_assert_eq(server_metrics.ends[CONNECTION_SILENT], 1);
    cr_assert_eq(clients_count(&server_clients), 31);
    cr_assert_eq(server_clients.counts[CLIENT_SILENT], 28);
    cr_assert_eq(server_clients.counts[CLIENT_QUEUED], 1);
    fake_serve(&worker, ANSWER, false);
    fake_die(&worker);
    for (unsigned i = 0; i < 32; i++)
        if (i != 1)
            close(clients[i]);
    server_end();
}

Test(server_dispatch, who_is_served_makes_no_room)
{
    int clients[32];

    server_start(1);
    server_connect_all(clients, 32);
    cr_assert_not(clients_make_room(&server_clients));
    cr_assert_eq(clients_count(&server_clients), 32);
    for (unsigned i = 0; i < 32; i++)
        close(clients[i]);
    server_end();
}

/* ---- Guests that fail --------------------------------------------------- */

static void assert_told(const char *request, enum worker_end end,
                        enum http_refusal code)
{
    struct fake worker;
    int client;

    client = server_begin(&worker, request);
    fake_report(&worker, end);
    if (code)
        server_expect_refusal(client, code);
    else
        server_expect(client, "");
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, clients_of_guests_that_fail_are_told)
{
    assert_told(GET, WORKER_CRASHED, HTTP_BAD_GATEWAY);
    assert_told(GET, WORKER_EXITED, HTTP_BAD_GATEWAY);
    assert_told(GET, WORKER_SERVED, HTTP_BAD_GATEWAY);
    assert_told(GET, WORKER_REFUSED, HTTP_BAD_GATEWAY);
    assert_told(GET, WORKER_FAILED, HTTP_BAD_GATEWAY);
    assert_told(GET, WORKER_TIMED_OUT, HTTP_GATEWAY_TIMEOUT);
}

Test(server_dispatch, who_does_not_speak_http_is_told_nothing)
{
    static const char *const requests[] = {"PING\r\n", "\x16\x03\x01", "x"};

    for (unsigned i = 0; i < 3; i++) {
        struct fake worker;
        char byte;
        int client;

        server_start(1);
        worker = fake_start(true);
        client = server_connect(requests[i]);
        cr_assert(fake_take(&worker));
        while (recv(worker.connection, &byte, 1, MSG_DONTWAIT) == 1)
            ;
        fake_report(&worker, WORKER_CRASHED);
        server_expect(client, "");
        fake_die(&worker);
        server_end();
    }
}

Test(server_dispatch, half_an_answer_is_cut_off)
{
    struct fake worker;
    int client;

    client = server_begin(&worker, GET);
    cr_assert_eq(send(worker.connection, ANSWER, 20, 0), 20);
    close(worker.connection);
    worker.connection = -1;
    fake_say(&worker, &(struct worker_report){.event = WORKER_DONE,
                                              .end = WORKER_CRASHED,
                                              .id = worker.id,
                                              .out_bytes = 20});
    server_expect(client, NULL);
    fake_die(&worker);
    server_end();
}

Test(server_dispatch, an_answer_outlives_what_the_client_still_sends)
{
    static char body[100000];
    struct fake worker;
    int client;

    client = server_begin(&worker, GET);
    fake_report(&worker, WORKER_CRASHED);
    cr_assert_eq(send(client, body, sizeof(body), MSG_NOSIGNAL),
                 (ssize_t)sizeof(body));
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    cr_assert_eq(clients_count(&server_clients), 0);
    /* One that never ends is left alone after a while. */
    client = server_connect(GET);
    cr_assert(fake_take(&worker));
    fake_report(&worker, WORKER_CRASHED);
    cr_assert_eq(server_clients.counts[CLIENT_CLOSING], 1);
    server_wait(CLIENTS_CLOSING_NS);
    cr_assert_eq(clients_count(&server_clients), 0);
    close(client);
    fake_die(&worker);
    server_end();
}
