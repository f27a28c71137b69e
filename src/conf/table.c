/* SPDX-License-Identifier: ISC */
#include "conf/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/table_private.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/waiting.h"

enum { TABLE_FILE_MAX = 256 << 20, RECHECK_MS = 1000 };

struct tables {
	struct table_env env;
	struct arena *a;
	struct map *by_spec;
};

static const struct {
	const char *type;
	enum table_kind kind;
	const struct table_engine *engine;
} types[] = {{"hash", TABLE_TEXT}, {"btree", TABLE_TEXT}, {"lmdb", TABLE_TEXT},
	{"dbm", TABLE_TEXT}, {"cdb", TABLE_TEXT}, {"texthash", TABLE_TEXT},
	{"inline", TABLE_INLINE}, {"static", TABLE_STATIC},
	{"fail", TABLE_FAIL}, {"cidr", TABLE_CIDR}, {"regexp", TABLE_REGEXP},
	{"pcre", TABLE_REGEXP}, {"unix", TABLE_UNIX},
	{"accounts", TABLE_ACCOUNTS},
	{"unionmap", TABLE_ENGINE, &table_unionmap},
	{"pipemap", TABLE_ENGINE, &table_pipemap},
	{"randmap", TABLE_ENGINE, &table_randmap},
	{"tcp", TABLE_ENGINE, &table_tcp},
	{"socketmap", TABLE_ENGINE, &table_socketmap},
	{"sqlite", TABLE_ENGINE, &table_sqlite},
	{"mysql", TABLE_ENGINE, &table_mysql},
	{"pgsql", TABLE_ENGINE, &table_pgsql},
	{"ldap", TABLE_ENGINE, &table_ldap}};

struct tables *tables_new(const struct table_env *env)
{
	struct tables *t = must_alloc(sizeof(*t));

	t->env = *env;
	t->a = arena_new(SIZE_MAX);
	t->by_spec = map_new();
	return t;
}

static void content_free(struct table_content *c)
{
	if (c == NULL)
		return;
	table_rules_free(c);
	map_free(c->map, NULL);
	arena_free(c->a);
	free(c);
}

static void table_free(void *value)
{
	struct table *t = value;

	if (t->engine != NULL && t->state != NULL)
		t->engine->close(t);
	content_free(t->content);
	pthread_mutex_destroy(&t->lock);
}

void tables_free(struct tables *t)
{
	if (t == NULL)
		return;
	map_free(t->by_spec, table_free);
	arena_free(t->a);
	free(t);
}

void table_spec_split(struct str s, struct str *type_r, struct str *name_r)
{
	ptrdiff_t colon = str_find(s, ':');
	ptrdiff_t brace = str_find(s, '{');

	/* proxy: hands the look-up to a helper process; we have none. */
	while (str_starts(s, "proxy:")) {
		s = str_from_at(s, 6);
		colon = str_find(s, ':');
	}
	if (colon < 0 || (brace >= 0 && brace < colon)) {
		*type_r = STR_NONE;
		*name_r = s;
		return;
	}
	*type_r = str_sub(s, 0, (size_t)colon);
	*name_r = list_unbrace(str_from_at(s, (size_t)colon + 1));
}

static bool is_file_kind(enum table_kind kind)
{
	return kind == TABLE_TEXT || kind == TABLE_CIDR || kind == TABLE_REGEXP;
}

static struct table_content *content_new(void)
{
	struct table_content *c = must_alloc(sizeof(*c));

	c->refs = 1;
	c->a = arena_new(SIZE_MAX);
	c->map = map_new();
	return c;
}

/* inline:{ {key = value}, key=value } */
static void read_inline(struct table_reader *r, struct str list)
{
	struct str item, key, value;

	while (str_present(item = list_item(&list))) {
		if (assignment_parse(list_unbrace(item), &key, &value) !=
			ASSIGNMENT_OK) {
			r->errors++;
			continue;
		}
		struct str *copy = arena_make(r->content->a, struct str);
		*copy = arena_str(r->content->a, value);
		map_set(r->content->map, arena_lower(r->content->a, key), copy);
	}
}

static void read_content(
	const struct table *t, struct table_reader *r, struct str text)
{
	switch (t->kind) {
	case TABLE_TEXT:
		table_read_text(r, text, t->aliases);
		break;
	case TABLE_INLINE:
		read_inline(r, text);
		break;
	case TABLE_CIDR:
	case TABLE_REGEXP:
		table_read_rules(r, text, t->kind == TABLE_CIDR);
		break;
	case TABLE_STATIC:
	case TABLE_FAIL:
	case TABLE_UNIX:
	case TABLE_ACCOUNTS:
	case TABLE_ENGINE:
		break;
	}
}

