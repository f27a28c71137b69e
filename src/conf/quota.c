/* SPDX-License-Identifier: ISC */
#include "conf/quota.h"

static bool parse_size(struct str word, uint64_t *bytes_r)
{
	static const char units[] = "KMGT";
	unsigned shift = 0;

	for (unsigned i = 0; units[i] != '\0' && word.len > 1; i++)
		if (ascii_upper(word.ptr[word.len - 1]) == units[i])
			shift = 10 * (i + 1);
	if (shift > 0)
		word.len--;
	if (!str_u64(word, bytes_r) || *bytes_r > UINT64_MAX >> 41)
		return false;
	*bytes_r <<= shift;
	return true;
}

bool quota_parse(struct str text, uint64_t *bytes_r, uint64_t *messages_r)
{
	struct str size = str_word(&text, " \t");
	struct str messages = str_word(&text, " \t");
	uint64_t n = 0;

	if (!str_present(size) || !parse_size(size, bytes_r) ||
		(str_present(messages) && !str_u64(messages, &n)) ||
		str_present(str_word(&text, " \t")))
		return false;
	*messages_r = n;
	return true;
}
