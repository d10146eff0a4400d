/* SPDX-License-Identifier: MIT */
/* Guests that fail, and guests that attack: each ends as it should. */
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mayfly/abi.h>

#include "tests/kvm/kvm_test.h"
#include "tests/unit/elf_file.h"

#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_PF 14

#define FAULT_PRESENT 1u
#define FAULT_WRITE   2u
#define FAULT_USER    4u
#define FAULT_FETCH   16u

TestSuite(crash, .timeout = 240);

/* What the guests do is worth warnings; here it is meant. */
static void be_quiet(void)
{
    mayfly_set_log_level(MAYFLY_LOG_ERROR);
}

TestSuite(hostile, .init = be_quiet, .timeout = 240);

static void assert_crashed(const struct guest *guest,
                           enum mayfly_crash_kind kind, unsigned vector)
{
    const char *what = guest->args[0] ? guest->args[0] : guest->image;

    cr_assert_eq(guest->result.end, MAYFLY_CRASHED, "%s: end %d", what,
                 guest->result.end);
    cr_assert_eq(guest->result.crash.kind, kind, "%s: kind %d", what,
                 guest->result.crash.kind);
    cr_assert_eq(guest->result.crash.vector, vector, "%s: vector %u", what,
                 guest->result.crash.vector);
}

/* The innermost frame is rip, in this function. */
static void assert_crashed_in(const struct guest *guest, const char *function)
{
    cr_assert_geq(guest->frame_count, 2);
    cr_assert_eq(guest->frames[0].address, guest->result.crash.rip);
    cr_assert_eq(find_frame(guest, function), 0, "in %s",
                 guest->frames[0].name);
}

/* ---- Faults ------------------------------------------------------------- */

static void run_null(struct guest *guest, const char *how, uint64_t error)
{
    *guest = (struct guest){.image = "null", .args = {how}};
    run_guest(guest);
    assert_crashed(guest, MAYFLY_CRASH_FAULT, VECTOR_PF);
    cr_assert_eq(guest->result.crash.error, error);
    cr_assert(guest->result.crash.has_address);
    cr_assert_eq(guest->result.crash.address, 0);
    cr_assert_not(guest->result.crash.stack_overflow);
}

Test(crash, reading_a_null_pointer)
{
    struct guest guest;

    run_null(&guest, "read", FAULT_USER);
    assert_crashed_in(&guest, "main");
    cr_assert_geq(find_frame(&guest, "_start"), 1);
}

Test(crash, writing_a_null_pointer)
{
    struct guest guest;

    run_null(&guest, "write", FAULT_USER | FAULT_WRITE);
    assert_crashed_in(&guest, "main");
}

Test(crash, calling_a_null_pointer)
{
    struct guest guest;

    run_null(&guest, "call", FAULT_USER | FAULT_FETCH);
    cr_assert_eq(guest.result.crash.rip, 0);
    cr_assert_geq(find_frame(&guest, "_start"), 1);
}

Test(crash, stack_overflow_is_recognised)
{
    struct guest guest = {.image = "overflow"};

    run_guest(&guest);
    assert_crashed(&guest, MAYFLY_CRASH_FAULT, VECTOR_PF);
    cr_assert(guest.result.crash.stack_overflow);
    cr_assert(guest.result.crash.has_address);
    assert_crashed_in(&guest, "descend");
    cr_assert_eq(guest.frame_count, MAYFLY_FRAMES_MAX);
    cr_assert_leq(guest.result.crash.address,
                  guest.result.crash.regs[MF_RSP] + 4096);
}

Test(crash, illegal_instruction)
{
    struct guest guest = {.image = "illegal"};

    run_guest(&guest);
    assert_crashed(&guest, MAYFLY_CRASH_FAULT, VECTOR_UD);
    cr_assert_not(guest.result.crash.has_address);
    assert_crashed_in(&guest, "main");
}

Test(crash, double_fault)
{
    struct guest guest = {.image = "doublefault"};

    run_guest(&guest);
    assert_crashed(&guest, MAYFLY_CRASH_FAULT, VECTOR_DF);
    assert_crashed_in(&guest, "main");
}

