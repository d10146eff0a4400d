/* SPDX-License-Identifier: MIT */
/* Makes system calls by number and measures what one costs. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALLS        10000000
#define UNKNOWN_CALL 9999

static int64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(void)
{
    int64_t start, middle, end;
    long result;

    printf("syscall(SYS_getppid) = %ld\n", syscall(SYS_getppid));
    errno = 0;
    result = syscall(UNKNOWN_CALL);
    printf("syscall(%d) = %ld, %s\n", UNKNOWN_CALL, result,
           errno == ENOSYS ? "ENOSYS" : "not ENOSYS");
    if (result != -1 || errno != ENOSYS)
        return 1;

    start = now_ns();
    for (int i = 0; i < CALLS; i++)
        getppid();
    middle = now_ns();
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    end = now_ns();
    printf("getppid() %.2f ns a call\n", (double)(middle - start) / CALLS);
    printf("syscall(SYS_getppid) %.2f ns a call\n",
           (double)(end - middle) / CALLS);
    return 0;
}
