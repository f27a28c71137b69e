/* SPDX-License-Identifier: ISC */
/*
 * postern dkim generate|rotate|list|zone: the keys of a domain, from the day
 * they are made to the day nobody needs them any more.  Each call of rotate
 * does the one step that is due; cut off anywhere, the next call goes on.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "cmd/cmd.h"
#include "codec/dns/zonefile.h"
#include "codec/smtp/path.h"
#include "policy/dkim_keys.h"
#include "sys/clock.h"

enum { RSA_BITS = 2048, TTL = 3600, DAY = 86400, GRACE_DAYS = 15 };

struct job {
	struct cmd *c;
	struct arena *a;
	struct conf *conf;
	struct str directory, domain;
	struct dkim_keys keys;
	struct resolver *resolver; /* NULL: DNS is not asked */
	int64_t now;
	int64_t older_than; /* seconds; of rotate */
};

static int fail(const struct fault *f)
{
	fprintf(stderr, "postern dkim: %s\n", f->text);
	return EX_IOERR;
}

static bool has(const struct job *j, enum dkim_key_state state)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.v[i].state == state)
			return true;
	return false;
}

static void print_record(const struct job *j, const struct dkim_key_file *k)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	zonefile_put_txt(&b, dkim_key_name(k->selector, j->domain, j->a), TTL,
		k->record);
	printf("%.*s", STR_ARG(buf_str(&b)));
}

static void print_records(const struct job *j, enum dkim_key_state state)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.v[i].state == state)
			print_record(j, &j->keys.v[i]);
}

static const char *date_of(int64_t at, char text[20])
{
	time_t t = (time_t)at;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(text, 20, "%Y-%m-%d %H:%M", &tm);
	return text;
}

/* ---- generate ---- */

static bool is_taken(const struct job *j, struct str selector)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (str_eq(j->keys.v[i].selector, selector))
			return true;
	return false;
}

/* "rsa-20261126", "rsa-20261126b", ... */
static struct str fresh_selector(const struct job *j, const char *kind)
{
	time_t t = (time_t)j->now;
	struct tm tm;
	char day[16];
	struct str s;

	localtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y%m%d", &tm);
	s = arena_printf(j->a, "%s-%s", kind, day);
	for (char c = 'b'; c <= 'z' && is_taken(j, s); c++)
		s = arena_printf(j->a, "%s-%s%c", kind, day, c);
	return s;
}

static void give_back(const struct job *j)
{
	struct str dir = arena_printf(
		j->a, "%.*s/%.*s", STR_ARG(j->directory), STR_ARG(j->domain));
	const char *like = arena_cstr(j->a, j->conf->data_directory);
	const struct dirent *e;
	DIR *d = opendir(dir.ptr);

	cmd_give_back(like, arena_cstr(j->a, j->directory));
	cmd_give_back(like, dir.ptr);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			cmd_give_back(like, arena_printf(j->a, "%.*s/%s",
						    STR_ARG(dir), e->d_name)
						    .ptr);
	if (d != NULL)
		closedir(d);
}

static bool reload(struct job *j, struct fault *f)
{
	dkim_keys_free(&j->keys);
	return dkim_keys_load(j->directory, j->domain, j->a, &j->keys, f);
}

static int make_pair(struct job *j)
{
	struct fault f;

	if (!dkim_key_make(j->directory, j->domain, fresh_selector(j, "rsa"),
		    false, RSA_BITS, &f) ||
		!dkim_key_make(j->directory, j->domain, fresh_selector(j, "ed"),
			true, 0, &f) ||
		!reload(j, &f))
		return fail(&f);
	give_back(j);
	printf("; Add these lines to the zone of %.*s.  As soon as DNS shows "
	       "them,\n; mail is signed with the new keys.\n",
		STR_ARG(j->domain));
	print_records(j, DKIM_KEY_NEW);
	return EX_OK;
}

static int generate(struct job *j)
{
	if (has(j, DKIM_KEY_USED)) {
		fprintf(stderr,
			"postern dkim: %.*s has keys in use; write: postern "
			"dkim rotate %.*s\n",
			STR_ARG(j->domain), STR_ARG(j->domain));
		return EX_DATAERR;
	}
	if (!has(j, DKIM_KEY_NEW))
		return make_pair(j);
	printf("; %.*s has keys that wait for DNS; these are the lines:\n",
		STR_ARG(j->domain));
	print_records(j, DKIM_KEY_NEW);
	return EX_OK;
}

