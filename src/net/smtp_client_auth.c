/* SPDX-License-Identifier: ISC */
/* AUTH: RFC 4954, and the mechanisms of codec/sasl/mechanisms.h. */
#include "codec/mail/base64.h"
#include "codec/sasl/mechanisms.h"
#include "net/scram.h"
#include "net/smtp_client_private.h"
#include "net/tls_binding.h"

static bool has_mech(const struct smtp_client *c, const char *name)
{
	struct str rest = c->auth_mechs, word;

	while (str_present(word = str_word(&rest, " =")))
		if (str_ieqc(word, name))
			return true;
	return false;
}

/* A 334 challenge, decoded. */
static bool challenge(
	struct smtp_client *c, struct str *text_r, struct fault *f)
{
	if (!smtp_client_read_reply(c, c->timeouts.helo_ms, f))
		return false;
	if (c->reply.code != 334)
		return smtp_client_refused(c, f);
	struct str text = str_trim(str_from_at(buf_str(&c->reply.text), 3));
	return base64_decode(text, c->a, text_r) ||
	       fault_set(f, FAULT_TEMP, 451, 5, 0,
		       "the server sent a broken AUTH challenge");
}

static void put_base64(struct smtp_client *c, const char *before, struct str s)
{
	stream_putf(c->stream, "%s%.*s\r\n", before,
		STR_ARG(base64_encode_a(s, c->a)));
}

static bool auth_plain(struct smtp_client *c, struct str user,
	struct str password, struct fault *f)
{
	struct str message = arena_printf(
		c->a, "%c%.*s%c%.*s", 0, STR_ARG(user), 0, STR_ARG(password));

	put_base64(c, "AUTH PLAIN ", message);
	return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
}

static bool auth_login(struct smtp_client *c, struct str user,
	struct str password, struct fault *f)
{
	struct str ignored;

	stream_puts(c->stream, "AUTH LOGIN\r\n");
	if (!challenge(c, &ignored, f))
		return false;
	put_base64(c, "", user);
	if (!challenge(c, &ignored, f))
		return false;
	put_base64(c, "", password);
	return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
}

static bool auth_scram(struct smtp_client *c, const struct sasl_mechanism *m,
	const struct smtp_client_login *l, struct fault *f)
{
	struct tls_binding tls = tls_binding_of(stream_ssl(c->stream), c->a);
	bool exporter = str_present(tls.exporter);
	struct str binding = !m->plus   ? STR("")
			     : exporter ? tls.exporter
					: tls.end_point;
	struct str with_plus = arena_printf(c->a, "%s-PLUS", m->name);
	/* RFC 5802 6: "y" tells a server that offers it that somebody between
	 * us took its offer away. */
	const char *gs2 =
		m->plus ? exporter ? "p=tls-exporter" : "p=tls-server-end-point"
		: stream_is_tls(c->stream) && !has_mech(c, with_plus.ptr) ? "y"
									  : "n";
	struct scram_client s;
	struct str server, final;

	scram_client_begin(
		&s, m->digest, l->user, l->password, gs2, binding, c->a);
	put_base64(c, arena_printf(c->a, "AUTH %s ", m->name).ptr, s.first);
	if (!challenge(c, &server, f))
		return false;
	if (!scram_client_answer(&s, server, &final))
		return fault_set(f, FAULT_TEMP, 451, 7, 0,
			"the server sent a broken SCRAM message");
	put_base64(c, "", final);
	if (!challenge(c, &server, f))
		return false;
	/* RFC 5802 3: the server, too, has to prove that it knows us. */
	if (!scram_client_verify(&s, server))
		return fault_set(f, FAULT_TEMP, 451, 7, 0,
			"the server could not prove that it knows the "
			"password");
	stream_puts(c->stream, "\r\n");
	return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
}

/* RFC 7628 3.2.3: what is wrong with the token comes as a challenge. */
static bool auth_token(struct smtp_client *c, const struct sasl_mechanism *m,
	const struct smtp_client_login *l, struct fault *f)
{
	struct str user = scram_name_encode(l->user, c->a);
	struct str message =
		m->kind == SASL_OAUTHBEARER
			? arena_printf(c->a, "n,a=%.*s,\1auth=%.*s\1\1",
				  STR_ARG(user), STR_ARG(l->password))
			: arena_printf(c->a, "user=%.*s\1auth=%.*s\1\1",
				  STR_ARG(l->user), STR_ARG(l->password));

	put_base64(c, arena_printf(c->a, "AUTH %s ", m->name).ptr, message);
	if (!smtp_client_read_reply(c, c->timeouts.helo_ms, f))
		return false;
	if (c->reply.code == 334) {
		put_base64(c, "",
			m->kind == SASL_OAUTHBEARER ? STR("\1") : STR(""));
		return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
	}
	return c->reply.code / 100 == 2 || smtp_client_refused(c, f);
}

/* RFC 4422 A: who we are stands in our certificate. */
static bool auth_external(struct smtp_client *c,
	const struct smtp_client_login *l, struct fault *f)
{
	if (l->user.len > 0)
		put_base64(c, "AUTH EXTERNAL ", l->user);
	else
		stream_puts(c->stream, "AUTH EXTERNAL =\r\n");
	return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
}

static bool is_token(struct str password)
{
	return str_istarts(password, "Bearer ");
}

/* Can it be used with this server, by who logs in? */
static bool fits(const struct smtp_client *c, const struct sasl_mechanism *m,
	const struct smtp_client_login *l)
{
	bool tls = stream_is_tls(c->stream);
	struct sasl_session session = {.tls = tls,
		.certificate = tls && l->certificate,
		.tokens = is_token(l->password)};

	if (!has_mech(c, m->name) || !sasl_filter_allows(l->filter, m->name) ||
		!sasl_possible(m, session) || (m->plaintext && !l->plaintext))
		return false;
	switch (m->kind) {
	case SASL_EXTERNAL:
		return l->password.len == 0;
	case SASL_OAUTHBEARER:
	case SASL_XOAUTH2:
		return is_token(l->password);
	case SASL_SCRAM:
	case SASL_PLAIN:
	case SASL_LOGIN:
		break;
	}
	return l->password.len > 0 && !is_token(l->password);
}

static bool log_in(struct smtp_client *c, const struct sasl_mechanism *m,
	const struct smtp_client_login *l, struct fault *f)
{
	switch (m->kind) {
	case SASL_SCRAM:
		return auth_scram(c, m, l, f);
	case SASL_EXTERNAL:
		return auth_external(c, l, f);
	case SASL_OAUTHBEARER:
	case SASL_XOAUTH2:
		return auth_token(c, m, l, f);
	case SASL_PLAIN:
		return auth_plain(c, l->user, l->password, f);
	case SASL_LOGIN:
		return auth_login(c, l->user, l->password, f);
	}
	return false;
}

bool smtp_client_auth(struct smtp_client *c, const struct smtp_client_login *l,
	struct fault *f)
{
	for (size_t i = 0; i < SASL_MECHANISMS; i++)
		if (fits(c, &sasl_mechanisms[i], l)) {
			c->logged_in = log_in(c, &sasl_mechanisms[i], l, f);
			return c->logged_in;
		}
	return fault_set(f, FAULT_TEMP, 451, 7, 0,
		(c->caps & CAP_AUTH) != 0
			? "the server offers no AUTH mechanism that "
			  "may be used here"
			: "the server does not offer AUTH");
}
