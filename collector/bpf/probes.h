/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Probes of libjvm: the places that its USDT notes name (collector/src/usdt.rs), reached by uprobes. One program for all of them: the cookie of the place that was
 * hit is its number in `points`.
 */
#ifndef PLUMB_PROBES_H
#define PLUMB_PROBES_H

#include "scope.h"

enum probe_kind { PROBE = 12 };

/* The name goes on in another record of this thread. */
#define MORE 128

/* Where an argument is. */
enum where { NOWHERE, IN_REGISTER, IN_MEMORY };

/* A place of a libjvm, and where the name is that it hands over. collector/src/kernel/probes.rs writes it. */
struct point {
	u32 what;
	u16 where;
	/* Number of the register in struct registers; in memory: of the one that `offset` counts from. */
	u16 reg;
	s64 offset;
};

_Static_assert(sizeof(struct point) == 16, "written by the loader");

#define POINTS_MAX 1024

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, POINTS_MAX);
	__type(key, u32);
	__type(value, struct point);
} points SEC(".maps");

/* What a uprobe's program is handed: struct pt_regs of x86-64, which is fixed. */
struct registers {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* A context may be read at constant offsets only: left to itself the compiler makes one load of all, at an offset that it computes. */
static __always_inline u64 read_register(const struct registers *regs, u16 number)
{
	u64 value = 0;

#define REGISTER(at, name)                                                                                                 \
	case at:                                                                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(regs), "i"(__builtin_offsetof(struct registers, name))); \
		break
	switch (number) {
		REGISTER(0, r15);
		REGISTER(1, r14);
		REGISTER(2, r13);
		REGISTER(3, r12);
		REGISTER(4, bp);
		REGISTER(5, bx);
		REGISTER(6, r11);
		REGISTER(7, r10);
		REGISTER(8, r9);
		REGISTER(9, r8);
		REGISTER(10, ax);
		REGISTER(11, cx);
		REGISTER(12, dx);
		REGISTER(13, si);
		REGISTER(14, di);
		REGISTER(19, sp);
	}
#undef REGISTER
	return value;
}

/* Bytes of a name that one record holds, from its comm on. */
#define PART_BYTES 28

struct name {
	char part[2][PART_BYTES];
};

static __always_inline void read_name(struct name *name, const struct point *point, const struct registers *regs)
{
	u64 address = read_register(regs, point->reg);

	if (point->where == IN_MEMORY && bpf_probe_read_user(&address, sizeof(address), (void *)(address + point->offset)))
		return;
	/* On a failure it stays as it is: without a name. */
	bpf_probe_read_user_str(name, sizeof(*name), (void *)address);
}

/* The record of a probe, with a part of its name. Returns whether there was room. */
static __always_inline int tell_probe(struct task_struct *task, u64 now, u32 what, const char *part, u8 flags)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve(cpu);

	if (!record)
		return 0;
	record->time_ns = now;
	record->pid = task->tgid;
	record->other_tid = 0;
	record->other_pid = 0;
	record->value = what;
	__builtin_memcpy(record->comm, part, PART_BYTES);
	record->lag = 0;
	commit(record, PROBE, flags, task->pid);
	return 1;
}

SEC("uprobe")
int on_probe(struct registers *regs)
{
	u64 now = bpf_ktime_get_ns();
	u32 number = bpf_get_attach_cookie(regs);
	struct point *point = bpf_map_lookup_elem(&points, &number);
	struct task_struct *task = bpf_get_current_task_btf();
	struct name name = {};
	int is_long;

	if (!point || !wanted(task))
		return 0;
	if (point->where != NOWHERE)
		read_name(&name, point, regs);
	is_long = name.part[1][0] != 0;
	if (tell_probe(task, now, point->what, name.part[0], is_long ? MORE : 0) && is_long)
		tell_probe(task, now, point->what, name.part[1], 0);
	return 0;
}

#endif
