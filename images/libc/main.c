/* SPDX-License-Identifier: MIT */
/* Exercises the C library. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

static int constructed;

__attribute__((constructor)) static void construct(void)
{
    constructed = 7;
}

static void check_stdio(void)
{
    char line[128];
    double real = 0;
    int whole = 0;

    snprintf(line, sizeof(line), "%5d|%-6s|%08.3f|%#llx", -42, "ab", 3.14159,
             0xdeadbeefcafeull);
    check("snprintf", !strcmp(line, "  -42|ab    |0003.142|0xdeadbeefcafe"));
    check("sscanf", sscanf("17 2.5e3", "%d %lf", &whole, &real) == 2 &&
                        whole == 17 && real == 2500);
    check("strtod", strtod("0x1.8p1", NULL) == 3);
    fprintf(stderr, "to standard error\n");
}

static bool all_bytes(const unsigned char *from, size_t bytes, int value)
{
    for (size_t i = 0; i < bytes; i++)
        if (from[i] != value)
            return false;
    return true;
}

static void check_malloc(void)
{
    static unsigned char *block[500];
    static size_t size[500];
    unsigned state = 1;
    bool right = true;
    char *big;

    for (int round = 0; round < 20000; round++) {
        unsigned i = (state = state * 1103515245 + 12345) >> 16;
        size_t bytes = (size_t)1 << i % 15;

        i %= 500;
        if (block[i] && !all_bytes(block[i], size[i], (int)(i & 0xff)))
            right = false;
        block[i] = realloc(block[i], bytes);
        if (!block[i]) {
            right = false;
            break;
        }
        memset(block[i], (int)(i & 0xff), bytes);
        size[i] = bytes;
    }
    for (unsigned i = 0; i < 500; i++)
        free(block[i]);
    check("malloc, realloc, free", right);

    for (int round = 0; round < 10; round++) {
        big = calloc(1, 200000);
        if (!big || !all_bytes((unsigned char *)big, 200000, 0))
            right = false;
        if (big)
            memset(big, 0xff, 200000);
        free(big);
    }
    check("calloc clears recycled memory", right);
    errno = 0;
    big = malloc((size_t)1 << 45);
    check("too much is ENOMEM", !big && errno == ENOMEM);
    free(big);
}

static void check_mmap(void)
{
    const size_t page = 4096;
    int protection = PROT_READ | PROT_WRITE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    unsigned char *map = mmap(NULL, 8 * page, protection, flags, -1, 0);
    unsigned char *again;

    check("mmap", map != MAP_FAILED && all_bytes(map, 8 * page, 0));
    memset(map, 1, 8 * page);
    check("munmap of the middle", !munmap(map + 2 * page, 2 * page));
    again = mmap(NULL, 2 * page, protection, flags, -1, 0);
    check("recycled pages are clear",
          again != MAP_FAILED && all_bytes(again, 2 * page, 0));
    check("neighbours are kept", all_bytes(map, 2 * page, 1) &&
                                     all_bytes(map + 4 * page, 4 * page, 1));
    again = mmap(map, page, protection, flags | MAP_FIXED, -1, 0);
    check("MAP_FIXED", again == map && all_bytes(map, page, 0));
    again = mmap(NULL, 2 * page, protection, flags, -1, 0);
    memset(again, 2, 2 * page);
    again = mremap(again, 2 * page, 64 * page, MREMAP_MAYMOVE);
    check("mremap", again != MAP_FAILED && all_bytes(again, 2 * page, 2) &&
                        all_bytes(again + 2 * page, 62 * page, 0));
}

static _Thread_local int counter = 5;
static _Thread_local char zeroed[1000];

static void check_tls(void)
{
    counter++;
    check("TLS", counter == 6 &&
                     all_bytes((unsigned char *)zeroed, sizeof(zeroed), 0));
}

static void check_setjmp(void)
{
    static jmp_buf state;
    volatile int steps = 0;

    if (setjmp(state) < 3) {
        steps++;
        longjmp(state, steps);
    }
    check("setjmp", steps == 3);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
    signals_seen += number;
}

static void check_signals(void)
{
    sigset_t set;

    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    check("raise calls the handler", signals_seen == SIGUSR1);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    check("a blocked signal waits", signals_seen == SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    check("and is delivered later", signals_seen == 2 * SIGUSR1);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void check_rest(void)
{
    int numbers[] = {5, 3, 9, 1, 7};
    struct utsname name;
    char path[16];
    time_t day = 951782400;

    qsort(numbers, 5, sizeof(*numbers), compare);
    check("qsort", numbers[0] == 1 && numbers[4] == 9);
    check("uname", !uname(&name) && !strcmp(name.machine, "x86_64"));
    check("getcwd", getcwd(path, sizeof(path)) && path[0] == '/');
    check("gmtime", gmtime(&day)->tm_mday == 29);
    check("time", time(NULL) > 1600000000);
    check("constructors", constructed == 7);
    check("environ", !setenv("MAYFLY_TEST", "yes", 1) &&
                         !strcmp(getenv("MAYFLY_TEST"), "yes"));
    check("open of a missing file", open("/none", O_RDONLY) < 0);
}

static void *run_thread(void *argument)
{
    return argument;
}

static void check_threads(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run_thread, NULL);

    /* One thread per guest so far; elsewhere it must work. */
    check("pthread_create", error == 0 || error == EAGAIN);
    if (!error)
        pthread_join(thread, NULL);
    check("mutexes", !pthread_mutex_lock(&lock) &&
                         pthread_mutex_trylock(&lock) == EBUSY &&
                         !pthread_mutex_unlock(&lock));
}

static void say_goodbye(void)
{
    printf("ok   atexit\n");
}

int main(void)
{
    atexit(say_goodbye);
    check_stdio();
    check_malloc();
    check_mmap();
    check_tls();
    check_setjmp();
    check_signals();
    check_threads();
    check_rest();
    return failures != 0;
}
