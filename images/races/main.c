/* SPDX-License-Identifier: MIT */
/* Two threads at the same name of a directory: one of them wins. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 *   races DIRECTORY [ROUNDS]
 *
 * In each round both threads do their part of a race at once; what they return
 * must be one of the outcomes that some order of the two has, and what is there
 * afterwards must be what that order leaves. A third thread syncs a file all
 * the time, so that both have to wait for the disk in the middle of their
 * calls.
 */

#define EXCHANGE 2u /* RENAME_EXCHANGE of linux/fs.h */

static unsigned rounds = 60;
static volatile bool over;
static pthread_barrier_t barrier;

/* ---- What they do: 0 or an errno ---------------------------------------- */

static int outcome(long result)
{
    return result < 0 ? errno : 0;
}

static int make_directory(void)
{
    return outcome(mkdir("x", 0755));
}

static int make_inside(void)
{
    return outcome(mkdir("d/x", 0755));
}

static int create_with(int flags)
{
    int fd = open("x", O_WRONLY | O_CREAT | flags, 0644);

    if (fd >= 0)
        close(fd);
    return outcome(fd);
}

static int create(void)
{
    return create_with(0);
}

static int create_first(void)
{
    return create_with(O_EXCL);
}

static int make_symlink(void)
{
    return outcome(symlink("somewhere", "x"));
}

static int make_link(void)
{
    return outcome(link("a", "x"));
}

static int remove_file(void)
{
    return outcome(unlink("a"));
}

static int remove_directory(void)
{
    return outcome(rmdir("d"));
}

static int rename_a(void)
{
    return outcome(rename("a", "x"));
}

static int rename_b(void)
{
    return outcome(rename("b", "x"));
}

static int move_down(void)
{
    return outcome(rename("d", "e/x"));
}

static int move_up(void)
{
    return outcome(rename("e", "d/x"));
}

static int exchange(void)
{
    return outcome(
        syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", EXCHANGE));
}

/* A file that is replaced is there all the time. */
static int replace(void)
{
    int fd = open("b", O_WRONLY | O_CREAT | O_EXCL, 0644);

    if (fd < 0)
        return errno;
    close(fd);
    return outcome(rename("b", "a"));
}

static int open_a(void)
{
    int fd = open("a", O_RDONLY);

    if (fd >= 0)
        close(fd);
    return outcome(fd);
}

/* ---- What is there, before and after ------------------------------------ */

static void make_files(const char *names)
{
    for (; *names; names++) {
        char name[] = {*names, '\0'};
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);

        if (fd < 0)
            perror(name);
        close(fd);
    }
}

static void make_directories(const char *names)
{
    for (; *names; names++) {
        char name[] = {*names, '\0'};

        if (mkdir(name, 0755))
            perror(name);
    }
}

/* Removes what is in a directory; returns how much, also below. */
static unsigned empty(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[300];
    unsigned count = 0;

    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "synced"))
            continue;
        count++;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            count += empty(name);
        if (entry->d_type == DT_DIR ? rmdir(name) : unlink(name))
            perror(name);
    }
    if (directory)
        closedir(directory);
    return count;
}

/* ---- Races -------------------------------------------------------------- */

/* An outcome that one order of the two has. */
struct end {
    int results[2];
    unsigned left; /* names afterwards */
};

struct race {
    const char *name, *files, *directories;
    int (*parts[2])(void);
    struct end ends[4];
    unsigned end_count;
};

/* The loser is told `error`, whoever it is. */
#define EITHER(error, left) {{{0, error}, left}, {{error, 0}, left}}, 2

