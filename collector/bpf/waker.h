/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether who runs while somebody is woken is the cause of it, or was only interrupted. x86-64 only. */
#ifndef PLUMB_WAKER_H
#define PLUMB_WAKER_H

#include "calls.h"

/* 16 KiB since 3.15 (more only with KASAN). */
#define THREAD_SIZE 16384

/*
 * x86 handles interrupts of the kernel, and the soft interrupts after them, on a stack of their own: it is enough to see whether this program's frame lies on
 * the stack of the current thread. (The preempt count would say the same, but its address is not to be had on all kernels.) The verifier
 * lets a stack pointer become a number only as the difference to another pointer.
 *
 * Since 6.13 a function of a program that needs 64 bytes of stack or more has them elsewhere: hence one of its own, which needs none.
 */
static __attribute__((noinline)) int on_own_stack(struct task_struct *task)
{
	u64 here;

	asm volatile("%0 = r10\n\t%0 -= %1" : "=&r"(here) : "r"(task));
	here += bpf_get_current_task();
	return here - (u64)task->stack < THREAD_SIZE;
}

/*
 * A write to a socket of the same machine wakes its reader in a soft interrupt that runs at once, on behalf of the writer: the writer is the cause.
 */
static __always_inline int is_sending(s64 call)
{
	switch (call) {
	case 1: /* write */
	case 3: /* close */
	case 20: /* writev */
	case 40: /* sendfile */
	case 42: /* connect */
	case 44: /* sendto */
	case 46: /* sendmsg */
	case 48: /* shutdown */
	case 275: /* splice */
	case 307: /* sendmmsg */
		return 1;
	}
	return 0;
}

/*
 * Interrupts of user space are handled on the thread's own stack, but then the thread is in no system call. So it is in a page fault, whose end may wake
 * somebody in earnest: that waker is given up, since a wrong one would be worse.
 */
static __always_inline int only_interrupted(struct task_struct *waker)
{
	s64 call;

	if (waker->flags & (PF_KTHREAD | PF_IO_WORKER))
		return !on_own_stack(waker);
	call = ((struct pt_regs *)bpf_task_pt_regs(waker))->orig_ax;
	return call < 0 || (!on_own_stack(waker) && !is_sending(call));
}

#endif
