/* SPDX-License-Identifier: MIT */
/* A guest that leaves secrets behind, wherever ring 3 can. */

/*
 * Calls: a word for what to do, and perhaps one for how it is to end (state.h),
 * as in "memory hang". tests/kvm/test_reset.c makes them.
 */
#include <mayfly/disk.h>
#include <mayfly/note.h>
#include <mayfly/upcall.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

/* No gates for #BP and what follows from that: a breakpoint ends the machine.
 */
MF_NOTE(MF_NOTE_VECTORS & ~(1u << 3 | 1u << 8 | 1u << 11 | 1u << 13),
        mf_fault_stubs);

#define PAGE         MF_PAGE_BYTES
#define SECRET       0x5e
#define HEAP_BYTES   (256 << 10)
#define INPUT_BYTES  (1 << 20)
#define DISK_SECTORS 64

static uint8_t input[INPUT_BYTES] __attribute__((aligned(16)));
static uint8_t bss[64 << 10];
static uint8_t sectors[DISK_SECTORS * DISK_SECTOR_BYTES]
    __attribute__((aligned(4096)));
static uint8_t *heap;
static uint8_t home_stack[16 << 10] __attribute__((aligned(16)));
static volatile unsigned upcalls;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

/* ---- Registers ----------------------------------------------------------- */

#define XSAVE_FCW     0
#define XSAVE_FSW     2
#define XSAVE_FTW     4
#define XSAVE_MXCSR   24
#define XSAVE_X87     32
#define XSAVE_XMM     160
#define XSAVE_HEADER  512
#define XSAVE_MORE    576
#define LEGACY_VECTOR 256 /* bytes of XMM registers */

static void put(uint8_t *area, unsigned at, uint64_t value, unsigned bytes)
{
    memcpy(area + at, &value, bytes);
}

/* Vector and x87 state in which every byte that can be is `byte`. */
static void fill_area(uint8_t *area, uint8_t byte, unsigned fcw, unsigned fsw,
                      unsigned mxcsr)
{
    secrets_save(area);
    for (unsigned i = 0; i < 8; i++)
        memset(area + XSAVE_X87 + i * 16, byte, 10);
    memset(area + XSAVE_XMM, byte, LEGACY_VECTOR);
    memset(area + XSAVE_MORE, byte, SECRETS_AREA_BYTES - XSAVE_MORE);
    put(area, XSAVE_FCW, fcw, 2);
    put(area, XSAVE_FSW, fsw, 2);
    put(area, XSAVE_FTW, 0xff, 1); /* all registers in use */
    put(area, XSAVE_MXCSR, mxcsr, 4);
    put(area, XSAVE_HEADER, secrets_xcr0, 8);
}

static void fill_set(struct secrets_registers *set, uint64_t value)
{
    for (unsigned i = 0; i < MF_REG_COUNT; i++)
        set->regs[i] = value + i;
}

static uint32_t has_protection_keys(void)
{
    uint32_t eax = 7, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return ecx >> 4 & 1; /* and the system uses them */
}

static void prepare_registers(void)
{
    struct secrets_registers *home = &secrets_sets[0];
    struct secrets_registers *secrets = &secrets_sets[1];

    secrets_xcr0 = boot()->xcr0 ? (uint32_t)boot()->xcr0 : 3;
    secrets_pkru = has_protection_keys();
    fill_set(home, 0x0101010101010101);
    home->regs[MF_RSP] = (uint64_t)home_stack + sizeof(home_stack) - 256;
    home->rflags = 0x41; /* carry, zero */
    home->gs_base = 0x010101010101;
    fill_area(secrets_areas[0], 0x11, 0x27f, 0, 0x1fa0);
    fill_set(secrets, 0x5ec2e75ec2e75e00);
    /* ID, AC, NT, OF, DF, SF, AF, PF */
    secrets->rflags = 0x244c94;
    secrets->fs_base = 0x5ec2e75ec2e7;
    secrets->gs_base = 0x7ec2e75ec2e8;
    fill_area(secrets_areas[1], SECRET, 0xf7f, 0x7f00, 0xffc0);
}

