/* SPDX-License-Identifier: MIT */
/* What calls, threads, locks and page faults cost, for tests/bench/runtime. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Prints "NAME NANOSECONDS" for each measurement, or for those whose names are
 * arguments. The same source is a Linux program, which is what they are held
 * against.
 */

#define PAGE        4096
#define PAGES       100
#define TOUCH_BYTES (256ul << 20)

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- Calls -------------------------------------------------------------- */

static double measure_getppid(void)
{
    const int count = 1000000;
    double start = now_ns();

    for (int i = 0; i < count; i++)
        (void)getppid();
    return (now_ns() - start) / count;
}

/* One byte into a pipe and out again: two calls. */
static double measure_pipe(void)
{
    const int count = 100000;
    int ends[2];
    char byte = 'x';
    double start;

    if (pipe(ends))
        die("pipe");
    start = now_ns();
    for (int i = 0; i < count; i++)
        if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
            die("pipe");
    start = (now_ns() - start) / count;
    close(ends[0]);
    close(ends[1]);
    return start;
}

/* ---- Threads ------------------------------------------------------------ */

static void *do_nothing(void *argument)
{
    return argument;
}

static pthread_t start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, function, argument);

    if (error) {
        fprintf(stderr, "pthread_create: %s\n", strerror(error));
        exit(1);
    }
    return thread;
}

static double measure_create(void)
{
    const int count = 2000;
    double start = now_ns();

    for (int i = 0; i < count; i++)
        pthread_join(start_thread(do_nothing, NULL), NULL);
    return (now_ns() - start) / count;
}

struct turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int turn;
    int left;
};

static void take_turns(struct turns *turns, int me)
{
    pthread_mutex_lock(&turns->lock);
    while (turns->left > 0) {
        while (turns->turn != me && turns->left > 0)
            pthread_cond_wait(&turns->changed, &turns->lock);
        turns->turn = !me;
        turns->left--;
        pthread_cond_signal(&turns->changed);
    }
    pthread_mutex_unlock(&turns->lock);
}

static void *take_other_turns(void *argument)
{
    take_turns(argument, 1);
    return NULL;
}

/* Two threads that wait for each other by a condition variable. */
static double measure_switch(void)
{
    const int count = 50000;
    struct turns turns = {.lock = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER,
                          .left = count};
    pthread_t other = start_thread(take_other_turns, &turns);
    double start = now_ns();

    take_turns(&turns, 0);
    pthread_join(other, NULL);
    return (now_ns() - start) / count;
}

static double measure_mutex(void)
{
    const int count = 5000000;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    double start;

    pthread_join(start_thread(do_nothing, NULL), NULL);
    start = now_ns();
    for (int i = 0; i < count; i++) {
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&lock);
    }
    return (now_ns() - start) / count;
}

#define CONTENDERS 4
#define ROUNDS     50000

static pthread_mutex_t contended = PTHREAD_MUTEX_INITIALIZER;
static volatile long shared;

static void *contend(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&contended);
        shared++;
        if (i % 16 == 0)
            sched_yield(); /* with the lock: the others have to wait */
        pthread_mutex_unlock(&contended);
    }
    return argument;
}

static double measure_contended(void)
{
    pthread_t threads[CONTENDERS];
    double start = now_ns();

    for (int i = 0; i < CONTENDERS; i++)
        threads[i] = start_thread(contend, NULL);
    for (int i = 0; i < CONTENDERS; i++)
        pthread_join(threads[i], NULL);
    if (shared != CONTENDERS * ROUNDS)
        die("the mutex does not exclude");
    return (now_ns() - start) / (CONTENDERS * ROUNDS);
}

/* ---- Page faults (Appel and Li, ASPLOS 1991) ---------------------------- */

static char *pages;

static void protect(size_t first, size_t count, int protection)
{
    if (mprotect(pages + first * PAGE, count * PAGE, protection))
        die("mprotect");
}

static void unprotect_page(int number, siginfo_t *info, void *context)
{
    size_t page = (size_t)((char *)info->si_addr - pages) / PAGE;

    (void)number;
    (void)context;
    if (page >= PAGES)
        abort();
    protect(page, 1, PROT_READ | PROT_WRITE);
}

static sigjmp_buf after_fault;

static void leave(int number)
{
    (void)number;
    siglongjmp(after_fault, 1);
}

