/* SPDX-License-Identifier: MIT */
/* Starting workers, replacing them, and changing what they are made of. */
#include "vmm/server/fleet.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/cli.h"

/* What a booter has to kill itself and say why, beyond its time. */
#define BOOT_GRACE_NS 1000000000u

/* What keepers have to see that they are not needed any more. */
#define KEEPERS_MS 100u

static unsigned workers_wanted(const struct server_options *options,
                               bool resettable)
{
    unsigned pool = resettable ? 0 : options->workers;

    return options->workers + (options->pool_given ? options->pool : pool);
}

/* Current ones, coming ones, and as many that finish what they have. */
unsigned fleet_room(const struct server_options *options)
{
    return 3 * workers_wanted(options, false);
}

/* ---- Booting ------------------------------------------------------------ */

static void give_up(struct fleet *fleet, int status)
{
    if (!fleet->current.exists) {
        fleet->status = status;
        return;
    }
    metrics_count(fleet->metrics, METRICS_RELOAD_FAILED);
    cli_fail(status, "the new image does not come up: the old one stays");
}

static void hear_booter(struct fleet *fleet)
{
    int status;

    if (boot_hear(&fleet->booter, &status))
        return;
    loop_remove(fleet->loop, fleet->booter.report_fd);
    fleet->booting = false;
    fleet->tended = false;
    if (status) {
        metrics_count(fleet->metrics, METRICS_COLD_START_FAILED);
        give_up(fleet, status);
    } else {
        metrics_count(fleet->metrics, METRICS_COLD_START);
        fleet->coming = (struct batch){
            .exists = true,
            .made = fleet->booter.made,
            .number = ++fleet->last_number,
        };
        fleet->start_at_ns = fleet->delay_ns = 0;
    }
    boot_finish(&fleet->booter);
}

static void on_boot_report(struct watch *watch, uint32_t events)
{
    (void)events;
    hear_booter(LIST_OWNER(watch, struct fleet, boot_watch));
}

static void start_booter(struct fleet *fleet)
{
    int result = boot_start(fleet->options, &fleet->booter);

    if (result) {
        give_up(fleet, cli_fail(CLI_FAILED, "cannot boot %s: %s",
                                fleet->options->image, strerror(-result)));
        return;
    }
    fleet->booter_pid = fleet->booter.pid;
    fleet->booting = true;
    fleet->boot_watch.ready = on_boot_report;
    fleet->boot_deadline_ns =
        fleet->loop->now_ns + fleet->options->boot_timeout_ns + BOOT_GRACE_NS;
    result = loop_add(fleet->loop, fleet->booter.report_fd, EPOLLIN,
                      &fleet->boot_watch);
    if (result) /* then it is heard when that time is over */
        fleet->boot_deadline_ns = fleet->loop->now_ns;
}

/* One at a time. */
void fleet_boot(struct fleet *fleet)
{
    fleet->tended = false;
    if (fleet->booter_pid || fleet->booting || fleet->coming.exists)
        fleet->boot_again = true;
    else
        start_booter(fleet);
}

/* ---- Starting workers --------------------------------------------------- */

/* Workers of a batch that serve, or will. */
static unsigned count_workers(const struct fleet *fleet,
                              const struct batch *batch, bool ready)
{
    const struct dispatch *dispatch = fleet->dispatch;
    unsigned count = 0;

    for (unsigned i = 0; i < dispatch->max; i++) {
        const struct worker *worker = &dispatch->workers[i];

        if (worker->state != WORKER_ABSENT &&
            worker->state != WORKER_RETIRING &&
            worker->generation == batch->number)
            count += !ready || worker->state != WORKER_STARTING;
    }
    return count;
}

