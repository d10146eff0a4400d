/* SPDX-License-Identifier: MIT */
/* A model of how guest and I/O thread fall asleep and wake each other. */

/*
 * Who models what (names of the code; tests/model/run checks this file):
 *
 *   guest       the vCPU's thread: driver (guest_rt/ring.c, poll.c), then
 *               serve_kick() and serve_wait() (vmm/serve.c)
 *   io_thread   io_main() (vmm/io.c), with a device that pops, pushes,
 *               publishes (virtio/virtq.c) and raises events (event.c)
 *   file        SOURCE: what the device reads becomes ready by itself
 *   ringer      PLAIN: somebody else rings the I/O thread's bell
 *   raiser, computing_guest
 *               UPCALL: on_event() signals a guest that does not wait; it runs
 *               do_tick() (vmm/run.c) and the handler (guest_rt/upcall.c)
 *
 * Memory is as x86 has it: a process sees its own order, but each of its
 * stores waits in a buffer, and reaches memory at any later time, in order. A
 * fence waits until the buffer is empty, a locked instruction does so too and
 * then acts on memory at once. No process here loads what it has stored by a
 * plain store, so that loads need not look at the buffer.
 *
 * What is checked: no state without a successor in which somebody sleeps and
 * has work. Each weakened protocol (-DNO_...) must have one.
 */

#ifndef MESSAGES
#define MESSAGES 3 /* that go round */
#endif
#ifndef BUFFER
#define BUFFER 2 /* stores that wait */
#endif

/* ---- Memory ------------------------------------------------------------- */

#define AVAIL     0 /* avail->idx */
#define USED      1 /* used->idx */
#define KICK_AT   2 /* avail_event */
#define EVENT_AT  3 /* used_event */
#define IO_ASLEEP 4 /* of the I/O thread's bell */
#define G_ASLEEP  5 /* of the guest's bell */
#define WORK      6 /* PLAIN: what the ringer wants to be seen */
#define MASKED    7 /* upcall_masked */
#define CELLS     8

byte memory[CELLS];
byte events;      /* the event word: only locked instructions write it */
byte io_fd, g_fd; /* the bells' eventfds */
byte readable;    /* SOURCE: numbers in the file */
bool done;

bool signalled; /* UPCALL: as in struct mayfly */
byte signals;   /* ... sent and not taken */

chan guest_stores = [BUFFER] of {byte, byte};
chan io_stores = [BUFFER] of {byte, byte};
chan ringer_stores = [BUFFER] of {byte, byte};

#define STORE(stores, cell, value) stores!cell, value
#define FENCE(stores)              empty(stores)

/* Stores reach memory one after the other, at any time. */
proctype drain(chan stores)
{
    byte cell, value;

end:
    do
    :: d_step {
           stores?cell, value;
           memory[cell] = value;
           cell = 0;
           value = 0
       }
    od
}

/* vring_need_event(): was `wish` passed on the way from `old` to `now`? */
#define PASSED(wish, now, old) (wish >= old && wish < now)
#define NEVER(index)           ((index + 255) % 256) /* index - 1 */

/* ---- The weakened ones -------------------------------------------------- */

#ifdef NO_FENCE_RING_PUBLISH
#define FENCE_RING_PUBLISH skip
#else
#define FENCE_RING_PUBLISH FENCE(guest_stores)
#endif
#ifdef NO_FENCE_KICK_THRESHOLD
#define FENCE_KICK_THRESHOLD skip
#else
#define FENCE_KICK_THRESHOLD FENCE(io_stores)
#endif
#ifdef NO_FENCE_VIRTQ_PUBLISH
#define FENCE_VIRTQ_PUBLISH skip
#else
#define FENCE_VIRTQ_PUBLISH FENCE(io_stores)
#endif
#ifdef NO_FENCE_WANT_EVENT
#define FENCE_WANT_EVENT skip
#else
#define FENCE_WANT_EVENT FENCE(guest_stores)
#endif
#ifdef NO_FENCE_BELL_PREPARE
#define FENCE_BELL_PREPARE(stores) skip
#else
#define FENCE_BELL_PREPARE(stores) FENCE(stores)
#endif
#ifdef NO_FENCE_BELL_RING
#define FENCE_BELL_RING(stores) skip
#else
#define FENCE_BELL_RING(stores) FENCE(stores)
#endif
#ifdef NO_FENCE_UNMASK
#define FENCE_UNMASK skip
#else
#define FENCE_UNMASK FENCE(guest_stores)
#endif

