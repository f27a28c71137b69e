/* SPDX-License-Identifier: ISC */
#include "codec/smtp/proxy.h"

#include <string.h>

#include "codec/postfix/value.h"

enum { V1_MAX = 107, V2_HEAD = 16 };

static const char v2_signature[12] = {
	'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static unsigned u16_at(struct str s, size_t at)
{
	return (unsigned)(unsigned char)s.ptr[at] << 8 |
	       (unsigned char)s.ptr[at + 1];
}

static bool take_address(struct str word, size_t len, unsigned char addr[16])
{
	size_t got;

	/* An IPv4 address in IPv6 clothes is none of the protocol's. */
	return str_present(word) && address_parse(word, addr, &got) &&
	       got == len;
}

static bool take_port(struct str word, unsigned *port_r)
{
	uint64_t n;

	if (!str_present(word) || !str_u64(word, &n) || n > 65535)
		return false;
	*port_r = (unsigned)n;
	return true;
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\n" */
static enum proxy_result parse_v1(struct str in, struct proxy_header *h)
{
	ptrdiff_t nl = str_find(in, '\n');

	if (nl < 0)
		return in.len >= V1_MAX ? PROXY_BAD : PROXY_MORE;
	struct str rest = str_sub(in, 0, (size_t)nl);
	if (nl >= V1_MAX || !str_ends(rest, "\r"))
		return PROXY_BAD;
	rest.len--;
	h->bytes = (size_t)nl + 1;
	str_cut(&rest, ' ');
	struct str kind = str_cut(&rest, ' ');
	if (str_eqc(kind, "UNKNOWN")) {
		h->local = true;
		return PROXY_OK;
	}
	h->addr_len = str_eqc(kind, "TCP4") ? 4 : 16;
	if (h->addr_len == 16 && !str_eqc(kind, "TCP6"))
		return PROXY_BAD;
	struct str client = str_cut(&rest, ' ');
	struct str server = str_cut(&rest, ' ');
	struct str client_port = str_cut(&rest, ' ');
	return take_address(client, h->addr_len, h->client) &&
			       take_address(server, h->addr_len, h->server) &&
			       take_port(client_port, &h->client_port) &&
			       take_port(rest, &h->server_port)
		       ? PROXY_OK
		       : PROXY_BAD;
}

static enum proxy_result parse_v2(struct str in, struct proxy_header *h)
{
	if (in.len < V2_HEAD)
		return PROXY_MORE;
	unsigned char version = (unsigned char)in.ptr[12];
	unsigned char family = (unsigned char)in.ptr[13];
	size_t len = u16_at(in, 14);

	if ((version & 0xf0) != 0x20 || (version & 0x0f) > 1 ||
		V2_HEAD + len > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (in.len < V2_HEAD + len)
		return PROXY_MORE;
	h->bytes = V2_HEAD + len;
	/* LOCAL, or no stream of the Internet: the balancer's own. */
	h->addr_len = family == 0x11 ? 4 : family == 0x21 ? 16 : 0;
	if ((version & 0x0f) == 0 || h->addr_len == 0) {
		h->local = true;
		return PROXY_OK;
	}
	if (len < h->addr_len * 2 + 4)
		return PROXY_BAD;
	memcpy(h->client, in.ptr + V2_HEAD, h->addr_len);
	memcpy(h->server, in.ptr + V2_HEAD + h->addr_len, h->addr_len);
	h->client_port = u16_at(in, V2_HEAD + h->addr_len * 2);
	h->server_port = u16_at(in, V2_HEAD + h->addr_len * 2 + 2);
	return PROXY_OK;
}

enum proxy_result proxy_header_parse(struct str in, struct proxy_header *h_r)
{
	static const char v1[] = "PROXY ";
	struct proxy_header h = {0};
	size_t n1 = in.len < 6 ? in.len : 6;
	size_t n2 = in.len < 12 ? in.len : 12;
	enum proxy_result r;

	if (in.len == 0)
		return PROXY_MORE;
	if (memcmp(in.ptr, v1, n1) == 0)
		r = n1 < 6 ? PROXY_MORE : parse_v1(in, &h);
	else if (memcmp(in.ptr, v2_signature, n2) == 0)
		r = n2 < 12 ? PROXY_MORE : parse_v2(in, &h);
	else
		return PROXY_BAD;
	if (r == PROXY_OK)
		*h_r = h;
	return r;
}
