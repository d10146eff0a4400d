/* SPDX-License-Identifier: MIT */
/* Looks at processes in /proc, and at what a server says of itself. */
#include "tests/load/watch.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Up to `room` - 1 bytes of a file, and a 0. */
static size_t read_file(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "re");
    size_t bytes = file ? fread(text, 1, room - 1, file) : 0;

    if (file)
        fclose(file);
    text[bytes] = '\0';
    return bytes;
}

/* ---- Processes ----------------------------------------------------------- */

/* A server's processes that serve nobody (vmm/server/keeper.h). When their
 * worker is gone, they are children of its supervisor for a moment. */
#define KEEPER "mayfly-keeper"

static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    const char *name_end;
    int parent = -1;

    snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
    read_file(path, text, sizeof(text));
    name_end = strrchr(text, ')');
    if (strstr(text, "(" KEEPER ")"))
        return -1;
    if (name_end && sscanf(name_end, ") %*c %d", &parent) != 1)
        parent = -1;
    return parent;
}

unsigned watch_children(pid_t pid, pid_t *children, unsigned most)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    unsigned count = 0;

    while (processes && count < most && (entry = readdir(processes)))
        if (isdigit((unsigned char)entry->d_name[0]) &&
            parent_of(entry->d_name) == pid)
            children[count++] = atoi(entry->d_name);
    if (processes)
        closedir(processes);
    return count;
}

int watch_descriptors(pid_t pid)
{
    DIR *descriptors;
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    descriptors = opendir(path);
    if (!descriptors)
        return -1;
    for (struct dirent *entry; (entry = readdir(descriptors));)
        count += entry->d_name[0] != '.';
    closedir(descriptors);
    return count;
}

long watch_memory_kib(pid_t pid, const char *key)
{
    char path[64], text[4096];
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    read_file(path, text, sizeof(text));
    at = strstr(text, key);
    return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

/* ---- Servers ------------------------------------------------------------- */

static struct sockaddr_in local(unsigned port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

size_t watch_get(unsigned port, const char *path, char *text, size_t room)
{
    const struct sockaddr_in to = local(port);
    const struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t got = 0;
    ssize_t more = -1;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    snprintf(text, room,
             "GET %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n",
             path);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
        while ((more = recv(fd, text + got, room - 1 - got, 0)) > 0)
            got += (size_t)more;
    close(fd);
    text[got] = '\0';
    return got;
}

double watch_metric(const char *text, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = text; (at = strstr(at, name)); at += length)
        if (at != text && at[-1] == '\n' && at[length] == ' ')
            return strtod(at + length, NULL);
    return -1;
}

unsigned watch_free_port(void)
{
    struct sockaddr_in any = local(0);
    socklen_t bytes = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&any, bytes) ||
        getsockname(fd, (struct sockaddr *)&any, &bytes))
        abort();
    close(fd);
    return ntohs(any.sin_port);
}