static const struct race races[] = {
    {"mkdir", "", "", {make_directory, make_directory}, EITHER(EEXIST, 1)},
    {"create", "", "", {create, create}, {{{0, 0}, 1}}, 1},
    {"exclusive", "", "", {create_first, create_first}, EITHER(EEXIST, 1)},
    {"symlink", "", "", {make_symlink, make_symlink}, EITHER(EEXIST, 1)},
    {"link", "a", "", {make_link, make_link}, EITHER(EEXIST, 2)},
    {"unlike", "", "", {make_directory, make_symlink}, EITHER(EEXIST, 1)},
    {"unlink", "a", "", {remove_file, remove_file}, EITHER(ENOENT, 0)},
    {"rmdir", "", "d", {remove_directory, remove_directory}, EITHER(ENOENT, 0)},
    {"rename", "a", "", {rename_a, rename_a}, EITHER(ENOENT, 1)},
    {"same target", "ab", "", {rename_a, rename_b}, {{{0, 0}, 1}}, 1},
    {"rename, unlink",
     "a",
     "",
     {rename_a, remove_file},
     {{{0, ENOENT}, 1}, {{ENOENT, 0}, 0}},
     2},
    {"link, unlink",
     "a",
     "",
     {make_link, remove_file},
     {{{0, 0}, 1}, {{ENOENT, 0}, 0}},
     2},
    {"inside, rmdir",
     "",
     "d",
     {make_inside, remove_directory},
     {{{0, ENOTEMPTY}, 2}, {{ENOENT, 0}, 0}},
     2},
    {"into each other",
     "",
     "de",
     {move_down, move_up},
     {{{0, EINVAL}, 2}, {{EINVAL, 0}, 2}, {{0, ENOENT}, 2}, {{ENOENT, 0}, 2}},
     4},
    {"exchange, unlink",
     "ab",
     "",
     {exchange, remove_file},
     {{{0, 0}, 1}, {{ENOENT, 0}, 1}},
     2},
    {"exchange", "ab", "", {exchange, exchange}, {{{0, 0}, 2}}, 1},
    {"replace, open", "a", "", {replace, open_a}, {{{0, 0}, 1}}, 1},
};

#define RACES (sizeof(races) / sizeof(races[0]))

static int results[2];

static void *run_part(void *context)
{
    unsigned self = (unsigned)(size_t)context;

    for (unsigned i = 0; i < RACES; i++)
        for (unsigned round = 0; round < rounds; round++) {
            pthread_barrier_wait(&barrier);
            results[self] = races[i].parts[self]();
            pthread_barrier_wait(&barrier);
        }
    return NULL;
}

static bool is_good(const struct race *race, unsigned left)
{
    for (unsigned i = 0; i < race->end_count; i++)
        if (race->ends[i].results[0] == results[0] &&
            race->ends[i].results[1] == results[1] &&
            race->ends[i].left == left)
            return true;
    return false;
}

/* Shares of the host have no RENAME_EXCHANGE. */
static bool can_run(const struct race *race)
{
    bool can;

    if (race->parts[0] != exchange)
        return true;
    make_files("ab");
    can = exchange() != EINVAL;
    empty(".");
    return can;
}

/* Returns whether all rounds ended as they may. */
static bool run_race(const struct race *race)
{
    bool skipped = !can_run(race);
    unsigned bad = 0, left;

    for (unsigned round = 0; round < rounds; round++) {
        make_directories(race->directories);
        make_files(race->files);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        left = empty(".");
        if (skipped || is_good(race, left))
            continue;
        if (bad++ == 0)
            printf("%s: %s and %s, %u left\n", race->name,
                   results[0] ? strerror(results[0]) : "done",
                   results[1] ? strerror(results[1]) : "done", left);
    }
    printf("%s: %u bad rounds\n", race->name, bad);
    return bad == 0;
}

static void *sync_always(void *context)
{
    int fd = open("synced", O_WRONLY | O_CREAT, 0644);

    (void)context;
    while (!over)
        if (pwrite(fd, "x", 1, 0) != 1 || fsync(fd)) {
            perror("synced");
            exit(1);
        }
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t parts[2], syncer;
    unsigned good = 0;

    if (argc < 2 || chdir(argv[1]) || mkdir("races", 0755) || chdir("races")) {
        fprintf(stderr, "races: no directory\n");
        return 2;
    }
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    pthread_barrier_init(&barrier, NULL, 3);
    pthread_create(&syncer, NULL, sync_always, NULL);
    for (size_t i = 0; i < 2; i++)
        pthread_create(&parts[i], NULL, run_part, (void *)i);
    for (unsigned i = 0; i < RACES; i++)
        good += run_race(&races[i]);
    for (size_t i = 0; i < 2; i++)
        pthread_join(parts[i], NULL);
    over = true;
    pthread_join(syncer, NULL);
    if (unlink("synced") || chdir("..") || rmdir("races"))
        perror("races");
    printf("%u of %zu races\n", good, RACES);
    return good == RACES ? 0 : 1;
}
