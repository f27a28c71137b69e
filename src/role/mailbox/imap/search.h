/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_IMAP_SEARCH_H
#define ROLE_MAILBOX_IMAP_SEARCH_H

/*
 * search: a search program (RFC 9051 6.4.4, RFC 5032, RFC 7162 3.1.5,
 * RFC 8474, RFC 8514) as a tree, and one message held against it.
 *
 * A message is read from the store only when a key asks for what is not in its
 * row.  Text keys are substrings, i;unicode-casemap (RFC 5255 4.6).
 */

#include "role/mailbox/imap/facts.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/prefetch.h"
#include "role/mailbox/summary.h"

struct search_key;

struct search_program {
	struct search_key *key;
	bool modseq; /* it has a MODSEQ key */
	bool numbers; /* it chooses by message numbers, or by "$" */
	const char *bad; /* why it was refused */
	bool badcharset;
};

/* [CHARSET x] key...; up to the end.  False: refused, and why. */
bool search_parse(struct imap *s, struct imap_in *in, struct search_program *p);
/* x key...: as SORT and THREAD have it */
bool search_parse_charset(
	struct imap *s, struct imap_in *in, struct search_program *p);
void search_refuse(struct imap *s, const struct search_program *p);

/* search_index.c: lets the index rule out what it can. */
void search_ask_index(struct imap *s, const struct search_program *p);

/* One message at a time. */
struct search_candidate {
	struct imap *s;
	const struct pick *p;
	struct store_message message;
	struct store_reading *reading; /* NULL: none is begun */
	size_t n_read, bytes_read; /* by this reading */
	struct summary summary;
	struct prefetch ahead;
	unsigned loaded; /* enum store_part */
	bool summarized;
	bool gone;
	size_t done; /* messages looked at */
	int64_t told_at; /* clock_mono_ms of the last INPROGRESS */
	bool failed; /* the store could not say; nothing matches from here */
	struct fault fault;
	struct arena *a; /* reset for each message */
};
void search_begin(struct search_candidate *c, struct imap *s,
	const struct search_program *p);
/* False: the store's fault; what was found is not all. */
bool search_end(struct search_candidate *c, struct fault *f);
/* For who will ask for the facts of most, at each step of its walk; between
 * search_facts_begin and _end. */
void search_ahead(struct search_candidate *c, const struct view_walk *w);
/* The same for a search itself, where it looks into the summary of each. */
void search_summaries_ahead(struct search_candidate *c,
	const struct search_program *p, const struct view_walk *w);
/* One message of the walk is done: where that takes long, the client hears how
 * far it is.  RFC 9585 */
void search_progress(struct search_candidate *c);
bool search_matches(struct search_candidate *c, const struct search_key *k,
	const struct pick *p);
/* Of a message that matched; until the next one. */
const struct summary *search_summary(struct search_candidate *c);
/* The same, what is compared of it, until search_facts_end; NULL: gone. */
void search_facts_begin(struct search_candidate *c);
void search_facts_end(struct search_candidate *c);
struct fact *search_fact(struct search_candidate *c);

/* All that match, ascending; in the arena of the command.  False: the store's
 * fault.  Half an answer is none: NOT would find what could not be read. */
struct search_found {
	uint32_t *v; /* numbers, or UIDs in the UID form */
	uint32_t *uids;
	size_t n;
	uint64_t modseq; /* the highest of them */
	uint64_t *modseqs;
};
bool search_run(struct imap *s, const struct search_program *p,
	struct search_found *found_r, struct fault *f);

/* RETURN (...): RFC 4731, RFC 5182, RFC 9394 */
struct search_return {
	bool given; /* there was a RETURN: an ESEARCH reply */
	bool min, max, all, count, save;
	bool has_partial;
	struct imap_partial partial;
	bool update; /* RFC 5267 4.3 */
	struct str items; /* UPDATE (items): RFC 5465 7; absent: none */
};
bool search_return_parse(
	struct imap *s, struct imap_in *in, struct search_return *r);
/* RFC 5182 2.1: after a NO the result is empty. */
void search_save_nothing(struct imap *s, const struct search_return *r);
void search_save(struct imap *s, const struct search_return *r,
	const struct search_found *found);
/* SEARCH: the order of numbers; SORT: its own; ESEARCH: says which mailbox it
 * is. RFC 7377 2.1 */
enum search_form { FORM_SEARCH, FORM_SORT, FORM_ESEARCH };
void search_put_esearch(struct imap *s, const struct search_return *r,
	const struct search_found *found, bool modseq, enum search_form form);
/* MIN, MAX, ALL, COUNT, PARTIAL: is something to be told? */
bool search_return_asks(const struct search_return *r);

#endif
