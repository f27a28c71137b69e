/* SPDX-License-Identifier: ISC */
#include "policy/authenticate.h"

#include "codec/mail/authres.h"
#include "codec/mail/base64.h"
#include "codec/mail/header.h"
#include "sys/clock.h"

static void check_spf(const struct authenticate_query *q, struct arena *a,
	struct authentication *v)
{
	struct spf_query s = {.resolver = q->resolver,
		.addr = q->addr,
		.addr_len = q->addr_len,
		.helo = q->helo,
		.receiver = q->receiver,
		.now = q->now};

	v->helo = spf_check(&s, a);
	v->mail = v->helo;
	if (q->sender.len == 0)
		return;
	s.sender = q->sender;
	v->mail = spf_check(&s, a);
}

struct authentication authenticate(
	const struct authenticate_query *said, struct arena *a)
{
	struct authentication v = {.what = said->what};
	struct authenticate_query timed = *said;
	const struct authenticate_query *q = &timed;
	struct str head, body;

	timed.resolver = resolver_until(
		said->resolver, clock_mono_ms() + said->timeout_ms, a);
	if (q->addr == NULL)
		v.what &= ~(unsigned)AUTHENTICATE_SPF;
	if ((v.what & AUTHENTICATE_SPF) != 0)
		check_spf(q, a, &v);
	if ((v.what & AUTHENTICATE_DKIM) != 0)
		v.dkim = dkim_verify(
			q->resolver, q->message, q->now, a, &v.n_dkim);
	if ((v.what & AUTHENTICATE_DMARC) != 0) {
		mail_split(q->message, &head, &body);
		v.dmarc = dmarc_check(
			q->resolver, head, &v.mail, v.dkim, v.n_dkim, a);
	}
	if ((v.what & AUTHENTICATE_ARC) != 0)
		v.arc = arc_validate(q->resolver, q->message, q->now, a);
	return v;
}

/* ---- the fields ---- */

static void put_spf(struct authres_writer *w, const struct spf_verdict *spf,
	const char *property, struct str value)
{
	authres_result(w, "spf", spf_result_name(spf->result));
	authres_reason(w, spf->why);
	authres_property(w, property, value);
}

static void put_dkim(struct authres_writer *w, const struct dkim_verdict *d)
{
	const struct dkim_signature *s = &d->signature;
	bool known = s->signature.len > 0;

	authres_result(w, "dkim", dkim_result_name(d->result));
	authres_reason(w, str_from(d->why));
	authres_property(w, "header.d", s->domain);
	authres_property(w, "header.s", s->selector);
	if (known)
		authres_property(w, "header.a",
			str_from(dkim_algorithm_name(s->algorithm)));
	/* RFC 6008 4: enough of it to tell signatures apart */
	authres_property(w, "header.b", str_sub(s->b_text, 0, 8));
}

static const char *disposition_name(const struct dmarc_verdict *d)
{
	return d->result == DMARC_FAIL ? dmarc_policy_name(d->disposition)
				       : "none";
}

static void put_dmarc(struct authres_writer *w, const struct dmarc_verdict *d)
{
	authres_result(w, "dmarc", dmarc_result_name(d->result));
	if (str_present(d->policy_domain))
		buf_putf(w->out, " (p=%s dis=%s)", dmarc_policy_name(d->policy),
			disposition_name(d));
	authres_reason(w, str_from(d->why));
	authres_property(w, "header.from", d->from);
}

/* RFC 8617 4.3 */
static void put_arc(struct authres_writer *w, const struct arc_verdict *v)
{
	authres_result(w, "arc", arc_result_name(v->result));
	if (v->chain.n > 0)
		buf_putf(w->out, " (i=%u)", v->chain.n);
	authres_reason(w, str_from(v->why));
	authres_property(w, "header.d", v->domain);
}

