/* SPDX-License-Identifier: ISC */
/* One job: connect, log in, hand over, say what became of it. */
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "policy/rewrite.h"
#include "role/sender/connections.h"
#include "role/sender/delivery.h"
#include "sys/clock.h"

/* ---- outcomes ---- */

static void settle(struct delivery *d, uint32_t i, struct outcome_of o)
{
	if (d->settled[i])
		return;
	d->settled[i] = true;
	o.n = d->job->pick[i];
	d->o->v[d->o->n++] = o;
}

/* The same fault for everybody who is still open. */
static void settle_all(struct delivery *d, const struct fault *f, bool from_mta)
{
	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		struct outcome_of o;

		outcome_fault(&o, 0, f, d->a);
		o.code = from_mta ? f->code : 0;
		o.mta = d->mta;
		settle(d, i, o);
	}
}

static void log_sent(
	const struct delivery *d, const struct smtp_client *c, unsigned served)
{
	char id[ID_TEXT];

	id_text(d->job->env.id, id);
	bool probe = (d->job->env.flags & ENV_PROBE) != 0;

	log_info(probe ? "probed" : "sent", log_z("queue_id", id),
		log_s("relay", d->mta), log_z("tls", d->tls_version),
		log_z("cipher", stream_tls_cipher(c->stream)),
		log_z("level", tls_level_name(d->level)),
		log_z("verified", d->verified ? "yes" : "no"),
		log_n("size", (int64_t)d->message.len),
		log_n("nrcpt", d->job->n_pick),
		log_n("connection_use", served));
}

static void settle_sent(struct delivery *d, struct smtp_client *c)
{
	struct str text = arena_str(d->a, buf_str(&c->reply.text));

	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		struct smtp_client_rcpt *r = &d->rcpts[i];
		struct outcome_of o = {.kind = DELIVERED,
			.code = c->reply.code,
			.subject = c->reply.class == 2 ? c->reply.subject : 0,
			.detail = c->reply.class == 2 ? c->reply.detail : 0,
			.text = text,
			.mta = d->mta,
			.by_unknown = (c->caps & CAP_DELIVERBY) == 0 &&
				      !d->site.lmtp};

		if (r->refused) {
			outcome_fault(&o, 0, &r->fault, d->a);
			o.code = r->fault.code;
			o.mta = d->mta;
		} else if (!r->ok) {
			continue;
		}
		settle(d, i, o);
	}
}

static bool all_settled(const struct delivery *d)
{
	return d->o->n == d->job->n_pick;
}

/* ---- session ---- */

static int connect_to(
	struct delivery *d, const struct site_host *h, struct fault *f)
{
	bool four = h->addr.ss.ss_family == AF_INET;
	struct str source =
		four ? d->c->smtp_bind_address : d->c->smtp_bind_address6;
	struct sock_addr bind_to;
	bool bound = sock_addr_parse(source, 0, &bind_to);
	int64_t ms = d->c->smtp_connect_timeout * 1000;

	if (bound && (str_eqc(source, "0.0.0.0") || str_eqc(source, "::")))
		bound = false;
	int fd = sock_connect(&h->addr, bound ? &bind_to : NULL, ms, f);
	if (fd < 0 && bound && !d->c->smtp_bind_address_enforce &&
		strstr(f->text, "source address") != NULL)
		fd = sock_connect(&h->addr, NULL, ms, f);
	return fd;
}

/* smtp_sasl_password_maps: by next hop as routed, host, then sender's */
static bool find_password(struct delivery *d, struct str *user_r,
	struct str *password_r, bool *found_r, struct fault *f)
{
	struct str keys[] = {d->site.nexthop, d->mta, d->site.host};
	struct str value;

	*found_r = false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		enum table_result r = maps_lookup(
			d->s->policy->sasl_password, keys[i], d->a, &value, f);

