/* SPDX-License-Identifier: ISC */
/* What became of each recipient of a job: said once, kept for the queue. */
#include "role/sender/delivery.h"
#include "sys/clock.h"

void sender_settle(struct delivery *d, uint32_t i, struct outcome_of o)
{
	if (d->settled[i])
		return;
	d->settled[i] = true;
	o.n = d->job->pick[i];
	d->o->v[d->o->n++] = o;
}

/* The same fault for everybody who is still open. */
void sender_settle_all(struct delivery *d, const struct fault *f, bool from_mta)
{
	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		struct outcome_of o;

		outcome_fault(&o, 0, f, d->a);
		o.code = from_mta ? f->code : 0;
		o.mta = d->mta;
		sender_settle(d, i, o);
	}
}

void sender_log_sent(
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

void sender_settle_sent(struct delivery *d, struct smtp_client *c)
{
	struct str text = arena_str(d->a, buf_str(&c->reply.text));
	/* RFC 3461 6.2.1: who has no DSN tells nobody that it is delivered. */
	bool final = d->site.lmtp && (c->caps & CAP_DSN) == 0 &&
		     d->c->lmtp_assume_final;

	for (uint32_t i = 0; i < d->job->n_pick; i++) {
		struct smtp_client_rcpt *r = &d->rcpts[i];
		struct outcome_of o = {.kind = DELIVERED,
			.code = c->reply.code,
			.subject = c->reply.class == 2 ? c->reply.subject : 0,
			.detail = c->reply.class == 2 ? c->reply.detail : 0,
			.text = text,
			.mta = d->mta,
			.relayed = !final,
			.by_unknown = (c->caps & CAP_DELIVERBY) == 0 &&
				      !d->site.lmtp};

		if (r->refused) {
			outcome_fault(&o, 0, &r->fault, d->a);
			o.code = r->fault.code;
			o.mta = d->mta;
		} else if (!r->ok) {
			continue;
		}
		sender_settle(d, i, o);
	}
}

bool sender_all_settled(const struct delivery *d)
{
	return d->o->n == d->job->n_pick;
}