Test(crash, abort_names_the_functions_that_led_to_it)
{
    struct guest guest = {.image = "abort"};

    run_guest(&guest);
    assert_crashed(&guest, MAYFLY_CRASH_ABORT, 6);
    cr_assert_str_eq(guest.output, "giving up: step 3\n");
    int abort_at = find_frame(&guest, "abort");
    int give_up = find_frame(&guest, "give_up");
    int work = find_frame(&guest, "work");
    int main_at = find_frame(&guest, "main");
    cr_assert(0 <= abort_at && abort_at < give_up && give_up < work &&
              work < main_at);
}

Test(crash, a_smashed_stack)
{
    struct guest guest = {.image = "smash"};

    run_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_CRASHED);
    cr_assert_geq(find_frame(&guest, "__stack_chk_fail"), 0);
    cr_assert_str_eq(guest.output, "");
}

/* ---- Raw guests --------------------------------------------------------- */

/*
 * A guest of these machine instructions, without any fault handler, but with
 * these flags in its note.
 */
static void run_flagged(struct guest *guest, const void *code, size_t bytes,
                        uint64_t flags)
{
    struct elf_file file;

    elf_file_init(&file);
    file.note.desc.fault_vectors = 0;
    file.note.desc.flags = flags;
    *guest = (struct guest){.image_fd = elf_file_open(&file)};
    cr_assert_eq(pwrite(guest->image_fd, code, bytes,
                        ELF_FILE_CODE + ELF_FILE_ENTRY % MF_PAGE_BYTES),
                 (ssize_t)bytes);
    run_guest(guest);
}

static void run_code(struct guest *guest, const void *code, size_t bytes)
{
    run_flagged(guest, code, bytes, 0);
}

#define RUN_CODE(guest, code) run_code(guest, code, sizeof(code) - 1)

Test(crash, triple_fault_without_handlers)
{
    struct guest guest;

    RUN_CODE(&guest, "\x0f\x0b"); /* ud2 */
    assert_crashed(&guest, MAYFLY_CRASH_TRIPLE, 0);
}

Test(crash, a_guest_starts_with_the_documented_registers)
{
    struct guest guest;

    /* An unknown hypercall ends it: mov $0xee, %al; out %al, $0x6d */
    RUN_CODE(&guest, "\xb0\xee\xe6\x6d");
    assert_crashed(&guest, MAYFLY_CRASH_HYPERCALL, 0);
    const struct mayfly_crash *crash = &guest.result.crash;
    cr_assert_eq(crash->error, 0xee);
    for (unsigned i = MF_RBX; i < MF_REG_COUNT; i++)
        if (i != MF_RSP && i != MF_RDI)
            cr_assert_eq(crash->regs[i], 0, "register %u", i);
    cr_assert_eq(crash->regs[MF_RDI], MF_BOOT_PAGE);
    cr_assert_eq(crash->regs[MF_RSP] % 16, 0);
    cr_assert_eq(crash->rflags & ~0x10000ull, 0x202);
}

/* ---- Attacks ------------------------------------------------------------ */

static void assert_monitor_survived(void)
{
    struct guest guest = {.image = "hello"};

    run_guest(&guest);
    assert_exited(&guest, 0, "Hello from a Mayfly VM.\n");
}

static const char *const privileged[] = {
    "cli",       "sti",       "hlt",    "read-cr0", "write-cr0", "write-cr3",
    "write-cr4", "write-dr7", "rdmsr",  "wrmsr",    "lgdt",      "lidt",
    "ltr",       "invlpg",    "wbinvd", "swapgs",   "ring0",
};

Test(hostile, privileged_instructions_are_protection_faults)
{
    for (unsigned i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++) {
        struct guest guest = {.image = "privileged", .args = {privileged[i]}};

        run_guest(&guest);
        assert_crashed(&guest, MAYFLY_CRASH_FAULT, VECTOR_GP);
    }
    assert_monitor_survived();
}

