/* SPDX-License-Identifier: MIT */
/* The system-call counter. */
#include "vmm/base/os.h"

_Thread_local unsigned long os_calls;
