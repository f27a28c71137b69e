/* SPDX-License-Identifier: ISC */
/* One message's answer to a FETCH. */
#include "codec/imap/structure.h"
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "role/mailbox/imap/fetch.h"
#include "store/message.h"

enum { DECODED_MAX = 256 << 20 };

struct one {
	struct fetch *x;
	const struct pick *p;
	struct store_message message;
	struct summary summary;
	struct mime_part *root;
	struct buf *out;
};

/* Bytes as they are, NUL as 0x80 (clients stumble over it); "" if empty */
static void put_bytes(struct one *one, struct str bytes)
{
	struct stream *stream = one->x->s->stream;

	if (bytes.len == 0) {
		stream_puts(stream, "\"\"");
		return;
	}
	stream_putf(stream, "{%zu}\r\n", bytes.len);
	if (str_find(bytes, '\0') < 0) {
		stream_put(stream, bytes);
		return;
	}
	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.ptr[i] != '\0' ? bytes.ptr[i] : (char)0x80;

		stream_put(stream, str_of(&c, 1));
	}
}

static struct mime_part *root_of(struct one *one)
{
	if (one->root == NULL)
		one->root = mime_parse(one->message.bytes, one->x->a);
	return one->root;
}

static void put_section(struct one *one, const struct imap_section *sec)
{
	struct imap *s = one->x->s;

	stream_putf(s->stream, "BODY%.*s", STR_ARG(sec->as));
	if (sec->partial)
		stream_putf(s->stream, "<%u>", sec->start);
	stream_puts(s->stream, " ");
	/* The whole message needs no parts. */
	if (sec->n_path == 0 && sec->what == SECTION_ALL)
		put_bytes(one, sec->partial ? str_sub(one->message.bytes,
						      sec->start, sec->length)
					    : one->message.bytes);
	else
		put_bytes(one, imap_section_bytes(sec, one->message.bytes,
				       root_of(one), one->x->a));
}

/* ---- BINARY, RFC 3516 ---- */

static const struct mime_part *binary_part(
	struct one *one, const struct imap_section *sec)
{
	return mime_part_at(root_of(one), sec->path, sec->n_path);
}

static bool encoding_known(const struct mime_part *part)
{
	static const char *const known[] = {
		"7bit", "8bit", "binary", "base64", "quoted-printable"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eqc(part->encoding, known[i]))
			return true;
	return false;
}

static void decode(
	struct one *one, const struct imap_section *sec, struct buf *b)
{
	const struct mime_part *part = binary_part(one, sec);

	if (sec->n_path == 0)
		buf_put(b, one->message.bytes);
	else if (part != NULL && part->child == NULL)
		mime_decode_body(part, b);
	else if (part != NULL)
		buf_put(b, part->body);
}

static void put_binary(struct one *one, const struct fetch_item *it)
{
	struct imap *s = one->x->s;
	struct buf b CLEANUP(buf_fini);
	struct str bytes;

	buf_init(&b, DECODED_MAX);
	decode(one, &it->section, &b);
	if (it->kind == I_BINARY_SIZE) {
		stream_putf(s->stream, "BINARY.SIZE%.*s %zu",
			STR_ARG(it->section.as), b.len);
		return;
	}
	bytes = buf_str(&b);
	stream_putf(s->stream, "BINARY%.*s", STR_ARG(it->section.as));
	if (it->section.partial) {
		stream_putf(s->stream, "<%u>", it->section.start);
		bytes = str_sub(bytes, it->section.start, it->section.length);
	}
	stream_puts(s->stream, " ");
	if (bytes.len > 0 && str_find(bytes, '\0') >= 0) {
		stream_putf(s->stream, "~{%zu}\r\n", bytes.len);
		stream_put(s->stream, bytes);
	} else {
		put_bytes(one, bytes);
	}
}

/* ---- items ---- */

typedef void put_f(struct one *one, const struct fetch_item *it);

static void put_flags(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "FLAGS ");
	view_put_flags(one->p->flags, one->p->keywords, one->out);
}

static void put_uid(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "UID ");
	buf_put_u64(one->out, one->p->uid);
}

