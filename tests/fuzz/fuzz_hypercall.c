/* SPDX-License-Identifier: MIT */
/* Fuzzes the run loop: hypercalls, crash reports and signals without KVM. */

/*
 * The run loop is compiled once more, with the processor, the clock and the
 * waiting calls replaced: each entry into the guest takes the next action of
 * the script, which changes guest memory and says why the guest stopped.
 */

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/fuzz/script.h"
#include "vmm/base/log.h"

/* Headers know the names that they are compiled under once more. */
#define tick_create  scripted_tick_create
#define tick_destroy scripted_tick_destroy
#define tick_arm     scripted_tick_arm
#define tick_came    scripted_tick_came
#define tick_disarm  scripted_tick_disarm
#define tick_join    scripted_tick_join
#define tick_leave   scripted_tick_leave
#define tick_stray   scripted_tick_stray

#include "vmm/base/os.h"
#include "vmm/vm.h"

#define RAM_BYTES   (1u << 20)
#define STOPS_MAX   64u
#define INPUT_BYTES 300

static int scripted_run(struct vcpu *vcpu, struct vcpu_stop *stop);
static int scripted_fault_address(const struct vcpu *vcpu, uint64_t *address);
static uint64_t scripted_ns(void);
static int scripted_poll(const struct pollfd *file, int count,
                         const struct timespec *timeout, const sigset_t *mask);

static long scripted_call(long first, ...);
static int scripted_signal(int first, ...);

#undef os_syscall
#define os_syscall(...)         scripted_call(__VA_ARGS__)
#define os_sigaction(...)       scripted_signal(__VA_ARGS__)
#define os_sigmask(...)         scripted_signal(__VA_ARGS__)
#define os_ppoll(file, ...)     scripted_poll(file, __VA_ARGS__)
#define vcpu_run                scripted_run
#define vcpu_get_fault_address  scripted_fault_address
#define os_now_ns               scripted_ns
#define vm_prepare_run          scripted_prepare_run
#define vm_unprepare_run        scripted_unprepare_run
#define vm_run                  scripted_vm_run
#define mayfly_run              scripted_mayfly_run
#define mayfly_stop             scripted_mayfly_stop
#define mayfly_resize           scripted_mayfly_resize
#define mayfly_request_snapshot scripted_mayfly_request_snapshot
#define mayfly_takes_signals    scripted_mayfly_takes_signals
#define mayfly_signal           scripted_mayfly_signal
#define serve_prepare           scripted_serve_prepare
#define serve_end               scripted_serve_end
#define serve_must_end          scripted_serve_must_end
#define serve_all               scripted_serve_all
#define serve_kick              scripted_serve_kick
#define serve_tick              scripted_serve_tick
#define serve_wait              scripted_serve_wait
#define serve_finish            scripted_serve_finish
#define serve_begin             scripted_serve_begin
#define serve_unasked           scripted_serve_unasked
#define serve_flush_streams     scripted_serve_flush_streams

int scripted_prepare_run(struct mayfly *vm, char *error);
void scripted_unprepare_run(struct mayfly *vm);
int scripted_vm_run(struct mayfly *vm, uint64_t timeout_ns,
                    struct mayfly_result *result, char *error);
int scripted_mayfly_run(struct mayfly *vm, struct mayfly_result *result,
                        char *error);
void scripted_mayfly_stop(struct mayfly *vm);
void scripted_mayfly_resize(struct mayfly *vm);
bool scripted_mayfly_takes_signals(const struct mayfly *vm);
bool scripted_mayfly_signal(struct mayfly *vm, int number);
void scripted_mayfly_request_snapshot(struct mayfly *vm);

#include "vmm/tick.c"
#include "vmm/serve.c"
#include "vmm/run.c"

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
static uint8_t tables[MF_BOOT_PAGE]; /* as they were in the beginning */
static uint8_t run_page[2 * 4096] __attribute__((aligned(4096)));
static struct script script;
static struct mayfly vm;
static unsigned stops, injections;
static uint64_t now_ns;
static struct mf_queue queues[3]; /* receive, transmit, transmit errors */

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* ---- The guest ---------------------------------------------------------- */

/* An address that is likely to matter. */
static uint64_t choose_address(void)
{
    static const uint64_t places[] = {
        0,         0x1000,         MF_BOOT_PAGE,     MF_DEVICE_PAGE, 0x40000,
        RAM_BYTES, MF_RAM_LOW_END, MF_RAM_HIGH_BASE, UINT64_MAX,
    };
    uint64_t place = places[script_below(&script, ARRAY_SIZE(places))];

    return place + (uint64_t)(int16_t)script_number(&script, 2);
}

/* Writes one word of guest memory, most likely of a ring. */
static void change_memory(void)
{
    uint64_t at = script_below(&script, 4) ? MF_DEVICE_PAGE : MF_BOOT_PAGE;
    unsigned bytes = 1u << script_below(&script, 4);
    uint64_t value = script_below(&script, 4) ? script_number(&script, bytes)
                                              : choose_address();

    at += script_number(&script, 2) % MF_PAGE_BYTES & ~(uint64_t)(bytes - 1);
    memcpy(ram + at, &value, bytes);
}

