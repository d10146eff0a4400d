/* SPDX-License-Identifier: MIT */
/* Who accepts, and when the supervisor looks at workers that do. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/server.h"
#include "vmm/server/pace.h"

/* More than enough in a tick for all that the kernel may have. */
#define MANY 200u

static struct pace pace;

static void start(void)
{
    server_start(1);
    pace = (struct pace){
        .dispatch = &server_dispatch,
        .listener = &server_listener,
        .timeout_ns = SERVER_FAKE_TIMEOUT_NS,
    };
}

/* With a worker that may accept, and has heard so. */
static struct fake start_own(void)
{
    struct worker_job word;
    struct fake fake;

    start();
    fake = fake_start_own(1);
    own_allow(&server_dispatch, 1, 1);
    cr_assert_eq(own_count_allowed(&server_dispatch), 1);
    cr_assert_eq(recv(fake.fd, &word, sizeof(word), 0), (ssize_t)sizeof(word));
    return fake;
}

static void pass_tick(void)
{
    server_wait(PACE_TICK_NS);
    pace_turn(&pace);
}

static void serve_one(struct fake *fake)
{
    fake_finish_own(fake, fake_begin_own(fake));
}

Test(server_pace, without_such_workers_the_supervisor_accepts_all)
{
    struct fake other;

    start();
    other = fake_start(true);
    cr_assert(pace_wants_connections(&pace));
    cr_assert_not(pace_leave_connection(&pace));
    pass_tick();
    cr_assert_eq(pace.mood, PACE_QUIET);
    cr_assert_eq(pace_deadline(&pace), LOOP_NEVER);
    fake_die(&other);
    server_end();
}

Test(server_pace, a_first_connection_is_left_to_the_workers)
{
    struct fake fake = start_own();

    cr_assert(pace_wants_connections(&pace), "it wakes us, too");
    cr_assert(pace_leave_connection(&pace));
    cr_assert_eq(pace.mood, PACE_ACTIVE);
    cr_assert_not(pace_wants_connections(&pace));
    cr_assert_eq(pace_deadline(&pace), server_loop.now_ns + PACE_TICK_NS);
    fake_leave(&fake, -1);
    cr_assert(pace_wants_connections(&pace), "nobody else does");
    server_end();
}

Test(server_pace, a_worker_that_was_first_says_so)
{
    const struct worker_report awake = {.event = WORKER_AWAKE};
    struct fake fake = start_own();

    fake_begin_own(&fake);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_QUIET, "nobody has said anything");
    fake_say(&fake, &awake);
    pace_turn(&pace);
    cr_assert_eq(pace.mood, PACE_ACTIVE);
    fake_finish_own(&fake, 1);
    fake_leave(&fake, -1);
    server_end();
}

Test(server_pace, looks_on_as_long_as_something_happens_and_no_longer)
{
    struct fake fake = start_own();

    pace_begin(&pace);
    fake_begin_own(&fake);
    for (unsigned i = 0; i < 3; i++) {
        pass_tick();
        cr_assert_eq(pace.mood, PACE_ACTIVE, "it is busy");
    }
    fake_finish_own(&fake, 1);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_ACTIVE, "one is over");
    fake.page->own.dozes = 0;
    pass_tick();
    cr_assert_eq(pace.mood, PACE_QUIET);
    cr_assert_eq(pace_deadline(&pace), LOOP_NEVER);
    cr_assert_eq(fake.page->own.dozes, 1, "the next one is told of");
    fake_leave(&fake, -1);
    server_end();
}

/* It is queued, and then handed over in advance: there is nothing to do. */
Test(server_pace, where_workers_are_held_up_the_supervisor_accepts)
{
    struct fake fake = start_own();
    int client;

    pace_begin(&pace);
    fake_begin_own(&fake);
    client = server_knock(GET);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_LOADED);
    cr_assert(pace_wants_connections(&pace));
    cr_assert_not(pace_leave_connection(&pace));
    cr_assert_eq(server_accept(), 0);
    cr_assert(fake.worker->next);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_ACTIVE);
    fake_finish_own(&fake, 1);
    own_look_all(&server_dispatch);
    fake_answer(&fake, client);
    fake_leave(&fake, -1);
    server_end();
}

Test(server_pace, workers_that_keep_up_are_left_alone)
{
    struct fake fake = start_own();
    int client;

    pace_begin(&pace);
    client = server_knock(GET);
    for (unsigned i = 0; i < MANY; i++)
        serve_one(&fake);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_ACTIVE);
    serve_one(&fake);
    pass_tick();
    cr_assert_eq(pace.mood, PACE_LOADED, "one in a tick is not enough");
    cr_assert_eq(server_accept(), 0);
    fake_answer(&fake, client);
    fake_leave(&fake, -1);
    server_end();
}