static void put_internaldate(
	struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "INTERNALDATE \"");
	imap_date_put(one->p->received, one->out);
	buf_putc(one->out, '"');
}

static void put_size(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "RFC822.SIZE ");
	buf_put_u64(one->out, one->p->size);
}

static void put_modseq(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "MODSEQ (");
	buf_put_u64(one->out, one->p->modseq);
	buf_putc(one->out, ')');
}

static void put_savedate(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "SAVEDATE \"");
	imap_date_put(one->message.saved, one->out);
	buf_putc(one->out, '"');
}

static void put_emailid(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_putf(one->out, "EMAILID (E%llx)", (unsigned long long)one->p->blob);
}

static void put_threadid(struct one *one, const struct fetch_item *it UNUSED)
{
	if (one->summary.thread != 0)
		buf_putf(one->out, "THREADID (T%llx)",
			(unsigned long long)one->summary.thread);
	else
		buf_puts(one->out, "THREADID NIL");
}

static void put_preview(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "PREVIEW ");
	if (one->x->s->utf8)
		imap_put_utf8(one->summary.preview, one->out);
	else
		imap_put_string(one->summary.preview, one->out);
}

static void put_envelope(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "ENVELOPE ");
	buf_put(one->out, one->summary.envelope);
}

static void put_structure(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "BODYSTRUCTURE ");
	buf_put(one->out, one->summary.structure);
}

static void put_body(struct one *one, const struct fetch_item *it UNUSED)
{
	buf_puts(one->out, "BODY ");
	imap_put_bodystructure(root_of(one), false, one->x->a, one->out);
}

static void put_rfc822(struct one *one, const struct fetch_item *it)
{
	struct str head, body, all = one->message.bytes;

	mail_split_blank(all, &head, &body);
	if (it->kind == I_RFC822_HEADER) {
		buf_puts(one->out, "RFC822.HEADER ");
		put_bytes(one, str_sub(all, 0, all.len - body.len));
	} else if (it->kind == I_RFC822_TEXT) {
		buf_puts(one->out, "RFC822.TEXT ");
		put_bytes(one, body);
	} else {
		buf_puts(one->out, "RFC822 ");
		put_bytes(one, all);
	}
}

static void put_section_item(struct one *one, const struct fetch_item *it)
{
	put_section(one, &it->section);
}

/* One item, one row. */
static put_f *const puts_of[] = {
	[I_FLAGS] = put_flags,
	[I_UID] = put_uid,
	[I_INTERNALDATE] = put_internaldate,
	[I_SIZE] = put_size,
	[I_MODSEQ] = put_modseq,
	[I_SAVEDATE] = put_savedate,
	[I_EMAILID] = put_emailid,
	[I_THREADID] = put_threadid,
	[I_PREVIEW] = put_preview,
	[I_ENVELOPE] = put_envelope,
	[I_STRUCTURE] = put_structure,
	[I_BODY] = put_body,
	[I_RFC822] = put_rfc822,
	[I_RFC822_HEADER] = put_rfc822,
	[I_RFC822_TEXT] = put_rfc822,
	[I_SECTION] = put_section_item,
	[I_BINARY] = put_binary,
	[I_BINARY_SIZE] = put_binary,
};

/* ---- one message ---- */

static enum fetch_kind highest(const struct fetch *x)
{
	enum fetch_kind kind = I_FLAGS;

	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].kind > kind)
			kind = x->items[i].kind;
	return kind;
}

static bool needs_summary(const struct fetch *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].kind >= I_THREADID &&
			x->items[i].kind <= I_STRUCTURE)
			return true;
	return false;
}

static bool get(struct one *one, unsigned parts, struct fault *f)
{
	struct imap *s = one->x->s;

	return store_message(s->sv->m->store, s->view.box->account,
		s->view.box->mailbox, one->p->uid, parts, &one->message, f);
}

/* Do those that need bytes need the header alone? */
static bool is_of_header(const struct fetch *x)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct imap_section *sec = &x->items[i].section;
		bool header = sec->n_path == 0 &&
			      (sec->what == SECTION_HEADER ||
				      sec->what == SECTION_FIELDS ||
				      sec->what == SECTION_FIELDS_NOT);

		if (x->items[i].kind >= I_BODY &&
			x->items[i].kind != I_RFC822_HEADER &&
			(x->items[i].kind != I_SECTION || !header))
			return false;
	}
	return true;
}

