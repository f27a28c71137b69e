/* SPDX-License-Identifier: ISC */
#include "conf/conf.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "codec/postfix/expand.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "sys/file.h"

enum { CONF_FILE_MAX = 4 << 20 };

const struct param params[] = {
#define PARAM(type, name, fallback, doc)                                       \
	{#name, PARAM_##type, fallback, doc, offsetof(struct conf, name)},
#define PARAM_AS(type, field, name, fallback, doc)                             \
	{name, PARAM_##type, fallback, doc, offsetof(struct conf, field)},
#include "conf/params.def"
#undef PARAM
#undef PARAM_AS
};
const size_t n_params = ARRAY_LEN(params);

const struct known_param known_params[] = {
#define KNOWN(name, kind, fallback, text) {name, KNOWN_##kind, fallback, text},
#include "conf/known.def"
#undef KNOWN
};
const size_t n_known_params = ARRAY_LEN(known_params);

const struct param *param_find(struct str name)
{
	for (size_t i = 0; i < n_params; i++)
		if (str_eqc(name, params[i].name))
			return &params[i];
	return NULL;
}

const struct known_param *known_param_find(struct str name)
{
	for (size_t i = 0; i < n_known_params; i++)
		if (str_eqc(name, known_params[i].name))
			return &known_params[i];
	return NULL;
}

const char *conf_find_dir(const char *from_option)
{
	const char *env = getenv("MAIL_CONFIG");

	if (from_option != NULL)
		return from_option;
	if (env != NULL && *env != '\0')
		return env;
	return access("/etc/postern/main.cf", F_OK) == 0 ||
			       access("/etc/postfix/main.cf", F_OK) != 0
		       ? "/etc/postern"
		       : "/etc/postfix";
}

/* ---- defaults that depend on the machine ---- */

static void compute(struct conf *c, const char *name, struct str value)
{
	struct str *copy = arena_make(c->a, struct str);

	*copy = arena_str(c->a, value);
	map_set(c->computed, str_from(name), copy);
}

static void put_network(
	struct buf *b, int family, const void *addr, unsigned bits)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(family, addr, text, sizeof(text));
	buf_putf(b, family == AF_INET6 ? "%s[%s]/%u" : "%s%s/%u",
		b->len > 0 ? " " : "", text, bits);
}

static unsigned mask_bits(const unsigned char *mask, size_t len)
{
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++)
		for (unsigned char m = mask[i]; m != 0;
			m = (unsigned char)(m << 1))
			bits += (m & 0x80) != 0;
	return bits;
}

/* mynetworks from the interfaces: postconf(5) mynetworks_style */
static void put_interface(struct buf *b, const struct ifaddrs *i, bool subnet)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (i->ifa_addr->sa_family == AF_INET) {
		unsigned bits = 32;

		memcpy(&in, i->ifa_addr, sizeof(in));
		uint32_t addr = in.sin_addr.s_addr;
		if (addr == htonl(INADDR_LOOPBACK)) {
			bits = 8;
			addr = htonl(0x7f000000);
		} else if (subnet && i->ifa_netmask != NULL) {
			memcpy(&in, i->ifa_netmask, sizeof(in));
			addr &= in.sin_addr.s_addr;
			bits = mask_bits(
				(const unsigned char *)&in.sin_addr, 4);
		}
		put_network(b, AF_INET, &addr, bits);
	} else if (i->ifa_addr->sa_family == AF_INET6) {
		memcpy(&in6, i->ifa_addr, sizeof(in6));
		if (!IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
			put_network(b, AF_INET6, &in6.sin6_addr, 128);
	}
}

static void compute_networks(struct conf *c, bool subnet)
{
	struct ifaddrs *list = NULL;
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	if (getifaddrs(&list) == 0)
		for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
			if (i->ifa_addr != NULL)
				put_interface(&b, i, subnet);
	freeifaddrs(list);
	compute(c, "mynetworks",
		b.len > 0 ? buf_str(&b) : STR("127.0.0.0/8 [::1]/128"));
}

