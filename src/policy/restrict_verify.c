/* SPDX-License-Identifier: ISC */
/* reject_unverified_sender and reject_unverified_recipient:
 * ADDRESS_VERIFICATION_README.  Who is ours is looked up, who is not is asked
 * for where he is said to be. */
#include "codec/smtp/path.h"
#include "policy/restrict_private.h"

struct verified {
	int64_t reject_code, defer_code;
	struct str reason, tempfail_action;
	const char *enhanced;
};

static enum outcome refuse(struct check *c, struct decision *d,
	enum subject subject, const struct verified *v, struct str text)
{
	return v->reason.len > 0
		       ? restrict_reject(c, d, v->reject_code, v->enhanced,
				 subject, "%.*s", STR_ARG(v->reason))
		       : restrict_reject(c, d, v->reject_code, v->enhanced,
				 subject, "undeliverable address: %.*s",
				 STR_ARG(text));
}

static enum outcome defer(struct check *c, struct decision *d,
	enum subject subject, const struct verified *v, struct str text)
{
	restrict_reject(c, d, v->defer_code, v->enhanced, subject,
		"unverified address: %.*s", STR_ARG(text));
	return restrict_nobody_knows(c, d, v->tempfail_action);
}

static enum outcome verify(struct check *c, struct decision *d,
	struct str address, enum subject subject, const struct verified *v)
{
	const struct policy *p = c->policy;
	enum address_class class;
	const char *table = "";
	struct str text;
	struct fault f;
	bool is_known;

	if (address.len == 0)
		return OUT_DUNNO;
	if (!policy_recipient_known(
		    p, address, c->a, &is_known, &class, &table, &f))
		return restrict_temp(c, d, &f);
	if (class != CLASS_RELAY && class != CLASS_DEFAULT)
		return is_known ? OUT_DUNNO
				: refuse(c, d, subject, v,
					  arena_printf(c->a,
						  "User unknown in %s", table));
	if (p->verify == NULL)
		return OUT_DUNNO;
	switch (p->verify(address, c->a, &text, p->verify_ctx)) {
	case VERIFY_OK:
		return OUT_DUNNO;
	case VERIFY_REJECT:
		return refuse(c, d, subject, v, text);
	case VERIFY_TEMP:
	case VERIFY_PENDING:
		break;
	}
	return defer(c, d, subject, v, text);
}

enum outcome restrict_unverified_recipient(
	struct check *c, const struct rule *rule UNUSED, struct decision *d)
{
	const struct conf *k = c->policy->c;
	struct verified v = {k->unverified_recipient_reject_code,
		k->unverified_recipient_defer_code,
		k->unverified_recipient_reject_reason,
		k->unverified_recipient_tempfail_action, "5.1.1"};

	return str_present(c->recipient)
		       ? verify(c, d, c->recipient, SUBJECT_RECIPIENT, &v)
		       : OUT_DUNNO;
}

enum outcome restrict_unverified_sender(
	struct check *c, const struct rule *rule UNUSED, struct decision *d)
{
	const struct conf *k = c->policy->c;
	struct verified v = {k->unverified_sender_reject_code,
		k->unverified_sender_defer_code,
		k->unverified_sender_reject_reason,
		k->unverified_sender_tempfail_action, "5.1.7"};

	return str_present(c->sender)
		       ? verify(c, d, c->sender, SUBJECT_SENDER, &v)
		       : OUT_DUNNO;
}
