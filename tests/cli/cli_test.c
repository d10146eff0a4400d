/* SPDX-License-Identifier: MIT */
/* The command line from outside: a shell runs it, a test looks at the rest. */
#include "tests/cli/cli_test.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Scripts ------------------------------------------------------------ */

static void set_variables(const char *dir)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/mayfly", build_directory());
    setenv("mayfly", path, 1);
    snprintf(path, sizeof(path), "%s/images", build_directory());
    setenv("images", path, 1);
    setenv("dir", dir, 1);
}

static void become_shell(const char *script, int out, int err)
{
    int in = open("/dev/null", O_RDONLY);

    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    /* Whoever runs the tests may have it ignored. */
    signal(SIGHUP, SIG_DFL);
    execl("/bin/sh", "sh", "-c", script, NULL);
    _exit(126);
}

static void read_back(int fd, char *to)
{
    ssize_t got = pread(fd, to, SHELL_OUTPUT_ROOM - 1, 0);

    cr_assert_geq(got, 0);
    to[got] = '\0';
    close(fd);
}

static void remove_directory(const char *dir)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

/*
 * Another process sees the test end, by a pipe that nobody else has; what the
 * test has started ends as it does, and may write to the last.
 */
static void await_end(const char *dir, int pipe_end)
{
    char byte;

    setsid();
    for (int fd = 0; fd < 64; fd++)
        if (fd != pipe_end)
            close(fd);
    while (read(pipe_end, &byte, 1) < 0)
        ;
    for (unsigned i = 0; i < 20 && access(dir, F_OK) == 0; i++) {
        char command[256];

        snprintf(command, sizeof(command), "exec rm -rf '%s' 2>/dev/null", dir);
        if (system(command))
            usleep(100000);
    }
    _exit(0);
}

void make_directory(char *dir)
{
    int ends[2];

    cr_assert(mkdtemp(dir) && pipe2(ends, O_CLOEXEC) == 0);
    if (fork() == 0)
        await_end(dir, ends[0]);
    close(ends[0]);
}

void run_shell(struct shell *shell, const char *script)
{
    char dir[] = "/tmp/mayfly-cli-XXXXXX";
    int out = memfd_create("out", 0), err = memfd_create("err", 0);
    int status;

    cr_assert(out >= 0 && err >= 0 && mkdtemp(dir));
    set_variables(dir);
    pid_t child = fork();
    if (child == 0)
        become_shell(script, out, err);
    cr_assert_eq(waitpid(child, &status, 0), child);
    shell->status =
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    read_back(out, shell->out);
    read_back(err, shell->err);
    remove_directory(dir);
}

void expect_status(struct shell *shell, int status, const char *script)
{
    need_kvm();
    run_shell(shell, script);
    cr_assert_eq(shell->status, status, "%s\nstatus %d instead of %d\n%s%s",
                 script, shell->status, status, shell->out, shell->err);
}

void need_programs(const char *names)
{
    static struct shell shell;
    char script[256];

    snprintf(script, sizeof(script),
             "PATH=$PATH:/sbin:/usr/sbin\n"
             "for name in %s; do\n"
             "    command -v $name >/dev/null || { echo $name; exit 1; }\n"
             "done",
             names);
    run_shell(&shell, script);
    shell.out[strcspn(shell.out, "\n")] = '\0';
    if (shell.status)
        cr_skip_test("there is no %s here", shell.out);
}

/* ---- JSON (RFC 8259), without numbers' fine print ----------------------- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind the string that starts here, or NULL. */
static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at != '"') {
        if ((unsigned char)*at < 0x20)
            return NULL;
        at += *at == '\\' ? 2 : 1;
    }
    return at + 1;
}

static const char *skip_value(const char *at);

/* Behind the object or array that starts here, or NULL. */
static const char *skip_members(const char *at)
{
    bool object = *at == '{';
    char end = object ? '}' : ']';

    at = skip_blanks(at + 1);
    if (*at == end)
        return at + 1;
    for (;;) {
        if (object) {
            at = skip_string(skip_blanks(at));
            if (!at || *(at = skip_blanks(at)) != ':')
                return NULL;
            at++;
        }
        at = skip_value(at);
        if (!at)
            return NULL;
        at = skip_blanks(at);
        if (*at == end)
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
}

static const char *skip_value(const char *at)
{
    char *end;

    at = skip_blanks(at);
    if (*at == '{' || *at == '[')
        return skip_members(at);
    if (*at == '"')
        return skip_string(at);
    if (strncmp(at, "null", 4) == 0)
        return at + 4;
    if (!isdigit((unsigned char)*at) && *at != '-')
        return NULL;
    strtod(at, &end);
    return end;
}

bool is_json(const char *text)
{
    const char *end = skip_value(text);

    return end && *skip_blanks(end) == '\0';
}

long long json_number(const char *text, const char *key)
{
    char quoted[128];

    snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
    const char *found = strstr(text, quoted);
    return found ? atoll(found + strlen(quoted)) : -1;
}
