/* SPDX-License-Identifier: MIT */
/* Memory and faults in guests: rights, repairs, and who gets their tables. */
#include <stdio.h>
#include <string.h>

#include <mayfly/abi.h>

#include "tests/kvm/kvm_test.h"

#define MIB (1ull << 20)

#define VECTOR_PF 14

TestSuite(memory, .timeout = 240);

/* All checks of the image say ok, and nothing needed the monitor. */
static void assert_all_ok(const char *part, uint64_t mem_bytes)
{
    struct guest guest = {
        .image = "memory",
        .args = {part},
        .options = {.mem_bytes = mem_bytes},
    };

    run_guest(&guest);
    cr_assert_null(strstr(guest.output, "FAIL"), "%s", guest.output);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.exits_hypercall - guest.stats.hypercall_populate,
                 1);
}

Test(memory, faults_are_signals_and_can_be_repaired)
{
    assert_all_ok("faults", 0);
}

Test(memory, mappings_have_their_places_rights_and_errors)
{
    assert_all_ok("maps", 0);
    assert_all_ok("maps", 64 * MIB);
}

Test(memory, mappings_move_with_contents_and_rights)
{
    assert_all_ok("moves", 0);
    assert_all_ok("moves", 64 * MIB);
}

Test(memory, files_are_mapped)
{
    assert_all_ok("files", 0);
}

Test(memory, survives_20000_random_changes)
{
    assert_all_ok("model", 0);
}

Test(memory, is_the_same_above_4_gib)
{
    assert_all_ok("model", 5120 * MIB);
    assert_all_ok("maps", 5120 * MIB);
}

Test(memory, a_handler_without_a_stack_ends_in_a_report)
{
    struct guest guest = {.image = "memory", .args = {"wild"}};

    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_CRASHED);
    cr_assert_eq(guest.result.crash.kind, MAYFLY_CRASH_FAULT);
    cr_assert_eq(guest.result.crash.vector, VECTOR_PF);
    cr_assert_eq(guest.result.crash.regs[MF_RSP], 8);
    cr_assert_eq(find_frame(&guest, "run_wild"), 0);
    cr_assert_str_eq(guest.output, "memory\nwild\n");
}

/* The frame would overwrite what is below that stack. */
Test(memory, a_handler_with_too_little_a_stack_ends_in_a_report)
{
    struct guest guest = {.image = "memory", .args = {"little"}};

    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_CRASHED);
    cr_assert_eq(guest.result.crash.vector, VECTOR_PF);
    cr_assert_eq(find_frame(&guest, "run_little"), 0);
    cr_assert_str_eq(guest.output, "memory\nlittle\n");
}

Test(memory, faults_cost_no_exit)
{
    struct guest guest = {.image = "faultbench", .args = {"3"}};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(strstr(guest.output, "faults=900\n"), "%s", guest.output);
    /* Its exit, and memory that it asked for ahead. */
    cr_assert_eq(guest.stats.hypercall_exit, 1);
    cr_assert_eq(guest.stats.exits_hypercall,
                 1 + guest.stats.hypercall_populate);
    cr_assert_leq(guest.stats.hypercall_populate, 8);
}

static struct mayfly_stats run_heap(const char *how)
{
    struct guest guest = {
        .image = "heap",
        .args = {how},
        .options = {.mem_bytes = 64 * MIB},
    };

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    return guest.stats;
}

Test(memory, a_heap_that_is_used_is_provided_ahead)
{
    struct mayfly_stats used = run_heap(NULL);

    /* After 256 KiB, windows of 256 KiB, 512 KiB, 1 MiB, then 2 MiB. */
    cr_assert_geq(used.hypercall_populate, 8);
    cr_assert_leq(used.hypercall_populate, 12);
    cr_assert_eq(used.exits_hypercall, used.hypercall_populate + 1);
    cr_assert_leq(used.mem_touched_bytes, 21 * MIB);
}

Test(memory, a_heap_that_is_not_used_is_not_provided)
{
    struct mayfly_stats sparse = run_heap("sparse");

    cr_assert_leq(sparse.hypercall_populate, 8);
    cr_assert_leq(sparse.mem_touched_bytes, 5 * MIB);
}

static bool asks_for_tables(const char *name)
{
    struct mayfly_image image;
    char error[MAYFLY_ERROR_BYTES];
    int fd = open_image(name);

    cr_assert_eq(mayfly_inspect(fd, &image, error), 0, "%s", error);
    return image.paging;
}

Test(memory, only_images_that_protect_memory_have_their_tables)
{
    cr_assert(asks_for_tables("memory"));
    cr_assert(asks_for_tables("faultbench"));
    cr_assert_not(asks_for_tables("hello"));
    cr_assert_not(asks_for_tables("release")); /* malloc and free */
    cr_assert_not(asks_for_tables("pagetable"));
}
