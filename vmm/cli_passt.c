/* SPDX-License-Identifier: MIT */
/* --net user: passt, which carries the guest's traffic without privilege. */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * passt is given one end of a socket. Once it forwards it leaves our process
 * group for the background and its first process ends; the one that stays ends
 * when the socket closes, which our own end does, however we end.
 *
 * The guest is 10.0.2.15/24, its gateway 10.0.2.2 and its name server 10.0.2.3,
 * by DHCP or because it knows. By default passt takes what goes to the gateway
 * to the host's own loopback: a guest has no business there unless asked for.
 */
static const char *const fixed_options[] = {
    "passt", "--quiet",   "--address", "10.0.2.15",     "--netmask",
    "24",    "--gateway", "10.0.2.2",  "--dns-forward", "10.0.2.3",
};

#define FIXED (sizeof(fixed_options) / sizeof(fixed_options[0]))

/* A command line, and room for its words. */
struct command {
    const char *words[FIXED + 5 + 2ul * CLI_FORWARDS_MAX + 1];
    char fd[12], mtu[12], forwards[CLI_FORWARDS_MAX][64];
    unsigned count;
};

static void add_words(struct command *command, const char *option,
                      const char *value)
{
    command->words[command->count++] = option;
    command->words[command->count++] = value;
}

static void make_command(struct command *command, int fd,
                         const struct cli_net *net,
                         const struct cli_forward *forwards, unsigned count)
{
    memcpy(command->words, fixed_options, sizeof(fixed_options));
    command->count = FIXED;
    snprintf(command->fd, sizeof(command->fd), "%d", fd);
    add_words(command, "--fd", command->fd);
    snprintf(command->mtu, sizeof(command->mtu), "%d",
             net->mtu ? net->mtu : 1500);
    add_words(command, "--mtu", command->mtu);
    if (!net->host)
        command->words[command->count++] = "--no-map-gw";
    for (unsigned i = 0; i < count && i < CLI_FORWARDS_MAX; i++) {
        const struct cli_forward *forward = &forwards[i];

        snprintf(command->forwards[i], sizeof(command->forwards[i]),
                 "%s%s%d:%d", forward->address, *forward->address ? "/" : "",
                 forward->host, forward->guest);
        add_words(command, forward->udp ? "--udp-ports" : "--tcp-ports",
                  command->forwards[i]);
    }
    command->words[command->count] = NULL;
}

/*
 * Runs the command; it inherits `fd`, and `report` as output and error. Returns
 * 0 and its wait status, or an errno.
 */
static int run_command(const struct command *command, int fd, int report,
                       int *status)
{
    posix_spawn_file_actions_t actions;
    int error;
    pid_t pid;

    /*
     * What our caller left open is not for passt. A kernel that does not know
     * the call (before 5.11) leaves it open: our own are closed there too.
     */
    syscall(SYS_close_range, 3, UINT_MAX, 4 /* CLOSE_RANGE_CLOEXEC */);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, report, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, report, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fd, fd);
    error = posix_spawnp(&pid, command->words[0], &actions, NULL,
                         (char *const *)command->words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return error;
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Whether passt says this whenever it runs. */
static bool is_noise(const char *line)
{
    return !*line || strncmp(line, "Failed to send ", 15) == 0 ||
           strncmp(line, "Don't run as root", 17) == 0;
}

/* Says what passt said, on one line. Returns CLI_FAILED. */
static int fail_as_reported(int report)
{
    char text[2048], said[1024] = "";
    ssize_t bytes = pread(report, text, sizeof(text) - 1, 0);
    size_t used = 0;
    char *rest = text;

    text[bytes > 0 ? bytes : 0] = '\0';
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        if (!is_noise(line) && used < sizeof(said))
            used += (size_t)snprintf(said + used, sizeof(said) - used, "%s%s",
                                     used ? "; " : "", line);
    return cli_fail(CLI_FAILED, "--net user: passt failed%s%s",
                    used ? ": " : "", said);
}

/*
 * What comes from the loopback looks to the guest as if the gateway had sent
 * it, and for UDP passt takes the answer back only if all that the guest sends
 * to the gateway is taken there.
 */
static bool is_one_way(const struct cli_net *net,
                       const struct cli_forward *forward)
{
    return forward->udp && !net->host &&
           (strncmp(forward->address, "127.", 4) == 0 ||
            strcmp(forward->address, "::1") == 0);
}

static int start(const struct cli_net *net, const struct cli_forward *forwards,
                 unsigned count, int fd, int report)
{
    struct command command;
    int status = 0, error;

    for (unsigned i = 0; i < count; i++)
        if (is_one_way(net, &forwards[i]))
            return cli_fail(CLI_FAILED,
                            "-p %s:%d:%d/udp gets no answers through passt "
                            "unless the guest may reach the host's loopback, "
                            "as 10.0.2.2: --net user,host",
                            forwards[i].address, forwards[i].host,
                            forwards[i].guest);
    make_command(&command, fd, net, forwards, count);
    error = run_command(&command, fd, report, &status);
    if (error == ENOENT)
        return cli_fail(CLI_FAILED,
                        "--net user needs passt, which is not installed "
                        "(Debian: apt-get install passt)");
    if (error)
        return cli_fail(CLI_FAILED, "--net user: cannot run passt: %s",
                        strerror(error));
    return status ? fail_as_reported(report) : CLI_OK;
}

/*
 * passt learns where the guest is from what the guest sends. A server sends
 * nothing before it is asked: its address is announced for it, by ARP.
 */
static int announce(int fd, const uint8_t mac[6])
{
    uint8_t frame[] = {
        0,   0,   0,   42, /* bytes that follow */
        255, 255, 255, 255, 255, 255, 0,  0, 0, 0,  0, 0, 8, 6, /* Ethernet */
        0,   1,   8,   0,   6,   4,   0,  1,        /* a request, for IPv4 */
        0,   0,   0,   0,   0,   0,   10, 0, 2, 15, /* from whom */
        0,   0,   0,   0,   0,   0,   10, 0, 2, 15, /* for whom */
    };

    memcpy(frame + 10, mac, 6);
    memcpy(frame + 26, mac, 6);
    if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) == (ssize_t)sizeof(frame))
        return CLI_OK;
    return cli_fail(CLI_FAILED, "--net user: passt hung up");
}

int cli_start_passt(const struct cli_net *net,
                    const struct cli_forward *forwards, unsigned forward_count,
                    int *fd)
{
    int report = memfd_create("passt", MFD_CLOEXEC);
    int ends[2] = {-1, -1}, status = CLI_FAILED;

    if (report < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        cli_fail(CLI_FAILED, "--net user: %s", strerror(errno));
    else
        status = start(net, forwards, forward_count, ends[1], report);
    if (!status)
        status = announce(ends[0], net->mac);
    if (status)
        close(ends[0]);
    close(ends[1]);
    close(report);
    *fd = ends[0];
    return status;
}

bool cli_has_passt(void)
{
    const char *path = getenv("PATH");
    char file[PATH_MAX];

    while (path && *path) {
        size_t length = strcspn(path, ":");

        snprintf(file, sizeof(file), "%.*s/passt", (int)length, path);
        if (access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}
