/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/must.h"
#include "codec/mail/mbox.h"

/* A CR in front of a line's end is none of its own in a file with LF. */
static bool has_odd_cr(struct str s)
{
	for (size_t i = 0; i + 1 < s.len; i++)
		if (s.ptr[i] == '\r' && s.ptr[i + 1] == '\r')
			return true;
	return false;
}

/* What was read and written reads again as the same. */
static void there_and_back(
	struct str message, const struct mbox_status *s, struct arena *a)
{
	struct mbox_entry e = {
		.message = message, .sender = STR("a@b"), .status = *s};
	struct mbox_message m;
	struct mbox_status again;
	struct buf file, text;

	buf_init(&file, SIZE_MAX);
	buf_init(&text, SIZE_MAX);
	mbox_pack(&e, &file);
	struct str rest = buf_str(&file);
	must(mbox_next(&rest, &m) && rest.len == 0);
	mbox_unpack(m.bytes, a, &text, &again);
	must(again.marks.seen == s->marks.seen && again.uid == s->uid);
	must(again.keywords.n >= s->keywords.n);
	/* The blank line behind a header may come, nothing else. */
	must(text.len >= message.len && text.len <= message.len + 2);
	must(str_eq(str_sub(buf_str(&text), 0, message.len), message));
	buf_fini(&file);
	buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size), rest = in;
	struct mbox_message m;
	struct mbox_status s;
	struct buf text;

	buf_init(&text, SIZE_MAX);
	mbox_begins(in);
	while (mbox_next(&rest, &m)) {
		must(m.bytes.len < size);
		buf_reset(&text);
		mbox_unpack(m.bytes, a, &text, &s);
		if (!has_odd_cr(buf_str(&text)))
			there_and_back(buf_str(&text), &s, a);
	}
	buf_fini(&text);
	arena_free(a);
	return 0;
}
