/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_IMAP_H
#define ROLE_MAILBOX_IMAP_IMAP_H

/*
 * imap: a session after login, RFC 3501 and RFC 9051 with the extensions that
 * simple.c lists.  One command, one function, one row in session.c.
 */

#include "codec/imap/parse.h"
#include "codec/imap/structure.h"
#include "role/mailbox/imap/view.h"
#include "role/mailbox/mailbox.h"

struct gate;
struct imap_place;
struct imap_notify;
struct imap_contexts;

/* What may be told in front of a tagged reply. RFC 3501 7.4.1 */
enum news { NEWS_NONE, NEWS_KEEP_NUMBERS, NEWS_ALL };

struct imap {
	struct seat seat; /* first */
	struct mailbox_service *sv;
	struct stream *stream;
	struct arena *a;
	struct arena *cmd_a;
	struct str client;
	struct str login;
	int64_t account;
	/* grantee.h: of the login, looked up when they are needed first */
	int64_t *groups;
	size_t n_groups;
	bool groups_known;
	struct view view;
	/* At the accounts whose changes it tells while it is quiet. */
	struct bell *bells;
	size_t n_bells;
	struct imap_notify *notify; /* NULL: no NOTIFY yet */
	bool idling;
	struct str idle_tag;
	bool closing;
	bool leaving; /* UNAUTHENTICATE: the gate takes over again */
	/* ENABLE, RFC 5161 */
	bool condstore; /* FETCH replies have MODSEQ: RFC 7162 3.1 */
	bool qresync; /* VANISHED instead of EXPUNGE */
	bool utf8; /* UTF-8 in quoted strings: RFC 9755 3, RFC 9051 */
	bool rev2;
	bool uidonly; /* RFC 9586 */
	struct imap_contexts *contexts; /* context.h */
	bool aside; /* no session: a view of ESEARCH beside one */
	/* SEARCHRES, RFC 5182: ascending UIDs, owned */
	uint32_t *saved;
	size_t n_saved;
	/* of the command being run */
	struct str tag;
	struct buf input; /* the command with its literals */
	bool uid; /* UID FETCH and its kin */
	enum news news;
	bool own_expunge; /* what goes is the answer to the command */
	uint32_t limited_from; /* it left alone what is below this UID, for
				* there were too many; 0: it did not */
	bool quiet_flags; /* NOTIFY: no FETCH for flags that others change */
	struct view_own own; /* what it changed itself */
	const uint32_t *own_new; /* UIDs that it brought into the selected */
	size_t n_own_new;
};

typedef void imap_command_f(struct imap *s, struct imap_in *in);
imap_command_f imap_capability, imap_noop, imap_logout, imap_id, imap_namespace,
	imap_enable, imap_select, imap_examine, imap_create, imap_delete,
	imap_rename, imap_subscribe, imap_unsubscribe, imap_list, imap_lsub,
	imap_xlist, imap_status, imap_append, imap_close, imap_unselect,
	imap_expunge, imap_search, imap_sort, imap_thread, imap_fetch,
	imap_store, imap_copy, imap_move, imap_replace, imap_idle, imap_uid,
	imap_compress, imap_unauthenticate, imap_getquota, imap_getquotaroot,
	imap_setquota, imap_getmetadata, imap_setmetadata, imap_language,
	imap_setacl, imap_deleteacl, imap_getacl, imap_listrights,
	imap_myrights, imap_notify, imap_esearch, imap_cancelupdate,
	imap_uidbatches;

/* session.c: takes over an authenticated gate's stream and memory */
void imap_begin(struct gate *g, struct str tag);
enum next imap_serve(struct seat *seat);
void imap_idle_seat(struct seat *seat); /* gives memory back */
/* What others did to the selected mailbox, now. */
void imap_news(struct imap *s, enum news news);
/* Tagged replies, behind the news that may be told.  text starts with a [CODE]
 * where there is one. */
