/* SPDX-License-Identifier: MIT */
/* What the runtime would be for the sockets of fuzz_inet.c. */
#ifndef TESTS_FUZZ_INET_RUNTIME_H
#define TESTS_FUZZ_INET_RUNTIME_H

struct runtime_lock mf_runtime_lock;
static uint64_t now_ns = 1000000000;

uint64_t mf_clock_monotonic(void)
{
    return now_ns;
}

void mf_random_fill(void *buffer, size_t bytes)
{
    memset(buffer, 0x5a, bytes);
}

void *mf_pages_alloc(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

void mf_pages_free(void *pages, size_t bytes)
{
    munmap(pages, bytes);
}

/* Each block is the host's own, so that sanitizers see its ends. */
void *inet_memory_alloc(size_t bytes)
{
    return malloc(bytes);
}

void *inet_memory_calloc(size_t count, size_t bytes)
{
    return calloc(count, bytes);
}

void inet_memory_free(void *memory)
{
    free(memory);
}

void generation_watch(void)
{
}

static bool moved; /* to another address */

const char *option_get(const char *key, unsigned index)
{
    if (moved && strcmp(key, "ip") == 0 && index == 0)
        return "0:10.0.0.3/24,gw=10.0.0.1,ip6=fd00::3/64";
    return strcmp(key, "ip") == 0 && index == 0
               ? "0:10.0.0.2/24,gw=10.0.0.1,ip6=fd00::2/64"
               : NULL;
}

void source_add(struct source *source)
{
    (void)source;
}

void timer_root_changed(void)
{
}

void wait_wake(struct wait_queue *queue, uint32_t events, unsigned limit)
{
    (void)queue;
    (void)events;
    (void)limit;
}

int wait_on(struct wait_queue *queue, uint64_t deadline_ns)
{
    (void)queue;
    (void)deadline_ns;
    return -ETIMEDOUT;
}

void signal_pipe(void)
{
}

struct file *file_create(const struct file_ops *ops, void *data, int flags)
{
    struct file *file = calloc(1, sizeof(*file));

    file->ops = ops;
    file->data = data;
    file->flags = flags;
    return file;
}

long file_install(struct file *file, unsigned least, bool close_on_exec)
{
    (void)file;
    (void)least;
    (void)close_on_exec;
    return 0;
}

struct file *file_get(long fd)
{
    (void)fd;
    return NULL;
}

void file_put(struct file *file)
{
    (void)file;
}

int socket_vsock_create(int domain, int type, int protocol,
                        struct socket **socket)
{
    (void)domain;
    (void)type;
    (void)protocol;
    (void)socket;
    return -EAFNOSUPPORT;
}

bool inet_lead_query(ip_addr_t *to, uint16_t port)
{
    (void)to;
    (void)port;
    return false;
}

void inet_lead_answer(ip_addr_t *from, uint16_t port)
{
    (void)from;
    (void)port;
}

void inet_deliver(void)
{
}

#endif