static void compute_hostname(struct conf *c)
{
	char host[256] = "localhost";
	struct str value;
	const char *why;

	gethostname(host, sizeof(host) - 1);
	struct str name = str_from(host);
	const struct conf_entry *domain = conf_entry(c, STR("mydomain"));
	if (str_find(name, '.') < 0) {
		if (domain != NULL &&
			conf_expand_text(c, domain->raw, c->a, &value, &why))
			name = arena_printf(
				c->a, "%s.%.*s", host, STR_ARG(value));
		else
			name = arena_printf(c->a, "%s.localdomain", host);
	}
	compute(c, "myhostname", name);
	struct str full = name;
	if (conf_entry(c, STR("myhostname")) != NULL)
		conf_expand_name(c, STR("myhostname"), c->a, &full, &why);
	ptrdiff_t dot = str_find(full, '.');
	compute(c, "mydomain",
		dot >= 0 ? str_from_at(full, (size_t)dot + 1)
			 : STR("localdomain"));
}

/* ---- values ---- */

struct str conf_raw(const struct conf *c, struct str name)
{
	const struct conf_entry *e = map_get(c->entries, name);
	const struct str *computed;
	const struct param *p;
	const struct known_param *k;

	if (e != NULL)
		return e->raw;
	if ((computed = map_get(c->computed, name)) != NULL)
		return *computed;
	if ((p = param_find(name)) != NULL)
		return str_from(p->fallback);
	if ((k = known_param_find(name)) != NULL)
		return str_from(k->fallback);
	return STR_NONE;
}

static struct str lookup_raw(struct str name, void *ctx)
{
	const struct conf *c = ctx;

	return conf_raw(c, name);
}

bool conf_expand_text(const struct conf *c, struct str text, struct arena *a,
	struct str *value_r, const char **why_r)
{
	union {
		const struct conf *in;
		void *out;
	} ctx = {.in = c};

	return expand(text, lookup_raw, ctx.out, a, value_r, why_r);
}

bool conf_expand_name(const struct conf *c, struct str name, struct arena *a,
	struct str *value_r, const char **why_r)
{
	struct str raw = conf_raw(c, name);

	if (!str_present(raw)) {
		*value_r = STR_NONE;
		return true;
	}
	return conf_expand_text(c, raw, a, value_r, why_r);
}

const struct conf_entry *conf_entry(const struct conf *c, struct str name)
{
	return map_get(c->entries, name);
}

void conf_problem(const struct conf *c, struct problems *p,
	enum problem_level level, const char *param, struct str what,
	struct str write)
{
	const struct conf_entry *e = conf_entry(c, str_from(param));

	problem_add(p, level, e != NULL ? e->file : c->main_cf,
		e != NULL ? e->line : 0, what, write);
}

bool conf_option_has(struct str list, const char *word)
{
	struct str item;

	while (str_present(item = list_item(&list)))
		if (str_ieqc(item, word))
			return true;
	return false;
}

/* Default unit of a time: the one of its default value. */
static char unit_of(const char *fallback)
{
	size_t n = strlen(fallback);

	return n > 0 && ascii_is_alpha(fallback[n - 1]) ? fallback[n - 1] : 's';
}

static bool store(struct conf *c, const struct param *p, struct str value,
	struct str *hint_r)
{
	char *field = (char *)c + p->offset;
	bool yes;
	int64_t n;

	switch (p->type) {
	case PARAM_STR:
	case PARAM_RAW:
		memcpy(field, &value, sizeof(value));
		return true;
	case PARAM_BOOL:
		*hint_r = STR("write yes or no");
		if (!value_bool(value, &yes))
			return false;
		memcpy(field, &yes, sizeof(yes));
		return true;
	case PARAM_INT:
		*hint_r = STR("write a whole number without k or M");
		if (!value_int(value, &n) || n < 0)
			return false;
		memcpy(field, &n, sizeof(n));
		return true;
	case PARAM_TIME:
		*hint_r = STR("write a number and one of s m h d w");
		if (!value_time(value, unit_of(p->fallback), &n))
			return false;
		memcpy(field, &n, sizeof(n));
		return true;
	}
	return false;
}