static void delay_start(struct fleet *fleet)
{
    uint64_t delay_ns = fleet->delay_ns * 2;

    if (delay_ns < FLEET_DELAY_MIN_NS)
        delay_ns = FLEET_DELAY_MIN_NS;
    if (delay_ns > FLEET_DELAY_MAX_NS)
        delay_ns = FLEET_DELAY_MAX_NS;
    fleet->delay_ns = delay_ns;
    fleet->start_at_ns = fleet->loop->now_ns + delay_ns;
}

static int start_worker(struct fleet *fleet, struct batch *batch)
{
    struct worker_link link;
    struct worker *worker;
    int result =
        worker_start(fleet->options, &batch->made, fleet->listener, &link);

    if (result)
        return result;
    worker = dispatch_add(fleet->dispatch, &link, batch->number,
                          batch->made.resettable);
    if (worker) {
        worker->memory_fd = memory_open(link.pid);
        return 0;
    }
    kill(link.pid, SIGKILL);
    waitpid(link.pid, NULL, 0);
    worker_release(&link);
    return -ENOMEM;
}

/* Starts what is missing. */
static void staff(struct fleet *fleet, struct batch *batch)
{
    unsigned wanted = workers_wanted(fleet->options, batch->made.resettable);
    unsigned count = count_workers(fleet, batch, false);

    while (count < wanted && fleet->loop->now_ns >= fleet->start_at_ns &&
           dispatch_find(fleet->dispatch, 0)) {
        int result = start_worker(fleet, batch);

        if (result) {
            if (batch->failures++ == 0)
                cli_fail(CLI_FAILED, "cannot start a worker: %s",
                         strerror(-result));
            delay_start(fleet);
            return;
        }
        count++;
    }
}

/* ---- Changing generations ----------------------------------------------- */

static void retire(struct fleet *fleet, const struct batch *batch)
{
    for (unsigned i = 0; i < fleet->dispatch->max; i++) {
        struct worker *worker = &fleet->dispatch->workers[i];

        if (worker->state != WORKER_ABSENT &&
            worker->generation == batch->number)
            dispatch_retire(worker);
    }
}

static void take_over(struct fleet *fleet)
{
    if (fleet->current.exists) {
        metrics_count(fleet->metrics, METRICS_RELOAD);
        cli_fail(CLI_OK, "serving %s as it is now", fleet->options->image);
        retire(fleet, &fleet->current);
        generation_release(&fleet->current.made);
    }
    fleet->current = fleet->coming;
    fleet->coming.exists = false;
}

static void abandon(struct fleet *fleet)
{
    retire(fleet, &fleet->coming);
    generation_release(&fleet->coming.made);
    fleet->coming.exists = false;
    give_up(fleet, cli_fail(CLI_FAILED, "the workers of %s do not get ready",
                            fleet->options->image));
}

static void tend_coming(struct fleet *fleet)
{
    struct batch *coming = &fleet->coming;
    bool failed = coming->failures >= FLEET_FAILURES_MAX;
    unsigned ready, there;

    if (!failed)
        staff(fleet, coming);
    ready = count_workers(fleet, coming, true);
    there = count_workers(fleet, coming, false);
    if (ready >= workers_wanted(fleet->options, coming->made.resettable) ||
        (failed && ready > 0 && ready == there))
        take_over(fleet);
    else if (failed && there == 0)
        abandon(fleet);
}

void fleet_tend(struct fleet *fleet)
{
    uint64_t now_ns = fleet->loop->now_ns;

    if (fleet->booting && fleet->boot_deadline_ns <= now_ns) {
        /* Its end is heard. */
        kill(fleet->booter_pid, SIGKILL);
        fleet->boot_deadline_ns = now_ns + BOOT_GRACE_NS;
        hear_booter(fleet);
    }
    if (fleet->tended && !fleet->dispatch->stirred &&
        (!fleet->start_at_ns || fleet->start_at_ns > now_ns))
        return;
    fleet->tended = true;
    fleet->dispatch->stirred = false;
    if (fleet->start_at_ns <= now_ns)
        fleet->start_at_ns = 0;
    if (fleet->coming.exists)
        tend_coming(fleet);
    if (fleet->current.exists) {
        staff(fleet, &fleet->current);
        own_allow(fleet->dispatch, fleet->current.number,
                  fleet->listener < 0 ? 0 : fleet->options->workers);
    }
    if (fleet->boot_again && !fleet->booter_pid && !fleet->booting &&
        !fleet->coming.exists) {
        fleet->boot_again = false;
        start_booter(fleet);
    }
}

