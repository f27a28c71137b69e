/* SPDX-License-Identifier: ISC */
#include "cmd/queue_select.h"

#include <string.h>

#include "cmd/queue_client.h"
#include "codec/postfix/value.h"
#include "sys/clock.h"

bool queue_select_option(
	struct queue_select *s, const char *name, const char *value)
{
	struct str text = str_from(value);

	if (strcmp(name, "--sender") == 0)
		s->sender = str_eqc(text, "<>") ? STR("") : text;
	else if (strcmp(name, "--recipient") == 0)
		s->recipient = text;
	else if (strcmp(name, "--reason") == 0)
		s->reason = text;
	else if (strcmp(name, "--older-than") == 0)
		return value_time(text, 's', &s->older_than);
	else
		return false;
	return true;
}

bool queue_select_any(const struct queue_select *s)
{
	return str_present(s->sender) || str_present(s->recipient) ||
	       str_present(s->reason) || s->older_than > 0;
}

static bool is_address(struct str pattern, struct str address)
{
	if (!str_starts(pattern, "@"))
		return str_ieq(pattern, address);
	return pattern.len <= address.len &&
	       str_ieq(pattern,
		       str_from_at(address, address.len - pattern.len));
}

static bool contains(struct str text, struct str part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (str_ieq(str_sub(text, i, part.len), part))
			return true;
	return false;
}

/* One recipient that still waits answers for both. */
static bool has_recipient(const struct queue_select *s, const json_t *m)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		bool done = strcmp(ask_queue_text(r, "state"), "done") == 0;

		if (!done &&
			(!str_present(s->recipient) ||
				is_address(
					s->recipient, str_from(ask_queue_text(r,
							      "address")))) &&
			(!str_present(s->reason) ||
				contains(str_from(ask_queue_text(r, "reason")),
					s->reason)))
			return true;
	}
	return false;
}

bool queue_select_has(const struct queue_select *s, const json_t *m)
{
	int64_t arrival = json_integer_value(json_object_get(m, "arrival"));

	if (str_present(s->sender) &&
		!is_address(s->sender, str_from(ask_queue_text(m, "sender"))))
		return false;
	if (s->older_than > 0 && arrival > clock_unix() - s->older_than)
		return false;
	return (!str_present(s->recipient) && !str_present(s->reason)) ||
	       has_recipient(s, m);
}
