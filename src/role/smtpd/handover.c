/* SPDX-License-Identifier: ISC */
/*
 * From the last byte of the text to 250: mail for mailboxes of ours is
 * delivered while the client waits, the rest (and what failed for a moment) is
 * put into the queue.  The answer of the other role is awaited without a thread
 * (MODE_HANDOVER); what the transaction holds stays until it has come.
 */
#include "role/smtpd/smtpd.h"

enum {
	ANSWER_MS = 60000,
	PARKED_MAX = 256 /* of a listener; beyond, threads wait: they are few */
};

/* Everybody is in the built-in store, and nobody wants a success report? */
static bool all_in_store(struct session *s, const struct expanded *x)
{
	struct route route;
	struct fault f;

	for (uint32_t i = 0; i < x->n; i++) {
		if ((x->v[i].notify & SMTP_NOTIFY_SUCCESS) != 0 ||
			!policy_route(s->sv->policy, s->tx.sender,
				x->v[i].address, s->cmd_a, &route, &f) ||
			!str_eqc(route.transport, "store") ||
			policy_defers(s->sv->policy, route.transport))
			return false;
	}
	return true;
}

bool smtpd_put_in_queue(struct session *s, const struct envelope *env,
	const struct text *text, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	text_put(&b, text);
	return ipc_call(s->sv->role->queue, IPC_QUEUE_PUT, buf_str(&b),
		text->fd, ANSWER_MS, &reply, f);
}

/* False: the other role could not even be told. */
static bool ask(struct session *s, struct handover *h, struct ipc_client *who,
	enum ipc_type what, struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, &h->env);
	text_put(&b, &h->text);
	h->who = who;
	h->sock = ipc_ask(who, what, buf_str(&b), h->text.fd, f);
	s->seat.await_fd = h->sock;
	s->seat.deadline_ms = clock_mono_ms() + ANSWER_MS;
	s->seat.readable = s->seat.timed_out = false;
	return h->sock >= 0;
}

static bool ask_queue(struct session *s, struct handover *h, struct fault *f)
{
	return ask(s, h, s->sv->role->queue, IPC_QUEUE_PUT, f);
}

static bool ask_mailbox(struct session *s, struct handover *h, struct fault *f)
{
	return ask(s, h, s->sv->role->mailbox, IPC_DELIVER, f) ||
	       ask_queue(s, h, f);
}

/* postconf(5) smtputf8_autodetect_classes.  The envelope is ASCII unless
 * SMTPUTF8 was asked for. */
static bool finds_utf8(const struct session *s, const struct spool *sp)
{
	struct str classes = s->sv->c->smtputf8_autodetect_classes;
	const char *own = s->sv->service->local ? "sendmail" : "smtpd";

	return sp->head_utf8 && s->sv->c->smtputf8_enable &&
	       (conf_option_has(classes, own) ||
		       conf_option_has(classes, "all"));
}

static uint32_t flags_of(const struct session *s, const struct spool *sp)
{
	unsigned m = s->tx.mail.flags;
	const struct conf *c = s->sv->c;
	bool require = (m & SMTP_MAIL_REQUIRETLS) != 0;
	bool is_8bit = sp->has_8bit || (m & SMTP_MAIL_8BIT) != 0 ||
		       (c->detect_8bit_encoding_header && sp->says_8bit);

	/* RFC 8689 4.1: the header field is nothing beside the parameter. */
	return (is_8bit ? ENV_8BIT : 0u) | (require ? ENV_REQUIRETLS : 0u) |
	       (sp->tls_optional && !require ? ENV_TLS_OPTIONAL : 0u) |
	       ((m & SMTP_MAIL_BY_RETURN) != 0 ? ENV_BY_RETURN : 0u) |
	       ((m & SMTP_MAIL_BY_TRACE) != 0 ? ENV_BY_TRACE : 0u) |
	       ((m & SMTP_MAIL_UTF8) != 0 || finds_utf8(s, sp) ? ENV_UTF8
							       : 0u) |
	       ((m & SMTP_MAIL_RET_HDRS) != 0 ? ENV_RET_HDRS : 0u) |
	       (s->tx.hold ? ENV_HOLD : 0u) | (s->tx.junk ? ENV_JUNK : 0u) |
	       (smtpd_is_own(s) && !s->sv->lmtp ? ENV_SIGN : 0u);
}

/* Where an address became another one, or several. */
static void log_rewriting(
	struct session *s, const struct handover *h, const char *id)
{
	if (!str_eq(s->tx.sender, s->tx.sender_said))
		log_info("rewritten", log_z("queue_id", id),
			log_s("from", s->tx.sender_said),
			log_s("to", s->tx.sender));
	for (uint32_t i = 0; i < h->recipients; i++) {
		const struct recipient *r = &h->env.rcpts[i];

		if (!str_eq(r->address, r->original))
			log_info("rewritten", log_z("queue_id", id),
				log_s("from", r->original),
				log_s("to", r->address));
	}
}

