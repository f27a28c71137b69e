/* SPDX-License-Identifier: ISC */
/* LIST, LSUB, STATUS: RFC 9051 6.3.9 and 6.3.11, RFC 5258, RFC 5819 */
#include <string.h>

#include "codec/imap/utf7.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/list_names.h"

enum { PATTERNS_MAX = 100 };

struct list_args {
	const char *word; /* of the reply */
	bool lsub;
	bool subscribed, recursive, special; /* selection */
	bool ret_subscribed; /* RETURN */
	bool ret_status;
	bool ret_myrights; /* RFC 8440 */
	struct strs metadata; /* of RETURN (METADATA (...)) */
	struct str items; /* of RETURN (STATUS (...)), read for each mailbox */
	struct strs patterns;
};

/* RFC 3501 6.3.8: "*" matches all, "%" all but the separator.  Greedy with
 * one point to come back to for each kind: never exponential (attack 53). */
static bool pattern_matches(struct str pattern, struct str name)
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

/* ---- STATUS items ---- */

struct status_item {
	const char *name;
	uint64_t value;
};

static bool put_recent(
	struct imap *s, const struct imap_place *p, struct buf *out)
{
	uint64_t n = 0;
	struct fault f;

	if (p->box.id != 0 && !recent_count(s, p->account, &p->box, &n, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
	buf_putf(out, "RECENT %llu", (unsigned long long)n);
	return true;
}

/* RFC 9208 4.1.4: what EXPUNGE would free, in octets */
static bool put_deleted_storage(
	struct imap *s, const struct imap_place *p, struct buf *out)
{
	struct store_mailbox box = {0};
	struct fault f;

	if (p->box.id != 0 && !store_mailbox(s->sv->m->store, p->account,
				      (struct store_which){.id = p->box.id,
					      .also = STORE_DELETED_BYTES},
				      &box, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
	buf_putf(out, "DELETED-STORAGE %llu",
		(unsigned long long)box.deleted_bytes);
	return true;
}

static bool put_status_item(struct imap *s, struct imap_in *in,
	const struct imap_place *p, struct buf *out)
{
	const struct store_mailbox *b = &p->box;
	const int64_t limit = s->sv->c->message_size_limit;
	const struct status_item items[] = {{"MESSAGES", b->n_exists},
		{"UIDNEXT", b->uidnext}, {"UIDVALIDITY", b->uidvalidity},
		{"UNSEEN", b->n_unseen}, {"SIZE", b->bytes},
		{"DELETED", b->n_deleted}, {"HIGHESTMODSEQ", b->modseq},
		{"APPENDLIMIT", limit > 0 ? (uint64_t)limit : UINT32_MAX}};

	if (imap_word(in, "MAILBOXID")) {
		buf_putf(out, "MAILBOXID (" MAILBOX_ID_FMT ")",
			MAILBOX_ID_ARG(p->account, b->uidvalidity));
		return true;
	}
	if (imap_word(in, "RECENT"))
		return put_recent(s, p, out);
	if (imap_word(in, "DELETED-STORAGE"))
		return put_deleted_storage(s, p, out);
	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		if (imap_word(in, items[i].name)) {
			/* RFC 7162 3.1.7 */
			s->condstore |= str_eqc(
				str_from(items[i].name), "HIGHESTMODSEQ");
			buf_putf(out, "%s ", items[i].name);
			buf_put_u64(out, items[i].value);
			return true;
		}
	return false;
}

/* "(A B)"; NULL where it is not that */
static bool put_status(struct imap *s, struct imap_in *in,
	const struct imap_place *p, struct buf *out)
{
	if (!imap_char(in, '('))
		return false;
	do {
		if (out->len > 0)
			buf_putc(out, ' ');
		if (!put_status_item(s, in, p, out))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')');
}

static void put_status_reply(
	struct imap *s, struct str name, const struct buf *items)
{
	struct buf *out = stream_out(s->stream);

	buf_puts(out, "* STATUS ");
	imap_put_name(s, name, out);
	buf_puts(out, " (");
	buf_put(out, buf_str(items));
	buf_puts(out, ")\r\n");
}

void imap_status(struct imap *s, struct imap_in *in)
{
	struct imap_place p = {0};
	struct buf items CLEANUP(buf_fini);
	struct imap_in dry;
	struct str name;

	buf_init(&items, 4096);
	if (!imap_mailbox(in, &name) || !imap_space(in)) {
		imap_bad(s, "mailbox and (items) were expected");
		return;
	}
	dry = *in;
	if (!put_status(s, &dry, &p, &items) || !imap_end(&dry)) {
		imap_bad(s, "unknown STATUS item");
		return;
	}
	if (!imap_find(s, name, RIGHT_READ, &p))
		return;
	buf_reset(&items);
	put_status(s, in, &p, &items);
	put_status_reply(s, name, &items);
	imap_ok(s, "Status completed");
}

/* ---- LIST ---- */

static bool chosen(const struct list_args *x, const struct imap_place *p)
{
	const struct store_mailbox *box = &p->box;

	return (!x->subscribed || box->subscribed) &&
	       (!x->special || box->role != ROLE_NONE);
}

/* RFC 5258 3.5: does something below fit the selection, whatever its name? */
static bool chosen_below(const struct list_args *x, const struct list_names *l,
	size_t from, struct str name)
{
	for (size_t i = from;
		i < l->n && list_name_is_below(l->v[i].box.name, name); i++)
		if (chosen(x, &l->v[i]))
			return true;
	return false;
}

static bool name_matches(struct imap *s, const struct list_args *x,
	const struct store_mailbox *box)
{
	struct str name =
		s->utf8 ? box->name : imap_utf7_encode(box->name, s->cmd_a);

	for (size_t i = 0; i < x->patterns.n; i++)
		if (pattern_matches(x->patterns.v[i], name) ||
			(str_eqc(box->name, "INBOX") &&
				str_ieqc(x->patterns.v[i], "INBOX")))
			return true;
	return false;
}

static void put_entry(struct imap *s, const struct list_args *x,
	const struct store_mailbox *box, bool children, bool childinfo)
{
	struct buf *out = stream_out(s->stream);

	buf_putf(out, "* %s (%s", x->word,
		children ? "\\HasChildren" : "\\HasNoChildren");
	/* RFC 3501 6.3.9: a parent of what is subscribed, where "%" hides it */
	if (box->id == 0 || (x->lsub && !box->subscribed))
		buf_puts(out, " \\Noselect");
	if (box->id == 0 && !x->lsub)
		buf_puts(out, " \\NonExistent");
	if (box->subscribed && !x->lsub && (x->subscribed || x->ret_subscribed))
		buf_puts(out, " \\Subscribed");
	if (box->role != ROLE_NONE)
		buf_putf(out, " %s", imap_role_name(box->role));
	else if (str_eqc(box->name, "INBOX") &&
		 str_eqc(str_from(x->word), "XLIST"))
		buf_puts(out, " \\Inbox");
	buf_puts(out, ") \"/\" ");
	imap_put_name(s, box->name, out);
	if (childinfo && !x->lsub)
		buf_puts(out, " (CHILDINFO (\"SUBSCRIBED\"))");
	buf_puts(out, "\r\n");
}

static void list_one(struct imap *s, const struct list_args *x,
	const struct list_names *l, const struct imap_place *p)
{
	const struct store_mailbox *box = &p->box;
	struct buf items CLEANUP(buf_fini);
	struct imap_in in = {.rest = x->items, .a = s->cmd_a};
	size_t below = list_names_below(l, box->name, s->cmd_a);
	bool children = list_names_has_mailbox(l, below, box->name);
	bool info = (x->recursive || x->lsub) &&
		    chosen_below(x, l, below, box->name);

	if (!chosen(x, p) && x->lsub)
		info &= str_ends(x->patterns.v[0], "%");
	if ((!chosen(x, p) && !info) || !name_matches(s, x, box))
		return;
	put_entry(s, x, box, children, info);
	if (box->id == 0)
		return;
	if (x->ret_myrights && chosen(x, p))
		imap_put_myrights(s, box->name, p->rights);
	if ((p->rights & RIGHT_READ) == 0)
		return;
	if (x->metadata.n > 0)
		imap_list_metadata(s, p, &x->metadata);
	if (!x->ret_status)
		return;
	buf_init(&items, 4096);
	if (put_status(s, &in, p, &items))
		put_status_reply(s, box->name, &items);
}

static bool parse_selection(struct imap_in *in, struct list_args *x)
{
	if (!imap_char(in, '('))
		return true;
	if (imap_char(in, ')'))
		return imap_space(in);
	do {
		if (imap_word(in, "SUBSCRIBED"))
			x->subscribed = true;
		else if (imap_word(in, "RECURSIVEMATCH"))
			x->recursive = true;
		else if (imap_word(in, "SPECIAL-USE"))
			x->special = true;
		else if (!imap_word(in, "REMOTE")) /* nothing is */
			return false;
	} while (imap_space(in));
	return imap_char(in, ')') && imap_space(in);
}

static bool parse_status_items(
	struct imap *s, struct imap_in *in, struct list_args *x)
{
	struct buf dry CLEANUP(buf_fini);
	struct imap_place none = {0};
	struct str start;

	x->ret_status = true;
	if (!imap_space(in))
		return false;
	start = in->rest;
	buf_init(&dry, 4096);
	if (!put_status(s, in, &none, &dry))
		return false;
	x->items = str_sub(start, 0, start.len - in->rest.len);
	return true;
}

static bool parse_return(
	struct imap *s, struct imap_in *in, struct list_args *x)
{
	if (!imap_space(in))
		return true;
	if (!imap_word(in, "RETURN") || !imap_space(in) || !imap_char(in, '('))
		return false;
	if (imap_char(in, ')'))
		return true;
	do {
		if (imap_word(in, "SUBSCRIBED"))
			x->ret_subscribed = true;
		else if (imap_word(in, "METADATA")) {
			if (!imap_space(in) ||
				!imap_metadata_names(in, &x->metadata))
				return false;
		} else if (imap_word(in, "STATUS")) {
			if (!parse_status_items(s, in, x))
				return false;
		} else if (imap_word(in, "MYRIGHTS")) {
			x->ret_myrights = true;
		} else if (!imap_word(in, "CHILDREN") &&
			   !imap_word(in, "SPECIAL-USE"))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')');
}

static bool add_pattern(
	struct imap *s, struct imap_in *in, struct str ref, struct list_args *x)
{
	struct str raw;

	if (x->patterns.n == PATTERNS_MAX || !imap_list_mailbox(in, &raw))
		return false;
	strs_add(&x->patterns, s->cmd_a, arena_concat(s->cmd_a, ref, raw));
	return true;
}

/* More than one pattern, or options: the extended form of RFC 5258. */
static bool parse_list(struct imap *s, struct imap_in *in, bool extended,
	struct list_args *x, bool *root_r)
{
	struct str ref;

	*root_r = false;
	if ((extended && !parse_selection(in, x)) || !imap_astring(in, &ref) ||
		!imap_space(in))
		return false;
	if (extended && imap_char(in, '(')) {
		do {
			if (!add_pattern(s, in, ref, x))
				return false;
		} while (imap_space(in));
		if (!imap_char(in, ')'))
			return false;
	} else {
		struct str before = in->rest;

		if (!add_pattern(s, in, ref, x))
			return false;
		*root_r =
			str_starts(before, "\"\"") || str_starts(before, "{0");
	}
	if (extended && !parse_return(s, in, x))
		return false;
	/* RFC 5258 3.1: RECURSIVEMATCH alone has nothing to match */
	return imap_end(in) && (!x->recursive || x->subscribed || x->special);
}

static void list(struct imap *s, struct imap_in *in, struct list_args *x)
{
	bool extended = str_eqc(str_from(x->word), "LIST"), root;
	struct list_names l;
	struct fault f;

	if (!parse_list(s, in, extended, x, &root)) {
		imap_bad(s, "reference and pattern were expected");
		return;
	}
	if (root && !x->subscribed) {
		imap_untagged(s, "%s (\\Noselect) \"/\" \"\"", x->word);
		imap_ok(s, "%s completed", x->word);
		return;
	}
	if (!list_names_read(s, x->subscribed, &l, &f)) {
		imap_fault(s, &f);
		return;
	}
	for (size_t i = 0; i < l.n; i++)
		list_one(s, x, &l, &l.v[i]);
	imap_ok(s, "%s completed", x->word);
}

void imap_list(struct imap *s, struct imap_in *in)
{
	struct list_args x = {.word = "LIST"};

	list(s, in, &x);
}

/* Outlook 2013: what LIST is, with \Inbox among the uses */
void imap_xlist(struct imap *s, struct imap_in *in)
{
	struct list_args x = {.word = "XLIST"};

	list(s, in, &x);
}

void imap_lsub(struct imap *s, struct imap_in *in)
{
	struct list_args x = {.word = "LSUB", .lsub = true, .subscribed = true};

	list(s, in, &x);
}
