/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/imap/mailbox_name.h"
#include "codec/mail/maildir.h"

static void name(struct str in)
{
	struct maildir_name n = maildir_name_parse(in), again;
	struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_put(&b, n.unique);
	maildir_name_put(&n.marks, n.keywords, &b);
	again = maildir_name_parse(buf_str(&b));
	must(str_eq(again.unique, n.unique) && again.keywords == n.keywords);
	must(again.marks.seen == n.marks.seen &&
		again.marks.deleted == n.marks.deleted);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), rest = in, folder, unique;
	struct str keywords[MAILDIR_KEYWORDS];
	struct strs names = {0};
	uint32_t uid;

	name(in);
	if (maildir_uidlist_begin(&rest, &uid))
		while (maildir_uidlist_next(&rest, &uid, &unique))
			must(uid > 0 && unique.len > 0);
	maildir_keywords_parse(in, keywords);
	maildir_subscriptions_parse(in, '.', a, &names);
	if (maildir_folder_parse(in, a, &folder)) {
		struct str good = imap_mailbox_name_mended(folder, a);

		must(good.len == 0 || imap_mailbox_name_valid(good));
		must(maildir_folder_parse(
			maildir_folder_name(good, a), a, &folder));
	}
	arena_free(a);
	return 0;
}
