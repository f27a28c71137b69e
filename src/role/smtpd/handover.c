/* SPDX-License-Identifier: ISC */
/*
 * From the last byte of the text to 250: aliases are expanded, mail for
 * mailboxes of ours is delivered while the client waits, the rest (and what
 * failed for a moment) is put into the queue.  True means: on disk.
 */
#include <string.h>

#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"

enum { DELIVER_TIMEOUT_MS = 60000, EXPANDED_MAX = 10000 };

struct expanded {
	struct recipient *v;
	uint32_t n;
	uint32_t cap;
};

static bool add(struct session *s, struct expanded *x, struct recipient r,
	struct fault *f)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (str_ieq(x->v[i].address, r.address))
			return true;
	if (x->n >= EXPANDED_MAX)
		return fault_set(f, FAULT_TEMP, 451, 5, 3,
			"more than %d recipients behind the aliases",
			EXPANDED_MAX);
	if (x->n == x->cap) {
		uint32_t cap = x->cap > 0 ? x->cap * 2 : 8;
		struct recipient *v = arena_alloc(s->tx_a, cap * sizeof(*v));

		if (x->n > 0)
			memcpy(v, x->v, x->n * sizeof(*v));
		x->v = v;
		x->cap = cap;
	}
	x->v[x->n++] = r;
	return true;
}

static bool expand_all(struct session *s, struct expanded *x, struct fault *f)
{
	struct transaction *tx = &s->tx;

	if (tx->redirect.len > 0)
		return add(s, x,
			(struct recipient){.address = tx->redirect,
				.original = tx->rcpts[0].original,
				.notify = tx->rcpts[0].notify},
			f);
	for (size_t i = 0; i < tx->n_rcpts; i++) {
		struct strs list = {0};

		if (smtpd_overrides(s, "no_address_mappings")) {
			if (!add(s, x, tx->rcpts[i], f))
				return false;
			continue;
		}
		if (!rewrite_virtual(s->sv->policy, tx->rcpts[i].address,
			    s->tx_a, &list, f))
			return false;
		for (size_t j = 0; j < list.n; j++) {
			struct recipient r = tx->rcpts[i];

			r.address = list.v[j];
			if (!add(s, x, r, f))
				return false;
		}
	}
	return true;
}

static bool add_bcc(struct session *s, struct expanded *x, struct str address,
	struct fault *f)
{
	struct strs list = {0};
	struct str bcc = rewrite_trivial(s->sv->policy, address, s->tx_a);

	if (!rewrite_virtual(s->sv->policy, bcc, s->tx_a, &list, f))
		return false;
	for (size_t i = 0; i < list.n; i++)
		if (!add(s, x,
			    (struct recipient){.address = list.v[i],
				    .original = bcc,
				    .notify = SMTP_NOTIFY_NEVER},
			    f))
			return false;
	return true;
}

/* always_bcc, sender_bcc_maps, recipient_bcc_maps: nobody is told. */
static bool add_copies(struct session *s, struct expanded *x, struct fault *f)
{
	const struct policy *p = s->sv->policy;
	struct str bcc;

	if (p->c->always_bcc.len > 0 && !add_bcc(s, x, p->c->always_bcc, f))
		return false;
	enum table_result r =
		policy_bcc(p, p->sender_bcc, s->tx.sender, s->tx_a, &bcc, f);
	if (r == TABLE_ERROR || (r == TABLE_FOUND && !add_bcc(s, x, bcc, f)))
		return false;
	for (size_t i = 0; i < s->tx.n_rcpts; i++) {
		r = policy_bcc(p, p->recipient_bcc, s->tx.rcpts[i].address,
			s->tx_a, &bcc, f);
		if (r == TABLE_ERROR ||
			(r == TABLE_FOUND && !add_bcc(s, x, bcc, f)))
			return false;
	}
	return true;
}

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
		text->fd, DELIVER_TIMEOUT_MS, &reply, f);
}

