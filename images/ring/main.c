/* SPDX-License-Identifier: MIT */
/* Breaks the console's ring in the way that its argument names. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/virtio_ring.h>
#include <mayfly/abi.h>

/*
 * The runtime's driver is not used before the ring is broken: what happens in
 * the queues is only what is written here. Every case ends in the same way: a
 * kick, a short wait, and exit status 0 if the VM still runs. "at-end" and
 * "plain" are right and must print.
 */

#define BOOT     ((const struct mf_boot *)MF_BOOT_PAGE)
#define RECEIVE  0
#define TRANSMIT 1

#define WAIT_UNTIL_NS 50000000

static struct vring_desc *desc;
static struct vring_avail *avail;
static uint32_t size;

static char text[64] = "sixteen bytes.\r\n";
static struct vring_desc table[8];

static long hypercall(unsigned number, uint64_t a, uint64_t b)
{
    long result;

    __asm__ volatile("out %%al, %1"
                     : "=a"(result)
                     : "N"(MF_HYPERCALL_PORT), "a"((long)number), "D"(a), "S"(b)
                     : "memory");
    return result;
}

static void choose(unsigned number)
{
    const struct mf_queue *queue =
        (const struct mf_queue *)BOOT->devices[0].queues + number;

    desc = (struct vring_desc *)queue->desc;
    avail = (struct vring_avail *)queue->avail;
    size = queue->size;
}

static uint64_t end_of_memory(void)
{
    uint64_t low = MF_RAM_LOW_END;

    return BOOT->mem_bytes <= low ? BOOT->mem_bytes
                                  : MF_RAM_HIGH_BASE + BOOT->mem_bytes - low;
}

