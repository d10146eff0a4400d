/* SPDX-License-Identifier: MIT */
/* Doubly linked lists whose members carry their links. */
#ifndef VMM_SERVER_LIST_H
#define VMM_SERVER_LIST_H

/*
 * A list is a ring of links with one that belongs to nobody, its head. Members
 * of a list of deadlines are appended as they come: all have the same time to
 * wait, so the first is always the next one.
 */

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *previous, *next; /* itself: in no list */
};

static inline void list_init(struct link *link)
{
    link->previous = link->next = link;
}

static inline bool list_is_empty(const struct link *head)
{
    return head->next == head;
}

/* Puts `link`, which is in no list, before `next`. */
static inline void list_insert(struct link *next, struct link *link)
{
    link->next = next;
    link->previous = next->previous;
    next->previous->next = link;
    next->previous = link;
}

static inline void list_append(struct link *head, struct link *link)
{
    list_insert(head, link);
}

static inline void list_prepend(struct link *head, struct link *link)
{
    list_insert(head->next, link);
}

/* Takes it out of its list, if it is in one. */
static inline void list_remove(struct link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* The structure that has `link` as its `member`. */
#define LIST_OWNER(link, type, member) \
    ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The first one of a list, or NULL. */
#define LIST_FIRST(head, type, member) \
    (list_is_empty(head) ? NULL : LIST_OWNER((head)->next, type, member))

#endif
