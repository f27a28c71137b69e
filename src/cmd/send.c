/* SPDX-License-Identifier: ISC */
/* postern send: the client (MUA): composes, submits, prints the answers. */
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cmd/cmd.h"
#include "cmd/compose.h"
#include "codec/mail/header.h"
#include "conf/service_addrs.h"
#include "net/smtp_client.h"
#include "net/tls.h"
#include "sys/file.h"

enum { MESSAGE_MAX = 200 << 20, TEXT_MAX = 50 << 20, CONNECT_MS = 30000 };

enum {
	O_SERVER,
	O_STARTTLS,
	O_TLS,
	O_CA_FILE,
	O_USER,
	O_PASSWORD,
	O_FROM,
	O_TO,
	O_CC,
	O_BCC,
	O_SUBJECT,
	O_TEXT,
	O_TEXT_FILE,
	O_ATTACH,
	O_EML,
	O_INSECURE,
	O_HELO
};
static const struct option_def defs[] = {{"--server", true},
	{"--starttls", false}, {"--tls", false}, {"--ca-file", true},
	{"--auth-user", true}, {"--password-stdin", false}, {"--from", true},
	{"--to", true}, {"--cc", true}, {"--bcc", true}, {"--subject", true},
	{"--text", true}, {"--text-file", true}, {"--attach", true},
	{"--eml", true}, {"--insecure", false}, {"--helo", true}};

struct send {
	struct cmd *c;
	struct arena *a;
	const char *server, *ca_file, *user, *eml, *text_file, *helo;
	bool starttls, tls, password_stdin, insecure;
	struct compose mail;
	struct strs bcc;
	struct strs rcpts; /* bare addresses */
	struct str sender;
	struct buf password;
	struct buf message;
	struct str host;
	unsigned port;
};

static int take_option(struct send *s, int i, const char *value)
{
	struct str v = str_from(value);

	switch (i) {
	case O_SERVER:
		s->server = value;
		break;
	case O_STARTTLS:
		s->starttls = true;
		break;
	case O_TLS:
		s->tls = true;
		break;
	case O_CA_FILE:
		s->ca_file = value;
		break;
	case O_USER:
		s->user = value;
		break;
	case O_PASSWORD:
		s->password_stdin = true;
		break;
	case O_FROM:
		s->mail.from = v;
		break;
	case O_TO:
		strs_add(&s->mail.to, s->a, v);
		break;
	case O_CC:
		strs_add(&s->mail.cc, s->a, v);
		break;
	case O_BCC:
		strs_add(&s->bcc, s->a, v);
		break;
	case O_SUBJECT:
		s->mail.subject = v;
		break;
	case O_TEXT:
		s->mail.text = v;
		break;
	case O_TEXT_FILE:
		s->text_file = value;
		break;
	case O_ATTACH:
		if (s->mail.n_attachments == ARRAY_LEN(s->mail.attachments))
			return cmd_usage(s->c, "too many attachments");
		s->mail.attachments[s->mail.n_attachments++] = value;
		break;
	case O_EML:
		s->eml = value;
		break;
	case O_INSECURE:
		s->insecure = true;
		break;
	case O_HELO:
		s->helo = value;
		break;
	default:
		return cmd_usage(s->c, "unexpected \"%s\"", value);
	}
	return EX_OK;
}

static int read_options(struct send *s)
{
	const char *value = NULL;
	int at = 1, i;

	while ((i = cmd_option(s->c, &at, defs, ARRAY_LEN(defs), &value)) !=
		-2) {
		if (i == -3)
			return EX_USAGE;
		/* Values without one are given as "": they are not looked at.
		 */
		int rc = take_option(s, i, value != NULL ? value : "");
		if (rc != EX_OK)
			return rc;
	}
	if (s->server == NULL)
		return cmd_usage(s->c, "--server HOST:PORT is missing");
	if (s->mail.from.len == 0)
		return cmd_usage(s->c, "--from is missing");
	if (s->mail.to.n + s->mail.cc.n + s->bcc.n == 0)
		return cmd_usage(s->c, "nobody to send to: --to is missing");
	if (s->starttls && s->tls)
		return cmd_usage(s->c, "--starttls or --tls, not both");
	if (s->user != NULL && !s->starttls && !s->tls)
		return cmd_usage(s->c, "a password needs --starttls or --tls");
	return EX_OK;
}

static bool split_server(struct send *s)
{
	struct str server = str_from(s->server);
	ptrdiff_t colon = str_rfind(server, ':');
	bool bracket = str_ends(server, "]");

	s->port = s->tls ? 465 : 587;
	s->host = server;
	if (colon >= 0 && !bracket) {
		s->host = str_sub(server, 0, (size_t)colon);
		s->port = service_port(str_from_at(server, (size_t)colon + 1));
	}
	if (str_starts(s->host, "["))
		s->host = str_sub(s->host, 1, s->host.len - 2);
	return s->host.len > 0 && s->port > 0;
}

