/* SPDX-License-Identifier: ISC */
#include "store/mem/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "base/sorted.h"
#include "sys/clock.h"

struct str mem_str(struct str s)
{
	return str_present(s) ? str_of(str_heap(s), s.len) : STR_NONE;
}

void mem_str_free(struct str s)
{
	char *bytes;

	memcpy(&bytes, &s.ptr, sizeof(bytes)); /* we made it */
	free(bytes);
}

/* ---- the store ---- */

struct store *store_open(
	const char *dir, const struct store_settings *settings, struct fault *f)
{
	/* Nobody else has what is in our memory. */
	if (settings->only_read) {
		fault_set(f, FAULT_PERM, 0, 0, 2, "no store in %s", dir);
		return NULL;
	}
	struct store *s = must_alloc(sizeof(*s));
	s->settings = *settings;
	pthread_mutex_init(&s->lock, NULL);
	s->accounts = map_new();
	return s;
}

static void free_account(struct str key UNUSED, void *value, void *ctx UNUSED)
{
	struct mem_account *a = value;

	a->readings = 0;
	mem_settle(a);
	for (size_t i = 0; i < a->n; i++)
		mem_free_box(a->boxes[i]);
	free(a->boxes);
	mem_entries_free(&a->subscriptions);
	mem_entries_free(&a->sharers);
	mem_entries_free(&a->metadata);
	map_free(a->deliveries, NULL);
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	map_each(s->accounts, free_account, NULL);
	map_free(s->accounts, free);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- an account ---- */

uint32_t mem_next_validity(struct mem_account *a)
{
	uint32_t now = (uint32_t)clock_unix();

	a->validity = a->validity + 1 > now ? a->validity + 1 : now;
	return a->validity;
}

static void give_birth(struct mem_account *a)
{
	a->modseq = 1;
	for (size_t i = 0; i < STORE_BORN; i++) {
		const struct mem_entry e = {
			.name = str_from(store_born[i].name)};

		mem_make_box(a, e.name, store_born[i].role);
		mem_entry_set(&a->subscriptions, &e);
	}
}

struct mem_account *mem_enter(struct store *s, int64_t id, bool born)
{
	pthread_mutex_lock(&s->lock);
	struct str key = str_of((const char *)&id, sizeof(id));
	struct mem_account *a = map_get(s->accounts, key);

	if (a == NULL) {
		a = must_alloc(sizeof(*a));
		a->id = id;
		a->deliveries = map_new();
		map_set(s->accounts, key, a);
	}
	if (born && a->modseq == 0)
		give_birth(a);
	return a;
}

void mem_leave(struct store *s)
{
	pthread_mutex_unlock(&s->lock);
}

/* ---- its mailboxes ---- */

static size_t place_of(const struct mem_account *a, struct str name)
{
	size_t i = 0;

	while (i < a->n && str_cmp(a->boxes[i]->m.name, name) < 0)
		i++;
	return i;
}

struct mem_box *mem_named(const struct mem_account *a, struct str name)
{
	size_t i = place_of(a, name);

	return i < a->n && str_eq(a->boxes[i]->m.name, name) ? a->boxes[i]
							     : NULL;
}

struct mem_box *mem_box(const struct mem_account *a, int64_t id)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->boxes[i]->m.id == id)
			return a->boxes[i];
	return NULL;
}

void mem_put_in(struct mem_account *a, struct mem_box *b)
{
	size_t i = place_of(a, b->m.name);

	if (a->n == a->cap) {
		a->cap = a->cap * 2 + 8;
		a->boxes = must_realloc(a->boxes, a->cap * sizeof(*a->boxes));
	}
	memmove(a->boxes + i + 1, a->boxes + i, (a->n - i) * sizeof(*a->boxes));
	a->boxes[i] = b;
	a->n++;
}

struct mem_box *mem_make_box(
	struct mem_account *a, struct str name, enum store_role role)
{
	struct mem_box *b = must_alloc(sizeof(*b));

	b->m = (struct store_mailbox){.id = ++a->last_box,
		.name = mem_str(name),
		.role = role,
		.uidvalidity = mem_next_validity(a),
		.uidnext = 1,
		.modseq = ++a->modseq,
		.told_below = 1};
	mem_put_in(a, b);
	return b;
}

void mem_take_out(struct mem_account *a, const struct mem_box *b)
{
	size_t i = 0;

	while (a->boxes[i] != b)
		i++;
	a->n--;
	memmove(a->boxes + i, a->boxes + i + 1, (a->n - i) * sizeof(*a->boxes));
}

void mem_free_box(struct mem_box *b)
{
	for (size_t i = 0; i < b->n; i++)
		mem_free_row(&b->rows[i]);
	mem_entries_free(&b->metadata);
	mem_entries_free(&b->acl);
	mem_str_free(b->m.name);
	free(b->rows);
	free(b->gone);
	free(b);
}

