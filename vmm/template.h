/* SPDX-License-Identifier: MIT */
/* A snapshot kept ready, for clones in this process. Internal. */
#ifndef VMM_TEMPLATE_H
#define VMM_TEMPLATE_H

/*
 * All that is the same for every VM that goes on from a snapshot is done once:
 * reading and checking it, and laying memory out: in a file of our own with all
 * of RAM as such a VM finds it, descriptor and page tables included, which
 * nobody can change any more; what was never written to is a hole. A clone has
 * a private copy of that, where a snapshot's file takes a mapping for each row
 * of pages. The file holds it several times, one behind the other, so that so
 * many clones share a mapping. That counts where many live in one process,
 * because KVM goes through all of its mappings for each new VM.
 */

#include "vmm/snapshot.h"

/* Pages that a clone is given copies of before it runs, in rows. */
#define TEMPLATE_WARM_MAX       64u
#define TEMPLATE_WARM_PAGES_MAX 4096u

struct mayfly_template {
    struct snapshot snapshot; /* its state is ours, its file is a duplicate */
    struct rooms *memory;     /* what clones find; theirs, too */
    bool holds_device;        /* which clones are made by */
    unsigned warm_count;
    struct mf_range warm[TEMPLATE_WARM_MAX]; /* guest-physical, ascending */
};

/*
 * Maps the memory of a clone, which has none yet. Returns 0 or a negative
 * errno.
 */
MUST_CHECK int template_map(const struct mayfly_template *from,
                            struct mayfly *vm, char *error);

/* Gives it copies of the warm pages. That can fail without harm. */
void template_warm(const struct mayfly_template *from, const struct gmem *ram);

/*
 * Stores in `*to` the template's snapshot, with a state of its own: for a VM
 * that is reset. Returns 0 or a negative errno.
 */
MUST_CHECK int template_copy(const struct mayfly_template *from,
                             struct snapshot *to);

#endif
