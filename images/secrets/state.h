/* SPDX-License-Identifier: MIT */
/* All registers that ring 3 has: filled, and found again. */
#ifndef SECRETS_STATE_H
#define SECRETS_STATE_H

/*
 * state.S answers calls. Before it asks for the next one it loads all
 * registers, with what is known (at home) or with secrets; the first thing that
 * it does afterwards is to note what is in them. So whoever asks for the call
 * "probe 0" right after a restore or a reset learns of all that was left
 * behind: nothing has been touched but `secrets_found` and `secrets_call`.
 */

#define SECRETS_AREA_BYTES 16384

/* How a call ends. */
#define SECRETS_ANSWER 0 /* from home: it is all that follows an answer */
#define SECRETS_PLANT  1 /* an answer, with secrets in all registers */
#define SECRETS_HANG   2 /* computes for ever, with secrets in them ... */
#define SECRETS_CRASH  3 /* ... or runs into a fault ... */
#define SECRETS_TRIPLE 4 /* ... or into one that it cannot handle ... */
#define SECRETS_EXIT   5 /* ... or ends ... */
#define SECRETS_KICK   6 /* ... or makes hypercalls for ever */
#define SECRETS_ENDS   7

#ifndef __ASSEMBLER__

#include <mayfly/abi.h>
#include <stdint.h>

/* In the order of enum mf_reg. */
struct secrets_registers {
    uint64_t regs[MF_REG_COUNT];
    uint64_t rflags, fs_base, gs_base;
};

/* What was in the registers when the last call came. */
struct secrets_found {
    struct secrets_registers registers;
    uint32_t ds, es, fs, gs, ss, cs;
    uint32_t pkru, reserved;
};

extern struct mf_call secrets_call;
extern struct secrets_registers secrets_sets[2]; /* at home, secrets */
extern uint8_t secrets_areas[2][SECRETS_AREA_BYTES];
extern struct mf_range secrets_all[2]; /* what probes tell */
extern uint32_t secrets_xcr0;          /* vector state to load */
extern uint32_t secrets_pkru;          /* not 0: has protection keys */

/* Answers calls for ever. */
void secrets_serve(void) __attribute__((noreturn));

/* Does what secrets_call asks for. Returns how it is to end (SECRETS_*). */
unsigned secrets_act(void);

/* Stores the vector state as it is. */
void secrets_save(void *area);

#endif

#endif
