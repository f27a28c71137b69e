/* SPDX-License-Identifier: ISC */
#include "cmd/check_transports.h"

#include "cmd/check_parameters.h"
#include "cmd/check_tls.h"
#include "policy/content.h"
#include "policy/policy.h"
#include "policy/sources.h"

/* c: of a transport, or main.cf's. */
static void check_sources(const struct conf *c, struct problems *p)
{
	bool warming = false, known[2] = {false, false};
	struct sources sources;
	struct str what;
	const char *why;

	if (!sources_parse(c, c->a, &sources, &what, &why)) {
		conf_problem(c, p, PROBLEM_ERROR, "smtp_source_addresses",
			arena_printf(c->a,
				"smtp_source_addresses, smtp_source_warmup: "
				"cannot read \"%.*s\"",
				STR_ARG(what)),
			arena_printf(c->a, "write %s", why));
		return;
	}
	for (size_t i = 0; i < sources.n; i++) {
		warming |= sources.v[i].warmup != 0;
		known[sources.v[i].six] |= sources.v[i].warmup == 0;
	}
	for (size_t i = 0; i < sources.n && warming; i++)
		if (!known[sources.v[i].six]) {
			conf_problem(c, p, PROBLEM_WARNING,
				"smtp_source_addresses",
				STR("smtp_source_addresses: each address of a "
				    "family is warming up; what is over their "
				    "schedule goes out by the largest all the "
				    "same"),
				STR("keep one without warmup= beside them"));
			return;
		}
}

static void check_status_filters(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	const struct {
		const char *name;
		struct str list;
	} all[] = {{"default_delivery_status_filter",
			   c->default_delivery_status_filter},
		{"smtp_delivery_status_filter", c->smtp_delivery_status_filter},
		{"local_delivery_status_filter",
			c->local_delivery_status_filter},
		{"pipe_delivery_status_filter", c->pipe_delivery_status_filter},
		{"virtual_delivery_status_filter",
			c->virtual_delivery_status_filter}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		maps_open(tables, c, all[i].name, all[i].list, 0, p);
}

/* What smtp and lmtp transports have, and main.cf for who has no line. */
static void check_client(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	check_sources(c, p);
	check_client_tls(c, tables, p);
	maps_open(tables, c, "smtp_reply_filter", c->smtp_reply_filter, 0, p);
}

void check_main_transport(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	check_status_filters(c, tables, p);
	check_client(c, tables, p);
}

void check_transport(
	const struct transport *t, struct tables *tables, struct problems *p)
{
	check_overrides(t->conf, p);
	check_status_filters(t->conf, tables, p);
	if (!str_eqc(t->command, "smtp") && !str_eqc(t->command, "lmtp"))
		return;
	check_client(t->conf, tables, p);
	policy_new(t->conf, tables, NULL, p);
	content_checks_smtp(t->conf, tables, p);
}
