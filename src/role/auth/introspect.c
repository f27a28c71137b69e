/* SPDX-License-Identifier: ISC */
/*
 * Whose token is it?  RFC 7662, by libcurl.  The server's name is looked up
 * by our own resolver: the sandbox has no files for another.  Nothing is
 * kept: a token that was taken back is refused at once.
 */
#include <curl/curl.h>
#include <jansson.h>

#include "base/must.h"
#include "role/auth/auth.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 10000, ANSWER_MAX = 64 * 1024 };

void introspect_init(void)
{
	must(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
}

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;

	buf_put_mem(b, data, size * n);
	return buf_over(b) ? 0 : size * n;
}

/* "host:port:address,address", for CURLOPT_RESOLVE */
static bool look_up(struct role *r, const char *url, struct arena *a,
	const char **entry_r, struct fault *f)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL;
	struct resolver_addrs addrs = {0};
	struct buf b CLEANUP(buf_fini);
	bool ok = curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		  curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		  curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ==
			  CURLUE_OK;

	buf_init(&b, 8192);
	if (!ok)
		fault_set(f, FAULT_TEMP, 454, 3, 5,
			"oauth2_introspection_url is no URL");
	else if (r->resolver != NULL &&
		 resolver_host(r->resolver, str_from(host),
			 RESOLVER_V4 | RESOLVER_V6, a, &addrs, f) == DNS_TEMP)
		ok = false;
	if (ok)
		buf_putf(&b, "%s:%s:", host, port);
	for (size_t i = 0; ok && i < addrs.n; i++) {
		struct sock_addr addr;

		sock_addr_make(addrs.v[i].bytes, addrs.v[i].len, 0, &addr);
		buf_putf(&b, "%s%.*s", i > 0 ? "," : "",
			STR_ARG(sock_addr_text(&addr, a)));
	}
	*entry_r = addrs.n > 0 ? arena_cstr(a, buf_str(&b)) : NULL;
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return ok;
}

/* The parameter itself, or the first line of the file it names. */
static bool secret(
	struct role *r, struct arena *a, struct str *secret_r, struct fault *f)
{
	struct str value = r->conf->oauth2_client_secret;
	struct buf text CLEANUP(buf_fini);

	*secret_r = value;
	if (!str_starts(value, "/"))
		return true;
	buf_init(&text, 4096);
	if (!file_read(arena_cstr(a, value), 4096, &text, f))
		return false;
	struct str rest = buf_str(&text);
	*secret_r = arena_str(a, str_trim(str_cut(&rest, '\n')));
	return true;
}

static bool ask(struct role *r, struct str token, struct arena *a,
	struct buf *answer, struct fault *f)
{
	const struct conf *c = r->conf;
	const char *url = arena_cstr(a, c->oauth2_introspection_url);
	char error[CURL_ERROR_SIZE] = "";
	const char *entry;
	struct str password;
	long code = 0;

	if (!look_up(r, url, a, &entry, f) || !secret(r, a, &password, f))
		return false;
	CURL *h = curl_easy_init();
	must(h != NULL);
	char *form = curl_easy_escape(h, token.ptr, (int)token.len);
	struct curl_slist *hosts =
		entry != NULL ? curl_slist_append(NULL, entry) : NULL;
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(h, CURLOPT_RESOLVE, hosts);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, answer);
	if (c->oauth2_tls_CAfile.len > 0)
		curl_easy_setopt(
			h, CURLOPT_CAINFO, arena_cstr(a, c->oauth2_tls_CAfile));
	if (c->oauth2_client_id.len > 0) {
		curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(h, CURLOPT_USERNAME,
			arena_cstr(a, c->oauth2_client_id));
		curl_easy_setopt(h, CURLOPT_PASSWORD, arena_cstr(a, password));
	}
	curl_easy_setopt(h, CURLOPT_POSTFIELDS,
		arena_printf(a, "token=%s&token_type_hint=access_token", form)
			.ptr);
	CURLcode rc = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_cleanup(h);
	curl_slist_free_all(hosts);
	curl_free(form);
	if (rc != CURLE_OK)
		return fault_set(f, FAULT_TEMP, 454, 7, 0,
			"token introspection: %s",
			error[0] != '\0' ? error : curl_easy_strerror(rc));
	return code == 200 ||
	       fault_set(f, FAULT_TEMP, 454, 7, 0,
		       "token introspection: HTTP status %ld", code);
}

/* RFC 6749 3.3: words separated by blanks */
static bool has_scope(struct str scopes, struct str wanted)
{
	struct str word;

	while (str_present(word = str_word(&scopes, " ")))
		if (str_eq(word, wanted))
			return true;
	return wanted.len == 0;
}

/* RFC 7662 2.2 */
static bool read_answer(struct role *r, struct str answer, struct arena *a,
	enum token_result *result_r, struct str *user_r)
{
	const struct conf *c = r->conf;
	json_t *j = json_loadb(answer.ptr, answer.len, 0, NULL);
	const json_t *exp = json_object_get(j, "exp");
	struct str scope =
		str_from(json_string_value(json_object_get(j, "scope")));
	const char *name = json_string_value(json_object_get(
		j, arena_cstr(a, c->oauth2_username_attribute)));
	bool ok = json_is_object(j);

	*result_r = TOKEN_INACTIVE;
	if (ok && json_is_true(json_object_get(j, "active")) && name != NULL &&
		has_scope(scope, c->oauth2_required_scope) &&
		(!json_is_number(exp) ||
			json_number_value(exp) > (double)clock_unix())) {
		*user_r = arena_str(a, str_from(name));
		*result_r = TOKEN_ACTIVE;
	}
	json_decref(j);
	return ok;
}

enum token_result introspect_token(struct role *r, struct str token,
	struct arena *a, struct str *user_r, struct fault *f)
{
	struct buf answer CLEANUP(buf_fini);
	enum token_result result = TOKEN_ERROR;

	buf_init(&answer, ANSWER_MAX);
	if (!ask(r, token, a, &answer, f))
		return TOKEN_ERROR;
	if (!read_answer(r, buf_str(&answer), a, &result, user_r)) {
		fault_set(f, FAULT_TEMP, 454, 7, 0,
			"token introspection: the answer is no JSON object");
		return TOKEN_ERROR;
	}
	return result;
}
