/* SPDX-License-Identifier: ISC */
/* GETQUOTA, GETQUOTAROOT, SETQUOTA: RFC 9208.  An account has one root: "" for
 * its owner, its address for who may set quotas (imap_quota_admins). */
#include "role/mailbox/quota.h"
#include "role/accounts.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

struct root {
	struct str name; /* as the client wrote it */
	int64_t account;
	struct str address;
};

static bool read_root(struct imap *s, const struct root *r,
	struct store_quota *q, struct store_mailbox *used, size_t *n_mailboxes,
	struct fault *f)
{
	struct store *store = s->sv->m->store;
	struct store_mailbox *v;

	return quota_of(s->sv->m, r->account, r->address, s->cmd_a, q, f) &&
	       store_mailbox(
		       store, r->account, (struct store_which){0}, used, f) &&
	       store_mailboxes(
		       store, r->account, s->cmd_a, &v, n_mailboxes, NULL, f);
}

static void put_resource(
	struct buf *out, const char *name, uint64_t used, uint64_t limit)
{
	if (limit == 0)
		return;
	if (!str_ends(buf_str(out), "("))
		buf_putc(out, ' ');
	buf_putf(out, "%s %llu %llu", name, (unsigned long long)used,
		(unsigned long long)limit);
}

/* False: answered. */
static bool put_quota(struct imap *s, const struct root *r)
{
	struct store_quota q;
	struct store_mailbox used;
	size_t n_mailboxes;
	struct fault f;

	if (!read_root(s, r, &q, &used, &n_mailboxes, &f)) {
		imap_fault(s, &f);
		return false;
	}
	struct buf *out = stream_out(s->stream);
	buf_puts(out, "* QUOTA ");
	imap_put_string(r->name, out);
	buf_puts(out, " (");
	/* In units of 1024 octets: RFC 9208 5.1 */
	put_resource(
		out, "STORAGE", (used.bytes + 1023) / 1024, q.bytes / 1024);
	put_resource(out, "MESSAGE", used.n_exists, q.messages);
	put_resource(out, "MAILBOX", n_mailboxes,
		(uint64_t)s->sv->c->imap_mailbox_limit);
	buf_puts(out, ")\r\n");
	return true;
}

static bool is_admin(struct imap *s, bool *yes_r, struct fault *f)
{
	enum table_result r =
		quota_is_admin(s->sv->m->quotas, s->login, s->cmd_a, f);

	*yes_r = r == TABLE_FOUND;
	return r != TABLE_ERROR;
}

/* False: answered.  What others have is theirs to know. */
static bool find_root(struct imap *s, struct str name, struct root *r)
{
	bool admin;
	struct fault f;

	*r = (struct root){name, s->account, s->login};
	if (name.len == 0)
		return true;
	if (!is_admin(s, &admin, &f)) {
		imap_fault(s, &f);
		return false;
	}
	enum table_result found = TABLE_NONE;
	r->address = arena_lower(s->cmd_a, name);
	if (admin)
		found = accounts_id(s->sv->m->role->accounts, r->address,
			s->cmd_a, &r->account, &f);
	if (found == TABLE_ERROR)
		imap_fault(s, &f);
	else if (found == TABLE_NONE)
		imap_no(s, "[NONEXISTENT] there is no such quota root");
	return found == TABLE_FOUND;
}

void imap_getquota(struct imap *s, struct imap_in *in)
{
	struct str name;
	struct root r;

	if (!imap_astring(in, &name) || !imap_end(in)) {
		imap_bad(s, "GETQUOTA needs a quota root");
		return;
	}
	if (find_root(s, name, &r) && put_quota(s, &r))
		imap_ok(s, "Quota completed");
}

void imap_getquotaroot(struct imap *s, struct imap_in *in)
{
	struct imap_place p;
	struct str name;
	bool admin;
	struct fault f;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "GETQUOTAROOT needs a mailbox");
		return;
	}
	if (!imap_find(s, name, RIGHT_READ, &p))
		return;
	if (!is_admin(s, &admin, &f)) {
		imap_fault(s, &f);
		return;
	}
	bool own = p.account == s->account;
	struct root r = {own ? STR("") : p.owner, p.account, p.owner};
	struct buf *out = stream_out(s->stream);
	buf_puts(out, "* QUOTAROOT ");
	imap_put_name(s, name, out);
	if (own || admin) {
		buf_putc(out, ' ');
		imap_put_string(r.name, out);
	}
	buf_puts(out, "\r\n");
	if (!(own || admin) || put_quota(s, &r))
		imap_ok(s, "Quotaroot completed");
}

/* "(STORAGE 512 MESSAGE 10)"; what is not named has no limit. */
static bool parse_limits(
	struct imap_in *in, struct store_quota *q, bool *other_r)
{
	struct str resource;
	uint64_t n;

	*q = (struct store_quota){0};
	*other_r = false;
	if (!imap_char(in, '('))
		return false;
	if (imap_char(in, ')'))
		return imap_end(in);
	do {
		if (!imap_atom(in, &resource) || !imap_space(in) ||
			!imap_number64(in, &n) || n > UINT64_MAX >> 11)
			return false;
		if (str_ieqc(resource, "STORAGE"))
			q->bytes = n * 1024;
		else if (str_ieqc(resource, "MESSAGE"))
			q->messages = n;
		else
			*other_r = true;
	} while (imap_space(in));
	return imap_char(in, ')') && imap_end(in);
}

void imap_setquota(struct imap *s, struct imap_in *in)
{
	struct store_quota q;
	struct str name;
	struct root r;
	bool admin, other;
	struct fault f;

	if (!imap_astring(in, &name) || !imap_space(in) ||
		!parse_limits(in, &q, &other)) {
		imap_bad(s, "SETQUOTA needs a root and (resource limit ...)");
		return;
	}
	if (!is_admin(s, &admin, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (!admin) {
		imap_no(s, "[NOPERM] the administrator sets quotas");
		return;
	}
	if (!find_root(s, name, &r))
		return;
	if (other) {
		imap_no(s, "[CANNOT] STORAGE and MESSAGE can be set");
		return;
	}
	if (!quota_set(s->sv->m, r.account, &q, &f)) {
		imap_fault(s, &f);
		return;
	}
	log_info("quota set", log_s("login", s->login),
		log_s("address", r.address), log_n("bytes", (int64_t)q.bytes),
		log_n("messages", (int64_t)q.messages));
	if (put_quota(s, &r))
		imap_ok(s, "Setquota completed");
}
