/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The few fields of the kernel's structures that plumb reads. Only the names and types matter: preserve_access_index makes the loader put in
 * the offsets of the kernel that runs (CO-RE), so that one object fits many kernels and no generated vmlinux.h is needed.
 */
#ifndef PLUMB_KERNEL_H
#define PLUMB_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

/* include/linux/sched.h */
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000

/*
 * The bits of prev_state that say how a thread sleeps: TASK_REPORT (0x7f), DEAD, NOLOAD (idle kernel thread), RTLOCK_WAIT and FROZEN. The rest
 * (WAKEKILL, FREEZABLE, …) only qualifies; none of it stands alone, so a state that is not 0 stays so.
 */
#define STATE_MASK 0x94ff
#define STATE_DEAD 0x80

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* A CPU's queue. `clock` (ns, of the kernel's sched_clock) is what the scheduler accounts with: it stands still between two updates. */
struct rq {
	u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

/* The books of waiting that /proc/PID/schedstat shows: ns waited so far, and since when (rq->clock) it is queued, 0: it is not. */
struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct inode {
	u16 i_mode;
};

struct file {
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct thread_info {
	u32 cpu;
};

typedef struct {
	u32 val;
} kuid_t;

struct cred {
	kuid_t euid;
};

#ifdef CGROUPS
struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};
#endif

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	int prio;
	struct sched_entity se;
	struct sched_info sched_info;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	unsigned in_iowait : 1;
	unsigned long nvcsw;
	unsigned long nivcsw;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct pid *thread_pid;
	_Bool throttled;
	const struct cred *cred;
#ifdef CGROUPS
	struct css_set *cgroups;
#endif
};

struct pt_regs {
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

/* Before 5.14 `__state` was `state`; sched_switch hands it over only since 5.18. */
struct task_struct___new {
	unsigned int __state;
};

struct task_struct___old {
	long state;
};

/* Before 5.16 a thread's CPU was here, not in thread_info. */
struct task_struct___cpu {
	unsigned int cpu;
};

#pragma clang attribute pop

#endif
