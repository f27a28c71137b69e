/* SPDX-License-Identifier: ISC */
#include "net/milter_def.h"

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"

static bool action_parse(struct str text, enum milter_default *action_r)
{
	static const char *const names[] = {
		"accept", "reject", "tempfail", "quarantine", "shutdown"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieqc(text, names[i])) {
			*action_r = (enum milter_default)i;
			return true;
		}
	return false;
}

static bool set(struct milter_def *d, struct str name, struct str value)
{
	int64_t s;

	if (str_eqc(name, "default_action"))
		return action_parse(value, &d->on_failure);
	/* The protocol's version is agreed on with the filter. */
	if (str_eqc(name, "protocol"))
		return true;
	if (!value_time(value, 's', &s))
		return false;
	if (str_eqc(name, "connect_timeout"))
		d->connect_ms = s * 1000;
	else if (str_eqc(name, "command_timeout"))
		d->command_ms = s * 1000;
	else if (str_eqc(name, "content_timeout"))
		d->content_ms = s * 1000;
	else
		return false;
	return true;
}

static bool parse_one(const struct conf *c, struct str item, struct arena *a,
	struct milter_def *d, struct fault *f)
{
	struct str rest = list_unbrace(item), option, name, value;
	struct str where = list_item(&rest);

	*d = (struct milter_def){.connect_ms = c->milter_connect_timeout * 1000,
		.command_ms = c->milter_command_timeout * 1000,
		.content_ms = c->milter_content_timeout * 1000,
		.macros = {c->milter_connect_macros, c->milter_helo_macros,
			c->milter_mail_macros, c->milter_rcpt_macros,
			c->milter_data_macros, c->milter_end_of_data_macros,
			c->milter_end_of_header_macros,
			c->milter_unknown_command_macros}};
	if (!action_parse(c->milter_default_action, &d->on_failure))
		d->on_failure = MILTER_DEFAULT_TEMPFAIL;
	if (!str_present(where))
		return fault_set(f, FAULT_TEMP, 451, 3, 5, "empty");
	if (!endpoint_parse(where, c->queue_directory, a, &d->endpoint, f))
		return false;
	while (str_present(option = list_item(&rest)))
		if (assignment_parse(list_unbrace(option), &name, &value) !=
				ASSIGNMENT_OK ||
			!set(d, name, value))
			return fault_set(f, FAULT_TEMP, 451, 3, 5,
				"unknown option %.*s", STR_ARG(option));
	return true;
}

struct milter_list milter_list_parse(const struct conf *c, const char *param,
	struct str list, struct arena *a, struct problems *problems)
{
	struct milter_list m = {0};
	struct str rest = list, item;
	enum milter_default action;
	struct fault f;
	size_t n = 0;

	while (str_present(item = list_item(&rest)))
		n++;
	m.v = arena_alloc(a, (n + 1) * sizeof(*m.v));
	rest = list;
	while (str_present(item = list_item(&rest))) {
		if (parse_one(c, item, a, &m.v[m.n], &f)) {
			m.n++;
			continue;
		}
		conf_problem(c, problems, PROBLEM_ERROR, param,
			arena_printf(a, "%s: %.*s: %s", param, STR_ARG(item),
				f.text),
			STR("write inet:host:port or unix:path"));
	}
	if (n > 0 && !action_parse(c->milter_default_action, &action))
		conf_problem(c, problems, PROBLEM_ERROR,
			"milter_default_action",
			STR("milter_default_action: unknown action"),
			STR("write accept, reject, tempfail, quarantine or "
			    "shutdown"));
	return m;
}
