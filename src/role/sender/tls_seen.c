/* SPDX-License-Identifier: ISC */
/* How TLS went with the servers of a domain that wants to know: told to the
 * report role.  RFC 8460 4.3 */
#include <openssl/x509v3.h>

#include "policy/mta_sts.h"
#include "role/sender/delivery.h"

enum { TELL_TIMEOUT_MS = 2000 };

/* The record of _smtp._tls; absent: nobody wants to know. */
static struct str record_of(struct delivery *d)
{
	struct strs texts = {0};
	struct fault f;

	if (!d->c->tls_reports || d->s->role->resolver == NULL ||
		!str_present(d->site.exchangers))
		return STR_NONE;
	resolver_txt(d->s->role->resolver,
		arena_printf(d->a, "_smtp._tls.%.*s", STR_ARG(d->site.host)),
		d->a, &texts, &f);
	for (size_t i = 0; i < texts.n; i++)
		if (str_istarts(texts.v[i], "v=TLSRPTv1"))
			return texts.v[i];
	return STR_NONE;
}

/* ---- the policy that was in force ---- */

static void put_line(struct buf *b, struct str s)
{
	if (b->len > 0)
		buf_putc(b, '\n');
	buf_put(b, s);
}

static struct str tlsa_text(struct delivery *d)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	for (size_t i = 0; i < d->n_tlsa; i++) {
		const struct dns_tlsa *t = &d->tlsa[i];

		if (i > 0)
			buf_putc(&b, '\n');
		buf_putf(&b, "%u %u %u ", t->usage, t->selector, t->matching);
		for (size_t k = 0; k < t->data.len && k < 512; k++)
			buf_putf(&b, "%02x", (unsigned char)t->data.ptr[k]);
	}
	return arena_str(d->a, buf_str(&b));
}

static void put_sts(struct delivery *d, struct tls_row *row)
{
	const struct mta_sts_policy *p = d->sts;
	struct buf text CLEANUP(buf_fini), mx CLEANUP(buf_fini);

	buf_init(&text, 65536);
	buf_init(&mx, 65536);
	put_line(&text, STR("version: STSv1"));
	put_line(&text, p->mode == MTA_STS_ENFORCE ? STR("mode: enforce")
						   : STR("mode: testing"));
	for (size_t i = 0; i < p->mx.n; i++) {
		put_line(&mx, p->mx.v[i]);
		put_line(&text, arena_concat(d->a, STR("mx: "), p->mx.v[i]));
	}
	put_line(&text,
		arena_printf(d->a, "max_age: %lld", (long long)p->max_age));
	row->policy_type = STR("sts");
	row->policy = arena_str(d->a, buf_str(&text));
	row->patterns = arena_str(d->a, buf_str(&mx));
}

static void describe(struct delivery *d, struct tls_row *row)
{
	if (d->n_tlsa > 0) {
		row->policy_type = STR("tlsa");
		row->policy = tlsa_text(d);
	} else if (d->sts != NULL && d->sts->mode != MTA_STS_NONE) {
		put_sts(d, row);
	} else {
		row->policy_type = STR("no-policy-found");
	}
}

static void tell(struct delivery *d, const struct site_host *h, int fd,
	const char *result, struct str reason)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct tls_seen seen = {.domain = d->site.host, .record = record_of(d)};
	struct sock_addr self;
	struct fault f;

	ipc_frame_init(&reply);
	buf_init(&b, 256 * 1024);
	if (!str_present(seen.record) || h == NULL)
		return;
	describe(d, &seen.row);
	seen.row.result = str_from(result);
	seen.row.reason = str_sub(reason, 0, 200);
	if (str_present(seen.row.result)) {
		seen.row.mx = h->name;
		seen.row.receiving_ip = sock_addr_text(&h->addr, d->a);
		if (fd >= 0 && sock_self(fd, &self))
			seen.row.sending_ip = sock_addr_text(&self, d->a);
	}
	tls_seen_put(&b, &seen);
	/* A count that is lost does no harm. */
	if (!ipc_call(d->s->role->report, IPC_TLS_SEEN, buf_str(&b), -1,
		    TELL_TIMEOUT_MS, &reply, &f))
		log_warn("not told for a report", log_s("domain", seen.domain),
			log_fault(&f));
}

/* ---- what happened ---- */

void sender_note_refused(
	struct delivery *d, const struct site_host *h, const struct fault *f)
{
	bool dane =
		d->policy.level == TLS_DANE || d->policy.level == TLS_DANE_ONLY;

	tell(d, h, -1,
		!dane                              ? "validation-failure"
		: d->policy.level == TLS_DANE_ONLY ? "dane-required"
						   : "dnssec-invalid",
		arena_str(d->a, str_from(f->text)));
}

static const char *result_of(const struct smtp_client *c)
{
	if (!stream_is_tls(c->stream))
		return "starttls-not-supported";
	switch (SSL_get_verify_result(stream_ssl(c->stream))) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "certificate-host-mismatch";
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "certificate-expired";
	case X509_V_OK:
	case X509_V_ERR_DANE_NO_MATCH:
		return "validation-failure";
	default:
		return "certificate-not-trusted";
	}
}

void sender_note_session(struct delivery *d, struct smtp_client *c, int fd,
	bool ok, const struct fault *f)
{
	bool tls = stream_is_tls(c->stream);

	if (d->level == TLS_NONE || d->c->smtp_tls_wrappermode)
		return;
	if (ok && tls)
		tell(d, d->host, fd, NULL, STR(""));
	else if (ok || f->subject == 7)
		tell(d, d->host, fd, result_of(c),
			ok ? STR("") : arena_str(d->a, str_from(f->text)));
}
