/* SPDX-License-Identifier: ISC */
/*
 * DKIM, the last thing before the text goes out: after tables have rewritten
 * it and after it was made 7-bit, so that what is signed is what is sent.
 */
#include "policy/dkim_sign.h"

#include "role/sender/delivery.h"
#include "sys/clock.h"

/* To another server, and of our own; a filter brings it back unsigned. */
static bool wants_signature(const struct delivery *d)
{
	const struct envelope *env = &d->job->env;

	return (env->flags & (ENV_SIGN | ENV_DSN)) != 0 &&
	       (env->flags & ENV_PROBE) == 0 && !d->site.lmtp &&
	       !str_present(env->filter);
}

bool sender_sign(
	struct delivery *d, struct smtp_client_mail *m, struct fault *f)
{
	struct dkim_request q = {.message = m->message,
		.sender = d->sender,
		.login = d->job->env.login,
		.now = clock_unix()};
	struct dkim_signed done;
	char id[ID_TEXT];

	if (!wants_signature(d))
		return true;
	id_text(d->job->env.id, id);
	if (!dkim_sign(d->s->signer, &q, d->a, &done, f))
		return fault_set(f, FAULT_TEMP, 451, 7, 5, "not signed: %s",
			arena_cstr(d->a, str_from(f->text)));
	if (str_present(done.why_not))
		log_warn("not signed", log_z("queue_id", id),
			log_s("reason", done.why_not));
	m->prefix = done.fields;
	m->size += done.fields.len;
	if (str_present(done.domain))
		log_info("signed", log_z("queue_id", id),
			log_s("domain", done.domain),
			log_s("selectors", done.selectors));
	return true;
}
