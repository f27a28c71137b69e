/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_IMAP_H
#define ROLE_MAILBOX_IMAP_IMAP_H

/*
 * imap: a session after login.  RFC 3501, with RFC 2177 (IDLE), RFC 4315
 * (UIDPLUS), RFC 6851 (MOVE), RFC 6154, RFC 2342, RFC 2971, RFC 3691,
 * RFC 7888, RFC 5161.
 *
 * The selected mailbox is seen through a view: rows by message number, which
 * change only at the points where the RFC allows it.
 */

#include "codec/imap/parse.h"
#include "codec/imap/structure.h"
#include "role/mailbox/mailbox.h"

struct gate;

struct view_row {
	uint32_t uid;
	uint32_t flags;
	uint64_t size;
	int64_t received;
	char *keywords; /* blanks between; NULL: none; owned */
	bool told; /* the client has its flags */
};

struct view {
	int64_t mailbox; /* 0: none selected */
	char *name;
	bool read_only;
	uint32_t uidvalidity;
	uint64_t modseq; /* what the rows are true to */
	struct view_row *rows; /* by UID; the number is index + 1 */
	size_t n, cap;
};

struct imap {
	struct seat seat; /* first */
	struct mailbox_service *sv;
	struct stream *stream;
	struct arena *a;
	struct arena *cmd_a;
	struct str client;
	struct str login;
	int64_t account;
	struct view view;
	struct bell bell;
	bool bell_on;
	bool idling;
	struct str idle_tag;
	bool closing;
	/* of the command being run */
	struct str tag;
	struct buf input; /* the command with its literals */
	bool uid; /* UID FETCH and its kin */
};

typedef void imap_command_f(struct imap *s, struct imap_in *in);
imap_command_f imap_capability, imap_noop, imap_logout, imap_id, imap_namespace,
	imap_enable, imap_select, imap_examine, imap_create, imap_delete,
	imap_rename, imap_subscribe, imap_unsubscribe, imap_list, imap_lsub,
	imap_status, imap_append, imap_close, imap_unselect, imap_expunge,
	imap_search, imap_fetch, imap_store, imap_copy, imap_move, imap_idle,
	imap_uid;

/* session.c: takes over an authenticated gate's stream and memory */
void imap_begin(struct gate *g, struct str tag);
enum next imap_serve(struct seat *seat);
void imap_idle_seat(struct seat *seat); /* gives memory back */
/* Tagged replies.  text starts with a [CODE] where there is one. */
void imap_ok(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_no(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_bad(struct imap *s, const char *what);
/* A fault as NO with the RFC 5530 code that helps. */
void imap_fault(struct imap *s, const struct fault *f);
void imap_untagged(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void imap_put_capabilities(struct buf *out);
void imap_ring(struct imap *s); /* tells the other sessions of the account */

/* read.c: one command with its literals into s->input */
enum read_result { READ_OK, READ_REFUSED, READ_GONE };
enum read_result imap_read_command(struct imap *s);

/* view.c */
bool view_open(struct imap *s, struct str name, bool read_only,
	struct store_mailbox *box_r, struct fault *f);
void view_close(struct imap *s);
/* Takes over what others did and tells the client; expunges: may numbers
 * change now? */
bool view_sync(struct imap *s, bool expunges, struct fault *f);
/* Index of a UID, or -1. */
long view_find(const struct view *v, uint32_t uid);
void view_put_flags(const struct view_row *row, struct buf *out);
/* Numbers or UIDs of a set to indices, ascending. */
bool view_pick(struct imap *s, const struct imap_set *set, size_t **index_r,
	size_t *n_r);
/* "(\Seen x)" to bits and keywords; false: an unknown system flag */
bool imap_flags_parse(const struct strs *words, struct arena *a,
	uint32_t *flags_r, struct strs *keywords_r);
bool imap_find_mailbox(struct imap *s, struct str name,
	struct store_mailbox *box_r, bool *found_r, struct fault *f);

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
struct str imap_section_bytes(const struct imap_section *section,
	struct str message, const struct mime_part *root, struct arena *a);

#endif
