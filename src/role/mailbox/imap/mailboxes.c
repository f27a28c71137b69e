/* SPDX-License-Identifier: ISC */
/* SELECT, LIST, STATUS and the changes of mailboxes: RFC 3501 6.3 */
#include <string.h>

#include "codec/imap/utf7.h"
#include "role/mailbox/imap/imap.h"

static const char *role_name(enum store_role role)
{
	static const char *const names[] = {
		"", "\\Drafts", "\\Sent", "\\Junk", "\\Trash", "\\Archive"};

	return names[role];
}

/* ---- SELECT, EXAMINE, CLOSE ---- */

static void select_box(struct imap *s, struct imap_in *in, bool read_only)
{
	struct store_mailbox box;
	struct str name;
	struct fault f;
	size_t unseen = 0;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	/* A failed SELECT leaves nothing selected: RFC 3501 6.3.1 */
	if (!view_open(s, name, read_only, &box, &f)) {
		imap_fault(s, &f);
		return;
	}
	while (unseen < s->view.n &&
		(s->view.rows[unseen].flags & FLAG_SEEN) != 0)
		unseen++;
	imap_untagged(
		s, "FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)");
	imap_untagged(s,
		read_only
			? "OK [PERMANENTFLAGS ()] No changes"
			: "OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted "
			  "\\Seen \\Draft \\*)] Any keyword");
	imap_untagged(s, "%zu EXISTS", s->view.n);
	imap_untagged(s, "0 RECENT");
	if (unseen < s->view.n)
		imap_untagged(s, "OK [UNSEEN %zu] First unseen", unseen + 1);
	imap_untagged(s, "OK [UIDVALIDITY %u] UIDs valid", box.uidvalidity);
	imap_untagged(s, "OK [UIDNEXT %u] Predicted next UID", box.uidnext);
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

void imap_unselect(struct imap *s, struct imap_in *in UNUSED)
{
	view_close(s);
	imap_ok(s, "Unselected");
}

void imap_close(struct imap *s, struct imap_in *in UNUSED)
{
	struct view *v = &s->view;
	uint32_t *uids = arena_alloc(s->cmd_a, (v->n + 1) * sizeof(*uids));
	size_t n = 0;
	struct fault f;

	for (size_t i = 0; i < v->n; i++)
		if ((v->rows[i].flags & FLAG_DELETED) != 0)
			uids[n++] = v->rows[i].uid;
	bool ok = v->read_only || store_expunge(s->sv->m->store, s->account,
					  v->mailbox, uids, n, &f);
	view_close(s);
	if (!ok) {
		imap_fault(s, &f);
		return;
	}
	if (n > 0)
		imap_ring(s);
	imap_ok(s, "Closed");
}

/* ---- changes ---- */

static bool name_valid(struct str name)
{
	struct str rest = name;

	if (name.len == 0 || name.len > 500)
		return false;
	while (str_present(rest)) {
		struct str part = str_cut(&rest, '/');

		if (part.len == 0 || str_eqc(part, "..") || str_eqc(part, "."))
			return false;
		for (size_t i = 0; i < part.len; i++)
			if ((unsigned char)part.ptr[i] < 0x20 ||
				strchr("%*", part.ptr[i]) != NULL ||
				part.ptr[i] == 0x7f)
				return false;
	}
	return true;
}

static void change(struct imap *s, enum store_change kind, struct str name,
	struct str to, const char *done)
{
	struct fault f;

	if (!store_change_mailbox(
		    s->sv->m->store, s->account, kind, name, to, &f))
		imap_fault(s, &f);
	else
		imap_ok(s, "%s", done);
}

void imap_create(struct imap *s, struct imap_in *in)
{
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	/* RFC 3501 6.3.3: a trailing separator only announces children. */
	if (name.len > 1 && str_ends(name, "/"))
		name.len--;
	if (!name_valid(name) || str_istarts(name, "INBOX/INBOX") ||
		str_ieqc(name, "INBOX")) {
		imap_no(s, "[CANNOT] not a name for a mailbox");
		return;
	}
	change(s, STORE_CREATE, name, STR_NONE, "Created");
}

void imap_delete(struct imap *s, struct imap_in *in)
{
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	if (str_eqc(name, "INBOX")) {
		imap_no(s, "[CANNOT] INBOX cannot be deleted");
		return;
	}
	if (s->view.mailbox != 0 && str_eqc(name, s->view.name))
		view_close(s);
	change(s, STORE_DELETE, name, STR_NONE, "Deleted");
}

void imap_rename(struct imap *s, struct imap_in *in)
{
	struct str from, to;

	if (!imap_mailbox(in, &from) || !imap_space(in) ||
		!imap_mailbox(in, &to) || !imap_end(in)) {
		imap_bad(s, "two mailbox names were expected");
		return;
	}
	bool below = to.len > from.len && to.ptr[from.len] == '/' &&
		     str_eq(str_sub(to, 0, from.len), from);
	if (!name_valid(to) || below || str_eqc(to, "INBOX")) {
		imap_no(s, "[CANNOT] not a new name for that mailbox");
		return;
	}
	change(s, STORE_RENAME, from, to, "Renamed");
}

static void subscription(struct imap *s, struct imap_in *in, bool on)
{
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	change(s, on ? STORE_SUBSCRIBE : STORE_UNSUBSCRIBE, name, STR_NONE,
		on ? "Subscribed" : "Unsubscribed");
}

void imap_subscribe(struct imap *s, struct imap_in *in)
{
	subscription(s, in, true);
}

void imap_unsubscribe(struct imap *s, struct imap_in *in)
{
	subscription(s, in, false);
}

/* ---- LIST ---- */

/* RFC 3501 6.3.8: "*" matches all, "%" all but the separator.  Greedy with
 * one point to come back to for each kind: never exponential (attack 53). */
static bool matches(struct str pattern, struct str name)
{
	size_t p = 0, n = 0;
	size_t star_p = SIZE_MAX, star_n = 0, per_p = SIZE_MAX, per_n = 0;

	for (;;) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star_p = ++p;
			star_n = n;
			per_p = SIZE_MAX;
			continue;
		}
		if (p < pattern.len && pattern.ptr[p] == '%') {
			per_p = ++p;
			per_n = n;
			continue;
		}
		if (p == pattern.len && n == name.len)
			return true;
		if (p < pattern.len && n < name.len &&
			pattern.ptr[p] == name.ptr[n]) {
			p++;
			n++;
			continue;
		}
		if (per_p != SIZE_MAX && per_n < name.len &&
			name.ptr[per_n] != '/') {
			p = per_p;
			n = ++per_n;
			continue;
		}
		if (star_p != SIZE_MAX && star_n < name.len) {
			p = star_p;
			n = ++star_n;
			per_p = SIZE_MAX;
			continue;
		}
		return false;
	}
}

