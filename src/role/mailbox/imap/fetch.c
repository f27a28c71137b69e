/* SPDX-License-Identifier: ISC */
/* FETCH: the command. */
#include "role/mailbox/imap/fetch.h"
#include "base/sorted.h"
#include "role/mailbox/imap/place.h"

static bool add(struct fetch *x, enum fetch_kind kind)
{
	if (x->n == FETCH_ITEMS_MAX)
		return false;
	x->items[x->n++].kind = kind;
	x->sets_seen |= kind == I_RFC822 || kind == I_RFC822_TEXT;
	return true;
}

bool fetch_wants(const struct fetch *x, enum fetch_kind kind)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].kind == kind)
			return true;
	return false;
}

static bool add_section(
	struct fetch *x, struct imap_in *in, enum fetch_kind kind, bool peek)
{
	struct imap_section *sec;

	if (!add(x, kind))
		return false;
	sec = &x->items[x->n - 1].section;
	if (kind == I_SECTION ? !imap_section_parse(in, sec)
			      : !imap_section_path(in, sec))
		return false;
	if (kind == I_BINARY_SIZE && sec->partial)
		return false;
	sec->peek = peek;
	x->sets_seen |= !peek;
	return true;
}

static const struct {
	const char *name;
	enum fetch_kind kind;
} plain_items[] = {{"FLAGS", I_FLAGS}, {"UID", I_UID},
	{"INTERNALDATE", I_INTERNALDATE}, {"RFC822.SIZE", I_SIZE},
	{"ENVELOPE", I_ENVELOPE}, {"BODYSTRUCTURE", I_STRUCTURE},
	{"RFC822.HEADER", I_RFC822_HEADER}, {"RFC822.TEXT", I_RFC822_TEXT},
	{"RFC822", I_RFC822}, {"BODY", I_BODY}, {"MODSEQ", I_MODSEQ},
	{"SAVEDATE", I_SAVEDATE}, {"EMAILID", I_EMAILID},
	{"THREADID", I_THREADID}, {"PREVIEW", I_PREVIEW}};

static const struct {
	const char *name;
	enum fetch_kind kind;
	bool peek;
} section_items[] = {{"BODY", I_SECTION, false}, {"BODY.PEEK", I_SECTION, true},
	{"BINARY", I_BINARY, false}, {"BINARY.PEEK", I_BINARY, true},
	{"BINARY.SIZE", I_BINARY_SIZE, true}};

/* PREVIEW (LAZY): it is there already, so it comes all the same. */
static bool skip_modifiers(struct imap_in *in, enum fetch_kind kind)
{
	struct imap_in probe = *in;

	if (kind != I_PREVIEW || !imap_space(&probe) || !imap_char(&probe, '('))
		return true;
	if (!imap_word(&probe, "LAZY") || !imap_char(&probe, ')'))
		return false;
	*in = probe;
	return true;
}

/* fetch-att; an atom ends before "[" only by our cutting */
static bool parse_item(struct fetch *x, struct imap_in *in)
{
	size_t n = 0;

	while (n < in->rest.len &&
		(ascii_is_alnum(in->rest.ptr[n]) || in->rest.ptr[n] == '.'))
		n++;
	struct str word = str_sub(in->rest, 0, n);
	struct str behind = str_from_at(in->rest, n);
	if (str_starts(behind, "[")) {
		for (size_t i = 0; i < ARRAY_LEN(section_items); i++)
			if (str_ieqc(word, section_items[i].name)) {
				in->rest = behind;
				return add_section(x, in, section_items[i].kind,
					section_items[i].peek);
			}
		return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(plain_items); i++)
		if (str_ieqc(word, plain_items[i].name)) {
			in->rest = behind;
			return add(x, plain_items[i].kind) &&
			       skip_modifiers(in, plain_items[i].kind);
		}
	/* Outlook's RFC822.PEEK and RFC822.HEADER.PEEK */
	if (str_ieqc(word, "RFC822.PEEK") && add(x, I_RFC822)) {
		x->sets_seen = false;
		in->rest = behind;
		return true;
	}
	return false;
}

static bool parse_macro(struct fetch *x, struct imap_in *in)
{
	static const enum fetch_kind fast[] = {
		I_FLAGS, I_INTERNALDATE, I_SIZE, I_ENVELOPE, I_BODY};
	size_t n = imap_word(in, "FAST")   ? 3
		   : imap_word(in, "ALL")  ? 4
		   : imap_word(in, "FULL") ? 5
					   : 0;

	for (size_t i = 0; i < n; i++)
		add(x, fast[i]);
	return n > 0;
}

bool fetch_parse_items(struct fetch *x, struct imap_in *in)
{
	if (parse_macro(x, in))
		return true;
	if (!imap_char(in, '('))
		return parse_item(x, in);
	do {
		if (!parse_item(x, in))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')');
}

