/* SPDX-License-Identifier: MIT */
/* The runtime's lock. */
#include "guest_rt/sched.h"

struct runtime_lock mf_runtime_lock;
