/* SPDX-License-Identifier: ISC */
/* One job: the next hops and their hosts in turn, until each recipient has an
 * outcome. */
#include <string.h>
#include <unistd.h>

#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/command.h"
#include "policy/rewrite.h"
#include "role/requeue.h"
#include "role/sender/delivery.h"
#include "sys/clock.h"

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
	bool usable;

	d->host = h;
	d->mta = arena_printf(d->a, "%.*s[%.*s]:%u", STR_ARG(h->name),
		STR_ARG(sock_addr_text(&h->addr, d->a)),
		sock_addr_port(&h->addr));
	while ((usable = sender_tls_host(d, h, f))) {
		enum sender_try t = tls ? sender_try_waiting(d, f) : TRY_FRESH;

		if (t == TRY_FRESH) {
			d->answered = false;
			int fd = sender_connect(d, h, f);
			if (fd < 0)
				break;
			t = sender_converse(d, fd, h->name, tls, f);
		}
		(*sessions)++;
		if (t == TRY_DONE)
			return;
		if (t == TRY_NEXT_HOST)
			break;
		tls &= t == TRY_AGAIN;
	}
	if (!usable)
		sender_note_refused(d, h, f);
	log_try(d, f);
}

static void try_unix(struct delivery *d, struct fault *f)
{
	int fd = sock_unix_connect(arena_cstr(d->a, d->site.unix_path), f);

	d->mta = d->site.unix_path;
	d->host = NULL;
	d->level = TLS_NONE;
	if (fd >= 0)
		sender_converse(d, fd, STR("localhost"), false, f);
}

/* The hosts of one next hop; who is open then has the fault. */
static void try_hosts(struct delivery *d, unsigned *sessions, struct fault *f)
{
	const struct conf *c = d->c;
	unsigned before = *sessions;

	fault_set(f, FAULT_TEMP, 451, 4, 1, "no host could be tried");
	if (str_present(d->site.unix_path))
		try_unix(d, f);
	for (size_t i = 0; i < d->site.n_hosts && !sender_all_settled(d); i++) {
		if ((c->smtp_mx_address_limit > 0 &&
			    i >= (size_t)c->smtp_mx_address_limit) ||
			(c->smtp_mx_session_limit > 0 &&
				*sessions - before >=
					(unsigned)c->smtp_mx_session_limit))
			break;
		try_host(d, &d->site.hosts[i], sessions, f);
	}
}

/* smtp_fallback_relay is for mail that finds its way by MX: RFC 7505 4.1
 * leaves it nothing, a relay of our own is the place itself. */
static struct str fallback_of(const struct delivery *d, const struct fault *f)
{
	bool null_mx = f->subject == 1 && f->detail == 10;

	return d->lmtp || null_mx ? STR("") : d->c->smtp_fallback_relay;
}

/* One next hop; true: the next one may be tried. */
static bool try_nexthop(struct delivery *d, struct str nexthop,
	unsigned *sessions, struct fault *f)
{
	struct resolver *dns = d->t->policy->resolver;
	uint32_t patience = d->job->patience;

	d->answered = false;
	if (dns != NULL && patience > 0)
		dns = resolver_until(
			dns, clock_mono_ms() + patience * 1000LL, d->a);
	if (!sender_find_hosts(
		    d->s, d->c, dns, d->lmtp, nexthop, d->a, &d->site, f))
		return true;
	if (!str_present(d->o->site))
		d->o->site = d->site.exchangers;
	if (!sender_tls_policy(d, f))
		return true;
	try_hosts(d, sessions, f);
	/* What has been said for good stays said. */
	return !sender_all_settled(d) && f->class != FAULT_PERM;
}

/* postconf(5) relayhost, transport(5): a list; then smtp_fallback_relay. */
/* RFC 5321 5.1: the best MX is this server, but no domain of ours is meant. */
static bool is_ours_by_mx(const struct delivery *d, const struct fault *f)
{
	return d->c->best_mx_transport.len > 0 && !d->answered &&
	       f->class == FAULT_PERM && f->subject == 4 && f->detail == 6;
}

/* postconf(5) best_mx_transport: to another transport, for those who are left.
 * False with the fault: they have it as their outcome. */
