/* SPDX-License-Identifier: ISC */
#include "role/requeue.h"

#include <unistd.h>

#include "sys/file.h"

enum { TIMEOUT_MS = 120000 };

bool role_requeue(struct role *r, const struct envelope *e, struct str message,
	struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	int fd CLEANUP(fd_close) = -1;
	struct text out = text_view(message);

	ipc_frame_init(&reply);
	if (out.size > TEXT_MEMORY_MAX) {
		fd = text_descriptor(&out, f);
		if (fd < 0)
			return false;
		out.bytes = STR_NONE;
	}
	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, e);
	text_put(&b, &out);
	return ipc_call(r->queue, IPC_QUEUE_PUT, buf_str(&b), fd, TIMEOUT_MS,
		&reply, f);
}
