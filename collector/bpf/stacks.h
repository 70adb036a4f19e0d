/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where threads block, and where who wakes them comes from: kernel and user stacks, where the rules ask for them.
 *
 * A stack is known by a number, a hash of its addresses. The first time that it is seen its addresses go into the ring, as parts right before the record that refers
 * to it; from then on its number is enough. What was told is remembered in a map that forgets what was used least: then it is told again, under the same number. So there is nothing that
 * user space would have to look up or to empty, for however long a recording goes on, and no two stacks share a number but by an accident of 64 bits: a secret of the
 * recording goes into it, so that nobody can make one. What belongs to a user's stack, beside its addresses, is the program: process, its start and its number of execs.
 *
 * Both programs run with interrupts off: the records of a stack and the record that refers to it follow each other in the ring.
 */
#ifndef PLUMB_STACKS_H
#define PLUMB_STACKS_H

#include "scope.h"
#include "waker.h"

enum stack_kind { STACK = 13 };

enum stack_flag { PART = 1, OF_WAKER = 2, UNTOLD = 4 };

/* The loader sets it. */
const volatile u64 stack_secret = 0;
/* Stacks that are told of a CPU in a second: unwinding by frame pointers through code that has none makes up new ones without end. */
const volatile u32 stacks_per_second = 500;

/*
 * Stacks that are taken on a CPU in a slot of time, 10,000 a second: each costs some microseconds, and who blocks more often than that must not be slowed down much. What is beyond is
 * counted, and has no stack.
 */
#define SLOT_NS 10000000ull
const volatile u32 stacks_per_slot = 100;

#define FRAMES_MAX 64
#define PART_FRAMES 6
/* Parts of a stack, and of both with the record that refers to them. */
#define PARTS_MAX ((FRAMES_MAX + PART_FRAMES - 1) / PART_FRAMES)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct___program {
	u64 start_time;
	u64 self_exec_id;
	struct task_struct___program *group_leader;
};

#pragma clang attribute pop

/* A stack, and what is done with it. */
struct stack {
	/* Room for whole parts. */
	u64 frames[PARTS_MAX * PART_FRAMES];
	u64 number;
	u32 count;
	/* To be told now. */
	u32 is_new;
};

/* What a CPU works with: no two of these programs are under way on one. */
struct stacks {
	struct stack kernel;
	struct stack user;
	/* Since when, and how many new ones since then. */
	u64 second_ns;
	u64 told;
	/* The same of a slot, and those that were taken. */
	u64 slot_ns;
	u64 taken;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stacks);
} stacks_here SEC(".maps");

/* Numbers that were told. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u8);
} stacks_told SEC(".maps");

static __always_inline u64 mixed(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/*
 * Functions with loops are global ones, which the verifier looks at once each, by themselves: inlined, every way out of one loop would be multiplied by those out of the next.
 */
__attribute__((noinline)) u64 number_of(struct stack *stack, u64 hash)
{
	if (!stack)
		return 0;
	for (u32 i = 0; i < FRAMES_MAX; i++) {
		if (i >= stack->count)
			break;
		hash = mixed(hash, stack->frames[i]);
	}
	return hash | 1;
}

/* The program that a thread runs: the same addresses of another one are another stack. */
static __always_inline u64 program_of(struct task_struct *task)
{
	struct task_struct___program *program = (void *)task;
	u64 hash = mixed(stack_secret, task->tgid);

	hash = mixed(hash, BPF_CORE_READ(program, group_leader, start_time));
	return mixed(hash, BPF_CORE_READ(program, self_exec_id));
}

/* Whether one more stack may be told. */
static __always_inline int may_tell(struct stacks *here, u64 now)
{
	if (now - here->second_ns >= 1000000000ull) {
		here->second_ns = now;
		here->told = 0;
	}
	return here->told++ < stacks_per_second;
}

/* Whether one more stack may be taken; counts it if not. */
static __always_inline int may_take(struct stacks *here, u32 cpu, u64 now)
{
	struct ring_head *ring;

	if (now - here->slot_ns >= SLOT_NS) {
		here->slot_ns = now;
		here->taken = 0;
	}
	if (here->taken++ < stacks_per_slot)
		return 1;
	ring = bpf_map_lookup_elem(&heads, &cpu);
	if (ring)
		ring->untaken++;
	return 0;
}

/* Makes room for `count` records that follow each other; where that is not to be had, it is as if nobody had asked. */
static __always_inline int reserve_run(u32 cpu, u32 count, u64 *first)
{
	struct ring_head *ring = bpf_map_lookup_elem(&heads, &cpu);
	u64 head;

	if (!ring)
		return 0;
	head = *(volatile u64 *)&ring->head;
	if (head + count - *(volatile u64 *)&ring->tail > 1ull << ring_bits)
		return 0;
	*(volatile u64 *)&ring->head = head + count;
	*first = head;
	return 1;
}