bool smtpd_handover(struct session *s, struct text *text,
	const struct spool *sp, struct fault *f)
{
	struct handover *h = arena_alloc(s->tx_a, sizeof(*h));
	struct expanded x;

	*h = (struct handover){.text = *text, .sock = -1};
	*text = (struct text){.fd = -1};
	s->tx.handover = h;
	__atomic_add_fetch(&s->sv->handovers, 1, __ATOMIC_RELAXED);
	if (!smtpd_expand(s, &x, f))
		return false;
	smtpd_account_check(s, &h->usage);
	struct str filter =
		s->tx.filter.len > 0 ? s->tx.filter : s->sv->c->content_filter;
	h->env = (struct envelope){.id = s->tx.id,
		.arrival = clock_unix(),
		.flags = flags_of(s, sp),
		.size = h->text.size,
		.sender = s->tx.sender,
		.envid = s->tx.mail.envid,
		.login = s->login,
		.client = arena_printf(s->tx_a, "%.*s[%.*s]",
			STR_ARG(s->client_name), STR_ARG(s->client)),
		.helo = s->helo,
		.protocol = str_from(smtpd_protocol(s)),
		.port = s->client_port,
		.sasl_method = s->sasl_method,
		.sasl_sender = s->tx.mail.auth,
		.filter = filter.len > 0 ? filter : STR_NONE,
		.verp = s->tx.verp,
		.priority = s->tx.priority,
		.hold_until = s->tx.hold_until,
		.deliver_by = s->tx.deliver_by,
		.rcpts = x.v,
		.n_rcpts = x.n};
	h->recipients = x.n;
	bool now = !s->tx.hold && filter.len == 0 && s->tx.hold_until == 0;
	if (!(now && all_in_store(s, &x) ? ask_mailbox(s, h, f)
					 : ask_queue(s, h, f)))
		return false;
	s->mode = MODE_HANDOVER;
	return true;
}

void handover_free(struct session *s, struct handover *h)
{
	if (h == NULL)
		return;
	__atomic_sub_fetch(&s->sv->handovers, 1, __ATOMIC_RELAXED);
	fd_close(&h->sock);
	text_fini(&h->text);
}

/* Who is in a mailbox now stands behind those who are not. */
static bool take_outcomes(
	struct session *s, struct handover *h, const struct ipc_frame *reply)
{
	struct wire w = {.rest = buf_str(&reply->payload)};
	struct outcomes o = {0};
	uint32_t left = 0;

	if (!outcomes_read(&w, s->cmd_a, &o))
		return false;
	for (uint32_t i = 0; i < o.n; i++) {
		uint32_t n = o.v[i].n;

		if (o.v[i].kind == DELIVERED || n >= h->env.n_rcpts)
			continue;
		struct recipient r = h->env.rcpts[left];
		h->env.rcpts[left++] = h->env.rcpts[n];
		h->env.rcpts[n] = r;
	}
	h->env.n_rcpts = left;
	return true;
}

static void log_accepted(struct session *s, const struct handover *h)
{
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	log_rewriting(s, h, id);
	log_info("accepted", log_z("queue_id", id), log_s("client", s->client),
		log_s("login", s->login), log_s("from", s->tx.sender),
		log_s("message_id", s->tx.message_id),
		log_n("size", (int64_t)h->text.size),
		log_n("nrcpt", h->recipients), log_n("queued", h->env.n_rcpts));
}

static void accepted(struct session *s, const struct handover *h)
{
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	log_accepted(s, h);
	smtpd_account_tell(s, &h->usage);
	s->mails++;
	s->errors = 0;
	s->junk = 0;
	smtpd_reply(s, 250, "2.0.0 Ok: queued as %s", id);
}

/* False: now the queue is asked for those who are left. */
static bool take_answer(struct session *s, struct handover *h, int64_t wait_ms)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct fault f;
	int sock = h->sock;

	ipc_frame_init(&reply);
	h->sock = -1;
	bool ok = ipc_answered(h->who, sock, wait_ms, &reply, &f);
	if (h->who == s->sv->role->mailbox &&
		(!ok || !take_outcomes(s, h, &reply) || h->env.n_rcpts > 0)) {
		if (ask_queue(s, h, &f))
			return false;
		ok = false;
	}
	if (ok)
		accepted(s, h);
	else
		reception_failed(s, &f);
	return true;
}

/* May the answer be awaited without a thread? */
static bool may_park(const struct session *s)
{
	return !crew_ending(s->seat.crew) &&
	       __atomic_load_n(&s->sv->handovers, __ATOMIC_RELAXED) <=
		       PARKED_MAX;
}

bool smtpd_handover_more(struct session *s)
{
	struct seat *seat = &s->seat;

	if (!seat->readable && !seat->timed_out && may_park(s))
		return false;
	int64_t left = seat->deadline_ms - clock_mono_ms();
	seat->readable = seat->timed_out = false;
	if (take_answer(s, s->tx.handover, left > 0 ? left : 0)) {
		s->mode = MODE_COMMANDS;
		transaction_reset(s);
	}
	return true;
}