/* ---- The bell (vmm/base/bell.c) ----------------------------------------- */

inline bell_prepare(stores, asleep)
{
    STORE(stores, asleep, 1);
    FENCE_BELL_PREPARE(stores)
}

/* `rung`: poll() has found it readable. */
inline bell_wake(stores, asleep, fd, rung)
{
    /* A store with sequential consistency is a locked instruction. */
    atomic { FENCE(stores) -> memory[asleep] = 0 };
    if
    :: rung -> fd = 0
    :: else
    fi
}

inline bell_ring(stores, asleep, fd)
{
    FENCE_BELL_RING(stores);
    if
    :: memory[asleep] == 0
    :: else ->
        /* An exchange; and then the system call, which may come late. */
        atomic {
            FENCE(stores) ->
            mine = memory[asleep];
            memory[asleep] = 0
        }
        if
        :: mine -> fd++; mine = 0
        :: else
        fi
    fi
}

/* ---- The device --------------------------------------------------------- */

#ifdef SOURCE
#define HAS_INPUT (readable > 0)
#define TAKE_INPUT readable--
#else
#define HAS_INPUT true
#define TAKE_INPUT skip
#endif

/*
 * class->serve(): everything there is, then the wish (vdev_ask_kick()), and
 * what was done is published at last.
 */
inline serve()
{
    do
    :: memory[AVAIL] > popped && HAS_INPUT -> TAKE_INPUT; popped++
    :: memory[AVAIL] > popped && !HAS_INPUT -> break
    :: memory[AVAIL] == popped ->
        if
        :: polled -> STORE(io_stores, KICK_AT, NEVER(popped)); break
        :: else ->
            STORE(io_stores, KICK_AT, popped);
            FENCE_KICK_THRESHOLD;
#ifdef NO_LAST_LOOK
            break
#else
            if
            :: memory[AVAIL] > popped
            :: else -> break
            fi
#endif
        fi
    od;
    if
    :: popped > published ->
        STORE(io_stores, USED, popped);
        FENCE_VIRTQ_PUBLISH;
        if
        :: PASSED(memory[EVENT_AT], popped, published) -> published = popped;
            moved = true;
            /* event_raise(), a locked or; and on_event() */
            atomic { FENCE(io_stores) -> events = 1 };
            bell_ring(io_stores, G_ASLEEP, g_fd)
        :: else -> published = popped; moved = true
        fi
    :: else
    fi
}

proctype io_thread()
{
    byte popped, published;
    bool polled, moved, wants, mine, rung;

    /* The first look, on the other thread before this one began. */
    polled = true;
    do
    :: done -> break
    :: else ->
        moved = false;
        serve();
        if
        :: moved
        :: !moved /* and looks again, any number of times */
        :: !moved ->
            /* fall_asleep() */
            polled = false;
            bell_prepare(io_stores, IO_ASLEEP);
            serve();
            if
            :: moved || done
#ifdef PLAIN
            :: !moved && !done && memory[WORK]
            :: !moved && !done && !memory[WORK] ->
#else
            :: !moved && !done ->
#endif
                /* poll(), of the file as well if the device has a chain */
                wants = memory[AVAIL] > popped;
                (io_fd > 0 || done || (wants && readable > 0));
                rung = io_fd > 0
            fi;
            bell_wake(io_stores, IO_ASLEEP, io_fd, rung);
            rung = false;
            wants = false;
            polled = true
        fi
#ifdef PLAIN
        if
        :: memory[WORK] -> done = true
        :: else
        fi
#endif
    od
}

/* ---- The guest ---------------------------------------------------------- */

/* Whether there is something to reap is what a driver loads anyway. */
#define HAS_USED (memory[USED] > reaped)

/* serve_wait(): the event word was 0 when the guest looked last. */
inline wait()
{
    do
    :: events -> break
    :: else ->
        bell_prepare(guest_stores, G_ASLEEP);
#ifndef NO_LOOK_AT_EVENTS
        if
        :: events
        :: else ->
#endif
            g_fd > 0;
            rung = true;
#ifndef NO_LOOK_AT_EVENTS
        fi;
#endif
        bell_wake(guest_stores, G_ASLEEP, g_fd, rung);
        rung = false
    od
}

