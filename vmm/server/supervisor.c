/* SPDX-License-Identifier: MIT */
/* mayfly serve's first process: accepts, and sees to it that others serve. */
#include "vmm/server/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/cli.h"

#define BATCH_MAX    16u
#define FULL_ROUNDS  8u /* before it is more at once */
#define PAUSE_NS     100000000u
#define LOG_DELAY_NS (ACCESS_LOG_RETRY_MS * 1000000ull)
#define SPARE_FDS    64u /* files that are open anyway, and some */
#define FDS_A_WORKER 4u

/* How long silent clients have to say something when the server is to end. */
#define HURRY_NS 1000000000u

/* ---- Accepting ---------------------------------------------------------- */

/*
 * One at a time while the loop keeps up, since a last accept4() that finds
 * nothing is one too many; more and more if connections come faster.
 */
static void on_connection(struct watch *watch, uint32_t events)
{
    struct supervisor *supervisor =
        LIST_OWNER(watch, struct supervisor, listen_watch);
    int result = 0;

    (void)events;
    supervisor->was_ready = true;
    if (supervisor->phase == SERVING &&
        pace_leave_connection(&supervisor->pace))
        return;
    for (unsigned i = 0; i < supervisor->batch && !result; i++) {
        if (!clients_have_room(&supervisor->clients)) {
            supervisor->crowded = true;
            return;
        }
        result = clients_accept(&supervisor->clients, supervisor->listener.fd);
    }
    if (result) {
        supervisor->batch = 1;
        supervisor->full = 0;
    } else if (++supervisor->full >= FULL_ROUNDS &&
               supervisor->batch < BATCH_MAX) {
        supervisor->batch *= 2;
    }
    if (result && result != -EAGAIN) /* EMFILE, ENFILE, ENOMEM, ... */
        supervisor->pause_ns = supervisor->loop.now_ns + PAUSE_NS;
}

/* Whether those that have connected before the end may still come. */
static bool is_held(const struct supervisor *supervisor)
{
    return supervisor->phase == DRAINING && supervisor->listener.fd >= 0 &&
           supervisor->loop.now_ns < supervisor->held_until_ns;
}

/*
 * Where there is no room, the kernel holds connections, and then its peers;
 * unless others have it who say nothing.
 */
static bool wants_connections(const struct supervisor *supervisor)
{
    const struct clients *clients = &supervisor->clients;
    unsigned slack = supervisor->listening ? 0 : clients->max / 16;

    if (supervisor->phase != SERVING && !is_held(supervisor))
        return false;
    if (!pace_wants_connections(&supervisor->pace))
        return false;
    if (clients_count(clients) + slack >= clients->max &&
        clients->counts[CLIENT_SILENT] == 0)
        return false;
    return supervisor->pause_ns == 0;
}

static void steer_listener(struct supervisor *supervisor)
{
    bool wanted = wants_connections(supervisor);

    if (!supervisor->was_ready) {
        supervisor->batch = 1;
        supervisor->full = 0;
    }
    supervisor->was_ready = false;
    if (wanted == supervisor->listening || supervisor->listener.fd < 0)
        return;
    supervisor->listening = wanted;
    loop_change(&supervisor->loop, supervisor->listener.fd,
                wanted ? EPOLLIN : 0, &supervisor->listen_watch);
}

/* ---- Ending ------------------------------------------------------------- */

static void close_listener(struct supervisor *supervisor)
{
    if (supervisor->listener.fd < 0)
        return;
    loop_remove(&supervisor->loop, supervisor->listener.fd);
    shutdown(supervisor->listener.fd, SHUT_RDWR); /* workers have it, too */
    listener_close(&supervisor->listener);
}

static void tell_end(unsigned connections)
{
    if (connections > 0)
        cli_fail(CLI_OK,
                 "the end comes when all connections are over, now %u; a "
                 "second signal ends them",
                 connections);
}

/*
 * Accepts what the kernel had when the end was asked for, as there is room;
 * then nobody listens. Those that have come since might never come to an end.
 * Where the kernel has silent ones, they may speak as long as those that it has
 * handed out.
 */
