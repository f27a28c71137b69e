/* SPDX-License-Identifier: ISC */
/* A transport of the command pipe: master runs it with its account's rights. */
#include "codec/smtp/path.h"
#include "conf/table.h"
#include "role/mailbox/mailbox.h"

enum { TIMEOUT_MS = 120000 };

static struct pipe_rcpt rcpt_of(
	const struct mailbox_role *m, const struct recipient *r)
{
	const struct conf *c = m->role->conf;
	struct pipe_rcpt p = {.address = r->address, .original = r->original};
	struct str local, domain, ext;

	smtp_address_split(r->address, &local, &domain);
	address_extension(local, c->recipient_delimiter,
		c->owner_request_special, &p.user, &ext);
	p.extension = str_present(ext) ? str_from_at(ext, 1) : STR("");
	return p;
}

static bool ask_master(struct mailbox_role *m, const struct job *job,
	const struct text *body, struct arena *a, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	const struct envelope *e = &job->env;
	char id[ID_TEXT];

	id_text(e->id, id);
	struct local_request req = {.action = LOCAL_PIPE,
		.target = job->transport,
		.sender = e->sender,
		.recipient = e->rcpts[job->pick[0]].address,
		.original = e->rcpts[job->pick[0]].original,
		.client = e->client,
		.login = e->login,
		.helo = e->helo,
		.protocol = e->protocol,
		.port = e->port,
		.sasl_method = e->sasl_method,
		.sasl_sender = e->sasl_sender,
		.queue_id = str_from(id),
		.nexthop = job->nexthop,
		.rcpts = arena_alloc(a, job->n_pick * sizeof(*req.rcpts)),
		.n_rcpts = job->n_pick};
	for (uint32_t i = 0; i < job->n_pick; i++)
		req.rcpts[i] = rcpt_of(m, &e->rcpts[job->pick[i]]);
	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	local_request_put(&b, &req);
	int fd CLEANUP(fd_close) = text_descriptor(body, f);
	/* Master's child keeps the time; this is for its own end. */
	int64_t ms = TIMEOUT_MS +
		     1000 * transport_setting(m->role->conf, job->transport,
				    "time_limit", true,
				    m->role->conf->command_time_limit, a);
	return fd >= 0 && ipc_call(m->role->master, IPC_LOCAL, buf_str(&b), fd,
				  ms, &reply, f);
}

void mailbox_pipe(struct mailbox_role *m, const struct job *job,
	const struct text *body, struct arena *a, struct outcomes *o)
{
	const struct transport *t =
		transport_find(m->role->services, job->transport);
	bool final = (t->pipe->flags & PIPE_FINAL) != 0;
	struct fault f;
	bool ok = ask_master(m, job, body, a, &f);

	for (uint32_t i = 0; i < job->n_pick; i++) {
		struct outcome_of one = {.n = job->pick[i],
			.kind = DELIVERED,
			.relayed = !final,
			.text = arena_printf(a, "delivered via %.*s service",
				STR_ARG(job->transport))};

		if (!ok)
			outcome_fault(&one, job->pick[i], &f, a);
		o->v[o->n++] = one;
	}
}
