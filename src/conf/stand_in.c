/* SPDX-License-Identifier: ISC */
#include "conf/stand_in.h"

#include <string.h>

#include "base/buf.h"

/* "$lmtp_x" in a value means the parameter in whose place it stands. */
static struct str as_smtp(struct str value, struct arena *a)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, value.len + 1);
	for (size_t i = 0; i < value.len;) {
		struct str rest = str_from_at(value, i);

		if (str_starts(rest, "$lmtp_") || str_starts(rest, "${lmtp_")) {
			size_t at = (size_t)str_find(rest, 'l');

			buf_put(&out, str_sub(rest, 0, at));
			buf_puts(&out, "smtp_");
			i += at + 5;
			continue;
		}
		buf_putc(&out, value.ptr[i++]);
	}
	return arena_str(a, buf_str(&out));
}

/* Where Postfix's default is no good for us: a connection needs an end, TLS
 * that is there is used. */
static struct str lmtp_default(const struct known_param *k)
{
	static const struct {
		const char *name, *value;
	} ours[] = {{"lmtp_connect_timeout", "30s"},
		{"lmtp_quit_timeout", "10s"},
		{"lmtp_tls_security_level", "may"}};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcmp(k->name, ours[i].name) == 0)
			return str_from(ours[i].value);
	const struct param *smtp = param_find(str_from(k->text));

	/* The table does not have all defaults. */
	return k->fallback[0] == '\0' && smtp->type != PARAM_STR
		       ? str_from(smtp->fallback)
		       : str_from(k->fallback);
}

static bool stands_in(const struct known_param *k, struct str command)
{
	return (k->kind == KNOWN_LMTP && str_eqc(command, "lmtp")) ||
	       (k->kind == KNOWN_SCREEN && str_eqc(command, "postscreen"));
}

/* Is it "$param", and nothing else? */
static bool names(struct str raw, const char *param)
{
	struct str name = str_starts(raw, "$") ? str_from_at(raw, 1) : STR("");

	if ((str_starts(name, "{") && str_ends(name, "}")) ||
		(str_starts(name, "(") && str_ends(name, ")")))
		name = str_sub(name, 1, name.len - 2);
	return str_eqc(name, param);
}

/* As main.cf means it: "postscreen_x = $smtpd_x" must not lead to itself. */
static struct str of_main_cf(
	const struct conf *base, const struct known_param *k)
{
	const struct conf_entry *e = conf_entry(base, str_from(k->name));
	struct str value;
	const char *why;

	if (k->kind == KNOWN_LMTP)
		return as_smtp(e != NULL ? e->raw : lmtp_default(k), base->a);
	/* What is filled in for each client stays. */
	if (param_find(str_from(k->text))->type == PARAM_RAW)
		return names(e->raw, k->text)
			       ? conf_raw(base, str_from(k->text))
			       : e->raw;
	return conf_expand_name(base, str_from(k->name), base->a, &value,
		       &why) && str_present(value)
		       ? value
		       : e->raw;
}

size_t stand_in_overrides(
	const struct conf *base, struct str command, struct conf_override *o)
{
	size_t n = 0;

	for (size_t i = 0; i < n_known_params; i++) {
		const struct known_param *k = &known_params[i];
		const struct conf_entry *e =
			conf_entry(base, str_from(k->name));

		if (!stands_in(k, command) ||
			(e == NULL && k->kind == KNOWN_SCREEN))
			continue;
		o[n++] = (struct conf_override){.name = str_from(k->text),
			.value = of_main_cf(base, k)};
	}
	return n;
}

size_t stand_in_take_name(struct conf_override *all, size_t n,
	struct str command, struct arena *a)
{
	struct conf_override *o = &all[n];
	const struct known_param *k = known_param_find(o->name);

	if (k != NULL && stands_in(k, command)) {
		o->name = str_from(k->text);
		o->value = as_smtp(o->value, a);
	}
	for (size_t i = 0; i < n; i++)
		if (all[i].line == 0 && str_eq(all[i].name, o->name)) {
			all[i] = *o;
			return n;
		}
	return n + 1;
}