/* Which fault it is differs between processors and backends. */
Test(hostile, entries_to_a_kernel_lead_nowhere)
{
    static const char *const ways[] = {"syscall", "sysret", "sysenter",
                                       "int80"};

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct guest guest = {.image = "privileged", .args = {ways[i]}};

        run_guest(&guest);
        cr_assert_eq(guest.result.end, MAYFLY_CRASHED, "%s", ways[i]);
        cr_assert_str_eq(guest.output, "");
    }
    assert_monitor_survived();
}

Test(hostile, ports_other_than_the_hypercalls_are_closed)
{
    static const char *const ports[] = {"port-out", "port-out-next",
                                        "port-wide"};

    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        struct guest guest = {.image = "wild", .args = {ports[i]}};

        run_guest(&guest);
        assert_crashed(&guest, MAYFLY_CRASH_FAULT, VECTOR_GP);
    }
}

Test(hostile, senseless_hypercalls_end_the_guest)
{
    static const struct {
        const char *name;
        uint64_t number;
    } cases[] = {
        {"unknown-number", 0x7f},        {"highest-number", 0xff},
        {"crash-past-end", MF_HC_CRASH}, {"crash-beyond", MF_HC_CRASH},
        {"crash-overflow", MF_HC_CRASH}, {"crash-garbage", MF_HC_CRASH},
        {"port-in", MF_HYPERCALL_PORT},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest guest = {.image = "wild", .args = {cases[i].name}};

        run_guest(&guest);
        assert_crashed(&guest, MAYFLY_CRASH_HYPERCALL, 0);
        cr_assert_eq(guest.result.crash.error, cases[i].number, "%s",
                     cases[i].name);
    }
    assert_monitor_survived();
}

/* A report is only read: a made-up one is as good as any other. */
Test(hostile, made_up_crash_reports_are_shown_and_bounded)
{
    static const char *const names[] = {"crash-at-end", "crash-frames"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct guest guest = {.image = "wild", .args = {names[i]}};

        run_guest(&guest);
        assert_crashed(&guest, MAYFLY_CRASH_FAULT, 0);
        cr_assert_leq(guest.frame_count, 3);
    }
}

Test(hostile, odd_hypercalls_that_are_allowed_do_no_harm)
{
    static const struct {
        const char *name, *output;
        int status;
    } cases[] = {
        {"kick-all", "kick-all = 0\n", 0},
        {"wait-past", "wait-past = 0\n", 0},
        {"wait-changed", "wait-changed = 0\n", 0},
        {"exit-huge", "", 0x2a},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest guest = {.image = "wild", .args = {cases[i].name}};

        run_guest(&guest);
        assert_exited(&guest, cases[i].status, cases[i].output);
    }
}

/* Backends take a string instruction apart differently. */
Test(hostile, a_string_of_hypercalls_ends_the_guest)
{
    struct guest guest = {.image = "wild", .args = {"port-string"}};

    run_guest(&guest);
    cr_assert(guest.result.end == MAYFLY_CRASHED ||
              guest.result.end == MAYFLY_EXITED);
    assert_monitor_survived();
}

static const char *const corruptions[] = {
    "past-end",
    "after-end",
    "beyond",
    "address-overflow",
    "hole",
    "length-huge",
    "length-zero",
    "index-jump",
    "index-back",
    "index-full",
    "head-past-table",
    "head-highest",
    "next-past-table",
    "chain-to-itself",
    "chain-loop",
    "writable-output",
    "indirect-loop",
    "indirect-nested",
    "indirect-odd",
    "indirect-empty",
    "indirect-past-end",
    "indirect-huge",
    "indirect-and-next",
    "input-past-end",
    "input-not-writable",
};

Test(hostile, corrupt_rings_stop_the_console_and_nothing_else)
{
    for (unsigned i = 0; i < sizeof(corruptions) / sizeof(corruptions[0]);
         i++) {
        struct guest guest = {.image = "ring",
                              .args = {corruptions[i]},
                              .input = "input for nobody"};

        run_guest(&guest);
        assert_exited(&guest, 0, "");
        cr_assert_eq(guest.stats.output_bytes, 0, "%s", corruptions[i]);
    }
    assert_monitor_survived();
}

