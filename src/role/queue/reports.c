/* SPDX-License-Identifier: ISC */
/* The reports that a delivery causes: RFC 3461 5.2 and 6. */
#include "role/queue/reports.h"

#include "codec/smtp/command.h"
#include "role/queue/sched_private.h"
#include "sys/clock.h"
#include "sys/file.h"

struct making {
	struct reports *r;
	struct sched *s;
	const struct envelope *env;
	int64_t now;
	struct arena *a;
};

static void report(struct making *x, enum dsn_action action, struct str message)
{
	const struct conf *c = x->s->role->conf;
	const struct envelope *env = x->env;
	struct dsn_rcpt *mine =
		arena_alloc(x->a, (x->r->n_rcpts + 1) * sizeof(*mine));
	struct recipient *to = arena_make(x->a, struct recipient);
	char id[ID_TEXT], original[ID_TEXT];
	uint64_t fresh = id_new();
	size_t n = 0;

	for (size_t i = 0; i < x->r->n_rcpts; i++)
		if (x->r->rcpts[i].action == action)
			mine[n++] = x->r->rcpts[i];
	if (n == 0)
		return;
	id_text(fresh, id);
	id_text(env->id, original);
	/* RFC 8689 5: under REQUIRETLS never more than the header. */
	bool whole = action == DSN_FAILED &&
		     (env->flags & (ENV_RET_HDRS | ENV_REQUIRETLS)) == 0 &&
		     message.len <= (size_t)c->bounce_size_limit;
	struct dsn d = {.reporting_mta = c->myhostname,
		.mail_name = c->mail_name,
		.message_id = arena_printf(
			x->a, "%s@%.*s", id, STR_ARG(c->myhostname)),
		.to = env->sender,
		.envid = env->envid,
		.queue_id = arena_str(x->a, str_from(original)),
		.arrival = env->arrival,
		.now = x->now,
		.zone_minutes = clock_zone_minutes(x->now),
		.rcpts = mine,
		.n_rcpts = n,
		.original = message,
		.headers_only = !whole};
	struct buf *body = &x->r->bodies[x->r->n];
	buf_init(body, (8u << 20) + message.len);
	dsn_put(&d, body);
	*to = (struct recipient){.address = env->sender,
		.original = env->sender,
		.notify = SMTP_NOTIFY_NEVER};
	x->r->v[x->r->n++] = (struct queue_report){
		.env = {.id = fresh,
			.arrival = x->now,
			.flags = ENV_DSN | ENV_8BIT |
				 (env->flags & (ENV_UTF8 | ENV_REQUIRETLS)),
			.size = body->len,
			.sender = STR(""),
			.client = STR("local"),
			.rcpts = to,
			.n_rcpts = 1},
		.body = buf_str(body)};
	log_info("report", log_z("queue_id", original), log_z("report_id", id),
		log_s("to", env->sender),
		log_z("about", action == DSN_FAILED    ? "failure"
			       : action == DSN_DELAYED ? "delay"
						       : "success"));
}

void reports_make(struct reports *r, struct sched *s,
	const struct envelope *env, int64_t now, struct arena *a)
{
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct making x = {r, s, env, now, a};
	struct fault f;

	if (r->n_rcpts == 0)
		return;
	if (env->sender.len == 0) {
		char id[ID_TEXT];

		/* RFC 5321 6.1: nobody is told about a lost report. */
		id_text(env->id, id);
		log_warn(
			"report could not be delivered", log_z("queue_id", id));
		return;
	}
	if (!queue_text(s->queue, env->id, &text, &f) ||
		!text_map(&text, &map, &f))
		map.bytes = STR("");
	report(&x, DSN_FAILED, map.bytes);
	report(&x, DSN_DELAYED, map.bytes);
	report(&x, DSN_DELIVERED, map.bytes);
	report(&x, DSN_RELAYED, map.bytes);
}

void reports_fini(struct reports *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		buf_fini(&r->bodies[i]);
}
