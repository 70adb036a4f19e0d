/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is recorded only where the rules ask for it. In an object of its own, with the scheduler's programs beside these (they share the rings): where it cannot
 * be loaded, the object without is. Each program is attached only if its option is on.
 *
 *   interrupts  time in interrupt handlers and soft interrupts, of each slice
 *   faults      page faults of each slice, by the kernel's own counts
 *   disk        requests to block devices, from issue to completion
 *   calls       every system call
 */
#ifndef PLUMB_OPTIONS_H
#define PLUMB_OPTIONS_H

#include "calls.h"
#include "scope.h"

const volatile u8 count_faults = 0;

enum option_kind { CALL_ENTER = 8, CALL_EXIT, TOLL, REQUEST };

#define CALLS_MAX 512

/* One bit for each system call that is recorded. */
const volatile u64 wanted_calls[CALLS_MAX / 64] = {};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct___faults {
	unsigned long min_flt;
	unsigned long maj_flt;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
};

#pragma clang attribute pop

/* What has happened on a CPU since its last switch. */
struct toll {
	u64 hard_ns;
	u64 soft_ns;
	/* Begin of the outermost interrupt, and how many are open. */
	u64 hard_since;
	u32 open;
	u32 interrupts;
	/* Begin of the soft interrupt, 0: none is open; and hard_ns then. */
	u64 soft_since;
	u64 hard_before;
	u32 softirqs;
	/* Who came at that switch, with its faults until then. */
	u32 tid;
	u64 minor;
	u64 major;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct toll);
} tolls SEC(".maps");

/* When a request was issued, by its address. Where more are under way than fit, the oldest are not told. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
} issued SEC(".maps");

static __always_inline struct toll *toll_here(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&tolls, &zero);
}

static __always_inline int interrupt_begins(void)
{
	struct toll *toll = toll_here();

	if (toll && toll->open++ == 0) {
		toll->hard_since = bpf_ktime_get_ns();
		toll->interrupts++;
	}
	return 0;
}

static __always_inline int interrupt_ends(void)
{
	struct toll *toll = toll_here();

	/* The beginning of the first may have been before there was this program. */
	if (toll && toll->open && --toll->open == 0)
		toll->hard_ns += bpf_ktime_get_ns() - toll->hard_since;
	return 0;
}

