/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/filter.h"

#include "role/mailbox/imap/list_names.h"

enum { NAMES_MAX = 1000 };

static const struct {
	const char *word;
	enum filter_kind kind;
} kinds[] = {{"SELECTED-DELAYED", FILTER_SELECTED_DELAYED},
	{"SELECTED", FILTER_SELECTED}, {"INBOXES", FILTER_INBOXES},
	{"PERSONAL", FILTER_PERSONAL}, {"SUBSCRIBED", FILTER_SUBSCRIBED},
	{"SUBTREE-ONE", FILTER_SUBTREE_ONE}, {"SUBTREE", FILTER_SUBTREE},
	{"MAILBOXES", FILTER_MAILBOXES}};

/* one-or-more-mailbox */
static bool parse_names(struct imap_in *in, struct strs *names)
{
	struct str name;
	bool many = imap_char(in, '(');

	do {
		if (names->n == NAMES_MAX || !imap_mailbox(in, &name))
			return false;
		strs_add(names, in->a, name);
	} while (many && imap_space(in));
	return !many || imap_char(in, ')');
}

bool imap_filter_parse(struct imap_in *in, struct imap_filter *f)
{
	size_t i = 0;

	*f = (struct imap_filter){0};
	while (i < ARRAY_LEN(kinds) && !imap_word(in, kinds[i].word))
		i++;
	if (i == ARRAY_LEN(kinds))
		return false;
	f->kind = kinds[i].kind;
	return f->kind < FILTER_SUBTREE ||
	       (imap_space(in) && parse_names(in, &f->names));
}

static bool is_child(struct str name, struct str parent)
{
	return list_name_is_below(name, parent) &&
	       str_find(str_from_at(name, parent.len + 1), '/') < 0;
}

bool imap_filter_matches(const struct imap *s, const struct imap_filter *f,
	int64_t account, struct str name, bool subscribed)
{
	if (f->kind == FILTER_INBOXES || f->kind == FILTER_PERSONAL)
		return account == s->account;
	if (f->kind == FILTER_SUBSCRIBED)
		return subscribed;
	for (size_t i = 0; i < f->names.n; i++) {
		struct str want = f->names.v[i];

		if (str_eq(name, want) ||
			(f->kind == FILTER_SUBTREE &&
				list_name_is_below(name, want)) ||
			(f->kind == FILTER_SUBTREE_ONE && is_child(name, want)))
			return true;
	}
	return false;
}