uint64_t fleet_deadline(const struct fleet *fleet)
{
    uint64_t boot = fleet->booting ? fleet->boot_deadline_ns : LOOP_NEVER;

    return fleet->start_at_ns ? loop_earlier(boot, fleet->start_at_ns) : boot;
}

/* ---- Deaths ------------------------------------------------------------- */

/* Once a second at most: who can make workers die shall not fill a disk. */
static void tell_death(struct fleet *fleet, const struct worker *worker,
                       int status)
{
    if (fleet->said_ns && fleet->loop->now_ns - fleet->said_ns < 1000000000u)
        return;
    fleet->said_ns = fleet->loop->now_ns;
    if (worker->too_slow)
        cli_fail(CLI_FAILED, "worker %d did not report in time: killed",
                 (int)worker->link.pid);
    else if (WIFSIGNALED(status))
        cli_fail(CLI_FAILED, "worker %d was ended by signal %d (%s)",
                 (int)worker->link.pid, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        cli_fail(CLI_FAILED, "worker %d ended with status %d",
                 (int)worker->link.pid, WEXITSTATUS(status));
}

static void bury(struct fleet *fleet, struct worker *worker, int status)
{
    int memory_fd = worker->memory_fd;

    /* What it says last may explain it. */
    dispatch_listen(worker);
    if (!dispatch_is_expected(worker)) {
        metrics_count(fleet->metrics, METRICS_WORKER_DEATH);
        tell_death(fleet, worker, status);
        if (fleet->coming.exists && worker->generation == fleet->coming.number)
            fleet->coming.failures++;
    }
    if (worker->served > 0)
        fleet->delay_ns = 0;
    else if (!dispatch_is_expected(worker))
        delay_start(fleet);
    dispatch_bury(worker);
    if (memory_fd >= 0)
        close(memory_fd);
    fleet->tended = false;
}

void fleet_reap(struct fleet *fleet)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct worker *worker = dispatch_find(fleet->dispatch, pid);

        if (worker) {
            bury(fleet, worker, status);
        } else if (pid == fleet->booter_pid) {
            fleet->booter_pid = 0;
            fleet->tended = false;
        }
    }
}

void fleet_end(struct fleet *fleet)
{
    if (fleet->booter_pid) {
        kill(fleet->booter_pid, SIGKILL);
        waitpid(fleet->booter_pid, NULL, 0);
    }
    if (fleet->booting)
        boot_finish(&fleet->booter);
    /* All of them, before what they had could go to another one. */
    for (unsigned i = 0; i < fleet->dispatch->max; i++)
        if (fleet->dispatch->workers[i].state != WORKER_ABSENT)
            dispatch_condemn(&fleet->dispatch->workers[i]);
    for (unsigned i = 0; i < fleet->dispatch->max; i++) {
        struct worker *worker = &fleet->dispatch->workers[i];

        if (worker->state == WORKER_ABSENT)
            continue;
        waitpid(worker->link.pid, NULL, 0);
        if (worker->memory_fd >= 0)
            close(worker->memory_fd);
        dispatch_bury(worker);
    }
    for (unsigned i = 0; i < KEEPERS_MS && waitpid(-1, NULL, WNOHANG) >= 0; i++)
        usleep(1000);
    if (fleet->coming.exists)
        generation_release(&fleet->coming.made);
    if (fleet->current.exists)
        generation_release(&fleet->current.made);
}