unsigned fetch_parts(const struct fetch *x)
{
	enum fetch_kind kind = highest(x);

	if (kind <= I_MODSEQ)
		return 0;
	if (kind < I_BODY)
		return STORE_CACHE;
	return STORE_CACHE | (is_of_header(x) ? STORE_HEAD : STORE_BYTES);
}

static bool load_ahead(struct one *one, unsigned parts)
{
	const struct prefetch *ahead = one->x->ahead;
	uint32_t uid = one->p->uid;

	return ahead != NULL &&
	       prefetch_get(
		       ahead, uid, &one->message.saved, &one->message.cache) &&
	       ((parts & STORE_HEAD) == 0 ||
		       prefetch_head(ahead, uid, &one->message.bytes)) &&
	       (!needs_summary(one->x) ||
		       summary_read(one->message.cache, &one->summary));
}

/* What was not stored ready-made is made now. */
static enum fetch_result load(struct one *one, struct fault *f)
{
	unsigned parts = fetch_parts(one->x);

	if (parts == 0 || load_ahead(one, parts))
		return FETCH_DONE;
	if (!get(one, parts, f))
		return f->class == FAULT_PERM ? FETCH_MISSING : FETCH_FAILED;
	if (!needs_summary(one->x) ||
		summary_read(one->message.cache, &one->summary))
		return FETCH_DONE;
	if ((parts & STORE_BYTES) == 0) {
		store_message_fini(&one->message);
		if (!get(one, STORE_BYTES, f))
			return f->class == FAULT_PERM ? FETCH_MISSING
						      : FETCH_FAILED;
	}
	struct str made = summary_make(one->message.bytes, one->x->a);
	if (!summary_read(made, &one->summary))
		one->summary = (struct summary){.envelope = STR("NIL"),
			.structure = STR("NIL"),
			.preview = STR("")};
	return FETCH_DONE;
}

static bool decodable(struct one *one)
{
	const struct fetch *x = one->x;

	for (size_t i = 0; i < x->n; i++) {
		const struct mime_part *part;

		if (x->items[i].kind != I_BINARY &&
			x->items[i].kind != I_BINARY_SIZE)
			continue;
		part = binary_part(one, &x->items[i].section);
		if (part != NULL && !encoding_known(part))
			return false;
	}
	return true;
}

enum fetch_result fetch_put(
	struct fetch *x, const struct pick *p, bool seen_now, struct fault *f)
{
	struct imap *s = x->s;
	struct one one = {.x = x, .p = p};
	enum fetch_result r = load(&one, f);

	if (r != FETCH_DONE)
		return r;
	if (!decodable(&one)) {
		store_message_fini(&one.message);
		return FETCH_UNKNOWN_CTE;
	}
	one.out = stream_out(s->stream);
	imap_put_fetch(s, p->seq, p->uid, one.out);
	bool first = true;
	if (s->uid && !s->uidonly && !fetch_wants(x, I_UID)) {
		put_uid(&one, NULL);
		first = false;
	}
	for (size_t i = 0; i < x->n; i++) {
		if (x->items[i].kind == I_UID && s->uidonly)
			continue; /* it stands in front: RFC 9586 3.2 */
		if (!first)
			buf_putc(one.out, ' ');
		first = false;
		puts_of[x->items[i].kind](&one, &x->items[i]);
		one.out = stream_out(s->stream);
	}
	/* \Seen came by reading: the client is told. */
	if (seen_now && !fetch_wants(x, I_FLAGS)) {
		buf_putc(one.out, ' ');
		put_flags(&one, NULL);
		if (s->condstore && !fetch_wants(x, I_MODSEQ)) {
			buf_putc(one.out, ' ');
			put_modseq(&one, NULL);
		}
	}
	buf_puts(one.out, ")\r\n");
	store_message_fini(&one.message);
	return FETCH_DONE;
}
