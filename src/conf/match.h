/* SPDX-License-Identifier: ISC */
#ifndef CONF_MATCH_H
#define CONF_MATCH_H

/*
 * match_list: mydestination, mynetworks, relay_domains and their like.
 *
 * postconf(5), left to right, the first match counts: "!pattern" negates,
 * "/file" stands for its lines, "type:table" matches when the key is there,
 * other words are names (any case) or networks.  A file is read once, at
 * load.  Thread-safe once made.
 */

#include "conf/table.h"

struct match_list;

enum match_kind { MATCH_NAMES, MATCH_DOMAINS, MATCH_ADDRESSES };

/*
 * Parses the value of a parameter.  subdomains: example.com matches its
 * subdomains.  Bad items become problems.  Lives in the tables' memory.
 */
struct match_list *match_list_new(struct tables *t, const struct conf *c,
	const char *param, struct str list, enum match_kind kind,
	bool subdomains, struct problems *problems);

/* TABLE_FOUND: matches.  TABLE_ERROR: a table failed, f says why. */
enum table_result match_name(const struct match_list *l, struct str name,
	struct arena *a, struct fault *f);
enum table_result match_address(const struct match_list *l,
	const unsigned char *addr, size_t len, struct str text, struct arena *a,
	struct fault *f);

/* Shortest prefix that stands in the list without "!", per family; for
 * `postern check`.  UINT_MAX when there is none. */
unsigned match_widest(const struct match_list *l, size_t addr_len);
/* Plain words of the list (domains), for duplicate checks. */
bool match_word(const struct match_list *l, size_t i, struct str *word_r);

/* Does the parameter stand in parent_domain_matches_subdomains? */
bool match_subdomains(const struct conf *c, const char *param);

#endif
