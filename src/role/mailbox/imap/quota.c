/* SPDX-License-Identifier: ISC */
/* GETQUOTA, GETQUOTAROOT, SETQUOTA: RFC 9208.  One root, "", for the account.
 */
#include "role/mailbox/quota.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

static bool put_quota(struct imap *s)
{
	struct store_quota q;
	struct store_usage used;
	struct fault f;

	if (!quota_of(s->sv->m->quotas, s->login, s->cmd_a, &q, &f) ||
		!store_usage(
			s->sv->m->store, s->account, 0, false, &used, &f)) {
		imap_fault(s, &f);
		return false;
	}
	struct buf *out = stream_out(s->stream);
	buf_puts(out, "* QUOTA \"\" (");
	/* In units of 1024 octets: RFC 9208 5.1 */
	if (q.bytes > 0)
		buf_putf(out, "STORAGE %llu %llu",
			(unsigned long long)(used.bytes + 1023) / 1024,
			(unsigned long long)q.bytes / 1024);
	if (q.messages > 0)
		buf_putf(out, "%sMESSAGE %llu %llu", q.bytes > 0 ? " " : "",
			(unsigned long long)used.messages,
			(unsigned long long)q.messages);
	buf_puts(out, ")\r\n");
	return true;
}

void imap_getquota(struct imap *s, struct imap_in *in)
{
	struct str root;

	if (!imap_astring(in, &root) || !imap_end(in))
		imap_bad(s, "GETQUOTA needs a quota root");
	else if (root.len > 0)
		imap_no(s, "[NONEXISTENT] the only quota root is \"\"");
	else if (put_quota(s))
		imap_ok(s, "Quota completed");
}

void imap_getquotaroot(struct imap *s, struct imap_in *in)
{
	struct imap_place p;
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "GETQUOTAROOT needs a mailbox");
		return;
	}
	if (!imap_find(s, name, RIGHT_READ, &p))
		return;
	/* What others have is theirs to know. */
	bool own = p.account == s->account;
	stream_puts(s->stream, "* QUOTAROOT ");
	imap_put_name(s, name, stream_out(s->stream));
	stream_puts(s->stream, own ? " \"\"\r\n" : "\r\n");
	if (!own || put_quota(s))
		imap_ok(s, "Quotaroot completed");
}

void imap_setquota(struct imap *s, struct imap_in *in UNUSED)
{
	imap_no(s, "[NOPERM] the administrator sets quotas");
}
