/* SPDX-License-Identifier: MIT */
/* Workers that accept connections themselves, honest and others. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/server.h"

/* ---- Who may accept ----------------------------------------------------- */

/* Whether the worker was told that it may. */
static bool is_told(struct fake *fake)
{
    struct worker_job job = {.id = 1};

    return recv(fake->fd, &job, sizeof(job), MSG_DONTWAIT) == sizeof(job) &&
           job.id == 0 && fake->page->own.accepts == 1;
}

Test(server_own, only_so_many_of_one_generation_may_accept)
{
    struct fake old, first, second, none;

    server_start(3);
    old = fake_start_own(1);
    first = fake_start_own(2);
    second = fake_start_own(2);
    none = fake_start(true);
    own_allow(&server_dispatch, 2, 1);
    cr_assert_eq(own_count_allowed(&server_dispatch), 1);
    cr_assert(is_told(&first));
    cr_assert_not(is_told(&old) || is_told(&second) || is_told(&none));
    dispatch_retire(first.worker);
    cr_assert_eq(first.page->own.accepts, 0);
    own_allow(&server_dispatch, 2, 1);
    cr_assert(is_told(&second));
    own_allow(&server_dispatch, 0, 0);
    cr_assert_eq(second.page->own.accepts, 0);
    second.page->own.trying = 1;
    cr_assert_eq(own_count_busy(&server_dispatch), 1, "it may have one yet");
    fake_leave(&old, -1);
    fake_leave(&first, -1);
    fake_leave(&second, -1);
    fake_die(&none);
    server_end();
}

/* ---- Reports ------------------------------------------------------------ */

Test(server_own, reports_in_the_page_are_counted_once)
{
    struct fake a;

    server_start(1);
    a = fake_start_own(1);
    for (unsigned i = 0; i < 3 * WORKER_OWN_MAX; i++) {
        fake_finish_own(&a, fake_begin_own(&a));
        if (i % 100 == 99)
            own_look_all(&server_dispatch);
    }
    own_look_all(&server_dispatch);
    cr_assert_eq(own_look_all(&server_dispatch), 0);
    cr_assert_eq(a.page->own.taken, 3 * WORKER_OWN_MAX);
    cr_assert_eq(server_metrics.accepted, 3 * WORKER_OWN_MAX);
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 3 * WORKER_OWN_MAX);
    cr_assert_eq(server_metrics.out_bytes, 3 * WORKER_OWN_MAX * strlen(ANSWER));
    cr_assert_eq(a.worker->state, WORKER_IDLE);
    fake_leave(&a, -1);
    cr_assert_eq(server_metrics.accepted, 3 * WORKER_OWN_MAX);
    server_end();
}

static void assert_unsound(void (*spoil)(struct worker_owns *own))
{
    struct fake a;

    server_start(1);
    server_kills = 0;
    server_metrics = (struct metrics){0};
    a = fake_start_own(1);
    fake_finish_own(&a, fake_begin_own(&a));
    spoil(&a.page->own);
    own_look_all(&server_dispatch);
    cr_assert_eq(server_kills, 1);
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 0);
    fake_leave(&a, -1);
    server_end();
}

static void fill(struct worker_owns *own)
{
    own->begun = own->done = WORKER_OWN_MAX + 1;
}

static void hurry(struct worker_owns *own)
{
    own->begun = WORKER_OWN_MAX + 2;
}

static void go_back(struct worker_owns *own)
{
    own->begun = 0;
}

static void fail(struct worker_owns *own)
{
    own->all[0].report.end = WORKER_CRASHED;
}

static void say_nothing(struct worker_owns *own)
{
    own->all[0].report.out_bytes = 0;
}

static void end(struct worker_owns *own)
{
    own->all[0].report.spent = 2;
}

Test(server_own, who_writes_nonsense_into_its_page_is_killed)
{
    assert_unsound(fill);
    assert_unsound(hurry);
    assert_unsound(go_back);
    assert_unsound(fail);
    assert_unsound(say_nothing);
    assert_unsound(end);
}

Test(server_own, lengths_in_the_page_are_not_believed)
{
    struct fake a;

    server_start(1);
    a = fake_start_own(1);
    fake_finish_own(&a, fake_begin_own(&a));
    a.page->own.all[0].look_bytes = UINT32_MAX;
    a.page->own.all[0].peer_bytes = UINT32_MAX;
    a.page->own.all[0].total_ns = UINT64_MAX;
    a.page->own.all[0].report.run_ns = UINT64_MAX;
    cr_assert_eq(own_look_all(&server_dispatch), 1);
    fake_leave(&a, -1);
    server_end();
}