static bool pass_on(struct delivery *d, struct fault *f)
{
	struct str spec = d->c->best_mx_transport;
	struct envelope fresh = d->job->env;
	struct recipient *rcpts =
		arena_alloc(d->a, d->job->n_pick * sizeof(*rcpts));
	struct outcome_of o = {.kind = DELIVERED,
		.relayed = true,
		.text = arena_printf(d->a,
			"passed on to %.*s: the best MX is this server",
			STR_ARG(spec))};

	/* What came from there and is sent there again never ends. */
	if (str_present(fresh.filter) && str_eq(fresh.filter, spec))
		return false;
	fresh.n_rcpts = 0;
	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		if (d->settled[i])
			continue;
		struct recipient r = d->job->env.rcpts[d->job->pick[i]];
		r.notify &= ~(uint32_t)SMTP_NOTIFY_SUCCESS; /* we say so */
		rcpts[fresh.n_rcpts++] = r;
	}
	fresh.id = id_new();
	fresh.rcpts = rcpts;
	fresh.filter = spec;
	if (!role_requeue(d->s->role, &fresh, d->message, f))
		return false;
	for (uint32_t i = 0; i < d->job->n_pick; i++)
		if (!d->settled[i])
			sender_settle(d, i, o);
	return true;
}

static void try_all(struct delivery *d)
{
	struct str hops = d->job->nexthop, hop;
	unsigned sessions = 0;
	struct fault f;
	bool more = true;

	fault_set(&f, FAULT_TEMP, 451, 3, 5, "no next hop is given");
	while (more && str_present(hop = list_item(&hops)))
		more = try_nexthop(d, hop, &sessions, &f);
	hops = fallback_of(d, &f);
	while (more && str_present(hop = list_item(&hops)))
		more = try_nexthop(d, hop, &sessions, &f);
	if (sender_all_settled(d))
		return;
	if (is_ours_by_mx(d, &f) && pass_on(d, &f))
		return;
	if (sessions == 0 && f.class == FAULT_TEMP)
		d->o->site_failed = true;
	sender_settle_all(d, &f, d->answered);
}

/* ---- the job ---- */

/* smtp_generic_maps on envelope and header; what it leaves alone stays. */
static bool rewrite(struct delivery *d, struct buf *fresh, struct fault *f)
{
	const struct policy *p = d->t->policy;
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

/* master.cf's line of the transport; the standard ones need none. */
static bool take_transport(struct delivery *d, struct fault *f)
{
	const struct str name = d->job->transport;
	const struct transport *t = transport_find(d->s->role->services, name);

	d->lmtp =
		t != NULL ? str_eqc(t->command, "lmtp") : str_eqc(name, "lmtp");
	d->c = t != NULL ? t->conf : d->s->role->conf;
	d->t = sender_transport_of(d->s, d->c);
	if (t != NULL ? d->lmtp || str_eqc(t->command, "smtp")
		      : d->lmtp || str_eqc(name, "smtp") ||
				str_eqc(name, "relay"))
		return true;
	return fault_set(f, FAULT_TEMP, 451, 3, 5,
		"transport \"%.*s\" is not supported yet", STR_ARG(name));
}

void sender_deliver(const struct job *job, const struct text *body,
	struct arena *a, struct outcomes *o, void *ctx)
{
	struct sender *s = ctx;
	struct file_map map CLEANUP(file_unmap) = {0};
	struct buf fresh CLEANUP(buf_fini) = {.max = 1};
	struct text checked CLEANUP(text_fini) = {.fd = -1};
	struct delivery d = {.s = s, .job = job, .a = a, .o = o};
	char id[ID_TEXT];
	struct fault f;

	id_text(job->env.id, id);
	d.settled = arena_alloc(a, job->n_pick + 1);
	d.rcpts = arena_alloc(a, (job->n_pick + 1) * sizeof(*d.rcpts));
	d.sender = job->env.sender;
	d.mta = STR_NONE;
	d.tls_version = "";
	take_rcpts(&d);
	bool ok = take_transport(&d, &f) && text_map(body, &map, &f);
	d.message = map.bytes;
	ok = ok && rewrite(&d, &fresh, &f) &&
	     sender_check_content(d.t, id, &d.message, &checked, a, &f);
	if (ok)
		try_all(&d);
	else
		sender_settle_all(&d, &f, false);
}