/* pcre:{{/a/ x}, {/b/ y}}: a line for each rule */
static void put_inline_rules(struct str list, struct buf *text)
{
	struct str item;

	while (str_present(item = list_item(&list))) {
		buf_put(text, list_unbrace(item));
		buf_putc(text, '\n');
	}
}

/*
 * Reads the source anew; NULL with a fault when it cannot be read or has
 * rules that do not parse.
 */
static struct table_content *load(
	struct table *t, struct problems *problems, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	struct table_reader r = {.problems = problems, .file = t->name};
	bool in_name = t->kind == TABLE_INLINE ||
		       (t->kind != TABLE_TEXT && str_starts(t->name, "{"));

	buf_init(&text, TABLE_FILE_MAX + 65536);
	if (in_name && t->kind != TABLE_INLINE)
		put_inline_rules(t->name, &text);
	else if (in_name)
		buf_put(&text, t->name);
	else if (!file_read(t->name.ptr, TABLE_FILE_MAX, &text, f))
		return NULL;
	r.content = content_new();
	read_content(t, &r, buf_str(&text));
	if (r.errors == 0)
		return r.content;
	content_free(r.content);
	fault_set(f, FAULT_TEMP, 451, 3, 5, "%.*s: %u lines are wrong",
		STR_ARG(t->name), r.errors);
	return NULL;
}

