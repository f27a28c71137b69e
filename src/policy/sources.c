/* SPDX-License-Identifier: ISC */
#include "policy/sources.h"

#include <string.h>
#include <time.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "sys/sock.h"

enum { WEIGHT_MAX = 1000, DAYS_MAX = 366, DAY_S = 86400 };

static bool day_parse(struct str text, int64_t *day_r)
{
	struct tm tm = {0};
	char copy[11];

	if (text.len != 10)
		return false;
	memcpy(copy, text.ptr, 10);
	copy[10] = '\0';
	const char *end = strptime(copy, "%Y-%m-%d", &tm);
	if (end == NULL || *end != '\0')
		return false;
	*day_r = timegm(&tm) / DAY_S;
	return *day_r > 0;
}

static bool attribute(struct source *s, struct str text, const char **why_r)
{
	struct str value = text, name = str_cut(&value, '=');
	int64_t n;

	if (!str_present(value))
		value = STR("");
	if (str_eqc(name, "weight")) {
		*why_r = "a weight from 1 to 1000";
		if (!value_int(value, &n) || n < 1 || n > WEIGHT_MAX)
			return false;
		s->weight = (unsigned)n;
		return true;
	}
	if (str_eqc(name, "warmup")) {
		*why_r = "the day it began, warmup=2026-12-01";
		return day_parse(value, &s->warmup);
	}
	*why_r = "weight=, warmup= or helo=";
	s->helo = value;
	return str_eqc(name, "helo") && value.len > 0;
}

/* "address", or "{address, weight=3, ...}" */
static bool source_parse(struct str item, struct source *s, const char **why_r)
{
	struct str rest = list_unbrace(item), word;
	struct sock_addr addr;

	*s = (struct source){.address = list_item(&rest), .weight = 1};
	*why_r = "an IP address of this machine";
	if (!str_present(s->address) || !sock_addr_parse(s->address, 0, &addr))
		return false;
	s->six = addr.ss.ss_family == AF_INET6;
	while (str_present(word = list_item(&rest)))
		if (!attribute(s, word, why_r))
			return false;
	return true;
}

static bool schedule_parse(const struct conf *c, struct arena *a,
	struct sources *s, struct str *what_r, const char **why_r)
{
	struct str list = c->smtp_source_warmup;
	int64_t n;

	s->schedule = arena_alloc(a, DAYS_MAX * sizeof(*s->schedule));
	while (str_present(*what_r = list_item(&list))) {
		*why_r = "numbers of mails a day, at most 366";
		if (!value_int(*what_r, &n) || n < 1 || n >= UINT32_MAX ||
			s->n_schedule == DAYS_MAX)
			return false;
		s->schedule[s->n_schedule++] = (uint32_t)n;
	}
	return true;
}

bool sources_parse(const struct conf *c, struct arena *a, struct sources *s_r,
	struct str *what_r, const char **why_r)
{
	struct sources s = {.v = arena_alloc(a, SOURCES_MAX * sizeof(*s.v))};
	struct str list = c->smtp_source_addresses;

	*s_r = (struct sources){0};
	while (str_present(*what_r = list_item(&list))) {
		*why_r = "at most 256 addresses";
		if (s.n == SOURCES_MAX ||
			!source_parse(*what_r, &s.v[s.n], why_r))
			return false;
		s.n++;
	}
	if (!schedule_parse(c, a, &s, what_r, why_r))
		return false;
	*s_r = s;
	return true;
}

uint32_t sources_quota(
	const struct sources *s, const struct source *one, int64_t day)
{
	if (one->warmup == 0 || day >= one->warmup + (int64_t)s->n_schedule)
		return UINT32_MAX;
	return day < one->warmup ? 0 : s->schedule[day - one->warmup];
}

const struct source *sources_choose(const struct sources *s, bool six,
	uint64_t hash, int64_t day, const uint32_t *carried)
{
	const struct source *largest = NULL;
	uint64_t total = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct source *one = &s->v[i];
		uint32_t quota = sources_quota(s, one, day);

		if (one->six != six)
			continue;
		if (largest == NULL || quota > sources_quota(s, largest, day))
			largest = one;
		if (carried[i] < quota)
			total += one->weight;
	}
	if (total == 0)
		return largest;
	uint64_t at = hash % total;
	for (size_t i = 0; i < s->n; i++) {
		const struct source *one = &s->v[i];

		if (one->six != six || carried[i] >= sources_quota(s, one, day))
			continue;
		if (at < one->weight)
			return one;
		at -= one->weight;
	}
	return largest;
}