#define VECTOR(name)                                   \
	SEC("tp_btf/" #name "_entry")                  \
	int on_##name##_entry(u64 *ctx)                \
	{                                              \
		return interrupt_begins();             \
	}                                              \
	SEC("tp_btf/" #name "_exit")                   \
	int on_##name##_exit(u64 *ctx)                 \
	{                                              \
		return interrupt_ends();               \
	}

VECTOR(irq_handler)
VECTOR(local_timer)
VECTOR(reschedule)
VECTOR(call_function)
VECTOR(call_function_single)
VECTOR(irq_work)

SEC("tp_btf/softirq_entry")
int on_softirq_entry(u64 *ctx)
{
	struct toll *toll = toll_here();

	if (!toll)
		return 0;
	toll->softirqs++;
	/* Interrupts go on: one between the two readings counts as soft, and none is taken off that lies outside. */
	toll->soft_since = bpf_ktime_get_ns();
	toll->hard_before = *(volatile u64 *)&toll->hard_ns;
	return 0;
}

SEC("tp_btf/softirq_exit")
int on_softirq_exit(u64 *ctx)
{
	struct toll *toll = toll_here();
	u64 hard_ns;
	s64 ns;

	if (!toll || !toll->soft_since)
		return 0;
	/* Without the interrupts in its midst. */
	hard_ns = *(volatile u64 *)&toll->hard_ns;
	ns = bpf_ktime_get_ns() - toll->soft_since - (hard_ns - toll->hard_before);
	if (ns > 0)
		toll->soft_ns += ns;
	toll->soft_since = 0;
	return 0;
}

static __always_inline void tell_toll(struct task_struct *task, struct toll *toll, u64 minor, u64 major)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve(cpu);

	if (!record)
		return;
	record->time_ns = bpf_ktime_get_ns();
	record->pid = task->tgid;
	record->other_tid = minor;
	record->other_pid = major;
	record->value = toll->interrupts;
	record->charged_ns = toll->hard_ns;
	record->other_charged_ns = toll->soft_ns;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = 0;
	record->fd = toll->softirqs;
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
	commit(record, TOLL, 0, task->pid);
}

/* Before on_switch, so that the record of a slice's toll stands before that of its end. */
SEC("tp_btf/sched_switch")
int on_toll(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	struct toll *toll = toll_here();
	u64 minor = 0, major = 0;

	if (!toll)
		return 0;
	if (count_faults) {
		struct task_struct___faults *leaves = (void *)prev, *comes = (void *)next;

		/* What the thread that was here at the beginning did before is not known. */
		if (toll->tid && toll->tid == (u32)prev->pid) {
			minor = leaves->min_flt - toll->minor;
			major = leaves->maj_flt - toll->major;
		}
		toll->tid = next->pid;
		toll->minor = comes->min_flt;
		toll->major = comes->maj_flt;
	}
	if (minor | major | toll->interrupts | toll->softirqs)
		tell_toll(prev, toll, minor, major);
	toll->hard_ns = 0;
	toll->soft_ns = 0;
	toll->interrupts = 0;
	toll->softirqs = 0;
	/* Nobody is switched within an interrupt: one that seems to go on has ended unseen. */
	toll->open = 0;
	toll->soft_since = 0;
	return 0;
}

static __always_inline int is_wanted_call(s64 call)
{
	if (call < 0 || call >= CALLS_MAX)
		return 0;
	return (wanted_calls[(call >> 6) & (CALLS_MAX / 64 - 1)] >> (call & 63)) & 1;
}

static __always_inline struct record *about_call(struct task_struct *task, u32 cpu)
{
	struct record *record = reserve(cpu);

	if (!record)
		return 0;
	record->time_ns = bpf_ktime_get_ns();
	record->pid = task->tgid;
	record->other_tid = 0;
	record->other_pid = 0;
	record->value = 0;
	record->charged_ns = 0;
	record->other_charged_ns = 0;
	record->fd_kind = FD_NONE;
	record->prio = 0;
	record->fd = -1;
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
	return record;
}

SEC("tp_btf/sys_enter")
int on_call_enter(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct record *record;
	u32 cpu;

	if (!is_wanted_call(ctx[1]) || !wanted(task))
		return 0;
	cpu = bpf_get_smp_processor_id();
	record = about_call(task, cpu);
	if (!record)
		return 0;
	read_call(record, task);
	commit(record, CALL_ENTER, SYSCALL, task->pid);
	return 0;
}

SEC("tp_btf/sys_exit")
int on_call_exit(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	s64 call = ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax;
	struct record *record;
	u32 cpu;

	if (!is_wanted_call(call) || !wanted(task))
		return 0;
	cpu = bpf_get_smp_processor_id();
	record = about_call(task, cpu);
	if (!record)
		return 0;
	record->syscall = call;
	record->charged_ns = ctx[1];
	commit(record, CALL_EXIT, 0, task->pid);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int on_request_issued(u64 *ctx)
{
	u64 request = ctx[0], now = bpf_ktime_get_ns();

	bpf_map_update_elem(&issued, &request, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int on_request_done(u64 *ctx)
{
	struct request *request = (void *)ctx[0];
	u64 key = ctx[0], *issued_ns = bpf_map_lookup_elem(&issued, &key);
	u32 bytes = ctx[2], cpu = bpf_get_smp_processor_id();
	struct record *record;
	struct gendisk *disk;

	/* One that is done in parts is done with the last. */
	if (!issued_ns || bytes < BPF_CORE_READ(request, __data_len))
		return 0;
	record = reserve(cpu);
	if (!record)
		return 0;
	disk = BPF_CORE_READ(request, q, disk);
	record->time_ns = bpf_ktime_get_ns();
	record->pid = 0;
	record->other_tid = BPF_CORE_READ(request, cmd_flags);
	record->other_pid = 0;
	record->value = BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor);
	record->charged_ns = *issued_ns;
	record->other_charged_ns = bytes;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = 0;
	record->fd = (s32)ctx[1];
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
	commit(record, REQUEST, 0, 0);
	bpf_map_delete_elem(&issued, &key);
	return 0;
}

#endif
