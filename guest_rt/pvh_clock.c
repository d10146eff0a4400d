/* SPDX-License-Identifier: MIT */
/* The clock under other machines: the TSC against a PIT, the date of an RTC. */
#include "guest_rt/pvh.h"

/* ---- The TSC's rate -------------------------------------------------- */

#define PIT_HZ         1193182u
#define PIT_COUNTER    0x40
#define PIT_COMMAND    0x43
#define PIT_START      0x34   /* counter 0, both bytes, rate generator */
#define PIT_LATCH      0x00   /* counter 0 */
#define MEASURED_TICKS 23864u /* 20 ms */

/* What a TSC does at most while counting 20 ms, if there is no PIT. */
#define TSC_TICKS_MAX 1000000000ull
#define DEFAULT_KHZ   1000000u

static uint16_t read_pit(void)
{
    uint8_t low;

    pvh_out8(PIT_COMMAND, PIT_LATCH);
    low = pvh_in8(PIT_COUNTER);
    return (uint16_t)(low | pvh_in8(PIT_COUNTER) << 8);
}

static uint32_t measure_tsc_khz(void)
{
    uint64_t start, now;
    uint16_t first, ticks;

    pvh_out8(PIT_COMMAND, PIT_START);
    pvh_out8(PIT_COUNTER, 0);
    pvh_out8(PIT_COUNTER, 0);
    first = read_pit();
    start = __builtin_ia32_rdtsc();
    do {
        ticks = (uint16_t)(first - read_pit()); /* it counts down */
        now = __builtin_ia32_rdtsc();
        if (now - start > TSC_TICKS_MAX)
            return DEFAULT_KHZ;
    } while (ticks < MEASURED_TICKS);
    return (uint32_t)((now - start) * PIT_HZ / ticks / 1000);
}

/* ---- The date -------------------------------------------------------- */

#define RTC_INDEX    0x70
#define RTC_DATA     0x71
#define RTC_SECONDS  0
#define RTC_MINUTES  2
#define RTC_HOURS    4
#define RTC_DAY      7
#define RTC_MONTH    8
#define RTC_YEAR     9
#define RTC_STATUS_A 10
#define RTC_UPDATING 0x80

static unsigned read_rtc(uint8_t index)
{
    pvh_out8(RTC_INDEX, index);
    return pvh_in8(RTC_DATA);
}

/* Two decimal digits. */
static unsigned read_rtc_number(uint8_t index)
{
    unsigned value = read_rtc(index);

    return (value >> 4) * 10 + (value & 15);
}

/* Days since 1970, in the Gregorian calendar from 2000 to 2099. */
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
    static const uint16_t before[] = {0,   31,  59,  90,  120, 151,
                                      181, 212, 243, 273, 304, 334};
    unsigned years = year - 1970;

    return years * 365u + (years + 1) / 4 + before[(month - 1) % 12] + day - 1 +
           (year % 4 == 0 && month > 2);
}

static uint64_t read_realtime_ns(void)
{
    uint64_t days, seconds;

    /* A second that ends while it is read may show half of each. */
    for (unsigned i = 0; i < 1000000 && read_rtc(RTC_STATUS_A) & RTC_UPDATING;
         i++)
        continue;
    days =
        days_since_1970(2000 + read_rtc_number(RTC_YEAR),
                        read_rtc_number(RTC_MONTH), read_rtc_number(RTC_DAY));
    seconds = read_rtc_number(RTC_HOURS) * 3600 +
              read_rtc_number(RTC_MINUTES) * 60 + read_rtc_number(RTC_SECONDS);
    return (days * 86400 + seconds) * 1000000000;
}

/* ---- Both ------------------------------------------------------------ */

void pvh_start_clock(struct mf_clock *clock)
{
    clock->tsc_khz = measure_tsc_khz();
    clock->mult = (1000000ull << 32) / clock->tsc_khz;
    clock->realtime_ns = read_realtime_ns();
    clock->tsc_base = __builtin_ia32_rdtsc();
}