/* Clear, ask, look, then wait (poll_wait()). */
inline sleep_for_work()
{
#ifndef NO_CLEAR_BEFORE_LOOK
    atomic { FENCE(guest_stores) -> events = 0 };
#endif
    STORE(guest_stores, EVENT_AT, reaped);
    FENCE_WANT_EVENT;
    if
    :: HAS_USED
    :: else ->
#ifdef NO_CLEAR_BEFORE_LOOK
        atomic { FENCE(guest_stores) -> events = 0 };
#endif
        wait()
    fi;
    /* ring_refuse_event() */
    STORE(guest_stores, EVENT_AT, NEVER(reaped))
}

proctype guest()
{
    byte sent, shown, reaped;
    bool mine, rung;

    do
    :: sent < MESSAGES -> sent++ /* ring_add(): one or more, then ... */
    :: sent > shown ->           /* ... ring_publish() */
        STORE(guest_stores, AVAIL, sent);
        FENCE_RING_PUBLISH;
        if
        :: PASSED(memory[KICK_AT], sent, shown) ->
            shown = sent;
            bell_ring(guest_stores, IO_ASLEEP, io_fd)
        :: else -> shown = sent
        fi
    :: HAS_USED ->
        assert(memory[USED] <= shown);
        reaped++
    :: shown > reaped -> sleep_for_work()
    :: reaped == MESSAGES -> break
    od;
    /* io_stop() */
    atomic { FENCE(guest_stores) -> done = true };
    bell_ring(guest_stores, IO_ASLEEP, io_fd)
}

/* ---- Others ------------------------------------------------------------- */

proctype file()
{
    byte written;

    do
    :: written < MESSAGES -> written++; readable++
    :: written == MESSAGES -> break
    od
}

/* Makes work visible by nothing better than a plain store, then rings. */
proctype ringer()
{
    bool mine;

    STORE(ringer_stores, WORK, 1);
    bell_ring(ringer_stores, IO_ASLEEP, io_fd)
}

/* ---- Upcalls ------------------------------------------------------------ */

/* Raises events for a guest that computes (on_event()). */
proctype raiser()
{
    byte raised;

    do
    :: raised < MESSAGES ->
        atomic { FENCE(io_stores) -> events = 1 };
        raised++;
        if
        :: memory[MASKED]
        :: !memory[MASKED] && !events
        :: !memory[MASKED] && events ->
            if
            :: signalled /* on its way already */
            :: atomic { !signalled -> signalled = true };
                signals++
            fi
        fi
    :: raised == MESSAGES -> break
    od;
    done = true
}

/* Takes every event: by an upcall only, as it never looks by itself. */
proctype computing_guest()
{
    do
    :: signals > 0 ->
        signals = 0;
        /* do_tick() and deliver_upcall() */
#ifndef NO_TICK_BEFORE_LOOK
        atomic { FENCE(guest_stores) -> signalled = false };
#endif
        if
        :: events && !memory[MASKED] ->
            atomic { FENCE(guest_stores) -> memory[MASKED] = 1 };
            do
            :: atomic { FENCE(guest_stores) -> events = 0 };
                STORE(guest_stores, MASKED, 0);
                FENCE_UNMASK;
                if
                :: events ->
                    atomic { FENCE(guest_stores) -> memory[MASKED] = 1 }
                :: else -> break
                fi
            od
        :: else
        fi;
#ifdef NO_TICK_BEFORE_LOOK
        atomic { FENCE(guest_stores) -> signalled = false }
#endif
    :: done && !events -> break
    od
}

init
{
    atomic {
        /* The device has been served once: it asks for a kick. */
        memory[KICK_AT] = 0;
        memory[EVENT_AT] = NEVER(0);
        run drain(io_stores);
#ifdef UPCALL
        run drain(guest_stores);
        run computing_guest();
        run raiser()
#else
        run io_thread();
#ifdef PLAIN
        run drain(ringer_stores);
        run ringer()
#else
        run drain(guest_stores);
        run guest()
#ifdef SOURCE
        ;
        run file()
#endif
#endif
#endif
    }
}