static bool has_children(
	const struct store_mailbox *boxes, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (boxes[i].name.len > name.len &&
			boxes[i].name.ptr[name.len] == '/' &&
			str_eq(str_sub(boxes[i].name, 0, name.len), name))
			return true;
	return false;
}

static void put_entry(struct imap *s, const char *word,
	const struct store_mailbox *box, bool children)
{
	struct buf *out = stream_out(s->stream);

	buf_putf(out, "* %s (%s%s%s) \"/\" ", word,
		children ? "\\HasChildren" : "\\HasNoChildren",
		box->role != ROLE_NONE ? " " : "", role_name(box->role));
	imap_put_mailbox(box->name, s->cmd_a, out);
	buf_puts(out, "\r\n");
}

static void list(
	struct imap *s, struct imap_in *in, const char *word, bool subscribed)
{
	struct store_mailbox *boxes;
	struct str reference, raw, pattern;
	struct fault f;
	size_t n;

	if (!imap_astring(in, &reference) || !imap_space(in) ||
		!imap_list_mailbox(in, &raw) || !imap_end(in)) {
		imap_bad(s, "reference and pattern were expected");
		return;
	}
	if (raw.len == 0 && !subscribed) {
		imap_untagged(s, "LIST (\\Noselect) \"/\" \"\"");
		imap_ok(s, "List completed");
		return;
	}
	pattern = arena_concat(s->cmd_a, reference, raw);
	if (!store_mailboxes(
		    s->sv->m->store, s->account, s->cmd_a, &boxes, &n, &f)) {
		imap_fault(s, &f);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct str name = boxes[i].name;
		bool inbox =
			str_eqc(name, "INBOX") && str_ieqc(pattern, "INBOX");

		if ((!subscribed || boxes[i].subscribed) &&
			(inbox || matches(pattern,
					  imap_utf7_encode(name, s->cmd_a))))
			put_entry(s, word, &boxes[i],
				has_children(boxes, n, name));
	}
	imap_ok(s, "%s completed", word);
}

void imap_list(struct imap *s, struct imap_in *in)
{
	list(s, in, "LIST", false);
}

void imap_lsub(struct imap *s, struct imap_in *in)
{
	list(s, in, "LSUB", true);
}

/* ---- STATUS ---- */

static bool put_status_item(
	struct imap_in *in, const struct store_mailbox *b, struct buf *out)
{
	static const char *const names[] = {"MESSAGES", "RECENT", "UIDNEXT",
		"UIDVALIDITY", "UNSEEN", "SIZE"};
	const uint64_t values[] = {b->n_exists, 0, b->uidnext, b->uidvalidity,
		b->n_unseen, b->bytes};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (imap_word(in, names[i])) {
			buf_putf(out, "%s %llu", names[i],
				(unsigned long long)values[i]);
			return true;
		}
	return false;
}

void imap_status(struct imap *s, struct imap_in *in)
{
	struct store_mailbox box = {0};
	struct buf items CLEANUP(buf_fini);
	struct str name;
	struct fault f;
	bool found;

	buf_init(&items, 4096);
	if (!imap_mailbox(in, &name) || !imap_space(in) ||
		!imap_char(in, '(')) {
		imap_bad(s, "mailbox and (items) were expected");
		return;
	}
	if (!imap_find_mailbox(s, name, &box, &found, &f)) {
		imap_fault(s, &f);
		return;
	}
	do {
		if (items.len > 0)
			buf_putc(&items, ' ');
		if (!put_status_item(in, &box, &items)) {
			imap_bad(s, "unknown STATUS item");
			return;
		}
	} while (imap_space(in));
	if (!imap_char(in, ')') || !imap_end(in)) {
		imap_bad(s, "unbalanced STATUS items");
		return;
	}
	if (!found) {
		imap_no(s, "[NONEXISTENT] no such mailbox");
		return;
	}
	stream_puts(s->stream, "* STATUS ");
	imap_put_mailbox(name, s->cmd_a, stream_out(s->stream));
	stream_putf(s->stream, " (%.*s)\r\n", STR_ARG(buf_str(&items)));
	imap_ok(s, "Status completed");
}
