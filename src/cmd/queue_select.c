/* SPDX-License-Identifier: ISC */
#include "cmd/queue_select.h"

#include <stdlib.h>
#include <string.h>

#include "codec/postfix/value.h"

static bool number(const char *value, uint64_t *n_r)
{
	char *end;
	unsigned long long n = strtoull(value, &end, 10);

	if (*value < '0' || *value > '9' || *end != '\0' || n == 0)
		return false;
	*n_r = n;
	return true;
}

bool queue_select_option(
	struct queue_request *r, const char *name, const char *value)
{
	struct str text = str_from(value);

	if (strcmp(name, "--sender") == 0)
		r->sender = str_eqc(text, "<>") ? STR("") : text;
	else if (strcmp(name, "--recipient") == 0)
		r->recipient = text;
	else if (strcmp(name, "--reason") == 0)
		r->reason = text;
	else if (strcmp(name, "--site") == 0)
		r->site = text;
	else if (strcmp(name, "--older-than") == 0)
		return value_time(text, 's', &r->older_than);
	else if (strcmp(name, "--limit") == 0)
		return number(value, &r->limit);
	else
		return false;
	return true;
}

bool queue_select_any(const struct queue_request *r)
{
	return str_present(r->sender) || str_present(r->recipient) ||
	       str_present(r->reason) || str_present(r->site) ||
	       r->older_than > 0;
}
