/* SPDX-License-Identifier: ISC */
/* ldap_table(5): RFC 4511 by OpenLDAP's library. */
#include <ldap.h>
#include <string.h>

#include "codec/postfix/lines.h"
#include "conf/table_sql.h"

enum { SIZE_LIMIT_NONE = 0, ATTRIBUTES_MAX = 64 };

/* "ldap://host:port", "host:port", "host" */
static const char *url_of(
	const struct sql_conf *c, struct str host, struct arena *a)
{
	if (str_isearch(host, STR("://")) >= 0)
		return arena_cstr(a, host);
	if (str_find(host, ':') >= 0)
		return arena_printf(a, "ldap://%.*s", STR_ARG(host)).ptr;
	return arena_printf(a, "ldap://%.*s:%lld", STR_ARG(host),
		(long long)c->ldap.server_port)
		.ptr;
}

static int set_options(LDAP *ld, const struct sql_conf *c, struct arena *a)
{
	struct timeval wait = {.tv_sec = c->ldap.timeout};
	int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, zero = 0;
	int r = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);

	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &wait);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_TIMEOUT, &wait);
	/* A server that points elsewhere is not followed. */
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	if (r == LDAP_SUCCESS && c->ldap.ca_file.len > 0) {
		r = ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE,
			arena_cstr(a, c->ldap.ca_file));
		if (r == LDAP_SUCCESS)
			r = ldap_set_option(
				ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
		if (r == LDAP_SUCCESS)
			r = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &zero);
	}
	return r;
}

/* A copy: the library's types do not promise to leave a text alone. */
static char *writable(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

static int bind_as(LDAP *ld, const struct sql_conf *c, struct arena *a)
{
	struct berval password = {
		c->ldap.bind_pw.len, writable(a, c->ldap.bind_pw)};

	if (str_ieqc(c->ldap.bind, "no") || str_ieqc(c->ldap.bind, "none"))
		return LDAP_SUCCESS;
	return ldap_sasl_bind_s(ld, arena_cstr(a, c->ldap.bind_dn),
		LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
}

static void *server_connect(const struct sql_conf *c, struct str host,
	struct arena *a, struct fault *f)
{
	LDAP *ld = NULL;
	int r = ldap_initialize(&ld, url_of(c, host, a));

	if (r == LDAP_SUCCESS)
		r = set_options(ld, c, a);
	if (r == LDAP_SUCCESS && str_ieqc(c->ldap.start_tls, "yes"))
		r = ldap_start_tls_s(ld, NULL, NULL);
	if (r == LDAP_SUCCESS)
		r = bind_as(ld, c, a);
	if (r == LDAP_SUCCESS)
		return ld;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "ldap: %.*s: %s", STR_ARG(host),
		ldap_err2string(r));
	if (ld != NULL)
		ldap_unbind_ext_s(ld, NULL, NULL);
	return NULL;
}

static void server_close(void *link)
{
	ldap_unbind_ext_s(link, NULL, NULL);
}

/* RFC 4515 3 in filters and RFC 4514 2.4 in names: both take "\2a" for a byte,
 * so that what is special in either is written in that way. */
static struct str server_escape(
	void *link UNUSED, struct str s, struct arena *a)
{
	static const char special[] = "()*\\,+\"<>;=#";
	static const char hex[] = "0123456789abcdef";
	char *out = arena_alloc(a, s.len * 3 + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c > 0x20 && c < 0x7f &&
			str_find(str_from(special), (char)c) < 0) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return str_of(out, n);
}

static void take_entry(LDAP *ld, LDAPMessage *entry, char *const *attributes,
	struct sql_rows *rows)
{
	for (size_t i = 0; attributes[i] != NULL; i++) {
		struct berval **v =
			ldap_get_values_len(ld, entry, attributes[i]);

		for (int k = 0; v != NULL && v[k] != NULL; k++)
			sql_row(rows, str_of(v[k]->bv_val, v[k]->bv_len));
		ldap_value_free_len(v);
	}
}

/* query: search base, line end, filter */
static bool server_query(void *link, struct str query, struct sql_rows *rows,
	bool *lost_r, struct fault *f)
{
	const struct sql_conf *c = rows->c;
	struct str rest = query;
	struct str base = str_cut(&rest, '\n');
	struct str list = c->ldap.attributes, item;
	struct timeval wait = {.tv_sec = c->ldap.timeout};
	char *attributes[ATTRIBUTES_MAX + 1];
	LDAPMessage *result = NULL;
	size_t n = 0;
	int scope = str_ieqc(c->ldap.scope, "base")  ? LDAP_SCOPE_BASE
		    : str_ieqc(c->ldap.scope, "one") ? LDAP_SCOPE_ONELEVEL
						     : LDAP_SCOPE_SUBTREE;

	while (n < ATTRIBUTES_MAX && str_present(item = list_item(&list)))
		attributes[n++] = writable(rows->a, item);
	attributes[n] = NULL;
	int r = ldap_search_ext_s(link, arena_cstr(rows->a, base), scope,
		arena_cstr(rows->a, rest), attributes, 0, NULL, NULL, &wait,
		SIZE_LIMIT_NONE, &result);
	if (r == LDAP_SUCCESS)
		for (LDAPMessage *e = ldap_first_entry(link, result); e != NULL;
			e = ldap_next_entry(link, e))
			take_entry(link, e, attributes, rows);
	ldap_msgfree(result);
	/* A base that %d leads to need not exist. */
	if (r == LDAP_SUCCESS || r == LDAP_NO_SUCH_OBJECT)
		return true;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "ldap: %s", ldap_err2string(r));
	*lost_r = r == LDAP_SERVER_DOWN || r == LDAP_TIMEOUT ||
		  r == LDAP_UNAVAILABLE || r == LDAP_BUSY;
	return false;
}

static const struct sql_driver driver = {.connect = server_connect,
	.close = server_close,
	.escape = server_escape,
	.query = server_query,
	.is_ldap = true};

static bool open_table(struct table *t, unsigned flags UNUSED,
	struct problems *p, struct fault *f)
{
	return sql_open(t, &driver, p, f);
}

const struct table_engine table_ldap = {
	open_table, sql_lookup, sql_close, .waits = true};
