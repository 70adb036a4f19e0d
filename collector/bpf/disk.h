/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests to block devices, one record each, when they are done.
 *
 * A kernel that runs no program within a protected process (see collector/src/writer/chain.rs) hides the interrupts in the midst of its threads, and with them the end of requests of
 * others. The structure of such a request is soon used for the next one: then the one before is told, as done at a time that nobody knows. What is still here at the end of the recording
 * user space counts (collector/src/kernel/requests.rs).
 */
#ifndef PLUMB_DISK_H
#define PLUMB_DISK_H

#include "options.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

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
	u64 start_time_ns;
};

#pragma clang attribute pop

/* A request that was issued. User space reads it as well: `UnderWay`. */
struct under_way {
	u64 issued_ns;
	/* When the kernel made the request: it has another where the structure is used again. 0 where it keeps no books of its requests. */
	u64 made_ns;
	u32 device;
	u32 flags;
	u32 bytes;
	u32 pad;
};

/* By address. Where more are under way than fit, the oldest are told without their time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct under_way);
} issued SEC(".maps");

static __always_inline struct under_way read_request(struct request *request)
{
	struct gendisk *disk = BPF_CORE_READ(request, q, disk);
	struct under_way read = {
		.made_ns = BPF_CORE_READ(request, start_time_ns),
		.device = BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor),
		.flags = BPF_CORE_READ(request, cmd_flags),
		.bytes = BPF_CORE_READ(request, __data_len),
	};

	return read;
}

static __always_inline void tell_request(const struct under_way *done, u64 issued_ns, s32 error)
{
	struct record *record = reserve(bpf_get_smp_processor_id());

	if (!record)
		return;
	record->time_ns = bpf_ktime_get_ns();
	record->pid = 0;
	record->other_tid = done->flags;
	record->other_pid = 0;
	record->value = done->device;
	record->charged_ns = issued_ns;
	record->other_charged_ns = done->bytes;
	record->syscall = -1;
	record->fd_kind = FD_NONE;
	record->prio = 0;
	record->fd = error;
	record->nvcsw = 0;
	record->nivcsw = 0;
	record->lag = 0;
	commit(record, REQUEST, 0, 0);
}

SEC("tp_btf/block_rq_issue")
int on_request_issued(u64 *ctx)
{
	u64 key = ctx[0];
	struct under_way now = read_request((void *)key), *before = bpf_map_lookup_elem(&issued, &key);

	/* The same one again was sent back to its queue. */
	if (before && before->made_ns != now.made_ns)
		tell_request(before, 0, 0);
	now.issued_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&issued, &key, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int on_request_done(u64 *ctx)
{
	u64 key = ctx[0], issued_ns = 0;
	struct under_way done = read_request((void *)key), *before = bpf_map_lookup_elem(&issued, &key);
	u32 bytes = ctx[2];

	/* One that is done in parts is done with the last. */
	if (bytes < done.bytes)
		return 0;
	if (before && before->made_ns == done.made_ns)
		issued_ns = before->issued_ns;
	else if (before)
		tell_request(before, 0, 0);
	else if (!bytes)
		return 0; /* The second end of one that was followed by a flush, or that was a flush and nothing else. */
	tell_request(&done, issued_ns, (s32)ctx[1]);
	if (before)
		bpf_map_delete_elem(&issued, &key);
	return 0;
}

#endif
