/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rings: one for each CPU, in two maps that user space has mapped.
 *
 *   heads    one struct ring_head for each possible CPU
 *   records  RING_RECORDS records for each possible CPU, one CPU's after the other's
 *
 * Writers (this side) reserve a place by moving `head`, fill the record and commit it by storing its second word, in which `kind` is not 0.
 * The reader (collector/src/kernel/ring.rs) reads committed records from `tail` on, zeroes their second word and then moves `tail`. A place is
 * therefore 0 in that word whenever it is free, and a record that a nested writer has overtaken is waited for, not read half.
 *
 * sched_switch runs with interrupts off, but fork, exec, exit, rename and a thread that wakes itself do not: an interrupt may write in their midst.
 * Hence the compare-and-swap, but for sched_switch. A full ring drops and counts: head + lost is what was produced, exactly.
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
			u16 cpu;
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
};

/* Who writes has a cache line of its own. */
struct ring_head {
	u64 head;
	u64 lost;
	u64 pad0[6];
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

static __always_inline struct record *reserve(u32 cpu)
{
	struct ring_head *ring = bpf_map_lookup_elem(&heads, &cpu);
	u64 size = 1ull << ring_bits;
	u32 index;

	if (!ring)
		return 0;
	for (int i = 0; i < RESERVE_TRIES; i++) {
		u64 head = *(volatile u64 *)&ring->head;

		if (head - *(volatile u64 *)&ring->tail >= size)
			break;
		if (__sync_val_compare_and_swap(&ring->head, head, head + 1) != head)
			continue;
		index = (cpu << ring_bits) + (head & (size - 1));
		return bpf_map_lookup_elem(&records, &index);
	}
	__sync_fetch_and_add(&ring->lost, 1);
	return 0;
}

/* As `reserve`, for a writer that nothing can interrupt: saves the atomic instruction. */
static __always_inline struct record *reserve_undisturbed(u32 cpu)
{
	struct ring_head *ring = bpf_map_lookup_elem(&heads, &cpu);
	u64 size = 1ull << ring_bits;
	u32 index;
	u64 head;

	if (!ring)
		return 0;
	head = *(volatile u64 *)&ring->head;
	if (head - *(volatile u64 *)&ring->tail >= size) {
		__sync_fetch_and_add(&ring->lost, 1);
		return 0;
	}
	*(volatile u64 *)&ring->head = head + 1;
	index = (cpu << ring_bits) + (head & (size - 1));
	return bpf_map_lookup_elem(&records, &index);
}

/* The last store of a record. x86 keeps stores in order; a weakly ordered machine would need a release store here. */
static __always_inline void commit(struct record *record, u32 cpu, u8 kind, u8 flags, u32 tid)
{
	asm volatile("" ::: "memory");
	*(volatile u64 *)&record->commit = (u64)kind | (u64)flags << 8 | (u64)(u16)cpu << 16 | (u64)tid << 32;
}

#endif
