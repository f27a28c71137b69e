/* SPDX-License-Identifier: ISC */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "net/tls_sni.h"
#include "sys/clock.h"

enum { RECHECK_MS = 2000 };

struct tls_server {
	pthread_mutex_t lock;
	struct arena *a;
	struct tls_files files;
	struct tls_pair_paths pairs;
	struct timespec seen[TLS_PAIR_FILES_MAX];
	SSL_CTX *ctx;
	struct tls_sni *sni; /* NULL: without */
	int64_t checked_ms;
	unsigned char alpn[32]; /* wire form */
	unsigned alpn_len;
};

const char *tls_error_text(char *out, size_t len)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(out, len, "%s", reason != NULL ? reason : "unknown TLS error");
	ERR_clear_error();
	return out;
}

static const struct {
	const char *name;
	int version;
} versions[] = {{"SSLv2", 0}, {"SSLv3", 0}, {"TLSv1", 0}, {"TLSv1.1", 0},
	{"TLSv1.2", TLS1_2_VERSION}, {"TLSv1.3", TLS1_3_VERSION}};

static bool version_of(struct str s, int *version_r)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (str_ieqc(s, versions[i].name)) {
			*version_r = versions[i].version;
			return true;
		}
	return false;
}

/* postconf(5) smtpd_tls_protocols.  What is older than 1.2 stays off. */
static bool apply_protocols(struct str list, SSL_CTX *ctx)
{
	struct str item;
	bool ok = true, only = false, has12 = false, has13 = false;
	int lowest = TLS1_2_VERSION, highest = 0;

	while (str_present(item = list_item(&list))) {
		bool negated = str_starts(item, "!");
		bool low = str_starts(item, ">=");
		bool high = str_starts(item, "<=");
		int v;

		item = str_from_at(item, negated ? 1 : low || high ? 2 : 0);
		if (!version_of(item, &v)) {
			ok = false;
			continue;
		}
		if (low && v > lowest)
			lowest = v;
		if (high && v != 0)
			highest = v;
		if (negated && v == TLS1_2_VERSION)
			lowest = TLS1_3_VERSION;
		if (negated && v == TLS1_3_VERSION)
			highest = TLS1_2_VERSION;
		if (!negated && !low && !high) {
			only = true;
			has12 |= v == TLS1_2_VERSION;
			has13 |= v == TLS1_3_VERSION;
		}
	}
	if (only && has13 && !has12)
		lowest = TLS1_3_VERSION;
	if (only && has12 && !has13)
		highest = TLS1_2_VERSION;
	if (ctx != NULL) {
		SSL_CTX_set_min_proto_version(ctx, lowest);
		SSL_CTX_set_max_proto_version(ctx, highest);
	}
	return ok;
}

bool tls_protocols_valid(struct str protocols)
{
	return apply_protocols(protocols, NULL);
}

static void common(SSL_CTX *ctx)
{
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Each resumed session brings the next one. */
	SSL_CTX_set_num_tickets(ctx, 1);
}

/* RFC 7301: a client that offers names must offer ours (ALPACA). */
static int choose_alpn(SSL *ssl UNUSED, const unsigned char **out,
	unsigned char *out_len, const unsigned char *in, unsigned in_len,
	void *arg)
{
	struct tls_server *t = arg;
	unsigned char *picked;

	if (SSL_select_next_proto(&picked, out_len, t->alpn, t->alpn_len, in,
		    in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = picked;
	return SSL_TLSEXT_ERR_OK;
}

/* A certificate that is no good is none: the session goes on without. */
static int any_certificate(int ok UNUSED, X509_STORE_CTX *store UNUSED)
{
	return 1;
}

/* postconf(5) counts the authority at the end too: 1 is one that signed it
 * itself.  OpenSSL counts what is between. */
static void set_verify_depth(SSL_CTX *ctx, int64_t depth)
{
	SSL_CTX_set_verify_depth(ctx, depth < 1     ? 0
				      : depth > 100 ? 99
						    : (int)depth - 1);
}

static bool append_default(const struct tls_options *o)
{
	return o->c != NULL && o->c->tls_append_default_CA;
}

static bool load_authorities(SSL_CTX *ctx, struct str file, struct str dir,
	bool and_default, struct fault *f)
{
	char path[4096], why[160];
	bool ok = true;

	if (file.len > 0) {
		snprintf(path, sizeof(path), "%.*s", STR_ARG(file));
		ok = SSL_CTX_load_verify_file(ctx, path) == 1;
	}
	if (ok && dir.len > 0) {
		snprintf(path, sizeof(path), "%.*s", STR_ARG(dir));
		ok = SSL_CTX_load_verify_dir(ctx, path) == 1;
	}
	if (ok && and_default)
		SSL_CTX_set_default_verify_paths(ctx);
	return ok || fault_set(f, FAULT_TEMP, 451, 7, 0, "%s: %s", path,
			     tls_error_text(why, sizeof(why)));
}

static bool ask_for_certificates(
	struct tls_server *t, SSL_CTX *ctx, struct fault *f)
{
	const struct tls_files *x = &t->files;
	char path[4096];

	if (!x->ask_ccert && !x->require_ccert)
		return true;
	if (!load_authorities(ctx, x->ca_file, x->ca_path,
		    append_default(&x->options), f))
		return false;
	if (x->ca_file.len > 0) {
		snprintf(path, sizeof(path), "%.*s", STR_ARG(x->ca_file));
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(path));
	}
	set_verify_depth(ctx, x->verify_depth);
	if (x->options.c != NULL && x->options.c->tls_trust_server_ccerts)
		SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
	if (x->require_ccert)
		SSL_CTX_set_verify(ctx,
			SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			NULL);
	else
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, any_certificate);
	return true;
}

