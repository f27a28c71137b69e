/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MAIL_DOVECOT_INDEX_H
#define CODEC_MAIL_DOVECOT_INDEX_H

/*
 * dovecot_index: what Dovecot (2.0 to 2.4) knows of a mailbox in its dbox
 * formats: dovecot.index, a table of fixed records, and dovecot.index.log, what
 * changed since, which alone is there of a small mailbox.  dovecot.map.index is
 * the same form: where in the m.N files of mdbox a message stands.
 *
 * Little endian.  A piece that does not read ends a log, as Dovecot has it.
 *
 * And what is in the files with the messages themselves ("u.N", "m.N").
 *
 * Pure.
 */

#include "base/arena.h"
#include "codec/mail/marks.h"

enum { DOVECOT_KEYWORDS = 256 };

struct dovecot_message {
	uint32_t uid;
	bool expunged;
	struct marks marks;
	uint64_t keywords[DOVECOT_KEYWORDS / 64]; /* bits into names */
	uint32_t map_uid; /* mdbox: its row in the map; 0: none */
	/* of the map */
	uint32_t file, offset;
};

struct dovecot_extension; /* of records, private */
struct dovecot_index {
	struct arena *a;
	uint32_t uidvalidity, uidnext;
	struct strs names; /* of keywords */
	struct dovecot_message *v; /* by UID */
	size_t n, cap;
	/* what was read up to where, and how */
	uint32_t log_seq, log_offset;
	struct dovecot_extension *extensions;
	size_t n_extensions, cap_extensions;
};

/* Empty; everything lives in the arena. */
struct dovecot_index dovecot_index_new(struct arena *a);
/* dovecot.index, first, where there is one; false: it does not read. */
bool dovecot_index_table(struct dovecot_index *x, struct str file);
/* dovecot.index.log.2, then dovecot.index.log; false: no log. */
bool dovecot_index_log(struct dovecot_index *x, struct str file);
/* NULL: there is no such row, or it is expunged. */
const struct dovecot_message *dovecot_index_find(
	const struct dovecot_index *x, uint32_t uid);

/* ---- u.N and m.N ---- */

struct dovecot_record {
	struct str bytes; /* of the message, LF or CRLF; maybe packed */
	int64_t received; /* Unix seconds; 0: not said */
	bool parts_elsewhere; /* attachments that stand in other files */
};
/* The first record of the file; false: it is none of these files. */
bool dovecot_file_begin(struct str file, size_t *offset_r);
/* The record at an offset; false: there is none. */
bool dovecot_file_record(
	struct str file, size_t offset, struct dovecot_record *r_r);

#endif
