/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rings: one for each CPU, in two maps that user space has mapped.
 *
 *   heads    one struct ring_head for each possible CPU
 *   records  RING_RECORDS records for each possible CPU, one CPU's after the other's
 *
 * Writers (this side) reserve a place by moving `head`, fill the record and commit it by storing its second word, which holds the number of the writers' lap
 * round the ring. The reader (collector/src/kernel/ring.rs) reads records from `tail` on as long as they are of the lap that `head` says, and then moves
 * `tail`: it writes into no record, so that no cache line of records has two writers. A record that a nested writer has overtaken has the lap before: it is waited for, not read half.
 *
 * sched_switch and wakeups run with interrupts off, but fork, exec, exit, rename and a thread that wakes itself do not: an interrupt may write in their midst.
 * Hence the compare-and-swap for these. It waits for all stores before it, also those of the record before, to a cache line that the reader had: that is dear.
 * A full ring drops and counts: head + lost is what was produced, exactly.
 *
 * Who is taken off its CPU between reserving and committing holds up that CPU's ring until it runs again; what finds no room meanwhile is counted as lost. Tracepoints run with
 * preemption off, as do uprobes before Linux 6.0. Since then a program of a uprobe may be preempted where the kernel's own code may (PREEMPT_DYNAMIC=full, seldom lazy; not none or
 * voluntary): the window is the dozen stores of tell_probe (probes.h). The reader must not step over such a place: its writer would later write into the record of whoever has it
 * in the next lap. Nothing that a tracing program may call on all of these kernels forbids preemption.
 */
#ifndef PLUMB_RING_H
#define PLUMB_RING_H

#include "kernel.h"

/* trace/src/record/kernel.rs has the table of what the fields mean. */
struct record {
	u64 time_ns;
	union {
		struct {
			u8 kind;
			u8 flags;
			u16 lap; /* of the writers round the ring, from 1 on; the reader puts the CPU here */
			u32 tid;
		};
		u64 commit;
	};
	u32 pid;
	u32 other_tid;
	u32 other_pid;
	u32 value;
	union {
		struct {
			u64 charged_ns;
			u64 other_charged_ns;
		};
		char comm[16];
	};
	s16 syscall;
	u8 fd_kind;
	u8 prio;
	s32 fd;
	u16 nvcsw;
	u16 nivcsw;
	u32 lag;
};

_Static_assert(sizeof(struct record) == 64, "a record is one cache line");

enum kind { SWITCH = 1, WAKING, WAKEUP, FORK, EXEC, EXIT, RENAME };

enum flag {
	PREEMPT = 1,
	KTHREAD = 2,
	INTERRUPT = 4,
	THROTTLED = 8,
	SYSCALL = 16,
	IOWAIT = 32,
	OTHER_KTHREAD = 64,
	WAITED = 128,
};

/* Who writes has a cache line of its own. */
struct ring_head {
	u64 head;
	u64 lost;
	/* Stacks that were not taken (stacks.h). */
	u64 untaken;
	u64 pad0[5];
	u64 tail;
	u64 pad1[7];
};

_Static_assert(sizeof(struct ring_head) == 128, "mapped as an array by the reader");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader: possible CPUs */
	__type(key, u32);
	__type(value, struct ring_head);
} heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader: possible CPUs << ring_bits */
	__type(key, u32);
	__type(value, struct record);
} records SEC(".maps");

/* log2 of the number of records in a CPU's ring; the loader sets it. */
const volatile u32 ring_bits = 0;

/* Writers that can nest on one CPU: task, soft interrupt, interrupt, NMI, and as many again for luck. */
#define RESERVE_TRIES 8

/* The record with this count. Until it is committed, `tid` keeps its lap: the reader looks at the bytes before. */
static __always_inline struct record *place(u32 cpu, u64 head)
{
	u64 size = 1ull << ring_bits;
	u32 index = (cpu << ring_bits) + (head & (size - 1));
	struct record *record = bpf_map_lookup_elem(&records, &index);

	if (record)
		record->tid = (head >> ring_bits) + 1;
	return record;
}

static __always_inline struct record *reserve(u32 cpu)
{
	struct ring_head *ring = bpf_map_lookup_elem(&heads, &cpu);
	u64 size = 1ull << ring_bits;

	if (!ring)
		return 0;
	for (int i = 0; i < RESERVE_TRIES; i++) {
		u64 head = *(volatile u64 *)&ring->head;

		if (head - *(volatile u64 *)&ring->tail >= size)
			break;
		if (__sync_val_compare_and_swap(&ring->head, head, head + 1) == head)
			return place(cpu, head);
	}
	__sync_fetch_and_add(&ring->lost, 1);
	return 0;
}

/* As `reserve`, for a writer that nothing can interrupt: saves the atomic instruction. */
static __always_inline struct record *reserve_undisturbed(u32 cpu)
{
	struct ring_head *ring = bpf_map_lookup_elem(&heads, &cpu);
	u64 size = 1ull << ring_bits;
	u64 head;

	if (!ring)
		return 0;
	head = *(volatile u64 *)&ring->head;
	if (head - *(volatile u64 *)&ring->tail >= size) {
		__sync_fetch_and_add(&ring->lost, 1);
		return 0;
	}
	*(volatile u64 *)&ring->head = head + 1;
	return place(cpu, head);
}

/* The last store of a record. x86 keeps stores in order; a weakly ordered machine would need a release store here. */
static __always_inline void commit(struct record *record, u8 kind, u8 flags, u32 tid)
{
	u16 lap = record->tid;

	asm volatile("" ::: "memory");
	*(volatile u64 *)&record->commit = (u64)kind | (u64)flags << 8 | (u64)lap << 16 | (u64)tid << 32;
}

#endif
