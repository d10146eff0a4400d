/* SPDX-License-Identifier: MIT */
/* Answers of CPUID, kept. */
#include "vmm/cpuid.h"

#include <cpuid.h>
#include <stdatomic.h>

#include "vmm/base/util.h"

enum { FREE, TAKEN, KNOWN };

/* As many as there are leaves that are asked for, and some. */
static struct known {
    atomic_int state;
    uint32_t leaf, subleaf;
    struct cpuid_answer answer;
} known[16];

static struct cpuid_answer ask(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_answer to;

    __cpuid_count(leaf, subleaf, to.eax, to.ebx, to.ecx, to.edx);
    return to;
}

static void keep(struct known *to, uint32_t leaf, uint32_t subleaf,
                 struct cpuid_answer answer)
{
    to->leaf = leaf;
    to->subleaf = subleaf;
    to->answer = answer;
    atomic_store(&to->state, KNOWN);
}

struct cpuid_answer cpuid_ask(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_answer answer;

    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (atomic_load(&known[i].state) == KNOWN && known[i].leaf == leaf &&
            known[i].subleaf == subleaf)
            return known[i].answer;
    answer = ask(leaf, subleaf);
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        int free = FREE;

        if (!atomic_compare_exchange_strong(&known[i].state, &free, TAKEN))
            continue;
        keep(&known[i], leaf, subleaf, answer);
        break;
    }
    return answer;
}
