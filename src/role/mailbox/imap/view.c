/* SPDX-License-Identifier: ISC */
/* The view of a selected mailbox, and how it follows the store. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/mailbox/imap/imap.h"

static const struct {
	const char *name;
	uint32_t flag;
} system_flags[] = {{"\\Seen", FLAG_SEEN}, {"\\Answered", FLAG_ANSWERED},
	{"\\Flagged", FLAG_FLAGGED}, {"\\Deleted", FLAG_DELETED},
	{"\\Draft", FLAG_DRAFT}};

bool imap_flags_parse(const struct strs *words, struct arena *a,
	uint32_t *flags_r, struct strs *keywords_r)
{
	*flags_r = 0;
	*keywords_r = (struct strs){0};
	for (size_t i = 0; i < words->n; i++) {
		size_t j = 0;

		while (j < ARRAY_LEN(system_flags) &&
			!str_ieqc(words->v[i], system_flags[j].name))
			j++;
		if (j < ARRAY_LEN(system_flags))
			*flags_r |= system_flags[j].flag;
		else if (str_ieqc(words->v[i], "\\Recent"))
			continue; /* the server's own: ignored */
		else if (str_starts(words->v[i], "\\") || words->v[i].len > 100)
			return false;
		else if (!strs_has(keywords_r, words->v[i]))
			strs_add(keywords_r, a, words->v[i]);
	}
	return true;
}

void view_put_flags(const struct view_row *row, struct buf *out)
{
	bool any = false;

	buf_putc(out, '(');
	for (size_t i = 0; i < ARRAY_LEN(system_flags); i++)
		if ((row->flags & system_flags[i].flag) != 0) {
			buf_putf(out, "%s%s", any ? " " : "",
				system_flags[i].name);
			any = true;
		}
	if (row->keywords != NULL)
		buf_putf(out, "%s%s", any ? " " : "", row->keywords);
	buf_putc(out, ')');
}