/* ---- Memory -------------------------------------------------------------- */

static uint64_t stack_pointer(void)
{
    return (uint64_t)__builtin_frame_address(0);
}

static uint64_t thread_pointer(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

/* Fills [start, end), but for what this program needs to go on. */
static void smear(uint64_t start, uint64_t end)
{
    uint64_t thread = thread_pointer();

    for (uint64_t at = start; at < end; at += PAGE)
        if (at + 2 * PAGE <= thread || at >= thread + PAGE)
            memset((void *)at, SECRET, end - at < PAGE ? end - at : PAGE);
}

/* All that the guest can write to, with devices' rings and the boot page. */
static void smear_memory(void)
{
    const struct mf_range free = boot()->free[0];
    const uint64_t stack = boot()->stack_low;

    memset(heap, SECRET, HEAP_BYTES);
    memset(bss, SECRET, sizeof(bss));
    memset(sectors, SECRET, sizeof(sectors));
    memset((void *)(stack_pointer() - 128 - 4096), SECRET, 64);
    smear(stack, (stack_pointer() - 2 * PAGE) & ~(PAGE - 1));
    smear(free.base, free.base + free.bytes);
    smear(MF_BOOT_PAGE, MF_IMAGE_BASE);
}

/* ---- Time ---------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    const struct mf_clock *clock = &boot()->clock;
    uint64_t ticks = __builtin_ia32_rdtsc() - clock->tsc_base;

    return clock->monotonic_ns +
           (uint64_t)((unsigned __int128)ticks * clock->mult >> 32);
}

static void set_timer(uint64_t in_ns)
{
    boot()->signals_wanted = UINT64_MAX;
    boot()->upcall_deadline_ns = now_ns() + in_ns;
}

/* Computes for a while. Returns the events that came, but for the clone's. */
static long watch(uint64_t for_ns)
{
    const uint64_t until = now_ns() + for_ns;
    uint64_t events = 0;

    while (now_ns() < until)
        events |= __atomic_load_n(&boot()->events, __ATOMIC_RELAXED);
    return (long)(events & ~(UINT64_C(1) << MF_EVENT_GENERATION));
}

/* Uses vector registers, in the middle of whatever comes next. */
static void on_event(uint64_t events)
{
    volatile double spoiled = (double)events;

    spoiled = spoiled * 3 + 1;
    upcalls++;
}

/* An upcall that is due, and comes with the next entry into the guest. */
static void leave_upcall(void)
{
    const uint64_t timer = UINT64_C(1) << MF_EVENT_TIMER;

    mf_upcall_mask();
    mf_upcall_arm(on_event, timer);
    mf_upcall_set_timer(now_ns() + 1000000);
    while (!(__atomic_load_n(&boot()->events, __ATOMIC_RELAXED) & timer))
        ;
    boot()->upcall_masked = 0;
}

/* One that comes in a while, whatever is in the registers then. */
static void await_upcall(void)
{
    mf_upcall_arm(on_event, UINT64_C(1) << MF_EVENT_TIMER);
    mf_upcall_set_timer(now_ns() + 20000000);
}

/* Gives it a while to come. Returns how many came. */
static long count_upcalls(void)
{
    const uint64_t until = now_ns() + 20000000;

    while (upcalls == 0 && now_ns() < until)
        ;
    return upcalls;
}

/* ---- Devices ------------------------------------------------------------- */

static long read_disk(void)
{
    struct disk_info info;
    int error = disk_open(0, &info);

    return error ? error : disk_read(0, 0, sectors, DISK_SECTORS);
}

/* Begins a read, and does not wait for it. */
static long begin_reading(void)
{
    static struct disk_request request;
    struct disk_info info;
    int error = disk_open(0, &info);

    request = (struct disk_request){
        .op = DISK_READ,
        .sectors = DISK_SECTORS,
        .buffer = sectors,
    };
    return error ? error : disk_submit(0, &request);
}

static long read_input(void)
{
    return read(STDIN_FILENO, bss, 4096);
}

/* More than a pipe holds. */
static void shout(void)
{
    static char text[32 << 10];

    memset(text, 's', sizeof(text));
    for (int i = 0; i < 16; i++)
        if (write(STDOUT_FILENO, text, sizeof(text)) < 0)
            return;
}

/* ---- Calls --------------------------------------------------------------- */

static int has(const char *word)
{
    return strstr(secrets_call.name, word) != NULL;
}

/* Answers that no guest should give; the input's first byte says which. */
static void answer_wrong(void)
{
    const uint64_t end = boot()->mem_bytes;
    static const struct {
        uint64_t out, out_bytes;
    } answers[] = {
        {MF_BOOT_PAGE, UINT64_MAX},
        {0, 4096},
        {0x1000, 64},
        {MF_BOOT_PAGE - 1, 2},
        {UINT64_MAX - 8, 16},
        {UINT64_C(1) << 63, 64},
    };
    unsigned which = input[0];

    if (which < sizeof(answers) / sizeof(answers[0])) {
        secrets_call.out = answers[which].out;
        secrets_call.out_bytes = answers[which].out_bytes;
    } else {
        secrets_call.out = end - 8; /* over the end of memory */
        secrets_call.out_bytes = 16;
    }
}

/* Room for input that is not what it should be. */
static void offer_wrong_room(void)
{
    static const uint64_t places[] = {
        0, 0x1000, MF_BOOT_PAGE - PAGE, MF_BOOT_PAGE - 8, UINT64_MAX - 100,
    };

    secrets_call.in = places[input[0] % (sizeof(places) / sizeof(places[0]))];
    secrets_call.in_room = UINT64_MAX;
}

static unsigned how_to_end(void)
{
    static const struct {
        const char *word;
        unsigned end;
    } words[] = {
        {"plant", SECRETS_PLANT}, {"hang", SECRETS_HANG},
        {"crash", SECRETS_CRASH}, {"triple", SECRETS_TRIPLE},
        {"leave", SECRETS_EXIT},  {"kick", SECRETS_KICK},
    };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (has(words[i].word))
            return words[i].end;
    return SECRETS_ANSWER;
}

unsigned secrets_act(void)
{
    unsigned end = how_to_end();

    secrets_call.out = (uint64_t)bss;
    secrets_call.out_bytes = 0;
    secrets_call.result = 0;
    if (has("memory"))
        smear_memory();
    if (has("timer"))
        set_timer(20000000);
    if (has("arm"))
        leave_upcall();
    if (has("later"))
        await_upcall();
    if (has("watch"))
        secrets_call.result = watch(60000000);
    if (has("count"))
        secrets_call.result = count_upcalls();
    if (has("disk"))
        secrets_call.result = read_disk();
    if (has("begin"))
        secrets_call.result = begin_reading();
    if (has("input"))
        secrets_call.result = read_input();
    if (has("shout"))
        shout();
    if (has("wrong answer"))
        answer_wrong();
    if (has("wrong room"))
        offer_wrong_room();
    /* Upcalls use the stack, and the pointer to it is about to be a secret. */
    if (end != SECRETS_ANSWER)
        mf_upcall_mask();
    return end;
}

int main(void)
{
    heap = malloc(HEAP_BYTES);
    if (!heap)
        return 1;
    memset(heap, 0x11, HEAP_BYTES);
    prepare_registers();
    /* Between the two there may be tables, which are not the guest's. */
    secrets_all[0].base = MF_BOOT_PAGE;
    secrets_all[0].bytes =
        boot()->image.base + boot()->image.bytes - MF_BOOT_PAGE;
    secrets_all[1].base = boot()->stack_low;
    secrets_all[1].bytes = boot()->mem_bytes - boot()->stack_low;
    secrets_call.in = (uint64_t)input;
    secrets_call.in_room = INPUT_BYTES;
    secrets_serve();
}