/* Makes one buffer available, as a driver would or not quite. */
static void offer_buffer(void)
{
    const struct mf_queue *queue = &queues[script_below(&script, 3)];
    uint16_t head = (uint16_t)script_below(&script, queue->size);
    uint16_t *avail = (uint16_t *)(ram + queue->avail);
    struct vring_desc desc = {
        .addr = choose_address(),
        .len = (uint32_t)script_number(&script, 2),
        .flags = (uint16_t)script_below(&script, 8),
        .next = (uint16_t)script_below(&script, queue->size),
    };

    memcpy(ram + queue->desc + head * sizeof(desc), &desc, sizeof(desc));
    avail[2 + avail[1] % queue->size] = head;
    avail[1]++;
}

/* Arms, masks, raises or times upcalls. */
static void change_upcalls(void)
{
    struct mf_boot *boot = (struct mf_boot *)(ram + MF_BOOT_PAGE);

    boot->upcall_events = script_number(&script, 1);
    boot->upcall_masked = script_below(&script, 2);
    boot->events ^= script_number(&script, 1);
    boot->signals_wanted = script_number(&script, 1) * 0x101010101010101u;
    boot->signals_came &= boot->signals_wanted >> script_below(&script, 8);
    if (script_below(&script, 2))
        boot->upcall_deadline_ns =
            now_ns - vm.clock.epoch_ns + script_number(&script, 3);
}

/* An upcall that was counted is in the registers and on its stack. */
static void check_upcall(const struct vcpu *vcpu)
{
    const struct kvm_regs *regs = &vcpu->run->s.regs.regs;
    const struct mf_boot *boot = (const struct mf_boot *)(ram + MF_BOOT_PAGE);

    if (vm.stats.injections == injections)
        return;
    must(vm.stats.injections == ++injections);
    must(regs->rip == vm.image.upcall_entry && boot->upcall_masked);
    must(regs->rsp == MF_UPCALL_STACK + MF_PAGE_BYTES - 40);
}

static void write_report(uint64_t at)
{
    struct mf_crash report = {
        .kind = script_below(&script, 3),
        .vector = script_below(&script, 40),
        .error = script_number(&script, 1),
        .rip = choose_address(),
    };

    report.regs[MF_RBP] = choose_address();
    if (at >= MF_BOOT_PAGE && at <= RAM_BYTES - sizeof(report))
        memcpy(ram + at, &report, sizeof(report));
}

static void choose_hypercall(struct vcpu_stop *stop)
{
    stop->exit = VCPU_EXIT_HYPERCALL;
    stop->number = script_below(&script, 8);
    stop->args[0] =
        script_below(&script, 2) ? script_number(&script, 8) : choose_address();
    stop->args[1] = script_below(&script, 2)
                        ? script_number(&script, 8)
                        : now_ns + script_number(&script, 2);
    if (stop->number == MF_HC_CRASH && script_below(&script, 4))
        write_report(stop->args[0]);
}

static int scripted_run(struct vcpu *vcpu, struct vcpu_stop *stop)
{
    *stop = (struct vcpu_stop){.exit = VCPU_EXIT_HYPERCALL};
    check_upcall(vcpu);
    if (script.left == 0 || stops++ == STOPS_MAX)
        return 0; /* MF_HC_EXIT */
    now_ns += script_number(&script, 1) * 1000000;
    if (script_below(&script, 2))
        change_upcalls();
    for (unsigned i = script_below(&script, 8); i > 0; i--)
        if (script_below(&script, 2))
            offer_buffer();
        else
            change_memory();
    switch (script_below(&script, 16)) {
    case 0:
        stop->exit = VCPU_EXIT_TRIPLE;
        break;
    case 1:
        stop->exit = VCPU_EXIT_PORT;
        break;
    case 2:
        stop->exit = VCPU_EXIT_MEMORY;
        stop->detail = choose_address();
        break;
    case 3:
        stop->exit = VCPU_EXIT_KVM;
        break;
    case 4:
    case 5:
        stop->exit = VCPU_EXIT_SIGNAL;
        break;
    case 6:
        return -ENOMEM;
    default:
        choose_hypercall(stop);
        break;
    }
    return 0;
}

/* ---- The host ----------------------------------------------------------- */

/* Signals and timers: they work, and nothing comes of them. */
static long scripted_call(long first, ...)
{
    (void)first;
    return 0;
}

static int scripted_signal(int first, ...)
{
    (void)first;
    return 0;
}

static int scripted_fault_address(const struct vcpu *vcpu, uint64_t *address)
{
    (void)vcpu;
    *address = choose_address();
    return script_below(&script, 8) ? 0 : -EIO;
}

