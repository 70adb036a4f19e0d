/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is recorded only where the rules ask for it. In an object of its own, with the scheduler's programs beside these (they share the rings): where it cannot
 * be loaded, the object without is. Each program is attached only if its option is on.
 *
 *   interrupts  time in interrupt handlers and soft interrupts, of each slice
 *   faults      page faults of each slice, by the kernel's own counts; those of a slice whose begin was hidden, too
 *   disk        requests to block devices, from issue to completion (disk.h)
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
	u64 start_time;
};

#pragma clang attribute pop

#define KNOWN 64

/* Faults of a thread since it was born, and when that was: its task may have been another's before. */
struct faults {
	u64 born_ns;
	u64 minor;
	u64 major;
};

/* A thread of whose faults nothing was left to tell, when it left this CPU with so many. */
struct known {
	u64 who;
	u64 born_ns;
	u64 faults;
};

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
	/* Who came at that switch (the address of its task, 0: nobody yet), with its faults until then. */
	u64 who;
	struct faults at_coming;
	/* Some of those who left here last with all told, so that most slices need not look into `told`. */
	struct known known[KNOWN];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct toll);
} tolls SEC(".maps");

/*
 * Up to where each thread's faults were told, by the address of its task: who leaves tells what came since then. So nothing is lost where the kernel does not tell of a thread's
 * coming to a CPU, but told with the next leaving that is seen. Preallocated, since memory must not be asked for under the queue's lock. A thread that is forgotten, because others
 * were here more lately, is one that was never seen.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct faults);
} told SEC(".maps");

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

static __always_inline struct faults faults_of(struct task_struct *task)
{
	struct task_struct___faults *counts = (void *)task;
	struct faults faults = {
		.born_ns = counts->start_time,
		.minor = counts->min_flt,
		.major = counts->maj_flt,
	};

	return faults;
}

/* Whether it is known up to where a thread's faults were told. Copied, since the map may give the entry to another thread at any moment. */
static __always_inline int told_of(u64 who, u64 born_ns, struct faults *was)
{
	struct faults *entry = bpf_map_lookup_elem(&told, &who);

	if (!entry)
		return 0;
	*was = *entry;
	return was->born_ns == born_ns;
}

/*
 * Who came and was not seen to leave is somewhere else now: what it had when it came is where its faults begin, if it was never seen before. It may have ended since, and its task
 * be that of a younger thread, whose entry stays.
 */
static __always_inline void may_have_left_unseen(struct toll *toll, u64 who)
{
	struct faults was;

	if (toll->who && toll->who != who && !told_of(toll->who, toll->at_coming.born_ns, &was))
		bpf_map_update_elem(&told, &toll->who, &toll->at_coming, BPF_NOEXIST);
}

static __always_inline struct known *known_of(struct toll *toll, u64 who)
{
	return &toll->known[(who >> 6 ^ who >> 13) & (KNOWN - 1)];
}

/* Up to where the faults of who leaves were told. Of one that was never seen before: what it had when it came, or, if that was not seen either, what it has now. */
static __always_inline struct faults told_until(struct toll *toll, u64 who, struct faults *now)
{
	int has_come = toll->who == who && toll->at_coming.born_ns == now->born_ns;
	struct faults was;

	if (told_of(who, now->born_ns, &was))
		return was;
	was = has_come ? toll->at_coming : *now;
	bpf_map_update_elem(&told, &who, &was, BPF_ANY);
	return was;
}

/* Who is born has no faults, and all that come are told. */
SEC("tp_btf/sched_process_fork")
int on_birth(u64 *ctx)
{
	struct task_struct___faults *child = (void *)ctx[1];
	struct faults none = { .born_ns = child->start_time };
	u64 who = ctx[1];

	bpf_map_update_elem(&told, &who, &none, BPF_ANY);
	return 0;
}

/* Whether there was room for it. */
static __always_inline int tell_toll(struct task_struct *task, struct toll *toll, u64 minor, u64 major)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve(cpu);

	if (!record)
		return 0;
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
	return 1;
}

static __always_inline u64 since(u64 was, u64 now)
{
	return now > was ? now - was : 0;
}

/* Tells what there is to tell of who leaves. */
static __always_inline void tell_leaver(struct task_struct *leaver, struct toll *toll, u64 who)
{
	struct faults now = faults_of(leaver), was = now;
	struct known *known = known_of(toll, who), all = { .who = who, .born_ns = now.born_ns, .faults = now.minor + now.major };
	int is_known = known->who == who && known->born_ns == now.born_ns && known->faults == all.faults;
	u64 minor, major;

	if (!is_known)
		was = told_until(toll, who, &now);
	minor = since(was.minor, now.minor);
	major = since(was.major, now.major);
	/* Noted before it is told: what cannot be noted would be told twice, and is told with what comes. */
	if ((minor | major) && bpf_map_update_elem(&told, &who, &now, BPF_ANY))
		minor = major = 0;
	else
		*known = all;
	if (!(minor | major | toll->interrupts | toll->softirqs))
		return;
	if (tell_toll(leaver, toll, minor, major) || !(minor | major))
		return;
	/* So is what finds no room in the ring. */
	bpf_map_update_elem(&told, &who, &was, BPF_ANY);
	known->who = 0;
}

/* Before on_switch, so that the record of a slice's toll stands before that of its end. */
SEC("tp_btf/sched_switch")
int on_toll(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	struct toll *toll = toll_here();

	if (!toll)
		return 0;
	if (count_faults)
		may_have_left_unseen(toll, ctx[1]);
	/* The idle task has no faults. */
	if (count_faults && prev->pid)
		tell_leaver(prev, toll, ctx[1]);
	else if (toll->interrupts | toll->softirqs)
		tell_toll(prev, toll, 0, 0);
	if (count_faults) {
		toll->who = next->pid ? ctx[2] : 0;
		toll->at_coming = faults_of(next);
	}
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

#endif
