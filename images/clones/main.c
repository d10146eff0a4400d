/* SPDX-License-Identifier: MIT */
/* A guest that says what no two clones of it may have in common. */

/*
 *   clones           a clone says its numbers, and connects to 10.0.0.1
 *   clones connect   the same, with a connection to 10.0.0.1 before
 *   clones busy      threads allocate and print, everywhere, all the time
 *   clones sleep     sleeps until real time is a second further
 *   clones compute   computes until it is told
 *   clones accept    accepts a connection of its own
 *   clones epoll     waits for one, and for one to 10.0.0.1 that is there
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mayfly/snapshot.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* ---- Numbers ------------------------------------------------------------- */

static void print_bytes(const char *name, const void *bytes, size_t count)
{
    printf("%s ", name);
    for (size_t i = 0; i < count; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
    printf("\n");
}

static void print_random(const char *name)
{
    unsigned char bytes[16];

    getrandom(bytes, sizeof(bytes), 0);
    print_bytes(name, bytes, sizeof(bytes));
}

static void print_file(const char *name, const char *path, bool as_bytes)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, text, as_bytes ? 16 : sizeof(text) - 1);

    if (as_bytes && got == 16)
        print_bytes(name, text, 16);
    else
        printf("%s %s", name, text);
    close(fd);
}

static void *read_canary(void *to)
{
    __asm__("mov %%fs:0x28, %0" : "=r"(*(uint64_t *)to));
    return NULL;
}

static void print_canaries(void)
{
    uint64_t canaries[2];
    pthread_t thread;

    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, NULL, read_canary, &canaries[i]);
        pthread_join(thread, NULL);
    }
    print_bytes("canary", &canaries[0], 8);
    print_bytes("canary", &canaries[1], 8);
}

/* The port that a socket gets by itself. */
static void print_port(const char *name, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, type, 0);

    bind(fd, (struct sockaddr *)&address, sizeof(address));
    getsockname(fd, (struct sockaddr *)&address, &bytes);
    printf("%s %d\n", name, ntohs(address.sin_port));
    close(fd);
}

static void print_addresses(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "eth0"};
    char name[65] = "";

    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
        print_bytes("mac", request.ifr_hwaddr.sa_data, 6);
    if (ioctl(fd, SIOCGIFADDR, &request) == 0)
        printf("ip %s\n",
               inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
    close(fd);
    gethostname(name, sizeof(name));
    printf("host %s\n", name);
}

static void print_all(void)
{
    print_random("random");
    print_file("urandom", "/dev/urandom", true);
    print_file("uuid", "/proc/sys/kernel/random/uuid", false);
    print_bytes("auxv", (const void *)getauxval(AT_RANDOM), 16);
    print_canaries();
    print_port("tcp", SOCK_STREAM);
    print_port("udp", SOCK_DGRAM);
    print_addresses();
}

/* Not the first of them in this VM. */
static void use_all(void)
{
    int out = dup(1), null = open("/dev/null", O_WRONLY);

    dup2(null, 1);
    print_all();
    fflush(stdout);
    dup2(out, 1);
    close(out);
    close(null);
}

/* ---- Connections --------------------------------------------------------- */

/* From that port, or any if it is 0. */
static int begin_connecting(uint16_t port)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(7)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    inet_aton("10.0.0.1", &peer.sin_addr);
    bind(fd, (struct sockaddr *)&own, sizeof(own));
    connect(fd, (struct sockaddr *)&peer, sizeof(peer));
    return fd;
}

static int connect_to_peer(void)
{
    int fd = begin_connecting(0), error = -1;
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    socklen_t bytes = sizeof(error);

    poll(&writable, 1, 5000);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    printf("connected %d\n", error);
    return fd;
}

static void print_connection(int fd)
{
    char byte;

    if (read(fd, &byte, 1) < 0)
        printf("read %s\n", strerror(errno));
}

/* ---- Clones -------------------------------------------------------------- */

static int make_timer(void)
{
    const struct itimerspec far = {.it_value = {.tv_sec = INT32_MAX * 2ll}};
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);

    timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far,
                    NULL);
    return fd;
}

