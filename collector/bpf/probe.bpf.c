/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Programs that record nothing: `doctor` loads the first to see whether it may; the benchmark shows what recording costs above the first two. The last two show what this
 * kernel has: one that reads a field that the kernel has not is refused.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("tp_btf/sched_switch")
int empty(u64 *ctx)
{
	return 0;
}

SEC("tp_btf/sched_switch")
int clock_only(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	u64 sum = bpf_ktime_get_ns();

	sum += prev->pid + next->pid + prev->tgid + next->tgid;
	sum += prev->se.sum_exec_runtime + next->se.sum_exec_runtime;
	/* Read by nobody, but the compiler must not know. */
	asm volatile("" ::"r"(sum));
	return 0;
}

/* What sched.bpf.c reads to tell how long a thread has waited. */
SEC("tp_btf/sched_switch")
int waits(u64 *ctx)
{
	struct task_struct *next = (void *)ctx[2];
	u64 sum = next->sched_info.run_delay + next->sched_info.last_queued;

	sum += next->se.cfs_rq->rq->clock;
	asm volatile("" ::"r"(sum));
	return 0;
}

struct task_struct___none {
	u64 plumb_has_no_such_field;
} __attribute__((preserve_access_index));

SEC("tp_btf/sched_switch")
int refused(u64 *ctx)
{
	struct task_struct___none *next = (void *)ctx[2];
	u64 field = next->plumb_has_no_such_field;

	asm volatile("" ::"r"(field));
	return 0;
}
