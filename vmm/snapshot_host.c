/* SPDX-License-Identifier: MIT */
/* What a snapshot asks of the processor that it is to go on with. */
#include "vmm/snapshot.h"

#include <cpuid.h>

/*
 * The words of CPUID in which features that ring 3 can use are announced
 * (Intel SDM volume 2, CPUID), less the bits that say something else: which
 * processor it is, what the operating system has enabled, ring 0's matters.
 */
static const struct {
    uint32_t leaf, subleaf;
    unsigned word; /* 0: eax ... 3: edx */
    uint32_t mask;
} words[] = {
    /* SSE3 ... AVX, F16C, RDRAND without DTES64, VMX, SMX, x2APIC, ... */
    {1, 0, 2, 0x72d83201},
    /* FPU, TSC, CX8, CMOV, CLFSH, MMX, FXSR, SSE, SSE2 */
    {1, 0, 3, 0x07888111},
    /* FSGSBASE, BMI, AVX2, AVX-512, ADX, SHA, CLWB, ... */
    {7, 0, 1, 0xfbbd0329},
    /* AVX-512 VBMI, GFNI, VAES, RDPID, ... */
    {7, 0, 2, 0x1a405f42},
    /* AVX-512 VNNIW, FP16, ... */
    {7, 0, 3, 0x0080011c},
    /* AVX-VNNI, AVX-512 BF16, ... */
    {7, 1, 0, 0x00800030},
    /* LAHF, LZCNT, SSE4A, PREFETCHW, XOP, FMA4, TBM */
    {0x80000001, 0, 2, 0x002109e1},
    /* XSAVEOPT, XSAVEC */
    {0xd, 1, 0, 0x00000003},
};

_Static_assert(ARRAY_SIZE(words) == SNAPSHOT_FEATURES, "all words");

static uint32_t read_word(uint32_t leaf, uint32_t subleaf, unsigned word)
{
    uint32_t values[4] = {0};

    if (!__get_cpuid_count(leaf, subleaf, &values[0], &values[1], &values[2],
                           &values[3]))
        return 0;
    return values[word];
}

void snapshot_host(struct snapshot_host *host)
{
    *host = (struct snapshot_host){.xcr0 = vcpu_host_xcr0()};
    for (unsigned i = 0; i < SNAPSHOT_FEATURES; i++)
        host->features[i] =
            read_word(words[i].leaf, words[i].subleaf, words[i].word) &
            words[i].mask;
    /* x87 and SSE have fixed places; each other part has its subleaf. */
    for (unsigned i = 2; i < SNAPSHOT_XSAVE_PARTS; i++)
        if (host->xcr0 >> i & 1)
            host->offsets[i] = read_word(0xd, i, 1);
}
