/* SPDX-License-Identifier: MIT */
/* What a snapshot asks of the processor that it is to go on with. */
#include "vmm/snapshot.h"

#include <string.h>

#include "vmm/cpuid.h"

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

#define EXTENDED 0x80000000u

static uint32_t read_word(uint32_t leaf, uint32_t subleaf, unsigned word)
{
    const struct cpuid_answer answer = cpuid_ask(leaf, subleaf);
    const uint32_t values[4] = {answer.eax, answer.ebx, answer.ecx, answer.edx};

    return values[word];
}

/*
 * Whether the processor has a leaf. One with XSAVE has its leaf, 0xd, and those
 * before it; the extended ones came with long mode; subleaves that are not
 * there are all zero.
 */
static bool has_leaf(uint32_t leaf, uint64_t xcr0)
{
    return leaf <= 1 || leaf >= EXTENDED || xcr0 || cpuid_ask(0, 0).eax >= leaf;
}

/* ---- Where XSAVE puts things --------------------------------------------- */

#define XSAVE_BYTES 4096

/* x87, SSE and the header come first, whatever is asked for. */
#define XSAVE_PARTS_AT 576u

static void xsave(uint8_t area[XSAVE_BYTES], uint32_t parts)
{
    __asm__ volatile("xsave64 %0"
                     : "+m"(*(uint8_t(*)[XSAVE_BYTES])area)
                     : "a"(parts), "d"(0));
}

/*
 * The offset of a part in the standard format, by having it written twice:
 * where an area of zeroes and one of ones are the same, it was. CPUID knows,
 * too, but asking it takes longer.
 */
static uint32_t find_offset(unsigned part)
{
    uint8_t areas[2][XSAVE_BYTES] __attribute__((aligned(64)));
    uint32_t at = XSAVE_PARTS_AT;

    memset(areas[0], 0, XSAVE_BYTES);
    memset(areas[1], 0xff, XSAVE_BYTES);
    memset(areas[1] + 512, 0, XSAVE_PARTS_AT - 512); /* the header */
    xsave(areas[0], UINT32_C(1) << part);
    xsave(areas[1], UINT32_C(1) << part);
    while (at < XSAVE_BYTES && areas[0][at] != areas[1][at])
        at++;
    return at;
}

void snapshot_host(struct snapshot_host *host)
{
    *host = (struct snapshot_host){.xcr0 = vcpu_host_xcr0()};
    for (unsigned i = 0; i < SNAPSHOT_FEATURES; i++)
        if (has_leaf(words[i].leaf, host->xcr0))
            host->features[i] =
                read_word(words[i].leaf, words[i].subleaf, words[i].word) &
                words[i].mask;
    /* x87 and SSE have fixed places. */
    for (unsigned i = 2; i < SNAPSHOT_XSAVE_PARTS; i++)
        if (host->xcr0 >> i & 1)
            host->offsets[i] = find_offset(i);
}