static void handle_faults(void (*with_info)(int, siginfo_t *, void *),
                          void (*plain)(int))
{
    struct sigaction action = {.sa_flags = SA_NODEFER};

    if (with_info) {
        action.sa_flags |= SA_SIGINFO;
        action.sa_sigaction = with_info;
    } else {
        action.sa_handler = plain;
    }
    if (sigaction(SIGSEGV, &action, NULL))
        die("sigaction");
}

static void map_pages(void)
{
    pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        die("mmap");
    memset(pages, 1, PAGES * PAGE);
}

/* A fault, and out of its handler by siglongjmp. */
static double measure_trap(void)
{
    const int count = 2000;
    double start;

    map_pages();
    handle_faults(NULL, leave);
    protect(0, 1, PROT_NONE);
    start = now_ns();
    for (volatile int i = 0; i < count; i++)
        if (sigsetjmp(after_fault, 0) == 0)
            *(volatile char *)pages = 2;
    start = (now_ns() - start) / count;
    munmap(pages, PAGES * PAGE);
    return start;
}

/* One page at a time: protect it, fault, unprotect it in the handler. */
static double measure_prot1(void)
{
    const int count = 1000;
    double start;

    map_pages();
    handle_faults(unprotect_page, NULL);
    start = now_ns();
    for (int i = 0; i < count; i++) {
        size_t page = (size_t)(i * 37 % PAGES);

        protect(page, 1, PROT_READ);
        *(volatile char *)(pages + page * PAGE) = 3;
    }
    start = (now_ns() - start) / count;
    munmap(pages, PAGES * PAGE);
    return start;
}

/* A hundred pages by one call, then a fault on each. */
static double measure_protn(void)
{
    const int rounds = 20;
    double start;

    map_pages();
    handle_faults(unprotect_page, NULL);
    start = now_ns();
    for (int i = 0; i < rounds; i++) {
        protect(0, PAGES, PROT_READ);
        for (size_t page = 0; page < PAGES; page++)
            *(volatile char *)(pages + page * 37 % PAGES * PAGE) = 3;
    }
    start = (now_ns() - start) / (rounds * PAGES);
    munmap(pages, PAGES * PAGE);
    return start;
}

/* Nanoseconds for each page of 256 MiB that are touched for the first time. */
static double touch(int advice)
{
    char *memory = mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double start;

    if (memory == MAP_FAILED)
        die("mmap");
    madvise(memory, TOUCH_BYTES, advice);
    start = now_ns();
    for (size_t at = 0; at < TOUCH_BYTES; at += PAGE)
        *(volatile char *)(memory + at) = 1;
    start = (now_ns() - start) / (double)(TOUCH_BYTES / PAGE);
    munmap(memory, TOUCH_BYTES);
    return start;
}

static double measure_touch(void)
{
    return touch(MADV_NOHUGEPAGE);
}

/* For a guest it is the monitor that decides: --huge-pages. */
static double measure_touch_huge(void)
{
    return touch(MADV_HUGEPAGE);
}

/* A heap that grows to 256 MiB, by blocks of up to 64 KiB: for each page. */
static double measure_malloc(void)
{
    struct block {
        struct block *next;
    } *all = NULL, *block;
    size_t bytes, total = 0;
    unsigned seed = 1;
    double start = now_ns();

    for (; total < TOUCH_BYTES; total += bytes) {
        seed = seed * 1103515245 + 12345;
        bytes = sizeof(*block) + (seed >> 16);
        block = malloc(bytes);
        if (!block)
            die("malloc");
        for (size_t at = 0; at < bytes; at += PAGE)
            *((volatile char *)block + at) = 1;
        block->next = all;
        all = block;
    }
    start = (now_ns() - start) / (double)(TOUCH_BYTES / PAGE);
    while ((block = all)) {
        all = block->next;
        free(block);
    }
    return start;
}

static const struct {
    const char *name;
    double (*measure)(void);
} measurements[] = {
    {"getppid", measure_getppid},
    {"pipe", measure_pipe},
    {"create", measure_create},
    {"switch", measure_switch},
    {"mutex", measure_mutex},
    {"contended", measure_contended},
    {"trap", measure_trap},
    {"prot1", measure_prot1},
    {"protn", measure_protn},
    {"touch", measure_touch},
    {"touch-huge", measure_touch_huge},
    {"malloc", measure_malloc},
};

static int is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return 1;
    return argc < 2;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(measurements) / sizeof(*measurements); i++) {
        if (!is_wanted(measurements[i].name, argc, argv))
            continue;
        printf("%s %.1f\n", measurements[i].name, measurements[i].measure());
        fflush(stdout);
    }
    return 0;
}
