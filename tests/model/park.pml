/* SPDX-License-Identifier: MIT */
/* A model of how devices go from one thread to the other and back. */

/*
 * The I/O thread parks and gives its devices to the vCPU's thread (give_back(),
 * take_back() in vmm/io.c), which kicks it or activates it (io_kick(),
 * io_activate()), serves the devices itself while it is parked, and waits
 * (sleep_once() in vmm/serve.c). What is shared here is written by locked
 * instructions or under the lock, so memory has no store buffers: those are in
 * bell.pml.
 *
 * What is checked: the two are never at the devices at once; and no state
 * without a successor in which there is work that nobody will do.
 */

#ifndef MESSAGES
#define MESSAGES 2 /* requests, and numbers from a file */
#endif

#define NOBODY 0
#define IO     1
#define GUEST  2

byte at_devices = NOBODY;
byte available, served; /* requests */
byte readable, given;   /* numbers in the file, and with the guest */
bool wants_kick = true, polled;
bool event;

bool io_active = true, kicked, stop;
bool locked;
bool io_asleep, g_asleep;
byte io_fd, g_fd;

#define LOCK   atomic { !locked -> locked = true }
#define UNLOCK locked = false

inline ring(asleep, fd)
{
    if
    :: atomic { asleep -> asleep = false }; fd++
    :: else
    fi
}

inline wake(asleep, fd)
{
    asleep = false;
    fd = 0
}

/* All there is; then the wish, and a last look. */
inline serve(who)
{
    atomic {
        assert(at_devices == NOBODY);
        at_devices = who
    }
    do
    :: atomic { readable > 0 -> readable--; given++ };
        moved = true
    :: available > served -> served++;
        moved = true
    :: available == served && readable == 0 -> wants_kick = !polled;
        if
        :: available > served
        :: else -> break
        fi
    od;
    if
    :: moved -> event = true;
        ring(g_asleep, g_fd)
    :: else
    fi;
    at_devices = NOBODY
}

proctype file()
{
    byte i;

    for (i : 1 .. MESSAGES) {
        readable++
    }
}

proctype io_thread()
{
    bool moved, busy;

    LOCK;
    polled = true;
    UNLOCK;
    do
    :: stop -> break
    :: else ->
        moved = false;
        LOCK;
        kicked = false;
        serve(IO);
        UNLOCK;
        if
        :: true /* looks again */
        :: !moved ->
            /* sleep_for_work() */
            LOCK;
            polled = false;
            io_asleep = true;
            serve(IO);
            busy = moved || stop;
            UNLOCK;
            if
            :: busy
            :: else -> io_fd > 0 || readable > 0
            fi;
            wake(io_asleep, io_fd);
            LOCK;
            polled = true;
            UNLOCK
        :: !moved ->
            /* give_back() */
            LOCK;
            polled = false;
            serve(IO);
            busy = moved || kicked;
            if
            :: busy -> polled = true
            :: else -> io_active = false
            fi;
            UNLOCK;
            if
            :: busy
            :: else ->
                /* park() */
#ifndef NO_BELL_WHEN_PARKED
                ring(g_asleep, g_fd);
#endif
                do
                :: stop -> break
                :: else ->
                    io_asleep = true;
                    if
                    :: io_active || kicked || stop
                    :: else -> io_fd > 0
                    fi;
                    wake(io_asleep, io_fd);
                    /* take_back() */
                    LOCK;
                    if
                    :: kicked ->
#ifdef NO_ORDER_IN_TAKE_BACK
                        kicked = false;
                        io_active = true
#else
                        io_active = true;
                        kicked = false
#endif
                    :: else
                    fi;
                    UNLOCK;
                    if
                    :: io_active -> break
                    :: else
                    fi
                od;
                LOCK;
                polled = true;
                UNLOCK
            fi
        fi
    od
}

/* io_is_parked(): both are read, one after the other. */
inline ask_parked()
{
    if
    :: kicked -> parked = false
    :: else -> parked = !io_active
    fi
}

inline kick()
{
    ask_parked();
    if
    :: parked /* not worth it */
    :: parked -> io_active = true;
        ring(io_asleep, io_fd)
    :: else
    fi;
    /* io_kick() */
    kicked = true;
    if
    :: atomic { !locked -> locked = true };
        parked = !io_active;
        if
        :: parked -> kicked = false
        :: else
        fi;
        UNLOCK
    :: else -> parked = false
    fi;
    if
    :: parked -> serve(GUEST)
    :: else -> ring(io_asleep, io_fd)
    fi
}

/* serve_wait(): until there is an event. */
inline wait()
{
    do
    :: ask_parked();
        if
        :: parked -> serve(GUEST)
        :: else
        fi;
        if
        :: event -> break
        :: else
        fi;
#ifdef FILES_BEFORE_PREPARE
        ask_parked();
        g_asleep = true;
#else
        g_asleep = true;
        ask_parked();
#endif
        if
        :: event
        :: else -> g_fd > 0 || (parked && readable > 0)
        fi;
        wake(g_asleep, g_fd)
    od
}

proctype guest()
{
    bool moved, parked;
    byte seen_served, seen_given, taken_served, taken_given;

    do
    :: available < MESSAGES -> available++;
        if
        :: wants_kick -> kick()
        :: else
        fi
    :: event = false;
        if
        :: served < available || given < MESSAGES ->
            /* What is there already is found by a look at the rings. */
            seen_served = served;
            seen_given = given;
            if
            :: seen_served == taken_served && seen_given == taken_given ->
                wait()
            :: else
            fi;
            taken_served = served;
            taken_given = given
        :: else
        fi
    :: served == MESSAGES && given == MESSAGES -> break
    od;
    stop = true;
    ring(io_asleep, io_fd)
}

init
{
    atomic {
        run io_thread();
        run guest();
        run file()
    }
}
