/* SPDX-License-Identifier: ISC */
/*
 * Whose token is it?  RFC 7662, by libcurl.  The server's name is looked up
 * by our own resolver: the sandbox has no files for another.  Nothing is
 * kept: a token that was taken back is refused at once.
 */
#include <jansson.h>

#include "codec/mail/uri.h"
#include "net/web.h"
#include "role/auth/auth.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 10000, ANSWER_MAX = 64 * 1024 };

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
	struct web_request q = {.resolver = r->resolver,
		.url = arena_cstr(a, c->oauth2_introspection_url),
		.protocols = "http,https",
		.form = arena_printf(a,
			"token=%.*s&token_type_hint=access_token",
			STR_ARG(uri_escape(token, a)))
				.ptr,
		.connect_ms = CONNECT_MS,
		.total_ms = TOTAL_MS};
	struct str password, type;
	long status = 0;

	if (!secret(r, a, &password, f))
		return false;
	if (c->oauth2_tls_CAfile.len > 0)
		q.ca_file = arena_cstr(a, c->oauth2_tls_CAfile);
	if (c->oauth2_client_id.len > 0) {
		q.user = arena_cstr(a, c->oauth2_client_id);
		q.password = arena_cstr(a, password);
	}
	if (!web_ask(&q, a, answer, &status, &type, f)) {
		struct str why = arena_str(a, str_from(f->text));

		return fault_set(f, FAULT_TEMP, 454, 7, 0,
			"token introspection: %.*s", STR_ARG(why));
	}
	return status == 200 ||
	       fault_set(f, FAULT_TEMP, 454, 7, 0,
		       "token introspection: HTTP status %ld", status);
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
