/* SPDX-License-Identifier: MIT */
/* Hypercalls under other machines, as general protection faults. */
#include "guest_rt/pvh.h"

#include <linux/virtio_mmio.h>
#include <mayfly/note.h>

/* The monitor's exit statuses for a guest's crash and for its own failures. */
#define STATUS_CRASH 123
#define STATUS_ERROR 125

#define PORT_DEBUG 0xe9 /* QEMU: -device isa-debugcon */
#define PORT_EXIT  0xf4 /* QEMU: -device isa-debug-exit */

#define OUT_AL    0xe6 /* out %al, imm8 */
#define OUT_BYTES 2
#define VECTOR_GP 13

extern const struct mf_note_elf __mayfly_note;

static struct mf_boot *boot_page(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

/* ---- The end --------------------------------------------------------- */

static void put_text(const char *text)
{
    while (*text)
        pvh_out8(PORT_DEBUG, (uint8_t)*text++);
}

static void put_number(uint64_t value, unsigned base)
{
    if (value >= base)
        put_number(value / base, base);
    pvh_out8(PORT_DEBUG, (uint8_t) "0123456789abcdef"[value % base]);
}

_Noreturn void pvh_end(const char *what, uint64_t value)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt;

    put_text(what);
    put_text(" ");
    put_number(value, 10);
    put_text("\n");
    __asm__ volatile("outl %0, %1" : : "a"(0), "Nd"((uint16_t)PORT_EXIT));
    /* No such device: a fault without a handler resets the machine. */
    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
    __builtin_unreachable();
}

static _Noreturn void end_with_crash(const struct mf_crash *crash)
{
    put_text(crash->kind == MF_CRASH_FAULT ? "fault " : "abort ");
    put_number(crash->vector, 10);
    put_text(" at 0x");
    put_number(crash->rip, 16);
    put_text("\n");
    pvh_end("exit", STATUS_CRASH);
}

/* ---- Waiting --------------------------------------------------------- */

static uint64_t read_clock(void)
{
    const struct mf_clock *clock = &boot_page()->clock;

    return (uint64_t)((unsigned __int128)(__builtin_ia32_rdtsc() -
                                          clock->tsc_base) *
                          clock->mult >>
                      32);
}

/* What the monitor does with each notification: raises the device's event. */
static void look_at_devices(void)
{
    struct mf_boot *boot = boot_page();

    for (uint32_t i = 0; i < boot->device_count && i < MF_DEVICES_MAX; i++) {
        volatile uint32_t *registers =
            (volatile uint32_t *)boot->devices[i].registers;
        uint32_t status = registers[VIRTIO_MMIO_INTERRUPT_STATUS / 4];

        if (!status)
            continue;
        registers[VIRTIO_MMIO_INTERRUPT_ACK / 4] = status;
        boot->events |= UINT64_C(1) << boot->devices[i].event;
    }
}

/* Without interrupts: it looks until something is there, or it is time. */
static uint64_t wait_for_event(uint64_t seen, uint64_t deadline_ns)
{
    for (;;) {
        look_at_devices();
        if (boot_page()->events != seen || read_clock() >= deadline_ns)
            return boot_page()->events;
        __builtin_ia32_pause();
    }
}

/* ---- Traps ----------------------------------------------------------- */

static uint64_t do_hypercall(const struct pvh_frame *frame)
{
    switch (frame->rax & 0xff) {
    case MF_HC_EXIT:
        pvh_end("exit", frame->rdi & 0xff);
    case MF_HC_WAIT:
        return wait_for_event(frame->rdi, frame->rsi);
    case MF_HC_KICK:
        return 0; /* no device here is native: none has a doorbell */
    case MF_HC_CRASH:
        end_with_crash((const struct mf_crash *)frame->rdi);
    case MF_HC_POPULATE:
        return 0; /* what these machines do about memory is their own affair */
    default:
        pvh_end("unknown hypercall", frame->rax & 0xff);
    }
}

/* Goes on in the image's handler, as the processor would by a gate to it. */
static void forward_fault(struct pvh_frame *frame)
{
    const struct mf_note note = __mayfly_note.note;
    uint64_t *top = (uint64_t *)(MF_FAULT_STACKS + 3 * MF_PAGE_BYTES);

    if (!(note.fault_vectors >> VECTOR_GP & 1))
        pvh_end("exit", STATUS_CRASH);
    pvh_copy(top - 6, &frame->error, 6 * sizeof(*top));
    frame->rip = note.fault_entry + VECTOR_GP * MF_FAULT_STRIDE;
    frame->rsp = (uint64_t)(top - 6);
}

void pvh_trap(struct pvh_frame *frame)
{
    const uint8_t *code = (const uint8_t *)frame->rip;

    if (!(frame->cs & 3))
        pvh_end("fault in the machine's own code", STATUS_ERROR);
    if (frame->error == 0 && code[0] == OUT_AL &&
        code[1] == MF_HYPERCALL_PORT) {
        frame->rax = do_hypercall(frame);
        frame->rip += OUT_BYTES;
    } else {
        forward_fault(frame);
    }
}