/* RFC 7208 9.1 */
static void put_received_spf(const struct authentication *v,
	const struct authenticate_query *q, bool utf8, struct buf *out)
{
	const struct spf_verdict *s = &v->mail;
	struct {
		const char *key;
		struct str value;
	} pairs[] = {
		{"client-ip", q->client},
		{"envelope-from", q->sender},
		{"helo", q->helo},
		{"receiver", q->receiver},
		{"identity", q->sender.len > 0 ? STR("mailfrom") : STR("helo")},
		{"mechanism", s->mechanism},
		{"problem", s->why},
	};

	buf_putf(out, "Received-SPF: %s", spf_result_name(s->result));
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (!str_present(pairs[i].value) ||
			(pairs[i].value.len == 0 && i != 1))
			continue;
		buf_putf(out, "%s %s=", i == 0 ? "" : ";\r\n\t", pairs[i].key);
		authres_put_value(out, str_sub(pairs[i].value, 0, 400), utf8);
	}
	buf_puts(out, "\r\n");
}

void authentication_put_fields(const struct authentication *v,
	const struct authenticate_query *q, struct str authserv_id, bool utf8,
	struct buf *out)
{
	struct authres_writer w = {.out = out, .utf8 = utf8};

	authres_begin(&w, "Authentication-Results", authserv_id);
	if ((v->what & AUTHENTICATE_SPF) != 0) {
		put_spf(&w, &v->helo, "smtp.helo", q->helo);
		if (q->sender.len > 0)
			put_spf(&w, &v->mail, "smtp.mailfrom", q->sender);
	}
	if ((v->what & AUTHENTICATE_DKIM) != 0 && v->n_dkim == 0)
		authres_result(&w, "dkim", "none");
	for (size_t i = 0; i < v->n_dkim; i++)
		put_dkim(&w, &v->dkim[i]);
	if ((v->what & AUTHENTICATE_DMARC) != 0)
		put_dmarc(&w, &v->dmarc);
	if ((v->what & AUTHENTICATE_ARC) != 0)
		put_arc(&w, &v->arc);
	authres_end(&w);
	if ((v->what & AUTHENTICATE_SPF) != 0)
		put_received_spf(v, q, utf8, out);
}

/* ---- for people ---- */

static void say(struct buf *b, const char *method, const char *result,
	struct str domain, struct str why)
{
	buf_putf(b, "%s%s=%s", b->len > 0 ? " " : "", method, result);
	if (domain.len == 0 && why.len == 0)
		return;
	buf_putf(b, " (%.*s%s%.*s)", STR_ARG(domain),
		domain.len > 0 && why.len > 0 ? ": " : "", STR_ARG(why));
}

struct str authentication_text(const struct authentication *v, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 16 * 1024);
	if ((v->what & AUTHENTICATE_SPF) != 0)
		say(&b, "spf", spf_result_name(v->mail.result), v->mail.domain,
			str_present(v->mail.why) ? v->mail.why
						 : v->mail.mechanism);
	for (size_t i = 0; i < v->n_dkim; i++)
		say(&b, "dkim", dkim_result_name(v->dkim[i].result),
			v->dkim[i].signature.domain, str_from(v->dkim[i].why));
	if ((v->what & AUTHENTICATE_DKIM) != 0 && v->n_dkim == 0)
		say(&b, "dkim", "none", STR(""), STR(""));
	if ((v->what & AUTHENTICATE_DMARC) != 0)
		say(&b, "dmarc", dmarc_result_name(v->dmarc.result),
			v->dmarc.from,
			v->dmarc.why != NULL ? str_from(v->dmarc.why)
			: v->dmarc.result == DMARC_FAIL
				? str_from(dmarc_policy_name(v->dmarc.policy))
				: STR(""));
	if ((v->what & AUTHENTICATE_ARC) != 0 && v->arc.result != ARC_NONE)
		say(&b, "arc", arc_result_name(v->arc.result), v->arc.domain,
			str_from(v->arc.why));
	return arena_str(a, buf_str(&b));
}