static __always_inline u32 parts_of(const struct stack *stack)
{
	return stack->is_new ? (stack->count + PART_FRAMES - 1) / PART_FRAMES : 0;
}

/* Gives the place behind its parts. */
__attribute__((noinline)) u64 tell_parts(struct stack *stack, u32 cpu, u64 at, u64 now)
{
	if (!stack || !stack->is_new)
		return at;
	for (u32 i = 0; i < PARTS_MAX; i++) {
		struct record *record;
		u64 *words;

		if (i * PART_FRAMES >= stack->count)
			break;
		record = place(cpu, at);
		if (!record)
			break;
		words = (u64 *)record;
		record->time_ns = now;
		for (u32 j = 0; j < PART_FRAMES; j++)
			words[2 + j] = stack->frames[i * PART_FRAMES + j];
		commit(record, STACK, PART, 0);
		at++;
	}
	return at;
}

static __always_inline void take_stack(void *ctx, struct stack *stack, u64 flags, u64 hash)
{
	long bytes = bpf_get_stack(ctx, stack->frames, FRAMES_MAX * sizeof(u64), flags);

	stack->count = bytes <= 0 ? 0 : (u32)bytes / sizeof(u64);
	stack->number = stack->count ? number_of(stack, hash) : 0;
	stack->is_new = stack->number && !bpf_map_lookup_elem(&stacks_told, &stack->number);
}

static __always_inline void is_told(const struct stack *stack)
{
	u8 one = 1;

	if (stack->is_new)
		bpf_map_update_elem(&stacks_told, &stack->number, &one, BPF_ANY);
}

/* A place for the record that refers to both stacks, after what is to be told of them; where there is no room for that, only a record. */
static __always_inline struct record *after_parts(struct stacks *here, u32 cpu, u64 now, u8 *flags)
{
	u64 at = 0;

	if (!here->kernel.is_new && !here->user.is_new)
		return reserve_undisturbed(cpu);
	if (!may_tell(here, now) || !reserve_run(cpu, parts_of(&here->kernel) + parts_of(&here->user) + 1, &at)) {
		here->kernel.is_new = 0;
		here->user.is_new = 0;
		*flags |= UNTOLD;
		return reserve_undisturbed(cpu);
	}
	at = tell_parts(&here->kernel, cpu, at, now);
	at = tell_parts(&here->user, cpu, at, now);
	is_told(&here->kernel);
	is_told(&here->user);
	return place(cpu, at);
}

/* Of the current thread; `woken` or 0. */
static __always_inline void tell_stacks(void *ctx, struct task_struct *task, struct task_struct *woken)
{
	u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct stacks *here = bpf_map_lookup_elem(&stacks_here, &zero);
	u64 now = bpf_ktime_get_ns();
	u8 flags = woken ? OF_WAKER : 0;
	struct record *record;

	if (!here || !may_take(here, cpu, now))
		return;
	take_stack(ctx, &here->kernel, 0, stack_secret);
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER)) {
		here->user.number = 0;
		here->user.is_new = 0;
	} else {
		take_stack(ctx, &here->user, BPF_F_USER_STACK, program_of(task));
	}
	record = after_parts(here, cpu, now, &flags);
	if (!record)
		return;
	record->time_ns = now;
	record->pid = task->tgid;
	record->other_tid = woken ? woken->pid : 0;
	record->other_pid = woken ? woken->tgid : 0;
	record->value = (here->kernel.is_new ? here->kernel.count : 0) | (here->user.is_new ? here->user.count : 0) << 8;
	record->charged_ns = here->kernel.number;
	record->other_charged_ns = here->user.number;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = 0;
	record->fd = -1;
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
	commit(record, STACK, flags, task->pid);
}

/* Before on_switch, so that the stack stands before the sleep that it is of. */
SEC("tp_btf/sched_switch")
int on_block(u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	u32 state = (switch_has_state ? (u32)ctx[3] : state_of(prev)) & STATE_MASK;

	/* Who was preempted was anywhere, kernel threads wait for work, and who dies does not come back. */
	if (ctx[0] & 1 || !state || state & STATE_DEAD || prev->flags & PF_KTHREAD || !wanted(prev))
		return 0;
	tell_stacks(ctx, prev, 0);
	return 0;
}

/* Before on_waking. Nobody is the cause of what an interrupt wakes, and who wakes itself runs with interrupts on. */
SEC("tp_btf/sched_waking")
int on_waker(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct task_struct *waker = bpf_get_current_task_btf();

	if (!waker->pid || waker->pid == task->pid || !wanted(task) || only_interrupted(waker))
		return 0;
	tell_stacks(ctx, waker, task);
	return 0;
}

#endif