static void publish(uint16_t head)
{
    avail->ring[avail->idx % size] = head;
    __atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

/* Makes one buffer available, whatever it is. */
static void offer(uint64_t address, uint32_t bytes, uint16_t flags,
                  uint16_t next)
{
    desc[0] = (struct vring_desc){address, bytes, flags, next};
    publish(0);
}

static void plain(void)
{
    offer((uint64_t)text, 16, 0, 0);
}

static void at_end(void)
{
    char *last = (char *)end_of_memory() - 16;

    memcpy(last, text, 16);
    offer((uint64_t)last, 16, 0, 0);
}

static void past_end(void)
{
    offer(end_of_memory() - 16, 17, 0, 0);
}

static void after_end(void)
{
    offer(end_of_memory(), 1, 0, 0);
}

static void beyond(void)
{
    offer(1ull << 40, 16, 0, 0);
}

static void address_overflow(void)
{
    offer(UINT64_MAX - 7, 16, 0, 0);
}

static void hole(void)
{
    offer(MF_RAM_LOW_END, 16, 0, 0);
}

static void length_huge(void)
{
    offer((uint64_t)text, UINT32_MAX, 0, 0);
}

static void length_zero(void)
{
    offer((uint64_t)text, 0, 0, 0);
}

static void index_jump(void)
{
    plain();
    avail->idx += 1000;
}

static void index_back(void)
{
    plain();
    avail->idx -= 2;
}

static void index_full(void)
{
    avail->idx += size + 1;
}

static void head_past_table(void)
{
    publish((uint16_t)size);
}

static void head_highest(void)
{
    publish(UINT16_MAX);
}

static void next_past_table(void)
{
    offer((uint64_t)text, 16, VRING_DESC_F_NEXT, (uint16_t)size);
}

static void chain_to_itself(void)
{
    offer((uint64_t)text, 16, VRING_DESC_F_NEXT, 0);
}

static void chain_loop(void)
{
    for (uint32_t i = 0; i < size; i++)
        desc[i] = (struct vring_desc){(uint64_t)text, 16, VRING_DESC_F_NEXT,
                                      (uint16_t)((i + 1) % size)};
    publish(0);
}

static void writable_output(void)
{
    offer((uint64_t)text, 16, VRING_DESC_F_WRITE, 0);
}

static void indirect(uint64_t address, uint32_t bytes, uint16_t flags)
{
    for (unsigned i = 0; i < 8; i++)
        table[i] = (struct vring_desc){(uint64_t)text, 16, flags,
                                       (uint16_t)((i + 1) % 8)};
    offer(address, bytes, VRING_DESC_F_INDIRECT, 0);
}

static void indirect_loop(void)
{
    indirect((uint64_t)table, sizeof(table), VRING_DESC_F_NEXT);
}

static void indirect_nested(void)
{
    indirect((uint64_t)table, sizeof(table), VRING_DESC_F_INDIRECT);
}

static void indirect_odd(void)
{
    indirect((uint64_t)table, 17, 0);
}

static void indirect_empty(void)
{
    indirect((uint64_t)table, 0, 0);
}

static void indirect_past_end(void)
{
    indirect(end_of_memory() - 16, 32, 0);
}

static void indirect_huge(void)
{
    indirect((uint64_t)table, 0xfffffff0, 0);
}

static void indirect_and_next(void)
{
    offer((uint64_t)table, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
}

/* What comes from standard input would be written there. */
static void input_over_system_pages(void)
{
    choose(RECEIVE);
    offer(0x1000, 4096, VRING_DESC_F_WRITE, 0);
}

static void input_past_end(void)
{
    choose(RECEIVE);
    offer(end_of_memory() - 8, 4096, VRING_DESC_F_WRITE, 0);
}

static void input_over_code(void)
{
    choose(RECEIVE);
    offer(BOOT->image.base, 4096, VRING_DESC_F_WRITE, 0);
}

static void input_not_writable(void)
{
    choose(RECEIVE);
    offer((uint64_t)text, 16, 0, 0);
}

static void output_of_system_pages(void)
{
    offer(0x1000, 4096, 0, 0);
}

/* The queue's own memory as its buffer. */
static void input_over_ring(void)
{
    choose(RECEIVE);
    offer((uint64_t)desc, size * sizeof(*desc), VRING_DESC_F_WRITE, 0);
}

#define CASE(name, function) \
    {                        \
        name, function       \
    }

static const struct {
    const char *name;
    void (*corrupt)(void);
} cases[] = {
    CASE("plain", plain),
    CASE("at-end", at_end),
    CASE("past-end", past_end),
    CASE("after-end", after_end),
    CASE("beyond", beyond),
    CASE("address-overflow", address_overflow),
    CASE("hole", hole),
    CASE("length-huge", length_huge),
    CASE("length-zero", length_zero),
    CASE("index-jump", index_jump),
    CASE("index-back", index_back),
    CASE("index-full", index_full),
    CASE("head-past-table", head_past_table),
    CASE("head-highest", head_highest),
    CASE("next-past-table", next_past_table),
    CASE("chain-to-itself", chain_to_itself),
    CASE("chain-loop", chain_loop),
    CASE("writable-output", writable_output),
    CASE("indirect-loop", indirect_loop),
    CASE("indirect-nested", indirect_nested),
    CASE("indirect-odd", indirect_odd),
    CASE("indirect-empty", indirect_empty),
    CASE("indirect-past-end", indirect_past_end),
    CASE("indirect-huge", indirect_huge),
    CASE("indirect-and-next", indirect_and_next),
    CASE("input-over-system-pages", input_over_system_pages),
    CASE("input-past-end", input_past_end),
    CASE("input-over-code", input_over_code),
    CASE("input-not-writable", input_not_writable),
    CASE("input-over-ring", input_over_ring),
    CASE("output-of-system-pages", output_of_system_pages),
};

static void run(void (*corrupt)(void))
{
    const struct mf_device *console = &BOOT->devices[0];

    choose(TRANSMIT);
    corrupt();
    hypercall(MF_HC_KICK, 1ull << console->doorbell, 0);
    /* The clock is near 0 when the VM starts: this is in a short while. */
    hypercall(MF_HC_WAIT, BOOT->events, WAIT_UNTIL_NS);
    hypercall(MF_HC_EXIT, 0, 0);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "plain";

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (!strcmp(cases[i].name, wanted))
            run(cases[i].corrupt);
    fprintf(stderr, "ring: one of:");
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        fprintf(stderr, " %s", cases[i].name);
    fprintf(stderr, "\n");
    return 2;
}
