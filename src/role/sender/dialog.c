/* SPDX-License-Identifier: ISC */
/* With one host: connect, greet, TLS, log in, hand over. */
#include <string.h>

#include "codec/postfix/lines.h"
#include "role/sender/auth_cache.h"
#include "role/sender/connections.h"
#include "role/sender/delivery.h"
#include "sys/clock.h"

/* postconf(5): 0 is what the system does by itself, about this long. */
enum { SYSTEM_CONNECT_S = 127 };

/* The queue may have less patience than the configuration. */
static int64_t patient_ms(const struct delivery *d, int64_t seconds)
{
	uint32_t most = d->job->patience;

	return (most > 0 && most < seconds ? most : seconds) * 1000;
}

static int family_of(const struct site_host *h)
{
	return h != NULL && h->addr.ss.ss_family == AF_INET6;
}

int sender_connect(
	struct delivery *d, const struct site_host *h, struct fault *f)
{
	struct str given = d->job->source[family_of(h)];
	struct str source = str_present(given)  ? given
			    : family_of(h) == 0 ? d->c->smtp_bind_address
						: d->c->smtp_bind_address6;
	struct sock_addr bind_to;
	bool bound = sock_addr_parse(source, 0, &bind_to);
	int64_t s = d->c->smtp_connect_timeout;
	int64_t ms = patient_ms(d, s > 0 ? s : SYSTEM_CONNECT_S);

	if (bound && (str_eqc(source, "0.0.0.0") || str_eqc(source, "::")))
		bound = false;
	int fd = sock_connect(&h->addr, bound ? &bind_to : NULL, ms, f);
	bool not_ours =
		fd < 0 && bound && strstr(f->text, "source address") != NULL;
	/* smtp_source_addresses: another one would be worse than later. */
	if (not_ours && !str_present(given) &&
		!d->c->smtp_bind_address_enforce) {
		log_warn("not from smtp_bind_address", log_s("address", source),
			log_fault(f));
		fd = sock_connect(&h->addr, NULL, ms, f);
		not_ours = false;
	}
	/* RFC 3463 3.5: 4.4.1 no answer from host; it is not our disk. */
	if (fd < 0 && !not_ours) {
		f->subject = 4;
		f->detail = 1;
	}
	d->o->source = fd >= 0 ? given : STR_NONE;
	return fd;
}

/* smtp_sasl_password_maps: by sender where that is wanted, by next hop as
 * routed, the host's name, what is logged of it, the domain. */
static enum table_result find_password(
	struct delivery *d, struct str *value_r, struct fault *f)
{
	const struct policy *p = d->t->policy;
	struct str sender = d->job->env.sender, ext;
	struct address_keys keys = policy_keys(p, sender, d->a);
	struct str others[] = {d->site.nexthop,
		d->host != NULL ? d->host->name : STR(""), d->mta,
		d->site.host};
	enum table_result r = TABLE_NONE;

	if (d->c->smtp_sender_dependent_authentication && sender.len > 0)
		r = maps_lookup_address(p->sasl_password, sender, &keys, d->a,
			value_r, &ext, f);
	for (size_t i = 0; i < ARRAY_LEN(others) && r == TABLE_NONE; i++)
		if (others[i].len > 0)
			r = maps_lookup(
				p->sasl_password, others[i], d->a, value_r, f);
	return r;
}

static struct str security_options(
	const struct delivery *d, const struct smtp_client *c)
{
	return !stream_is_tls(c->stream) ? d->c->smtp_sasl_security_options
	       : d->verified ? d->c->smtp_sasl_tls_verified_security_options
			     : d->c->smtp_sasl_tls_security_options;
}

