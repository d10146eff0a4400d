/* SPDX-License-Identifier: MIT */
/* The guest's table of threads: numbers, and what is found by them. */
#include <criterion/criterion.h>
#include <stdlib.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/thread_main.c"
#include "guest_rt/thread_table.c"

static bool no_memory;

void *mf_pages_alloc(size_t bytes)
{
    return no_memory ? NULL : calloc(1, bytes);
}

TestSuite(thread_table, .timeout = 60);

Test(thread_table, begins_with_main)
{
    cr_assert_eq(thread_find(MF_PID), &thread_main);
    cr_assert_null(thread_find(0));
    cr_assert_null(thread_find(-1));
    cr_assert_null(thread_find(MF_PID + 1));
    cr_assert_eq(thread_count, 1);
}

Test(thread_table, finds_those_that_have_not_ended)
{
    struct thread *first = thread_add(), *second = thread_add();

    cr_assert_neq(first->tid, second->tid);
    cr_assert_eq(thread_find(first->tid), first);
    cr_assert_eq(thread_find(second->tid), second);
    cr_assert_eq(thread_main.next, first);
    cr_assert_eq(thread_main.previous, second);
    thread_remove(first);
    cr_assert_null(thread_find(first->tid));
    cr_assert_eq(thread_main.next, second);
    cr_assert_eq(thread_count, 2);
}

/* Main's struct stays where it is: the ring begins there. */
Test(thread_table, goes_on_without_main)
{
    struct thread *other = thread_add();

    thread_remove(&thread_main);
    cr_assert_null(thread_find(MF_PID));
    cr_assert_eq(thread_main.next, other);
    cr_assert_eq(thread_count, 1);
    cr_assert_eq(thread_add()->previous, other);
}

Test(thread_table, does_not_give_a_number_out_again_soon)
{
    int last = 0;

    for (unsigned i = 0; i < 1000; i++) {
        struct thread *thread = thread_add();

        cr_assert_neq(thread->tid, last);
        last = thread->tid;
        cr_assert_lt(thread->tid, 200);
        thread_remove(thread);
        thread_reuse(thread);
    }
}

Test(thread_table, is_full_at_some_point)
{
    unsigned count = 0;
    struct thread *last = NULL, *thread;

    while ((thread = thread_add())) {
        last = thread;
        count++;
    }
    cr_assert_eq(count, CHUNKS_MAX * CHUNK_THREADS);
    thread_remove(last);
    thread_reuse(last);
    cr_assert_eq(thread_add(), last);
    cr_assert_null(thread_add());
}

Test(thread_table, is_refused_memory)
{
    no_memory = true;
    cr_assert_null(thread_add());
    cr_assert_eq(thread_count, 1);
    no_memory = false;
    cr_assert_not_null(thread_add());
}
