/* SPDX-License-Identifier: ISC */
#include "policy/dkim_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "codec/mail/base64.h"
#include "codec/mail/dkim.h"
#include "sys/file.h"

enum { KEYS_MAX = 64 };

static const char *const endings[] = {".new", ".key", ".old"};

const char *dkim_key_state_name(enum dkim_key_state s)
{
	static const char *const names[] = {"new", "in use", "old"};

	return names[s];
}

static struct str path_of(struct str directory, struct str domain,
	struct str selector, enum dkim_key_state state, struct arena *a)
{
	return arena_printf(a, "%.*s/%.*s/%.*s%s", STR_ARG(directory),
		STR_ARG(domain), STR_ARG(selector), endings[state]);
}

static bool parse_name(const char *name, struct dkim_key_file *k)
{
	struct str s = str_from(name);

	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (s.len > 4 && s.ptr[0] != '.' && str_ends(s, endings[i])) {
			k->selector = str_sub(s, 0, s.len - 4);
			k->state = (enum dkim_key_state)i;
			return true;
		}
	return false;
}

static struct str record_of(EVP_PKEY *key, struct arena *a)
{
	return arena_printf(a, "v=DKIM1; k=%s; h=sha256; p=%.*s",
		signature_is_ed25519(key) ? "ed25519" : "rsa",
		STR_ARG(base64_encode_a(signature_public_bytes(key, a), a)));
}

static bool load_one(struct str directory, struct str domain, struct arena *a,
	struct dkim_key_file *k, struct fault *f)
{
	struct str path = path_of(directory, domain, k->selector, k->state, a);
	struct stat st;

	k->key = signature_load(path.ptr, f);
	if (k->key == NULL)
		return false;
	k->since = stat(path.ptr, &st) == 0 ? st.st_mtime : 0;
	k->record = record_of(k->key, a);
	return true;
}

static int by_selector(const void *x, const void *y)
{
	const struct dkim_key_file *a = x, *b = y;

	return str_cmp(a->selector, b->selector);
}

bool dkim_keys_load(struct str directory, struct str domain, struct arena *a,
	struct dkim_keys *keys_r, struct fault *f)
{
	struct str path = arena_printf(
		a, "%.*s/%.*s", STR_ARG(directory), STR_ARG(domain));
	const struct dirent *e;
	bool ok = true;

	*keys_r = (struct dkim_keys){
		.v = arena_alloc(a, KEYS_MAX * sizeof(*keys_r->v))};
	DIR *dir = opendir(path.ptr);
	if (dir == NULL)
		return errno == ENOENT || errno == ENOTDIR ||
		       fault_sys(f, "%.*s", STR_ARG(path));
	while (ok && keys_r->n < KEYS_MAX && (e = readdir(dir)) != NULL) {
		struct dkim_key_file k = {0};

		if (!parse_name(e->d_name, &k))
			continue;
		k.selector = arena_str(a, k.selector);
		ok = load_one(directory, domain, a, &k, f);
		if (ok)
			keys_r->v[keys_r->n++] = k;
	}
	closedir(dir);
	qsort(keys_r->v, keys_r->n, sizeof(*keys_r->v), by_selector);
	if (!ok)
		dkim_keys_free(keys_r);
	return ok;
}

void dkim_keys_free(struct dkim_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->v[i].key);
	keys->n = 0;
}

struct str dkim_key_name(
	struct str selector, struct str domain, struct arena *a)
{
	return arena_printf(
		a, "%.*s._domainkey.%.*s", STR_ARG(selector), STR_ARG(domain));
}

enum dns_result dkim_key_published(struct resolver *r, struct str domain,
	const struct dkim_key_file *key, struct arena *a)
{
	struct str own = signature_public_bytes(key->key, a);
	struct strs texts = {0};
	struct dkim_key seen;
	const char *why;
	struct fault f;
	enum dns_result d = resolver_txt(
		r, dkim_key_name(key->selector, domain, a), a, &texts, &f);

	if (d != DNS_OK)
		return d;
	for (size_t i = 0; i < texts.n; i++)
		if (dkim_key_parse(texts.v[i], a, &seen, &why) &&
			seen.ed25519 == signature_is_ed25519(key->key) &&
			str_eq(seen.key, own))
			return DNS_OK;
	return DNS_NONE;
}

/* ---- changes ---- */

bool dkim_key_make(struct str directory, struct str domain, struct str selector,
	bool ed25519, unsigned bits, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str dir = arena_printf(
		a, "%.*s/%.*s", STR_ARG(directory), STR_ARG(domain));
	struct str path = path_of(directory, domain, selector, DKIM_KEY_NEW, a);

	if (!dir_make(dir.ptr, 0700, f))
		return false;
	EVP_PKEY *key = signature_generate(ed25519, bits);
	bool ok =
		file_replace(path.ptr, signature_private_pem(key, a), 0600, f);
	EVP_PKEY_free(key);
	return ok;
}

bool dkim_key_move(struct str directory, struct str domain,
	const struct dkim_key_file *key, enum dkim_key_state to,
	struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str from =
		path_of(directory, domain, key->selector, key->state, a);
	struct str path = path_of(directory, domain, key->selector, to, a);

	/* The time first: cut off in between, the step waits once more. */
	return (utimensat(AT_FDCWD, from.ptr, NULL, 0) == 0 ||
		       fault_sys(f, "%.*s", STR_ARG(from))) &&
	       file_rename(from.ptr, path.ptr, f) && dir_sync_of(path.ptr, f);
}

bool dkim_key_remove(struct str directory, struct str domain,
	const struct dkim_key_file *key, struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);

	return file_unlink(
		path_of(directory, domain, key->selector, key->state, a).ptr,
		f);
}
