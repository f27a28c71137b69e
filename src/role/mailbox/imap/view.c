/* SPDX-License-Identifier: ISC */
/* The view of a selected mailbox: what is visible, and walking through it. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/mailbox/imap/context.h"
#include "role/mailbox/imap/place.h"
#include "role/mailbox/imap/view_private.h"

static const struct {
	const char *name;
	uint32_t flag;
} system_flags[] = {{"\\Seen", FLAG_SEEN}, {"\\Answered", FLAG_ANSWERED},
	{"\\Flagged", FLAG_FLAGGED}, {"\\Deleted", FLAG_DELETED},
	{"\\Draft", FLAG_DRAFT}, {"\\Recent", PICK_RECENT}};

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
		/* \Recent is the server's own: ignored. */
		if (j < ARRAY_LEN(system_flags))
			*flags_r |= system_flags[j].flag & FLAG_SYSTEM;
		else if (str_starts(words->v[i], "\\") || words->v[i].len > 100)
			return false;
		else if (!strs_has(keywords_r, words->v[i]))
			strs_add(keywords_r, a, words->v[i]);
	}
	return true;
}

void view_put_flags(uint32_t flags, const char *keywords, struct buf *out)
{
	bool any = false;

	buf_putc(out, '(');
	for (size_t i = 0; i < ARRAY_LEN(system_flags); i++)
		if ((flags & system_flags[i].flag) != 0) {
			if (any)
				buf_putc(out, ' ');
			buf_puts(out, system_flags[i].name);
			any = true;
		}
	if (keywords[0] != '\0') {
		if (any)
			buf_putc(out, ' ');
		buf_puts(out, keywords);
	}
	buf_putc(out, ')');
}

/* ---- what is visible ---- */

uint64_t view_told(const struct view *v)
{
	return v->user.expunged;
}

/* Was the client told of the end of this row? */
bool view_told_gone(const struct view *v, const struct box_row *row)
{
	return (row->flags & ROW_GONE) != 0 &&
	       box_gone_at(v->box, row->uid) <= view_told(v);
}

/* Rows before position pos that the client knows as gone. */
size_t view_told_before(const struct view *v, size_t pos)
{
	const struct box *box = v->box;
	uint32_t uid = pos < box->n ? box->rows[pos].uid : UINT32_MAX;
	size_t n = 0;

	/* Most of the time it was told of all, else of none. */
	if (box->gone_newest <= view_told(v))
		return box_gone_below(box, uid);
	if (box->gone_oldest > view_told(v))
		return 0;
	for (size_t i = 0; i < box->n_gone && box->gone[i].uid < uid; i++)
		n += box->gone[i].modseq <= view_told(v);
	return n;
}

/* Where message seq (from 1) stands: the first row up to which there are so
 * many that the client knows. */