		if (r == TABLE_ERROR)
			return false;
		if (r == TABLE_FOUND) {
			*user_r = str_cut(&value, ':');
			*password_r = str_present(value) ? value : STR("");
			*found_r = true;
			return true;
		}
	}
	return true;
}

static bool log_in(struct delivery *d, struct smtp_client *c, struct fault *f)
{
	struct str user, password, options;
	bool found;

	if (!d->c->smtp_sasl_auth_enable)
		return true;
	if (!find_password(d, &user, &password, &found, f))
		return false;
	if (!found)
		return true;
	options = stream_is_tls(c->stream)
			  ? d->c->smtp_sasl_tls_security_options
			  : d->c->smtp_sasl_security_options;
	bool ok = smtp_client_auth(
		c, user, password, !conf_option_has(options, "noplaintext"), f);
	/* A wrong password is ours to mend: the mail waits. */
	if (!ok && f->class == FAULT_PERM)
		f->class = FAULT_TEMP;
	return ok;
}

static bool is_requiretls_fault(const struct fault *f)
{
	return f->class == FAULT_PERM && f->subject == 7 && f->detail == 30;
}

/* Greeting, EHLO, TLS as the level says, AUTH. */
static bool begin(struct delivery *d, struct smtp_client *c, struct str name,
	bool allow_tls, struct fault *f)
{
	if (d->c->smtp_tls_wrappermode && !sender_tls_wrap(d, c, name, f))
		return false;
	if (!smtp_client_hello(c, f))
		return false;
	/* Without TLS only where it is still a courtesy: DNS may have changed.
	 */
	allow_tls |= d->level > TLS_MAY;
	if (!stream_is_tls(c->stream) && d->level != TLS_NONE && allow_tls &&
		!sender_tls_start(d, c, name, f)) {
		/* A handshake that fails is an answer, a lost line is not. */
		if (sender_requires_tls(d) && f->subject == 7)
			fault_set(f, FAULT_PERM, 550, 7, 30, "REQUIRETLS: %s",
				arena_cstr(d->a, str_from(f->text)));
		return false;
	}
	d->tls_version = stream_tls_version(c->stream);
	return sender_tls_promised(d, c, f) && log_in(d, c, f);
}

/* RFC 2852 4.1.3: a bound that the next server does not keep. */
static bool keeps_time(
	struct delivery *d, struct smtp_client *c, struct fault *f)
{
	const struct envelope *env = &d->job->env;
	bool bound = env->deliver_by != 0 && !d->site.lmtp &&
		     (env->flags & ENV_BY_RETURN) != 0;

	if (bound && clock_unix() >= env->deliver_by)
		return fault_set(f, FAULT_PERM, 550, 4, 7,
			"not delivered by the time that was asked for "
			"(DELIVERBY)");
	return !bound || (c->caps & CAP_DELIVERBY) != 0 ||
	       fault_set(f, FAULT_PERM, 550, 3, 3,
		       "the next server does not know DELIVERBY");
}

static void fill_mail(struct delivery *d, struct smtp_client_mail *m)
{
	const struct envelope *env = &d->job->env;

	*m = (struct smtp_client_mail){.sender = d->sender,
		.envid = env->envid,
		.ret_hdrs = (env->flags & ENV_RET_HDRS) != 0,
		.utf8 = (env->flags & ENV_UTF8) != 0,
		.has_8bit = (env->flags & ENV_8BIT) != 0,
		.probe = (env->flags & ENV_PROBE) != 0,
		.requiretls = sender_requires_tls(d),
		.priority = env->priority,
		.with_by = env->deliver_by != 0 && !d->site.lmtp,
		.by_return = (env->flags & ENV_BY_RETURN) != 0,
		.by_trace = (env->flags & ENV_BY_TRACE) != 0,
		.by = env->deliver_by - clock_unix(),
		.size = d->message.len,
		.message = d->message};
}

