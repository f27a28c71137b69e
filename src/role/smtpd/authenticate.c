/* SPDX-License-Identifier: ISC */
/*
 * SPF, DKIM and DMARC of a message that a stranger brings: what they prove is
 * written into its header, and what its author's domain wants refused is
 * refused.  RFC 7208, RFC 6376, RFC 9989; replies: RFC 7372
 */
#include "policy/authenticate.h"

#include "codec/mail/authres.h"
#include "role/smtpd/smtpd.h"

/* These prove nothing to us: it is we who vouch for them. */
bool smtpd_is_own(const struct session *s)
{
	return s->trusted || str_present(s->login) || s->sv->lmtp ||
	       s->sv->service->local || s->tx.by_certificate;
}

static unsigned what_to_ask(const struct conf *c)
{
	/* A table may say more of one author than is said of all. */
	bool dmarc = !str_ieqc(c->smtpd_dmarc_policy, "none") ||
		     c->smtpd_dmarc_policy_maps.len > 0;

	return (dmarc ? AUTHENTICATE_DMARC : 0u) |
	       (dmarc || !str_ieqc(c->smtpd_spf_policy, "none")
			       ? AUTHENTICATE_SPF
			       : 0u) |
	       (dmarc || c->smtpd_dkim_verify ? AUTHENTICATE_DKIM : 0u) |
	       (c->smtpd_arc_verify ? AUTHENTICATE_ARC : 0u);
}

/* smtpd_dmarc_policy, or what a table says of this author.  False: the table
 * cannot be asked now. */
static bool find_policy(struct session *s, struct str from, bool *enforce_r)
{
	struct str value = s->sv->c->smtpd_dmarc_policy;
	struct fault f;
	enum table_result r = from.len == 0
				      ? TABLE_NONE
				      : maps_lookup(s->sv->dmarc_maps, from,
						s->cmd_a, &value, &f);

	if (r == TABLE_NONE)
		value = s->sv->c->smtpd_dmarc_policy;
	value = str_trim(value);
	*enforce_r = str_ieqc(value, "enforce");
	if (r == TABLE_FOUND && !*enforce_r && !str_ieqc(value, "mark") &&
		!str_ieqc(value, "none"))
		log_warn("smtpd_dmarc_policy_maps: write none, mark or enforce",
			log_s("domain", from), log_s("value", value));
	return r != TABLE_ERROR;
}

static bool refuse_spf(struct session *s, const struct spf_verdict *v)
{
	if (v->result == SPF_TEMPERROR) {
		smtpd_refuse(s, 451, "4.7.24 SPF of %.*s: %.*s",
			STR_ARG(v->domain), STR_ARG(v->why));
		return true;
	}
	if (v->result != SPF_FAIL)
		return false;
	smtpd_refuse(s, 550, "5.7.23 %.*s does not send from %.*s (SPF)%s%.*s",
		STR_ARG(v->domain), STR_ARG(s->client),
		str_present(v->explanation) ? "; it says: " : "",
		STR_ARG(str_sub(v->explanation, 0, 200)));
	return true;
}

/* Only what is certain is refused, and only a domain that wants to be sure
 * has its mail wait for DNS. */
static bool refuse_dmarc(struct session *s, const struct authentication *v)
{
	const struct dmarc_verdict *d = &v->dmarc;
	struct str why = authentication_text(v, s->cmd_a);

	if (d->disposition != DMARC_REJECT)
		return false;
	if (d->result == DMARC_TEMPERROR)
		smtpd_refuse(s, 451,
			"4.7.26 Try again: %.*s wants its mail proved, and %s",
			STR_ARG(d->from), d->why);
	else
		smtpd_refuse(s, 550,
			"5.7.26 %.*s wants mail refused that is not proved to "
			"be its own (DMARC): %.*s",
			STR_ARG(d->from), STR_ARG(str_sub(why, 0, 400)));
	return true;
}