static void on_clone(void *argument)
{
    char *text = malloc(1000);

    (void)argument;
    snprintf(text, 1000, "%s", "told");
    print_random(text);
    free(text);
}

static int be_cloned(bool connected)
{
    int timer = make_timer(), connection = -1;
    uint64_t times;

    use_all();
    if (connected) {
        connection = connect_to_peer();
        sleep(2); /* IPv6 has made all known, and would take it back */
    }
    mayfly_on_clone(on_clone, NULL);
    fflush(stdout);
    if (!mayfly_snapshot_point())
        return 4;
    print_all();
    if (read(timer, &times, sizeof(times)) < 0)
        printf("timer %s\n", strerror(errno));
    if (connected)
        print_connection(connection);
    usleep(1000); /* what the peer has sent comes in */
    begin_connecting(4000);
    return 5;
}

/* ---- Threads that are everywhere ----------------------------------------- */

static volatile bool telling, intruded, leave;

static void compute(int rounds)
{
    for (volatile int i = 0; i < rounds; i = i + 1)
        ;
}

static void *be_busy(void *argument)
{
    while (!leave) {
        char *memory = malloc(100);

        flockfile(stdout);
        compute(3000);
        intruded = intruded || telling;
        funlockfile(stdout);
        free(memory);
    }
    return argument;
}

static void tell(void *argument)
{
    telling = true;
    on_clone(argument);
    compute(100000);
    telling = false;
}

static int be_busy_everywhere(void)
{
    pthread_t threads[3];

    mayfly_on_clone(tell, NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, be_busy, NULL);
    for (int i = 0; i < 4; i++) {
        usleep(1000);
        if (mayfly_snapshot_point()) {
            leave = true;
            for (int j = 0; j < 3; j++)
                pthread_join(threads[j], NULL);
            printf("intruded %d\n", intruded);
            return 6;
        }
    }
    leave = true;
    return 4;
}

/* ---- Servers --------------------------------------------------------------
 */

static int listen_at(struct sockaddr_in *own)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *own = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
    inet_aton("127.0.0.1", &own->sin_addr);
    bind(fd, (struct sockaddr *)own, sizeof(*own));
    listen(fd, 5);
    return fd;
}

static void *connect_later(void *own)
{
    usleep(20000);
    connect(socket(AF_INET, SOCK_STREAM, 0), own, sizeof(struct sockaddr_in));
    return NULL;
}

static int accept_one(void)
{
    struct sockaddr_in own;
    int fd = listen_at(&own);
    pthread_t thread;

    mayfly_on_clone(on_clone, NULL);
    pthread_create(&thread, NULL, connect_later, &own);
    printf("accepted %d\n", accept(fd, NULL, NULL) > fd);
    return 8;
}

static int wait_for_events(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_in own;
    int epoll = epoll_create1(0), listener, connection = connect_to_peer();

    event.data.fd = connection;
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
    listener = listen_at(&own);
    event.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    epoll_wait(epoll, &event, 1, -1);
    printf("event %d\n", event.data.fd == connection);
    return 9;
}

/* ---- Computing ------------------------------------------------------------
 */

static volatile bool told;

static void note_it(void *argument)
{
    (void)argument;
    told = true;
}

/* Without a single call of anything. */
static int compute_until_told(void)
{
    mayfly_on_clone(note_it, NULL);
    for (volatile uint64_t i = 0; !told && i < 20000000000; i = i + 1)
        ;
    return told ? 10 : 1;
}

/* ---- Real time ----------------------------------------------------------- */

static double seconds(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int sleep_a_second(void)
{
    double began = seconds(CLOCK_MONOTONIC);
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
    printf("slept %.3f\n", seconds(CLOCK_MONOTONIC) - began);
    return 7;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "busy") == 0)
        return be_busy_everywhere();
    if (strcmp(what, "sleep") == 0)
        return sleep_a_second();
    if (strcmp(what, "compute") == 0)
        return compute_until_told();
    if (strcmp(what, "accept") == 0)
        return accept_one();
    if (strcmp(what, "epoll") == 0)
        return wait_for_events();
    return be_cloned(strcmp(what, "connect") == 0);
}
