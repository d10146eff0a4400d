/* SPDX-License-Identifier: MIT */
/* Fuzzes the console: a hostile driver, and host files of every mood. */
#include "tests/fuzz/changing.h"

#define RAM_BYTES 0x8000u
#define IN_FD     100
#define OUT_FD    101

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = MF_BOOT_PAGE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct native native;
static struct console console;
static struct mf_queue queues[2]; /* as they were before the guest ran */
static struct script *answers;    /* how host calls end; NULL: all of it */
static unsigned host_calls;

/* Every piece lies in guest memory. Returns the sum of their lengths. */
static size_t check_pieces(const struct iovec *iov, int count)
{
    size_t total = 0;

    bug_on(count < 0 || count > (int)CONSOLE_CHAINS_MAX);
    for (int i = 0; i < count; i++) {
        const uint8_t *start = iov[i].iov_base;

        bug_on(start < ram || start >= ram + RAM_BYTES);
        bug_on(iov[i].iov_len == 0);
        bug_on(iov[i].iov_len > (size_t)(ram + RAM_BYTES - start));
        total += iov[i].iov_len;
    }
    return total;
}

/* What the host says to moving `bytes` bytes. */
static ssize_t answer(size_t bytes)
{
    host_calls++;
    if (!answers || answers->left == 0)
        return (ssize_t)bytes;
    switch (script_below(answers, 16)) {
    case 0:
        return -EINTR;
    case 1:
        return -EAGAIN;
    case 2:
        return script_below(answers, 8) == 0 ? -EPIPE : -EAGAIN;
    case 3:
    case 4:
    case 5:
        return (ssize_t)min_u64(bytes, script_number(answers, 1));
    case 6:
        return (ssize_t)min_u64(bytes, script_number(answers, 2));
    default:
        return (ssize_t)bytes;
    }
}

static ssize_t hooked_os_writev(int fd, const struct iovec *iov, int count)
{
    bug_on(fd != OUT_FD || count == 0);
    return answer(check_pieces(iov, count));
}

static ssize_t hooked_os_readv(int fd, const struct iovec *iov, int count)
{
    ssize_t bytes = answer(check_pieces(iov, count));
    size_t left = bytes > 0 ? (size_t)bytes : 0;

    bug_on(fd != IN_FD);
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = min_u64(left, iov[i].iov_len);

        memset(iov[i].iov_base, 'i', part);
        left -= part;
    }
    return bytes;
}

static int hooked_os_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    bug_on(fds->fd != OUT_FD || count != 1 || timeout_ms != -1);
    return answer(1) == -EINTR ? -EINTR : 1;
}

static int hooked_os_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    struct winsize *size = (struct winsize *)argument;

    bug_on((fd != IN_FD && fd != OUT_FD) || request != TIOCGWINSZ);
    if (!answers)
        return fd == OUT_FD ? 0 : -ENOTTY;
    size->ws_col = script_below(answers, 4);
    size->ws_row = script_below(answers, 4);
    return script_below(answers, 8) == 0 ? -EIO : 0;
}

static uint8_t *at(uint64_t address)
{
    return ram + (address - MF_BOOT_PAGE);
}

static void start(void)
{
    const struct mf_boot *boot = (struct mf_boot *)ram;

    changes_begin(ram);
    answers = NULL;
    memset(ram, 0, sizeof(ram));
    console_init(&console, IN_FD, OUT_FD, CONSOLE_OUT_CHAINS);
    bug_on(native_init(&native, &mem));
    bug_on(native_add(&native, &console.dev, console.flags));
    memcpy(queues, at(boot->devices[0].queues), sizeof(queues));
}

static uint32_t any_offset(struct script *script, uint32_t bytes)
{
    return (uint32_t)script_number(script, 2) % (RAM_BYTES - bytes + 1);
}

static void write_anything(struct script *script)
{
    uint64_t value = script_number(script, 8);

    memcpy(ram + any_offset(script, 8), &value, 8);
}