static SSL_CTX *load(struct tls_server *t, struct fault *f)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	must(ctx != NULL);
	common(ctx);
	apply_protocols(t->files.protocols, ctx);
	bool ok = t->pairs.n > 0 || fault_set(f, FAULT_TEMP, 454, 7, 0,
					    "no certificate is named");
	if (!ok || !tls_pairs_load(ctx, &t->pairs, f) ||
		!tls_options_apply(ctx, &t->files.options, f) ||
		!ask_for_certificates(t, ctx, f)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* Tickets are bound to their service: attack 44. */
	SSL_CTX_set_session_id_context(
		ctx, t->alpn, t->alpn_len > 0 ? t->alpn_len : 1);
	if (t->alpn_len > 0)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, t);
	tls_sni_attach(t->sni, ctx);
	return ctx;
}

static void note_times(struct tls_server *t)
{
	for (size_t i = 0; i < t->pairs.n; i++) {
		struct stat st;

		if (stat(t->pairs.v[i], &st) == 0)
			t->seen[i] = st.st_mtim;
	}
}

static bool files_changed(struct tls_server *t)
{
	for (size_t i = 0; i < t->pairs.n; i++) {
		struct stat st;

		if (stat(t->pairs.v[i], &st) == 0 &&
			(st.st_mtim.tv_sec != t->seen[i].tv_sec ||
				st.st_mtim.tv_nsec != t->seen[i].tv_nsec))
			return true;
	}
	return false;
}

struct tls_server *tls_server_new(
	const struct tls_files *files, struct fault *f)
{
	struct tls_server *t = must_alloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	t->a = arena_new(SIZE_MAX);
	t->files = *files;
	if (files->alpn != NULL) {
		size_t n = strlen(files->alpn);

		t->alpn[0] = (unsigned char)n;
		memcpy(t->alpn + 1, files->alpn, n);
		t->alpn_len = (unsigned)n + 1;
	}
	struct tls_pairs pairs = {files->chain_files, files->cert_file,
		files->key_file, files->ec_cert_file, files->ec_key_file};
	tls_pairs_paths(&pairs, t->a, &t->pairs);
	note_times(t);
	t->sni = tls_sni_new(files);
	t->ctx = load(t, f);
	if (t->ctx == NULL) {
		tls_server_free(t);
		return NULL;
	}
	t->checked_ms = clock_mono_ms();
	return t;
}