static uint64_t scripted_ns(void)
{
    return now_ns;
}

/* Waiting ends: by input, by a signal, by time, or for good. */
static int scripted_poll(const struct pollfd *file, int count,
                         const struct timespec *timeout, const sigset_t *mask)
{
    must(file && mask && (!timeout || timeout->tv_nsec < 1000000000));
    now_ns += 1000000;
    if (script.left == 0)
        scripted_mayfly_stop(&vm);
    switch (script_below(&script, 5)) {
    case 0:
        return -EINTR;
    case 1:
        return count;
    case 2:
        now_ns += script_number(&script, 4);
        return 0;
    case 3:
        scripted_mayfly_signal(&vm, (int)script_below(&script, 70) - 2);
        return -EINTR;
    default:
        scripted_mayfly_stop(&vm);
        return -EINTR;
    }
}

/* ---- One VM ------------------------------------------------------------- */

static const struct image image = {
    .entry = 0x41000,
    .base = 0x40000,
    .end = 0x42000,
    .upcall_entry = 0x41800,
    .segment_count = 1,
    .segments = {{.address = 0x40000, .bytes = 0x2000, .execute = true}},
};

static int input_file(void)
{
    static const char text[INPUT_BYTES] = "input";
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("input", MFD_CLOEXEC);
        must(write(fd, text, sizeof(text)) == sizeof(text));
    }
    must(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void find_queues(void)
{
    const struct mf_boot *boot = (const struct mf_boot *)(ram + MF_BOOT_PAGE);

    memcpy(queues, ram + boot->devices[0].queues, 2 * sizeof(queues[0]));
    memcpy(&queues[2], ram + boot->devices[1].queues + sizeof(queues[0]),
           sizeof(queues[0]));
}

static void set_up(void)
{
    static int null = -1;

    if (null < 0)
        null = open("/dev/null", O_WRONLY);
    memset(ram, 0, sizeof(ram));
    memset(run_page, 0, sizeof(run_page));
    memset(&vm, 0, sizeof(vm));
    vm.vcpu = (struct vcpu){.fd = -1, .run = (struct kvm_run *)run_page};
    vm.image_fd = -1;
    vm.image = image;
    vm.ram = (struct gmem){
        .regions = {{.base = 0, .bytes = RAM_BYTES, .host = ram}}, .count = 1};
    must(machine_plan(&vm.machine, &image, RAM_BYTES, 0, NULL) == 0);
    must(machine_build(&vm.machine, &image, &(struct machine_boot){0}, &vm.ram,
                       NULL) == 0);
    memcpy(tables, ram, sizeof(tables));
    vm.mem = vm.ram;
    machine_guest_memory(&vm.machine, &vm.mem);
    clock_init(&vm.clock, 2000000);
    must(native_init(&vm.native, &vm.mem) == 0);
    console_init(&vm.console, input_file(), null, CONSOLE_OUT_CHAINS);
    must(native_add(&vm.native, &vm.console.dev, vm.console.flags) == 0);
    console_init(&vm.errors, -1, null, CONSOLE_ERR_CHAINS);
    must(native_add(&vm.native, &vm.errors.dev, vm.errors.flags) == 0);
    must(upcall_init(&vm.upcalls, &vm.mem, &vm.native.events,
                     image.upcall_entry) == 0);
    must(signals_init(&vm.signals, &vm.mem, &vm.native.events) == 0);
    find_queues();
    vm.loaded = true;
    log_set_level(LOG_ERROR);
    now_ns = vm.clock.epoch_ns;
    stops = injections = 0;
}

/* Whatever the guest did, the result makes sense and can be explained. */
static void check(const struct mayfly_result *result)
{
    struct mayfly_frame frames[MAYFLY_FRAMES_MAX];
    struct mayfly_stats stats;

    must(memcmp(tables, ram, sizeof(tables)) == 0);
    must(result->end <= MAYFLY_AT_CALL);
    if (result->end == MAYFLY_EXITED)
        must(result->status >= 0 && result->status <= 255);
    if (result->end == MAYFLY_CRASHED) {
        must(result->crash.kind <= MAYFLY_CRASH_LOST);
        must(mayfly_backtrace(&vm, &result->crash, frames, MAYFLY_FRAMES_MAX) <=
             MAYFLY_FRAMES_MAX);
    }
    mayfly_get_stats(&vm, &stats);
    must(stats.exits <= STOPS_MAX + 1);
    must(stats.injections <= stats.exits_interrupt);
    must(stats.missing_count <= MAYFLY_MISSING_MAX);
    must(stats.input_bytes <= INPUT_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mayfly_result result;

    script = (struct script){data, bytes};
    set_up();
    vm.options.timeout_ns = script_number(&script, 4);
    if (script_below(&script, 32) == 0)
        scripted_mayfly_stop(&vm);
    if (scripted_mayfly_run(&vm, &result, NULL) == 0)
        check(&result);
    scripted_unprepare_run(&vm);
    return 0;
}
