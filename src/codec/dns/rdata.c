/* SPDX-License-Identifier: ISC */
#include "codec/dns/rdata.h"

#include "base/buf.h"

bool dns_name_parse(struct str *in, struct arena *a, struct str *name_r)
{
	struct buf name CLEANUP(buf_fini);
	struct str s = *in;
	size_t i = 0;

	buf_init(&name, 256);
	for (;;) {
		if (i >= s.len)
			return false;
		unsigned char n = (unsigned char)s.ptr[i++];
		if (n == 0)
			break;
		/* 0xc0 would be a pointer: never in an answer to us. */
		if (n > 63 || n > s.len - i)
			return false;
		if (name.len > 0)
			buf_putc(&name, '.');
		for (size_t j = 0; j < n; j++) {
			char c = s.ptr[i + j];

			/* Nothing that could be read as another name. */
			if ((unsigned char)c <= 0x20 ||
				(unsigned char)c >= 0x7f || c == '.')
				return false;
			buf_putc(&name, c);
		}
		i += n;
	}
	if (buf_over(&name))
		return false;
	*name_r = arena_str(a, name.len > 0 ? buf_str(&name) : STR("."));
	*in = str_from_at(s, i);
	return true;
}

bool dns_mx_parse(struct str rdata, struct arena *a, struct dns_mx *mx_r)
{
	struct dns_mx mx;

	if (rdata.len < 3)
		return false;
	mx.preference = (unsigned)((unsigned char)rdata.ptr[0] << 8 |
				   (unsigned char)rdata.ptr[1]);
	rdata = str_from_at(rdata, 2);
	if (!dns_name_parse(&rdata, a, &mx.host) || rdata.len != 0)
		return false;
	*mx_r = mx;
	return true;
}

bool dns_tlsa_parse(struct str rdata, struct dns_tlsa *tlsa_r)
{
	if (rdata.len < 4)
		return false;
	*tlsa_r = (struct dns_tlsa){(unsigned char)rdata.ptr[0],
		(unsigned char)rdata.ptr[1], (unsigned char)rdata.ptr[2],
		str_from_at(rdata, 3)};
	return true;
}

static unsigned number16(struct str rdata, size_t at)
{
	return (unsigned)(unsigned char)rdata.ptr[at] << 8 |
	       (unsigned char)rdata.ptr[at + 1];
}

bool dns_srv_parse(struct str rdata, struct arena *a, struct dns_srv *srv_r)
{
	struct str rest = str_from_at(rdata, 6), host;

	if (rdata.len < 7 || !dns_name_parse(&rest, a, &host))
		return false;
	*srv_r = (struct dns_srv){number16(rdata, 0), number16(rdata, 2),
		number16(rdata, 4), host};
	return true;
}

bool dns_srv_text(struct str rdata, struct arena *a, struct str *text_r)
{
	struct dns_srv srv;

	if (!dns_srv_parse(rdata, a, &srv))
		return false;
	*text_r = arena_printf(a, "%u %u %u %.*s%s", srv.priority, srv.weight,
		srv.port, STR_ARG(srv.host), str_eqc(srv.host, ".") ? "" : ".");
	return true;
}

bool dns_caa_text(struct str rdata, struct arena *a, struct str *text_r)
{
	size_t n = rdata.len < 2 ? 0 : (unsigned char)rdata.ptr[1];

	if (rdata.len < 3 || n == 0 || n > rdata.len - 2)
		return false;
	*text_r = arena_printf(a, "%u %.*s \"%.*s\"",
		(unsigned char)rdata.ptr[0], STR_ARG(str_sub(rdata, 2, n)),
		STR_ARG(str_from_at(rdata, 2 + n)));
	return true;
}

bool dns_txt_parse(struct str rdata, struct arena *a, struct str *text_r)
{
	char *out = arena_alloc(a, rdata.len + 1);
	size_t n = 0;

	while (rdata.len > 0) {
		size_t len = (unsigned char)rdata.ptr[0];

		if (len > rdata.len - 1)
			return false;
		for (size_t i = 0; i < len; i++)
			out[n++] = rdata.ptr[1 + i];
		rdata = str_from_at(rdata, 1 + len);
	}
	*text_r = str_of(out, n);
	return true;
}

struct str dns_reverse_name(const unsigned char *addr, size_t len,
	const char *zone4, const char *zone6, struct arena *a)
{
	static const char hex[] = "0123456789abcdef";

	if (len == 4)
		return arena_printf(a, "%u.%u.%u.%u.%s", addr[3], addr[2],
			addr[1], addr[0], zone4);
	char nibbles[65];
	for (size_t i = 0; i < 16; i++) {
		unsigned char b = addr[15 - i];

		nibbles[4 * i] = hex[b & 15];
		nibbles[4 * i + 1] = '.';
		nibbles[4 * i + 2] = hex[b >> 4];
		nibbles[4 * i + 3] = '.';
	}
	nibbles[64] = '\0';
	return arena_printf(a, "%s%s", nibbles, zone6);
}
