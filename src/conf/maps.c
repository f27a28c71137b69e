/* SPDX-License-Identifier: ISC */
/* Lists of tables, as parameters name them, and what is looked up in them. */
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/table_private.h"

struct maps {
	struct table **v;
	size_t n;
};

static struct str suggestion(struct str spec, struct arena *a)
{
	struct str type, name;

	table_spec_split(spec, &type, &name);
	if (!str_present(type))
		return arena_printf(a, "write hash:%.*s", STR_ARG(spec));
	if (name.len > 0 && name.ptr[0] == '/')
		return arena_printf(a,
			"create %.*s, or take it out of the list",
			STR_ARG(name));
	return STR_NONE;
}

struct maps *maps_open(struct tables *t, const struct conf *c,
	const char *param, struct str list, unsigned flags,
	struct problems *problems)
{
	struct maps *m = arena_make(tables_arena(t), struct maps);
	struct str rest = list;
	struct str item;
	size_t count = 0;

	while (str_present(item = list_item(&rest)))
		count++;
	if (count == 0)
		return NULL;
	m->v = arena_alloc(tables_arena(t), count * sizeof(struct table *));
	while (str_present(item = list_item(&list))) {
		struct fault f;
		struct table *table = tables_get(t, item, flags, problems, &f);

		if (table != NULL)
			m->v[m->n++] = table;
		else
			conf_problem(c, problems, PROBLEM_ERROR, param,
				arena_printf(c->a, "%s: %.*s: %s", param,
					STR_ARG(item), f.text),
				suggestion(item, c->a));
	}
	return m;
}

enum table_result maps_lookup(struct maps *m, struct str key, struct arena *a,
	struct str *value_r, struct fault *f)
{
	if (m == NULL || key.len == 0)
		return TABLE_NONE;
	for (size_t i = 0; i < m->n; i++) {
		enum table_result r = table_lookup(m->v[i], key, a, value_r, f);

		if (r != TABLE_NONE)
			return r;
	}
	return TABLE_NONE;
}

bool maps_values(struct maps *m, struct arena *a, struct strs *values)
{
	bool all = true;

	for (size_t i = 0; m != NULL && i < m->n; i++)
		all &= table_values(m->v[i], a, values);
	return all;
}

bool maps_keys(struct maps *m, struct arena *a, struct strs *keys)
{
	bool all = true;

	for (size_t i = 0; m != NULL && i < m->n; i++)
		all &= table_keys(m->v[i], a, keys);
	return all;
}

uid_t maps_owner(struct maps *m, struct str key, struct arena *a)
{
	struct str value;
	struct fault f;

	for (size_t i = 0; m != NULL && i < m->n; i++)
		if (table_lookup(m->v[i], key, a, &value, &f) == TABLE_FOUND)
			return table_owner(m->v[i]);
	return (uid_t)-1;
}

void maps_paths(struct str list, struct arena *a, struct strs *paths)
{
	struct str item, type, name, database;

	while (str_present(item = list_item(&list))) {
		table_spec_split(list_unbrace(item), &type, &name);
		if (!str_present(type) || name.len == 0)
			continue;
		if (str_eqc(type, "unionmap") || str_eqc(type, "pipemap"))
			maps_paths(name, a, paths);
		if (name.ptr[0] != '/')
			continue;
		strs_add(paths, a, arena_str(a, name));
		if (str_eqc(type, "sqlite") &&
			str_present(database = table_sqlite_path(
					    arena_cstr(a, name), a)))
			strs_add(paths, a, database);
	}
}

bool maps_need_network(struct str list)
{
	static const char *const far[] = {
		"mysql", "pgsql", "tcp", "socketmap", "ldap"};
	struct str item, type, name;

	while (str_present(item = list_item(&list))) {
		table_spec_split(list_unbrace(item), &type, &name);
		if (!str_present(type))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(far); i++)
			if (str_eqc(type, far[i]))
				return true;
		if ((str_eqc(type, "unionmap") || str_eqc(type, "pipemap")) &&
			maps_need_network(name))
			return true;
	}
	return false;
}

/* ---- address keys ---- */

bool address_extension(struct str local, struct str delimiter,
	bool owner_request_special, struct str *user_r, struct str *ext_r)
{
	*user_r = local;
	*ext_r = STR_NONE;
	if (delimiter.len == 0 || str_ieqc(local, "postmaster") ||
		str_ieqc(local, "mailer-daemon") ||
		str_ieqc(local, "double-bounce"))
		return false;
	if (owner_request_special && str_find(delimiter, '-') >= 0 &&
		(str_istarts(local, "owner-") ||
			str_iends(local, STR("-request"))))
		return false;
	for (size_t i = 0; i + 1 < local.len; i++)
		if (str_find(delimiter, local.ptr[i]) >= 0) {
			if (i == 0)
				return false;
			*user_r = str_sub(local, 0, i);
			*ext_r = str_from_at(local, i);
			return true;
		}
	return false;
}

enum table_result maps_lookup_address(struct maps *m, struct str address,
	const struct address_keys *keys, struct arena *a, struct str *value_r,
	struct str *ext_r, struct fault *f)
{
	ptrdiff_t at = str_rfind(address, '@');
	struct str local = at < 0 ? address : str_sub(address, 0, (size_t)at);
	struct str at_domain =
		at < 0 ? STR_NONE : str_from_at(address, (size_t)at);
	struct str user, ext, key[8];
	bool drops[8] = {false};
	size_t n = 0;

	if (m == NULL)
		return TABLE_NONE;
	bool has_ext =
		address_extension(local, keys->delimiter, true, &user, &ext);
	*ext_r = STR_NONE;
	key[n++] = address;
	if (has_ext && at >= 0) {
		drops[n] = true;
		key[n++] = arena_concat(a, user, at_domain);
	}
	if (keys->domain_is_ours && at >= 0)
		key[n++] = local;
	if (has_ext && (keys->domain_is_ours || at < 0)) {
		drops[n] = true;
		key[n++] = user;
	}
	if (at >= 0 && !keys->user_at)
		key[n++] = at_domain;
	for (size_t i = 0; i < n; i++) {
		enum table_result r = maps_lookup(m, key[i], a, value_r, f);

		if (r == TABLE_NONE)
			continue;
		if (drops[i])
			*ext_r = ext;
		return r;
	}
	return TABLE_NONE;
}