/* Sends to those who are still open. */
static bool send_open(
	struct delivery *d, struct smtp_client *c, struct fault *f)
{
	struct smtp_client_rcpt *open =
		arena_alloc(d->a, d->job->n_pick * sizeof(*open));
	uint32_t *index = arena_alloc(d->a, d->job->n_pick * sizeof(*index));
	struct file_map narrow CLEANUP(file_unmap) = {0};
	struct smtp_client_mail m;
	size_t n = 0;

	fill_mail(d, &m);
	for (uint32_t i = 0; i < d->job->n_pick; i++)
		if (!d->settled[i]) {
			index[n] = i;
			open[n++] = d->rcpts[i];
		}
	m.rcpts = open;
	m.n_rcpts = n;
	bool ok = keeps_time(d, c, f);
	if (ok && m.has_8bit && (c->caps & CAP_8BITMIME) == 0 && !m.utf8 &&
		!d->c->disable_mime_output_conversion) {
		ok = sender_narrow(d->message, d->a, &narrow, &m.message, f);
		m.size = m.message.len;
	}
	ok = ok && smtp_client_send(c, &m, f);
	for (size_t i = 0; i < n; i++)
		d->rcpts[index[i]] = open[i];
	/* Who was refused by name has an outcome in any case. */
	for (size_t i = 0; i < n && !ok; i++)
		if (open[i].refused) {
			struct outcome_of o;

			outcome_fault(&o, 0, &open[i].fault, d->a);
			o.code = open[i].fault.code;
			o.mta = d->mta;
			settle(d, index[i], o);
		}
	return ok;
}

enum try { TRY_DONE, TRY_NEXT_HOST, TRY_WITHOUT_TLS, TRY_FRESH };

/* What two mails must have in common to share a connection; absent: this one
 * shares none. */
static struct str connection_key(struct delivery *d)
{
	bool by_name = d->level > TLS_ENCRYPT || d->c->smtp_sasl_auth_enable;
	unsigned special = ENV_REQUIRETLS | ENV_TLS_OPTIONAL;

	if (!d->c->smtp_connection_cache_on_demand ||
		(d->job->env.flags & special) != 0)
		return STR_NONE;
	return arena_printf(d->a, "%.*s %.*s %d %.*s",
		STR_ARG(d->job->transport), STR_ARG(d->mta), d->level,
		STR_ARG(by_name ? d->site.nexthop : STR("")));
}

/* May it wait for the mail that is next in line? */
static bool is_worth_keeping(
	const struct delivery *d, const struct connection *x, struct str key)
{
	int64_t age = clock_mono_ms() - x->opened_ms;
	int64_t most = d->c->smtp_connection_reuse_count_limit;

	return str_present(key) && d->job->more &&
	       (d->job->env.flags & ENV_PROBE) == 0 &&
	       (most == 0 || x->served < (uint64_t)most) &&
	       age < d->c->smtp_connection_reuse_time_limit * 1000;
}

/* One mail over a session that is ready for it; ends or keeps it. */
static enum try transfer(struct delivery *d, struct connection *x,
	struct str key, struct fault *f)
{
	struct smtp_client *c = &x->client;
	bool reused = x->served++ > 0;
	bool sent = send_open(d, c, f);

	if (sent) {
		log_sent(d, c, x->served);
		settle_sent(d, c);
	}
	bool broken = stream_failed(c->stream);
	d->answered = !sent && smtp_client_said(f);
	/* It had gone while it waited: that says nothing about the host. */
	bool gone = reused && !sent && !c->text_begun && f->code == 421;
	if (!broken)
		sender_tls_keep(d, c);
	if (sent && !broken && is_worth_keeping(d, x, key))
		connections_put(d->s->connections, key, x);
	else
		smtp_client_close(c, !broken);
	if (sent || all_settled(d))
		return TRY_DONE;
	if (gone)
		return TRY_FRESH;
	if (f->class == FAULT_PERM) {
		settle_all(d, f, d->answered);
		return TRY_DONE;
	}
	return TRY_NEXT_HOST;
}

