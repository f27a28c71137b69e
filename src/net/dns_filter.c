/* SPDX-License-Identifier: ISC */
#include "net/dns_filter.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "codec/dns/rdata.h"
#include "sys/log.h"

/* ---- what a table sees of the data ---- */

typedef void put_f(struct str rdata, struct arena *a, struct buf *out);

static void put_address(
	struct str rdata, struct arena *a UNUSED, struct buf *out)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (rdata.len == 4 || rdata.len == 16)
		inet_ntop(rdata.len == 4 ? AF_INET : AF_INET6, rdata.ptr, text,
			sizeof(text));
	buf_puts(out, text);
}

static void put_name(struct str rdata, struct arena *a, struct buf *out)
{
	struct str name;

	if (dns_name_parse(&rdata, a, &name))
		buf_putf(out, "%.*s.", STR_ARG(name));
}

static void put_mx(struct str rdata, struct arena *a, struct buf *out)
{
	struct dns_mx mx;

	if (dns_mx_parse(rdata, a, &mx))
		buf_putf(out, "%u %.*s.", mx.preference, STR_ARG(mx.host));
}

static void put_txt(struct str rdata, struct arena *a, struct buf *out)
{
	struct str text;

	if (dns_txt_parse(rdata, a, &text))
		buf_put(out, text);
}

static void put_srv(struct str rdata, struct arena *a, struct buf *out)
{
	struct str text;

	if (dns_srv_text(rdata, a, &text))
		buf_put(out, text);
}

static void put_tlsa(struct str rdata, struct arena *a UNUSED, struct buf *out)
{
	struct dns_tlsa t;

	if (!dns_tlsa_parse(rdata, &t))
		return;
	buf_putf(out, "%u %u %u ", t.usage, t.selector, t.matching);
	for (size_t i = 0; i < t.data.len; i++)
		buf_putf(out, "%02X", (unsigned char)t.data.ptr[i]);
}

static const struct record_type {
	int type;
	const char *name;
	put_f *put;
} types[] = {{1, "A", put_address}, {2, "NS", put_name}, {5, "CNAME", put_name},
	{12, "PTR", put_name}, {15, "MX", put_mx}, {16, "TXT", put_txt},
	{28, "AAAA", put_address}, {33, "SRV", put_srv},
	{52, "TLSA", put_tlsa}};

/* NULL: a type of which we read nothing. */
static const struct record_type *type_of(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

static struct str record_text(struct str name, const struct record_type *t,
	struct str rdata, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 1 << 18);
	buf_putf(&b, "%.*s%s 0 IN %s ", STR_ARG(name),
		str_ends(name, ".") ? "" : ".", t->name);
	t->put(rdata, a, &b);
	return arena_str(a, buf_str(&b));
}

/* ---- the filter ---- */

enum dns_result dns_filter(struct maps *filter, struct str name, int type,
	struct arena *a, struct strs *data, struct fault *f)
{
	const struct record_type *t = type_of(type);
	struct strs kept = {0};

	if (t == NULL)
		return DNS_OK;
	for (size_t i = 0; i < data->n; i++) {
		struct str text = record_text(name, t, data->v[i], a);
		struct str value;
		enum table_result r = maps_lookup(filter, text, a, &value, f);

		if (r == TABLE_ERROR)
			return DNS_TEMP;
		if (r == TABLE_FOUND && str_ieqc(value, "IGNORE"))
			continue;
		if (r == TABLE_FOUND)
			log_warn("DNS reply filter", log_s("record", text),
				log_s("value", value),
				log_z("problem", "not IGNORE"));
		strs_add(&kept, a, data->v[i]);
	}
	*data = kept;
	if (kept.n > 0)
		return DNS_OK;
	fault_set(f, FAULT_TEMP, 451, 7, 0,
		"DNS: %.*s: the DNS reply filter drops all of its %s records",
		STR_ARG(name), t->name);
	return DNS_TEMP;
}
