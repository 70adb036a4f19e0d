/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The system call that a thread blocks in, and the kind of file that the call is on. x86-64 only. */
#ifndef PLUMB_CALLS_H
#define PLUMB_CALLS_H

#include "ring.h"

enum fd_kind { FD_NONE, FD_SOCKET, FD_REGULAR, FD_PIPE, FD_ANON, FD_BLOCK, FD_CHAR, FD_OTHER };

#define CALL_POLL 7
#define CALL_PPOLL 271
#define CALLS_WITH_FD_MAX 512

#define BIT(nr) (1ull << ((nr) & 63))

/* Calls whose first argument is the descriptor that they may block on: bit nr & 63 of word nr / 64. */
static __always_inline u64 calls_with_fd(u32 word)
{
	switch (word) {
	case 0: /* read write ioctl pread64 pwrite64 readv writev connect accept sendto recvfrom sendmsg recvmsg */
		return BIT(0) | BIT(1) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(42) | BIT(43) | BIT(44) | BIT(45) |
		       BIT(46) | BIT(47);
	case 1: /* fcntl flock fsync fdatasync ftruncate getdents */
		return BIT(72) | BIT(73) | BIT(74) | BIT(75) | BIT(77) | BIT(78);
	case 3: /* epoll_wait getdents64 */
		return BIT(232) | BIT(217);
	case 4: /* splice sync_file_range epoll_pwait fallocate accept4 preadv pwritev recvmmsg sendmmsg */
		return BIT(275) | BIT(277) | BIT(281) | BIT(285) | BIT(288) | BIT(295) | BIT(296) | BIT(299) | BIT(307);
	case 5: /* copy_file_range preadv2 pwritev2 */
		return BIT(326) | BIT(327) | BIT(328);
	case 6: /* epoll_pwait2 */
		return BIT(441);
	}
	return 0;
}

static __always_inline u8 kind_of_mode(u16 mode)
{
	switch (mode & 0170000) {
	case 0140000:
		return FD_SOCKET;
	case 0100000:
		return FD_REGULAR;
	case 0010000:
		return FD_PIPE;
	case 0060000:
		return FD_BLOCK;
	case 0020000:
		return FD_CHAR;
	case 0:
		return FD_ANON;
	}
	return FD_OTHER;
}

static __always_inline u8 kind_of_fd(struct task_struct *task, s32 fd)
{
	struct files_struct *files = task->files;
	struct fdtable *table;
	struct file *file = 0;

	if (!files)
		return FD_NONE;
	table = files->fdt;
	if (!table || fd < 0 || (u32)fd >= table->max_fds)
		return FD_NONE;
	/* An array that the verifier has no type for; it may be swapped for a larger one meanwhile, and a wrong address reads as an error. */
	if (bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd) || !file)
		return FD_NONE;
	return kind_of_mode(BPF_CORE_READ(file, f_inode, i_mode));
}

/* poll and ppoll on one descriptor are a read with a time-out: that descriptor counts. */
static __always_inline s32 fd_of_poll(struct pt_regs *regs)
{
	s32 fd;

	if (regs->si != 1 || bpf_probe_read_user(&fd, sizeof(fd), (void *)regs->di))
		return -1;
	return fd;
}

/* Fills in syscall, fd and fd_kind of a thread that is no kernel thread and is about to block. */
static __always_inline void read_call(struct record *record, struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	s64 call = regs->orig_ax;
	s32 fd = -1;

	record->syscall = call;
	if (call == CALL_POLL || call == CALL_PPOLL)
		fd = fd_of_poll(regs);
	else if ((u64)call < CALLS_WITH_FD_MAX && calls_with_fd((u64)call >> 6) & BIT(call))
		fd = regs->di;
	record->fd = fd;
	record->fd_kind = fd < 0 ? FD_NONE : kind_of_fd(task, fd);
}

#endif