/* ---- rotate ---- */

static bool in_dns(const struct job *j, const struct dkim_key_file *k)
{
	return j->resolver == NULL ||
	       dkim_key_published(j->resolver, j->domain, k, j->a) == DNS_OK;
}

/* Old ones first: cut off in between, the new ones sign all the same, as DNS
 * shows them. */
static int take_into_use(struct job *j)
{
	struct fault f;
	bool all = true;

	for (size_t i = 0; i < j->keys.n; i++)
		all &= j->keys.v[i].state != DKIM_KEY_NEW ||
		       in_dns(j, &j->keys.v[i]);
	if (!all) {
		printf("; DNS does not show these lines yet:\n");
		for (size_t i = 0; i < j->keys.n; i++)
			if (j->keys.v[i].state == DKIM_KEY_NEW &&
				!in_dns(j, &j->keys.v[i]))
				print_record(j, &j->keys.v[i]);
		return EX_TEMPFAIL;
	}
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < j->keys.n; i++) {
			const struct dkim_key_file *k = &j->keys.v[i];
			enum dkim_key_state from =
				pass == 0 ? DKIM_KEY_USED : DKIM_KEY_NEW;

			if (k->state != from)
				continue;
			if (!dkim_key_move(j->directory, j->domain, k,
				    pass == 0 ? DKIM_KEY_OLD : DKIM_KEY_USED,
				    &f))
				return fail(&f);
			printf("%.*s: %s\n", STR_ARG(k->selector),
				pass == 0 ? "old; leave its record in DNS"
					  : "in use");
		}
	give_back(j);
	return EX_OK;
}

/* A signature may be looked at until it expires. */
static int64_t needed_until(const struct job *j, const struct dkim_key_file *k)
{
	int64_t lifetime = j->conf->dkim_signature_lifetime;

	return k->since + (lifetime > 0 ? lifetime : GRACE_DAYS * DAY);
}

static bool is_gone(const struct job *j, const struct dkim_key_file *k)
{
	enum dns_result d =
		j->resolver == NULL
			? DNS_NONE
			: dkim_key_published(j->resolver, j->domain, k, j->a);

	return d == DNS_NONE || d == DNS_NXDOMAIN;
}

static int retire(struct job *j)
{
	int rc = EX_OK;
	char text[20];
	struct fault f;

	for (size_t i = 0; i < j->keys.n; i++) {
		const struct dkim_key_file *k = &j->keys.v[i];

		if (k->state != DKIM_KEY_OLD)
			continue;
		if (j->now < needed_until(j, k)) {
			printf("%.*s: old; its record is needed until %s\n",
				STR_ARG(k->selector),
				date_of(needed_until(j, k), text));
			rc = EX_TEMPFAIL;
		} else if (!is_gone(j, k)) {
			printf("%.*s: nobody needs it; take %.*s out of "
			       "DNS\n",
				STR_ARG(k->selector),
				STR_ARG(dkim_key_name(
					k->selector, j->domain, j->a)));
			rc = EX_TEMPFAIL;
		} else if (dkim_key_remove(j->directory, j->domain, k, &f)) {
			printf("%.*s: removed\n", STR_ARG(k->selector));
		} else {
			return fail(&f);
		}
	}
	return rc;
}

static bool is_due(const struct job *j)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.v[i].state == DKIM_KEY_USED &&
			j->now - j->keys.v[i].since < j->older_than)
			return false;
	return true;
}

static int rotate(struct job *j)
{
	if (has(j, DKIM_KEY_NEW))
		return take_into_use(j);
	if (has(j, DKIM_KEY_OLD))
		return retire(j);
	if (is_due(j))
		return make_pair(j);
	printf("%.*s: its keys are young enough\n", STR_ARG(j->domain));
	return EX_OK;
}

/* ---- list, zone ---- */

