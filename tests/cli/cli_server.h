/* SPDX-License-Identifier: MIT */
/* mayfly serve as tests run it, and its clients. */
#ifndef TESTS_CLI_CLI_SERVER_H
#define TESTS_CLI_CLI_SERVER_H

/*
 *   START_SERVER("--workers", "1", "function.elf");
 *   assert_status("/", 200);
 *   ...
 *   stop_server();
 *
 * One at a time. It ends with the test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

extern struct test_server {
    pid_t pid;
    char dir[64];
    char path[80];    /* in it: the socket that it listens at */
    int errors;       /* its standard error, to read */
    char said[65536]; /* what came of that */
    size_t said_bytes;
} server;

/* Makes the directory (make_directory()). Skips the test if there is no KVM. */
void choose_paths(void);

/* An image of the build, in words that live until the next call. */
const char *image_path(const char *name);

/*
 * Starts `mayfly serve --listen unix:PATH` with these words, up to a NULL.
 * `output` is its standard output, and closed here; -1: as it is.
 */
void launch_server(const char *const *words, int output);

/* All of that: makes the directory, unless it is there; the last word is an
 * image's name, or a whole path; waits until it serves. */
void start_server(const char *const *words);
#define START_SERVER(...) \
    start_server((const char *const[]){__VA_ARGS__, (void *)0})

/* As launch_server(), of any words, and without the socket. Returns the
 * process. */
pid_t start_mayfly(const char *const *words, int output, int errors);

/* Waits for more of it. Returns false if that was all. */
bool read_words(void);

/* Reads on until it has said this. */
void await_words(const char *words);

/* What it says from here on. */
void forget_words(void);

/* Waits for its end, with that status. Its socket's file is
 * gone then. */
void assert_server_ended(int status);

/* Ends it by SIGTERM: the status is 0. */
void stop_server(void);

/* A connection to a socket file, once somebody listens there. */
int connect_path(const char *path);

/* One to the server. */
int connect_server(void);

/* Sends all of a text. */
void say(int fd, const char *text);

/* Reads to the end of a connection, and closes it. There is a 0 behind what
 * came. Returns how much that was. */
size_t read_to_end(int fd, char *to, size_t room);

/* Sends a request. Returns the connection. */
int ask(const char *target);

/* Reads to the end. Returns the status of HTTP in it; 0: nothing came. */
int read_status(int fd);

/* Both, and it is this. */
void assert_status(const char *target, int status);

#endif
