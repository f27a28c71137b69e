/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_SEARCH_KEY_H
#define ROLE_MAILBOX_IMAP_SEARCH_KEY_H

/* The tree of a search, between search_parse.c and search_match.c. */

#include "role/mailbox/imap/search.h"

enum key_kind {
	K_ALL,
	K_FLAG,
	K_NOT_FLAG,
	K_NEW, /* recent and not seen */
	K_KEYWORD,
	K_NOT_KEYWORD,
	K_SET,
	K_UID,
	K_BEFORE,
	K_ON,
	K_SINCE,
	K_SENTBEFORE,
	K_SENTON,
	K_SENTSINCE,
	K_SAVEDBEFORE,
	K_SAVEDON,
	K_SAVEDSINCE,
	K_OLDER,
	K_YOUNGER,
	K_LARGER,
	K_SMALLER,
	K_MODSEQ,
	K_EMAILID,
	K_THREADID,
	K_HEADER,
	K_BODY,
	K_TEXT,
	K_NOT,
	K_OR,
	K_AND
};

/* What a key needs of a message; the keys of an AND stand in this order. */
enum search_cost { COST_ROW, COST_SUMMARY, COST_HEADER, COST_TEXT, COSTS };

struct search_key {
	enum key_kind kind;
	enum search_cost cost;
	uint32_t flag;
	struct str text; /* folded, of text keys */
	struct str field;
	bool addresses; /* FROM, TO, CC, BCC */
	struct imap_set set;
	int64_t day; /* Unix seconds */
	uint64_t number;
	/* By the index: of the messages up to this UID, only these may match */
	uint32_t indexed;
	int64_t *blobs;
	size_t n_blobs;
	struct search_key *a, *b; /* NOT, OR; AND: list through next */
	struct search_key *next;
};

#endif
