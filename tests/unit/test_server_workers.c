/* SPDX-License-Identifier: MIT */
/* Workers that die, hang, or say what they like. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/server.h"

/* ---- Deaths ------------------------------------------------------------- */

Test(server_workers, a_request_that_nobody_has_read_goes_to_another_one)
{
    struct fake a, b;
    int clients[2];

    server_start(1);
    a = fake_start(true);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&a)); /* it has claimed it, and not read it */
    fake_die(&a);
    cr_assert_not(dispatch_is_expected(a.worker));
    b = fake_start(true);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(fake_take(&b));
        cr_assert_eq(b.id, i + 1, "in the old order");
        fake_serve(&b, ANSWER, false);
        server_expect(clients[i], ANSWER);
    }
    fake_die(&b);
    server_end();
}

Test(server_workers, a_request_that_was_read_is_answered_502)
{
    struct fake a;
    int client;

    client = server_begin(&a, GET);
    a.page->progress.in_bytes = 5;
    fake_die(&a);
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    cr_assert_eq(server_metrics.ends[CONNECTION_LOST], 1);
    server_end();
}

Test(server_workers, a_request_that_was_half_answered_is_cut_off)
{
    struct fake a;
    int client;

    client = server_begin(&a, GET);
    cr_assert_eq(send(a.connection, ANSWER, 20, 0), 20);
    a.page->progress.in_bytes = a.page->progress.out_bytes = 20;
    fake_die(&a);
    server_expect(client, NULL);
    server_end();
}

Test(server_workers, what_was_moved_counts_from_job_to_job)
{
    struct fake a, b;
    int client;

    server_start(1);
    a = fake_start(true);
    for (unsigned i = 0; i < 2; i++) {
        client = server_connect(GET);
        fake_answer(&a, client);
    }
    client = server_connect(GET);
    cr_assert(fake_take(&a));
    fake_die(&a);
    b = fake_start(true);
    cr_assert(fake_take(&b), "nothing of this one was read");
    fake_serve(&b, ANSWER, false);
    server_expect(client, ANSWER);
    fake_die(&b);
    server_end();
}

Test(server_workers, a_report_counts_after_its_worker_has_died)
{
    struct fake a;
    struct worker_report done = {.event = WORKER_DONE};
    int clients[2];

    server_start(1);
    a = fake_start(true);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&a));
    cr_assert_eq(send(a.connection, ANSWER, strlen(ANSWER), 0),
                 (ssize_t)strlen(ANSWER));
    shutdown(a.connection, SHUT_RDWR);
    done.id = a.id;
    a.page->progress.out_bytes = done.out_bytes = strlen(ANSWER);
    cr_assert_eq(send(a.fd, &done, sizeof(done), 0), (ssize_t)sizeof(done));
    /* The next job is unread: the socket says so before the report. */
    close(a.connection);
    close(a.fd);
    dispatch_bury(a.worker);
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 1);
    a = fake_start(true);
    fake_answer(&a, clients[1]);
    fake_die(&a);
    close(clients[0]);
    server_end();
}

Test(server_workers, a_request_does_not_kill_for_ever)
{
    int client;

    server_start(1);
    client = server_connect(GET);
    for (unsigned i = 0; i < DISPATCH_DEATHS_MAX; i++) {
        struct fake worker = fake_start(true);

        cr_assert(fake_take(&worker), "%u", i);
        fake_die(&worker);
    }
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    server_end();
}

/* ---- Slowness ----------------------------------------------------------- */

Test(server_workers, who_does_not_report_in_time_is_killed)
{
    struct fake a, b;
    int clients[2];

    clients[0] = server_begin(&a, GET);
    a.page->progress.in_bytes = 5;
    server_wait(SERVER_FAKE_TIMEOUT_NS);
    clients[1] = server_connect(GET);
    cr_assert_eq(server_kills, 0);
    server_wait(DISPATCH_GRACE_NS);
    cr_assert_eq(server_kills, 1);
    fake_die(&a);
    server_expect_refusal(clients[0], HTTP_GATEWAY_TIMEOUT);
    b = fake_start(true);
    fake_answer(&b, clients[1]);
    fake_die(&b);
    server_end();
}

