/* SPDX-License-Identifier: ISC */
#include "policy/dkim.h"

#include "base/must.h"
#include "sys/signature.h"

enum { RSA_BITS_MIN = 1024 }; /* RFC 8301 3.2 */

const char *dkim_result_name(enum dkim_result r)
{
	static const char *const names[] = {"none", "pass", "fail", "policy",
		"neutral", "temperror", "permerror"};

	return names[r];
}

static bool end(struct dkim_verdict *v, enum dkim_result r, const char *why)
{
	v->result = r;
	v->why = why;
	return r == DKIM_PASS;
}

/* ---- the key ---- */

/* May this key be used for this signature? */
static bool key_fits(const struct dkim_key *k, struct dkim_verdict *v)
{
	const struct dkim_signature *s = &v->signature;
	struct str at = s->identity;

	if (k->key.len == 0)
		return end(v, DKIM_PERMERROR, "the key is revoked");
	if (k->ed25519 != (s->algorithm == DKIM_ED25519_SHA256))
		return end(v, DKIM_PERMERROR, "the key is of another type");
	if (!k->sha256)
		return end(v, DKIM_PERMERROR, "the key is not for sha256");
	if (!k->email)
		return end(v, DKIM_PERMERROR, "the key is not for mail");
	ptrdiff_t i = str_rfind(at, '@');
	if (k->strict && i >= 0 &&
		!str_ieq(str_from_at(at, (size_t)i + 1), s->domain))
		return end(v, DKIM_PERMERROR, "i= is not d=, as the key wants");
	v->testing = k->testing;
	return true;
}

static EVP_PKEY *open_key(struct dkim_key *k, struct dkim_verdict *v)
{
	EVP_PKEY *key = signature_public_key(k->ed25519, k->key);

	if (key == NULL)
		end(v, DKIM_PERMERROR, "the key cannot be read");
	return key;
}

/* 3.6.2.2: the first record that can be used; NULL: v says why not. */
static EVP_PKEY *find_key(
	struct resolver *resolver, struct arena *a, struct dkim_verdict *v)
{
	const struct dkim_signature *s = &v->signature;
	struct str name = arena_printf(a, "%.*s._domainkey.%.*s",
		STR_ARG(s->selector), STR_ARG(s->domain));
	struct strs texts = {0};
	struct dkim_key k;
	const char *why;
	struct fault f;
	enum dns_result r = resolver_txt(resolver, name, a, &texts, &f);

	if (r == DNS_TEMP) {
		end(v, DKIM_TEMPERROR, "DNS failed for the key");
		return NULL;
	}
	end(v, DKIM_PERMERROR, "no key for signature");
	for (size_t i = 0; i < texts.n; i++) {
		if (!dkim_key_parse(texts.v[i], a, &k, &why)) {
			end(v, DKIM_PERMERROR, why);
			continue;
		}
		if (!key_fits(&k, v))
			continue;
		EVP_PKEY *key = open_key(&k, v);
		if (key != NULL)
			return key;
	}
	return NULL;
}

bool dkim_check_text(struct resolver *resolver, struct str text,
	struct arena *a, struct dkim_verdict *v)
{
	/* RFC 8301 3.1 */
	if (v->signature.algorithm == DKIM_RSA_SHA1)
		return end(v, DKIM_PERMERROR, "rsa-sha1 is not accepted");
	EVP_PKEY *key = find_key(resolver, a, v);
	if (key == NULL)
		return false;
	bool ok = signature_verify(key, text, v->signature.signature);
	bool is_short = !signature_is_ed25519(key) &&
			signature_key_bits(key) < RSA_BITS_MIN;
	EVP_PKEY_free(key);
	if (!ok)
		return end(v, DKIM_FAIL, "the signature did not verify");
	return is_short ? end(v, DKIM_POLICY,
				  "the key is shorter than 1024 bits")
			: end(v, DKIM_PASS, NULL);
}

/* ---- the message ---- */

struct dkim_message dkim_message_begin(struct resolver *resolver,
	struct str message, int64_t now, struct arena *a)
{
	struct dkim_message m = {.resolver = resolver, .a = a, .now = now};

	mail_split(message, &m.head, &m.body);
	return m;
}

static struct str body_sum(
	const struct dkim_message *m, enum dkim_canon canon, uint64_t limit)
{
	unsigned char sum[SHA256_BYTES];
	struct sha256 h;

	sha256_init(&h);
	dkim_canon_body(canon, m->body, limit, sha256_put, &h);
	sha256_done(&h, sum);
	return arena_str(m->a, str_of(sum, sizeof(sum)));
}

static bool body_fits(struct dkim_message *m, struct dkim_verdict *v)
{
	const struct dkim_signature *s = &v->signature;
	struct str *whole = &m->body_sums[s->body];
	struct str sum;

	if (s->with_length) {
		sum = body_sum(m, s->body, s->length);
	} else {
		if (!str_present(*whole))
			*whole = body_sum(m, s->body, UINT64_MAX);
		sum = *whole;
	}
	return str_eq(s->body_hash, sum) ||
	       end(v, DKIM_FAIL, "the body has changed");
}

/* l= that leaves a part of the body open vouches for nothing: anybody may
 * have added it.  RFC 6376 8.2 */
static void distrust_length(struct str body, struct dkim_verdict *v)
{
	const struct dkim_signature *s = &v->signature;

	if (v->result != DKIM_PASS || !s->with_length)
		return;
	uint64_t whole = dkim_body_length(s->body, body);
	if (s->length > whole)
		end(v, DKIM_FAIL, "l= is larger than the body");
	else if (s->length < whole)
		end(v, DKIM_POLICY, "l= leaves a part of the body unsigned");
}

void dkim_check(struct dkim_message *m, const struct mail_field *own,
	struct dkim_verdict *v)
{
	const struct dkim_signature *s = &v->signature;
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, m->head.len * 2 + own->whole.len * 2 + 4096);
	if (s->expires > 0 && m->now > s->expires) {
		end(v, DKIM_FAIL, "the signature has expired");
		return;
	}
	if (s->algorithm != DKIM_RSA_SHA1 && !body_fits(m, v))
		return;
	dkim_canon_head(s->head, m->head, &s->headers, m->a, &text);
	dkim_canon_own(s->head, own, s->b_text, &text);
	dkim_check_text(m->resolver, buf_str(&text), m->a, v);
	distrust_length(m->body, v);
}

struct dkim_verdict *dkim_verify(struct resolver *resolver, struct str message,
	int64_t now, struct arena *a, size_t *n_r)
{
	struct dkim_verdict *v =
		arena_alloc(a, DKIM_SIGNATURES_MAX * sizeof(*v));
	struct dkim_message m = dkim_message_begin(resolver, message, now, a);
	struct mail_field f;
	size_t n = 0;

	for (struct str rest = m.head;
		n < DKIM_SIGNATURES_MAX && mail_field_next(&rest, &f);) {
		struct dkim_verdict *one = &v[n];

		if (!str_ieqc(f.name, "DKIM-Signature"))
			continue;
		n++;
		if (dkim_signature_parse(
			    f.value, a, &one->signature, &one->why))
			dkim_check(&m, &f, one);
		else
			one->result = DKIM_NEUTRAL;
	}
	*n_r = n;
	return v;
}