/* ---- Being busy --------------------------------------------------------- */

Test(server_own, who_is_busy_gets_one_in_advance_and_then_goes_on_with_it)
{
    struct fake a;
    uint64_t number;
    int client;

    server_start(1);
    a = fake_start_own(1);
    number = fake_begin_own(&a);
    client = server_connect(GET);
    cr_assert_eq(a.worker->state, WORKER_BUSY);
    cr_assert(a.worker->next && !a.worker->current);
    cr_assert_eq(server_dispatch.serving, 1);
    fake_finish_own(&a, number);
    own_look_all(&server_dispatch);
    cr_assert(a.worker->current && !a.worker->next);
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, false);
    server_expect(client, ANSWER);
    cr_assert_eq(server_dispatch.serving, 0);
    fake_leave(&a, -1);
    server_end();
}

Test(server_own, a_report_may_come_before_that_is_noticed)
{
    struct fake a;
    int client;

    server_start(1);
    a = fake_start_own(1);
    fake_begin_own(&a);
    client = server_connect(GET);
    fake_finish_own(&a, 1);
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, false);
    server_expect(client, ANSWER);
    own_look_all(&server_dispatch);
    cr_assert_eq(a.worker->state, WORKER_IDLE);
    cr_assert_eq(server_dispatch.serving, 0);
    fake_leave(&a, -1);
    server_end();
}

Test(server_own, what_was_handed_over_meanwhile_goes_to_another_one)
{
    struct fake a, b;
    int client;

    server_start(2);
    a = fake_start_own(1);
    client = server_connect(GET);
    fake_begin_own(&a); /* before it has looked */
    b = fake_start_own(1);
    own_look_all(&server_dispatch);
    dispatch_pump(&server_dispatch);
    cr_assert(fake_take(&b));
    fake_serve(&b, ANSWER, false);
    fake_finish_own(&a, 1);
    cr_assert_not(fake_take(&a), "it has been taken back");
    server_expect(client, ANSWER);
    own_look_all(&server_dispatch);
    cr_assert_eq(server_dispatch.serving, 0);
    fake_leave(&a, -1);
    fake_leave(&b, -1);
    server_end();
}

Test(server_own, who_takes_too_long_is_killed)
{
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to(GET, &connection);
    fake_begin_own(&a);
    own_look_all(&server_dispatch);
    server_wait(SERVER_FAKE_TIMEOUT_NS);
    fake_finish_own(&a, 1);
    fake_begin_own(&a);
    server_wait(DISPATCH_GRACE_NS);
    cr_assert_eq(server_kills, 0, "it is another one");
    a.page->progress.in_bytes += 5;
    server_wait(SERVER_FAKE_TIMEOUT_NS + DISPATCH_GRACE_NS);
    cr_assert_eq(server_kills, 1);
    fake_leave(&a, connection);
    server_expect_refusal(client, HTTP_GATEWAY_TIMEOUT);
    server_end();
}

/* ---- What is given back ------------------------------------------------- */

Test(server_own, silent_clients_are_given_back_and_served_when_they_speak)
{
    const struct worker_report silent = {.event = WORKER_OWN_SILENT, .id = 1};
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to("", &connection);
    fake_begin_own(&a);
    fake_give_back(&a, &silent, connection);
    cr_assert_eq(server_clients.counts[CLIENT_SILENT], 1);
    cr_assert_not(fake_take(&a));
    cr_assert_eq(send(client, GET, strlen(GET), 0), (ssize_t)strlen(GET));
    server_turn();
    cr_assert(fake_take(&a));
    fake_serve(&a, ANSWER, false);
    server_expect(client, ANSWER);
    cr_assert_eq(server_metrics.accepted, 1);
    fake_leave(&a, -1);
    server_end();
}

Test(server_own, who_failed_is_answered_by_us)
{
    const struct worker_report crash = {
        .event = WORKER_OWN_DONE, .end = WORKER_CRASHED, .id = 1};
    struct fake a;
    char request[64];
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to(GET, &connection);
    fake_begin_own(&a);
    cr_assert_gt(recv(connection, request, sizeof(request), 0), 0);
    fake_give_back(&a, &crash, connection);
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    cr_assert_eq(server_metrics.ends[CONNECTION_CRASHED], 1);
    cr_assert_eq(a.worker->state, WORKER_IDLE);
    fake_leave(&a, -1);
    server_end();
}

