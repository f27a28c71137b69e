/* SPDX-License-Identifier: ISC */
#ifndef CODEC_IMAP_PARSE_H
#define CODEC_IMAP_PARSE_H

/*
 * imap_parse: a whole command, its literals inlined, read token by token.
 *
 * RFC 3501 9, RFC 9051 9 (grammar), RFC 7888 (literals)
 *
 * The command text holds each literal as "{n}\r\n" followed by its bytes, as
 * on the wire.  Every function either eats what it names or leaves the
 * position where it was and returns false.  Pure.
 */

#include "base/arena.h"

struct imap_in {
	struct str rest;
	struct arena *a;
	bool utf8; /* mailbox names are UTF-8 (RFC 9755), not UTF-7 */
};

bool imap_space(struct imap_in *in);
bool imap_end(const struct imap_in *in);
bool imap_char(struct imap_in *in, char c);
/* tag: no "+" in it */
bool imap_tag(struct imap_in *in, struct str *tag_r);
bool imap_atom(struct imap_in *in, struct str *atom_r);
/* An atom that equals word, ignoring case. */
bool imap_word(struct imap_in *in, const char *word);
bool imap_number(struct imap_in *in, uint32_t *n_r);
bool imap_number64(struct imap_in *in, uint64_t *n_r);
/* quoted / literal */
bool imap_string(struct imap_in *in, struct str *s_r);
/* literal / literal8; *binary_r: it was the latter (RFC 3516) */
bool imap_literal8(struct imap_in *in, struct str *s_r, bool *binary_r);
/* 1*ASTRING-CHAR / string */
bool imap_astring(struct imap_in *in, struct str *s_r);
/* list-mailbox: atom with wildcards, or string */
bool imap_list_mailbox(struct imap_in *in, struct str *s_r);
/* A mailbox name as UTF-8 (modified UTF-7 decoded, INBOX upper case).  What is
 * ASCII and no modified UTF-7 is taken as it stands: clients send a bare "&".
 */
bool imap_mailbox(struct imap_in *in, struct str *name_r);
/* \Seen or keyword; the name with its backslash */
bool imap_flag(struct imap_in *in, struct str *flag_r);
/* (flag flag ...) */
bool imap_flag_list(struct imap_in *in, struct strs *flags_r);

/* "{n}" or "{n+}" at the end of a line? */
bool imap_literal_announced(
	struct str line, uint64_t *size_r, bool *non_sync_r);

enum { IMAP_STAR = 0 }; /* no number is that */
struct imap_range {
	uint32_t first; /* IMAP_STAR for "*" */
	uint32_t last;
};
struct imap_set {
	struct imap_range *v;
	size_t n;
};
/* sequence-set, at most 10,000 ranges */
bool imap_set_parse(struct imap_in *in, struct imap_set *set_r);
/* In place: "*" becomes max, the ranges ascend and stand apart. */
void imap_set_settle(struct imap_set *set, uint32_t max);
/* Is n in the set, which is settled? */
bool imap_set_has(const struct imap_set *set, uint32_t n);
/* partial-range of RFC 9394: "1:50", or "-1:-50" from the end */
struct imap_partial {
	uint32_t first, last; /* from 1, first <= last */
	bool from_end;
};
bool imap_partial_parse(struct imap_in *in, struct imap_partial *p_r);
/* Leaves that part of n ascending numbers. */
void imap_partial_cut(const struct imap_partial *p, uint32_t **v, size_t *n);
/* Appends n to a set under construction: "1:3,5" */
struct imap_set_put {
	uint32_t first;
	uint32_t last;
	bool any;
};
struct buf;
void imap_set_put(struct imap_set_put *p, uint32_t n, struct buf *out);
void imap_set_put_end(struct imap_set_put *p, struct buf *out);

#endif
