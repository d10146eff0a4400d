/* SPDX-License-Identifier: MIT */
/* What the processor says of itself, and where XSAVE puts things. */
#include <criterion/criterion.h>

#include <cpuid.h>
#include <string.h>

#include "vmm/cpuid.h"
#include "vmm/snapshot.h"

Test(cpuid, keeps_what_the_processor_says)
{
    struct cpuid_answer is;

    __cpuid_count(7, 0, is.eax, is.ebx, is.ecx, is.edx);
    for (unsigned i = 0; i < 3; i++) {
        struct cpuid_answer kept = cpuid_ask(7, 0);

        cr_assert_eq(memcmp(&kept, &is, sizeof(is)), 0);
    }
}

Test(cpuid, answers_when_there_is_no_room_to_keep_anything)
{
    struct cpuid_answer is, last = {0};

    for (unsigned i = 0; i < 64; i++)
        last = cpuid_ask(0xd, i);
    __cpuid_count(0xd, 63, is.eax, is.ebx, is.ecx, is.edx);
    cr_assert_eq(memcmp(&last, &is, sizeof(is)), 0);
}

/* XSAVE itself is asked; CPUID has to say the same. */
Test(cpuid, parts_of_an_xsave_area_are_where_cpuid_says)
{
    struct snapshot_host host;

    snapshot_host(&host);
    for (unsigned i = 2; i < SNAPSHOT_XSAVE_PARTS; i++)
        if (host.xcr0 >> i & 1)
            cr_assert_eq(host.offsets[i], cpuid_ask(0xd, i).ebx, "part %u", i);
        else
            cr_assert_eq(host.offsets[i], 0);
}
