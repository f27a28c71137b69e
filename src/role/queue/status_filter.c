/* SPDX-License-Identifier: ISC */
#include "role/queue/status_filter.h"

#include "codec/smtp/reply.h"
#include "sys/clock.h"

struct filter {
	struct str transport;
	struct maps *maps; /* NULL: none */
};

struct status_filters {
	struct filter *v;
	size_t n;
};

struct choice {
	const char *command; /* in master.cf */
	const char *param;
	struct str list;
};

static struct maps *open_for(
	struct role *r, const struct conf *c, struct str command)
{
	const struct choice all[] = {{"smtp", "smtp_delivery_status_filter",
					     c->smtp_delivery_status_filter},
		{"lmtp", "smtp_delivery_status_filter",
			c->smtp_delivery_status_filter},
		{"local", "local_delivery_status_filter",
			c->local_delivery_status_filter},
		{"virtual", "virtual_delivery_status_filter",
			c->virtual_delivery_status_filter},
		{"pipe", "pipe_delivery_status_filter",
			c->pipe_delivery_status_filter},
		{NULL, "default_delivery_status_filter",
			c->default_delivery_status_filter}};
	struct problems ignored = {.a = r->a};
	const struct choice *x = all;

	while (x->command != NULL && !str_eqc(command, x->command))
		x++;
	role_may_read_tables(r, x->list);
	return maps_open(r->tables, c, x->param, x->list, 0, &ignored);
}

static void add(struct role *r, struct status_filters *f, struct str transport,
	const struct conf *c, struct str command)
{
	f->v[f->n++] = (struct filter){transport, open_for(r, c, command)};
}

struct status_filters *status_filters_new(struct role *r)
{
	struct status_filters *f = arena_make(r->a, struct status_filters);
	const struct services *all = r->services;

	f->v = arena_alloc(r->a, (all->n_transports + 5) * sizeof(*f->v));
	for (size_t i = 0; i < all->n_transports; i++)
		add(r, f, all->transports[i].name, all->transports[i].conf,
			all->transports[i].command);
	/* What is built in needs no line. */
	add(r, f, STR("local"), r->conf, STR("local"));
	add(r, f, STR("store"), r->conf, STR("virtual"));
	add(r, f, STR(""), r->conf, STR("error"));
	/* The last: of who has no line. */
	add(r, f, STR("smtp"), r->conf, STR("smtp"));
	return f;
}

static struct maps *find(const struct status_filters *f, struct str via)
{
	struct str transport = str_cut(&via, ':');
	size_t i = 0;

	while (i + 1 < f->n && !str_eq(f->v[i].transport, transport))
		i++;
	return f->v[i].maps;
}

static int class_of(enum outcome_kind kind)
{
	return kind == DELIVERED ? 2 : kind == BOUNCED ? 5 : 4;
}

/* As Postfix says it, whose tables are to go on working. */
static struct str words_of(const struct outcome_of *o, struct arena *a)
{
	return o->kind != DELIVERED && o->code != 0 && str_present(o->mta)
		       ? arena_printf(a, "host %.*s said: %.*s",
				 STR_ARG(o->mta), STR_ARG(o->text))
		       : o->text;
}

static void refuse(struct str key, struct str value, const char *why)
{
	log_warn("delivery status filter", log_s("status", key),
		log_s("value", value), log_z("problem", why));
}

static void replace(struct outcome_of *o, uint64_t id, struct str key,
	struct str words, struct str value, struct arena *a)
{
	struct str rest = value;
	struct str status = str_word(&rest, " ");
	int class, subject, detail;
	char text[ID_TEXT];

	if (!smtp_enhanced_parse(status, &class, &subject, &detail)) {
		refuse(key, value, "not a status and words: 4.7.1 try later");
		return;
	}
	if ((class == 2) != (o->kind == DELIVERED)) {
		refuse(key, value, "a success is no failure, nor the reverse");
		return;
	}
	id_text(id, text);
	log_info("filtered", log_z("queue_id", text), log_s("status", key),
		log_s("becomes", value));
	o->kind = class == 2 ? DELIVERED : class == 5 ? BOUNCED : DEFERRED;
	o->subject = subject;
	o->detail = detail;
	rest = str_trim(rest);
	if (rest.len == 0 || str_eq(rest, words))
		return;
	o->text = arena_str(a, rest);
	if (class != 2)
		o->code = 0; /* these are no server's words any more */
}

void status_filter(const struct status_filters *f, uint64_t id, struct str via,
	struct outcome_of *o, struct arena *a)
{
	struct maps *maps = find(f, via);
	struct fault fault;
	struct str value;

	if (maps == NULL)
		return;
	struct str words = words_of(o, a);
	struct str key = arena_printf(a, "%d.%d.%d %.*s", class_of(o->kind),
		o->subject, o->detail, STR_ARG(words));
	switch (maps_lookup(maps, key, a, &value, &fault)) {
	case TABLE_FOUND:
		replace(o, id, key, words, str_trim(value), a);
		break;
	case TABLE_NONE:
		break;
	case TABLE_ERROR:
		refuse(key, STR(""), fault.text);
		break;
	}
}
