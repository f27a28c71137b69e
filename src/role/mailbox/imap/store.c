/* SPDX-License-Identifier: ISC */
/* STORE: RFC 9051 6.4.6, RFC 7162 3.1.3 */
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

enum { PART = 10000 };

struct store_args {
	struct store_flags change;
	bool silent;
	bool *failed; /* of all; change.failed is that of a part */
};

static bool parse_unchangedsince(
	struct imap *s, struct imap_in *in, struct store_args *x)
{
	if (!imap_char(in, '('))
		return true;
	s->condstore = x->change.conditional = true;
	return imap_word(in, "UNCHANGEDSINCE") && imap_space(in) &&
	       imap_number64(in, &x->change.unchanged) && imap_char(in, ')') &&
	       imap_space(in);
}

static bool parse_store(
	struct imap *s, struct imap_in *in, struct store_args *x)
{
	struct strs words = {0};
	struct str flag;

	if (!parse_unchangedsince(s, in, x))
		return false;
	x->change.op = imap_char(in, '+')   ? FLAGS_ADD
		       : imap_char(in, '-') ? FLAGS_REMOVE
					    : FLAGS_SET;
	if (imap_word(in, "FLAGS.SILENT"))
		x->silent = true;
	else if (!imap_word(in, "FLAGS"))
		return false;
	if (!imap_space(in))
		return false;
	if (!imap_flag_list(in, &words))
		while (imap_flag(in, &flag)) {
			strs_add(&words, s->cmd_a, flag);
			if (!imap_space(in))
				break;
		}
	return imap_end(in) && imap_flags_parse(&words, s->cmd_a,
				       &x->change.flags, &x->change.keywords);
}

/* What the session may not change stays; false: that is all.  RFC 4314 4 */
static bool keep_to_rights(struct imap *s, struct store_args *x)
{
	struct store_flags *c = &x->change;
	uint32_t may = rights_flags(s->view.rights);
	bool words = (s->view.rights & RIGHT_WRITE) != 0;
	bool nothing = c->flags == 0 && c->keywords.n == 0;

	c->kept = FLAG_SYSTEM & ~may;
	c->keywords_kept = !words;
	return (c->flags & may) != 0 || (c->keywords.n > 0 && words) ||
	       (nothing && (may != 0 || words));
}

/* The new flags; with .SILENT, only the MODSEQ of those it changed. */
static void put_stored(struct imap *s, const struct store_args *x,
	const uint32_t *uids, size_t n)
{
	struct pick p;

	for (size_t i = 0; i < n; i++) {
		if ((x->silent && !s->condstore) ||
			(x->change.conditional && x->change.failed[i]) ||
			!view_pick(s, uids[i], &p) ||
			(p.flags & ROW_GONE) != 0 ||
			(x->silent && p.modseq != x->change.modseq))
			continue;
		struct buf *out = stream_out(s->stream);
		imap_put_fetch(s, p.seq, p.uid, out);
		if ((s->uid || s->qresync) && !s->uidonly)
			buf_putf(out, "UID %u ", p.uid);
		if (!x->silent) {
			buf_puts(out, "FLAGS ");
			view_put_flags(p.flags, p.keywords, out);
			buf_puts(out, s->condstore ? " " : "");
		}
		if (s->condstore)
			buf_putf(out, "MODSEQ (%llu)",
				(unsigned long long)p.modseq);
		buf_puts(out, ")\r\n");
	}
}

/* MODIFIED: RFC 7162 3.1.3; by what the command counts in */
static bool put_modified(struct imap *s, const struct store_args *x,
	const uint32_t *uids, size_t n, struct buf *out)
{
	struct imap_set_put put = {0};
	struct pick p;
	bool any = false;

	for (size_t i = 0; x->change.conditional && i < n; i++) {
		if (!x->failed[i] || !view_pick(s, uids[i], &p))
			continue;
		any = true;
		imap_set_put(&put, s->uid ? p.uid : p.seq, out);
	}
	imap_set_put_end(&put, out);
	return any;
}

/* In parts: nobody else's mail waits for the flags of a million messages. */
static bool store_all(struct imap *s, struct store_args *x,
	const uint32_t *uids, size_t n, struct fault *f)
{
	for (size_t i = 0; i < n; i += PART) {
		size_t part = n - i < PART ? n - i : PART;

		x->change.failed = x->failed + i;
		if (!store_flags(s->sv->m->store, s->view.box->account,
			    s->view.box->mailbox, uids + i, part, &x->change,
			    f) ||
			!view_refresh(s, f))
			return false;
		put_stored(s, x, uids + i, part);
		if (x->change.modseq == 0)
			continue;
		s->own = (struct view_own){uids + i, part, x->change.modseq};
		imap_ring(s, s->view.box->account);
		if (n > PART && !view_sync(s, false, &s->own, f))
			return false;
	}
	return true;
}

void imap_store(struct imap *s, struct imap_in *in)
{
	struct store_args *x = arena_make(s->cmd_a, struct store_args);
	struct buf modified CLEANUP(buf_fini);
	struct imap_set set;
	struct view_walk *w;
	bool by_uid;
	size_t n;
	struct fault f;

	buf_init(&modified, 16 << 20);
	if (!imap_set_or_saved(s, in, &set, &by_uid) || !imap_space(in) ||
		!parse_store(s, in, x)) {
		imap_bad(s, "STORE needs numbers, FLAGS and a list");
		return;
	}
	if (!view_walk(s, &set, by_uid, &w)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	if (!keep_to_rights(s, x)) {
		imap_no(s, "[NOPERM] you have no right to set these flags");
		return;
	}
	uint32_t *uids = view_uids(w, &n);
	imap_limit_newest(s, &uids, &n);
	x->change.failed = x->failed = arena_alloc(s->cmd_a, n + 1);
	if (!store_all(s, x, uids, n, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (put_modified(s, x, uids, n, &modified))
		imap_ok(s, "[MODIFIED %.*s] Conditional STORE failed for some",
			STR_ARG(buf_str(&modified)));
	else
		imap_ok(s, "Store completed");
}
