/* SPDX-License-Identifier: ISC */
/* Greeting, EHLO and STARTTLS: what the server can. */
#include "net/smtp_client_private.h"

static const struct {
	const char *name;
	unsigned cap;
} keywords[] = {{"PIPELINING", CAP_PIPELINING}, {"8BITMIME", CAP_8BITMIME},
	{"SMTPUTF8", CAP_SMTPUTF8}, {"STARTTLS", CAP_STARTTLS},
	{"DSN", CAP_DSN}, {"REQUIRETLS", CAP_REQUIRETLS},
	{"MT-PRIORITY", CAP_PRIORITY}, {"DELIVERBY", CAP_DELIVERBY},
	{"CHUNKING", CAP_CHUNKING}, {"SIZE", CAP_SIZE}};

/* RFC 9422 3: "RCPTMAX=20"; what cannot be read is not said. */
static void take_limits(struct smtp_client *c, struct str rest)
{
	struct str word;

	while (str_present(word = str_word(&rest, " "))) {
		struct str name = str_cut(&word, '=');
		uint64_t n;

		if (!str_present(word) || !str_u64(word, &n) || n == 0 ||
			n > UINT32_MAX)
			continue;
		if (str_ieqc(name, "MAILMAX"))
			c->mail_max = (unsigned)n;
		else if (str_ieqc(name, "RCPTMAX"))
			c->rcpt_max = (unsigned)n;
		else if (str_ieqc(name, "RCPTDOMAINMAX"))
			c->domain_max = (unsigned)n;
	}
}

static bool list_has_word(struct str list, struct str word)
{
	struct str item;

	while (str_present(list) && str_present(item = str_word(&list, ", \t")))
		if (str_ieq(item, word))
			return true;
	return false;
}

static void take_cap(struct smtp_client *c, struct str line)
{
	struct str rest = line, value;
	struct str word = str_word(&rest, " ");

	/* Nobody may be told by a keyword what the person does not want. */
	if (list_has_word(c->discard, word))
		return;
	value = str_present(rest) ? str_trim(rest) : STR("");
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (str_ieqc(word, keywords[i].name))
			c->caps |= keywords[i].cap;
	if (str_ieqc(word, "SIZE") && !str_u64(value, &c->size_max))
		c->size_max = 0;
	if (str_ieqc(word, "LIMITS"))
		take_limits(c, value);
	if (str_ieqc(word, "XFORWARD") && value.len > 0) {
		c->caps |= CAP_XFORWARD;
		c->xforward = arena_str(c->a, value);
	}
	if (str_ieqc(word, "AUTH") && value.len > 0) {
		c->caps |= CAP_AUTH;
		c->auth_mechs = arena_str(c->a, value);
	}
}

static void take_line(struct smtp_client *c, struct str line, bool first)
{
	if (!first && c->reply.code == 250)
		take_cap(c, smtp_reply_line_text(line));
}

/* EHLO with its lines read as capabilities. */
static bool ehlo(struct smtp_client *c, struct fault *f)
{
	c->caps = c->rcpt_max = c->mail_max = c->domain_max = 0;
	stream_putf(c->stream, "%s %.*s\r\n", c->lmtp ? "LHLO" : "EHLO",
		STR_ARG(c->helo_name));
	return smtp_client_read_lines(c, c->timeouts.helo_ms, take_line, f) &&
	       (c->reply.code == 250 || smtp_client_refused(c, f));
}

static bool says_helo(const struct smtp_client *c)
{
	return !c->lmtp &&
	       (c->ehlo == SMTP_EHLO_NEVER ||
		       (c->ehlo == SMTP_EHLO_IF_GREETED && !c->esmtp));
}

static bool helo(struct smtp_client *c, struct fault *f)
{
	c->caps = c->rcpt_max = c->mail_max = c->domain_max = 0;
	stream_putf(c->stream, "HELO %.*s\r\n", STR_ARG(c->helo_name));
	return smtp_client_expect(c, c->timeouts.helo_ms, 2, f);
}

static bool hello_again(struct smtp_client *c, struct fault *f)
{
	if (says_helo(c))
		return helo(c, f);
	if (ehlo(c, f))
		return true;
	/* RFC 5321 3.2: an old server refuses EHLO and knows HELO. */
	if (c->lmtp || c->reply.code < 500 || stream_failed(c->stream))
		return false;
	return helo(c, f);
}

bool smtp_client_hello(struct smtp_client *c, struct fault *f)
{
	if (!smtp_client_expect(c, c->timeouts.helo_ms, 2, f)) {
		c->greeting_5xx = c->reply.code >= 500;
		return false;
	}
	c->esmtp = str_isearch(buf_str(&c->reply.text), STR("ESMTP")) >= 0;
	return hello_again(c, f);
}

bool smtp_client_starttls(struct smtp_client *c, SSL *ssl, const char *name,
	bool verify, struct fault *f)
{
	stream_puts(c->stream, "STARTTLS\r\n");
	if (!smtp_client_expect(c, c->timeouts.helo_ms, 2, f)) {
		SSL_free(ssl);
		return false;
	}
	/* RFC 3207 4.2: what came with the 220 is an attack. */
	if (stream_drop_input(c->stream)) {
		SSL_free(ssl);
		return fault_set(f, FAULT_TEMP, 454, 7, 0,
			"the server talked before the TLS handshake");
	}
	if (!stream_tls_connect(c->stream, ssl, name, verify, f))
		return false;
	return hello_again(c, f);
}