static void drain(struct supervisor *supervisor)
{
    struct clients *clients = &supervisor->clients;
    int result = 0;

    (void)own_look_all(&supervisor->dispatch);
    while (supervisor->listener.fd >= 0 && !result && !supervisor->pause_ns &&
           clients_have_room(clients) && supervisor->backlog > 0) {
        result = clients_accept(clients, supervisor->listener.fd);
        supervisor->backlog -= result == 0;
    }
    if (supervisor->listener.fd >= 0 && !is_held(supervisor) &&
        (result == -EAGAIN || supervisor->backlog == 0)) {
        close_listener(supervisor);
        clients_hurry(clients, supervisor->hurry_ns);
        tell_end(clients_count(clients) +
                 own_count_busy(&supervisor->dispatch));
    } else if (result && result != -EAGAIN) {
        supervisor->pause_ns = supervisor->loop.now_ns + PAUSE_NS;
    }
    if (supervisor->listener.fd < 0 && clients_count(clients) == 0 &&
        own_count_busy(&supervisor->dispatch) == 0)
        supervisor->phase = ENDED;
}

static void begin_drain(struct supervisor *supervisor)
{
    supervisor->phase = DRAINING;
    supervisor->fleet.listener = -1;
    own_allow(&supervisor->dispatch, 0, 0);
    pace_begin(&supervisor->pace);
    supervisor->backlog = LISTEN_BACKLOG + 1;
    supervisor->hurry_ns = supervisor->loop.now_ns + HURRY_NS;
    if (listener_hold(&supervisor->listener))
        supervisor->held_until_ns = supervisor->hurry_ns;
    clients_hurry(&supervisor->clients, supervisor->hurry_ns);
}

static void on_end_signal(struct supervisor *supervisor, int number)
{
    if (supervisor->phase == BOOTING) {
        supervisor->phase = ENDED;
    } else if (supervisor->phase == SERVING) {
        begin_drain(supervisor);
    } else if (supervisor->phase == DRAINING) {
        supervisor->phase = ENDED;
        supervisor->status = CLI_SIGNALLED + number;
    }
}

/* ---- Signals ------------------------------------------------------------ */

static void on_hangup(struct supervisor *supervisor)
{
    int result = access_log_reopen(&supervisor->log);

    if (result)
        cli_fail(CLI_FAILED,
                 "cannot open the access log %s again: %s: the old file stays",
                 supervisor->options->access_log, strerror(-result));
    if (supervisor->phase <= SERVING)
        fleet_boot(&supervisor->fleet);
}

static void on_signal(struct watch *watch, uint32_t events)
{
    struct supervisor *supervisor =
        LIST_OWNER(watch, struct supervisor, signal_watch);
    struct signalfd_siginfo info;

    (void)events;
    if (read(supervisor->signal_fd, &info, sizeof(info)) !=
        (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGCHLD)
        fleet_reap(&supervisor->fleet);
    else if (info.ssi_signo == SIGHUP)
        on_hangup(supervisor);
    else
        on_end_signal(supervisor, (int)info.ssi_signo);
}

static int open_signals(struct supervisor *supervisor)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    supervisor->signal_watch.ready = on_signal;
    supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signal_fd < 0)
        return -errno;
    return loop_add(&supervisor->loop, supervisor->signal_fd, EPOLLIN,
                    &supervisor->signal_watch);
}

/* ---- Admin -------------------------------------------------------------- */

static void on_admin(struct watch *watch, uint32_t events)
{
    (void)events;
    admin_serve(LIST_OWNER(watch, struct supervisor, admin_watch)->admin);
}

