/* SPDX-License-Identifier: ISC */
#include "codec/imap/envelope.h"

#include "codec/imap/parse.h"

static bool nstring(struct imap_in *in, struct str *s_r)
{
	*s_r = STR_NONE;
	return imap_word(in, "NIL") || imap_string(in, s_r);
}

static bool address(struct imap_in *in, struct imap_person *p)
{
	struct str route;

	return imap_char(in, '(') && nstring(in, &p->name) && imap_space(in) &&
	       nstring(in, &route) && imap_space(in) &&
	       nstring(in, &p->mailbox) && imap_space(in) &&
	       nstring(in, &p->host) && imap_char(in, ')');
}

/* The first; of a group, that is its name (RFC 5256 3, CC). */
static bool addresses(struct imap_in *in, struct imap_person *p_r)
{
	struct imap_person p;
	bool have = false;

	*p_r = (struct imap_person){0};
	if (imap_word(in, "NIL"))
		return true;
	if (!imap_char(in, '('))
		return false;
	while (!imap_char(in, ')')) {
		if (!address(in, &p))
			return false;
		if (!have) {
			*p_r = p;
			have = true;
		}
	}
	return true;
}

bool imap_envelope_read(
	struct str text, struct arena *a, struct imap_envelope *e_r)
{
	struct imap_in in = {.rest = text, .a = a};
	struct imap_person skip;
	struct imap_envelope e;

	if (!imap_char(&in, '(') || !nstring(&in, &e.date) ||
		!imap_space(&in) || !nstring(&in, &e.subject) ||
		!imap_space(&in) || !addresses(&in, &e.from) ||
		!imap_space(&in) || !addresses(&in, &skip) ||
		!imap_space(&in) || !addresses(&in, &skip) ||
		!imap_space(&in) || !addresses(&in, &e.to) ||
		!imap_space(&in) || !addresses(&in, &e.cc) ||
		!imap_space(&in) || !addresses(&in, &skip) ||
		!imap_space(&in) || !nstring(&in, &e.in_reply_to) ||
		!imap_space(&in) || !nstring(&in, &e.message_id) ||
		!imap_char(&in, ')'))
		return false;
	*e_r = e;
	return true;
}