Test(server_own, nothing_is_given_back_twice)
{
    const struct worker_report silent = {.event = WORKER_OWN_SILENT, .id = 1};
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to("", &connection);
    fake_begin_own(&a);
    fake_give_back(&a, &silent, dup(connection));
    cr_assert_eq(server_kills, 0);
    fake_give_back(&a, &silent, connection);
    cr_assert_eq(server_kills, 1);
    cr_assert_eq(clients_count(&server_clients), 1);
    fake_leave(&a, -1);
    close(client);
    server_turn();
    server_end();
}

Test(server_own, what_is_no_connection_is_closed)
{
    const struct worker_report silent = {.event = WORKER_OWN_SILENT, .id = 1};
    struct fake a;

    server_start(1);
    a = fake_start_own(1);
    fake_begin_own(&a);
    fake_give_back(&a, &silent, dup(a.fd));
    cr_assert_eq(clients_count(&server_clients), 0);
    fake_leave(&a, -1);
    server_end(); /* which counts descriptors */
}

/* ---- Deaths ------------------------------------------------------------- */

/* A worker dies with its connection; another one serves it. */
static void assert_served_again(bool begun)
{
    struct fake a, b;
    int connection, client;

    server_start(1);
    server_metrics = (struct metrics){0};
    a = fake_start_own(1);
    fake_finish_own(&a, fake_begin_own(&a)); /* one that counts before */
    client = server_connect_to(GET, &connection);
    if (begun)
        fake_begin_own(&a);
    fake_leave(&a, connection);
    b = fake_start_own(1);
    cr_assert(fake_take(&b));
    fake_serve(&b, ANSWER, false);
    server_expect(client, ANSWER);
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 2);
    fake_leave(&b, -1);
    server_end();
}

Test(server_own, a_request_that_nobody_has_read_outlives_its_worker)
{
    assert_served_again(true);
    assert_served_again(false);
}

Test(server_own, a_request_that_was_read_is_answered_502)
{
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to(GET, &connection);
    fake_begin_own(&a);
    a.page->progress.in_bytes = 5;
    fake_leave(&a, connection);
    server_expect_refusal(client, HTTP_BAD_GATEWAY);
    cr_assert_eq(server_metrics.ends[CONNECTION_LOST], 1);
    server_end();
}

Test(server_own, a_request_that_was_half_answered_is_cut_off)
{
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to(GET, &connection);
    fake_begin_own(&a);
    cr_assert_eq(send(connection, ANSWER, 20, 0), 20);
    a.page->progress.in_bytes = a.page->progress.out_bytes = 20;
    fake_leave(&a, connection);
    server_expect(client, NULL);
    server_end();
}

Test(server_own, a_request_that_was_answered_counts_as_served)
{
    struct fake a;

    server_start(1);
    a = fake_start_own(1);
    a.page->own.answered = fake_begin_own(&a);
    fake_leave(&a, -1);
    cr_assert_eq(server_metrics.ends[CONNECTION_SERVED], 1);
    server_end();
}

Test(server_own, what_was_given_back_is_not_taken_from_the_keeper_again)
{
    const struct worker_report silent = {.event = WORKER_OWN_SILENT, .id = 1};
    struct fake a;
    int connection, client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect_to("", &connection);
    fake_begin_own(&a);
    fake_give_back(&a, &silent, dup(connection));
    a.page->own.done = 0; /* it died between the two */
    fake_leave(&a, connection);
    cr_assert_eq(clients_count(&server_clients), 1);
    close(client);
    server_turn();
    server_end();
}

Test(server_own, a_job_is_not_taken_from_the_keeper)
{
    struct fake a, b;
    int client;

    server_start(1);
    a = fake_start_own(1);
    client = server_connect(GET);
    cr_assert(fake_take(&a));
    fake_leave(&a, dup(a.connection));
    cr_assert_eq(clients_count(&server_clients), 1);
    b = fake_start_own(1);
    cr_assert(fake_take(&b));
    fake_serve(&b, ANSWER, false);
    server_expect(client, ANSWER);
    fake_leave(&b, -1);
    server_end();
}