static int open_admin(struct supervisor *supervisor)
{
    const struct admin_source source = {
        .write_metrics = supervisor_write_metrics,
        .is_healthy = supervisor_is_healthy,
        .context = supervisor,
    };
    int result;

    if (supervisor->options->admin.bytes == 0)
        return CLI_OK;
    if (listener_open(&supervisor->admin_listener, &supervisor->options->admin))
        return CLI_FAILED;
    result = admin_create(&supervisor->admin, supervisor->admin_listener.fd,
                          &source);
    if (result == 0) {
        supervisor->admin_watch.ready = on_admin;
        result = loop_add(&supervisor->loop, admin_fd(supervisor->admin),
                          EPOLLIN, &supervisor->admin_watch);
    }
    return result ? cli_fail(CLI_FAILED, "--admin: %s", strerror(-result))
                  : CLI_OK;
}

static void close_admin(struct supervisor *supervisor)
{
    admin_destroy(supervisor->admin);
    listener_close(&supervisor->admin_listener);
}

/* ---- Setting up --------------------------------------------------------- */

/* As many connections as there can be descriptors. Returns 0: none. */
static unsigned raise_limit(const struct server_options *options)
{
    struct rlimit limit;
    uint64_t others = SPARE_FDS + FDS_A_WORKER * (uint64_t)fleet_room(options);

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur <= others) {
        cli_fail(CLI_FAILED,
                 "the limit of open files, %llu, is too low: raise it above "
                 "%llu (ulimit -n), or have fewer --workers",
                 (unsigned long long)limit.rlim_cur,
                 (unsigned long long)others);
        return 0;
    }
    if (limit.rlim_cur - others >= options->connections)
        return options->connections;
    cli_fail(CLI_OK,
             "the limit of open files, %llu, allows %llu connections, not %u",
             (unsigned long long)limit.rlim_cur,
             (unsigned long long)(limit.rlim_cur - others),
             options->connections);
    return (unsigned)(limit.rlim_cur - others);
}

static void kill_worker(pid_t pid)
{
    kill(pid, SIGKILL);
}

static void connect_parts(struct supervisor *supervisor)
{
    const struct server_options *options = supervisor->options;

    supervisor->clients = (struct clients){
        .loop = &supervisor->loop,
        .metrics = &supervisor->metrics,
        .log = &supervisor->log,
        .timeout_ns = options->timeout_ns,
        .server_first = options->server_first,
        .queue = dispatch_queue,
        .context = &supervisor->dispatch,
    };
    supervisor->dispatch = (struct dispatch){
        .loop = &supervisor->loop,
        .clients = &supervisor->clients,
        .metrics = &supervisor->metrics,
        .timeout_ns = options->timeout_ns,
        .start_timeout_ns = options->boot_timeout_ns,
        .serving_max = options->workers,
        .kill = kill_worker,
    };
    supervisor->fleet = (struct fleet){
        .options = options,
        .loop = &supervisor->loop,
        .dispatch = &supervisor->dispatch,
        .metrics = &supervisor->metrics,
    };
    supervisor->pace = (struct pace){
        .dispatch = &supervisor->dispatch,
        .listener = &supervisor->listener,
        .timeout_ns = options->timeout_ns,
    };
}

static int open_listener(struct supervisor *supervisor)
{
    const struct server_options *options = supervisor->options;

    if (listener_open(&supervisor->listener, &options->listen))
        return CLI_FAILED;
    if (!options->server_first)
        listener_defer(&supervisor->listener,
                       (unsigned)(options->timeout_ns / 1000000000u) + 1);
    supervisor->listen_watch.ready = on_connection;
    supervisor->batch = 1;
    if (loop_add(&supervisor->loop, supervisor->listener.fd, 0,
                 &supervisor->listen_watch))
        return cli_fail(CLI_FAILED, "cannot watch %s", options->listen.text);
    return CLI_OK;
}

static int set_up(struct supervisor *supervisor)
{
    const struct server_options *options = supervisor->options;
    unsigned connections = raise_limit(options);
    int result;

    if (connections == 0)
        return CLI_FAILED;
    connect_parts(supervisor);
    result = access_log_open(&supervisor->log, options->access_log);
    if (result)
        return cli_fail(CLI_FAILED, "cannot open the access log %s: %s",
                        options->access_log, strerror(-result));
    result = loop_init(&supervisor->loop);
    if (!result)
        result = clients_init(&supervisor->clients, connections,
                              fleet_room(options));
    if (!result)
        result = dispatch_init(&supervisor->dispatch, fleet_room(options));
    if (!result)
        result = open_signals(supervisor);
    if (result)
        return cli_fail(CLI_FAILED, "cannot start to serve: %s",
                        strerror(-result));
    supervisor->memory_fd = memory_open(getpid());
    /* What workers leave behind is ours, too (keeper.h). */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (open_listener(supervisor) || open_admin(supervisor))
        return CLI_FAILED;
    supervisor->fleet.listener = supervisor->listener.fd;
    return CLI_OK;
}