/* ---- the message ---- */

static int malformed(struct send *s, struct str address)
{
	return cmd_usage(s->c, "\"%.*s\" is not an address", STR_ARG(address));
}

/* The envelope, from what was given for the header. */
static int collect(struct send *s)
{
	const struct strs *lists[] = {&s->mail.to, &s->mail.cc, &s->bcc};
	struct strs from = {0};

	if (!compose_addresses(s->mail.from, s->a, &from) || from.n != 1)
		return malformed(s, s->mail.from);
	s->sender = from.v[0];
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t k = 0; k < lists[i]->n; k++)
			if (!compose_addresses(lists[i]->v[k], s->a, &s->rcpts))
				return malformed(s, lists[i]->v[k]);
	return EX_OK;
}

static bool read_text(struct send *s, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);

	if (s->text_file == NULL) {
		if (!str_present(s->mail.text))
			s->mail.text = STR("");
		return true;
	}
	buf_init(&text, TEXT_MAX + 65536);
	bool ok = strcmp(s->text_file, "-") == 0
			  ? file_read_fd(0, TEXT_MAX, &text, f)
			  : file_read(s->text_file, TEXT_MAX, &text, f);
	s->mail.text = arena_str(s->a, buf_str(&text));
	return ok;
}

/* A ready message: its lines get CRLF, Bcc is taken out. */
static bool read_eml(struct send *s, struct fault *f)
{
	struct buf raw CLEANUP(buf_fini);
	struct buf lines CLEANUP(buf_fini);
	struct str head, body, rest;
	struct mail_field field;

	buf_init(&raw, MESSAGE_MAX + 65536);
	buf_init(&lines, MESSAGE_MAX * 2);
	if (!(strcmp(s->eml, "-") == 0
			    ? file_read_fd(0, MESSAGE_MAX, &raw, f)
			    : file_read(s->eml, MESSAGE_MAX, &raw, f)))
		return false;
	rest = buf_str(&raw);
	while (str_present(rest) && rest.len > 0) {
		struct str line = str_cut(&rest, '\n');

		if (str_ends(line, "\r"))
			line.len--;
		buf_put(&lines, line);
		buf_puts(&lines, "\r\n");
	}
	mail_split(buf_str(&lines), &head, &body);
	while (mail_field_next(&head, &field))
		if (!str_ieqc(field.name, "Bcc"))
			buf_put(&s->message, field.whole);
	buf_puts(&s->message, "\r\n");
	buf_put(&s->message, body);
	return true;
}

static bool make_message(struct send *s, struct fault *f)
{
	buf_init(&s->message, (size_t)MESSAGE_MAX * 2);
	if (s->eml != NULL)
		return read_eml(s, f);
	return read_text(s, f) && compose_put(&s->mail, s->a, &s->message, f);
}

/* ---- sending ---- */

static int dial(struct send *s, struct fault *f)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int error =
		getaddrinfo(arena_cstr(s->a, s->host), NULL, &hints, &found);
	int fd = -1;

	if (error != 0) {
		fault_set(f, FAULT_TEMP, 0, 4, 4, "%.*s: %s", STR_ARG(s->host),
			gai_strerror(error));
		return -1;
	}
	for (struct addrinfo *i = found; i != NULL && fd < 0; i = i->ai_next) {
		struct sock_addr addr = {.len = i->ai_addrlen};
		char text[64];

		if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof(text),
			    NULL, 0, NI_NUMERICHOST) != 0 ||
			!sock_addr_parse(str_from(text), s->port, &addr))
			continue;
		fd = sock_connect(&addr, NULL, CONNECT_MS, f);
	}
	freeaddrinfo(found);
	return fd;
}

static void show_progress(uint64_t sent, uint64_t size, void *ctx UNUSED)
{
	enum { WIDTH = 40 };
	unsigned done = size > 0 ? (unsigned)(sent * WIDTH / size) : WIDTH;

	fprintf(stderr, "\r[%.*s%*s] %3u%%", (int)done,
		"########################################", (int)(WIDTH - done),
		"", size > 0 ? (unsigned)(sent * 100 / size) : 100);
	if (sent >= size)
		fprintf(stderr, "\n");
}

static SSL *new_ssl(struct send *s, struct fault *f)
{
	struct tls_trust trust = {
		.ca_file = str_from(s->ca_file != NULL ? s->ca_file : ""),
		.ca_path = STR(""),
		.protocols = STR(">=TLSv1.2")};
	SSL_CTX *ctx = tls_client_ctx(&trust, f);
	SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;

	SSL_CTX_free(ctx);
	return ssl;
}

