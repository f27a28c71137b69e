/* SPDX-License-Identifier: ISC */
/* FETCH: RFC 3501 6.4.5 and 7.4.2 */
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "role/mailbox/imap/imap.h"

enum { ITEMS_MAX = 64 };

enum item_kind {
	I_FLAGS,
	I_UID,
	I_INTERNALDATE,
	I_SIZE,
	I_ENVELOPE,
	I_STRUCTURE,
	I_BODY,
	I_RFC822,
	I_RFC822_HEADER,
	I_RFC822_TEXT,
	I_SECTION
};

struct item {
	enum item_kind kind;
	struct imap_section section;
};

struct fetch {
	struct imap *s;
	struct item items[ITEMS_MAX];
	size_t n;
	bool wants_uid;
	bool wants_bytes;
	bool wants_cache;
	bool sets_seen;
};

static bool add(struct fetch *x, enum item_kind kind)
{
	if (x->n == ITEMS_MAX)
		return false;
	x->items[x->n++].kind = kind;
	x->wants_uid |= kind == I_UID;
	x->wants_cache |=
		kind == I_ENVELOPE || kind == I_STRUCTURE || kind == I_BODY;
	x->wants_bytes |= kind >= I_RFC822;
	x->sets_seen |= kind == I_RFC822 || kind == I_RFC822_TEXT;
	return true;
}

static bool add_section(struct fetch *x, struct imap_in *in, bool peek)
{
	if (!add(x, I_SECTION) ||
		!imap_section_parse(in, &x->items[x->n - 1].section))
		return false;
	x->items[x->n - 1].section.peek = peek;
	x->sets_seen |= !peek;
	return true;
}

/* fetch-att; an atom ends before "[" only by our cutting */
static bool parse_item(struct fetch *x, struct imap_in *in)
{
	static const struct {
		const char *name;
		enum item_kind kind;
	} plain[] = {{"FLAGS", I_FLAGS}, {"UID", I_UID},
		{"INTERNALDATE", I_INTERNALDATE}, {"RFC822.SIZE", I_SIZE},
		{"ENVELOPE", I_ENVELOPE}, {"BODYSTRUCTURE", I_STRUCTURE},
		{"RFC822.HEADER", I_RFC822_HEADER},
		{"RFC822.TEXT", I_RFC822_TEXT}, {"RFC822", I_RFC822},
		{"BODY", I_BODY}};
	size_t n = 0;

	while (n < in->rest.len &&
		(ascii_is_alnum(in->rest.ptr[n]) || in->rest.ptr[n] == '.'))
		n++;
	struct str word = str_sub(in->rest, 0, n);
	bool section = n < in->rest.len && in->rest.ptr[n] == '[';
	bool peek = str_ieqc(word, "BODY.PEEK");
	if (section && (peek || str_ieqc(word, "BODY"))) {
		in->rest = str_from_at(in->rest, n);
		return add_section(x, in, peek);
	}
	for (size_t i = 0; i < ARRAY_LEN(plain) && !section; i++)
		if (str_ieqc(word, plain[i].name)) {
			in->rest = str_from_at(in->rest, n);
			return add(x, plain[i].kind);
		}
	return false;
}

static bool parse_macro(struct fetch *x, struct imap_in *in)
{
	static const enum item_kind fast[] = {
		I_FLAGS, I_INTERNALDATE, I_SIZE, I_ENVELOPE, I_BODY};
	size_t n = imap_word(in, "FAST")   ? 3
		   : imap_word(in, "ALL")  ? 4
		   : imap_word(in, "FULL") ? 5
					   : 0;

	for (size_t i = 0; i < n; i++)
		add(x, fast[i]);
	return n > 0;
}

static bool parse_items(struct fetch *x, struct imap_in *in)
{
	if (parse_macro(x, in))
		return imap_end(in);
	if (!imap_char(in, '('))
		return parse_item(x, in) && imap_end(in);
	do {
		if (!parse_item(x, in))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')') && imap_end(in);
}

