/* SPDX-License-Identifier: ISC */
#include "net/dns_filter.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "codec/dns/rdata.h"
#include "sys/log.h"

static const struct {
	int type;
	const char *name;
} types[] = {{1, "A"}, {2, "NS"}, {5, "CNAME"}, {12, "PTR"}, {15, "MX"},
	{16, "TXT"}, {28, "AAAA"}, {33, "SRV"}, {52, "TLSA"}};

static const char *type_name(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return "TYPE";
}

static void put_address(struct str rdata, struct buf *out)
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

static void put_rdata(
	const char *type, struct str rdata, struct arena *a, struct buf *out)
{
	struct str text;
	struct dns_mx mx;
	struct dns_tlsa tlsa;

	switch (type[0] == 'T' ? type[1] : type[0]) {
	case 'A':
		put_address(rdata, out);
		break;
	case 'M':
		if (dns_mx_parse(rdata, a, &mx))
			buf_putf(out, "%u %.*s.", mx.preference,
				STR_ARG(mx.host));
		break;
	case 'X':
		if (dns_txt_parse(rdata, a, &text))
			buf_put(out, text);
		break;
	case 'S':
		if (dns_srv_text(rdata, a, &text))
			buf_put(out, text);
		break;
	case 'L':
		if (!dns_tlsa_parse(rdata, &tlsa))
			break;
		buf_putf(out, "%u %u %u ", tlsa.usage, tlsa.selector,
			tlsa.matching);
		for (size_t i = 0; i < tlsa.data.len; i++)
			buf_putf(out, "%02X", (unsigned char)tlsa.data.ptr[i]);
		break;
	case 'Y':
		break;
	default:
		put_name(rdata, a, out);
	}
}

static struct str record_text(
	struct str name, int type, struct str rdata, struct arena *a)
{
	const char *kind = type_name(type);
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 1 << 18);
	buf_putf(&b, "%.*s%s 0 IN %s ", STR_ARG(name),
		str_ends(name, ".") ? "" : ".", kind);
	put_rdata(kind, rdata, a, &b);
	return arena_str(a, buf_str(&b));
}

enum dns_result dns_filter(struct maps *filter, struct str name, int type,
	struct arena *a, struct strs *data, struct fault *f)
{
	struct strs kept = {0};

	for (size_t i = 0; i < data->n; i++) {
		struct str text = record_text(name, type, data->v[i], a);
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
		STR_ARG(name), type_name(type));
	return DNS_TEMP;
}
