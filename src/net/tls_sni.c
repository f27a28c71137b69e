/* SPDX-License-Identifier: ISC */
#include "net/tls_sni.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/must.h"
#include "sys/log.h"

enum { CERTIFICATES_MAX = 10000, NAME_MAX_BYTES = 255 };

struct tls_sni {
	pthread_mutex_t lock;
	struct tls_files files;
	struct maps *maps;
	struct map *servers; /* list of files -> struct tls_server */
};

struct tls_sni *tls_sni_new(const struct tls_files *files)
{
	if (files->sni_maps == NULL)
		return NULL;
	struct tls_sni *s = must_alloc(sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	s->files = *files;
	s->files.sni_maps = NULL;
	s->maps = files->sni_maps;
	s->servers = map_new();
	return s;
}

static void free_server(void *server)
{
	tls_server_free(server);
}

void tls_sni_free(struct tls_sni *s)
{
	if (s == NULL)
		return;
	map_free(s->servers, free_server);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* "mx.example.com", then ".example.com", ".com" */
static enum table_result find_chain(struct maps *maps, struct str name,
	struct arena *a, struct str *chain_r, struct fault *f)
{
	struct str key = arena_lower(a, name);
	enum table_result r = maps_lookup(maps, key, a, chain_r, f);
	ptrdiff_t dot;

	while (r == TABLE_NONE && (dot = str_find(key, '.')) >= 0) {
		key = str_from_at(key, (size_t)dot);
		r = maps_lookup(maps, key, a, chain_r, f);
		key = str_from_at(key, 1);
	}
	return r;
}

static struct tls_server *server_of(
	struct tls_sni *s, struct str chain, struct fault *f)
{
	struct tls_files files = s->files;
	struct tls_server *t;

	pthread_mutex_lock(&s->lock);
	t = map_get(s->servers, chain);
	if (t == NULL && map_count(s->servers) < CERTIFICATES_MAX) {
		files.chain_files = chain;
		t = tls_server_new(&files, f);
		if (t != NULL)
			map_set(s->servers, chain, t);
	} else if (t == NULL) {
		fault_set(f, FAULT_TEMP, 454, 7, 0, "too many certificates");
	}
	pthread_mutex_unlock(&s->lock);
	return t;
}

static int by_name(SSL *ssl, int *alert UNUSED, void *arg)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(65536);
	struct tls_sni *s = arg;
	struct str name =
		str_from(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	struct tls_server *t = NULL;
	struct str chain;
	struct fault f;

	if (name.len == 0 || name.len > NAME_MAX_BYTES)
		return SSL_TLSEXT_ERR_NOACK;
	enum table_result r = find_chain(s->maps, name, a, &chain, &f);
	if (r == TABLE_NONE)
		return SSL_TLSEXT_ERR_NOACK;
	if (r == TABLE_FOUND)
		t = server_of(s, chain, &f);
	if (t == NULL) {
		log_warn("tls_server_sni_maps", log_s("name", name),
			log_fault(&f));
		return SSL_TLSEXT_ERR_NOACK;
	}
	tls_server_lend(t, ssl);
	return SSL_TLSEXT_ERR_OK;
}

void tls_sni_attach(struct tls_sni *s, SSL_CTX *ctx)
{
	if (s == NULL)
		return;
	SSL_CTX_set_tlsext_servername_callback(ctx, by_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, s);
}
