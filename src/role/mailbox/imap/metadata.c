/* SPDX-License-Identifier: ISC */
/* GETMETADATA, SETMETADATA: RFC 5464; LIST RETURN (METADATA ...): RFC 9590 */
#include "store/metadata.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

enum { VALUE_MAX = 60000, ENTRIES_MAX = 100, NAME_MAX_BYTES = 256 };

struct getting {
	struct strs names; /* lower case */
	uint64_t max_size;
	unsigned depth; /* 0, 1, or UINT_MAX: infinity */
	uint64_t longest; /* of what was beyond max_size; 0: none */
	struct imap *s;
	const struct imap_place *place;
	struct buf *out;
	bool any;
};

/* What GETMETADATA may ask for with a DEPTH, and nobody can set. */
static bool is_root(struct str name)
{
	return str_eqc(name, "/private") || str_eqc(name, "/shared");
}

/* RFC 5464 4.1: /private/... or /shared/..., lower case is the store's */
static bool entry_name(struct imap_in *in, struct str *name_r)
{
	struct str raw;

	if (!imap_astring(in, &raw) || raw.len > NAME_MAX_BYTES)
		return false;
	*name_r = arena_lower(in->a, raw);
	for (size_t i = 0; i < raw.len; i++)
		if (raw.ptr[i] <= 0x20 || raw.ptr[i] >= 0x7f ||
			raw.ptr[i] == '*' || raw.ptr[i] == '%')
			return false;
	return (is_root(*name_r) || str_starts(*name_r, "/private/") ||
		       str_starts(*name_r, "/shared/")) &&
	       !str_ends(*name_r, "/") && str_isearch(raw, STR("//")) < 0;
}

bool imap_metadata_names(struct imap_in *in, struct strs *names)
{
	struct str name;

	if (!imap_char(in, '(')) {
		if (!entry_name(in, &name))
			return false;
		strs_add(names, in->a, name);
		return true;
	}
	do {
		if (names->n == ENTRIES_MAX || !entry_name(in, &name))
			return false;
		strs_add(names, in->a, name);
	} while (imap_space(in));
	return imap_char(in, ')');
}

/* Private entries of each who sees the mailbox stand beside each other. */
static struct str private_prefix(
	const struct imap *s, const struct imap_place *p)
{
	return p->account == s->account
		       ? STR("/private/")
		       : arena_printf(s->cmd_a, "/private.%lld/",
				 (long long)s->account);
}

static struct str stored_name(
	const struct imap *s, const struct imap_place *p, struct str name)
{
	return str_starts(name, "/private/")
		       ? arena_concat(s->cmd_a, private_prefix(s, p),
				 str_from_at(name, sizeof("/private/") - 1))
		       : name;
}

struct str imap_metadata_name(
	struct imap *s, const struct imap_place *p, struct str name)
{
	struct str own = private_prefix(s, p);

	if (str_starts(name, "/shared/"))
		return name;
	if (!str_eq(str_sub(name, 0, own.len), own))
		return STR_NONE; /* private to somebody else */
	return arena_concat(
		s->cmd_a, STR("/private/"), str_from_at(name, own.len));
}

/* Is entry the wanted one, or below it as deep as was asked? */
static bool is_wanted(const struct getting *g, struct str entry)
{
	for (size_t i = 0; i < g->names.n; i++) {
		struct str want = g->names.v[i];
		struct str tail = str_from_at(entry, want.len);

		if (!str_eq(str_sub(entry, 0, want.len), want))
			continue;
		if (tail.len == 0)
			return true;
		if (tail.ptr[0] != '/' || g->depth == 0)
			continue;
		if (g->depth > 1 || str_find(str_from_at(tail, 1), '/') < 0)
			return true;
	}
	return false;
}

static void put_entry(const struct store_entry *e, void *ctx)
{
	struct getting *g = ctx;
	struct str name = imap_metadata_name(g->s, g->place, e->name);

	if (!str_present(name) || !is_wanted(g, name))
		return;
	if (e->value.len > g->max_size) {
		if (e->value.len > g->longest)
			g->longest = e->value.len;
		return;
	}
	buf_putc(g->out, g->any ? ' ' : '(');
	g->any = true;
	buf_put(g->out, name);
	buf_putc(g->out, ' ');
	if (str_find(e->value, '\0') >= 0) {
		buf_putf(g->out, "~{%zu}\r\n", e->value.len);
		buf_put(g->out, e->value);
	} else {
		imap_put_string(e->value, g->out);
	}
}

/* "* METADATA box (entry value ...)", where there is something. */
static bool put_metadata(struct getting *g, struct str name,
	const struct imap_place *p, struct fault *f)
{
	struct imap *s = g->s;
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, ENTRIES_MAX * (VALUE_MAX + 1024));
	g->out = &out;
	g->place = p;
	if (!store_metadata(
		    s->sv->m->store, p->account, p->box.id, put_entry, g, f))
		return false;
	if (!g->any)
		return true;
	struct buf *line = stream_out(s->stream);
	buf_puts(line, "* METADATA ");
	imap_put_name(s, name, line);
	buf_putc(line, ' ');
	stream_put(s->stream, buf_str(&out));
	stream_puts(s->stream, ")\r\n");
	return true;
}

