/* SPDX-License-Identifier: ISC */
/* SELECT, EXAMINE, UNSELECT, CLOSE: RFC 9051 6.3.2, RFC 7162 3.1.1, 3.2.5 */
#include <stdlib.h>
#include <string.h>

#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

/* RFC 4314 5.2: with none of them, a mailbox is read-only. */
enum {
	CHANGING = RIGHT_INSERT | RIGHT_EXPUNGE | RIGHT_SEEN | RIGHT_WRITE |
		   RIGHT_DELETED
};

/* (CONDSTORE) and (QRESYNC (validity modseq [uids [(seqs uids)]])) */
struct select_args {
	struct str name;
	bool qresync;
	uint32_t uidvalidity;
	uint64_t modseq;
	bool has_known;
	struct imap_set known;
	struct imap_set match_seqs, match_uids;
};

static bool parse_match(struct imap_in *in, struct select_args *x)
{
	return imap_char(in, '(') && imap_set_parse(in, &x->match_seqs) &&
	       imap_space(in) && imap_set_parse(in, &x->match_uids) &&
	       imap_char(in, ')');
}

static bool parse_qresync(struct imap_in *in, struct select_args *x)
{
	struct imap_in probe;

	x->qresync = true;
	if (!imap_space(in) || !imap_char(in, '(') ||
		!imap_number(in, &x->uidvalidity) || !imap_space(in) ||
		!imap_number64(in, &x->modseq))
		return false;
	probe = *in;
	if (imap_space(&probe) && imap_set_parse(&probe, &x->known)) {
		x->has_known = true;
		*in = probe;
	}
	if (imap_space(in) && !parse_match(in, x))
		return false;
	return imap_char(in, ')');
}

static bool parse_params(
	struct imap *s, struct imap_in *in, struct select_args *x)
{
	if (!imap_char(in, '('))
		return false;
	do {
		if (imap_word(in, "CONDSTORE"))
			s->condstore = true;
		else if (!imap_word(in, "QRESYNC") || !s->qresync ||
			 !parse_qresync(in, x))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')');
}

/* ---- QRESYNC ---- */

struct resync {
	struct imap *s;
	const struct select_args *x;
	struct imap_set_put put;
	struct buf vanished;
};

static void add_vanished(struct resync *r, uint32_t uid)
{
	/* RFC 7162 3.2.5.2: not what the client does not know */
	if (!r->x->has_known || imap_set_has(&r->x->known, uid))
		imap_set_put(&r->put, uid, &r->vanished);
}

