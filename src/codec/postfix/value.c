/* SPDX-License-Identifier: ISC */
#include "codec/postfix/value.h"

#include <arpa/inet.h>
#include <string.h>

bool value_bool(struct str s, bool *v_r)
{
	if (!str_ieqc(s, "yes") && !str_ieqc(s, "no"))
		return false;
	*v_r = str_ieqc(s, "yes");
	return true;
}

bool value_int(struct str s, int64_t *v_r)
{
	return str_i64(s, v_r);
}

bool value_time(struct str s, char default_unit, int64_t *seconds_r)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {
		{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t n = 0;
	uint64_t v;

	while (n < s.len && ascii_is_digit(s.ptr[n]))
		n++;
	if (!str_u64(str_sub(s, 0, n), &v) || v > 1000000000)
		return false;
	char unit = n < s.len ? s.ptr[n] : default_unit;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == unit) {
			*seconds_r = (int64_t)v * units[i].seconds;
			return true;
		}
	return false;
}

bool address_parse(struct str s, unsigned char addr[16], size_t *len_r)
{
	char text[INET6_ADDRSTRLEN];
	static const unsigned char mapped[12] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (s.len >= 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']')
		s = str_sub(s, 1, s.len - 2);
	if (str_istarts(s, "IPv6:"))
		s = str_from_at(s, 5);
	if (s.len == 0 || s.len >= sizeof(text) || str_find(s, '\0') >= 0)
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	if (inet_pton(AF_INET, text, addr) == 1) {
		*len_r = 4;
		return true;
	}
	if (inet_pton(AF_INET6, text, addr) != 1)
		return false;
	*len_r = 16;
	if (memcmp(addr, mapped, sizeof(mapped)) == 0) {
		memmove(addr, addr + 12, 4);
		*len_r = 4;
	}
	return true;
}

static bool bit(const unsigned char *addr, unsigned n)
{
	return (addr[n / 8] >> (7 - n % 8) & 1) != 0;
}

enum cidr_result cidr_parse(struct str s, struct cidr *cidr_r)
{
	struct cidr c = {0};
	uint64_t bits;
	ptrdiff_t slash = str_rfind(s, '/');
	struct str net = slash < 0 ? s : str_sub(s, 0, (size_t)slash);
	bool mapped = str_isearch(net, STR("::ffff:")) >= 0;

	if (!address_parse(net, c.addr, &c.len))
		return CIDR_NOT_ONE;
	bits = c.len * 8;
	if (slash >= 0) {
		if (!str_u64(str_from_at(s, (size_t)slash + 1), &bits))
			return CIDR_NOT_ONE;
		if (mapped && c.len == 4 && bits >= 96)
			bits -= 96;
		if (bits > c.len * 8)
			return CIDR_NOT_ONE;
	}
	c.bits = (unsigned)bits;
	for (unsigned i = c.bits; i < c.len * 8; i++)
		if (bit(c.addr, i))
			return CIDR_HOST_BITS;
	*cidr_r = c;
	return CIDR_OK;
}

bool cidr_match(const struct cidr *c, const unsigned char *addr, size_t len)
{
	if (c->len != len)
		return false;
	unsigned whole = c->bits / 8;
	if (memcmp(c->addr, addr, whole) != 0)
		return false;
	for (unsigned i = whole * 8; i < c->bits; i++)
		if (bit(c->addr, i) != bit(addr, i))
			return false;
	return true;
}

bool hostname_valid(struct str s)
{
	bool letters = false;

	if (s.len == 0 || s.len > 255)
		return false;
	while (str_present(s)) {
		struct str label = str_cut(&s, '.');

		if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
			label.ptr[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++) {
			char c = label.ptr[i];

			if (!ascii_is_alnum(c) && c != '-' && c != '_')
				return false;
			letters |= !ascii_is_digit(c);
		}
	}
	return letters;
}

enum { NAME_MAX_LEN = 80 };

/* Levenshtein distance with one row. */
static size_t distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_LEN + 1];

	if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t best =
				diagonal + (ascii_lower(a.ptr[i - 1]) !=
						   ascii_lower(b.ptr[j - 1]));
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b.len];
}

const char *nearest_name(struct str word, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t best_distance = word.len < 6 ? 2 : 3;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, str_from(names[i]));

		if (d <= best_distance && (best == NULL || d < best_distance)) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}
