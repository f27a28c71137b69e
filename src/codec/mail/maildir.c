/* SPDX-License-Identifier: ISC */
#include "codec/mail/maildir.h"

#include "codec/imap/utf7.h"

/* ---- names of messages ---- */

static const struct {
	char letter;
	size_t offset;
} letters[] = {{'D', offsetof(struct marks, draft)},
	{'F', offsetof(struct marks, flagged)},
	{'P', offsetof(struct marks, forwarded)},
	{'R', offsetof(struct marks, answered)},
	{'S', offsetof(struct marks, seen)},
	{'T', offsetof(struct marks, deleted)}};

enum { N_LETTERS = sizeof(letters) / sizeof(*letters) };

static bool *mark_of(struct marks *m, size_t i)
{
	return (bool *)((char *)m + letters[i].offset);
}

struct maildir_name maildir_name_parse(struct str name)
{
	struct maildir_name n = {.unique = name};
	struct str info = name;

	n.unique = str_cut(&info, ':');
	if (!str_present(info) || !str_starts(info, "2,"))
		return n;
	for (size_t k = 2; k < info.len; k++) {
		char c = info.ptr[k];

		if (c >= 'a' && c <= 'z')
			n.keywords |= 1u << (c - 'a');
		for (size_t i = 0; i < N_LETTERS; i++)
			if (letters[i].letter == c)
				*mark_of(&n.marks, i) = true;
	}
	return n;
}

void maildir_name_put(
	const struct marks *marks, uint32_t keywords, struct buf *out)
{
	struct marks m = *marks;

	buf_puts(out, ":2,");
	for (size_t i = 0; i < N_LETTERS; i++)
		if (*mark_of(&m, i))
			buf_putc(out, letters[i].letter);
	for (int k = 0; k < MAILDIR_KEYWORDS; k++)
		if ((keywords & 1u << k) != 0)
			buf_putc(out, (char)('a' + k));
}

/* ---- files of Dovecot ---- */

static bool number(struct str s, uint32_t *n_r)
{
	uint64_t n;

	if (!str_u64(s, &n) || n == 0 || n > UINT32_MAX)
		return false;
	*n_r = (uint32_t)n;
	return true;
}

bool maildir_uidlist_begin(struct str *rest, uint32_t *uidvalidity_r)
{
	struct str line = str_cut(rest, '\n'), word;

	if (!str_eqc(str_word(&line, " \r"), "3"))
		return false;
	while (str_present(word = str_word(&line, " \r")))
		if (str_starts(word, "V") &&
			number(str_from_at(word, 1), uidvalidity_r))
			return true;
	return false;
}

bool maildir_uidlist_next(
	struct str *rest, uint32_t *uid_r, struct str *unique_r)
{
	while (str_present(*rest)) {
		struct str line = str_cut(rest, '\n');
		ptrdiff_t colon = str_find(line, ':');

		if (colon < 0 || !number(str_word(&line, " "), uid_r))
			continue;
		line = str_from_at(line, (size_t)str_find(line, ':') + 1);
		*unique_r = maildir_name_parse(str_trim_right(line)).unique;
		if (unique_r->len > 0)
			return true;
	}
	return false;
}

void maildir_uidlist_put_begin(
	uint32_t uidvalidity, uint32_t uidnext, struct buf *out)
{
	buf_putf(out, "3 V%u N%u\n", uidvalidity, uidnext);
}

void maildir_uidlist_put(uint32_t uid, struct str name, struct buf *out)
{
	buf_putf(out, "%u :%.*s\n", uid, STR_ARG(name));
}

void maildir_keywords_parse(struct str text, struct str names[MAILDIR_KEYWORDS])
{
	for (int k = 0; k < MAILDIR_KEYWORDS; k++)
		names[k] = STR_NONE;
	while (str_present(text)) {
		struct str line = str_cut(&text, '\n');
		uint64_t k;

		if (str_u64(str_word(&line, " "), &k) && k < MAILDIR_KEYWORDS)
			names[k] = str_word(&line, " \r");
	}
}

/* ---- folders ---- */

static struct str with_slashes(struct str name, char from, struct arena *a)
{
	char *copy = arena_alloc(a, name.len + 1);

	for (size_t i = 0; i < name.len; i++)
		copy[i] = name.ptr[i] == from  ? '/'
			  : name.ptr[i] == '/' ? '_'
					       : name.ptr[i];
	return str_of(copy, name.len);
}

bool maildir_folder_parse(
	struct str directory, struct arena *a, struct str *mailbox_r)
{
	struct str name = str_from_at(directory, 1);
	struct str utf8;

	if (!str_starts(directory, ".") || name.len == 0 || str_eqc(name, "."))
		return false;
	/* Some keep UTF-8 there. */
	if (!imap_utf7_decode(name, a, &utf8))
		utf8 = name;
	*mailbox_r = with_slashes(utf8, '.', a);
	return true;
}

struct str maildir_folder_name(struct str mailbox, struct arena *a)
{
	struct str utf7 = imap_utf7_encode(mailbox, a);
	char *copy = arena_alloc(a, utf7.len + 2);

	copy[0] = '.';
	for (size_t i = 0; i < utf7.len; i++)
		copy[i + 1] = utf7.ptr[i] == '.'   ? '_'
			      : utf7.ptr[i] == '/' ? '.'
						   : utf7.ptr[i];
	return str_of(copy, utf7.len + 1);
}

/* Each level by itself: a tab is nothing that modified UTF-7 knows. */
static struct str subscribed_name(struct str line, char from, struct arena *a)
{
	struct str name = STR_NONE;

	while (str_present(line)) {
		struct str part = str_cut(&line, from), utf8;

		if (!imap_utf7_decode(part, a, &utf8))
			utf8 = part;
		utf8 = with_slashes(utf8, from, a);
		name = str_present(name)
			       ? arena_concat(a,
					 arena_concat(a, name, STR("/")), utf8)
			       : utf8;
	}
	return name;
}

void maildir_subscriptions_parse(
	struct str text, char separator, struct arena *a, struct strs *names)
{
	bool tabs = str_starts(text, "V\t2");

	if (tabs)
		str_cut(&text, '\n');
	while (str_present(text)) {
		struct str line = str_trim_right(str_cut(&text, '\n'));

		if (line.len > 0)
			strs_add(names, a,
				subscribed_name(
					line, tabs ? '\t' : separator, a));
	}
}
