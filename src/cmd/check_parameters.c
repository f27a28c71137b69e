/* SPDX-License-Identifier: ISC */
#include "cmd/check_parameters.h"

#include <stdio.h>

#include "cmd/check_words.h"
#include "codec/postfix/value.h"

static bool ends_in(struct str name, const char *const *suffixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_ends(name, suffixes[i]))
			return true;
	return false;
}

/* NAME_rest of one transport: those that act, and those that do not yet. */
static bool acts_per_transport(struct str name)
{
	static const char *const suffixes[] = {"_destination_concurrency_limit",
		"_destination_recipient_limit", "_destination_rate_delay",
		"_transport_rate_delay", "_initial_destination_concurrency",
		"_time_limit"};

	return ends_in(name, suffixes, ARRAY_LEN(suffixes));
}

/* NAME_recipient_limit is what known.def has as transport_recipient_limit;
 * NULL: none of them. */
static const struct known_param *known_of_transports(struct str name)
{
	static const char prefix[] = "transport";

	for (size_t i = 0; i < n_known_params; i++) {
		const struct known_param *k = &known_params[i];
		struct str known = str_from(k->name);

		if (k->kind == KNOWN_OTHER && str_starts(known, "transport_") &&
			str_ends(name, k->name + sizeof(prefix) - 1))
			return k;
	}
	return NULL;
}

/* Does any other value use $name, or is it a restriction class? */
static bool is_referenced(const struct conf *c, struct str name)
{
	if (str_find(name, '\0') >= 0)
		return false;
	const char *word = arena_cstr(c->a, name);
	if (conf_option_has(c->smtpd_restriction_classes, word))
		return true;
	for (size_t i = 0; i < c->n_order; i++) {
		struct str raw = c->order[i].raw;

		while (raw.len > 0) {
			ptrdiff_t at = str_isearch(raw, name);

			if (at < 0)
				break;
			char before = at > 0 ? raw.ptr[at - 1] : ' ';
			if (before == '$' || before == '{' || before == '(')
				return true;
			raw = str_from_at(raw, (size_t)at + 1);
		}
	}
	/* A value of a -o override in master.cf may use it, too. */
	return str_starts(name, "mua_");
}

static const char *nearest_param(struct str name)
{
	const char *names[1200];
	size_t n = 0;

	for (size_t i = 0; i < n_params && n < ARRAY_LEN(names); i++)
		names[n++] = params[i].name;
	for (size_t i = 0; i < n_known_params && n < ARRAY_LEN(names); i++)
		names[n++] = known_params[i].name;
	return nearest_name(name, names, n);
}

static void check_transport_value(
	struct conf *c, struct problems *p, const struct conf_entry *e)
{
	bool is_time = str_ends(e->name, "_time_limit") ||
		       str_ends(e->name, "_rate_delay");
	struct str value;
	const char *why;
	int64_t n;

	if (conf_expand_name(c, e->name, c->a, &value, &why) &&
		str_present(value) &&
		(is_time ? value_time(value, 's', &n) : str_i64(value, &n)) &&
		n >= 0)
		return;
	problem_add(p, PROBLEM_ERROR, e->file, e->line,
		arena_printf(c->a, "%.*s: not a %s", STR_ARG(e->name),
			is_time ? "time" : "number"),
		is_time ? STR("write for example 10s") : STR("write a number"));
}

static void check_name(
	struct conf *c, struct problems *p, const struct conf_entry *e)
{
	struct arena *a = c->a;
	const struct known_param *k = known_param_find(e->name);

	if (param_find(e->name) != NULL)
		return;
	if (k != NULL && (k->kind == KNOWN_LMTP || k->kind == KNOWN_SCREEN))
		return;
	if (k != NULL ? k->kind == KNOWN_TRANSPORT
		      : acts_per_transport(e->name)) {
		check_transport_value(c, p, e);
		return;
	}
	if (k == NULL)
		k = known_of_transports(e->name);
	if (k != NULL && k->kind == KNOWN_OTHER)
		problem_add(p, PROBLEM_NOTE, e->file, e->line,
			arena_printf(a, "%.*s has no effect here: %s",
				STR_ARG(e->name), k->text),
			STR_NONE);
	else if (k != NULL && k->kind == KNOWN_NEVER)
		problem_add(p, PROBLEM_NOTE, e->file, e->line,
			arena_printf(
				a, "%s has no meaning in one program", k->name),
			STR_NONE);
	else if (!is_referenced(c, e->name)) {
		const char *near = nearest_param(e->name);

		problem_add(p, PROBLEM_WARNING, e->file, e->line,
			arena_printf(
				a, "unused parameter %.*s", STR_ARG(e->name)),
			near != NULL ? arena_printf(a, "did you mean %s?", near)
				     : STR_NONE);
	}
}

void check_parameters(struct conf *c, struct problems *p)
{
	for (size_t i = 0; i < c->n_order; i++) {
		const struct conf_entry *e = conf_entry(c, c->order[i].name);

		if (e != NULL && e->line == c->order[i].line)
			check_name(c, p, e);
	}
}

struct overrides {
	struct conf *c;
	struct problems *p;
};

static void check_override(struct str name UNUSED, void *value, void *ctx)
{
	const struct conf_entry *e = value;
	struct overrides *x = ctx;

	/* Line 0: what stands in for another one on such a line. */
	if (e->line > 0 && !str_eq(e->file, x->c->main_cf))
		check_name(x->c, x->p, e);
}

void check_overrides(struct conf *c, struct problems *p)
{
	map_each(c->entries, check_override, &(struct overrides){c, p});
}

/* ---- --list-parameters ---- */

void check_list_parameters(void)
{
	static const char *const kinds[] = {[KNOWN_NEVER] = "never",
		[KNOWN_OTHER] = "other",
		[KNOWN_TRANSPORT] = "acts",
		[KNOWN_LMTP] = "acts",
		[KNOWN_SCREEN] = "acts",
		[KNOWN_ACTS] = "acts"};

	printf("# acts: as in Postfix; never: no meaning in one program; "
	       "other: served in\n# another way\n");
	for (size_t i = 0; i < n_params; i++)
		printf("%-46s acts   %s\n", params[i].name, params[i].doc);
	for (size_t i = 0; i < n_known_params; i++)
		if (param_find(str_from(known_params[i].name)) == NULL)
			printf("%-46s %-6s %s\n", known_params[i].name,
				kinds[known_params[i].kind],
				known_params[i].text);
}