/* ---- reply ---- */

/* Bytes as they are, NUL as 0x80 (clients stumble over it); "" if empty */
static void put_bytes(struct imap *s, struct str bytes)
{
	if (bytes.len == 0) {
		stream_puts(s->stream, "\"\"");
		return;
	}
	stream_putf(s->stream, "{%zu}\r\n", bytes.len);
	if (str_find(bytes, '\0') < 0) {
		stream_put(s->stream, bytes);
		return;
	}
	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.ptr[i] != '\0' ? bytes.ptr[i] : (char)0x80;

		stream_put(s->stream, str_of(&c, 1));
	}
}

struct one {
	const struct view_row *row;
	struct store_message message;
	struct mailbox_cached cached;
	struct mime_part *root;
};

static void put_section(
	struct fetch *x, const struct imap_section *sec, struct one *one)
{
	struct imap *s = x->s;

	stream_putf(s->stream, "BODY%.*s", STR_ARG(sec->as));
	if (sec->partial)
		stream_putf(s->stream, "<%u>", sec->start);
	stream_puts(s->stream, " ");
	if (one->root == NULL)
		one->root = mime_parse(one->message.bytes, s->cmd_a);
	put_bytes(s, imap_section_bytes(
			     sec, one->message.bytes, one->root, s->cmd_a));
}

static void put_item(struct fetch *x, const struct item *it, struct one *one)
{
	struct imap *s = x->s;
	struct str head, body;

	mail_split(one->message.bytes, &head, &body);
	head.len = one->message.bytes.len - body.len;
	switch (it->kind) {
	case I_FLAGS:
		stream_puts(s->stream, "FLAGS ");
		view_put_flags(one->row, stream_out(s->stream));
		break;
	case I_UID:
		stream_putf(s->stream, "UID %u", one->row->uid);
		break;
	case I_INTERNALDATE:
		stream_puts(s->stream, "INTERNALDATE \"");
		imap_date_put(one->row->received, stream_out(s->stream));
		stream_puts(s->stream, "\"");
		break;
	case I_SIZE:
		stream_putf(s->stream, "RFC822.SIZE %llu",
			(unsigned long long)one->row->size);
		break;
	case I_ENVELOPE:
		stream_puts(s->stream, "ENVELOPE ");
		stream_put(s->stream, one->cached.envelope);
		break;
	case I_STRUCTURE:
		stream_puts(s->stream, "BODYSTRUCTURE ");
		stream_put(s->stream, one->cached.structure);
		break;
	case I_BODY:
		stream_puts(s->stream, "BODY ");
		stream_put(s->stream, one->cached.body);
		break;
	case I_RFC822:
		stream_puts(s->stream, "RFC822 ");
		put_bytes(s, one->message.bytes);
		break;
	case I_RFC822_HEADER:
		stream_puts(s->stream, "RFC822.HEADER ");
		put_bytes(s, head);
		break;
	case I_RFC822_TEXT:
		stream_puts(s->stream, "RFC822.TEXT ");
		put_bytes(s, body);
		break;
	case I_SECTION:
		put_section(x, &it->section, one);
		break;
	}
}

/* What was not stored ready-made is made now. */
static bool load(
	struct fetch *x, struct one *one, bool *gone_r, struct fault *f)
{
	struct imap *s = x->s;
	unsigned parts = x->wants_bytes ? STORE_BYTES : STORE_CACHE;

