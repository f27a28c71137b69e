/* SPDX-License-Identifier: ISC */
#include "codec/mail/dsn_words.h"

static const struct dsn_words *const languages_known[] = {
	&dsn_words_en, &dsn_words_de};

/* RFC 4647 3.4: "de-AT" is served by "de". */
static const struct dsn_words *by_tag(struct str tag)
{
	struct str primary = str_cut(&tag, '-');

	for (size_t i = 0; i < ARRAY_LEN(languages_known); i++)
		if (str_ieqc(primary, languages_known[i]->language))
			return languages_known[i];
	return NULL;
}

/* RFC 9110 12.4.2: "q=0.5" in thousandths; 1000 where there is none. */
static int weight(struct str params)
{
	struct str p = str_trim(params);
	int q = 0, digit = 100;

	if (!str_istarts(p, "q="))
		return 1000;
	p = str_from_at(p, 2);
	if (str_starts(p, "1"))
		return 1000;
	for (size_t i = 2;
		i < p.len && digit > 0 && p.ptr[i] >= '0' && p.ptr[i] <= '9';
		i++, digit /= 10)
		q += (p.ptr[i] - '0') * digit;
	return q;
}

const struct dsn_words *dsn_words_find(struct str languages)
{
	const struct dsn_words *best = NULL;
	int most = 0;

	while (str_present(languages)) {
		struct str item = str_cut(&languages, ',');
		struct str tag = str_trim(str_cut(&item, ';'));
		const struct dsn_words *words = by_tag(tag);
		int q = str_present(item) ? weight(item) : 1000;

		if (words != NULL && q > most) {
			best = words;
			most = q;
		}
	}
	return best;
}

struct meaning {
	int subject, detail; /* detail -1: any other */
	enum dsn_cause cause;
};

/* RFC 3463 3, RFC 7505, RFC 7372, RFC 8689 */
static const struct meaning meanings[] = {{1, 0, DSN_CAUSE_ADDRESS},
	{1, 1, DSN_CAUSE_ADDRESS}, {1, 2, DSN_CAUSE_DOMAIN},
	{1, 3, DSN_CAUSE_ADDRESS}, {1, 6, DSN_CAUSE_ADDRESS},
	{1, 7, DSN_CAUSE_REFUSED}, {1, 8, DSN_CAUSE_REFUSED},
	{1, 10, DSN_CAUSE_DOMAIN}, {1, -1, DSN_CAUSE_ADDRESS},
	{2, 1, DSN_CAUSE_DISABLED}, {2, 2, DSN_CAUSE_FULL},
	{2, 3, DSN_CAUSE_SIZE}, {3, 4, DSN_CAUSE_SIZE},
	{4, 4, DSN_CAUSE_DOMAIN}, {4, 6, DSN_CAUSE_LOOP},
	{4, 7, DSN_CAUSE_UNREACHED}, {4, -1, DSN_CAUSE_UNREACHED},
	{6, -1, DSN_CAUSE_FORM}, {7, 4, DSN_CAUSE_SECURITY},
	{7, 5, DSN_CAUSE_SECURITY}, {7, 10, DSN_CAUSE_SECURITY},
	{7, 30, DSN_CAUSE_SECURITY}, {7, -1, DSN_CAUSE_REFUSED}};

enum dsn_cause dsn_cause_of(int class, int subject, int detail, bool from_us)
{
	/* Our disk, our tables, our configuration. */
	if (from_us && subject == 3 && detail != 4)
		return DSN_CAUSE_OURS;
	if (class == 2)
		return DSN_CAUSE_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].subject == subject &&
			(meanings[i].detail == detail ||
				meanings[i].detail == -1))
			return meanings[i].cause;
	return DSN_CAUSE_OTHER;
}