static enum try converse(
	struct delivery *d, int fd, struct str name, bool tls, struct fault *f)
{
	const struct conf *c = d->c;
	struct smtp_timeouts t = {c->smtp_helo_timeout * 1000,
		c->smtp_mail_timeout * 1000, c->smtp_rcpt_timeout * 1000,
		c->smtp_data_init_timeout * 1000,
		c->smtp_data_xfer_timeout * 1000,
		c->smtp_data_done_timeout * 1000, c->smtp_quit_timeout * 1000};
	struct connection x = {.opened_ms = clock_mono_ms()};
	/* Before DANE's records are found to be of no use. */
	struct str key = connection_key(d);

	smtp_client_init(
		&x.client, fd, d->a, c->smtp_helo_name, d->site.lmtp, &t);
	if (begin(d, &x.client, name, tls, f)) {
		x.tls_version = d->tls_version;
		x.verified = d->verified;
		return transfer(d, &x, tls ? key : STR_NONE, f);
	}
	d->answered = smtp_client_said(f);
	bool refused = x.client.greeting_5xx && !c->smtp_skip_5xx_greeting;
	/* RFC 7435: a failed handshake falls back where TLS is a courtesy,
	 * over a new connection. */
	bool retry = tls && d->level == TLS_MAY &&
		     stream_is_tls(x.client.stream) &&
		     stream_failed(x.client.stream) && f->code == 454;

	smtp_client_close(&x.client, !stream_failed(x.client.stream));
	if (!refused && f->class == FAULT_PERM && !is_requiretls_fault(f))
		f->class = FAULT_TEMP;
	return retry ? TRY_WITHOUT_TLS : TRY_NEXT_HOST;
}

/* Over a connection that waits for mail like this; TRY_FRESH: there is none. */
static enum try try_waiting(struct delivery *d, struct fault *f)
{
	struct str key = connection_key(d);
	struct connection x;

	if (!str_present(key) ||
		!connections_take(d->s->connections, key, d->a, &x))
		return TRY_FRESH;
	d->tls_version = x.tls_version;
	d->verified = x.verified;
	return transfer(d, &x, key, f);
}

static void log_try(struct delivery *d, const struct fault *f)
{
	char id[ID_TEXT];

	id_text(d->job->env.id, id);
	log_info("attempt failed", log_z("queue_id", id),
		log_s("relay", d->mta), log_z("tls", d->tls_version),
		log_fault(f));
}

static void try_host(struct delivery *d, const struct site_host *h,
	unsigned *sessions, struct fault *f)
{
	bool tls = true;

	d->mta = arena_printf(d->a, "%.*s[%.*s]:%u", STR_ARG(h->name),
		STR_ARG(sock_addr_text(&h->addr, d->a)),
		sock_addr_port(&h->addr));
	while (sender_tls_host(d, h, f)) {
		enum try t = tls ? try_waiting(d, f) : TRY_FRESH;

		if (t == TRY_FRESH) {
			d->answered = false;
			int fd = connect_to(d, h, f);
			if (fd < 0)
				break;
			t = converse(d, fd, h->name, tls, f);
		}
		(*sessions)++;
		if (t == TRY_DONE)
			return;
		if (t == TRY_NEXT_HOST)
			break;
		tls = false;
	}
	log_try(d, f);
}

static void try_unix(struct delivery *d, struct fault *f)
{
	int fd = sock_unix_connect(arena_cstr(d->a, d->site.unix_path), f);

	d->mta = d->site.unix_path;
	d->level = TLS_NONE;
	if (fd >= 0)
		converse(d, fd, STR("localhost"), false, f);
}

