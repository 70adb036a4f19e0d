/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The scheduler's programs, and those that the rules ask for beside them. */
#include "sched.bpf.c"
#include "options.h"
#include "disk.h"
#include "probes.h"
#include "stacks.h"
#include "counters.h"