static int by_uid(const void *x, const void *y)
{
	const uint32_t *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

struct uid_list {
	uint32_t *v;
	size_t n, cap;
	struct arena *a;
};

static void keep_uid(uint32_t uid, uint64_t modseq UNUSED, void *ctx)
{
	struct uid_list *l = ctx;

	l->v = arena_grown(l->a, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = uid;
}

bool imap_put_earlier(struct imap *s, uint64_t since,
	const struct imap_set *known, struct fault *f)
{
	struct view *v = &s->view;
	struct uid_list list = {.a = s->cmd_a};
	struct select_args x = {.has_known = known != NULL};
	struct resync r = {.s = s, .x = &x};

	if (known != NULL) {
		x.known = *known;
		imap_set_settle(&x.known, v->max_uid);
	}
	if (!store_vanished(s->sv->m->store, v->box->account, v->box->mailbox,
		    since, keep_uid, &list, f))
		return false;
	if (list.n > 0)
		qsort(list.v, list.n, sizeof(*list.v), by_uid);
	buf_init(&r.vanished, 64 << 20);
	for (size_t i = 0; i < list.n; i++)
		if (list.v[i] <= v->max_uid)
			add_vanished(&r, list.v[i]);
	imap_set_put_end(&r.put, &r.vanished);
	if (r.vanished.len > 0) {
		stream_puts(s->stream, "* VANISHED (EARLIER) ");
		stream_put(s->stream, buf_str(&r.vanished));
		stream_puts(s->stream, "\r\n");
	}
	buf_fini(&r.vanished);
	return true;
}

static bool resync(struct imap *s, struct select_args *x, struct fault *f)
{
	struct view_walk *w;
	const struct pick *p;

	/* Another UIDVALIDITY: nothing the client knows is true. 3.2.5.1 */
	if (x->uidvalidity != s->view.uidvalidity)
		return true;
	if (!view_refresh(s, f) || !imap_put_earlier(s, x->modseq,
					   x->has_known ? &x->known : NULL, f))
		return false;
	imap_set_settle(&x->known, s->view.max_uid);
	view_walk_all(s, &w);
	while ((p = view_next(w)) != NULL) {
		struct buf *out = stream_out(s->stream);

		if (p->modseq <= x->modseq ||
			(x->has_known && !imap_set_has(&x->known, p->uid)))
			continue;
		imap_put_fetch(s, p->seq, p->uid, out);
		buf_putf(out, "UID %u FLAGS ", p->uid);
		view_put_flags(p->flags, p->keywords, out);
		buf_putf(out, " MODSEQ (%llu))\r\n",
			(unsigned long long)p->modseq);
	}
	return true;
}

/* ---- SELECT ---- */

/* RFC 4314 5.1.1: what this session may set */
static void put_permanent(struct imap *s, bool read_only)
{
	struct buf out CLEANUP(buf_fini);
	unsigned rights = s->view.rights;

	buf_init(&out, 256);
	view_put_flags(rights_flags(rights),
		(rights & RIGHT_WRITE) != 0 ? "\\*" : "", &out);
	if (read_only)
		imap_untagged(s, "OK [PERMANENTFLAGS ()] No changes");
	else
		imap_untagged(s, "OK [PERMANENTFLAGS %.*s] %s",
			STR_ARG(buf_str(&out)),
			(rights & RIGHT_WRITE) != 0 ? "Any keyword"
						    : "By your rights");
}

static void put_state(
	struct imap *s, const struct store_mailbox *box, bool read_only)
{
	struct buf *out;

	imap_untagged(
		s, "FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)");
	put_permanent(s, read_only);
	imap_untagged(s, "%llu EXISTS", (unsigned long long)box->n_exists);
	if (!s->rev2)
		imap_untagged(s, "%zu RECENT", s->view.recent.count);
	if (box->first_unseen != 0) /* RFC 9051 has none */
		imap_untagged(s, "OK [UNSEEN %llu] First unseen",
			(unsigned long long)box->before_unseen + 1);
	imap_untagged(s, "OK [UIDVALIDITY %u] UIDs valid", box->uidvalidity);
	imap_untagged(s, "OK [UIDNEXT %u] Predicted next UID", box->uidnext);
	imap_untagged(s, "OK [HIGHESTMODSEQ %llu] Highest",
		(unsigned long long)box->modseq);
	imap_untagged(s, "OK [MAILBOXID (" MAILBOX_ID_FMT ")] Ok",
		MAILBOX_ID_ARG(s->view.box->account, box->uidvalidity));
	if (!s->rev2)
		return;
	/* RFC 9051 6.3.2: the name as it really is */
	out = stream_out(s->stream);
	buf_puts(out, "* LIST () \"/\" ");
	imap_put_name(s, box->name, out);
	buf_puts(out, "\r\n");
}

static void select_box(struct imap *s, struct imap_in *in, bool read_only)
{
	struct select_args x = {0};
	struct imap_place p;
	struct fault f;
	bool found, was_open = s->view.box != NULL;

	if (!imap_mailbox(in, &x.name) ||
		(imap_space(in) && !parse_params(s, in, &x)) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	/* A failed SELECT leaves nothing selected: RFC 3501 6.3.1 */
	view_close(s);
	if (was_open && (s->qresync || s->rev2))
		imap_untagged(s, "OK [CLOSED] Previous mailbox closed");
	if (!imap_find(s, x.name, RIGHT_READ, &p))
		return;
	read_only |= (p.rights & CHANGING) == 0;
	if (!view_open(s, &p, read_only, &found, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (!found) {
		imap_no(s, "[NONEXISTENT] no such mailbox");
		return;
	}
	if (s->notify != NULL)
		imap_hang_bells(s);
	put_state(s, &p.box, read_only);
	if (x.qresync && !resync(s, &x, &f)) {
		view_close(s);
		imap_fault(s, &f);
		return;
	}
	imap_ok(s,
		read_only ? "[READ-ONLY] Examined" : "[READ-WRITE] Selected");
}

void imap_select(struct imap *s, struct imap_in *in)
{
	select_box(s, in, false);
}

void imap_examine(struct imap *s, struct imap_in *in)
{
	select_box(s, in, true);
}

void imap_unselect(struct imap *s, struct imap_in *in)
{
	if (!imap_end(in)) {
		imap_bad(s, "UNSELECT has no argument");
		return;
	}
	view_close(s);
	imap_ok(s, "Unselected");
}

/* The UIDs with \Deleted, of those in set where there is one. */
uint32_t *imap_deleted(struct imap *s, const struct imap_set *set, size_t *n_r)
{
	struct view_walk *w;
	const struct pick *p;
	struct uid_list list = {.a = s->cmd_a};

	if (set != NULL)
		view_walk(s, set, true, &w);
	else
		view_walk_all(s, &w);
	while ((p = view_next(w)) != NULL)
		if ((p->flags & (FLAG_DELETED | ROW_GONE)) == FLAG_DELETED)
			keep_uid(p->uid, 0, &list);
	*n_r = list.n;
	return list.v;
}

void imap_close(struct imap *s, struct imap_in *in)
{
	size_t n = 0;
	struct fault f;

	if (!imap_end(in)) {
		imap_bad(s, "CLOSE has no argument");
		return;
	}
	uint32_t *uids = imap_deleted(s, NULL, &n);
	/* RFC 4314 4: without the right, it closes all the same. */
	bool ok = s->view.read_only || (s->view.rights & RIGHT_EXPUNGE) == 0 ||
		  imap_expunge_uids(s, uids, n, &f);
	view_close(s);
	if (!ok) {
		imap_fault(s, &f);
		return;
	}
	imap_ok(s, "Closed");
}