static bool refuse(struct session *s, const struct authentication *v)
{
	bool enforce;

	if (str_ieqc(s->sv->c->smtpd_spf_policy, "reject") &&
		(refuse_spf(s, &v->helo) ||
			(s->tx.sender_said.len > 0 && refuse_spf(s, &v->mail))))
		return true;
	if ((v->what & AUTHENTICATE_DMARC) == 0)
		return false;
	if (!find_policy(s, v->dmarc.from, &enforce)) {
		smtpd_refuse(s, 451,
			"4.3.0 Error: smtpd_dmarc_policy_maps cannot be asked");
		return true;
	}
	if (!enforce)
		return false;
	/* A list of ours changed it on its way, and tells what it saw. */
	if (arc_vouches(&v->arc, s->sv->c->smtpd_arc_trusted_sealers))
		return false;
	s->tx.junk |= v->dmarc.result == DMARC_FAIL &&
		      v->dmarc.disposition == DMARC_QUARANTINE;
	return refuse_dmarc(s, v);
}

static void log_verdict(struct session *s, const struct authentication *v)
{
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	log_info("authenticated", log_z("queue_id", id),
		log_s("client", s->client), log_s("from", s->tx.sender_said),
		log_s("verdict", authentication_text(v, s->cmd_a)));
}

/* In front of the message, where PREPEND's lines stand too. */
static bool put_fields(struct session *s, struct str fields, struct str message,
	struct text *text, struct fault *f)
{
	struct strs pieces = {0};
	struct mail_field field;

	strs_add(&pieces, s->cmd_a, fields);
	strs_add(&pieces, s->cmd_a, message);
	for (struct str rest = fields; mail_field_next(&rest, &field);)
		strs_add(&s->tx.prepend, s->tx_a,
			arena_str(s->tx_a, str_trim_right(field.whole)));
	return spool_replace(s, &pieces, text, f);
}

bool smtpd_authenticate(
	struct session *s, struct text *text, bool *refused_r, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = NULL;
	struct file_map map CLEANUP(file_unmap) = {0};
	struct buf fields CLEANUP(buf_fini);
	const struct conf *c = s->sv->c;
	struct authenticate_query q = {.resolver = s->sv->policy->resolver,
		.what = what_to_ask(c),
		.addr = s->addr_len > 0 ? s->addr : NULL,
		.addr_len = s->addr_len,
		.client = s->client,
		.helo = s->helo,
		.sender = s->tx.sender_said,
		.receiver = c->myhostname,
		.now = clock_unix(),
		.timeout_ms = c->smtpd_authentication_timeout * 1000};

	buf_init(&fields, 256 * 1024);
	*refused_r = false;
	if (q.what == 0 || q.resolver == NULL || smtpd_is_own(s))
		return true;
	if (!text_map(text, &map, f))
		return false;
	q.message = map.bytes;
	a = arena_new(SIZE_MAX);
	struct authentication v = authenticate(&q, a);
	log_verdict(s, &v);
	*refused_r = refuse(s, &v);
	authentication_put_fields(&v, &q, c->authserv_id,
		(s->tx.mail.flags & SMTP_MAIL_UTF8) != 0, &fields);
	smtpd_tell_dmarc(s, &v,
		*refused_r   ? DMARC_REJECT
		: s->tx.junk ? DMARC_QUARANTINE
			     : DMARC_NO_POLICY,
		mail_field_value(buf_str(&fields), "Authentication-Results"),
		q.message);
	if (*refused_r)
		return true;
	return put_fields(s, buf_str(&fields), q.message, text, f);
}

bool smtpd_forged_field(const struct session *s, const struct mail_field *field)
{
	/* A filter of ours sends back what we wrote. */
	return str_ieqc(field->name, "Authentication-Results") &&
	       (!smtpd_is_own(s) || str_present(s->login)) &&
	       authres_claims(field->value, s->sv->c->authserv_id);
}