static bool parse_modifier(struct fetch *x, struct imap_in *in)
{
	if (imap_word(in, "CHANGEDSINCE")) {
		x->has_changed_since = true;
		return imap_space(in) && imap_number64(in, &x->changed_since);
	}
	if (imap_word(in, "VANISHED")) {
		x->vanished = true;
		return true;
	}
	if (imap_word(in, "PARTIAL")) {
		x->has_partial = true;
		return imap_space(in) && imap_partial_parse(in, &x->partial);
	}
	return false;
}

static bool parse_modifiers(struct fetch *x, struct imap_in *in)
{
	struct imap *s = x->s;

	if (!imap_space(in))
		return true;
	if (!imap_char(in, '('))
		return false;
	do {
		if (!parse_modifier(x, in))
			return false;
	} while (imap_space(in));
	/* RFC 7162 3.2.6 */
	if (x->vanished && (!x->has_changed_since || !s->qresync || !s->uid))
		return false;
	if (x->has_partial && !s->uid)
		return false;
	return imap_char(in, ')');
}

bool fetch_parse(struct fetch *x, struct imap_in *in)
{
	struct imap *s = x->s;

	if (!fetch_parse_items(x, in) || !parse_modifiers(x, in) ||
		!imap_end(in))
		return false;
	/* RFC 7162 3.1: asking for it switches it on */
	if (fetch_wants(x, I_MODSEQ) || x->has_changed_since)
		s->condstore = true;
	if (x->has_changed_since && !fetch_wants(x, I_MODSEQ))
		return add(x, I_MODSEQ);
	return true;
}

/* ---- running it ---- */

static bool is_wanted(const struct fetch *x, const struct pick *p)
{
	return !x->has_changed_since || p->modseq > x->changed_since;
}

static bool is_in(const uint32_t *uids, size_t n, uint32_t uid)
{
	return sorted_find(&uid, uids, n, sizeof(*uids), sorted_by_u32) != NULL;
}

/* BODY[] without PEEK sets \Seen, once for all that are fetched. */
static bool set_seen(struct fetch *x, const uint32_t *uids, size_t n,
	uint32_t **fresh_r, size_t *n_fresh_r, struct fault *f)
{
	struct imap *s = x->s;
	struct store_flags change = {.op = FLAGS_ADD, .flags = FLAG_SEEN};
	struct pick p;
	size_t count = 0;

	*fresh_r = arena_alloc(s->cmd_a, (n + 1) * sizeof(**fresh_r));
	for (size_t i = 0; i < n; i++)
		if (view_pick(s, uids[i], &p) &&
			(p.flags & (FLAG_SEEN | ROW_GONE)) == 0)
			(*fresh_r)[count++] = uids[i];
	*n_fresh_r = count;
	if (count == 0)
		return true;
	if (!store_flags(s->sv->m->store, s->view.box->account,
		    s->view.box->mailbox, *fresh_r, count, &change, f) ||
		!view_refresh(s, f))
		return false;
	s->own = (struct view_own){*fresh_r, count, change.modseq};
	imap_ring(s, s->view.box->account);
	return true;
}

struct run {
	struct fetch *x;
	uint32_t *fresh; /* those that became \Seen by this */
	size_t n_fresh;
	bool missing, unknown_cte;
	struct fault *f;
};

static bool run_one(struct run *r, const struct pick *p)
{
	switch (fetch_put(r->x, p, is_in(r->fresh, r->n_fresh, p->uid), r->f)) {
	case FETCH_DONE:
		break;
	case FETCH_MISSING:
		r->missing = true;
		break;
	case FETCH_UNKNOWN_CTE:
		r->unknown_cte = true;
		break;
	case FETCH_FAILED:
		return false;
	}
	arena_reset(r->x->a);
	return !stream_failed(r->x->s->stream);
}

/* A list of UIDs first, where it is cut, limited, or written to. */
static bool run_listed(struct run *r, struct view_walk *w)
{
	struct fetch *x = r->x;
	struct imap *s = x->s;
	uint32_t *uids = NULL;
	const struct pick *p;
	struct pick one;
	size_t n = 0, cap = 0;

	while ((p = view_next(w)) != NULL) {
		if (!is_wanted(x, p))
			continue;
		uids = arena_grown(s->cmd_a, uids, n, &cap, sizeof(*uids));
		uids[n++] = p->uid;
	}
	if (x->has_partial)
		imap_partial_cut(&x->partial, &uids, &n);
	imap_limit_newest(s, &uids, &n);
	if (x->sets_seen && !set_seen(x, uids, n, &r->fresh, &r->n_fresh, r->f))
		return false;
	for (size_t i = 0; i < n; i++)
		if (view_pick(s, uids[i], &one) && !run_one(r, &one))
			return false;
	return true;
}