static bool log_in(struct delivery *d, struct smtp_client *c, struct fault *f)
{
	struct smtp_client_login l = {.certificate = d->t->own.n > 0,
		.filter = d->c->smtp_sasl_mechanism_filter};
	struct str value;

	if (!d->c->smtp_sasl_auth_enable)
		return true;
	enum table_result r = find_password(d, &value, f);
	if (r != TABLE_FOUND)
		return r == TABLE_NONE;
	struct str between = d->c->smtp_sasl_password_result_delimiter;
	l.user = str_cut(&value, between.len > 0 ? between.ptr[0] : ':');
	l.password = str_present(value) ? value : STR("");
	l.plaintext = !conf_option_has(security_options(d, c), "noplaintext");
	bool cached = d->c->smtp_sasl_auth_cache_name.len > 0;
	struct auth_attempt attempt = {d->mta, l.user, l.password};
	bool known =
		cached && auth_cache_refused(d->s->refused_passwords, &attempt,
				  d->c->smtp_sasl_auth_cache_time, f);
	bool ok = !known && smtp_client_auth(c, &l, f);
	if (!ok && !known && cached && f->class == FAULT_PERM)
		auth_cache_note(d->s->refused_passwords, &attempt, f);
	if (known)
		log_info("not asked again: it has refused the password",
			log_s("relay", d->mta), log_s("login", l.user));
	/* A wrong password is ours to mend: the mail waits. */
	if (!ok && f->class == FAULT_PERM && d->c->smtp_sasl_auth_soft_bounce)
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
		.probe_data =
			str_ieqc(d->c->smtp_address_verify_target, "data"),
		.unquoted = !d->c->smtp_quote_rfc821_envelope,
		.dummy_auth = d->c->smtp_send_dummy_mail_auth,
		.requiretls = sender_requires_tls(d),
		.priority = env->priority,
		.with_by = env->deliver_by != 0 && !d->site.lmtp,
		.by_return = (env->flags & ENV_BY_RETURN) != 0,
		.by_trace = (env->flags & ENV_BY_TRACE) != 0,
		.by = env->deliver_by - clock_unix(),
		.size = d->message.len,
		.message = d->message};
}

/* ---- who goes with this mail: RFC 9422 ---- */

static uint32_t domain_hash(struct str address)
{
	ptrdiff_t at = str_rfind(address, '@');
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = (size_t)(at + 1); i < address.len; i++)
		h = (h ^ (unsigned char)ascii_lower(address.ptr[i])) *
		    16777619u;
	return h;
}

/* May the recipient be said in this session? */
static bool admit_domain(struct connection *x, struct str address)
{
	unsigned most = x->client.domain_max;
	uint32_t h = domain_hash(address);

	if (most == 0)
		return true;
	for (unsigned i = 0; i < x->n_domains; i++)
		if (x->domains[i] == h)
			return true;
	if (x->n_domains >= most || x->n_domains >= CONNECTION_DOMAINS_MAX)
		return false;
	x->domains[x->n_domains++] = h;
	return true;
}

/* May it have one more mail? */
static bool takes_mail(const struct connection *x)
{
	return x->client.mail_max == 0 || x->served < x->client.mail_max;
}

/* Those who are still open, as far as the server takes them at once. */
static size_t choose(struct delivery *d, struct connection *x,
	struct smtp_client_rcpt *open, uint32_t *index)
{
	unsigned most = x->client.rcpt_max;
	size_t n = 0;

	for (uint32_t i = 0; i < d->job->n_pick; i++)
		if (!d->settled[i] && (most == 0 || n < most) &&
			admit_domain(x, d->rcpts[i].address)) {
			index[n] = i;
			open[n++] = d->rcpts[i];
		}
	return n;
}

/* Who was refused by name has an outcome in any case. */
static void settle_refused(struct delivery *d,
	const struct smtp_client_rcpt *open, const uint32_t *index, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct outcome_of o;

		if (!open[i].refused)
			continue;
		outcome_fault(&o, 0, &open[i].fault, d->a);
		o.code = open[i].fault.code;
		o.mta = d->mta;
		sender_settle(d, index[i], o);
	}
}

/* Sends to those who are still open; *none_r: this session takes none of
 * them. */
static bool send_open(
	struct delivery *d, struct connection *x, bool *none_r, struct fault *f)
{
	struct smtp_client *c = &x->client;
	struct smtp_client_rcpt *open =
		arena_alloc(d->a, d->job->n_pick * sizeof(*open));
	uint32_t *index = arena_alloc(d->a, d->job->n_pick * sizeof(*index));
	struct file_map narrow CLEANUP(file_unmap) = {0};
	struct file_map folded CLEANUP(file_unmap) = {0};
	struct smtp_client_mail m;

