/* SPDX-License-Identifier: MIT */
/* mayfly: the command. Finds the subcommand; the only caller of exit(). */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"run", cmd_run, "run an image as a virtual machine"},
    {"restore", cmd_restore, "go on with the guest in a snapshot"},
    {"serve", cmd_serve, "serve each connection by a VM of its own"},
    {"inspect", cmd_inspect, "show what an image is made of"},
    {"doctor", cmd_doctor, "tell whether this host can run guests"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(FILE *to)
{
    fprintf(to, "Usage: mayfly COMMAND [OPTIONS]\n\n"
                "Runs C programs as very small virtual machines.\n\n"
                "Commands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].what);
    fprintf(to, "\n  --help     show this\n"
                "  --version  show the version\n\n"
                "'mayfly COMMAND --help' tells more.\n");
    return to == stdout ? CLI_OK : CLI_FAILED;
}

int cli_fail(int status, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "mayfly: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

/* The subcommand that runs. */
static const char *running = "run";

int cli_misuse(const char *command, const char *format, ...)
{
    va_list args;

    if (!command)
        command = running;
    fprintf(stderr, "mayfly %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; try 'mayfly %s --help'\n", command);
    return CLI_FAILED;
}

unsigned cli_occupy_closed(void)
{
    unsigned closed = 0;

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) == fd)
            closed |= 1u << fd;
    return closed;
}

static int open_image(const char *path, bool writable)
{
    int fd = writable ? open(path, O_RDWR) : -1;

    return fd >= 0 ? fd : open(path, O_RDONLY);
}

int cli_open_image(const char *path, bool writable, unsigned *closed,
                   int *status)
{
    int fd = open_image(path, writable);

    *closed = 0;
    if (fd >= 0 && fd <= STDERR_FILENO) {
        close(fd);
        *closed = cli_occupy_closed();
        fd = open_image(path, writable);
    }
    if (fd < 0)
        *status = cli_fail(errno == ENOENT || errno == ENOTDIR ? CLI_NOT_FOUND
                                                               : CLI_FAILED,
                           "cannot open %s: %s", path, strerror(errno));
    return fd;
}

_Noreturn void cli_end_at_once(int status)
{
    _exit(status);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return help(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("mayfly %s\n", MAYFLY_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            running = commands[i].name;
            return commands[i].run(argc - 1, argv + 1);
        }
    return cli_fail(CLI_FAILED, "no command '%s'; try 'mayfly --help'",
                    argv[1]);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);

    if (fflush(stdout) || ferror(stdout))
        status = cli_fail(CLI_FAILED, "cannot write to standard output");
    exit(status);
}
