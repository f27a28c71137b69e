/* SPDX-License-Identifier: ISC */
/* What there is to be notified of, at one moment. */
#include <stdlib.h>

#include "base/sorted.h"
#include "role/mailbox/imap/list_names.h"
#include "role/mailbox/imap/notify.h"
#include "store/metadata.h"

void snapshot_free(struct snapshot *p)
{
	arena_free(p->a);
	*p = (struct snapshot){0};
}

unsigned notify_events(const struct imap *s, const struct seen_box *box)
{
	const struct imap_notify *n = s->notify;
	unsigned e = 0;

	for (size_t i = 0; i < n->n_groups; i++)
		if (imap_filter_matches(s, &n->groups[i].filter, box->account,
			    box->name, box->subscribed))
			e |= n->groups[i].events;
	return e;
}

/* ---- annotations ---- */

struct taking {
	struct imap *s;
	struct snapshot *p;
	struct seen_entries *to;
	const struct imap_place *place;
};

/* FNV-1a: a change that it does not see costs a client one hint. */
static uint64_t hash_of(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
	return h;
}

static void take_entry(const struct store_entry *e, void *ctx)
{
	struct taking *x = ctx;
	struct seen_entries *to = x->to;
	struct str name = imap_metadata_name(x->s, x->place, e->name);

	if (!str_present(name))
		return;
	to->v = arena_grown(x->p->a, to->v, to->n, &to->cap, sizeof(*to->v));
	to->v[to->n++] = (struct seen_entry){
		arena_str(x->p->a, name), hash_of(e->value)};
}

static bool take_entries(struct imap *s, struct snapshot *p,
	const struct imap_place *place, struct seen_entries *to,
	struct fault *f)
{
	struct taking x = {s, p, to, place};

	return store_metadata(s->sv->m->store, place->account, place->box.id,
		take_entry, &x, f);
}

/* ---- mailboxes ---- */

static bool take_box(struct imap *s, struct snapshot *p,
	const struct list_names *l, const struct imap_place *place,
	struct fault *f)
{
	const struct store_mailbox *b = &place->box;
	struct seen_box *to = &p->v[p->n++];

	/* A name without a mailbox is the session's own. */
	*to = (struct seen_box){
		.account = b->id != 0 ? place->account : s->account,
		.id = b->id,
		.name = arena_str(p->a, b->name),
		.uidvalidity = b->uidvalidity,
		.uidnext = b->uidnext,
		.n_exists = b->n_exists,
		.n_unseen = b->n_unseen,
		.modseq = b->modseq,
		.subscribed = b->subscribed,
		.children = list_names_has_mailbox(
			l, list_names_below(l, b->name, s->cmd_a), b->name),
		.rights = place->rights};
	return b->id == 0 || (to->rights & RIGHT_READ) == 0 ||
	       (notify_events(s, to) & EVENT_METADATA) == 0 ||
	       take_entries(s, p, place, &to->entries, f);
}

static bool wants_server(const struct imap_notify *n)
{
	for (size_t i = 0; i < n->n_groups; i++)
		if ((n->groups[i].events & EVENT_SERVER_METADATA) != 0)
			return true;
	return false;
}

static int by_id(const void *x, const void *y)
{
	const struct seen_box *a = *(const struct seen_box *const *)x;
	const struct seen_box *b = *(const struct seen_box *const *)y;
	int r = sorted_by_i64(&a->account, &b->account);

	return r != 0 ? r : sorted_by_i64(&a->id, &b->id);
}

static void order(struct snapshot *p)
{
	p->by_id = arena_alloc(p->a, (p->n + 1) * sizeof(*p->by_id));
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].id != 0)
			p->by_id[p->n_ids++] = &p->v[i];
	qsort(p->by_id, p->n_ids, sizeof(*p->by_id), by_id);
}

bool snapshot_take(struct imap *s, struct snapshot *p_r, struct fault *f)
{
	struct imap_place server = {.account = s->account};
	struct snapshot p = {0};
	struct list_names l;

	if (!list_names_read(s, true, &l, f))
		return false;
	p.a = arena_new(SIZE_MAX);
	p.v = arena_alloc(p.a, (l.n + 1) * sizeof(*p.v));
	bool ok = true;
	for (size_t i = 0; ok && i < l.n; i++)
		if (l.v[i].box.id != 0 || l.v[i].box.subscribed)
			ok = take_box(s, &p, &l, &l.v[i], f);
	ok = ok && (!wants_server(s->notify) ||
			   take_entries(s, &p, &server, &p.entries, f));
	order(&p);
	if (ok)
		*p_r = p;
	else
		arena_free(p.a);
	return ok;
}

const struct seen_box *snapshot_find(
	const struct snapshot *p, int64_t account, int64_t id)
{
	const struct seen_box key = {.account = account, .id = id};
	const struct seen_box *wanted = &key;
	const struct seen_box *const *found = sorted_find(
		&wanted, p->by_id, p->n_ids, sizeof(*p->by_id), by_id);

	return found != NULL ? *found : NULL;
}

static int name_of_box(const void *name, const void *box)
{
	return str_cmp(*(const struct str *)name,
		((const struct seen_box *)box)->name);
}

const struct seen_box *snapshot_by_name(
	const struct snapshot *p, struct str name)
{
	return sorted_find(&name, p->v, p->n, sizeof(*p->v), name_of_box);
}