static void evaluate(
	struct conf *c, const struct param *p, struct problems *problems)
{
	struct str name = str_from(p->name);
	struct str value, hint = STR_NONE;
	const char *why = NULL;

	if (p->type == PARAM_RAW) {
		value = conf_raw(c, name);
	} else if (!conf_expand_name(c, name, c->a, &value, &why)) {
		conf_problem(c, problems, PROBLEM_ERROR, p->name,
			arena_printf(c->a, "%s: %s", p->name, why), STR_NONE);
		conf_expand_text(c, str_from(p->fallback), c->a, &value, &why);
	}
	if (store(c, p, value, &hint))
		return;
	conf_problem(c, problems, PROBLEM_ERROR, p->name,
		arena_printf(c->a, "%s: bad value \"%.*s\"", p->name,
			STR_ARG(value)),
		hint);
	if (!conf_expand_text(c, str_from(p->fallback), c->a, &value, &why) ||
		!store(c, p, value, &hint))
		must(!"a default of params.def that does not parse");
}

/* ---- reading ---- */

static void set_entry(struct conf *c, struct str file, unsigned line,
	struct str name, struct str raw, struct problems *problems)
{
	struct conf_entry *e = arena_make(c->a, struct conf_entry);

	*e = (struct conf_entry){
		arena_str(c->a, name), arena_str(c->a, raw), file, line};
	struct conf_entry *old = map_set(c->entries, name, e);
	if (old != NULL && !str_eq(old->raw, raw) && str_eq(old->file, file))
		problem_add(problems, PROBLEM_WARNING, file, line,
			arena_printf(c->a,
				"%.*s: overrides the earlier entry of line %u",
				STR_ARG(name), old->line),
			STR("keep one of the two"));
}

static void read_text(
	struct conf *c, struct str text, struct problems *problems)
{
	struct logical_lines lines;
	struct logical_line line;
	size_t cap = 0;

	logical_lines_init(&lines, text, c->a);
	while (logical_lines_next(&lines, &line)) {
		struct str name, raw;

		if (line.stray) {
			problem_add(problems, PROBLEM_WARNING, c->main_cf,
				line.first,
				STR("the first entry starts with a blank: "
				    "it continues nothing and is skipped"),
				STR("remove the blank"));
			continue;
		}
		if (str_find(line.text, '\0') >= 0)
			problem_add(problems, PROBLEM_WARNING, c->main_cf,
				line.first, STR("a NUL byte"), STR_NONE);
		enum assignment_result r =
			assignment_parse(line.text, &name, &raw);
		if (r != ASSIGNMENT_OK) {
			problem_add(problems, PROBLEM_ERROR, c->main_cf,
				line.first,
				r == ASSIGNMENT_NO_EQUALS
					? STR("missing '=' behind the name")
					: STR("missing name before '='"),
				STR("write \"name = value\""));
			continue;
		}
		if (str_isearch(raw, STR(" #")) >= 0)
			problem_add(problems, PROBLEM_WARNING, c->main_cf,
				line.first,
				arena_printf(c->a,
					"%.*s: the # and what follows is part "
					"of the value",
					STR_ARG(name)),
				STR("put the comment on a line of its own"));
		set_entry(c, c->main_cf, line.first, name, raw, problems);
		if (c->n_order == cap) {
			cap = cap > 0 ? cap * 2 : 64;
			struct conf_entry *v =
				arena_alloc(c->a, cap * sizeof(*v));
			if (c->n_order > 0)
				memcpy(v, c->order, c->n_order * sizeof(*v));
			c->order = v;
		}
		c->order[c->n_order++] =
			*(struct conf_entry *)map_get(c->entries, name);
	}
}