void imap_ok(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_no(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_bad(struct imap *s, const char *what);
/* OK, with HIGHESTMODSEQ behind an EXPUNGE of a QRESYNC client: RFC 7162 3.2.7
 */
void imap_ok_modseq(struct imap *s, const char *text);
/* A fault as NO with the RFC 5530 code that helps. */
void imap_fault(struct imap *s, const struct fault *f);
void imap_untagged(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_put_capabilities(const struct imap *s, struct buf *out);
/* Tells the other sessions of the account. */
void imap_ring(struct imap *s, int64_t account);
/* "* 3 FETCH (", or "* 99 UIDFETCH (" */
void imap_put_fetch(
	struct imap *s, uint32_t seq, uint32_t uid, struct buf *out);
/* A mailbox name as this client reads it. */
void imap_put_name(struct imap *s, struct str utf8, struct buf *out);

/* copy_far.c: into another account; to_r[i] is the new UID of uids[i], 0 where
 * it was gone. */
bool imap_copy_far(struct imap *s, const uint32_t *uids, size_t n,
	const struct imap_place *to, bool move, const struct store_quota *quota,
	uint32_t *to_r, uint32_t *uidvalidity_r, struct fault *f);

/* copy.c: a fault of what needs a target mailbox */
void imap_fault_trycreate(struct imap *s, const struct fault *f);

bool imap_expunge_uids(
	struct imap *s, const uint32_t *uids, size_t n, struct fault *f);

/* message_limit.c: RFC 9738 */
bool imap_is_limited(const struct imap *s);
/* Of ascending UIDs the newest, as many as one command may work on; imap_ok
 * tells the client where to go on. */
void imap_limit_newest(struct imap *s, uint32_t **uids, size_t *n);
/* For who works on all or on none; false: answered. */
bool imap_within_limit(struct imap *s, size_t n);

/* read.c: one command with its literals into s->input */
enum read_result { READ_OK, READ_REFUSED, READ_GONE };
enum read_result imap_read_command(struct imap *s);

const char *imap_role_name(enum store_role role); /* "\\Sent" */

/* A set, or "$": what SEARCH saved, as UIDs. RFC 5182 2.1 */
bool imap_set_or_saved(struct imap *s, struct imap_in *in,
	struct imap_set *set_r, bool *by_uid_r);

/* select.c */
/* RFC 8474 MAILBOXID, and what makes it */
#define MAILBOX_ID_FMT "M%llx_%x"
#define MAILBOX_ID_ARG(account, uidvalidity)                                   \
	(unsigned long long)(account), (unsigned)(uidvalidity)
/* "* VANISHED (EARLIER)" of what ended after since; known NULL: all */
bool imap_put_earlier(struct imap *s, uint64_t since,
	const struct imap_set *known, struct fault *f);
/* The UIDs with \Deleted, ascending, of those in set where there is one. */
uint32_t *imap_deleted(struct imap *s, const struct imap_set *set, size_t *n_r);

/* bells.c: at all accounts whose changes are to be told */
void imap_hang_bells(struct imap *s);
void imap_drop_bells(struct imap *s);

/* notify_tell.c: a name that this client changes, or "" for the server */
void imap_own_name(struct imap *s, struct str name);

/* metadata.c */
/* How the session knows what the store has as name; absent: not at all. */
struct str imap_metadata_name(
	struct imap *s, const struct imap_place *p, struct str name);
bool imap_metadata_names(struct imap_in *in, struct strs *names);
void imap_list_metadata(
	struct imap *s, const struct imap_place *p, const struct strs *names);

/* acl.c: "* MYRIGHTS" */
void imap_put_myrights(struct imap *s, struct str mailbox, unsigned rights);

/* section.c: BODY[...] */
struct imap_section {
	uint32_t path[32];
	size_t n_path;
	enum {
		SECTION_ALL,
		SECTION_HEADER,
		SECTION_FIELDS,
		SECTION_FIELDS_NOT,
		SECTION_TEXT,
		SECTION_MIME
	} what;
	struct strs fields;
	bool partial;
	uint32_t start, length;
	bool peek;
	struct str as; /* how the client wrote it, for the reply */
};
bool imap_section_parse(struct imap_in *in, struct imap_section *s_r);
/* "[1.2]" or "[]" and what stands behind it */
bool imap_section_path(struct imap_in *in, struct imap_section *s_r);
struct str imap_section_bytes(const struct imap_section *section,
	struct str message, const struct mime_part *root, struct arena *a);

#endif
