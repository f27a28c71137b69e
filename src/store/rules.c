/* SPDX-License-Identifier: ISC */
#include "store/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/sip.h"
#include "codec/mail/header.h"
#include "store/acl.h"

const struct store_born store_born[STORE_BORN] = {{"INBOX", ROLE_NONE},
	{"Drafts", ROLE_DRAFTS}, {"Sent", ROLE_SENT}, {"Junk", ROLE_JUNK},
	{"Trash", ROLE_TRASH}, {"Archive", ROLE_ARCHIVE}};

/* ---- flags ---- */

uint32_t store_merge_flags(const struct store_flags *x, uint32_t have)
{
	uint32_t now = x->op == FLAGS_SET   ? x->flags
		       : x->op == FLAGS_ADD ? have | x->flags
					    : have & ~x->flags;

	return (now & ~x->kept) | (have & x->kept);
}

static struct strs split(struct str text, struct arena *a)
{
	struct strs list = {0};
	struct str word;

	while (str_present(word = str_word(&text, " ")))
		strs_add(&list, a, word);
	return list;
}

/* RFC 9051 2.3.2: the case of a keyword does not matter. */
static bool has_word(const struct strs *words, struct str word)
{
	for (size_t i = 0; i < words->n; i++)
		if (str_ieq(words->v[i], word))
			return true;
	return false;
}

struct str store_merge_keywords(const struct store_flags *x, struct str have,
	struct str set, struct arena *a)
{
	struct strs old, out = {0};

	if (x->keywords_kept)
		return have;
	if (x->op == FLAGS_SET)
		return set;
	if (x->keywords.n == 0)
		return have;
	old = split(have, a);
	for (size_t i = 0; i < old.n; i++)
		if (x->op == FLAGS_ADD || !has_word(&x->keywords, old.v[i]))
			strs_add(&out, a, old.v[i]);
	for (size_t i = 0; i < x->keywords.n && x->op == FLAGS_ADD; i++)
		if (!has_word(&out, x->keywords.v[i]))
			strs_add(&out, a, x->keywords.v[i]);
	return store_join(&out, a);
}

struct str store_join(const struct strs *keywords, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	if (keywords->n == 0)
		return STR_NONE;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < keywords->n; i++) {
		if (i > 0)
			buf_putc(&b, ' ');
		buf_put(&b, keywords->v[i]);
	}
	return arena_str(a, buf_str(&b));
}

bool store_keywords_fit(struct str keywords, struct fault *f)
{
	return keywords.len <= STORE_KEYWORDS_MAX ||
	       fault_set(f, FAULT_PERM, 0, 0, 5,
		       "too many keywords on one message");
}

/* ---- grantees ---- */

/* No secret: it must be the same for ever. */
int64_t store_group(struct str name)
{
	static const struct sip_key key = {0x706f737465726e00, 0x67726f757073};

	return STORE_GROUP |
	       (int64_t)(sip_hash(&key, name) & ((uint64_t)STORE_GROUP - 1));
}

/* ---- faults ---- */

bool store_no_such(struct str name, struct fault *f)
{
	return fault_set(
		f, FAULT_PERM, 0, 0, 2, "no mailbox %.*s", STR_ARG(name));
}

bool store_there_is(struct str name, struct fault *f)
{
	return fault_set(f, FAULT_PERM, 0, 0, 1, "mailbox %.*s exists already",
		STR_ARG(name));
}

bool store_quota_fits(const struct store_quota *quota, uint64_t bytes,
	uint64_t messages, struct fault *f)
{
	if ((quota->bytes == 0 || bytes <= quota->bytes) &&
		(quota->messages == 0 || messages <= quota->messages))
		return true;
	return fault_set(f, FAULT_PERM, 552, 2, 2, "the mailbox is full");
}

/* ---- messages ---- */

struct str store_head(struct str message)
{
	struct str head, body;

	mail_split_blank(message, &head, &body);
	return str_sub(message, 0, message.len - body.len);
}

static char *copy(char *to, struct str s)
{
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	return to + s.len;
}

/* Cache, prefix and data behind each other in one piece of memory. */
void store_message_make(struct store_message *m, struct str cache,
	struct str prefix, struct str data)
{
	m->memory = must_alloc_raw(cache.len + prefix.len + data.len + 1);
	char *at = copy(m->memory, cache);

	m->cache = str_present(cache) ? str_of(m->memory, cache.len) : STR_NONE;
	m->bytes = str_of(at, prefix.len + data.len);
	copy(copy(at, prefix), data);
}
