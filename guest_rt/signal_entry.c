/* SPDX-License-Identifier: MIT */
/* What holds the information of pending signals. */
#include "signals.h"

/*
 * All of them are there from the start, where nothing is touched before it is
 * used: a signal has to be sent without asking for memory.
 */
static struct signal_entry entries[SIGNAL_ENTRIES]
    __attribute__((section(".lbss")));
static struct signal_entry *free_entries;
static unsigned used; /* of `entries`: the rest has never been used */

struct signal_entry *signal_entry_get(void)
{
    struct signal_entry *entry = free_entries;

    if (entry)
        free_entries = entry->next;
    else if (used < SIGNAL_ENTRIES)
        entry = &entries[used++];
    return entry;
}

void signal_entry_put(struct signal_entry *entry)
{
    entry->next = free_entries;
    free_entries = entry;
}
