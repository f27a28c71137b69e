/* SPDX-License-Identifier: ISC */
/* The reports that a delivery causes: RFC 3461 5.2 and 6. */
#include "role/queue/reports.h"

#include <string.h>

#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/command.h"
#include "conf/bounce_texts.h"
#include "policy/rewrite.h"
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

/* What the message says that its sender reads. */
static const struct dsn_words *words_for(
	const struct conf *c, struct str message)
{
	static const char *const fields[] = {
		"Accept-Language", "Content-Language"};
	const struct dsn_words *words = NULL;
	struct str head, body;

	mail_split(message, &head, &body);
	for (size_t i = 0; i < ARRAY_LEN(fields) && words == NULL; i++)
		words = dsn_words_find(mail_field_value(head, fields[i]));
	if (words == NULL)
		words = dsn_words_find(c->bounce_language);
	return words != NULL ? words : &dsn_words_en;
}

/* Who gets one report, and as what. */
struct addressee {
	struct str to; /* as it is written */
	struct str sender; /* "": nobody is told if it is lost */
	bool copy; /* of what all are told */
	bool headers_only;
	const char *about; /* for the log */
};

static const char *const abouts[] = {"failure", "delay", "success", "success"};

/* RFC 8689 5: under REQUIRETLS never more than the header. */
static bool is_whole(const struct making *x, enum dsn_action action,
	const struct addressee *who, struct str message)
{
	return action == DSN_FAILED && !who->headers_only &&
	       (x->env->flags & (ENV_RET_HDRS | ENV_REQUIRETLS)) == 0 &&
	       message.len <= (size_t)x->s->role->conf->bounce_size_limit;
}

/* As with any mail that comes in, aliases say who it is. */
static uint32_t find_rcpts(const struct making *x, const struct addressee *who,
	struct recipient **v_r)
{
	struct strs found = {0};
	struct fault f;

	if (!rewrite_virtual(x->s->policy, who->to, x->a, &found, &f)) {
		found = (struct strs){0};
		strs_add(&found, x->a, who->to);
	}
	*v_r = arena_alloc(x->a, found.n * sizeof(**v_r));
	for (size_t i = 0; i < found.n; i++)
		(*v_r)[i] = (struct recipient){.address = found.v[i],
			.original = who->to,
			.notify = SMTP_NOTIFY_NEVER};
	return (uint32_t)found.n;
}

static void enqueue(struct making *x, const struct addressee *who, uint64_t id,
	const struct buf *body)
{
	struct recipient *rcpts;
	uint32_t n = find_rcpts(x, who, &rcpts);

	x->r->v[x->r->n++] = (struct queue_report){
		.env = {.id = id,
			.arrival = x->now,
			.flags = ENV_DSN | ENV_8BIT |
				 (x->env->flags & (ENV_UTF8 | ENV_REQUIRETLS)),
			.size = body->len,
			.sender = who->sender,
			.client = STR("local"),
			.rcpts = rcpts,
			.n_rcpts = n},
		.body = buf_str(body)};
}

/* With VERP each recipient has a sender, who is told of that one. */
static bool is_about(const struct reports *r, size_t i, enum dsn_action action,
	const struct addressee *who)
{
	return r->rcpts[i].action == action &&
	       (who->copy || str_eq(r->to[i], who->to));
}

/* bounce_template_file; NULL: our own words. */
static const struct dsn_template *template_for(const struct making *x,
	enum dsn_action action, const struct addressee *who)
{
	const struct bounce_template *t =
		&x->s->bounces[action == DSN_FAILED    ? BOUNCE_FAILURE
			       : action == DSN_DELAYED ? BOUNCE_DELAY
						       : BOUNCE_SUCCESS];
	struct dsn_template *own;

	if (!str_present(t->text))
		return NULL;
	own = arena_make(x->a, struct dsn_template);
	*own = (struct dsn_template){.from = t->from,
		.subject = who->copy && str_present(t->postmaster_subject)
				   ? t->postmaster_subject
				   : t->subject,
		.text = t->text};
	return own;
}