	fill_mail(d, &m);
	m.rcpts = open;
	m.n_rcpts = choose(d, x, open, index);
	*none_r = m.n_rcpts == 0;
	if (*none_r)
		return false;
	bool ok = keeps_time(d, c, f);
	if (ok && m.has_8bit && (c->caps & CAP_8BITMIME) == 0 && !m.utf8 &&
		!d->c->disable_mime_output_conversion) {
		ok = sender_narrow(d->message, d->a, &narrow, &m.message, f);
	}
	ok = ok && sender_fold(m.message, d->c->smtp_line_length_limit, &folded,
			   &m.message, f);
	m.size = m.message.len;
	ok = ok && sender_sign(d, &m, f) && sender_xforward(d, c, f) &&
	     smtp_client_send(c, &m, f);
	for (size_t i = 0; i < m.n_rcpts; i++)
		d->rcpts[index[i]] = open[i];
	if (!ok)
		settle_refused(d, open, index, m.n_rcpts);
	return ok;
}

/* postconf(5) smtp_reply_filter: a line is what the tables make of it. */
static struct str filter_line(struct str line, void *ctx)
{
	struct delivery *d = ctx;
	struct str value;
	struct fault f;

	switch (maps_lookup(d->t->reply_filter, line, d->a, &value, &f)) {
	case TABLE_FOUND:
		return value;
	case TABLE_NONE:
		break;
	case TABLE_ERROR:
		log_warn("lookup", log_z("of", "smtp_reply_filter"),
			log_fault(&f));
		break;
	}
	return line;
}

static void set_line_filter(struct delivery *d, struct smtp_client *c)
{
	c->line_filter = d->t->reply_filter != NULL ? filter_line : NULL;
	c->line_filter_ctx = d;
}

/* What two mails must have in common to share a connection; absent: this one
 * shares none. */
static struct str connection_key(struct delivery *d)
{
	bool by_name = d->level > TLS_ENCRYPT || d->c->smtp_sasl_auth_enable;
	unsigned special = ENV_REQUIRETLS | ENV_TLS_OPTIONAL;

	if (!d->c->smtp_connection_cache_on_demand ||
		(d->job->env.flags & special) != 0)
		return STR_NONE;
	bool by_sender = d->c->smtp_sender_dependent_authentication;

	return arena_printf(d->a, "%.*s %.*s %d %.*s %.*s %.*s",
		STR_ARG(d->job->transport), STR_ARG(d->mta), d->level,
		STR_ARG(by_name ? d->site.nexthop : STR("")),
		STR_ARG(d->job->source[family_of(d->host)]),
		STR_ARG(by_sender ? d->job->env.sender : STR("")));
}

/* How long a connection waits for the next mail. */
static int64_t waits_s(const struct conf *c)
{
	int64_t own = c->smtp_connection_cache_time_limit;
	int64_t most = c->connection_cache_ttl_limit;

	return own < most ? own : most;
}

/* May it wait for the mail that is next in line? */
static bool is_worth_keeping(
	const struct delivery *d, const struct connection *x, struct str key)
{
	int64_t age = clock_mono_ms() - x->opened_ms;
	int64_t most = d->c->smtp_connection_reuse_count_limit;

	return str_present(key) && d->job->more && takes_mail(x) &&
	       (d->job->env.flags & ENV_PROBE) == 0 &&
	       (most == 0 || x->served < (uint64_t)most) &&
	       age < d->c->smtp_connection_reuse_time_limit * 1000;
}

/* The mail, in as many transactions as the server's limits want. */
static bool send_all(
	struct delivery *d, struct connection *x, bool *none_r, struct fault *f)
{
	struct smtp_client *c = &x->client;
	bool sent = false;

	*none_r = false;
	do {
		bool more = sent;

		x->served++;
		sent = send_open(d, x, none_r, f);
		if (*none_r) {
			x->served--;
			return more;
		}
		if (sent) {
			sender_log_sent(d, c, x->served);
			sender_settle_sent(d, c);
		}
	} while (sent && !stream_failed(c->stream) && takes_mail(x) &&
		 !sender_all_settled(d));
	return sent;
}