Test(server_workers, who_does_not_get_ready_is_killed)
{
    struct fake a;

    server_start(1);
    a = fake_create(true);
    server_wait(SERVER_FAKE_TIMEOUT_NS);
    cr_assert_eq(server_kills, 1);
    fake_die(&a);
    server_end();
}

Test(server_workers, who_does_not_end_when_told_is_killed)
{
    struct fake a;

    server_start(1);
    a = fake_start(true);
    dispatch_retire(a.worker);
    server_wait(SERVER_FAKE_TIMEOUT_NS + DISPATCH_GRACE_NS);
    cr_assert_eq(server_kills, 1);
    fake_die(&a);
    server_end();
}

/* ---- Words -------------------------------------------------------------- */

Test(server_workers, one_of_them_explains_a_crash)
{
    struct fake a, b, c;
    uint64_t until_ns;
    int client;

    server_start_two(&a, &b);
    cr_assert_eq(a.page->quiet_until_ns, 0);
    for (unsigned i = 0; i < 2; i++) {
        client = server_connect(GET);
        cr_assert(fake_take(&b));
        close(b.connection);
        b.connection = -1;
        fake_say(&b, &(struct worker_report){.event = WORKER_DONE,
                                             .end = WORKER_CRASHED,
                                             .id = b.id,
                                             .explained = 1});
        server_expect_refusal(client, HTTP_BAD_GATEWAY);
        if (i == 0)
            until_ns = a.page->quiet_until_ns;
    }
    cr_assert_geq(until_ns, server_loop.now_ns);
    cr_assert_leq(until_ns, server_loop.now_ns + WORKER_QUIET_NS);
    cr_assert_eq(a.page->quiet_until_ns, until_ns, "not longer by the second");
    c = fake_start(true);
    cr_assert_eq(c.page->quiet_until_ns, until_ns, "a new one does not know");
    fake_die(&a);
    fake_die(&b);
    fake_die(&c);
    server_end();
}

/* ---- Nonsense ----------------------------------------------------------- */

/* A worker with a job says this; the request is answered 502, by us. */
static void assert_killed(const void *bytes, size_t count)
{
    struct fake a;
    int client;

    client = server_begin(&a, GET);
    cr_assert_eq(a.id, 1);
    a.page->progress.in_bytes = 5;
    server_kills = 0;
    cr_assert_eq(send(a.fd, bytes, count, 0), (ssize_t)count);
    server_turn();
    cr_assert_eq(server_kills, 1);
    fake_die(&a);
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    server_end();
}

static void assert_nonsense(struct worker_report report)
{
    assert_killed(&report, sizeof(report));
}

Test(server_workers, who_talks_nonsense_is_killed)
{
    static const char bytes[2 * sizeof(struct worker_report)];

    assert_killed(bytes, 0);
    assert_killed(bytes, 1);
    assert_killed(bytes, sizeof(struct worker_report) - 1);
    assert_killed(bytes, sizeof(struct worker_report) + 1);
    assert_nonsense((struct worker_report){.event = 0, .id = 1});
    assert_nonsense((struct worker_report){.event = 3, .id = 1});
    assert_nonsense((struct worker_report){.event = WORKER_READY});
    assert_nonsense((struct worker_report){.event = WORKER_READY, .id = 1});
    assert_nonsense((struct worker_report){.event = WORKER_DONE, .id = 0});
    assert_nonsense((struct worker_report){.event = WORKER_DONE, .id = 2});
    assert_nonsense(
        (struct worker_report){.event = WORKER_DONE, .id = 1, .end = 6});
    assert_nonsense(
        (struct worker_report){.event = WORKER_DONE, .id = 1, .spent = 2});
    assert_nonsense(
        (struct worker_report){.event = WORKER_DONE, .id = 1, .explained = 2});
}

