/* SPDX-License-Identifier: ISC */
#include "conf/table_sql.h"

#include <pthread.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "sys/clock.h"
#include "sys/file.h"

enum {
	POOL_MAX = 8,
	CONF_BYTES_MAX = 1 << 20,
	RESULT_MAX = 16 << 20,
	IDLE_MS = 60000
};

struct sql_link {
	void *link;
	int64_t idle_ms; /* since when */
};

struct sql {
	struct sql_conf c;
	const struct sql_driver *d;
	pthread_mutex_t lock; /* pool, n */
	struct sql_link pool[POOL_MAX];
	size_t n;
};

/* ---- the file of parameters ---- */

struct reader {
	struct table *t;
	struct sql *s;
	struct problems *p;
	struct arena *a;
	struct str table, select_field, where_field, additional_conditions;
};

/* ldap_table(5); true: it was one of them. */
static bool set_ldap(struct reader *r, struct str name, struct str value)
{
	struct sql_conf *c = &r->s->c;
	const struct {
		const char *name;
		struct str *to;
	} texts[] = {{"search_base", &c->ldap.search_base},
		{"query_filter", &c->query}, {"scope", &c->ldap.scope},
		{"bind", &c->ldap.bind}, {"bind_dn", &c->ldap.bind_dn},
		{"bind_pw", &c->ldap.bind_pw},
		{"result_attribute", &c->ldap.attributes},
		{"result_filter", &c->result_format},
		{"start_tls", &c->ldap.start_tls},
		{"tls_ca_cert_file", &c->ldap.ca_file}};
	struct str item;

	/* SASL and its kin do not act: that is told, not taken for simple. */
	if (str_eqc(name, "bind") && !str_ieqc(value, "yes") &&
		!str_ieqc(value, "no") && !str_ieqc(value, "simple") &&
		!str_ieqc(value, "none"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (str_eqc(name, texts[i].name)) {
			*texts[i].to = arena_str(r->a, value);
			return true;
		}
	if (str_eqc(name, "server_host")) {
		while (str_present(item = list_item(&value)))
			strs_add(&c->hosts, r->a, arena_str(r->a, item));
		return true;
	}
	return (str_eqc(name, "server_port") &&
		       value_int(value, &c->ldap.server_port)) ||
	       (str_eqc(name, "timeout") &&
		       value_int(value, &c->ldap.timeout)) ||
	       (str_eqc(name, "version") && str_eqc(value, "3"));
}

static void set(
	struct reader *r, struct str name, struct str value, unsigned line)
{
	struct sql_conf *c = &r->s->c;
	const struct {
		const char *name;
		struct str *to;
	} texts[] = {{"user", &c->user}, {"password", &c->password},
		{"dbname", &c->dbname}, {"dbpath", &c->dbpath},
		{"query", &c->query}, {"result_format", &c->result_format},
		{"domain", &c->domain}, {"charset", &c->encoding},
		{"encoding", &c->encoding}, {"table", &r->table},
		{"select_field", &r->select_field},
		{"where_field", &r->where_field},
		{"additional_conditions", &r->additional_conditions}};
	struct str item;

	if (r->s->d->is_ldap && set_ldap(r, name, value))
		return;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (str_eqc(name, texts[i].name)) {
			*texts[i].to = arena_str(r->a, value);
			return;
		}
	if (str_eqc(name, "hosts")) {
		while (str_present(item = list_item(&value)))
			strs_add(&c->hosts, r->a, arena_str(r->a, item));
	} else if (!str_eqc(name, "expansion_limit") ||
		   !value_int(value, &c->expansion_limit)) {
		if (r->p != NULL)
			problem_add(r->p, PROBLEM_WARNING, r->t->name, line,
				arena_printf(r->p->a,
					"%.*s: no such parameter here",
					STR_ARG(name)),
				STR("take it out"));
	}
}

/* The form of before Postfix 2.2. */
static void old_query(struct reader *r)
{
	if (r->s->c.query.len == 0 && r->table.len > 0)
		r->s->c.query = arena_printf(r->a,
			"SELECT %.*s FROM %.*s WHERE %.*s = '%%s' %.*s",
			STR_ARG(r->select_field), STR_ARG(r->table),
			STR_ARG(r->where_field),
			STR_ARG(r->additional_conditions));
}

static bool read_conf(struct reader *r, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	struct logical_lines lines;
	struct logical_line line;
	struct str name, value;

	if (r->t->name.len == 0 || r->t->name.ptr[0] != '/')
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"write %.*s:/path/of/its/parameters",
			STR_ARG(r->t->type));
	buf_init(&text, CONF_BYTES_MAX + 65536);
	if (!file_read(r->t->name.ptr, CONF_BYTES_MAX, &text, f))
		return false;
	logical_lines_init(&lines, arena_str(r->a, buf_str(&text)), r->a);
	while (logical_lines_next(&lines, &line))
		if (assignment_parse(line.text, &name, &value) == ASSIGNMENT_OK)
			set(r, name, value, line.first);
	old_query(r);
	if (r->s->c.query.len == 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "%.*s: no query",
			STR_ARG(r->t->name));
	if (r->s->d->is_file && r->s->c.dbpath.len == 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "%.*s: no dbpath",
			STR_ARG(r->t->name));
	return true;
}

bool sql_open(struct table *t, const struct sql_driver *d, struct problems *p,
	struct fault *f)
{
	struct arena *a = tables_arena(t->owner);
	struct sql *s = arena_make(a, struct sql);
	struct reader r = {.t = t, .s = s, .p = p, .a = a};

	s->d = d;
	s->c.result_format = STR("%s");
	s->c.ldap.scope = STR("sub");
	s->c.ldap.bind = STR("yes");
	s->c.ldap.attributes = STR("maildrop");
	s->c.ldap.server_port = 389;
	s->c.ldap.timeout = 10;
	if (d->is_ldap)
		s->c.query = STR("(mailacceptinggeneralid=%s)");
	pthread_mutex_init(&s->lock, NULL);
	t->state = s;
	if (!read_conf(&r, f))
		return false;
	if (d->is_ldap)
		s->c.query = arena_printf(a, "%.*s\n%.*s",
			STR_ARG(s->c.ldap.search_base), STR_ARG(s->c.query));
	if (d->is_file)
		strs_add(&s->c.hosts, a, s->c.dbpath);
	else if (s->c.hosts.n == 0)
		strs_add(&s->c.hosts, a, STR("localhost"));
	return true;
}

void sql_close(struct table *t)
{
	struct sql *s = t->state;

	for (size_t i = 0; i < s->n; i++)
		s->d->close(s->pool[i].link);
	pthread_mutex_destroy(&s->lock);
	t->state = NULL;
}

/* ---- connections ---- */

static void *take(struct sql *s, struct arena *a, struct fault *f)
{
	struct sql_link l = {0};

	pthread_mutex_lock(&s->lock);
	if (s->n > 0)
		l = s->pool[--s->n];
	pthread_mutex_unlock(&s->lock);
	if (l.link != NULL && clock_mono_ms() - l.idle_ms < IDLE_MS)
		return l.link;
	if (l.link != NULL)
		s->d->close(l.link);
	for (size_t i = 0; i < s->c.hosts.n; i++) {
		void *link = s->d->connect(&s->c, s->c.hosts.v[i], a, f);

		if (link != NULL)
			return link;
	}
	return NULL;
}

static void give(struct sql *s, void *link)
{
	pthread_mutex_lock(&s->lock);
	bool keep = s->n < POOL_MAX;
	if (keep)
		s->pool[s->n++] = (struct sql_link){link, clock_mono_ms()};
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		s->d->close(link);
}

/* ---- texts ---- */

/* The n-th label of a domain from the right, from 1; absent without. */
static struct str label(struct str domain, int n)
{
	for (; n > 1; n--) {
		ptrdiff_t dot = str_rfind(domain, '.');

		if (dot < 0)
			return STR_NONE;
		domain = str_sub(domain, 0, (size_t)dot);
	}
	ptrdiff_t dot = str_rfind(domain, '.');
	return dot < 0 ? domain : str_from_at(domain, (size_t)dot + 1);
}

static struct str part(struct str whole, char what)
{
	ptrdiff_t at = str_rfind(whole, '@');
	struct str domain =
		at < 0 ? STR_NONE : str_from_at(whole, (size_t)at + 1);

	switch (ascii_lower(what)) {
	case 's':
		return whole;
	case 'u':
		return at < 0 ? whole : str_sub(whole, 0, (size_t)at);
	case 'd':
		return domain;
	default:
		return str_present(domain) ? label(domain, what - '0')
					   : label(whole, what - '0');
	}
}

bool sql_expand(struct str template, struct str value, struct str key,
	const struct sql_driver *d, void *link, struct arena *a,
	struct buf *out)
{
	for (size_t i = 0; i < template.len; i++) {
		char c = template.ptr[i];
		char next = i + 1 < template.len ? template.ptr[i + 1] : '\0';
		struct str text;

		if (c != '%' || next == '\0') {
			buf_putc(out, c);
			continue;
		}
		i++;
		if (next == '%') {
			buf_putc(out, '%');
			continue;
		}
		bool of_key = next == 'S' || next == 'U' || next == 'D';
		if (!of_key && next != 's' && next != 'u' && next != 'd' &&
			!(next >= '1' && next <= '9')) {
			buf_putc(out, c);
			buf_putc(out, next);
			continue;
		}
		text = part(of_key ? key : value, next);
		if (!str_present(text) || text.len == 0)
			return false;
		/* Bytes that are no text there cannot be asked for. */
		if (d != NULL && (text = d->escape(link, text, a)).len == 0)
			return false;
		buf_put(out, text);
	}
	return true;
}

void sql_row(struct sql_rows *rows, struct str column)
{
	struct buf one CLEANUP(buf_fini);

	buf_init(&one, RESULT_MAX);
	if (column.len == 0 || !sql_expand(rows->c->result_format, column,
				       rows->key, NULL, NULL, rows->a, &one))
		return;
	if (rows->n++ > 0)
		buf_putc(&rows->out, ',');
	buf_put(&rows->out, buf_str(&one));
}

/* ---- looking up ---- */

static bool is_asked_for(const struct sql_conf *c, struct str key)
{
	ptrdiff_t at = str_rfind(key, '@');
	struct str rest = c->domain, item;

	if (c->domain.len == 0)
		return true;
	while (at >= 0 && str_present(item = list_item(&rest)))
		if (str_ieq(str_from_at(key, (size_t)at + 1), item))
			return true;
	return false;
}

static enum table_result ask_once(struct sql *s, struct str key,
	struct arena *a, struct sql_rows *rows, bool *lost_r, struct fault *f)
{
	struct buf sql CLEANUP(buf_fini);
	void *link = take(s, a, f);

	*lost_r = false;
	if (link == NULL)
		return TABLE_ERROR;
	buf_init(&sql, RESULT_MAX);
	bool wanted = sql_expand(s->c.query, key, key, s->d, link, a, &sql);
	bool ok = !wanted || s->d->query(link, buf_str(&sql), rows, lost_r, f);
	if (*lost_r)
		s->d->close(link);
	else
		give(s, link);
	return !ok ? TABLE_ERROR : rows->n > 0 ? TABLE_FOUND : TABLE_NONE;
}

enum table_result sql_lookup(struct table *t, struct str key, struct arena *a,
	struct str *value_r, struct fault *f)
{
	struct sql *s = t->state;
	struct sql_rows rows = {.c = &s->c, .key = key, .a = a};
	enum table_result r = TABLE_ERROR;
	bool lost = true;

	if (!is_asked_for(&s->c, key) || str_find(key, '\0') >= 0)
		return TABLE_NONE;
	/* A kept connection may have been closed by the server. */
	for (int i = 0; i < 1 + POOL_MAX && lost; i++) {
		buf_init(&rows.out, RESULT_MAX);
		rows.n = 0;
		r = ask_once(s, key, a, &rows, &lost, f);
		if (r == TABLE_FOUND)
			*value_r = arena_str(a, buf_str(&rows.out));
		buf_fini(&rows.out);
	}
	if (r == TABLE_FOUND && s->c.expansion_limit > 0 &&
		rows.n > s->c.expansion_limit) {
		fault_set(f, FAULT_TEMP, 451, 3, 0,
			"%.*s: more than %lld results", STR_ARG(t->spec),
			(long long)s->c.expansion_limit);
		return TABLE_ERROR;
	}
	return r;
}