static const char *seen_in_dns(
	const struct job *j, const struct dkim_key_file *k)
{
	if (j->resolver == NULL)
		return "";
	switch (dkim_key_published(j->resolver, j->domain, k, j->a)) {
	case DNS_OK:
		return "  in DNS";
	case DNS_TEMP:
		return "  DNS does not answer";
	case DNS_NONE:
	case DNS_NXDOMAIN:
		break;
	}
	return "  not in DNS";
}

static int list(struct job *j)
{
	char text[20];

	for (size_t i = 0; i < j->keys.n; i++) {
		const struct dkim_key_file *k = &j->keys.v[i];

		printf("%.*s  %.*s  %s %u  %s since %s%s\n", STR_ARG(j->domain),
			STR_ARG(k->selector),
			signature_is_ed25519(k->key) ? "ed25519" : "rsa",
			signature_key_bits(k->key),
			dkim_key_state_name(k->state), date_of(k->since, text),
			seen_in_dns(j, k));
	}
	return EX_OK;
}

static int zone(struct job *j)
{
	print_records(j, DKIM_KEY_NEW);
	print_records(j, DKIM_KEY_USED);
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.v[i].state == DKIM_KEY_OLD &&
			j->now < needed_until(j, &j->keys.v[i]))
			print_record(j, &j->keys.v[i]);
	return EX_OK;
}

/* ---- the command ---- */

static const struct {
	const char *name;
	int (*fn)(struct job *j);
	bool all; /* without a domain: each of them */
} verbs[] = {
	{"generate", generate, false},
	{"rotate", rotate, true},
	{"list", list, true},
	{"zone", zone, true},
};

static int one(struct job *j, size_t verb, struct str domain)
{
	struct fault f;

	j->domain = arena_lower(j->a, domain);
	if (!smtp_domain_valid(j->domain, false))
		return cmd_usage(
			j->c, "\"%.*s\" is no domain", STR_ARG(j->domain));
	if (!dkim_keys_load(j->directory, j->domain, j->a, &j->keys, &f))
		return fail(&f);
	int rc = EX_DATAERR;
	if (verbs[verb].fn != generate && j->keys.n == 0)
		fprintf(stderr,
			"postern dkim: %.*s has no keys; write: postern dkim "
			"generate %.*s\n",
			STR_ARG(j->domain), STR_ARG(j->domain));
	else
		rc = verbs[verb].fn(j);
	dkim_keys_free(&j->keys);
	return rc;
}

static int each(struct job *j, size_t verb)
{
	struct dirent **names;
	int rc = EX_OK;
	int n = scandir(
		arena_cstr(j->a, j->directory), &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			int r = one(j, verb, str_from(names[i]->d_name));

			rc = r != EX_OK ? r : rc;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return rc;
}

int cmd_dkim(struct cmd *c)
{
	static const struct option_def defs[] = {
		{"--no-dns", false}, {"--older-than", true}};
	const char *what = NULL, *domain = NULL, *value;
	bool ask = true;
	size_t verb = ARRAY_LEN(verbs);
	uint64_t days = 0;
	int at = 1, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == 0)
			ask = false;
		else if (i == 1 && !str_u64(str_from(value), &days))
			return cmd_usage(c, "--older-than wants days");
		else if (i == -1 && what == NULL)
			what = value;
		else if (i == -1 && domain == NULL)
			domain = value;
		else if (i == -1)
			return cmd_usage(c, "unexpected \"%s\"", value);
	}
	for (size_t k = 0; k < ARRAY_LEN(verbs) && what != NULL; k++)
		if (strcmp(what, verbs[k].name) == 0)
			verb = k;
	if (verb == ARRAY_LEN(verbs))
		return cmd_usage(c, "generate, rotate, list or zone?");
	if (domain == NULL && !verbs[verb].all)
		return cmd_usage(c, "a domain is missing");
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct problems problems = {.a = a};
	struct job j = {.c = c,
		.a = a,
		.conf = conf_load(c->dir, &problems),
		.now = clock_unix(),
		.older_than = (int64_t)days * DAY};
	struct fault f;
	j.directory = j.conf->dkim_key_directory;
	if (ask && (j.resolver = cmd_resolver(j.conf, &f)) == NULL)
		return fail(&f);
	int rc = domain != NULL ? one(&j, verb, str_from(domain))
				: each(&j, verb);
	resolver_free(j.resolver);
	return rc;
}