/* One mail over a session that is ready for it; ends or keeps it. */
static enum sender_try transfer(struct delivery *d, struct connection *x,
	struct str key, struct fault *f)
{
	struct smtp_client *c = &x->client;
	bool reused = x->served > 0, none;
	bool sent = send_all(d, x, &none, f);
	bool broken = stream_failed(c->stream);

	d->answered = !sent && !none && smtp_client_said(f);
	/* It had gone while it waited: that says nothing about the host. */
	bool gone =
		reused && !sent && !none && !c->text_begun && f->code == 421;
	if (!broken)
		sender_tls_keep(d, c);
	if (sent && !broken && is_worth_keeping(d, x, key)) {
		c->line_filter = NULL; /* leans on d */
		connections_put(
			d->s->connections, key, x, waits_s(d->c) * 1000);
	} else {
		smtp_client_close(c, !broken);
	}
	if (sender_all_settled(d))
		return TRY_DONE;
	/* Its limits leave some of them for another session. */
	if (sent)
		return TRY_AGAIN;
	if (gone || (none && reused))
		return TRY_FRESH;
	if (f->class == FAULT_PERM) {
		sender_settle_all(d, f, d->answered);
		return TRY_DONE;
	}
	return TRY_NEXT_HOST;
}

/* By the server's address, else those of all. */
static struct str discarded_keywords(struct delivery *d)
{
	struct str value = d->c->smtp_discard_ehlo_keywords;
	struct fault f;

	if (d->t->ehlo_maps != NULL && d->host != NULL &&
		maps_lookup(d->t->ehlo_maps,
			sock_addr_text(&d->host->addr, d->a), d->a, &value,
			&f) == TABLE_ERROR)
		log_warn("lookup",
			log_z("of", "smtp_discard_ehlo_keyword_address_maps"),
			log_fault(&f));
	return value;
}

enum sender_try sender_converse(
	struct delivery *d, int fd, struct str name, bool tls, struct fault *f)
{
	const struct conf *c = d->c;
	struct smtp_timeouts t = {patient_ms(d, c->smtp_helo_timeout),
		c->smtp_mail_timeout * 1000, c->smtp_rcpt_timeout * 1000,
		c->smtp_data_init_timeout * 1000,
		c->smtp_data_xfer_timeout * 1000,
		c->smtp_data_done_timeout * 1000, c->smtp_quit_timeout * 1000};
	struct connection x = {.opened_ms = clock_mono_ms()};
	/* Before DANE's records are found to be of no use. */
	struct str key = connection_key(d);

	struct str helo = d->job->helo[family_of(d->host)];

	smtp_client_init(&x.client, fd, d->a,
		str_present(helo) ? helo : c->smtp_helo_name, d->site.lmtp, &t);
	x.client.discard = discarded_keywords(d);
	set_line_filter(d, &x.client);
	x.client.ehlo = c->smtp_never_send_ehlo    ? SMTP_EHLO_NEVER
			: c->smtp_always_send_ehlo ? SMTP_EHLO_ALWAYS
						   : SMTP_EHLO_IF_GREETED;
	bool begun = begin(d, &x.client, name, tls, f);

	sender_note_session(d, &x.client, fd, begun, f);
	if (begun) {
		x.tls_version = d->tls_version;
		x.verified = d->verified;
		return transfer(d, &x, tls ? key : STR_NONE, f);
	}
	d->answered = smtp_client_said(f);
	bool refused = (x.client.greeting_5xx && !c->smtp_skip_5xx_greeting) ||
		       (f->code == 535 && !c->smtp_sasl_auth_soft_bounce);
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

enum sender_try sender_try_waiting(struct delivery *d, struct fault *f)
{
	struct str key = connection_key(d);
	struct connection x;

	if (!str_present(key) ||
		!connections_take(d->s->connections, key, d->a, &x))
		return TRY_FRESH;
	set_line_filter(d, &x.client);
	d->tls_version = x.tls_version;
	d->verified = x.verified;
	d->o->source = d->job->source[family_of(d->host)];
	return transfer(d, &x, key, f);
}