/* ---- rows ---- */

static int by_uid(const void *key, const void *item)
{
	uint32_t a = *(const uint32_t *)key;
	uint32_t b = ((const struct mem_row *)item)->uid;

	return (a > b) - (a < b);
}

size_t mem_row_from(const struct mem_box *b, uint32_t uid)
{
	return sorted_lower(&uid, b->rows, b->n, sizeof(*b->rows), by_uid);
}

struct mem_row *mem_row(const struct mem_box *b, uint32_t uid)
{
	size_t i = mem_row_from(b, uid);

	return i < b->n && b->rows[i].uid == uid && b->rows[i].ended == 0
		       ? &b->rows[i]
		       : NULL;
}

static void count(struct mem_box *b, const struct mem_row *row, bool more)
{
	uint64_t by = more ? 1 : UINT64_MAX;

	b->m.n_exists += by;
	b->m.n_unseen += (row->flags & FLAG_SEEN) == 0 ? by : 0;
	b->m.n_deleted += (row->flags & FLAG_DELETED) != 0 ? by : 0;
	b->m.bytes += by * mem_size(row);
}

struct mem_row *mem_add_row(
	struct mem_account *a, struct mem_box *b, const struct mem_row *row)
{
	if (b->n == b->cap) {
		b->cap = b->cap * 2 + 16;
		b->rows = must_realloc(b->rows, b->cap * sizeof(*b->rows));
	}
	struct mem_row *r = &b->rows[b->n++];
	*r = *row;
	r->uid = b->m.uidnext++;
	r->modseq = r->born = b->m.modseq = a->modseq;
	r->ended = 0;
	r->saved = clock_unix();
	r->prefix = mem_str(row->prefix);
	r->keywords = mem_str(row->keywords);
	r->body->refs++;
	count(b, r, true);
	return r;
}

void mem_end_row(struct mem_account *a, struct mem_box *b, struct mem_row *row)
{
	if (b->n_gone == b->cap_gone) {
		b->cap_gone = b->cap_gone * 2 + 16;
		b->gone = must_realloc(b->gone, b->cap_gone * sizeof(*b->gone));
	}
	b->gone[b->n_gone++] = (struct mem_gone){row->uid, a->modseq};
	row->ended = b->m.modseq = a->modseq;
	count(b, row, false);
}

void mem_free_row(struct mem_row *row)
{
	mem_str_free(row->prefix);
	mem_str_free(row->keywords);
	mem_unref(row->body);
}

void mem_unref(struct mem_body *body)
{
	if (--body->refs > 0)
		return;
	mem_str_free(body->bytes);
	mem_str_free(body->cache);
	free(body);
}

static void settle_box(struct mem_box *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->rows[i].ended != 0)
			mem_free_row(&b->rows[i]);
		else
			b->rows[kept++] = b->rows[i];
	b->n = kept;
}

void mem_settle(struct mem_account *a)
{
	if (a->readings > 0)
		return;
	for (size_t i = 0; i < a->n; i++)
		settle_box(a->boxes[i]);
	for (struct mem_box *b; (b = a->deleted) != NULL;) {
		a->deleted = b->next;
		mem_free_box(b);
	}
}

/* ---- entries ---- */

static size_t entry_place(const struct mem_entries *v, struct str name)
{
	size_t i = 0;

	while (i < v->n && str_cmp(v->v[i].name, name) < 0)
		i++;
	return i;
}

struct mem_entry *mem_entry(const struct mem_entries *v, struct str name)
{
	size_t i = entry_place(v, name);

	return i < v->n && str_eq(v->v[i].name, name) ? &v->v[i] : NULL;
}

void mem_entry_set(struct mem_entries *v, const struct mem_entry *e)
{
	mem_entry_remove(v, e->name);
	size_t i = entry_place(v, e->name);
	if (v->n == v->cap) {
		v->cap = v->cap * 2 + 8;
		v->v = must_realloc(v->v, v->cap * sizeof(*v->v));
	}
	memmove(v->v + i + 1, v->v + i, (v->n - i) * sizeof(*v->v));
	v->n++;
	v->v[i] = *e;
	v->v[i].name = mem_str(e->name);
	v->v[i].value = mem_str(e->value);
}

void mem_entry_remove(struct mem_entries *v, struct str name)
{
	struct mem_entry *e = mem_entry(v, name);

	if (e == NULL)
		return;
	mem_str_free(e->name);
	mem_str_free(e->value);
	v->n--;
	memmove(e, e + 1, (size_t)(v->v + v->n - e) * sizeof(*e));
}

void mem_entries_free(struct mem_entries *v)
{
	while (v->n > 0)
		mem_entry_remove(v, v->v[v->n - 1].name);
	free(v->v);
	*v = (struct mem_entries){0};
}
