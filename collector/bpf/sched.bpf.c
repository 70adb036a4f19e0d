/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the scheduler does, as records in the ring of its CPU (ring.h). Layout and meaning of records: trace/src/record/kernel.rs.
 *
 * Built several times: with RICH (blocking system call, iowait, throttling) and without, for kernels on which one of those fields or helpers cannot be had,
 * and with CGROUPS for rules that ask for them: one relocation that fails would fail the whole object.
 */
#include "waker.h"
#include "scope.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Whether sched_switch hands over prev_state (since 5.18). The loader sets it to what the verifier accepts. */
const volatile u8 switch_has_state = 1;
/* Whether who comes to a CPU tells how long it has waited. The loader sets it, and attaches programs to wakeups where it is not so. */
const volatile u8 keeps_waits = 1;

static __always_inline u8 kthread_flag(struct task_struct *task, u8 flag)
{
	return task->flags & PF_KTHREAD ? flag : 0;
}

static __always_inline u32 state_of(struct task_struct *task)
{
	struct task_struct___new *new = (void *)task;
	struct task_struct___old *old = (void *)task;

	if (bpf_core_field_exists(new->__state))
		return BPF_CORE_READ(new, __state);
	return BPF_CORE_READ(old, state);
}

/* The CPU that a thread was on last, or is queued for. */
static __always_inline u32 cpu_of(struct task_struct *task)
{
	struct task_struct___cpu *old = (void *)task;

	if (bpf_core_field_exists(old->cpu))
		return BPF_CORE_READ(old, cpu);
	return task->thread_info.cpu;
}

static __always_inline int has_clock(struct task_struct *task)
{
	return bpf_core_field_exists(task->se.cfs_rq) && bpf_core_field_exists(((struct cfs_rq *)0)->rq);
}

/*
 * Whether the kernel keeps books of waiting and they can be read; the same fields as `waits` of probe.bpf.c, by which the loader finds out. The struct is there without
 * CONFIG_SCHED_INFO, too, but has no fields then.
 */
static __always_inline int has_waits(struct task_struct *task)
{
	return keeps_waits && has_clock(task) && bpf_core_field_exists(task->sched_info.run_delay) &&
	       bpf_core_field_exists(task->sched_info.last_queued);
}

/*
 * How far the clock that the scheduler accounts with, of the CPU that `task` is on or queued for, is behind `now`: low 32 bits, and both count from
 * different instants, so that only differences of lags mean something. 0 where the kernel has no way there from a task (no CONFIG_FAIR_GROUP_SCHED).
 */
static __always_inline u32 lag_of(struct task_struct *task, u64 now)
{
	if (!has_clock(task))
		return 0;
	return (u32)(now - task->se.cfs_rq->rq->clock);
}

/*
 * How long the thread that comes has waited for a CPU since it was born, this wait included: low 32 bits, ns. The kernel books the wait right after this, by the
 * same reading of its clock. Where it keeps such books, no program need be at sched_wakeup.
 */
static __always_inline u32 waited(struct task_struct *comer, struct rq *rq)
{
	u64 since = comer->sched_info.last_queued;

	return comer->sched_info.run_delay + (since ? rq->clock - since : 0);
}

SEC("tp_btf/sched_switch")
int on_switch(u64 *ctx)
{
	int preempt = ctx[0] & 1;
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	u32 state = (switch_has_state ? (u32)ctx[3] : state_of(prev)) & STATE_MASK;
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve_undisturbed(cpu);
	u64 now;
	u8 flags;

	if (!record)
		return 0;
	flags = (preempt ? PREEMPT : 0) | kthread_flag(prev, KTHREAD) | kthread_flag(next, OTHER_KTHREAD);
	now = bpf_ktime_get_ns();
	record->time_ns = now;
	record->pid = prev->tgid;
	record->other_tid = next->pid;
	record->other_pid = next->tgid;
	record->value = state;
	record->charged_ns = prev->se.sum_exec_runtime;
	record->other_charged_ns = (u32)next->se.sum_exec_runtime;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = next->prio;
	record->fd = -1;
	record->nvcsw = prev->nvcsw;
	record->nivcsw = prev->nivcsw;
	record->lag = lag_of(prev, now);
	if (has_waits(prev)) {
		record->other_charged_ns |= (u64)waited(next, prev->se.cfs_rq->rq) << 32;
		flags |= WAITED;
	}
#ifdef RICH
	if (state && !preempt) {
		if (BPF_CORE_READ_BITFIELD(prev, in_iowait))
			flags |= IOWAIT;
		if (!(prev->flags & (PF_KTHREAD | PF_IO_WORKER)) && wanted(prev)) {
			read_call(record, prev);
			flags |= SYSCALL;
		}
	}
	if (bpf_core_field_exists(prev->throttled) && prev->throttled)
		flags |= THROTTLED;
#endif
	commit(record, SWITCH, flags, prev->pid);
	return 0;
}

