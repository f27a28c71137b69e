/* SPDX-License-Identifier: ISC */
/* COPY, MOVE, EXPUNGE: RFC 9051 6.4.3, 6.4.7, 6.4.8, RFC 4315, RFC 7162 */
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/quota.h"

enum { REMOVING = RIGHT_DELETED | RIGHT_EXPUNGE };

static void put_uids(
	const uint32_t *uids, const uint32_t *to, size_t n, struct buf *out)
{
	struct imap_set_put p = {0};

	for (size_t i = 0; i < n; i++)
		if (to[i] != 0)
			imap_set_put(&p, uids[i], out);
	imap_set_put_end(&p, out);
}

/* RFC 3501 6.4.7: the client may create the mailbox and try again. */
void imap_fault_trycreate(struct imap *s, const struct fault *f)
{
	if (f->class == FAULT_PERM && f->subject == 0 && f->detail == 2)
		imap_no(s, "[TRYCREATE] no such mailbox");
	else
		imap_fault(s, f);
}

/* RFC 6851 4.3: COPYUID comes before the EXPUNGEs. */
static void put_copyuid(struct imap *s, bool move, uint32_t uidvalidity,
	const uint32_t *uids, const uint32_t *to, size_t n)
{
	struct buf from CLEANUP(buf_fini);
	struct buf fresh CLEANUP(buf_fini);

	buf_init(&from, 16 << 20);
	buf_init(&fresh, 16 << 20);
	put_uids(uids, to, n, &from);
	put_uids(to, to, n, &fresh);
	if (move)
		imap_untagged(s, "OK [COPYUID %u %.*s %.*s] Moved", uidvalidity,
			STR_ARG(buf_str(&from)), STR_ARG(buf_str(&fresh)));
	else
		imap_ok(s, "[COPYUID %u %.*s %.*s] Copied", uidvalidity,
			STR_ARG(buf_str(&from)), STR_ARG(buf_str(&fresh)));
}

static bool any(const uint32_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (to[i] != 0)
			return true;
	return false;
}

static void put_copied(struct imap *s, bool move, uint32_t uidvalidity,
	const uint32_t *uids, const uint32_t *to, size_t n)
{
	if (!any(to, n)) {
		imap_ok(s, "[EXPUNGEISSUED] They are gone");
		return;
	}
	put_copyuid(s, move, uidvalidity, uids, to, n);
	if (move)
		imap_ok_modseq(s, "Move completed");
}

/* Inside of one account the store copies rows; flags come along as they are. */
static bool is_near(const struct imap *s, const struct imap_place *to)
{
	return to->account == s->view.box->account &&
	       rights_flags(to->rights) == FLAG_SYSTEM;
}

static bool copy_near(struct imap *s, const uint32_t *uids, size_t n,
	const struct imap_place *to, bool move, const struct store_quota *quota,
	uint32_t *to_r, uint32_t *uidvalidity_r, struct fault *f)
{
	return store_copy(s->sv->m->store, to->account, s->view.box->mailbox,
		uids, n, to->name, move, quota, to_r, uidvalidity_r, f);
}

/* What it copied into the mailbox that it has open is no news to it. */
static void note_own(struct imap *s, const uint32_t *fresh, size_t n)
{
	uint32_t *own = arena_alloc(s->cmd_a, (n + 1) * sizeof(*own));

	s->n_own_new = 0;
	for (size_t i = 0; i < n; i++)
		if (fresh[i] != 0)
			own[s->n_own_new++] = fresh[i];
	s->own_new = own;
}

static void transfer(struct imap *s, struct imap_in *in, bool move)
{
	struct imap_set set;
	struct view_walk *w;
	struct imap_place to;
	struct str name;
	bool by_uid;
	size_t n;
	uint32_t uidvalidity = 0;
	struct store_quota quota;
	struct fault f;

	if (!imap_set_or_saved(s, in, &set, &by_uid) || !imap_space(in) ||
		!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "numbers and a mailbox were expected");
		return;
	}
	if (!view_walk(s, &set, by_uid, &w)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	uint32_t *uids = view_uids(w, &n);
	if (!imap_within_limit(s, n))
		return;
	if (n == 0) {
		imap_ok(s, "Nothing to do");
		return;
	}
	if (move && (s->view.rights & REMOVING) != REMOVING) {
		imap_no(s, "[NOPERM] you have no right to remove them here");
		return;
	}
	if (!imap_find_target(s, name, &to))
		return;
	uint32_t *fresh = arena_alloc(s->cmd_a, (n + 1) * sizeof(*fresh));
	/* A move within an account needs no room. */
	bool more = !move || to.account != s->view.box->account;
	if (!quota_of(s->sv->m, to.account, to.owner, s->cmd_a, &quota, &f) ||
		(more && !quota_domain_room(
				 s->sv->m, to.owner, 0, n, s->cmd_a, &f)) ||
		!(is_near(s, &to) ? copy_near : imap_copy_far)(s, uids, n, &to,
			move, &quota, fresh, &uidvalidity, &f)) {
		/* What a far MOVE copied and could not remove, and what a near
		 * one moved before it failed */
		imap_ring(s, to.account);
		if (move && is_near(s, &to) && any(fresh, n)) {
			put_copyuid(s, true, uidvalidity, uids, fresh, n);
			imap_ring(s, s->view.box->account);
		}
		imap_fault_trycreate(s, &f);
		return;
	}
	if (more) /* how large they are is counted later */
		quota_domain_came(s->sv->m, to.owner, 0, n, s->cmd_a);
	if (str_eq(name, str_from(s->view.name)))
		note_own(s, fresh, n);
	imap_ring(s, to.account);
	if (move)
		imap_ring(s, s->view.box->account);
	indexer_note(s->sv->m->indexer, to.account);
	put_copied(s, move, uidvalidity, uids, fresh, n);
}

void imap_copy(struct imap *s, struct imap_in *in)
{
	transfer(s, in, false);
}

void imap_move(struct imap *s, struct imap_in *in)
{
	transfer(s, in, true);
}

bool imap_expunge_uids(
	struct imap *s, const uint32_t *uids, size_t n, struct fault *f)
{
	bool ok = store_expunge(s->sv->m->store, s->view.box->account,
		s->view.box->mailbox, uids, n, f);

	if (n > 0)
		imap_ring(s, s->view.box->account);
	return ok;
}

void imap_expunge(struct imap *s, struct imap_in *in)
{
	struct imap_set set = {0};
	bool by_uid;
	size_t n = 0;
	struct fault f;

	/* RFC 4315 2.1: UID EXPUNGE spares what is not named. */
	if (s->uid ? !imap_set_or_saved(s, in, &set, &by_uid) || !imap_end(in)
		   : !imap_end(in)) {
		imap_bad(s, "EXPUNGE has no argument, UID EXPUNGE has UIDs");
		return;
	}
	if ((s->view.rights & RIGHT_EXPUNGE) == 0) {
		imap_no(s, "[NOPERM] you have no right to expunge here");
		return;
	}
	uint32_t *uids = imap_deleted(s, s->uid ? &set : NULL, &n);
	imap_limit_newest(s, &uids, &n);
	if (!imap_expunge_uids(s, uids, n, &f)) {
		imap_fault(s, &f);
		return;
	}
	imap_ok_modseq(s, "Expunge completed");
}