Test(hostile, input_over_the_guests_own_code_or_ring_hurts_only_the_guest)
{
    static const char *const names[] = {"input-over-code", "input-over-ring"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct guest guest = {.image = "ring",
                              .args = {names[i]},
                              .input = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

        run_guest(&guest);
        cr_assert(guest.result.end == MAYFLY_CRASHED ||
                  guest.result.end == MAYFLY_EXITED);
    }
    assert_monitor_survived();
}

/* ---- Ring 0 ------------------------------------------------------------- */

Test(hostile, no_memory_access_reaches_the_tables)
{
    struct guest guest = {.image = "pagetable"};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(strstr(guest.output, "all closed"));
    cr_assert_not(strstr(guest.output, "BREACH"));
}

/* Code that ends with rdi at the table of the first 2 MiB. */
#define FIND_TABLE                                               \
    "\x48\x8b\x3c\x25\x08\x01\x01\x00" /* mov page_root, %rdi */ \
        DESCEND DESCEND DESCEND
#define DESCEND                                           \
    "\x48\x8b\x3f"                 /* mov (%rdi), %rdi */ \
    "\x48\x81\xe7\x00\xf0\xff\xff" /* and $-4096, %rdi */

/* mov $512, %ecx; mov $-1, %eax; rep stosq; ud2 */
#define FILL "\xb9\x00\x02\x00\x00\xb8\xff\xff\xff\xff\xf3\x48\xab\x0f\x0b"

Test(hostile, a_guest_with_its_tables_hurts_itself_only)
{
    static const struct {
        const char *code;
        size_t bytes;
    } cases[] = {
#define CASE(code) {code, sizeof(code) - 1}
        /* Senseless entries in the top table, and in the last one. */
        CASE("\x48\x8b\x3c\x25\x08\x01\x01\x00" FILL),
        CASE(FIND_TABLE FILL),
        /* movq $0x1067, 8(%rdi); mov $0x1000, %edi: the system page */
        CASE(FIND_TABLE "\x48\xc7\x47\x08\x67\x10\x00\x00"
                        "\xbf\x00\x10\x00\x00" FILL),
        /* movq $0x1067, (%rdi), at the table's own entry: it maps itself */
        CASE(FIND_TABLE "\x48\x89\xf8\x48\x83\xc8\x67\x48\x89\x07"
                        "\x31\xff" FILL),
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guest guest;

        run_flagged(&guest, cases[i].code, cases[i].bytes,
                    MF_NOTE_PAGING | MF_NOTE_FAULT_ADDRESS);
        cr_assert_eq(guest.result.end, MAYFLY_CRASHED, "%u", i);
    }
    assert_monitor_survived();
}

/* Without the flag there is no root, and nothing at its usual place. */
Test(hostile, a_guest_without_the_flag_has_no_tables)
{
    struct guest guest;

    /* mov page_root, %rbx; mov $0xee, %al; out %al, $0x6d */
    RUN_CODE(&guest, "\x48\x8b\x1c\x25\x08\x01\x01\x00\xb0\xee\xe6\x6d");
    assert_crashed(&guest, MAYFLY_CRASH_HYPERCALL, 0);
    cr_assert_eq(guest.result.crash.regs[MF_RBX], 0);
    /* movq $0, 0x2000 */
    RUN_CODE(&guest, "\x48\xc7\x04\x25\x00\x20\x00\x00\x00\x00\x00\x00");
    assert_crashed(&guest, MAYFLY_CRASH_TRIPLE, 0);
}

Test(hostile, the_device_does_not_write_over_the_tables_for_a_guest)
{
    struct guest guest = {.image = "ring",
                          .args = {"input-over-system-pages"},
                          .input = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

    run_guest(&guest);
    cr_assert_eq(guest.stats.input_bytes, 0);
    assert_monitor_survived();
}

Test(hostile, the_device_does_not_read_the_tables_for_a_guest)
{
    struct guest guest = {.image = "ring", .args = {"output-of-system-pages"}};

    run_guest(&guest);
    cr_assert_eq(guest.stats.output_bytes, 0);
    assert_monitor_survived();
}
