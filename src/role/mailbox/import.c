/* SPDX-License-Identifier: ISC */
/* Messages that an account brings from elsewhere: `postern mailbox import`. */
#include <string.h>

#include "codec/imap/mailbox_name.h"
#include "role/accounts.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/mailbox.h"
#include "role/mailbox/summary.h"
#include "store/message.h"

enum { KEYWORD_MAX = 200 };

static bool find_account(struct mailbox_role *m, struct str address,
	struct arena *a, int64_t *id_r, struct fault *f)
{
	switch (accounts_id(m->role->accounts, address, a, id_r, f)) {
	case TABLE_FOUND:
		return true;
	case TABLE_NONE:
		return fault_set(f, FAULT_PERM, 550, 1, 1,
			"there is no account %.*s", STR_ARG(address));
	case TABLE_ERROR:
		break;
	}
	return false;
}

/* There already is as good. */
static bool make(struct mailbox_role *m, int64_t account,
	enum store_change_kind change, struct str name, struct fault *f)
{
	return store_change_mailbox(m->store, account,
		       &(struct store_change){.kind = change, .name = name},
		       f) ||
	       (f->class == FAULT_PERM && f->detail == 1);
}

/* A keyword is an atom: what is none would break the replies with it. */
static bool is_keyword(struct str word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.ptr[i] <= 0x20 || word.ptr[i] >= 0x7f ||
			strchr("(){%*\"\\]", word.ptr[i]) != NULL)
			return false;
	return word.len > 0 && word.len <= KEYWORD_MAX;
}

static void take_message(const struct import_request *r,
	const struct import_message *i, struct str bytes, struct arena *a,
	struct store_new *m)
{
	struct str words = i->keywords, word;
	size_t room = STORE_KEYWORDS_MAX;

	*m = (struct store_new){.mailbox = r->mailbox,
		.flags = i->flags & FLAG_SYSTEM,
		.received = i->received,
		.body = bytes,
		.cache = summary_make(bytes, a),
		.msg = (int64_t)(i->identity | 1ull << 63),
		.uidvalidity = r->uidvalidity,
		.uid = r->uidvalidity != 0 ? i->uid : 0};
	m->stamp = summary_stamp(m->cache);
	while (str_present(word = str_word(&words, " ")))
		if (is_keyword(word) && word.len < room &&
			!strs_has(&m->keywords, word)) {
			strs_add(&m->keywords, a, word);
			room -= word.len + 1;
		}
}

/* All of them in one transaction. */
static bool take_all(struct mailbox_role *m, int64_t account,
	const struct import_request *r, struct str bytes, struct arena *a,
	struct import_done *done, struct fault *f)
{
	struct store_new *v = arena_alloc(a, r->n * sizeof(*v));
	struct store_target *t = arena_alloc(a, r->n * sizeof(*t));

	for (uint32_t i = 0; i < r->n; i++) {
		if (r->v[i].size > bytes.len)
			return fault_set(f, FAULT_PERM, 554, 6, 0,
				"the messages are shorter than was said");
		take_message(r, &r->v[i],
			str_sub(bytes, 0, (size_t)r->v[i].size), a, &v[i]);
		bytes = str_from_at(bytes, (size_t)r->v[i].size);
		t[i] = (struct store_target){.account = account, .m = &v[i]};
	}
	store_deliver(m->store, t, r->n);
	if (!t[0].ok) {
		*f = t[0].fault;
		return false;
	}
	for (uint32_t i = 0; i < r->n; i++) {
		done->added += t[i].uid != 0;
		done->same_uid += t[i].uid != 0 && t[i].uid == v[i].uid &&
				  t[i].uidvalidity == v[i].uidvalidity;
	}
	bells_ring(m->bells, account);
	indexer_note(m->indexer, account);
	return true;
}

bool mailbox_import(struct mailbox_role *m, const struct import_request *r,
	int fd, struct arena *a, struct import_done *done, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	int64_t account;

	*done = (struct import_done){0};
	if (!imap_mailbox_name_valid(r->mailbox))
		return fault_set(f, FAULT_PERM, 553, 1, 3,
			"not a name for a mailbox: %.*s", STR_ARG(r->mailbox));
	if (!find_account(m, r->account, a, &account, f) ||
		!make(m, account, STORE_CREATE, r->mailbox, f) ||
		(r->subscribe &&
			!make(m, account, STORE_SUBSCRIBE, r->mailbox, f)))
		return false;
	if (r->n == 0)
		return true;
	return (fd >= 0 ? file_map_fd(fd, &map, f)
			: fault_set(f, FAULT_PERM, 554, 6, 0,
				  "messages without a text")) &&
	       take_all(m, account, r, map.bytes, a, done, f);
}
