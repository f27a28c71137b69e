/* SPDX-License-Identifier: ISC */
#include "cmd/check_screen.h"

#include "codec/postfix/lines.h"
#include "conf/match.h"

void check_screen(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	static const char *const words[] = {
		"permit_mynetworks", "permit", "reject"};
	struct str rest = c->postscreen_access_list, item;

	while (str_present(item = list_item(&rest))) {
		bool word = false;

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			word |= str_ieqc(item, words[i]);
		if (!word)
			maps_open(tables, c, "postscreen_access_list", item, 0,
				p);
	}
	maps_open(tables, c, "postscreen_dnsbl_reply_map",
		c->postscreen_dnsbl_reply_map, 0, p);
	match_list_new(tables, c, "postscreen_allowlist_interfaces",
		c->postscreen_allowlist_interfaces, MATCH_ADDRESSES, false, p);
}