static bool run_streamed(struct run *r, struct view_walk *w)
{
	struct prefetch ahead;
	const struct pick *p;
	bool ok = true;

	prefetch_init(&ahead);
	unsigned parts = fetch_parts(r->x);
	if ((parts & STORE_BYTES) == 0)
		r->x->ahead = &ahead;
	while (ok && (p = view_next(w)) != NULL) {
		if (r->x->ahead != NULL && parts != 0 && view_at_chunk(w))
			prefetch_chunk(&ahead, r->x->s, w, parts);
		if (is_wanted(r->x, p))
			ok = run_one(r, p);
	}
	r->x->ahead = NULL;
	prefetch_fini(&ahead);
	return ok;
}

static void fetch(struct imap *s, struct fetch *x, struct view_walk *w)
{
	struct fault f = {0};
	struct run r = {.x = x, .f = &f};
	/* RFC 4314 4: without the right, \Seen is not set. */
	x->sets_seen &=
		!s->view.read_only && (s->view.rights & RIGHT_SEEN) != 0;
	bool listed = x->has_partial || x->sets_seen || imap_is_limited(s);

	x->a = arena_new(SIZE_MAX);
	bool ok = listed ? run_listed(&r, w) : run_streamed(&r, w);
	arena_free(x->a);
	if (!ok) {
		if (!stream_failed(s->stream))
			imap_fault(s, &f);
		return;
	}
	if (r.unknown_cte)
		imap_no(s, "[UNKNOWN-CTE] a part's encoding is not known");
	else if (r.missing) /* RFC 5530 3: deleted by another session */
		imap_ok(s, "[EXPUNGEISSUED] Some messages are gone");
	else
		imap_ok(s, "Fetch completed");
}

bool fetch_parse_behind(struct imap *s, struct imap_in *in, struct str *items_r)
{
	struct fetch *dry = arena_make(s->cmd_a, struct fetch);
	struct imap_in probe = *in;

	dry->s = s;
	if (!imap_space(&probe) || !str_starts(probe.rest, "("))
		return true;
	struct str start = probe.rest;
	if (!fetch_parse_items(dry, &probe))
		return false;
	*items_r = str_sub(start, 0, start.len - probe.rest.len);
	*in = probe;
	return true;
}

void fetch_unasked(
	struct imap *s, struct str items, const uint32_t *uids, size_t n)
{
	struct fetch *x = arena_make(s->cmd_a, struct fetch);
	struct imap_in in = {.rest = items, .a = s->cmd_a, .utf8 = s->utf8};
	struct fault f = {0};
	struct run r = {.x = x, .f = &f};
	struct pick p;
	bool uid = s->uid, ok = true;

	x->s = s;
	if (!fetch_parse_items(x, &in) || !view_refresh(s, &f))
		return;
	x->sets_seen = false; /* RFC 5465 5.2: nobody read it */
	x->a = arena_new(SIZE_MAX);
	s->uid = false;
	for (size_t i = 0; ok && i < n; i++)
		if (!is_in(s->own_new, s->n_own_new, uids[i]) &&
			view_pick(s, uids[i], &p))
			ok = run_one(&r, &p);
	s->uid = uid;
	arena_free(x->a);
	if (!ok && !stream_failed(s->stream))
		log_error("store", log_s("login", s->login), log_fault(&f));
}

void fetch_new(struct imap *s, struct str items, uint32_t above)
{
	struct imap_range range = {above + 1, UINT32_MAX - 1};
	struct imap_set set = {&range, 1};
	struct view_walk *w;
	struct fault f;
	size_t n;

	if (above >= UINT32_MAX - 1 || !view_refresh(s, &f))
		return;
	view_walk(s, &set, true, &w);
	const uint32_t *uids = view_uids(w, &n);
	fetch_unasked(s, items, uids, n);
}

void imap_fetch(struct imap *s, struct imap_in *in)
{
	struct fetch *x = arena_make(s->cmd_a, struct fetch);
	struct imap_set set;
	struct view_walk *w;
	bool by_uid;
	struct fault f;

	x->s = s;
	if (!imap_set_or_saved(s, in, &set, &by_uid) || !imap_space(in) ||
		!fetch_parse(x, in)) {
		imap_bad(s, "FETCH needs numbers and known items");
		return;
	}
	if (!view_walk(s, &set, by_uid, &w)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	/* RFC 7162 3.2.6: before any FETCH reply */
	if (x->vanished && !imap_put_earlier(s, x->changed_since, &set, &f)) {
		imap_fault(s, &f);
		return;
	}
	fetch(s, x, w);
}
