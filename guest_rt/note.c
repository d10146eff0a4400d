/* SPDX-License-Identifier: MIT */
/* The note of an image that does not define its own. */
#include <mayfly/note.h>

MF_NOTE(MF_NOTE_VECTORS, mf_fault_stubs);