long view_find(const struct view *v, uint32_t uid)
{
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (v->rows[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->n && v->rows[low].uid == uid ? (long)low : -1;
}

bool view_pick(struct imap *s, const struct imap_set *set, size_t **index_r,
	size_t *n_r)
{
	const struct view *v = &s->view;
	uint32_t max = v->n == 0 ? 0
		       : s->uid  ? v->rows[v->n - 1].uid
				 : (uint32_t)v->n;
	size_t *index = arena_alloc(s->cmd_a, (v->n + 1) * sizeof(*index));
	size_t n = 0;

	for (size_t i = 0; i < set->n && !s->uid; i++) {
		/* RFC 3501 9: a number beyond the mailbox is an error */
		const struct imap_range *r = &set->v[i];

		if ((r->first != IMAP_STAR && r->first > v->n) ||
			(r->last != IMAP_STAR && r->last > v->n) || v->n == 0)
			return false;
	}
	for (size_t i = 0; i < v->n; i++)
		if (imap_set_has(set,
			    s->uid ? v->rows[i].uid : (uint32_t)(i + 1), max))
			index[n++] = i;
	*index_r = index;
	*n_r = n;
	return true;
}

/* ---- following the store ---- */

struct sync {
	struct imap *s;
	bool expunges;
	bool grew;
	uint64_t modseq;
};

static char *join(const struct strs *words)
{
	size_t len = 0;

	for (size_t i = 0; i < words->n; i++)
		len += words->v[i].len + 1;
	if (len == 0)
		return NULL;
	char *out = must_alloc(len + 1);
	char *at = out;
	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			*at++ = ' ';
		memcpy(at, words->v[i].ptr, words->v[i].len);
		at += words->v[i].len;
	}
	return out;
}

static void append_row(struct view *v, const struct store_row *row)
{
	if (v->n == v->cap) {
		v->cap = v->cap > 0 ? v->cap * 2 : 64;
		v->rows = must_realloc(v->rows, v->cap * sizeof(*v->rows));
	}
	v->rows[v->n++] = (struct view_row){.uid = row->uid,
		.flags = row->flags,
		.size = row->size,
		.received = row->received,
		.keywords = join(&row->keywords)};
}

static bool same_words(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void tell_flags(struct imap *s, size_t i)
{
	struct buf *out = stream_out(s->stream);

	buf_putf(out, "* %zu FETCH (UID %u FLAGS ", i + 1, s->view.rows[i].uid);
	view_put_flags(&s->view.rows[i], out);
	buf_puts(out, ")\r\n");
}

static void take_row(const struct store_row *row, void *ctx)
{
	struct sync *x = ctx;
	struct view *v = &x->s->view;
	long i = view_find(v, row->uid);

	if (row->modseq > x->modseq)
		x->modseq = row->modseq;
	if (i < 0) {
		if (v->n == 0 || row->uid > v->rows[v->n - 1].uid) {
			append_row(v, row);
			x->grew = true;
		}
		return;
	}
	struct view_row *r = &v->rows[i];
	char *words = join(&row->keywords);
	bool same = r->flags == row->flags && same_words(words, r->keywords);
	free(r->keywords);
	r->keywords = words;
	r->flags = row->flags;
	if (!same)
		tell_flags(x->s, (size_t)i);
}

static void take_vanished(uint32_t uid, void *ctx)
{
	struct sync *x = ctx;
	struct view *v = &x->s->view;
	long i = view_find(v, uid);

	if (i < 0)
		return;
	free(v->rows[i].keywords);
	memmove(v->rows + i, v->rows + i + 1,
		(v->n - (size_t)i - 1) * sizeof(*v->rows));
	v->n--;
	stream_putf(x->s->stream, "* %ld EXPUNGE\r\n", i + 1);
}

static bool current_modseq(
	struct imap *s, uint64_t *modseq_r, bool *gone_r, struct fault *f)
{
	struct store_mailbox *boxes;
	size_t n;

	*gone_r = true;
	if (!store_mailboxes(
		    s->sv->m->store, s->account, s->cmd_a, &boxes, &n, f))
		return false;
	for (size_t i = 0; i < n; i++)
		if (boxes[i].id == s->view.mailbox) {
			*gone_r = false;
			*modseq_r = boxes[i].modseq;
		}
	return true;
}

bool view_sync(struct imap *s, bool expunges, struct fault *f)
{
	struct view *v = &s->view;
	struct sync x = {.s = s, .expunges = expunges, .modseq = v->modseq};
	uint64_t now = 0;
	bool gone;

	if (!current_modseq(s, &now, &gone, f))
		return false;
	if (gone) {
		stream_puts(s->stream,
			"* BYE the selected mailbox was deleted\r\n");
		s->closing = true;
		return true;
	}
	if (now <= v->modseq)
		return true;
	/* While numbers must stay, what vanished stays in the view, and the
	 * view stays at its modseq: the next sync sees all of it again. */
	if (!expunges)
		return true;
	if (!store_vanished(s->sv->m->store, s->account, v->mailbox, v->modseq,
		    take_vanished, &x, f) ||
		!store_rows(s->sv->m->store, s->account, v->mailbox, v->modseq,
			s->cmd_a, take_row, &x, f))
		return false;
	v->modseq = now > x.modseq ? now : x.modseq;
	if (x.grew)
		imap_untagged(s, "%zu EXISTS", v->n);
	return true;
}

static void load_row(const struct store_row *row, void *ctx)
{
	append_row(&((struct imap *)ctx)->view, row);
}

bool imap_find_mailbox(struct imap *s, struct str name,
	struct store_mailbox *box_r, bool *found_r, struct fault *f)
{
	struct store_mailbox *boxes;
	size_t n;

	*found_r = false;
	if (!store_mailboxes(
		    s->sv->m->store, s->account, s->cmd_a, &boxes, &n, f))
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_eq(boxes[i].name, name)) {
			*box_r = boxes[i];
			*found_r = true;
		}
	return true;
}

bool view_open(struct imap *s, struct str name, bool read_only,
	struct store_mailbox *box_r, struct fault *f)
{
	bool found;

	view_close(s);
	if (!imap_find_mailbox(s, name, box_r, &found, f))
		return false;
	if (!found)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "no mailbox %.*s",
			STR_ARG(name));
	s->view.mailbox = box_r->id;
	s->view.name = str_heap(name);
	s->view.read_only = read_only;
	s->view.uidvalidity = box_r->uidvalidity;
	s->view.modseq = box_r->modseq;
	if (store_rows(s->sv->m->store, s->account, box_r->id, 0, s->cmd_a,
		    load_row, s, f))
		return true;
	view_close(s);
	return false;
}

void view_close(struct imap *s)
{
	for (size_t i = 0; i < s->view.n; i++)
		free(s->view.rows[i].keywords);
	free(s->view.rows);
	free(s->view.name);
	s->view = (struct view){0};
}