static size_t position_of(const struct view *v, uint32_t seq)
{
	const struct box *box = v->box;
	size_t low = seq - 1, high = box->n;

	if (high > low + box->n_gone)
		high = low + box->n_gone;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (mid + 1 - view_told_before(v, mid + 1) >= seq)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct pick view_pick_of(
	const struct view *v, const struct box_row *row, uint32_t seq)
{
	return (struct pick){.seq = seq,
		.uid = row->uid,
		.flags = row->flags |
			 (recent_has(&v->recent, row->uid) ? PICK_RECENT : 0),
		.size = row->size,
		.received = row->received,
		.modseq = row->modseq,
		.blob = row->blob,
		.stamp = row->stamp,
		.keywords = v->box->words[row->keywords]};
}

bool view_pick(struct imap *s, uint32_t uid, struct pick *pick_r)
{
	struct view *v = &s->view;
	struct box *box = v->box;

	pthread_rwlock_rdlock(&box->lock);
	size_t pos = box_lower(box, uid);
	bool found = uid <= v->max_uid && pos < box->n &&
		     box->rows[pos].uid == uid &&
		     !view_told_gone(v, &box->rows[pos]);
	if (found)
		*pick_r = view_pick_of(v, &box->rows[pos],
			(uint32_t)(pos - view_told_before(v, pos) + 1));
	pthread_rwlock_unlock(&box->lock);
	return found;
}

/* ---- walking ---- */

static void normalize(
	struct view_walk *w, const struct imap_set *set, uint32_t max)
{
	struct imap_set copy = {.n = set->n};

	copy.v = arena_alloc(w->s->cmd_a, (set->n + 1) * sizeof(*copy.v));
	if (set->n > 0)
		memcpy(copy.v, set->v, set->n * sizeof(*copy.v));
	imap_set_settle(&copy, max);
	w->ranges = copy.v;
	w->n_ranges = copy.n;
}

/* The highest UID that is left, for "*". */
static uint32_t last_uid(const struct view *v)
{
	const struct box *box = v->box;
	size_t pos = v->max_uid < UINT32_MAX ? box_lower(box, v->max_uid + 1)
					     : box->n;

	while (pos > 0 && view_told_gone(v, &box->rows[pos - 1]))
		pos--;
	return pos > 0 ? box->rows[pos - 1].uid : 0;
}

uint32_t view_last_uid(struct imap *s)
{
	pthread_rwlock_rdlock(&s->view.box->lock);
	uint32_t uid = last_uid(&s->view);
	pthread_rwlock_unlock(&s->view.box->lock);
	return uid;
}

bool view_walk(struct imap *s, const struct imap_set *set, bool by_uid,
	struct view_walk **w_r)
{
	struct view_walk *w = arena_make(s->cmd_a, struct view_walk);
	struct view *v = &s->view;
	uint32_t max;

	w->s = s;
	w->by_uid = by_uid;
	*w_r = w;
	for (size_t i = 0; i < set->n && !by_uid; i++) {
		const struct imap_range *r = &set->v[i];

		if ((r->first != IMAP_STAR && r->first > v->n) ||
			(r->last != IMAP_STAR && r->last > v->n) || v->n == 0)
			return false;
	}
	pthread_rwlock_rdlock(&v->box->lock);
	max = by_uid ? last_uid(v) : (uint32_t)v->n;
	pthread_rwlock_unlock(&v->box->lock);
	normalize(w, set, max);
	return true;
}

void view_walk_all(struct imap *s, struct view_walk **w_r)
{
	struct imap_range all = {1, UINT32_MAX - 1};
	struct imap_set set = {&all, 1};

	view_walk(s, &set, true, w_r);
}

/* Position and number of the first row of a range, or of where it goes on. */
static void enter(struct view_walk *w, size_t *pos_r, uint32_t *seq_r)
{
	struct view *v = &w->s->view;
	const struct imap_range *r = &w->ranges[w->range];

	if (w->inside) {
		*pos_r = box_lower(v->box, w->uid);
		*seq_r = w->seq;
	} else if (w->by_uid) {
		*pos_r = box_lower(v->box, r->first);
		*seq_r = (uint32_t)(*pos_r - view_told_before(v, *pos_r) + 1);
	} else {
		*pos_r = position_of(v, r->first);
		*seq_r = r->first;
	}
}

/* Fills the chunk from one range; false at the end of the range. */
static bool fill_from_range(struct view_walk *w)
{
	struct view *v = &w->s->view;
	const struct box *box = v->box;
	const struct imap_range *r = &w->ranges[w->range];
	size_t pos;
	uint32_t seq;

	for (enter(w, &pos, &seq); w->n < WALK_CHUNK; pos++) {
		const struct box_row *row = &box->rows[pos];

		if (pos >= box->n || row->uid > v->max_uid ||
			(w->by_uid ? row->uid : seq) > r->last)
			return false;
		if (view_told_gone(v, row))
			continue;
		w->chunk[w->n++] = view_pick_of(v, row, seq++);
		w->inside = true;
		w->uid = row->uid + 1;
		w->seq = seq;
	}
	return true;
}

const struct pick *view_next(struct view_walk *w)
{
	struct box *box = w->s->view.box;

	if (w->at < w->n)
		return &w->chunk[w->at++];
	w->n = w->at = 0;
	pthread_rwlock_rdlock(&box->lock);
	while (w->n < WALK_CHUNK && w->range < w->n_ranges)
		if (!fill_from_range(w)) {
			w->range++;
			w->inside = false;
		}
	pthread_rwlock_unlock(&box->lock);
	return w->n > 0 ? &w->chunk[w->at++] : NULL;
}

bool view_at_chunk(const struct view_walk *w)
{
	return w->at == 1;
}

uint32_t *view_uids(struct view_walk *w, size_t *n_r)
{
	uint32_t *uids = NULL;
	size_t cap = 0, n = 0;
	const struct pick *p;

	while ((p = view_next(w)) != NULL) {
		uids = arena_grown(w->s->cmd_a, uids, n, &cap, sizeof(*uids));
		uids[n++] = p->uid;
	}
	*n_r = n;
	return uids;
}

/* ---- open and close ---- */

bool view_open(struct imap *s, struct imap_place *p, bool read_only,
	bool *found_r, struct fault *f)
{
	struct view *v = &s->view;
	struct store_mailbox *box = &p->box;
	struct str name = box->name;

	unsigned also =
		s->rev2 || s->uidonly || s->aside ? 0 : STORE_FIRST_UNSEEN;

	view_close(s);
	/* The hold first, then the look: what ends in between is kept. */
	v->user.expunged = box->modseq;
	v->box = boxes_get(s->sv->m->boxes, p->account, box->id, &v->user);
	v->name = str_heap(name);
	v->read_only = read_only;
	v->rights = p->rights;
	v->anyone = p->anyone;
	*found_r = store_mailbox(s->sv->m->store, p->account,
		(struct store_which){.id = box->id, .also = also}, box, f);
	if (!*found_r) {
		view_close(s);
		return f->class == FAULT_PERM;
	}
	box->name = name;
	v->uidvalidity = box->uidvalidity;
	v->modseq = box->modseq;
	v->max_uid = box->uidnext - 1;
	v->n = box->n_exists;
	if (!recent_open(s, box, f)) {
		view_close(s);
		return false;
	}
	__atomic_store_n(&v->user.expunged, box->modseq, __ATOMIC_RELAXED);
	return true;
}

void view_close(struct imap *s)
{
	struct view *v = &s->view;

	contexts_end(s);
	if (v->box != NULL) {
		recent_close(s);
		boxes_put(s->sv->m->boxes, v->box, &v->user);
	}
	free(v->name);
	*v = (struct view){0};
}
