/* SPDX-License-Identifier: MIT */
/* The guest's files on the host: what is below them. */
#include "tests/unit/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest_rt/console.h"
#include "guest_rt/option.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/thread.h"
#include "guest_rt/vfs_parts.h"

#define PAGE 4096u

size_t guest_memory_left = SIZE_MAX / 4;
unsigned guest_pieces;
uint64_t guest_now_ns = UINT64_C(1700000000123456789);
unsigned guest_sigpipes;
void (*guest_when_blocked)(void);

/* ---- Memory: the host's, so that sanitizers see each piece ------------- */

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) & -(size_t)PAGE;
}

/* Pages that were handed out; their end may be given back before. */
static struct pages {
    struct pages *next;
    char *at;
    size_t bytes;
} * all_pages;

void *mf_pages_alloc(size_t bytes)
{
    struct pages *pages;

    bytes = whole_pages(bytes);
    if (bytes > guest_memory_left)
        return NULL;
    pages = malloc(sizeof(*pages));
    *pages = (struct pages){all_pages, aligned_alloc(PAGE, bytes), bytes};
    if (!pages->at) {
        free(pages);
        return NULL;
    }
    all_pages = pages;
    guest_memory_left -= bytes;
    guest_pieces++;
    return memset(pages->at, 0, bytes);
}

void mf_pages_free(void *from, size_t bytes)
{
    struct pages **at = &all_pages, *pages;

    bytes = whole_pages(bytes);
    while (*at && (uintptr_t)from - (uintptr_t)(*at)->at >= (*at)->bytes)
        at = &(*at)->next;
    pages = *at;
    if (!pages || (char *)from + bytes != pages->at + pages->bytes)
        abort();
    guest_memory_left += bytes;
    pages->bytes -= bytes;
    if (pages->bytes > 0)
        return;
    *at = pages->next;
    free(pages->at);
    free(pages);
    guest_pieces--;
}

uint64_t mf_memory_free_bytes(void)
{
    return guest_memory_left;
}

/* The size stands before each piece, and is compared. */
#define HEAD 16u

void *pool_alloc(size_t bytes)
{
    unsigned char *piece;

    if (bytes > guest_memory_left)
        return NULL;
    piece = calloc(1, HEAD + bytes);
    memcpy(piece, &bytes, sizeof(bytes));
    guest_memory_left -= bytes;
    guest_pieces++;
    return piece + HEAD;
}

void pool_free(void *piece, size_t bytes)
{
    unsigned char *head;
    size_t is;

    if (!piece)
        return;
    head = (unsigned char *)piece - HEAD;
    memcpy(&is, head, sizeof(is));
    if (is != bytes)
        abort();
    guest_memory_left += bytes;
    guest_pieces--;
    free(head);
}

char *pool_copy_string(const char *string, size_t length)
{
    char *copy = pool_alloc(length + 1);

    return copy ? memcpy(copy, string, length) : NULL;
}

/* ---- Time, threads, signals --------------------------------------------- */

uint64_t mf_clock_realtime(void)
{
    return guest_now_ns;
}

uint64_t mf_clock_monotonic(void)
{
    return 1000000;
}

struct thread thread_main;
struct thread *thread_current = &thread_main;

struct thread *sched_current(void)
{
    return thread_current;
}

int sched_block(uint64_t deadline_ns)
{
    if (guest_when_blocked) {
        guest_when_blocked();
        return 0;
    }
    return deadline_ns == WAIT_NO_END ? -EINTR : -ETIMEDOUT;
}

int sched_block_uninterrupted(uint64_t deadline_ns)
{
    return sched_block(deadline_ns);
}

void sched_wake(struct thread *thread)
{
    (void)thread;
}

bool sched_restart(void)
{
    return false;
}

void source_poll(void)
{
}

void signal_pipe(void)
{
    guest_sigpipes++;
}

/* ---- What is not there -------------------------------------------------- */

/* The first page is not there, as in a guest. */
bool user_can_read(const void *at, size_t bytes)
{
    return !bytes || (uintptr_t)at >= PAGE;
}

bool user_can_write(const void *at, size_t bytes)
{
    return user_can_read(at, bytes);
}

long file_check_room(const struct iovec *iov, long count)
{
    return file_check_vector(iov, count);
}

long file_check_pieces(const struct iovec *iov, long count)
{
    size_t total = 0;

    for (long i = 0; i < count; i++)
        total += iov[i].iov_len;
    return (long)total;
}

long file_check_vector(const struct iovec *iov, long count)
{
    return user_can_read(iov, 1) && user_can_read(iov->iov_base, iov->iov_len)
               ? file_check_pieces(iov, count)
               : -EFAULT;
}

void mf_random_fill(void *buffer, size_t bytes)
{
    memset(buffer, 0x5a, bytes);
}

/* Another test has one that works. */
__attribute__((weak)) long __mayfly_sys_mmap(long address, long length,
                                             long protection, long flags,
                                             long fd, long offset)
{
    (void)address, (void)length, (void)protection;
    (void)flags, (void)fd, (void)offset;
    return -ENOMEM;
}

const struct file_ops console_ops;

long console_read(struct file *file, const struct iovec *iov, int count,
                  off_t offset)
{
    (void)file, (void)iov, (void)count, (void)offset;
    return 0;
}

long console_writev(int fd, const struct iovec *iov, int count)
{
    (void)fd, (void)iov, (void)count;
    return 0;
}

long console_ioctl(struct file *file, unsigned request, long argument)
{
    (void)file, (void)request, (void)argument;
    return -ENOTTY;
}

int console_stat(struct file *file, struct stat *stat)
{
    (void)file, (void)stat;
    return 0;
}

uint32_t console_poll(struct file *file)
{
    (void)file;
    return 0;
}

bool console_is_tty(int fd)
{
    (void)fd;
    return false;
}

struct vnode *proc_create_root(void)
{
    return NULL;
}

void vfs_start_archive(void)
{
}

const char *option_get(const char *key, unsigned index)
{
    (void)key;
    (void)index;
    return NULL;
}

_Noreturn void mf_exit(int status)
{
    (void)status;
    abort();
}

void vfs_start_shares(void)
{
}
