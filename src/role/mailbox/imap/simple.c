/* SPDX-License-Identifier: ISC */
/* Commands that need no mailbox: CAPABILITY, NOOP, LOGOUT, ID, NAMESPACE,
 * ENABLE, IDLE. */
#include "role/mailbox/imap/imap.h"

void imap_put_capabilities(struct buf *out)
{
	buf_puts(out,
		"IMAP4rev1 SASL-IR LITERAL+ ENABLE ID IDLE NAMESPACE UIDPLUS "
		"MOVE UNSELECT CHILDREN SPECIAL-USE STATUS=SIZE");
}

void imap_capability(struct imap *s, struct imap_in *in UNUSED)
{
	stream_puts(s->stream, "* CAPABILITY ");
	imap_put_capabilities(stream_out(s->stream));
	stream_puts(s->stream, "\r\n");
	imap_ok(s, "Capability completed");
}

void imap_noop(struct imap *s, struct imap_in *in UNUSED)
{
	imap_ok(s, "Completed");
}

void imap_logout(struct imap *s, struct imap_in *in UNUSED)
{
	imap_untagged(s, "BYE Logging out");
	imap_ok(s, "Logout completed");
	s->closing = true;
}

/* RFC 2971 3: who we are; what the client says of itself is for the log. */
void imap_id(struct imap *s, struct imap_in *in)
{
	log_debug("client id", log_s("login", s->login),
		log_s("id", str_sub(in->rest, 0, 500)));
	imap_untagged(s, "ID (\"name\" \"postern\" \"version\" \"%s\")",
		POSTERN_VERSION);
	imap_ok(s, "ID completed");
}

void imap_namespace(struct imap *s, struct imap_in *in UNUSED)
{
	imap_untagged(s, "NAMESPACE ((\"\" \"/\")) NIL NIL");
	imap_ok(s, "Namespace completed");
}

/* RFC 5161 3.1: nothing that can be enabled yet; the answer is still due. */
void imap_enable(struct imap *s, struct imap_in *in UNUSED)
{
	imap_untagged(s, "ENABLED");
	imap_ok(s, "Enabled");
}

void imap_idle(struct imap *s, struct imap_in *in)
{
	struct fault f;

	if (!imap_end(in)) {
		imap_bad(s, "IDLE has no argument");
		return;
	}
	/* The bell first, then a look: what comes in between is not missed. */
	if (!s->bell_on) {
		bells_add(s->sv->m->bells, &s->bell);
		s->bell_on = true;
	}
	s->idle_tag = arena_str(s->a, s->tag);
	s->idling = true;
	stream_puts(s->stream, "+ idling\r\n");
	if (s->view.mailbox != 0 && !view_sync(s, true, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
}