void imap_list_metadata(
	struct imap *s, const struct imap_place *p, const struct strs *names)
{
	struct getting g = {.s = s, .names = *names, .max_size = UINT64_MAX};
	struct fault f;

	if (!put_metadata(&g, p->box.name, p, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
}

/* The mailbox of the command; "" is the server. False: answered. */
static bool find_place(
	struct imap *s, struct str name, unsigned need, struct imap_place *p)
{
	if (name.len > 0)
		return imap_find(s, name, need, p);
	*p = (struct imap_place){.account = s->account, .owner = s->login};
	return true;
}

static bool parse_option(struct imap_in *in, struct getting *g)
{
	if (imap_word(in, "MAXSIZE"))
		return imap_space(in) && imap_number64(in, &g->max_size);
	if (!imap_word(in, "DEPTH") || !imap_space(in))
		return false;
	if (imap_word(in, "INFINITY"))
		g->depth = UINT32_MAX;
	else if (imap_word(in, "1"))
		g->depth = 1;
	else if (!imap_word(in, "0"))
		return false;
	return true;
}

static bool parse_options(struct imap_in *in, struct getting *g)
{
	if (!imap_char(in, '('))
		return true;
	do {
		if (!parse_option(in, g))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')') && imap_space(in);
}

void imap_getmetadata(struct imap *s, struct imap_in *in)
{
	struct getting g = {.s = s, .max_size = UINT64_MAX};
	struct imap_place p;
	struct str name;
	struct fault f;

	if (!parse_options(in, &g) || !imap_mailbox(in, &name) ||
		!imap_space(in) || !imap_metadata_names(in, &g.names) ||
		!imap_end(in)) {
		imap_bad(s, "GETMETADATA needs a mailbox and entries");
		return;
	}
	if (!find_place(s, name, RIGHT_LOOKUP | RIGHT_READ, &p))
		return;
	if (!put_metadata(&g, name, &p, &f))
		imap_fault(s, &f);
	else if (g.longest > 0)
		imap_ok(s, "[METADATA LONGENTRIES %llu] Some are longer",
			(unsigned long long)g.longest);
	else
		imap_ok(s, "Getmetadata completed");
}

static bool parse_value(struct imap_in *in, struct str *value_r)
{
	bool binary;

	*value_r = STR_NONE;
	return imap_word(in, "NIL") || imap_literal8(in, value_r, &binary) ||
	       imap_string(in, value_r);
}

static bool parse_entries(struct imap_in *in, struct store_entry *v, size_t *n)
{
	*n = 0;
	if (!imap_char(in, '('))
		return false;
	do {
		struct store_entry *e = &v[*n];

		if (*n == ENTRIES_MAX || !entry_name(in, &e->name) ||
			is_root(e->name) || !imap_space(in) ||
			!parse_value(in, &e->value))
			return false;
		++*n;
	} while (imap_space(in));
	return imap_char(in, ')');
}

/* RFC 5464 3.3: what all see needs the right to write. */
static unsigned needed_to_set(const struct store_entry *v, size_t n)
{
	unsigned rights = RIGHT_LOOKUP | RIGHT_READ;

	for (size_t i = 0; i < n; i++)
		if (str_starts(v[i].name, "/shared/"))
			rights |= RIGHT_WRITE;
	return rights;
}

void imap_setmetadata(struct imap *s, struct imap_in *in)
{
	struct store_entry *v = arena_alloc(s->cmd_a, ENTRIES_MAX * sizeof(*v));
	struct imap_place p;
	struct str name;
	size_t n;
	struct fault f;

	if (!imap_mailbox(in, &name) || !imap_space(in) ||
		!parse_entries(in, v, &n) || !imap_end(in)) {
		imap_bad(s, "SETMETADATA needs a mailbox and (entry value)");
		return;
	}
	if (!find_place(s, name, needed_to_set(v, n), &p))
		return;
	for (size_t i = 0; i < n; i++)
		v[i].name = stored_name(s, &p, v[i].name);
	for (size_t i = 0; i < n; i++)
		if (v[i].value.len > VALUE_MAX) {
			imap_no(s, "[METADATA MAXSIZE %d] too long", VALUE_MAX);
			return;
		}
	bool ok = store_metadata_set(
		s->sv->m->store, p.account, p.box.id, v, n, &f);
	if (ok) {
		imap_own_name(s, name);
		imap_ring(s, p.account);
	}
	if (ok)
		imap_ok(s, "Setmetadata completed");
	else if (f.class == FAULT_PERM)
		imap_no(s, "[METADATA TOOMANY] %s", f.text);
	else
		imap_fault(s, &f);
}