Test(server_workers, a_report_comes_once)
{
    struct fake a;
    int clients[2];

    server_start(1);
    a = fake_start(true);
    clients[0] = server_connect(GET);
    fake_answer(&a, clients[0]);
    clients[1] = server_connect(GET);
    fake_report(&a, WORKER_SERVED); /* the first one again */
    cr_assert_eq(server_kills, 1);
    fake_die(&a);
    a = fake_start(true);
    fake_answer(&a, clients[1]);
    fake_die(&a);
    server_end();
}

Test(server_workers, nobody_reports_what_was_taken_back)
{
    struct fake a, b;
    int clients[3];

    server_start_two(&a, &b);
    server_connect_all(clients, 3);
    cr_assert(fake_take(&b));
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, false);
    cr_assert(fake_take(&a)); /* the third, which waited at b */
    fake_say(&b, &(struct worker_report){.event = WORKER_DONE, .id = 3});
    cr_assert_eq(server_kills, 1);
    fake_serve(&a, ANSWER, false);
    server_expect(clients[2], ANSWER);
    fake_die(&b);
    fake_die(&a);
    close(clients[0]);
    server_expect(clients[1], ANSWER);
    server_end();
}

Test(server_workers, descriptors_of_a_worker_are_not_ours)
{
    struct worker_report ready = {.event = WORKER_READY};
    struct fake a;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec data = {&ready, sizeof(ready)};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    server_start(1);
    a = fake_create(true);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                               .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &a.fd, sizeof(int));
    cr_assert_gt(sendmsg(a.fd, &message, 0), 0);
    server_turn();
    cr_assert_eq(a.worker->state, WORKER_IDLE);
    fake_die(&a);
    server_end(); /* which counts them */
}

/* What the worker has asked for, once the supervisor has closed its own. */
static struct linger ask_to_linger(struct linger linger)
{
    struct fake a;
    struct worker_report done = {.event = WORKER_DONE, .out_bytes = 1};
    socklen_t bytes = sizeof(linger);
    int client;

    client = server_begin(&a, GET);
    cr_assert_eq(
        setsockopt(a.connection, SOL_SOCKET, SO_LINGER, &linger, bytes), 0);
    done.id = a.id;
    fake_say(&a, &done);
    cr_assert_eq(clients_count(&server_clients), 0);
    getsockopt(a.connection, SOL_SOCKET, SO_LINGER, &linger, &bytes);
    linger.l_linger = linger.l_onoff ? linger.l_linger : 0;
    setsockopt(a.connection, SOL_SOCKET, SO_LINGER, &(struct linger){0}, bytes);
    fake_die(&a);
    close(client);
    server_end();
    return linger;
}

/* close(2) would wait for an hour, if the client took nothing. */
Test(server_workers, nobody_makes_the_supervisor_linger)
{
    cr_assert_eq(ask_to_linger((struct linger){1, 3600}).l_onoff, 0);
    cr_assert_eq(ask_to_linger((struct linger){1, 1}).l_onoff, 0);
    cr_assert_eq(ask_to_linger((struct linger){0, 0}).l_onoff, 0);
    cr_assert_eq(ask_to_linger((struct linger){1, 0}).l_onoff, 1, "a reset");
}

Test(server_workers, a_wild_page_harms_only_its_own)
{
    struct fake a, b;
    int clients[2];

    server_start_two(&a, &b);
    server_connect_all(clients, 2);
    cr_assert(fake_take(&b));
    cr_assert(fake_take(&a));
    memset(a.page, 0xff, sizeof(*a.page));
    fake_die(&a);
    server_expect(clients[1], NULL);
    fake_serve(&b, ANSWER, false);
    server_expect(clients[0], ANSWER);
    fake_die(&b);
    server_end();
}
