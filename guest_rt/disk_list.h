/* SPDX-License-Identifier: MIT */
/* Lists of disk requests, in order. */
#ifndef GUEST_RT_DISK_LIST_H
#define GUEST_RT_DISK_LIST_H

#include <stddef.h>
#include <mayfly/disk.h>

/* The head points to the first and to the last one. */
struct list {
    struct disk_request *first, *last;
};

static inline void list_add(struct list *list, struct disk_request *request)
{
    request->next = NULL;
    request->previous = list->last;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

static inline void list_remove(struct list *list, struct disk_request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        list->first = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        list->last = request->previous;
}

#endif