/* Who is left afterwards goes to the queue. */
static bool deliver_now(struct session *s, struct envelope *env,
	const struct text *text, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct outcomes o = {0};
	uint32_t left = 0;

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, env);
	text_put(&b, text);
	if (!ipc_call(s->sv->role->mailbox, IPC_DELIVER, buf_str(&b), text->fd,
		    DELIVER_TIMEOUT_MS, &reply, f))
		return smtpd_put_in_queue(s, env, text, f);
	struct wire w = {.rest = buf_str(&reply.payload)};
	if (!outcomes_read(&w, s->cmd_a, &o))
		return smtpd_put_in_queue(s, env, text, f);
	for (uint32_t i = 0; i < o.n; i++)
		if (o.v[i].kind != DELIVERED && o.v[i].n < env->n_rcpts)
			env->rcpts[left++] = env->rcpts[o.v[i].n];
	env->n_rcpts = left;
	return left == 0 || smtpd_put_in_queue(s, env, text, f);
}

static uint32_t flags_of(const struct session *s, const struct spool *sp)
{
	unsigned m = s->tx.mail.flags;
	bool require = (m & SMTP_MAIL_REQUIRETLS) != 0;

	/* RFC 8689 4.1: the header field is nothing beside the parameter. */
	return (sp->has_8bit || (m & SMTP_MAIL_8BIT) != 0 ? ENV_8BIT : 0u) |
	       (require ? ENV_REQUIRETLS : 0u) |
	       (sp->tls_optional && !require ? ENV_TLS_OPTIONAL : 0u) |
	       ((m & SMTP_MAIL_BY_RETURN) != 0 ? ENV_BY_RETURN : 0u) |
	       ((m & SMTP_MAIL_BY_TRACE) != 0 ? ENV_BY_TRACE : 0u) |
	       ((m & SMTP_MAIL_UTF8) != 0 ? ENV_UTF8 : 0u) |
	       ((m & SMTP_MAIL_RET_HDRS) != 0 ? ENV_RET_HDRS : 0u) |
	       (s->tx.hold ? ENV_HOLD : 0u) | (s->tx.junk ? ENV_JUNK : 0u) |
	       (smtpd_is_own(s) && !s->sv->lmtp ? ENV_SIGN : 0u);
}

/* Where an address became another one, or several. */
static void log_rewriting(
	struct session *s, const struct expanded *x, const char *id)
{
	if (!str_eq(s->tx.sender, s->tx.sender_said))
		log_info("rewritten", log_z("queue_id", id),
			log_s("from", s->tx.sender_said),
			log_s("to", s->tx.sender));
	for (uint32_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i].address, x->v[i].original))
			log_info("rewritten", log_z("queue_id", id),
				log_s("from", x->v[i].original),
				log_s("to", x->v[i].address));
}

bool smtpd_handover(struct session *s, const struct text *text,
	const struct spool *sp, struct fault *f)
{
	struct expanded x = {0};
	struct usage_result usage;
	char id[ID_TEXT];

	if (!expand_all(s, &x, f) ||
		(!smtpd_overrides(s, "no_address_mappings") &&
			!add_copies(s, &x, f)))
		return false;
	smtpd_account_check(s, &usage);
	struct str filter =
		s->tx.filter.len > 0 ? s->tx.filter : s->sv->c->content_filter;
	struct envelope env = {.id = s->tx.id,
		.arrival = clock_unix(),
		.flags = flags_of(s, sp),
		.size = text->size,
		.sender = s->tx.sender,
		.envid = s->tx.mail.envid,
		.login = s->login,
		.client = arena_printf(s->cmd_a, "%.*s[%.*s]",
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
	uint32_t n = x.n;
	bool now = !s->tx.hold && filter.len == 0 && s->tx.hold_until == 0;
	bool ok = now && all_in_store(s, &x)
			  ? deliver_now(s, &env, text, f)
			  : smtpd_put_in_queue(s, &env, text, f);
	id_text(s->tx.id, id);
	if (!ok)
		return false;
	log_rewriting(s, &x, id);
	log_info("accepted", log_z("queue_id", id), log_s("client", s->client),
		log_s("login", s->login), log_s("from", s->tx.sender),
		log_s("message_id", s->tx.message_id),
		log_n("size", (int64_t)text->size), log_n("nrcpt", n),
		log_n("queued", env.n_rcpts));
	smtpd_account_tell(s, &usage);
	return true;
}
