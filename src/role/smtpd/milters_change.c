/* SPDX-License-Identifier: ISC */
/* What a filter changes in a message and its envelope. */
#include <string.h>
#include <unistd.h>

#include "codec/mail/header.h"
#include "codec/smtp/path.h"
#include "policy/rewrite.h"
#include "role/smtpd/milters.h"
#include "sys/file.h"

enum { FIELDS_MAX = 20000, HEAD_MAX = 8 << 20 };

struct field {
	struct str name;
	struct str whole; /* absent: deleted */
	bool own; /* not seen by filters, not counted */
};

struct draft {
	struct session *s;
	const struct milter *m;
	struct field *v;
	size_t n, cap;
	struct str old_body;
	struct buf body; /* with new_body */
	bool new_body;
	bool changed;
};

/* ---- the header ---- */

static void insert(struct draft *d, size_t at, struct field field)
{
	if (d->n == FIELDS_MAX)
		return;
	if (d->n == d->cap) {
		size_t cap = d->cap > 0 ? d->cap * 2 : 64;
		struct field *v = arena_alloc(d->s->cmd_a, cap * sizeof(*v));

		if (d->n > 0)
			memcpy(v, d->v, d->n * sizeof(*v));
		d->v = v;
		d->cap = cap;
	}
	memmove(&d->v[at + 1], &d->v[at], (d->n - at) * sizeof(*d->v));
	d->v[at] = field;
	d->n++;
}

static void read_head(struct draft *d, struct str head)
{
	struct mail_field field;

	while (mail_field_next(&head, &field))
		insert(d, d->n,
			(struct field){field.name, field.whole,
				d->n == d->s->tx.prepend.n &&
					str_ieqc(field.name, "Received")});
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] >= 127 ||
			name.ptr[i] == ':')
			return false;
	return name.len > 0;
}

/* "Name: value": lines of the value that are no continuation become one. */
static struct str make_field(struct draft *d, struct str name, struct str value)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, HEAD_MAX);
	buf_putf(&b, "%.*s:%s", STR_ARG(name),
		milter_keeps_space(d->m) ? "" : " ");
	value = str_trim_right(value);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '\r' || c == '\0')
			continue;
		if (c != '\n') {
			buf_putc(&b, c);
			continue;
		}
		buf_puts(&b, "\r\n");
		if (i + 1 < value.len && value.ptr[i + 1] != ' ' &&
			value.ptr[i + 1] != '\t')
			buf_putc(&b, '\t');
	}
	buf_puts(&b, "\r\n");
	return arena_str(d->s->cmd_a, buf_str(&b));
}

/* Position of the n-th field that filters see, from 1; 0 is the very top. */
static size_t position(const struct draft *d, uint32_t n)
{
	size_t i = 0;

	if (n == 0)
		return 0;
	for (; i < d->n; i++)
		if (!d->v[i].own && str_present(d->v[i].whole) && --n == 0)
			return i;
	return i;
}

/* milter_header_checks on a field that a filter sets: what is left of it;
 * absent: nothing.  A refusal is none here: the text has been judged. */
static struct str checked(struct draft *d, struct str field)
{
	struct session *s = d->s;
	struct str message = arena_concat(s->cmd_a, field, STR("\r\n"));
	struct content_result r;
	struct buf out CLEANUP(buf_fini);
	size_t at = 0;
	struct fault f;

	if (s->sv->milter_content == NULL)
		return field;
	if (!content_check(s->sv->milter_content, message, s->cmd_a, &r, &f)) {
		log_warn("milter_header_checks", log_fault(&f));
		return field;
	}
	smtpd_log_content(s, &r);
	smtpd_take_content_actions(s, &r);
	buf_init(&out, HEAD_MAX);
	for (const struct content_edit *e = r.edits; e != NULL; e = e->next) {
		buf_put(&out, str_sub(message, at, e->at - at));
		buf_put(&out, e->text);
		at = e->at + e->len;
	}
	if (at < field.len)
		buf_put(&out, str_sub(message, at, field.len - at));
	return out.len > 0 ? arena_str(s->cmd_a, buf_str(&out)) : STR_NONE;
}

static void change_header(struct draft *d, const struct milter_reply *r)
{
	uint32_t n = r->index > 0 ? r->index : 1;
	struct str whole =
		r->value.len > 0 ? checked(d, make_field(d, r->name, r->value))
				 : STR_NONE;

	for (size_t i = 0; i < d->n; i++) {
		struct field *v = &d->v[i];

		if (v->own || !str_present(v->whole) ||
			!str_ieq(v->name, r->name) || --n > 0)
			continue;
		v->whole = whole;
		return;
	}
	if (str_present(whole))
		insert(d, d->n, (struct field){r->name, whole, false});
}

/* ---- the envelope ---- */