/* A record about `task`, caused by `other`. */
static __always_inline void about(struct record *record, struct task_struct *task, struct task_struct *other)
{
	record->time_ns = bpf_ktime_get_ns();
	record->pid = task->tgid;
	record->other_tid = other ? other->pid : 0;
	record->other_pid = other ? other->tgid : 0;
	record->value = 0;
	record->charged_ns = 0;
	record->other_charged_ns = 0;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = task->prio;
	record->fd = -1;
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
}

SEC("tp_btf/sched_waking")
int on_waking(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct task_struct *waker = bpf_get_current_task_btf();
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record;
	u8 flags = waker->pid ? 0 : INTERRUPT;

	if (!wanted(task))
		return 0;
	/* Interrupts are off, unless it is a thread that wakes itself. */
	record = task == waker ? reserve(cpu) : reserve_undisturbed(cpu);
	if (!record)
		return 0;
	about(record, task, waker);
	record->value = cpu_of(task);
#ifdef RICH
	if (only_interrupted(waker))
		flags = INTERRUPT;
#endif
	commit(record, WAKING, flags, task->pid);
	return 0;
}

static __always_inline int queued(struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record;

	if (!wanted(task))
		return 0;
	record = reserve(cpu);
	if (!record)
		return 0;
	about(record, task, 0);
	record->value = cpu_of(task);
	record->lag = lag_of(task, record->time_ns);
	commit(record, WAKEUP, 0, task->pid);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int on_wakeup(u64 *ctx)
{
	return queued((void *)ctx[0]);
}

SEC("tp_btf/sched_wakeup_new")
int on_wakeup_new(u64 *ctx)
{
	return queued((void *)ctx[0]);
}

static __always_inline void named(u8 kind, struct task_struct *task, struct task_struct *other, const char *comm, u32 value)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve(cpu);

	if (!record)
		return;
	about(record, task, other);
	bpf_probe_read_kernel_str(record->comm, sizeof(record->comm), comm);
	record->value = value;
	commit(record, kind, kthread_flag(task, KTHREAD), task->pid);
}

/* The thread's id in its own pid namespace. */
static __always_inline u32 ns_tid_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level) & 31;
	int nr = 0;

	/* The array's real element is 16 bytes (a number and its namespace): its size is the kernel's, not ours. */
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(pid->numbers) + level * bpf_core_type_size(struct upid));
	return nr;
}

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	struct task_struct *child = (void *)ctx[1];

	inherit(parent, child);
	named(FORK, child, parent, child->comm, ns_tid_of(child));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 cpu = bpf_get_smp_processor_id();
	struct record *record = reserve(cpu);

	if (!record)
		return 0;
	about(record, task, 0);
	bpf_probe_read_kernel_str(record->comm, sizeof(record->comm), task->comm);
	record->other_tid = (u32)ctx[1];
	commit(record, EXEC, 0, task->pid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	named(EXIT, task, 0, task->comm, 0);
	return 0;
}

SEC("tp_btf/sched_process_free")
int on_free(u64 *ctx)
{
	forget((void *)ctx[0]);
	return 0;
}

SEC("tp_btf/task_rename")
int on_rename(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	/* Of everybody: who held the CPU has a name, and user space learns here who has one that is in scope. */
	named(RENAME, task, bpf_get_current_task_btf(), (const char *)ctx[1], 0);
	return 0;
}