static bool begin(struct send *s, struct smtp_client *client, struct fault *f)
{
	const char *name = arena_cstr(s->a, s->host);
	SSL *ssl = s->tls || s->starttls ? new_ssl(s, f) : NULL;

	if ((s->tls || s->starttls) && ssl == NULL)
		return false;
	if (s->tls &&
		!stream_tls_connect(client->stream, ssl, name, !s->insecure, f))
		return false;
	if (!smtp_client_hello(client, f)) {
		if (s->starttls)
			SSL_free(ssl);
		return false;
	}
	if (s->starttls) {
		if ((client->caps & CAP_STARTTLS) == 0) {
			SSL_free(ssl);
			return fault_set(f, FAULT_PERM, 0, 7, 4,
				"the server does not offer STARTTLS");
		}
		if (!smtp_client_starttls(client, ssl, name, !s->insecure, f))
			return false;
	}
	return s->user == NULL ||
	       smtp_client_auth(client,
		       &(struct smtp_client_login){.user = str_from(s->user),
			       .password = buf_str(&s->password),
			       .plaintext = true},
		       f);
}

static int report(struct smtp_client *client, const struct smtp_client_mail *m,
	bool sent, const struct fault *f)
{
	bool any_refused = false;

	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct smtp_client_rcpt *r = &m->rcpts[i];

		if (r->refused)
			printf("%.*s: refused: %s\n", STR_ARG(r->address),
				r->fault.text);
		else if (sent && r->ok)
			printf("%.*s: %.*s\n", STR_ARG(r->address),
				STR_ARG(buf_str(&client->reply.text)));
		any_refused |= r->refused;
	}
	if (!sent) {
		fprintf(stderr, "postern send: not sent: %s\n", f->text);
		return f->class == FAULT_PERM ? EX_UNAVAILABLE : EX_TEMPFAIL;
	}
	return any_refused ? EX_UNAVAILABLE : EX_OK;
}

static int submit(struct send *s)
{
	static const struct smtp_timeouts t = {
		60000, 60000, 60000, 60000, 120000, 300000, 5000};
	struct smtp_client client;
	struct fault f;
	char host[256] = "localhost";

	gethostname(host, sizeof(host) - 1);
	int fd = dial(s, &f);
	if (fd < 0) {
		fprintf(stderr, "postern send: %s\n", f.text);
		return EX_UNAVAILABLE;
	}
	smtp_client_init(&client, fd, s->a,
		str_from(s->helo != NULL ? s->helo : host), false, &t);
	if (!begin(s, &client, &f)) {
		fprintf(stderr, "postern send: %s\n", f.text);
		int rc = f.code == 535           ? EX_NOPERM
			 : f.class == FAULT_PERM ? EX_UNAVAILABLE
						 : EX_TEMPFAIL;
		smtp_client_close(&client, true);
		return rc;
	}
	struct smtp_client_mail m = {.sender = s->sender,
		.size = s->message.len,
		.message = buf_str(&s->message),
		.has_8bit = !utf8_is_ascii(buf_str(&s->message)),
		.n_rcpts = s->rcpts.n};
	m.utf8 = !utf8_is_ascii(s->sender);
	m.rcpts = arena_alloc(s->a, m.n_rcpts * sizeof(*m.rcpts));
	for (size_t i = 0; i < m.n_rcpts; i++) {
		m.rcpts[i].address = s->rcpts.v[i];
		m.utf8 |= !utf8_is_ascii(s->rcpts.v[i]);
	}
	if (isatty(2))
		m.progress = show_progress;
	bool sent = smtp_client_send(&client, &m, &f);
	int rc = report(&client, &m, sent, &f);
	smtp_client_close(&client, true);
	return rc;
}

int cmd_send(struct cmd *c)
{
	struct send s = {.c = c, .a = arena_new(SIZE_MAX)};
	struct fault f;

	signal(SIGPIPE, SIG_IGN);
	s.mail.subject = STR("");
	buf_init(&s.password, 1024);
	int rc = read_options(&s);
	if (rc != EX_OK)
		return rc;
	if (!split_server(&s))
		return cmd_usage(c, "\"%s\": write HOST:PORT", s.server);
	rc = collect(&s);
	if (rc != EX_OK)
		return rc;
	/* The password is the first line of stdin; the text may follow it. */
	if (s.user != NULL &&
		!cmd_read_password(s.password_stdin, false, &s.password)) {
		fprintf(stderr, "postern send: no password given\n");
		return EX_DATAERR;
	}
	if (!make_message(&s, &f)) {
		fprintf(stderr, "postern send: %s\n", f.text);
		return EX_NOINPUT;
	}
	return submit(&s);
}