static void report(struct making *x, enum dsn_action action, struct str message,
	const struct addressee *who)
{
	const struct conf *c = x->s->role->conf;
	const struct envelope *env = x->env;
	struct dsn_rcpt *mine =
		arena_alloc(x->a, (x->r->n_rcpts + 1) * sizeof(*mine));
	char id[ID_TEXT], original[ID_TEXT];
	uint64_t fresh = id_new();
	size_t n = 0;

	for (size_t i = 0; i < x->r->n_rcpts; i++)
		if (is_about(x->r, i, action, who))
			mine[n++] = x->r->rcpts[i];
	if (n == 0)
		return;
	id_text(fresh, id);
	id_text(env->id, original);
	struct dsn d = {.reporting_mta = c->myhostname,
		.mail_name = c->mail_name,
		.message_id = arena_printf(
			x->a, "%s@%.*s", id, STR_ARG(c->myhostname)),
		.to = who->to,
		.envid = env->envid,
		.queue_id = arena_str(x->a, str_from(original)),
		.arrival = env->arrival,
		.now = x->now,
		.zone_minutes = clock_zone_minutes(x->now),
		.rcpts = mine,
		.n_rcpts = n,
		.original = message,
		.headers_only = !is_whole(x, action, who, message),
		.threaded = c->enable_threaded_bounces,
		.utf8 = (env->flags & ENV_UTF8) != 0,
		.words = words_for(c, message),
		.template = template_for(x, action, who)};
	struct buf *body = &x->r->bodies[x->r->n];
	buf_init(body, (8u << 20) + message.len);
	dsn_put(&d, body);
	enqueue(x, who, fresh, body);
	log_info("report", log_z("queue_id", original), log_z("report_id", id),
		log_s("to", who->to), log_z("about", who->about));
}

/* ---- the postmaster ---- */

/* Never an answer to what it sent: policy_route throws mail for it away. */
static struct str double_bounce(const struct making *x)
{
	const struct conf *c = x->s->role->conf;

	return arena_printf(x->a, "%.*s@%.*s", STR_ARG(c->double_bounce_sender),
		STR_ARG(c->myorigin));
}

/* postconf(5) notify_classes */
static void copy(struct making *x, enum dsn_action action, struct str message,
	const char *class, struct str notice_recipient)
{
	struct addressee who = {
		.to = rewrite_trivial(x->s->policy, notice_recipient, x->a),
		.sender = double_bounce(x),
		.copy = true,
		.headers_only =
			action != DSN_FAILED || strcmp(class, "2bounce") != 0,
		.about = class};

	if (conf_option_has(x->s->role->conf->notify_classes, class))
		report(x, action, message, &who);
}

/* RFC 5321 6.1: the sender of a report is nobody, so the postmaster is told
 * that it is lost; and nobody of what was for the postmaster. */
static void tell_of_lost(struct making *x, struct str message)
{
	const struct conf *c = x->s->role->conf;
	char id[ID_TEXT];

	id_text(x->env->id, id);
	log_warn("report could not be delivered", log_z("queue_id", id));
	if (x->env->sender.len == 0)
		copy(x, DSN_FAILED, message, "2bounce",
			c->double_bounce_notice_recipient);
}

/* Of the i-th, and with it of the others that the same one is told of. */
static void tell_senders(struct making *x, size_t i, struct str message)
{
	enum dsn_action action = x->r->rcpts[i].action;
	struct addressee who = {
		.to = x->r->to[i], .sender = STR(""), .about = abouts[action]};

	for (size_t j = 0; j < i; j++)
		if (is_about(x->r, j, action, &who))
			return;
	report(x, action, message, &who);
}

void reports_make(struct reports *r, struct sched *s,
	const struct envelope *env, int64_t now, struct arena *a)
{
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct making x = {r, s, env, now, a};
	const struct conf *c = s->role->conf;
	struct fault f;

	if (r->n_rcpts == 0)
		return;
	/* One for each at most, and the postmaster's copies. */
	r->v = arena_alloc(a, (r->n_rcpts + 2) * sizeof(*r->v));
	r->bodies = arena_alloc(a, (r->n_rcpts + 2) * sizeof(*r->bodies));
	if (!queue_text(s->queue, env->id, &text, &f) ||
		!text_map(&text, &map, &f))
		map.bytes = STR("");
	if (env->sender.len == 0 || str_ieq(env->sender, double_bounce(&x))) {
		tell_of_lost(&x, map.bytes);
		return;
	}
	for (size_t i = 0; i < r->n_rcpts; i++)
		tell_senders(&x, i, map.bytes);
	copy(&x, DSN_FAILED, map.bytes, "bounce", c->bounce_notice_recipient);
	copy(&x, DSN_DELAYED, map.bytes, "delay", c->delay_notice_recipient);
}

void reports_fini(struct reports *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		buf_fini(&r->bodies[i]);
}
