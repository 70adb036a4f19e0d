/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whose wakeups and blocking calls are recorded. Switches, forks, execs, exits and renames are recorded of everybody, whatever the scope: who held the CPU is
 * the question.
 *
 * A thread is in scope when one of the maps has it: its process, its id, its effective user, its cgroup. The loader says which of them are asked.
 */
#ifndef PLUMB_SCOPE_H
#define PLUMB_SCOPE_H

#include "kernel.h"

/* Everybody is in scope. */
const volatile u8 whole_system = 1;
/* Which maps are looked up otherwise. */
const volatile u8 by_tree = 0;
const volatile u8 by_thread = 0;
const volatile u8 by_user = 0;
/* 0: not at all, 1: the unified hierarchy's cgroup, 2: the cpu controller's of version 1. */
const volatile u8 by_cgroup = 0;

#define SET(name, key_type)                         \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_HASH);    \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, 65536);         \
		__type(key, key_type);              \
		__type(value, u8);                  \
	} name SEC(".maps")

/* Processes (tgids) of the traced tree. User space puts in the first, fork the rest. Also the process whose children belong to it, but which does not itself. */
SET(traced, u32);

/* Values of `traced`; also in collector/src/kernel/scope.rs. */
enum { TRACED = 1, CHILDREN_ARE_TRACED = 2 };

/* Threads whose names are asked for. User space matches names; fork hands down what the parent has, until the child has a name of its own. */
SET(threads, u32);
/* Effective user ids. */
SET(users, u32);
/* Ids of cgroups, which are the inodes of their directories. */
SET(cgroups, u64);

#ifdef CGROUPS
enum cgroup_subsys_id { cpu_cgrp_id = 1 };

static __always_inline u64 cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = 0;

	if (by_cgroup == 1)
		return BPF_CORE_READ(set, dfl_cgrp, kn, id);
	/* The number of the controller differs between kernels. */
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(set->subsys) +
				      bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id) * sizeof(void *));
	return BPF_CORE_READ(css, cgroup, kn, id);
}
#endif

static __always_inline int wanted(struct task_struct *task)
{
	u32 key = task->tgid;

	if (whole_system)
		return 1;
	if (by_tree) {
		u8 *how = bpf_map_lookup_elem(&traced, &key);

		if (how && *how == TRACED)
			return 1;
	}
	if (by_thread) {
		key = task->pid;
		if (bpf_map_lookup_elem(&threads, &key))
			return 1;
	}
	if (by_user) {
		key = BPF_CORE_READ(task, cred, euid.val);
		if (bpf_map_lookup_elem(&users, &key))
			return 1;
	}
#ifdef CGROUPS
	if (by_cgroup) {
		u64 id = cgroup_of(task);

		if (bpf_map_lookup_elem(&cgroups, &id))
			return 1;
	}
#endif
	return 0;
}

/* A child is in the tree of its parent, and has its name at first. */
static __always_inline void inherit(struct task_struct *parent, struct task_struct *child)
{
	u32 child_tgid = child->tgid, parent_tgid = parent->tgid;
	u32 child_tid = child->pid, parent_tid = parent->pid;
	u8 one = TRACED;

	if (child_tgid != parent_tgid && bpf_map_lookup_elem(&traced, &parent_tgid))
		bpf_map_update_elem(&traced, &child_tgid, &one, BPF_ANY);
	if (by_thread && bpf_map_lookup_elem(&threads, &parent_tid))
		bpf_map_update_elem(&threads, &child_tid, &one, BPF_ANY);
}

/*
 * The ids of who is freed will be others'. Not at its exit: it runs on after that, and what that slice counted and where it slept is its own. A process's first thread is freed when
 * its last one is about to be: where that was preempted before its last switch, what is left of it is out of scope. A thread that calls exec takes over the first one's id, on old kernels
 * before that is freed: so who was the first is not told by ids.
 */
static __always_inline void forget(struct task_struct *task)
{
	u32 tgid = task->tgid, tid = task->pid;

	if (by_thread)
		bpf_map_delete_elem(&threads, &tid);
	if (BPF_CORE_READ(task, group_leader) == task)
		bpf_map_delete_elem(&traced, &tgid);
}

#endif