void tls_server_free(struct tls_server *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	tls_sni_free(t->sni);
	arena_free(t->a);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Under the lock: takes renewed files over. */
static void refresh(struct tls_server *t)
{
	int64_t now = clock_mono_ms();
	struct fault f;

	if (now - t->checked_ms < RECHECK_MS)
		return;
	t->checked_ms = now;
	if (!files_changed(t))
		return;
	SSL_CTX *fresh = load(t, &f);
	note_times(t);
	if (fresh == NULL)
		return;
	SSL_CTX_free(t->ctx);
	t->ctx = fresh;
}

void tls_server_lend(struct tls_server *t, SSL *ssl)
{
	pthread_mutex_lock(&t->lock);
	refresh(t);
	SSL_set_SSL_CTX(ssl, t->ctx);
	pthread_mutex_unlock(&t->lock);
}

SSL *tls_server_session(struct tls_server *t)
{
	pthread_mutex_lock(&t->lock);
	refresh(t);
	SSL *ssl = SSL_new(t->ctx);
	pthread_mutex_unlock(&t->lock);
	must(ssl != NULL);
	return ssl;
}

static SSL_CTX *client_ctx(struct str protocols,
	const struct tls_options *options, struct fault *f)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	must(ctx != NULL);
	common(ctx);
	apply_protocols(protocols, ctx);
	if (!tls_options_apply(ctx, options, f)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (options->c != NULL)
		set_verify_depth(ctx, options->c->smtp_tls_scert_verifydepth);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	must(SSL_CTX_dane_enable(ctx) == 1);
	return ctx;
}

/* They need not be roots. */
static bool load_anchors(SSL_CTX *ctx, struct str files, struct fault *f)
{
	struct str file;

	X509_STORE_set_flags(
		SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	while (str_present(file = list_item(&files)))
		if (!load_authorities(ctx, file, STR(""), false, f))
			return false;
	return true;
}

SSL_CTX *tls_client_ctx(const struct tls_trust *trust, struct fault *f)
{
	SSL_CTX *ctx = client_ctx(trust->protocols, &trust->options, f);

	if (ctx == NULL)
		return NULL;
	if (trust->own != NULL && !tls_pairs_load(ctx, trust->own, f)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (trust->anchors.len > 0) {
		if (load_anchors(ctx, trust->anchors, f))
			return ctx;
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (trust->ca_file.len == 0 && trust->ca_path.len == 0) {
		SSL_CTX_set_default_verify_paths(ctx);
		return ctx;
	}
	if (load_authorities(ctx, trust->ca_file, trust->ca_path,
		    append_default(&trust->options), f))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *tls_client_ctx_like(SSL_CTX *base, const struct conf *c,
	bool mandatory, const struct tls_pair_paths *own, struct str protocols,
	struct str ciphers, struct str exclude, struct fault *f)
{
	struct tls_options options = tls_options_smtp(c, mandatory);

	if (protocols.len == 0)
		protocols = mandatory ? c->smtp_tls_mandatory_protocols
				      : c->smtp_tls_protocols;
	if (ciphers.len > 0)
		options.grade = ciphers;
	if (exclude.len > 0)
		options.exclude_more = exclude;
	SSL_CTX *ctx = client_ctx(protocols, &options, f);
	if (ctx != NULL && own->n > 0 && !tls_pairs_load(ctx, own, f)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (ctx != NULL)
		SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(base));
	return ctx;
}

/* ---- the peer ---- */

static struct str common_name(const X509_NAME *name, struct arena *a)
{
	char text[256];
	int n = X509_NAME_get_text_by_NID(
		name, NID_commonName, text, sizeof(text));

	return n > 0 ? arena_str(a, str_of(text, (size_t)n)) : STR("");
}

static struct str hex_of(
	const unsigned char *bytes, unsigned n, struct arena *a)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, n * 3 + 1);

	for (unsigned i = 0; i < n; i++) {
		out[i * 3] = digits[bytes[i] >> 4];
		out[i * 3 + 1] = digits[bytes[i] & 15];
		out[i * 3 + 2] = ':';
	}
	return str_of(out, n > 0 ? n * 3 - 1 : 0);
}

/* subjectAltName rfc822Name, emailAddress, and a common name that is one. */
static struct str addresses_of(X509 *cert, struct str common, struct arena *a)
{
	STACK_OF(OPENSSL_STRING) *list = X509_get1_email(cert);
	struct str all = STR_NONE;

	for (int i = 0; i < sk_OPENSSL_STRING_num(list); i++) {
		struct str one = str_from(sk_OPENSSL_STRING_value(list, i));

		if (str_find(one, ' ') < 0)
			all = arena_printf(
				a, "%.*s %.*s", STR_ARG(all), STR_ARG(one));
	}
	X509_email_free(list);
	if (str_find(common, '@') > 0 && str_find(common, ' ') < 0 &&
		str_find(common, '\0') < 0)
		all = arena_printf(
			a, "%.*s %.*s", STR_ARG(all), STR_ARG(common));
	return all;
}

struct tls_peer tls_peer_of(SSL *ssl, const char *digest, struct arena *a)
{
	X509 *cert = ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;
	const EVP_MD *md = EVP_get_digestbyname(digest);
	unsigned char sum[EVP_MAX_MD_SIZE], *key = NULL;
	struct tls_peer p = {0};
	unsigned n = 0;

	if (cert == NULL)
		return p;
	p.present = true;
	p.trusted = SSL_get_verify_result(ssl) == X509_V_OK;
	p.subject = common_name(X509_get_subject_name(cert), a);
	p.addresses = addresses_of(cert, p.subject, a);
	p.issuer = common_name(X509_get_issuer_name(cert), a);
	if (md != NULL && X509_digest(cert, md, sum, &n) == 1)
		p.fingerprint = hex_of(sum, n, a);
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &key);
	if (md != NULL && len > 0 &&
		EVP_Digest(key, (size_t)len, sum, &n, md, NULL) == 1)
		p.pubkey_fingerprint = hex_of(sum, n, a);
	OPENSSL_free(key);
	X509_free(cert);
	return p;
}
