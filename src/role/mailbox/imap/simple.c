/* SPDX-License-Identifier: ISC */
/* Commands that need no mailbox: CAPABILITY, NOOP, LOGOUT, ID, NAMESPACE,
 * ENABLE, IDLE, COMPRESS, UNAUTHENTICATE. */
#include "role/mailbox/gate/gate.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"
#include "role/mailbox/quota.h"

void imap_put_capabilities(const struct imap *s, struct buf *out)
{
	int64_t limit = s->sv->c->message_size_limit;

	buf_puts(out,
		"IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ENABLE ID IDLE NAMESPACE "
		"UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE CREATE-SPECIAL-USE "
		"LIST-EXTENDED LIST-STATUS STATUS=SIZE CONDSTORE QRESYNC "
		"ESEARCH SEARCHRES WITHIN PARTIAL SORT SORT=DISPLAY ESORT "
		"THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS "
		"SEARCH=FUZZY I18NLEVEL=1 UTF8=ACCEPT BINARY MULTIAPPEND "
		"CATENATE REPLACE PREVIEW SAVEDATE OBJECTID UIDONLY "
		"UNAUTHENTICATE QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE "
		"QUOTA=RES-MAILBOX "
		"METADATA LIST-METADATA LANGUAGE ACL RIGHTS=kxte "
		"LIST-MYRIGHTS NOTIFY MULTISEARCH INPROGRESS "
		"CONTEXT=SEARCH CONTEXT=SORT UIDBATCHES");
	if (!stream_is_compressed(s->stream))
		buf_puts(out, " COMPRESS=DEFLATE");
	if (quota_any_admins(s->sv->m->quotas))
		buf_puts(out, " QUOTASET");
	if (imap_is_limited(s))
		buf_putf(out, " MESSAGELIMIT=%lld",
			(long long)s->sv->c->imap_message_limit);
	buf_puts(out, " APPENDLIMIT");
	if (limit > 0)
		buf_putf(out, "=%lld", (long long)limit);
}

void imap_capability(struct imap *s, struct imap_in *in UNUSED)
{
	stream_puts(s->stream, "* CAPABILITY ");
	imap_put_capabilities(s, stream_out(s->stream));
	stream_puts(s->stream, "\r\n");
	imap_ok(s, "Capability completed");
}

void imap_noop(struct imap *s, struct imap_in *in)
{
	if (imap_end(in))
		imap_ok(s, "Completed");
	else
		imap_bad(s, "it has no argument");
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
	imap_untagged(s,
		"NAMESPACE ((\"\" \"/\")) ((\"" OTHER_USERS "\" \"/\")) %s",
		s->sv->c->imap_public_account.len > 0 ? "((\"" PUBLIC_FOLDERS
							"\" \"/\"))"
						      : "NIL");
	imap_ok(s, "Namespace completed");
}

/* RFC 5255 3: English is all; asking for another one changes nothing. */
void imap_language(struct imap *s, struct imap_in *in)
{
	struct str tag;
	bool known = false;

	if (imap_end(in)) {
		imap_untagged(s, "LANGUAGE (en i-default)");
		imap_ok(s, "Language completed");
		return;
	}
	do {
		if (!imap_astring(in, &tag)) {
			imap_bad(s, "LANGUAGE needs language tags");
			return;
		}
		known |= str_ieqc(tag, "en") || str_istarts(tag, "en-") ||
			 str_ieqc(tag, "i-default") || str_ieqc(tag, "default");
	} while (imap_space(in));
	if (!known) {
		imap_no(s, "[CANNOT] only en is spoken here");
		return;
	}
	imap_untagged(s, "LANGUAGE (en)");
	imap_ok(s, "Language completed");
}

/* RFC 7162 3.1: the answer of an enabling command comes with where it is */
static void put_highest(struct imap *s)
{
	if (s->view.box != NULL)
		imap_untagged(s, "OK [HIGHESTMODSEQ %llu] Highest",
			(unsigned long long)s->view.modseq);
}

static bool enable_one(struct imap *s, struct str name)
{
	bool had = s->condstore;

	if (str_ieqc(name, "CONDSTORE")) {
		s->condstore = true;
	} else if (str_ieqc(name, "QRESYNC")) {
		s->condstore = s->qresync = true;
	} else if (str_ieqc(name, "UTF8=ACCEPT")) {
		s->utf8 = true;
	} else if (str_ieqc(name, "IMAP4rev2")) {
		s->rev2 = s->utf8 = true;
	} else if (str_ieqc(name, "UIDONLY")) {
		s->uidonly = true;
	} else {
		return false;
	}
	if (s->condstore && !had)
		put_highest(s);
	return true;
}

/* RFC 5161 3.1: what is unknown is passed over. */
void imap_enable(struct imap *s, struct imap_in *in)
{
	struct buf out CLEANUP(buf_fini);
	struct str name;

	buf_init(&out, 4096);
	do {
		if (!imap_atom(in, &name)) {
			imap_bad(s, "ENABLE needs names");
			return;
		}
		if (enable_one(s, name)) {
			buf_putc(&out, ' ');
			buf_put(&out, name);
		}
	} while (imap_space(in));
	imap_untagged(s, "ENABLED%.*s", STR_ARG(buf_str(&out)));
	imap_ok(s, "Enabled");
}

void imap_compress(struct imap *s, struct imap_in *in)
{
	if (!imap_word(in, "DEFLATE") || !imap_end(in)) {
		imap_bad(s, "DEFLATE is all there is");
		return;
	}
	if (stream_is_compressed(s->stream)) { /* RFC 4978 3 */
		imap_no(s, "[COMPRESSIONACTIVE] it is on already");
		return;
	}
	imap_ok(s, "DEFLATE active");
	stream_compress(s->stream);
}

/* RFC 8437: back to where LOGIN is expected; TLS stays, COMPRESS ends. */
void imap_unauthenticate(struct imap *s, struct imap_in *in)
{
	if (!imap_end(in)) {
		imap_bad(s, "UNAUTHENTICATE has no argument");
		return;
	}
	view_close(s);
	imap_ok(s, "Now you are nobody");
	if (stream_is_compressed(s->stream))
		stream_uncompress(s->stream);
	s->leaving = true;
}

void imap_idle(struct imap *s, struct imap_in *in)
{
	if (!imap_end(in)) {
		imap_bad(s, "IDLE has no argument");
		return;
	}
	/* The bells first, then a look: what comes in between is not missed. */
	imap_hang_bells(s);
	s->idle_tag = arena_str(s->a, s->tag);
	s->idling = true;
	stream_puts(s->stream, "+ idling\r\n");
	imap_news(s, NEWS_ALL);
}
