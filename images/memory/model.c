/* SPDX-License-Identifier: MIT */
/* Thousands of random changes, against a model of what should be there. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A window of pages, across several pages of 2 MiB. */
#define WINDOW_PAGES 1400
#define ROUNDS       20000

/* A munmap of so many pages closes all of them before it returns. */
#define AT_ONCE 8

/* LATE is free, and may be accessible still. */
enum state { FREE, NONE, READ, WRITE, LATE };

static struct {
    enum state state;
    char value; /* of its first and last byte */
} model[WINDOW_PAGES];

static char *window;
static unsigned state = 12345;

static unsigned random_below(unsigned limit)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static int rights_of(enum state wanted)
{
    return wanted == NONE   ? PROT_NONE
           : wanted == READ ? PROT_READ
                            : PROT_READ | PROT_WRITE;
}

static void set(unsigned first, unsigned count, enum state wanted, int value)
{
    for (unsigned i = first; i < first + count; i++) {
        model[i].state = wanted;
        if (value >= 0)
            model[i].value = (char)value;
    }
}

/*
 * Of a long range only the beginning is closed at once (guest_rt/README.md);
 * what is closed already stays so.
 */
static void set_free(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        bool at_once = count <= AT_ONCE || i == first;

        if (model[i].state != FREE)
            set(i, 1, at_once ? FREE : LATE, 0);
        else
            set(i, 1, FREE, 0);
    }
}

static bool is_mapped(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        if (model[i].state == FREE || model[i].state == LATE)
            return false;
    return true;
}

static void write_page(unsigned page)
{
    char value = (char)(random_below(255) + 1);

    if (model[page].state != WRITE)
        return;
    poke(window + page * PAGE, value);
    poke(window + page * PAGE + PAGE - 1, value);
    model[page].value = value;
}

static bool page_is_right(unsigned page)
{
    char *at = window + page * PAGE;

    switch (model[page].state) {
    case LATE:
        return true;
    case FREE:
    case NONE:
        return !can_read(at) && !can_read(at + PAGE - 1);
    case READ:
        return peek(at) == model[page].value &&
               peek(at + PAGE - 1) == model[page].value && !can_write(at);
    case WRITE:
        return peek(at) == model[page].value &&
               peek(at + PAGE - 1) == model[page].value && can_write(at);
    }
    return false;
}

/* One change; returns whether it went as the model says. */
static bool change(void)
{
    unsigned first = random_below(WINDOW_PAGES);
    unsigned most = random_below(16) ? 8 : 600;
    unsigned count = random_below(most) + 1;
    char *at = window + first * PAGE;
    enum state wanted = (enum state)(NONE + random_below(3));
    bool mapped;

    if (count > WINDOW_PAGES - first)
        count = WINDOW_PAGES - first;
    switch (random_below(4)) {
    case 0:
        set_free(first, count);
        return munmap(at, count * PAGE) == 0;
    case 1:
        set(first, count, wanted, 0);
        return mmap(at, count * PAGE, rights_of(wanted),
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at;
    case 2:
        mapped = is_mapped(first, count);
        if (!mapped) /* Linux changes what comes before the hole */
            return true;
        set(first, count, wanted, -1);
        return mprotect(at, count * PAGE, rights_of(wanted)) == 0;
    default:
        for (unsigned i = first; i < first + count; i++)
            write_page(i);
        return true;
    }
}

void check_model(void)
{
    unsigned bad_changes = 0, bad_pages = 0;

    window = map_pages(WINDOW_PAGES, PROT_READ | PROT_WRITE);
    set(0, WINDOW_PAGES, WRITE, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        bad_changes += !change();
        bad_pages += !page_is_right(random_below(WINDOW_PAGES));
    }
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        bad_pages += !page_is_right(i);
    CHECK("20000 random changes", bad_changes == 0);
    CHECK("and every page is as it should be", bad_pages == 0);
    if (bad_changes || bad_pages)
        printf("%u changes, %u pages\n", bad_changes, bad_pages);
    munmap(window, WINDOW_PAGES * PAGE);
}
