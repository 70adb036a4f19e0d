/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counters of perf events, of each slice: what each of them grew by between the switch by which a thread came to the CPU and the one by which it leaves.
 *
 * The loader opens every counter on every CPU and puts the events into a map for each counter. They count whoever is on the CPU, so that reading them at each switch
 * gives each thread its own, and no event has to be opened for a thread that is born.
 *
 * A hardware event that shares its counter with others (multiplexing) counts a part of the time only: which part was not counted stands beside the value, as it
 * was read. Nothing is made up here.
 */
#ifndef PLUMB_COUNTERS_H
#define PLUMB_COUNTERS_H

#include "scope.h"

enum counted_kind { COUNTED = 14 };

/* Also in collector/src/kernel/counters.rs. */
#define COUNTERS_MAX 8
#define COUNTERS_A_RECORD 3
/* Of a slice in which nothing was counted. */
#define UNCOUNTED 0xffff

/* How many counters there are; the loader sets it. */
const volatile u32 counters = 0;

#define EVENTS(name)                                          \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);  \
		__uint(max_entries, 0); /* possible CPUs */   \
		__type(key, u32);                             \
		__type(value, u32);                           \
	} name SEC(".maps")

EVENTS(counter_0);
EVENTS(counter_1);
EVENTS(counter_2);
EVENTS(counter_3);
EVENTS(counter_4);
EVENTS(counter_5);
EVENTS(counter_6);
EVENTS(counter_7);

/* What the counters of a CPU said at its last switch. */
struct counted {
	struct bpf_perf_event_value last[COUNTERS_MAX];
	/* Whether `last` was read. */
	u8 known[COUNTERS_MAX];
	/* Who came at the last switch. */
	u32 tid;
	/* Of the slice that ends. */
	u64 grown[COUNTERS_MAX];
	u16 uncounted[COUNTERS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counted);
} counted_here SEC(".maps");

/* Reads one counter. */
static __always_inline void count(struct counted *here, void *events, u32 which, int is_whole)
{
	struct bpf_perf_event_value now = {}, *last = &here->last[which];
	u64 enabled, running;

	if (which >= counters)
		return;
	here->grown[which] = 0;
	here->uncounted[which] = UNCOUNTED;
	/* An event of another CPU, or none: the CPU came when the others were opened already. */
	if (bpf_perf_event_read_value(events, BPF_F_CURRENT_CPU, &now, sizeof(now))) {
		here->known[which] = 0;
		return;
	}
	enabled = now.enabled - last->enabled;
	running = now.running - last->running;
	if (is_whole && here->known[which] && (running || !enabled)) {
		here->grown[which] = now.counter - last->counter;
		here->uncounted[which] = running < enabled ? (enabled - running) * UNCOUNTED / enabled : 0;
	}
	here->known[which] = 1;
	*last = now;
}

/* Writes what counters `from` and the two after it grew by, if there is anything to tell. */
static __always_inline void tell_counted(struct task_struct *task, struct counted *here, u32 from)
{
	u64 grown[COUNTERS_A_RECORD] = {}, any = 0;
	u16 uncounted[COUNTERS_A_RECORD] = {};
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record;

	for (u32 i = 0; i < COUNTERS_A_RECORD; i++) {
		if (from + i >= COUNTERS_MAX || from + i >= counters)
			break;
		grown[i] = here->grown[from + i];
		uncounted[i] = here->uncounted[from + i];
		any |= grown[i] | uncounted[i];
	}
	if (!any)
		return;
	record = reserve(cpu);
	if (!record)
		return;
	record->time_ns = bpf_ktime_get_ns();
	record->pid = task->tgid;
	record->other_tid = 0;
	record->other_pid = 0;
	record->value = from | (u32)uncounted[2] << 16;
	record->charged_ns = grown[0];
	record->other_charged_ns = grown[1];
	/* `syscall` to `fd`, which are 8 bytes. */
	*(u64 *)&record->syscall = grown[2];
	record->nvcsw = uncounted[0];
	record->nivcsw = uncounted[1];
	record->lag = 0;
	commit(record, COUNTED, 0, task->pid);
}

/* Before on_switch, so that what a slice counted stands before its end. */
SEC("tp_btf/sched_switch")
int on_count(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	u32 zero = 0;
	struct counted *here = bpf_map_lookup_elem(&counted_here, &zero);
	int is_whole;

	if (!here)
		return 0;
	/* Where a switch between was hidden, what was counted since the one that was seen is not only that of who leaves. */
	is_whole = here->tid == (u32)prev->pid;
	here->tid = next->pid;
	count(here, &counter_0, 0, is_whole);
	count(here, &counter_1, 1, is_whole);
	count(here, &counter_2, 2, is_whole);
	count(here, &counter_3, 3, is_whole);
	count(here, &counter_4, 4, is_whole);
	count(here, &counter_5, 5, is_whole);
	count(here, &counter_6, 6, is_whole);
	count(here, &counter_7, 7, is_whole);
	/* Who idles needs no books. */
	if (!prev->pid || !wanted(prev))
		return 0;
#pragma unroll
	for (u32 from = 0; from < COUNTERS_MAX; from += COUNTERS_A_RECORD) {
		if (from >= counters)
			break;
		tell_counted(prev, here, from);
	}
	return 0;
}

#endif
