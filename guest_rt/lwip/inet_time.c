/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack's clocks, which stand still when nothing needs them. */
#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/igmp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"

/*
 * Three of them:
 *
 *   tick    every 100 ms while a connection waits for an acknowledgement, for
 *           room, for its end: retransmissions, persistence. Without it
 *           tcp_ticks stands still and is set to what it should be when
 *           something happens again. What is kept alive (SO_KEEPALIVE) makes
 *           it tick at its time.
 *   ack     once, 40 ms after a segment came that was not answered yet.
 *   second  every second for some seconds after anything was sent or received:
 *           the tables of neighbours, fragments, groups, DHCP.
 */
#define MS             1000000ull
#define SECOND         1000000000ull
#define TICK           (TCP_SLOW_INTERVAL * MS)
#define ACK_DELAY      (40 * MS)
#define LINGER_SECONDS 6u  /* ARP asks five times */
#define START_SECONDS  16u /* routers are asked three times, in 4 s each */
#define CATCH_UP_MAX   600u

static void tick_fired(struct timer *timer);
static void ack_fired(struct timer *timer);
static void second_fired(struct timer *timer);

static struct timer tick = {.fire = tick_fired};
static struct timer ack = {.fire = ack_fired};
static struct timer second = {.fire = second_fired};

static uint64_t ticked_ns; /* what tcp_ticks stands for */
static uint64_t second_ns; /* what the tables of neighbours stand for */
static unsigned linger;    /* seconds to go on */

/* ---- TCP ----------------------------------------------------------------- */

/* Whether time alone may make it do something soon. */
static bool is_busy(const struct tcp_pcb *pcb)
{
    bool waits = pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT ||
                 (pcb->state == FIN_WAIT_2 && !(pcb->flags & TF_RXCLOSED));

    return !waits || pcb->unacked || pcb->unsent || pcb->ooseq ||
           pcb->refused_data || pcb->persist_backoff ||
           pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND);
}

/* In how many ticks the connection is asked whether it is still there. */
static uint32_t ticks_to_probe(const struct tcp_pcb *pcb)
{
    uint32_t due = (pcb->keep_idle + pcb->keep_cnt_sent * pcb->keep_intvl) /
                   TCP_SLOW_INTERVAL;
    uint32_t idle = tcp_ticks - pcb->tmr;

    return idle > due ? 1 : due - idle + 2;
}

/* When to tick again. */
static uint64_t next_tick(void)
{
    uint64_t next = WAIT_NO_END;

    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (is_busy(pcb))
            return ticked_ns + TICK;
        if (pcb->so_options & SOF_KEEPALIVE) {
            uint64_t probe = ticked_ns + ticks_to_probe(pcb) * TICK;

            if (probe < next)
                next = probe;
        }
    }
    return next;
}

/* Sets tcp_ticks to what it would be, but for `kept` ticks. */
static void catch_up(uint64_t now, unsigned kept)
{
    uint64_t passed = now > ticked_ns ? (now - ticked_ns) / TICK : 0;

    if (passed > kept) {
        tcp_ticks += (u32_t)(passed - kept);
        ticked_ns += (passed - kept) * TICK;
    }
}

static void tick_fired(struct timer *timer)
{
    uint64_t now = mf_clock_monotonic();

    /*
     * This tick is counted, and the next one set, before inet_enter() looks at
     * both: it would count the tick, too, and time would run ahead.
     */
    catch_up(now, 1);
    if (now >= ticked_ns + TICK)
        ticked_ns += TICK;
    timer_start(timer, ticked_ns + TICK);
    inet_enter();
    tcp_slowtmr();
    tcp_fasttmr();
    inet_tcp_trim();
    inet_leave();
    timer_start(&tick, next_tick());
}

static void ack_fired(struct timer *timer)
{
    (void)timer;
    inet_enter();
    tcp_fasttmr();
    inet_leave();
}

void inet_time_ack(void)
{
    if (!timer_is_running(&ack))
        timer_start(&ack, mf_clock_monotonic() + ACK_DELAY);
}

/* lwIP says so with each new connection; inet_time_enter() sees to it. */
void tcp_timer_needed(void)
{
}