static void try_all(struct delivery *d)
{
	const struct conf *c = d->c;
	unsigned sessions = 0;
	struct fault f;

	fault_set(&f, FAULT_TEMP, 451, 4, 1, "no host could be tried");
	if (str_present(d->site.unix_path))
		try_unix(d, &f);
	for (size_t i = 0; i < d->site.n_hosts && !all_settled(d); i++) {
		if ((c->smtp_mx_address_limit > 0 &&
			    i >= (size_t)c->smtp_mx_address_limit) ||
			(c->smtp_mx_session_limit > 0 &&
				sessions >= (unsigned)c->smtp_mx_session_limit))
			break;
		try_host(d, &d->site.hosts[i], &sessions, &f);
	}
	if (all_settled(d))
		return;
	if (sessions == 0 && f.class == FAULT_TEMP)
		d->o->site_failed = true;
	settle_all(d, &f, d->answered);
}

/* ---- the job ---- */

/* smtp_generic_maps on envelope and header; what it leaves alone stays. */
static bool rewrite(struct delivery *d, struct buf *fresh, struct fault *f)
{
	const struct policy *p = d->s->policy;
	struct str head, body;

	if (p->generic == NULL)
		return true;
	if (!rewrite_generic(p, d->sender, d->a, &d->sender, f))
		return false;
	for (uint32_t i = 0; i < d->job->n_pick; i++)
		if (!rewrite_generic(p, d->rcpts[i].address, d->a,
			    &d->rcpts[i].address, f))
			return false;
	mail_split(d->message, &head, &body);
	buf_init(fresh, d->message.len * 2 + (1 << 20));
	if (!rewrite_head(p, head, rewrite_header_generic, d->a, fresh, f))
		return false;
	buf_puts(fresh, "\r\n");
	buf_put(fresh, body);
	d->message = buf_str(fresh);
	return true;
}

static void take_rcpts(struct delivery *d)
{
	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		const struct recipient *r = &d->job->env.rcpts[d->job->pick[i]];

		d->rcpts[i] = (struct smtp_client_rcpt){.address = r->address,
			.orcpt = r->orcpt,
			.notify = r->notify};
	}
}

static const struct conf *conf_of(
	struct sender *s, struct str transport, bool *known_r)
{
	static const char *const own[] = {"smtp", "relay", "lmtp"};

	*known_r = false;
	for (size_t i = 0; i < s->role->services->n_transports; i++) {
		const struct transport *t = &s->role->services->transports[i];

		if (str_eq(t->name, transport) &&
			(str_eqc(t->command, "smtp") ||
				str_eqc(t->command, "lmtp"))) {
			*known_r = true;
			return t->conf;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		*known_r |= str_eqc(transport, own[i]);
	return s->role->conf;
}

void sender_deliver(const struct job *job, const struct text *body,
	struct arena *a, struct outcomes *o, void *ctx)
{
	struct sender *s = ctx;
	struct file_map map CLEANUP(file_unmap) = {0};
	struct buf fresh CLEANUP(buf_fini) = {.max = 1};
	struct delivery d = {.s = s, .job = job, .a = a, .o = o};
	bool known;
	struct fault f;

	d.c = conf_of(s, job->transport, &known);
	d.settled = arena_alloc(a, job->n_pick + 1);
	d.rcpts = arena_alloc(a, (job->n_pick + 1) * sizeof(*d.rcpts));
	d.sender = job->env.sender;
	d.mta = STR_NONE;
	d.tls_version = "";
	take_rcpts(&d);
	bool ok = known || fault_set(&f, FAULT_TEMP, 451, 3, 5,
				   "transport \"%.*s\" is not supported yet",
				   STR_ARG(job->transport));
	ok = ok && text_map(body, &map, &f);
	d.message = map.bytes;
	ok = ok && rewrite(&d, &fresh, &f) &&
	     sender_find_hosts(
		     s, job->transport, job->nexthop, a, &d.site, &f) &&
	     sender_tls_policy(&d, &f);
	o->site = d.site.exchangers;
	if (ok)
		try_all(&d);
	else
		settle_all(&d, &f, false);
}
