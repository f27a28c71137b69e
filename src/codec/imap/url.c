/* SPDX-License-Identifier: ISC */
#include "codec/imap/url.h"

#include "base/buf.h"
#include "base/utf8.h"

/* "%41" to "A"; false where it is broken, or a NUL */
static bool unescape(struct str in, struct arena *a, struct str *out_r)
{
	char *out = arena_alloc(a, in.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] != '%') {
			out[n++] = in.ptr[i];
			continue;
		}
		int high = i + 2 < in.len ? ascii_hex(in.ptr[i + 1]) : -1;
		int low = high >= 0 ? ascii_hex(in.ptr[i + 2]) : -1;

		if (low < 0 || (high == 0 && low == 0))
			return false;
		out[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*out_r = str_of(out, n);
	return true;
}

static bool number(struct str text, uint32_t *n_r)
{
	uint64_t v;

	if (!str_u64(text, &v) || v == 0 || v > UINT32_MAX)
		return false;
	*n_r = (uint32_t)v;
	return true;
}

static bool take_mailbox(struct str text, struct arena *a, struct imap_url *u)
{
	struct str rest = text;
	struct str name = str_cut(&rest, ';');

	if (str_present(rest) &&
		(!str_istarts(rest, "UIDVALIDITY=") ||
			!number(str_from_at(rest, 12), &u->uidvalidity)))
		return false;
	if (!unescape(name, a, &u->mailbox) || u->mailbox.len == 0 ||
		!utf8_valid(u->mailbox))
		return false;
	if (str_ieqc(u->mailbox, "INBOX"))
		u->mailbox = STR("INBOX");
	return true;
}

bool imap_url_parse(struct str text, struct arena *a, struct imap_url *url_r)
{
	struct imap_url u = {0};
	ptrdiff_t at = str_isearch(text, STR(";UID="));
	struct str path, rest;

	if (at < 0)
		return false;
	/* ";UIDVALIDITY=" begins otherwise; what stands before is the box. */
	path = str_sub(text, 0, (size_t)at);
	rest = str_from_at(text, (size_t)at + 5);
	if (path.len > 0) {
		if (path.len < 3 || path.ptr[0] != '/' ||
			!str_ends(path, "/") ||
			!take_mailbox(str_sub(path, 1, path.len - 2), a, &u))
			return false;
	}
	struct str uid = str_cut(&rest, '/');
	if (!number(uid, &u.uid))
		return false;
	if (str_present(rest)) {
		if (!str_istarts(rest, ";SECTION=") ||
			!unescape(str_from_at(rest, 9), a, &u.section))
			return false;
	}
	*url_r = u;
	return true;
}