/* ---- Everything else ----------------------------------------------------- */

static bool dhcp_is_asking(void)
{
    for (unsigned i = 0; i < inet_card_count(); i++) {
        struct netif *netif = &inet_card_get(i)->netif;

        if (netif_dhcp_data(netif) && !dhcp_supplied_address(netif))
            return true;
    }
    return false;
}

/* One second of the tables of neighbours. */
static void age_neighbours(void)
{
    etharp_tmr();
    nd6_tmr();
    second_ns += SECOND;
}

static void second_fired(struct timer *timer)
{
    inet_enter();
    age_neighbours();
    ip_reass_tmr();
    ip6_reass_tmr();
    for (unsigned i = 0; i < 1000 / IGMP_TMR_INTERVAL; i++)
        igmp_tmr();
    for (unsigned i = 0; i < 1000 / MLD6_TMR_INTERVAL; i++)
        mld6_tmr();
    for (unsigned i = 0; i < 1000 / DHCP_FINE_TIMER_MSECS; i++)
        dhcp_fine_tmr();
    inet_leave();
    if (linger > 0)
        linger--;
    if (linger > 0 || dhcp_is_asking())
        timer_start(timer, second_ns + SECOND);
}

/* What is old has to look old before it is used again. */
static void catch_up_neighbours(uint64_t now)
{
    for (unsigned i = 0; i < CATCH_UP_MAX && now - second_ns >= SECOND; i++)
        age_neighbours();
    second_ns = now;
}

/* ---- DHCP's lease -------------------------------------------------------- */

struct lease {
    struct timer timer;
    unsigned minutes; /* that pass until it fires */
};

static struct lease lease;

/* Minutes until the lease wants attention; 0: there is none. */
static unsigned lease_minutes(const struct netif *netif)
{
    const struct dhcp *dhcp = netif_dhcp_data(netif);
    unsigned most;

    if (!dhcp || !dhcp_supplied_address(netif))
        return 0;
    most = dhcp->t1_renew_time;
    if (dhcp->t2_rebind_time && dhcp->t2_rebind_time < most)
        most = dhcp->t2_rebind_time;
    return most ? most : 1;
}

static void lease_fired(struct timer *timer)
{
    unsigned next = 0;

    (void)timer;
    inet_enter();
    for (; lease.minutes > 0; lease.minutes--)
        dhcp_coarse_tmr();
    inet_leave();
    for (unsigned i = 0; i < inet_card_count(); i++) {
        unsigned minutes = lease_minutes(&inet_card_get(i)->netif);

        if (minutes && (!next || minutes < next))
            next = minutes;
    }
    if (!next)
        return;
    lease.minutes = next;
    timer_start(&lease.timer, mf_clock_monotonic() +
                                  next * (DHCP_COARSE_TIMER_SECS * SECOND));
}

void inet_time_dhcp(struct netif *netif)
{
    if (lease_minutes(netif) && !timer_is_running(&lease.timer)) {
        lease.timer.fire = lease_fired;
        lease.minutes = 0;
        timer_start(&lease.timer, mf_clock_monotonic() + MS);
    }
}

/* ---- Starting and going on ----------------------------------------------- */

void inet_time_start(void)
{
    ticked_ns = second_ns = mf_clock_monotonic();
    linger = START_SECONDS;
    timer_start(&second, second_ns + SECOND);
}

void inet_time_enter(void)
{
    bool slow = !timer_is_running(&tick) || tick.deadline_ns > ticked_ns + TICK;
    uint64_t now;

    if (!slow && timer_is_running(&second))
        return;
    now = mf_clock_monotonic();
    if (slow && (tcp_active_pcbs || tcp_tw_pcbs)) {
        catch_up(now, 0);
        timer_start(&tick, ticked_ns + TICK);
    } else if (slow) {
        catch_up(now, 0);
    }
    if (linger < LINGER_SECONDS)
        linger = LINGER_SECONDS;
    if (!timer_is_running(&second) && inet_card_count() > 0) {
        catch_up_neighbours(now);
        timer_start(&second, now + SECOND);
    }
}
