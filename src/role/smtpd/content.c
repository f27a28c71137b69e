/* SPDX-License-Identifier: ISC */
/* header_checks and body_checks: what they decide about a whole message. */
#include "policy/content.h"

#include "policy/rewrite.h"
#include "policy/strict.h"
#include "role/smtpd/smtpd.h"

void smtpd_take_content_actions(
	struct session *s, const struct content_result *r)
{
	struct transaction *tx = &s->tx;

	tx->discard |= r->discard;
	tx->hold |= r->hold;
	if (str_present(r->redirect))
		tx->redirect = rewrite_trivial(s->sv->policy,
			arena_str(s->tx_a, r->redirect), s->tx_a);
	if (str_present(r->filter))
		tx->filter = arena_str(s->tx_a, r->filter);
	for (size_t i = 0; i < r->bcc.n; i++) {
		struct recipient b = {.address = rewrite_trivial(s->sv->policy,
					      r->bcc.v[i], s->tx_a),
			.notify = SMTP_NOTIFY_NEVER};

		b.original = b.address;
		transaction_add_rcpt(s, b);
	}
}

void smtpd_log_content(struct session *s, const struct content_result *r)
{
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	for (size_t i = 0; i < r->log.n; i++)
		log_info("content", log_z("queue_id", id),
			log_s("client", s->client),
			log_s("from", s->tx.sender_said),
			log_s("action", r->log.v[i]));
}

static bool apply(struct session *s, struct str message,
	const struct content_edit *edits, struct text *text, struct fault *f)
{
	struct strs pieces;

	content_apply(message, edits, s->cmd_a, &pieces);
	return spool_replace(s, &pieces, text, f);
}

/* True: refused and answered. */
static bool is_not_strict(struct session *s, struct str message)
{
	bool utf8 = (s->tx.mail.flags & SMTP_MAIL_UTF8) != 0;
	struct str why =
		strict_wanted(s->sv->c)
			? strict_refusal(s->sv->c, message, utf8, s->cmd_a)
			: STR_NONE;

	if (str_present(why))
		smtpd_refuse(s, 550, "%.*s", STR_ARG(why));
	return str_present(why);
}

bool smtpd_check_content(
	struct session *s, struct text *text, bool *refused_r, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	const struct content_checks *checks = s->sv->content;
	struct content_result r;

	if ((checks == NULL && !strict_wanted(s->sv->c)) ||
		smtpd_overrides(s, "no_header_body_checks"))
		return true;
	if (!text_map(text, &map, f))
		return false;
	*refused_r = is_not_strict(s, map.bytes);
	if (*refused_r || checks == NULL)
		return true;
	if (!content_check(checks, map.bytes, s->cmd_a, &r, f))
		return false;
	smtpd_log_content(s, &r);
	if (r.code != 0) {
		*refused_r = true;
		smtpd_refuse(s, r.code, "%.*s", STR_ARG(r.text));
		return true;
	}
	smtpd_take_content_actions(s, &r);
	return r.edits == NULL || apply(s, map.bytes, r.edits, text, f);
}