	*gone_r = false;
	if (!x->wants_bytes && !x->wants_cache)
		return true;
	if (!store_message(s->sv->m->store, s->account, s->view.mailbox,
		    one->row->uid, parts, &one->message, f)) {
		*gone_r = f->class == FAULT_PERM;
		return false;
	}
	if (!x->wants_cache ||
		mailbox_cached_read(one->message.cache, &one->cached))
		return true;
	if ((parts & STORE_BYTES) == 0) {
		store_message_fini(&one->message);
		if (!store_message(s->sv->m->store, s->account, s->view.mailbox,
			    one->row->uid, STORE_BYTES, &one->message, f))
			return false;
	}
	struct buf b CLEANUP(buf_fini);
	buf_init(&b, 64 << 20);
	one->root = mime_parse(one->message.bytes, s->cmd_a);
	imap_put_envelope(one->root->head, s->cmd_a, &b);
	one->cached.envelope = arena_str(s->cmd_a, buf_str(&b));
	buf_reset(&b);
	imap_put_bodystructure(one->root, false, s->cmd_a, &b);
	one->cached.body = arena_str(s->cmd_a, buf_str(&b));
	buf_reset(&b);
	imap_put_bodystructure(one->root, true, s->cmd_a, &b);
	one->cached.structure = arena_str(s->cmd_a, buf_str(&b));
	return true;
}

static bool fetch_one(struct fetch *x, size_t i, bool *gone, struct fault *f)
{
	struct imap *s = x->s;
	struct one one = {.row = &s->view.rows[i]};
	bool flags_told = false;

	if (!load(x, &one, gone, f))
		return *gone;
	stream_putf(s->stream, "* %zu FETCH (", i + 1);
	if (s->uid && !x->wants_uid)
		stream_putf(s->stream, "UID %u ", one.row->uid);
	for (size_t k = 0; k < x->n; k++) {
		if (k > 0)
			stream_puts(s->stream, " ");
		put_item(x, &x->items[k], &one);
		flags_told |= x->items[k].kind == I_FLAGS;
	}
	/* \Seen came by reading: the client is told. */
	if (x->sets_seen && !flags_told && one.row->told) {
		stream_puts(s->stream, " FLAGS ");
		view_put_flags(one.row, stream_out(s->stream));
	}
	stream_puts(s->stream, ")\r\n");
	store_message_fini(&one.message);
	return !stream_failed(s->stream);
}

/* BODY[] without PEEK sets \Seen, once for all that are fetched. */
static bool set_seen(
	struct fetch *x, const size_t *index, size_t n, struct fault *f)
{
	struct imap *s = x->s;
	uint32_t *uids = arena_alloc(s->cmd_a, (n + 1) * sizeof(*uids));
	struct strs none = {0};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct view_row *row = &s->view.rows[index[i]];

		row->told = (row->flags & FLAG_SEEN) == 0;
		if (row->told)
			uids[count++] = row->uid;
	}
	if (count == 0)
		return true;
	if (!store_flags(s->sv->m->store, s->account, s->view.mailbox, uids,
		    count, FLAGS_ADD, FLAG_SEEN, &none, f))
		return false;
	for (size_t i = 0; i < n; i++)
		s->view.rows[index[i]].flags |= FLAG_SEEN;
	imap_ring(s);
	return true;
}

void imap_fetch(struct imap *s, struct imap_in *in)
{
	struct fetch *x = arena_make(s->cmd_a, struct fetch);
	struct imap_set set;
	size_t *index, n;
	bool gone = false, any_gone = false;
	struct fault f;

	x->s = s;
	if (!imap_set_parse(in, &set) || !imap_space(in) ||
		!parse_items(x, in)) {
		imap_bad(s, "FETCH needs numbers and known items");
		return;
	}
	if (!view_pick(s, &set, &index, &n)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	if (x->sets_seen && !s->view.read_only && !set_seen(x, index, n, &f)) {
		imap_fault(s, &f);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!fetch_one(x, index[i], &gone, &f)) {
			if (!stream_failed(s->stream))
				imap_fault(s, &f);
			return;
		}
		any_gone |= gone;
	}
	/* RFC 5530 3: some were deleted by another session meanwhile */
	if (any_gone)
		imap_ok(s, "[EXPUNGEISSUED] Some messages are gone");
	else
		imap_ok(s, "Fetch completed");
}
