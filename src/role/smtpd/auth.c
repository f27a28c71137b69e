/* SPDX-License-Identifier: ISC */
/* AUTH: RFC 4954.  The password is checked by the auth role. */
#include <openssl/crypto.h>

#include "codec/mail/base64.h"
#include "codec/postfix/lines.h"
#include "codec/sasl/mechanisms.h"
#include "net/tls_binding.h"
#include "role/smtpd/smtpd.h"

static bool allowed(const struct session *s, const struct sasl_mechanism *m)
{
	const struct conf *c = s->sv->c;
	struct sasl_session is = {.tls = stream_is_tls(s->stream),
		.certificate =
			s->peer.trusted && str_present(s->peer.addresses),
		.tokens = c->oauth2_introspection_url.len > 0};

	if (!sasl_possible(m, is))
		return false;
	if (m->plaintext &&
		conf_option_has(is.tls ? c->smtpd_sasl_tls_security_options
				       : c->smtpd_sasl_security_options,
			"noplaintext"))
		return false;
	return sasl_filter_allows(c->smtpd_sasl_mechanism_filter, m->name);
}

static bool plus_allowed(const struct session *s)
{
	for (size_t i = 0; i < SASL_MECHANISMS; i++)
		if (sasl_mechanisms[i].plus && allowed(s, &sasl_mechanisms[i]))
			return true;
	return false;
}

/* " SCRAM-SHA-256 PLAIN LOGIN" and the like; false when AUTH is not on offer
 * now. */
bool smtpd_mechanisms(const struct session *s, struct buf *out)
{
	const struct conf *c = s->sv->c;

	if (!c->smtpd_sasl_auth_enable ||
		(c->smtpd_tls_auth_only && !stream_is_tls(s->stream)))
		return false;
	for (size_t i = 0; i < SASL_MECHANISMS; i++)
		if (allowed(s, &sasl_mechanisms[i]))
			buf_putf(out, " %s", sasl_mechanisms[i].name);
	return out->len > 0;
}

/* A line of the client in the middle of the exchange. */
static bool read_response(struct session *s, struct str *response_r)
{
	struct str line;

	if (!smtpd_read_line(
		    s, (size_t)s->sv->c->smtpd_sasl_response_limit, &line)) {
		s->closing = true;
		return false;
	}
	if (!str_present(line)) {
		smtpd_refuse(s, 500,
			"5.5.6 Authentication exchange line is too long");
		return false;
	}
	if (str_eqc(line, "*")) {
		smtpd_refuse(s, 501, "5.7.0 Authentication aborted");
		return false;
	}
	if (!base64_decode(line, s->cmd_a, response_r)) {
		smtpd_refuse(s, 501, "5.5.2 Bad base64");
		return false;
	}
	return true;
}

static void failed(struct session *s, enum auth_result r, const struct fault *f)
{
	if (r == AUTH_TEMP) {
		log_warn("AUTH failed", log_s("client", s->client),
			log_fault(f));
		smtpd_refuse(s, 454, "4.7.0 Temporary authentication failure");
	} else if (r == AUTH_BROKEN) {
		smtpd_refuse(s, 501, "5.5.2 Malformed authentication data");
	} else {
		s->delay_ms += s->sv->c->login_failure_delay * 1000;
		smtpd_refuse(
			s, 535, "5.7.8 Authentication credentials invalid");
	}
}

static void succeeded(
	struct session *s, const char *mechanism, struct str login, int64_t id)
{
	s->sasl_method = str_from(mechanism);
	s->login = arena_str(s->a, login);
	s->login_id = id;
	log_info("login", log_s("client", s->client), log_s("login", s->login),
		log_z("method", mechanism));
	smtpd_reply(s, 235, "2.7.0 Authentication successful");
}

static void converse(struct session *s, struct auth_talk *talk,
	const char *mechanism, struct str initial)
{
	struct str text = STR_NONE, login = STR_NONE, response;
	int64_t id = 0;
	struct fault f;
	struct tls_binding tls =
		tls_binding_of(stream_ssl(s->stream), s->cmd_a);
	struct auth_binding binding = {tls.exporter, tls.end_point,
		plus_allowed(s),
		s->peer.trusted ? s->peer.addresses : STR_NONE};
	enum auth_result r = auth_start(talk, mechanism, initial, s->client,
		&binding, &text, &login, &id, &f);

	for (int round = 0; round < 8; round++) {
		bool last = r == AUTH_DONE && str_present(text);

		if (r != AUTH_CONTINUE && !last)
			break;
		/* SCRAM's last word is a challenge with an empty answer. */
		smtpd_reply(s, 334, "%.*s",
			STR_ARG(base64_encode_a(text, s->cmd_a)));
		if (!read_response(s, &response))
			return;
		if (last)
			break;
		r = auth_step(talk, response, &text, &login, &id, &f);
	}
	if (r == AUTH_DONE)
		succeeded(s, mechanism, login, id);
	else
		failed(s, r, &f);
}

static const char *find_mechanism(const struct session *s, struct str name)
{
	const struct sasl_mechanism *m = sasl_mechanism_find(name);

	return m != NULL && allowed(s, m) ? m->name : NULL;
}

static bool not_now(struct session *s)
{
	const struct conf *c = s->sv->c;

	if (!c->smtpd_sasl_auth_enable)
		smtpd_refuse(s, 503, "5.5.1 Error: authentication not enabled");
	else if (!s->esmtp)
		smtpd_refuse(s, 503, "5.5.1 Error: send EHLO first");
	else if (str_present(s->login))
		smtpd_refuse(s, 503, "5.5.1 Error: already authenticated");
	else if (s->tx.open)
		smtpd_refuse(
			s, 503, "5.5.1 Error: MAIL transaction in progress");
	else if (c->smtpd_tls_auth_only && !stream_is_tls(s->stream))
		smtpd_refuse(s, 538,
			"5.7.11 Encryption required for requested "
			"authentication mechanism");
	else
		return false;
	return true;
}

void smtpd_auth(struct session *s, struct str args)
{
	struct str rest = args;
	struct str name = str_word(&rest, " ");
	struct str text = str_present(rest) ? str_trim(rest) : STR("");
	struct str initial = STR_NONE;
	struct auth_talk talk;

	if (not_now(s) || smtpd_rate_over(s, ANVIL_AUTH))
		return;
	const char *mechanism = find_mechanism(s, name);
	if (mechanism == NULL) {
		smtpd_refuse(s, 504, "5.5.4 Unrecognized authentication type");
		return;
	}
	/* RFC 4954 4: "=" is an empty initial response. */
	if (str_eqc(text, "=")) {
		initial = STR("");
	} else if (text.len > 0 && !base64_decode(text, s->cmd_a, &initial)) {
		smtpd_refuse(s, 501, "5.5.2 Bad base64");
		return;
	}
	auth_talk_init(&talk, s->sv->role->auth, s->cmd_a);
	converse(s, &talk, mechanism, initial);
	auth_talk_fini(&talk);
}
