/* SPDX-License-Identifier: ISC */
/* A report on its way: into the queue, from the null sender, to be signed. */
#include "codec/smtp/command.h"
#include "codec/mail/dmarc.h"
#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { PUT_TIMEOUT_MS = 60000 };

bool report_send(struct report_role *r, const struct dmarc_rua *to,
	size_t n_to, struct str mail, uint64_t *id_r, struct fault *f)
{
	struct recipient rcpts[DMARC_RUA_MAX];
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct text text = text_view(mail);
	int fd CLEANUP(fd_close) = -1;

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	for (size_t i = 0; i < n_to; i++)
		rcpts[i] = (struct recipient){.address = to[i].address,
			.original = to[i].address,
			.notify = SMTP_NOTIFY_NEVER};
	/* The null sender: nobody answers a report. */
	struct envelope env = {.id = id_new(),
		.arrival = clock_unix(),
		.flags = ENV_SIGN,
		.size = mail.len,
		.sender = STR(""),
		.client = STR("report"),
		.rcpts = rcpts,
		.n_rcpts = (uint32_t)n_to};
	*id_r = env.id;
	if (text.size > TEXT_MEMORY_MAX) {
		fd = text_descriptor(&text, f);
		if (fd < 0)
			return false;
		text.bytes = STR_NONE;
	}
	envelope_put(&b, &env);
	text_put(&b, &text);
	return ipc_call(r->role->queue, IPC_QUEUE_PUT, buf_str(&b), fd,
		PUT_TIMEOUT_MS, &reply, f);
}

