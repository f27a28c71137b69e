/* SPDX-License-Identifier: ISC */
/*
 * DKIM and ARC, the last thing before the text goes out: after tables have
 * rewritten it and after it was made 7-bit, so that what is signed is what is
 * sent.  What is ours is signed, what others wrote is sealed.
 */
#include "codec/mail/authres.h"
#include "policy/arc_seal.h"
#include "policy/dkim_sign.h"
#include "role/sender/delivery.h"
#include "sys/clock.h"

/* To another server; a filter of ours brings it back. */
static bool leaves_us(const struct delivery *d)
{
	const struct envelope *env = &d->job->env;

	return (env->flags & ENV_PROBE) == 0 && !d->site.lmtp &&
	       !str_present(env->filter);
}

/* What smtpd writes for mail of strangers only: a filter in mynetworks brought
 * it back, and that makes it no mail of ours. */
static bool was_a_strangers(const struct delivery *d, struct str message)
{
	struct str head, body;
	struct mail_field f;

	mail_split(message, &head, &body);
	while (mail_field_next(&head, &f))
		if (str_ieqc(f.name, "Authentication-Results") &&
			authres_claims(f.value, d->c->authserv_id))
			return true;
	return false;
}

static bool sign(struct delivery *d, const char *id,
	const struct smtp_client_mail *m, struct str *fields_r, struct fault *f)
{
	struct dkim_request q = {.message = m->message,
		.sender = d->sender,
		.login = d->job->env.login,
		.now = clock_unix()};
	struct dkim_signed done;

	if (!dkim_sign(d->s->signer, &q, d->a, &done, f))
		return false;
	if (str_present(done.why_not))
		log_warn("not signed", log_z("queue_id", id),
			log_s("reason", done.why_not));
	if (str_present(done.domain))
		log_info("signed", log_z("queue_id", id),
			log_s("domain", done.domain),
			log_s("selectors", done.selectors));
	*fields_r = done.fields;
	return true;
}

/* Others may read RSA only. */
static const struct dkim_key_file *rsa_of(const struct dkim_pen *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (!signature_is_ed25519(p->v[i].key))
			return &p->v[i];
	return NULL;
}

static bool seal(struct delivery *d, const char *id,
	const struct smtp_client_mail *m, struct str *fields_r, struct fault *f)
{
	struct arc_seal_request q = {.message = m->message,
		.authserv_id = d->c->authserv_id,
		.headers = &d->s->sealed_headers,
		.now = clock_unix()};
	struct dkim_pen pen;
	const char *why;

	*fields_r = STR("");
	if (d->c->arc_seal_domain.len == 0)
		return true;
	if (!dkim_keyring_find(d->s->keyring,
		    arena_lower(d->a, d->c->arc_seal_domain), false, d->a,
		    &q.domain, &pen, f))
		return false;
	const struct dkim_key_file *key = rsa_of(&pen);
	if (key != NULL) {
		q.key = key->key;
		q.selector = key->selector;
		*fields_r = arc_seal(&q, d->a, &why);
		if (fields_r->len > 0)
			log_info("sealed", log_z("queue_id", id),
				log_s("domain", q.domain));
		else
			log_info("not sealed", log_z("queue_id", id),
				log_z("reason", why));
	}
	dkim_pen_put(&pen);
	return true;
}

bool sender_sign(
	struct delivery *d, struct smtp_client_mail *m, struct fault *f)
{
	bool ours = (d->job->env.flags & (ENV_SIGN | ENV_DSN)) != 0 &&
		    !was_a_strangers(d, m->message);
	char id[ID_TEXT];

	if (!leaves_us(d))
		return true;
	id_text(d->job->env.id, id);
	if (!(ours ? sign : seal)(d, id, m, &m->prefix, f))
		return fault_set(f, FAULT_TEMP, 451, 7, 5, "not signed: %s",
			arena_cstr(d->a, str_from(f->text)));
	m->size += m->prefix.len;
	return true;
}
