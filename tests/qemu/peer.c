/* SPDX-License-Identifier: MIT */
/* The other end of a network: runs a machine and sends it frames, in turn. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 *   peer FRAMES FILE COMMAND...
 *
 * COMMAND finds a stream socket as descriptor 3, on which each frame follows
 * its length, as `mayfly run --net fd=3` and QEMU's -netdev socket,fd=3 have
 * it. When it has printed a line (its guest is ready: a card that has just been
 * reset drops what came before), it is sent FRAMES frames, each when the answer
 * to the one before has come; the answers are written to FILE. The exit status
 * is the command's, or 99 when an answer does not come.
 */

#define SOCKET_FD    3
#define TIMEOUT_MS   20000
#define FRAME_MIN    60u
#define FRAME_MAX    1514u
#define STATUS_FAILS 99

/* Ethernet's: for the guest, from us, of a type for experiments. */
static const uint8_t header[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x02,
                                 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0xb5};

static void fail(const char *what)
{
    fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
    exit(STATUS_FAILS);
}

/* Reads it all. Returns 0, or -1 when nothing more comes. */
static int read_all(int fd, void *to, size_t bytes)
{
    while (bytes > 0) {
        struct pollfd file = {fd, POLLIN, 0};
        ssize_t got;

        if (poll(&file, 1, TIMEOUT_MS) != 1)
            return -1;
        got = read(fd, to, bytes);
        if (got <= 0)
            return -1;
        to = (char *)to + got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* Every frame has another length and other bytes. */
static size_t make_frame(unsigned number, uint8_t *frame)
{
    size_t bytes = FRAME_MIN + number * 149 % (FRAME_MAX - FRAME_MIN + 1);

    memcpy(frame, header, sizeof(header));
    for (size_t i = sizeof(header); i < bytes; i++)
        frame[i] = (uint8_t)(i * 7 + number * 13 + (i >> 8));
    return bytes;
}

static int send_frame(int fd, unsigned number)
{
    uint8_t packet[4 + FRAME_MAX];
    size_t bytes = make_frame(number, packet + 4);
    uint32_t length = htonl((uint32_t)bytes);

    memcpy(packet, &length, sizeof(length));
    return send(fd, packet, bytes + 4, MSG_NOSIGNAL) == (ssize_t)bytes + 4 ? 0
                                                                           : -1;
}

static int keep_answer(int fd, FILE *out)
{
    uint8_t frame[65536];
    uint32_t length;

    if (read_all(fd, &length, sizeof(length)))
        return -1;
    length = ntohl(length);
    if (length > sizeof(frame) || read_all(fd, frame, length))
        return -1;
    return fwrite(frame, 1, length, out) == length ? 0 : -1;
}

/* Passes on what the command prints, up to the first line or all of it. */
static void relay_output(int from, int up_to_a_line)
{
    char text[4096];
    ssize_t bytes;

    while ((bytes = read(from, text, sizeof(text))) > 0) {
        if (write(STDOUT_FILENO, text, (size_t)bytes) != bytes)
            fail("standard output");
        if (up_to_a_line && memchr(text, '\n', (size_t)bytes))
            return;
    }
}

static pid_t start(char **command, int network, int output)
{
    pid_t child = fork();

    if (child < 0)
        fail("fork");
    if (child > 0)
        return child;
    dup2(output, STDOUT_FILENO);
    if (network == SOCKET_FD) /* already there, but to be closed by exec */
        fcntl(network, F_SETFD, 0);
    else
        dup2(network, SOCKET_FD);
    execvp(command[0], command);
    fail(command[0]);
    return -1;
}

int main(int argc, char **argv)
{
    unsigned frames = argc > 3 ? (unsigned)atoi(argv[1]) : 0;
    FILE *out = argc > 3 ? fopen(argv[2], "wbe") : NULL;
    int network[2], output[2], status, lost = 0;
    pid_t child;

    if (!out || pipe2(output, O_CLOEXEC) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, network))
        fail("cannot start");
    child = start(argv + 3, network[1], output[1]);
    close(network[1]);
    close(output[1]);
    relay_output(output[0], 1);
    for (unsigned i = 0; i < frames && !lost; i++)
        lost = send_frame(network[0], i) || keep_answer(network[0], out);
    if (lost)
        kill(child, SIGTERM);
    relay_output(output[0], 0);
    if (fclose(out) || waitpid(child, &status, 0) != child)
        fail("cannot end");
    return !lost && WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILS;
}
