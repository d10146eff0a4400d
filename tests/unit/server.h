/* SPDX-License-Identifier: MIT */
/* A supervisor without VMs: tests are its clients and its workers. */
#ifndef TESTS_UNIT_SERVER_H
#define TESTS_UNIT_SERVER_H

/*
 * Clients connect through TCP; workers are the other ends of their sockets, and
 * processes that do not exist. Time goes on only when a test says so.
 */

#include <stdio.h>

#include "vmm/server/dispatch.h"
#include "vmm/server/listen.h"

#define SERVER_FAKE_TIMEOUT_NS 10000000000ull

extern struct loop server_loop;
extern struct metrics server_metrics;
extern struct clients server_clients;
extern struct dispatch server_dispatch;
extern struct listener server_listener; /* its descriptor only */
extern unsigned server_kills;           /* how many workers were killed */

/* The host refuses these calls with that errno; 0: it does not. */
extern int server_accept_error, server_pass_error;

/* Starts; `serving_max` workers may serve at the same time. */
void server_start(unsigned serving_max);

/* Ends, and checks that no descriptor is left. All workers are buried. */
void server_end(void);

/* Goes on by so much time, and does what is due. */
void server_wait(uint64_t ns);

/* Does what there is to do. */
void server_turn(void);

/* A client that has sent `text`, accepted; its end of the connection. */
int server_connect(const char *text);

/* So many, each with a GET. */
void server_connect_all(int *clients, unsigned count);

/* One that is not accepted; and accepting it. */
int server_knock(const char *text);
int server_accept(void);

/* The same, accepted by a worker: stores that end. */
int server_connect_to(const char *text, int *connection);

/*
 * Whether the client has got exactly this, and then the end. NULL: that the
 * connection was cut.
 */
void server_expect(int client, const char *text);

/* The worker's side. */
struct fake {
    int fd;
    struct worker_page *page;
    struct worker *worker;
    uint64_t id;    /* of the job that it has */
    int connection; /* of that job */
    int keeper;     /* its keeper's socket; -1: it has none */
};

/* A worker that is ready. */
struct fake fake_start(bool reusable);

/* Starts the server, with one worker that has one request. Returns its client.
 */
int server_begin(struct fake *fake, const char *request);

/* Starts the server with two workers that may serve. */
void server_start_two(struct fake *a, struct fake *b);

/* One that is, and accepts connections itself. */
struct fake fake_start_own(unsigned generation);

/* One that has not said so yet. */
struct fake fake_create(bool reusable);

/* Takes the next job. Returns whether there is one, and it is its own. */
bool fake_take(struct fake *fake);

/* Says something. */
void fake_say(struct fake *fake, const struct worker_report *report);

/* Answers and reports as an honest worker does. */
void fake_serve(struct fake *fake, const char *answer, bool spent);

/* Takes the next job and answers it, as the client sees. */
void fake_answer(struct fake *fake, int client);

/* Says that the job has ended so. */
void fake_report(struct fake *fake, enum worker_end end);

/* It has accepted one itself. Returns its number. */
uint64_t fake_begin_own(struct fake *fake);

/* Says in its page that it has served that well. */
void fake_finish_own(struct fake *fake, uint64_t number);

/* Sends it to the supervisor, with that report. */
void fake_give_back(struct fake *fake, const struct worker_report *report,
                    int connection);

/* Its process ends, and is waited for; its keeper has this, or -1. */
void fake_leave(struct fake *fake, int connection);

/* Its process ends, and is waited for. */
void fake_die(struct fake *fake);

/* A request, and its answer. */
#define GET    "GET / HTTP/1.1\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* The client gets this answer in the guest's place, and no more. */
static inline void server_expect_refusal(int client, enum http_refusal code)
{
    char text[512];
    size_t bytes;
    const char *answer = http_refuse(code, HTTP_ONE, &bytes);

    snprintf(text, sizeof(text), "%.*s", (int)bytes, answer);
    server_expect(client, text);
}

#endif
