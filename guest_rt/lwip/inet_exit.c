/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack when the program ends: what it has sent is delivered. */
#include "guest_rt/hypercall.h"
#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "lwip/priv/tcp_priv.h"

/* A kernel outlives its programs. Here a peer has so long to take the rest. */
#define LINGER_NS 2000000000u
#define STEP_NS   1000000u

/* Ends the program's connections as close() does, without their sockets. */
static void close_all(void)
{
    struct tcp_pcb *next;

    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = next) {
        next = pcb->next;
        tcp_arg(pcb, NULL);
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
        /* With data unread this is a RST, and the pcb is gone. */
        if (!(pcb->flags & TF_RXCLOSED) && tcp_close(pcb) != ERR_OK)
            tcp_abort(pcb);
    }
}

static bool is_waiting(void)
{
    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
        if (pcb->unsent || pcb->unacked)
            return true;
    return false;
}

/* Without the scheduler: no other thread goes on. */
static void sleep_alone(uint64_t deadline_ns)
{
    uint64_t seen = __atomic_load_n(&mf_boot_page()->events, __ATOMIC_ACQUIRE);

    mf_hypercall(MF_HC_WAIT, seen, mf_sleep_deadline(deadline_ns));
}

void inet_deliver(void)
{
    static bool begun;
    uint64_t end_ns = mf_clock_monotonic() + LINGER_NS;

    /* A timer's signal may end the program once more. */
    if (begun)
        return;
    begun = true;
    source_begin_exit();
    mf_lock(); /* for ever */
    inet_enter();
    close_all();
    inet_leave();
    while (is_waiting() && mf_clock_monotonic() < end_ns) {
        for (unsigned i = 0; i < inet_card_count(); i++)
            inet_card_flush(inet_card_get(i), true);
        sleep_alone(mf_clock_monotonic() + STEP_NS);
        source_poll();
    }
    for (unsigned i = 0; i < inet_card_count(); i++)
        inet_card_flush(inet_card_get(i), true);
}