/* myorigin = /etc/mailname: the first line of that file */
static void read_origin(struct conf *c, struct problems *problems)
{
	struct buf b CLEANUP(buf_fini);
	struct fault f;

	buf_init(&b, 8192);
	if (c->myorigin.len == 0 || c->myorigin.ptr[0] != '/')
		return;
	if (file_read(arena_cstr(c->a, c->myorigin), 4096, &b, &f)) {
		struct str rest = buf_str(&b);

		c->myorigin = arena_str(c->a, str_trim(str_cut(&rest, '\n')));
		return;
	}
	conf_problem(c, problems, PROBLEM_ERROR, "myorigin", str_from(f.text),
		STR("name a domain, or a file that has one"));
	c->myorigin = c->myhostname;
}

static struct conf *conf_new(const char *dir)
{
	struct conf *c = must_alloc(sizeof(*c));

	c->a = arena_new(SIZE_MAX);
	c->entries = map_new();
	c->computed = map_new();
	c->dir = arena_str(c->a, str_from(dir));
	c->main_cf = arena_printf(c->a, "%s/main.cf", dir);
	return c;
}

static bool read_file(
	struct conf *c, struct str path, struct str *text_r, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, CONF_FILE_MAX + 65536);
	if (!file_read(path.ptr, CONF_FILE_MAX, &text, f))
		return false;
	*text_r = text.len > 0 ? arena_str(c->a, buf_str(&text)) : STR("");
	return true;
}

static void load(struct conf *c, const struct conf_override *overrides,
	size_t n_overrides, struct problems *problems)
{
	struct str master_cf =
		arena_printf(c->a, "%.*s/master.cf", STR_ARG(c->dir));

	read_text(c, c->main_text, problems);
	for (size_t i = 0; i < n_overrides; i++)
		set_entry(c, master_cf, overrides[i].line, overrides[i].name,
			overrides[i].value, problems);
	compute(c, "config_directory", c->dir);
	compute(c, "mail_version", STR(POSTERN_VERSION));
	/* A system without aliases has none: that is no mistake. */
	if (access("/etc/aliases", F_OK) != 0) {
		compute(c, "alias_maps", STR(""));
		compute(c, "alias_database", STR(""));
	}
	compute_hostname(c);
	struct str style;
	const char *why;
	bool subnet = conf_expand_name(
			      c, STR("mynetworks_style"), c->a, &style, &why) &&
		      !str_ieqc(style, "host");
	compute_networks(c, subnet);
	for (size_t i = 0; i < n_params; i++)
		evaluate(c, &params[i], problems);
	read_origin(c, problems);
	conf_find_own_addresses(c);
}

struct conf *conf_load_texts(const char *dir, struct str main_text,
	struct str master_text, const struct conf_override *overrides,
	size_t n_overrides, struct problems *problems)
{
	struct conf *c = conf_new(dir);

	c->main_text = main_text;
	c->master_text = master_text;
	load(c, overrides, n_overrides, problems);
	return c;
}

struct conf *conf_load(const char *dir, struct problems *problems)
{
	struct conf *c = conf_new(dir);
	struct str master_cf = arena_printf(c->a, "%s/master.cf", dir);
	struct fault f;

	if (!read_file(c, c->main_cf, &c->main_text, &f))
		problem_add(problems, PROBLEM_ERROR, c->main_cf, 0,
			str_from(f.text),
			STR("name the directory of main.cf with -c"));
	if (!read_file(c, master_cf, &c->master_text, &f) &&
		access(master_cf.ptr, F_OK) == 0)
		problem_add(problems, PROBLEM_ERROR, master_cf, 0,
			str_from(f.text), STR("let it be read"));
	load(c, NULL, 0, problems);
	return c;
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	map_free(c->entries, NULL);
	map_free(c->computed, NULL);
	arena_free(c->a);
	free(c);
}
