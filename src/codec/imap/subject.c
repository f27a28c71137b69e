/* SPDX-License-Identifier: ISC */
#include "codec/imap/subject.h"

#include "base/buf.h"
#include "codec/mail/casemap.h"

/* Tabs and runs of blanks are one blank. */
static struct str collapse(struct str text, struct arena *a)
{
	char *out = arena_alloc(a, text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '\t' || c == '\r' || c == '\n')
			c = ' ';
		if (c != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = c;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	return str_of(out, n);
}

static struct str skip_blanks(struct str s)
{
	while (s.len > 0 && s.ptr[0] == ' ')
		s = str_from_at(s, 1);
	return s;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP */
static bool take_blob(struct str *s)
{
	if (!str_starts(*s, "["))
		return false;
	for (size_t i = 1; i < s->len && s->ptr[i] != '['; i++)
		if (s->ptr[i] == ']') {
			*s = skip_blanks(str_from_at(*s, i + 1));
			return true;
		}
	return false;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static bool take_refwd(struct str *s)
{
	struct str rest;
	size_t n = str_istarts(*s, "fwd")  ? 3
		   : str_istarts(*s, "fw") ? 2
		   : str_istarts(*s, "re") ? 2
					   : 0;

	if (n == 0)
		return false;
	rest = skip_blanks(str_from_at(*s, n));
	take_blob(&rest);
	if (!str_starts(rest, ":"))
		return false;
	*s = skip_blanks(str_from_at(rest, 1));
	return true;
}

/* subj-leader = (*subj-blob subj-refwd) / WSP */
static bool take_leader(struct str *s, bool *reply)
{
	struct str rest = *s;

	while (take_blob(&rest))
		;
	if (!take_refwd(&rest))
		return false;
	*s = rest;
	*reply = true;
	return true;
}

static bool take_trailer(struct str *s, bool *reply)
{
	if (!str_iends(*s, STR("(fwd)")))
		return false;
	*s = str_trim_right(str_sub(*s, 0, s->len - 5));
	*reply = true;
	return true;
}

/* A blob in front goes only where something is left behind it. */
static bool take_front_blob(struct str *s)
{
	struct str rest = *s;

	if (!take_blob(&rest) || rest.len == 0)
		return false;
	*s = rest;
	return true;
}

static bool unwrap_fwd(struct str *s, bool *reply)
{
	if (!str_istarts(*s, "[fwd:") || !str_ends(*s, "]"))
		return false;
	*s = skip_blanks(str_sub(*s, 5, s->len - 6));
	*reply = true;
	return true;
}

struct str base_subject(struct str text, struct arena *a, bool *reply_r)
{
	struct str s = collapse(text, a);

	*reply_r = false;
	do {
		while (take_trailer(&s, reply_r))
			;
		while (take_leader(&s, reply_r) || take_front_blob(&s))
			;
	} while (unwrap_fwd(&s, reply_r));
	return casemap(s, a);
}