/* ---- The loop ----------------------------------------------------------- */

static void look_at_fleet(struct supervisor *supervisor)
{
    struct fleet *fleet = &supervisor->fleet;

    fleet_tend(fleet);
    if (supervisor->phase != BOOTING)
        return;
    if (fleet->status) {
        supervisor->phase = ENDED;
        supervisor->status = fleet->status;
    } else if (fleet->current.exists) {
        supervisor->phase = SERVING;
        cli_fail(CLI_OK, "serving %s at %s", supervisor->options->image,
                 supervisor->listener.name);
    }
}

/* Lines are written together, but nobody waits for one for long. */
static void look_at_log(struct supervisor *supervisor)
{
    uint64_t now_ns = supervisor->loop.now_ns;

    if (supervisor->log.used == 0)
        supervisor->log_ns = 0;
    else if (supervisor->log_ns == 0)
        supervisor->log_ns = now_ns + LOG_DELAY_NS;
    else if (supervisor->log_ns <= now_ns)
        supervisor->log_ns =
            access_log_flush(&supervisor->log) ? now_ns + LOG_DELAY_NS : 0;
}

static uint64_t next_deadline(const struct supervisor *supervisor)
{
    uint64_t first =
        loop_earlier(clients_deadline(&supervisor->clients),
                     loop_earlier(dispatch_deadline(&supervisor->dispatch),
                                  fleet_deadline(&supervisor->fleet)));

    if (supervisor->log_ns)
        first = loop_earlier(first, supervisor->log_ns);
    first = loop_earlier(first, pace_deadline(&supervisor->pace));
    if (is_held(supervisor))
        first = loop_earlier(first, supervisor->held_until_ns);
    if (supervisor->pause_ns)
        first = loop_earlier(first, supervisor->pause_ns);
    return first;
}

static void turn(struct supervisor *supervisor)
{
    loop_turn(&supervisor->loop, next_deadline(supervisor));
    if (supervisor->pause_ns <= supervisor->loop.now_ns)
        supervisor->pause_ns = 0;
    clients_expire(&supervisor->clients);
    dispatch_expire(&supervisor->dispatch);
    pace_turn(&supervisor->pace);
    look_at_fleet(supervisor);
    look_at_log(supervisor);
    if (supervisor->crowded ||
        clients_count(&supervisor->clients) > supervisor->clients.max)
        (void)clients_make_room(&supervisor->clients);
    supervisor->crowded = false;
    if (supervisor->phase == DRAINING)
        drain(supervisor);
    steer_listener(supervisor);
}

static void clear_away(struct supervisor *supervisor)
{
    close_listener(supervisor);
    fleet_end(&supervisor->fleet);
    clients_drop(&supervisor->clients);
    close_admin(supervisor);
    access_log_close(&supervisor->log);
    dispatch_fini(&supervisor->dispatch);
    clients_fini(&supervisor->clients);
    loop_fini(&supervisor->loop);
}

int server_run(const struct server_options *options)
{
    static struct supervisor supervisor; /* its buffers are large */

    supervisor = (struct supervisor){
        .options = options,
        .listener = {.fd = -1},
        .admin_listener = {.fd = -1},
    };
    if (set_up(&supervisor)) {
        listener_close(&supervisor.listener);
        listener_close(&supervisor.admin_listener);
        return CLI_FAILED;
    }
    fleet_boot(&supervisor.fleet);
    while (supervisor.phase != ENDED)
        turn(&supervisor);
    clear_away(&supervisor);
    return supervisor.status;
}