static void notice(struct table *t, const char *text)
{
	if (t->owner->env.notice != NULL)
		t->owner->env.notice(
			t->spec, str_from(text), t->owner->env.ctx);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Under the lock: takes an edited file over, or keeps what we have. */
static void refresh(struct table *t)
{
	struct stat st;
	struct fault f;
	int64_t now = clock_mono_ms();

	if (!is_file_kind(t->kind) || now - t->checked_ms < RECHECK_MS)
		return;
	t->checked_ms = now;
	if (stat(t->name.ptr, &st) != 0) {
		if (!t->bad)
			notice(t, "the file is gone: its last good version "
				  "stays in force");
		t->bad = true;
		return;
	}
	if (same_file(&st, &t->seen))
		return;
	t->seen = st;
	struct table_content *fresh = load(t, NULL, &f);
	if (fresh == NULL) {
		notice(t, "the edited file is wrong: its last good version "
			  "stays in force");
		t->bad = true;
		return;
	}
	if (--t->content->refs == 0)
		content_free(t->content);
	t->content = fresh;
	if (t->bad)
		notice(t, "the file is good again");
	t->bad = false;
}

static struct table_content *content_get(struct table *t)
{
	pthread_mutex_lock(&t->lock);
	refresh(t);
	struct table_content *c = t->content;
	c->refs++;
	pthread_mutex_unlock(&t->lock);
	return c;
}

static void content_put(struct table *t, struct table_content *c)
{
	pthread_mutex_lock(&t->lock);
	if (--c->refs == 0)
		content_free(c);
	pthread_mutex_unlock(&t->lock);
}

static enum table_result lookup_content(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	struct table_content *c = content_get(t);
	enum table_result result = TABLE_NONE;

	if (t->kind == TABLE_CIDR || t->kind == TABLE_REGEXP) {
		result = table_match_rules(c, key, a, value_r, f);
	} else {
		const struct str *v = map_get(c->map, arena_lower(a, key));

		if (v != NULL) {
			*value_r = arena_str(a, *v);
			result = TABLE_FOUND;
		}
	}
	content_put(t, c);
	return result;
}

static enum table_result ask_engine(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	if (!t->engine->waits)
		return t->engine->lookup(t, key, a, value_r, f);
	waiting_begin();
	enum table_result r = t->engine->lookup(t, key, a, value_r, f);
	waiting_end();
	return r;
}

enum table_result table_lookup(struct table *t, struct str key, struct arena *a,
	struct str *value_r, struct fault *f)
{
	switch (t->kind) {
	case TABLE_STATIC:
		*value_r = arena_str(a, t->name);
		return TABLE_FOUND;
	case TABLE_FAIL:
		fault_set(f, FAULT_TEMP, 451, 3, 0, "%.*s always fails",
			STR_ARG(t->spec));
		return TABLE_ERROR;
	case TABLE_UNIX:
		return table_unix(t->name, key, a, value_r, f);
	case TABLE_ACCOUNTS:
		if (t->owner->env.account == NULL)
			return TABLE_NONE;
		return t->owner->env.account(
			key, a, value_r, f, t->owner->env.ctx);
	case TABLE_ENGINE:
		return ask_engine(t, key, a, value_r, f);
	case TABLE_TEXT:
	case TABLE_INLINE:
	case TABLE_CIDR:
	case TABLE_REGEXP:
		return lookup_content(t, key, a, value_r, f);
	}
	return TABLE_NONE;
}

struct listing {
	struct arena *a;
	struct strs *out;
};

static void add_value(struct str key UNUSED, void *value, void *ctx)
{
	const struct str *v = value;
	struct listing *l = ctx;

	strs_add(l->out, l->a, arena_str(l->a, *v));
}

static void add_key(struct str key, void *value UNUSED, void *ctx)
{
	struct listing *l = ctx;

	strs_add(l->out, l->a, arena_str(l->a, key));
}

/* False: it is of a kind that has no list. */
static bool list(struct table *t, struct listing *l,
	void (*add)(struct str key, void *value, void *ctx))
{
	if (t->kind != TABLE_TEXT && t->kind != TABLE_INLINE)
		return false;
	struct table_content *c = content_get(t);
	map_each(c->map, add, l);
	content_put(t, c);
	return true;
}

bool table_values(struct table *t, struct arena *a, struct strs *values)
{
	struct listing l = {a, values};

	if (t->kind == TABLE_STATIC)
		strs_add(values, a, t->name);
	return t->kind == TABLE_STATIC || list(t, &l, add_value);
}

bool table_keys(struct table *t, struct arena *a, struct strs *keys)
{
	struct listing l = {a, keys};

	return list(t, &l, add_key);
}

uid_t table_owner(struct table *t)
{
	pthread_mutex_lock(&t->lock);
	uid_t uid = t->seen.st_uid;
	pthread_mutex_unlock(&t->lock);
	return is_file_kind(t->kind) ? uid : (uid_t)-1;
}

/* ---- opening ---- */

static struct table *open_table(struct tables *t, struct str spec,
	unsigned flags, struct problems *problems, struct fault *f)
{
	struct table *table = arena_make(t->a, struct table);
	size_t i = 0;

	table_spec_split(spec, &table->type, &table->name);
	if (!str_present(table->type)) {
		fault_set(f, FAULT_PERM, 0, 3, 5,
			"a table needs its type: write hash:%.*s",
			STR_ARG(spec));
		return NULL;
	}
	while (i < ARRAY_LEN(types) && !str_eqc(table->type, types[i].type))
		i++;
	if (i == ARRAY_LEN(types)) {
		fault_set(f, FAULT_PERM, 0, 3, 5,
			"table type %.*s is not supported",
			STR_ARG(table->type));
		return NULL;
	}
	table->kind = types[i].kind;
	table->engine = types[i].engine;
	table->owner = t;
	table->spec = arena_str(t->a, spec);
	table->name = arena_str(t->a, table->name);
	table->aliases = (flags & MAPS_ALIASES) != 0;
	pthread_mutex_init(&table->lock, NULL);
	if (table->kind == TABLE_UNIX &&
		!str_eqc(table->name, "passwd.byname") &&
		!str_eqc(table->name, "group.byname")) {
		fault_set(f, FAULT_PERM, 0, 3, 5,
			"unix: knows passwd.byname and group.byname");
		return NULL;
	}
	if (is_file_kind(table->kind) || table->kind == TABLE_INLINE) {
		if (is_file_kind(table->kind) && table->name.len > 0 &&
			table->name.ptr[0] == '/')
			stat(table->name.ptr, &table->seen);
		table->content = load(table, problems, f);
		if (table->content == NULL)
			return NULL;
	}
	if (table->engine != NULL &&
		!table->engine->open(table, flags, problems, f))
		return NULL;
	table->checked_ms = clock_mono_ms();
	return table;
}

struct table *tables_get(struct tables *t, struct str spec, unsigned flags,
	struct problems *problems, struct fault *f)
{
	struct str key = arena_printf(t->a, "%u %.*s", flags, STR_ARG(spec));
	struct table *table = map_get(t->by_spec, key);

	if (table == NULL) {
		table = open_table(t, spec, flags, problems, f);
		if (table != NULL)
			map_set(t->by_spec, key, table);
	}
	return table;
}

struct arena *tables_arena(struct tables *t)
{
	return t->a;
}

bool tables_open_list(struct tables *t, struct str list, unsigned flags,
	struct problems *p, struct table ***v_r, size_t *n_r, struct fault *f)
{
	struct str rest = list, item;
	size_t n = 0;

	while (str_present(item = list_item(&rest)))
		n++;
	*v_r = arena_alloc(t->a, (n + 1) * sizeof(**v_r));
	*n_r = 0;
	while (str_present(item = list_item(&list))) {
		struct table *table =
			tables_get(t, list_unbrace(item), flags, p, f);

		if (table == NULL)
			return false;
		(*v_r)[(*n_r)++] = table;
	}
	return *n_r > 0 ||
	       fault_set(f, FAULT_PERM, 0, 3, 5, "the list is empty");
}