static void arm_change(struct script *script)
{
    unsigned look = 1 + script_below(script, 64);
    uint32_t offset =
        script_below(script, 2)
            ? any_offset(script, 8)
            : (uint32_t)(queues[script_below(script, 2)].desc - MF_BOOT_PAGE) +
                  8 * script_below(script, 128);

    change_at(look, offset, script_number(script, 8));
}

/* One chain of up to 8 descriptors, mostly a sound one. */
static void post_chain(struct script *script)
{
    unsigned index = script_below(script, 2);
    const struct mf_queue *queue = &queues[index];
    struct vring_avail *avail = (struct vring_avail *)at(queue->avail);
    uint32_t slot = script_below(script, queue->size);
    unsigned count = 1 + script_below(script, 8);

    avail->ring[avail->idx++ & (queue->size - 1)] = (uint16_t)slot;
    for (unsigned i = 0; i < count; i++) {
        uint32_t next = (slot + 1) & (queue->size - 1);
        struct vring_desc desc = {
            MF_BOOT_PAGE + any_offset(script, 0),
            (uint32_t)script_number(script, 1),
            i + 1 < count ? VRING_DESC_F_NEXT : 0,
            (uint16_t)next,
        };

        if (index == CONSOLE_RX)
            desc.flags |= VRING_DESC_F_WRITE;
        if (script_below(script, 16) == 0)
            desc.flags ^= script_below(script, 8);
        memcpy(at(queue->desc) + slot * sizeof(desc), &desc, sizeof(desc));
        slot = next;
    }
}

static void check_state(void)
{
    unsigned pieces = 0;

    bug_on(console.chain_first + console.chain_count > CONSOLE_CHAINS_MAX);
    bug_on(console.iov_first + console.iov_count > CONSOLE_CHAINS_MAX);
    for (unsigned i = 0; i < console.chain_count; i++)
        pieces += console.chains[console.chain_first + i].pieces;
    bug_on(pieces != console.iov_count);
    check_pieces(console.iov + console.iov_first, (int)console.iov_count);
}

static void serve(struct script *script)
{
    int result;

    host_calls = 0;
    result = script_below(script, 2)
                 ? vdev_set_serve(&native.set, VDEV_SET_ALL)
                 : vdev_set_serve(&native.set, script_number(script, 1));
    bug_on(result != 0 && result != -EINTR);
    /* Each call but the last few moves on or uses up script. */
    bug_on(host_calls > 20000 + script->left);
    check_state();
}

static void feed_input(void)
{
    struct pollfd file;
    int fd, result;

    vdev_want(&console.dev, &file);
    fd = file.fd;
    bug_on(fd != -1 && fd != IN_FD);
    result = vdev_ready(&console.dev);
    bug_on(result != 0 && result != -EINTR);
}

/* The VM begins anew, its terminal changes, or somebody polls, or stops. */
static void change_around(struct script *script)
{
    uint32_t generation = console.dev.generation;
    struct virtio_console_config old = console.config;

    switch (script_below(script, 32)) {
    case 0:
        start();
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        console_resize(&console);
        bug_on(console.dev.generation - generation !=
               (memcmp(&old, &console.config, sizeof(old)) != 0));
        break;
    case 5:
    case 6:
        vdev_poll(&console.dev, true);
        break;
    case 7:
    case 8:
        vdev_poll(&console.dev, false);
        serve(script);
        break;
    }
}

static void one_action(struct script *script)
{
    switch (script_below(script, 10)) {
    case 0:
        write_anything(script);
        break;
    case 1:
        arm_change(script);
        break;
    case 2:
    case 3:
    case 4:
        post_chain(script);
        break;
    case 5:
    case 6:
        feed_input();
        break;
    case 7:
        change_around(script);
        break;
    default:
        serve(script);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    log_set_sink(ignore_line);
    start();
    while (script.left > 0) {
        answers = &script;
        one_action(&script);
    }
    vdev_set_status(&console.dev, 0);
    check_state();
    bug_on(console.chain_count != 0);
    return 0;
}