static bool read_address(
	struct session *s, struct str text, bool empty, struct str *address_r)
{
	struct smtp_path path;
	struct smtp_bad bad;
	struct str rest = str_trim(text);

	if (!smtp_path_parse(&rest,
		    SMTP_PATH_BARE | SMTP_PATH_UTF8 |
			    (empty ? SMTP_PATH_EMPTY : 0u),
		    &path, &bad)) {
		log_warn("milter: bad address", log_s("address", text));
		return false;
	}
	*address_r = rewrite_trivial(
		s->sv->policy, arena_str(s->tx_a, path.whole), s->tx_a);
	return true;
}

static void add_rcpt(struct session *s, struct str text)
{
	struct recipient r = {0};

	if (!read_address(s, text, false, &r.address))
		return;
	r.original = r.address;
	transaction_add_rcpt(s, r);
}

static void delete_rcpt(struct session *s, struct str text)
{
	struct transaction *tx = &s->tx;
	struct str address;
	size_t left = 0;

	if (!read_address(s, text, false, &address))
		return;
	for (size_t i = 0; i < tx->n_rcpts; i++)
		if (!str_ieq(tx->rcpts[i].address, address) &&
			!str_ieq(tx->rcpts[i].original, address))
			tx->rcpts[left++] = tx->rcpts[i];
	tx->n_rcpts = left;
}

/* ---- all ---- */

static void apply(struct draft *d, const struct milter_reply *r)
{
	struct session *s = d->s;
	struct field field;

	switch (r->kind) {
	case MILTER_SAYS_ADD_HEADER:
	case MILTER_SAYS_INSERT_HEADER:
		if (!is_name(r->name))
			return;
		field = (struct field){r->name,
			checked(d, make_field(d, r->name, r->value)), false};
		insert(d,
			r->kind == MILTER_SAYS_ADD_HEADER
				? d->n
				: position(d, r->index),
			field);
		d->changed = true;
		return;
	case MILTER_SAYS_CHANGE_HEADER:
		if (!is_name(r->name))
			return;
		change_header(d, r);
		d->changed = true;
		return;
	case MILTER_SAYS_REPLACE_BODY:
		buf_put(&d->body, r->text);
		d->new_body = d->changed = true;
		return;
	case MILTER_SAYS_ADD_RCPT:
	case MILTER_SAYS_ADD_RCPT_ARGS:
		add_rcpt(s, r->text);
		return;
	case MILTER_SAYS_DELETE_RCPT:
		delete_rcpt(s, r->text);
		return;
	case MILTER_SAYS_CHANGE_FROM:
		read_address(s, r->text, true, &s->tx.sender);
		return;
	case MILTER_SAYS_QUARANTINE:
		log_info("milter quarantine",
			log_s("milter", milter_def_of(d->m)->endpoint.text),
			log_s("reason", r->text));
		s->tx.hold = true;
		return;
	default:
		return;
	}
}

/* A body may come with other line ends than ours. */
static void put_body(struct draft *d, struct buf *out)
{
	struct str in = buf_str(&d->body);

	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];

		if (c == '\n' && (i == 0 || in.ptr[i - 1] != '\r'))
			buf_putc(out, '\r');
		if (c == '\r' && (i + 1 == in.len || in.ptr[i + 1] != '\n'))
			buf_puts(out, "\r\n");
		else if (c != '\0')
			buf_putc(out, c);
	}
	if (in.len > 0 && !str_ends(in, "\n") && !str_ends(in, "\r"))
		buf_puts(out, "\r\n");
}

static bool write_out(struct draft *d, struct text *text, struct fault *f)
{
	struct buf head CLEANUP(buf_fini);

	buf_init(&head, HEAD_MAX + d->body.len * 2 + 16);
	for (size_t i = 0; i < d->n; i++)
		if (str_present(d->v[i].whole))
			buf_put(&head, d->v[i].whole);
	buf_puts(&head, "\r\n");
	if (d->new_body)
		put_body(d, &head);
	if (buf_over(&head))
		return fault_set(
			f, FAULT_PERM, 552, 3, 4, "message header too large");
	struct strs pieces = {0};
	strs_add(&pieces, d->s->cmd_a, buf_str(&head));
	if (!d->new_body)
		strs_add(&pieces, d->s->cmd_a, d->old_body);
	return spool_replace(d->s, &pieces, text, f);
}

bool milters_change(struct session *s, const struct milter *m,
	const struct milter_change *changes, struct text *text, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct draft d = {.s = s, .m = m};
	struct str head;

	if (!text_map(text, &map, f))
		return false;
	mail_split(map.bytes, &head, &d.old_body);
	read_head(&d, head);
	buf_init(&d.body, (size_t)1 << 30);
	for (; changes != NULL; changes = changes->next)
		apply(&d, &changes->what);
	bool ok = !d.changed || write_out(&d, text, f);
	buf_fini(&d.body);
	return ok;
}
