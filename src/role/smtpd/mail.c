/* SPDX-License-Identifier: ISC */
/* MAIL: RFC 5321 4.1.1.2, RFC 1870 6 */
#include <sys/statvfs.h>

#include "policy/rewrite.h"
#include "role/smtpd/milters.h"

bool smtpd_looks_like_option(const struct session *s, struct str address)
{
	return !s->sv->c->allow_min_user && str_starts(address, "-");
}

static bool out_of_order(struct session *s)
{
	if (!str_present(s->helo) && s->sv->c->smtpd_helo_required) {
		smtpd_refuse(s, 503, "5.5.1 Error: send HELO/EHLO first");
		return true;
	}
	if (s->tx.open) {
		smtpd_refuse(s, 503, "5.5.1 Error: nested MAIL command");
		return true;
	}
	return false;
}

/* Where the disk has this much more than is needed, it is not looked at again
 * for a moment. */
enum { ROOMY_BYTES = 1 << 30, ROOMY_FILES = 10000, ROOMY_MS = 1000 };

static bool is_full(struct session *s, uint64_t size)
{
	struct smtpd_service *sv = s->sv;
	uint64_t least = (uint64_t)sv->c->queue_minfree;
	int64_t now = clock_mono_ms();
	struct statvfs fs;

	if (size < ROOMY_BYTES / 2 &&
		now < __atomic_load_n(&sv->roomy_until_ms, __ATOMIC_RELAXED))
		return false;
	if (statvfs(arena_cstr(s->cmd_a, sv->c->queue_directory), &fs) != 0)
		return false;
	uint64_t have = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (have > least + ROOMY_BYTES &&
		(fs.f_files == 0 || fs.f_favail > ROOMY_FILES))
		__atomic_store_n(
			&sv->roomy_until_ms, now + ROOMY_MS, __ATOMIC_RELAXED);
	return have < least || fs.f_bavail == 0 || size > have ||
	       (fs.f_files > 0 && fs.f_favail == 0);
}

/* RFC 1870 6.1: the declared size is checked before a byte is sent. */
static bool too_large(struct session *s, const struct smtp_mail *mail)
{
	const struct conf *c = s->sv->c;
	bool declared = (mail->flags & SMTP_MAIL_SIZE) != 0;

	if (declared && c->message_size_limit > 0 &&
		mail->size > (uint64_t)c->message_size_limit) {
		smtpd_refuse(s, 552,
			"5.3.4 Message size exceeds the limit of %lld bytes",
			(long long)c->message_size_limit);
		return true;
	}
	if (is_full(s, declared ? mail->size : 0)) {
		smtpd_refuse(s, 452, "4.3.1 Insufficient system storage");
		return true;
	}
	return false;
}

static bool refused_now(struct session *s)
{
	struct check check = smtpd_check(s, s->cmd_a);
	struct decision d;

	if (!s->sv->c->smtpd_delay_reject) {
		d = restrict_stage(&check, STAGE_SENDER);
		if (d.verdict == VERDICT_REJECT) {
			smtpd_refuse_decision(s, &check, &d, "mail");
			return true;
		}
		smtpd_keep_actions(s, &check);
	}
	/* Whose address may a user of ours write?  His own. */
	if (s->sv->submission && str_present(s->login)) {
		d = restrict_sender_login(&check);
		if (d.verdict == VERDICT_REJECT) {
			smtpd_refuse_decision(s, &check, &d, "mail");
			return true;
		}
	}
	return false;
}

unsigned smtpd_path_flags(const struct session *s)
{
	const struct conf *c = s->sv->c;

	return (c->strict_rfc821_envelopes ? 0u : SMTP_PATH_BARE) |
	       (c->resolve_null_domain ? SMTP_PATH_NULL_DOMAIN : 0u) |
	       (c->resolve_numeric_domain ? SMTP_PATH_NUMERIC : 0u);
}

void smtpd_complete_path(
	const struct session *s, struct smtp_path *path, struct arena *a)
{
	if (!str_present(path->domain))
		return;
	if (path->domain.len == 0)
		path->domain = s->sv->c->myhostname;
	else if (smtp_domain_is_numeric(path->domain))
		path->domain = arena_printf(a, "[%.*s]", STR_ARG(path->domain));
	else
		return;
	path->whole = arena_printf(
		a, "%.*s@%.*s", STR_ARG(path->local), STR_ARG(path->domain));
}

void smtpd_mail(struct session *s, struct str args)
{
	struct smtp_refusal why;
	struct smtp_mail mail;
	struct fault f;

	if (out_of_order(s))
		return;
	if (smtpd_rate_over(s, ANVIL_MESSAGE))
		return;
	transaction_reset(s);
	if (!smtp_mail_parse(arena_str(s->tx_a, args), smtpd_offered(s),
		    smtpd_path_flags(s), s->tx_a, &mail, &why)) {
		smtpd_refuse(s, why.code, "%s %s", why.enhanced, why.text);
		transaction_reset(s);
		return;
	}
	smtpd_complete_path(s, &mail.from, s->tx_a);
	if (smtpd_looks_like_option(s, mail.from.whole)) {
		smtpd_refuse(s, 501, "5.1.7 Bad sender address syntax");
		transaction_reset(s);
		return;
	}
	if (too_large(s, &mail)) {
		transaction_reset(s);
		return;
	}
	s->tx.open = true;
	s->tx.id = id_new();
	s->tx.mail = mail;
	s->tx.sender_said =
		rewrite_trivial(s->sv->policy, mail.from.whole, s->tx_a);
	if (!smtpd_take_extensions(s) || smtpd_local_sender_refused(s) ||
		refused_now(s)) {
		transaction_reset(s);
		return;
	}
	if (smtpd_overrides(s, "no_address_mappings")) {
		s->tx.sender = s->tx.sender_said;
	} else if (!rewrite_sender(s->sv->policy, mail.from.whole, s->tx_a,
			   &s->tx.sender, &f)) {
		smtpd_refuse_lookup(s, mail.from.whole, &f);
		transaction_reset(s);
		return;
	}
	if (milters_mail(s, s->tx.sender)) {
		transaction_reset(s);
		return;
	}
	smtpd_mail_accepted(s);
}
