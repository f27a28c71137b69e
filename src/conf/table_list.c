/* SPDX-License-Identifier: ISC */
/* Tables made of tables: unionmap, pipemap; and randmap. DATABASE_README */
#include <sys/random.h>

#include "codec/postfix/lines.h"
#include "conf/table_private.h"

struct table_list {
	struct table **v;
	size_t n;
};

static bool list_open(
	struct table *t, unsigned flags, struct problems *p, struct fault *f)
{
	struct table_list *l =
		arena_make(tables_arena(t->owner), struct table_list);

	t->state = l;
	return tables_open_list(t->owner, t->name, flags, p, &l->v, &l->n, f);
}

static void list_close(struct table *t)
{
	t->state = NULL; /* the tables belong to their owner */
}

/* All results, joined by commas. */
static enum table_result union_lookup(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	const struct table_list *l = t->state;
	struct str all = STR_NONE, value;

	for (size_t i = 0; i < l->n; i++) {
		enum table_result r = table_lookup(l->v[i], key, a, &value, f);

		if (r == TABLE_ERROR)
			return r;
		if (r == TABLE_FOUND)
			all = str_present(all)
				      ? arena_printf(a, "%.*s,%.*s",
						STR_ARG(all), STR_ARG(value))
				      : value;
	}
	*value_r = all;
	return str_present(all) ? TABLE_FOUND : TABLE_NONE;
}

/* The result of one is the key of the next. */
static enum table_result pipe_lookup(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	const struct table_list *l = t->state;

	for (size_t i = 0; i < l->n; i++) {
		enum table_result r = table_lookup(l->v[i], key, a, &key, f);

		if (r != TABLE_FOUND)
			return r;
	}
	*value_r = key;
	return TABLE_FOUND;
}

static bool rand_open(struct table *t, unsigned flags UNUSED,
	struct problems *p UNUSED, struct fault *f)
{
	struct str rest = t->name;

	return str_present(list_item(&rest)) ||
	       fault_set(f, FAULT_PERM, 0, 3, 5, "the list is empty");
}

static enum table_result rand_lookup(struct table *t, struct str key UNUSED,
	struct arena *a, struct str *value_r, struct fault *f UNUSED)
{
	struct str rest = t->name, item;
	uint64_t random, n = 0;

	while (str_present(list_item(&rest)))
		n++;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = 0;
	rest = t->name;
	for (uint64_t i = 0; str_present(item = list_item(&rest)); i++)
		if (i == random % n)
			*value_r = arena_str(a, list_unbrace(item));
	return TABLE_FOUND;
}

const struct table_engine table_unionmap = {
	list_open, union_lookup, list_close};
const struct table_engine table_pipemap = {list_open, pipe_lookup, list_close};
const struct table_engine table_randmap = {rand_open, rand_lookup, list_close};
