/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two programs that record nothing: `doctor` loads the first to see whether it may; the benchmark shows what recording costs above them. */
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
