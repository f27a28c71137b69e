/* SPDX-License-Identifier: ISC */
#include "codec/sasl/sasl.h"

#include "base/utf8.h"

bool sasl_plain_parse(struct str message, struct sasl_plain *plain_r)
{
	struct sasl_plain p;
	struct str rest = message;

	p.authzid = str_cut(&rest, '\0');
	if (!str_present(rest))
		return false;
	p.authcid = str_cut(&rest, '\0');
	if (!str_present(rest) || str_find(rest, '\0') >= 0)
		return false;
	p.password = rest;
	if (p.authcid.len == 0 || p.password.len == 0 || !utf8_valid(message))
		return false;
	*plain_r = p;
	return true;
}

bool sasl_name_decode(struct str s, struct arena *a, struct str *name_r)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] != '=') {
			out[n++] = s.ptr[i];
			continue;
		}
		struct str escape = str_sub(s, i, 3);
		if (str_eqc(escape, "=2C"))
			out[n++] = ',';
		else if (str_eqc(escape, "=3D"))
			out[n++] = '=';
		else
			return false;
		i += 2;
	}
	*name_r = str_of(out, n);
	return n > 0 && utf8_valid(*name_r) && str_find(*name_r, '\0') < 0;
}

/* attribute "x=value" at the front of *rest, up to the next comma */
static bool attribute(struct str *rest, char name, struct str *value_r)
{
	struct str word = str_cut(rest, ',');

	if (word.len < 3 || word.ptr[0] != name || word.ptr[1] != '=')
		return false;
	*value_r = str_from_at(word, 2);
	return true;
}

static bool nonce_valid(struct str nonce)
{
	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.ptr[i] < 0x21 || nonce.ptr[i] > 0x7e)
			return false;
	return nonce.len > 0 && nonce.len <= 256;
}

bool scram_client_first_parse(
	struct str message, struct arena *a, struct scram_client_first *first_r)
{
	struct scram_client_first f = {0};
	struct str rest = message;
	struct str flag = str_cut(&rest, ',');

	if (flag.len == 0 || !str_present(rest))
		return false;
	f.binding = flag.ptr[0];
	bool named = f.binding == 'p' && str_starts(flag, "p=") && flag.len > 2;
	if (!named &&
		!(flag.len == 1 && (f.binding == 'n' || f.binding == 'y')))
		return false;
	if (named)
		f.binding_name = str_from_at(flag, 2);
	struct str authzid = str_cut(&rest, ',');
	if (!str_present(rest))
		return false;
	if (authzid.len > 0 &&
		(!str_starts(authzid, "a=") ||
			!sasl_name_decode(
				str_from_at(authzid, 2), a, &f.authzid)))
		return false;
	f.bare = rest;
	f.gs2 = str_sub(message, 0, (size_t)(rest.ptr - message.ptr));
	struct str user;
	/* A reserved m= extension must be refused: RFC 5802 5.1 */
	if (!attribute(&rest, 'n', &user) ||
		!sasl_name_decode(user, a, &f.user) ||
		!attribute(&rest, 'r', &f.nonce) || !nonce_valid(f.nonce))
		return false;
	*first_r = f;
	return true;
}

bool scram_client_final_parse(
	struct str message, struct scram_client_final *final_r)
{
	struct scram_client_final f;
	struct str rest = message;
	ptrdiff_t comma = str_rfind(message, ',');

	if (comma < 0 || !attribute(&rest, 'c', &f.channel) ||
		!attribute(&rest, 'r', &f.nonce))
		return false;
	struct str last = str_from_at(message, (size_t)comma + 1);
	if (!attribute(&last, 'p', &f.proof))
		return false;
	f.without_proof = str_sub(message, 0, (size_t)comma);
	*final_r = f;
	return true;
}

bool scram_server_first_parse(
	struct str message, struct scram_server_first *first_r)
{
	struct scram_server_first f;
	struct str rest = message;
	struct str count;

	if (!attribute(&rest, 'r', &f.nonce) || !nonce_valid(f.nonce) ||
		!attribute(&rest, 's', &f.salt) ||
		!attribute(&rest, 'i', &count) ||
		!str_u64(count, &f.iterations))
		return false;
	*first_r = f;
	return true;
}

struct str scram_name_encode(struct str name, struct arena *a)
{
	char *out = arena_alloc(a, name.len * 3 + 1);
	size_t n = 0;

	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c == ',' || c == '=') {
			out[n++] = '=';
			out[n++] = c == ',' ? '2' : '3';
			out[n++] = c == ',' ? 'C' : 'D';
		} else {
			out[n++] = c;
		}
	}
	return str_of(out, n);
}
