/* SPDX-License-Identifier: ISC */
/*
 * Who is behind a proxy: the PROXY protocol in front of the greeting, XCLIENT
 * and XFORWARD of hosts that may say so.  XCLIENT_README, XFORWARD_README
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "codec/postfix/value.h"
#include "codec/smtp/proxy.h"
#include "role/smtpd/milters.h"
#include "sys/waiting.h"

/* ---- PROXY ---- */

/* Exactly the header is taken: what follows may be a TLS handshake. */
static bool read_header(struct session *s, struct proxy_header *h)
{
	int64_t deadline =
		clock_mono_ms() + s->sv->c->smtpd_upstream_proxy_timeout * 1000;
	int fd = stream_fd(s->stream);
	char bytes[PROXY_HEADER_MAX];
	size_t seen = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono_ms();

		if (left <= 0 || waiting_poll(&p, 1, (int)left) <= 0)
			return false;
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK);
		if (n <= 0)
			return false;
		enum proxy_result r =
			proxy_header_parse(str_of(bytes, (size_t)n), h);
		if (r == PROXY_OK)
			return recv(fd, bytes, h->bytes, 0) ==
			       (ssize_t)h->bytes;
		/* Peeking again would return at once: wait for more. */
		if (r == PROXY_BAD || (size_t)n == sizeof(bytes))
			return false;
		if ((size_t)n == seen)
			poll(NULL, 0, 5);
		seen = (size_t)n;
	}
}

static struct str address_text(
	const unsigned char *bytes, size_t len, struct arena *a)
{
	struct sock_addr addr;

	sock_addr_make(bytes, len, 0, &addr);
	return sock_addr_text(&addr, a);
}

bool smtpd_proxy_header(struct session *s)
{
	struct proxy_header h;

	if (!read_header(s, &h)) {
		log_info("session ended", log_s("client", s->client),
			log_z("reason", "no good PROXY header"));
		return false;
	}
	if (h.local)
		return true;
	log_info("proxy", log_s("proxy", s->client));
	memcpy(s->addr, h.client, sizeof(s->addr));
	s->addr_len = h.addr_len;
	s->client = address_text(h.client, h.addr_len, s->a);
	s->client_port = h.client_port;
	s->server = address_text(h.server, h.addr_len, s->a);
	s->server_port = h.server_port;
	return true;
}

/* ---- XCLIENT and XFORWARD ---- */

static const char xclient_names[] =
	"NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME";
static const char xforward_names[] = "NAME ADDR PROTO HELO PORT IDENT SOURCE";

void smtpd_x_keywords(struct session *s, struct strs *list)
{
	if (s->xclient_allowed)
		strs_add(list, s->cmd_a,
			arena_printf(s->cmd_a, "XCLIENT %s", xclient_names));
	if (s->xforward_allowed)
		strs_add(list, s->cmd_a,
			arena_printf(s->cmd_a, "XFORWARD %s", xforward_names));
}

/* What a session is told to be; absent: not said. */
struct facts {
	struct str name, addr, port, proto, helo, login, destaddr, destport,
		reverse_name, ident, source;
};

static struct str *fact(struct facts *f, struct str name)
{
	const struct {
		const char *name;
		struct str *to;
	} all[] = {{"NAME", &f->name}, {"ADDR", &f->addr}, {"PORT", &f->port},
		{"PROTO", &f->proto}, {"HELO", &f->helo}, {"LOGIN", &f->login},
		{"DESTADDR", &f->destaddr}, {"DESTPORT", &f->destport},
		{"REVERSE_NAME", &f->reverse_name}, {"IDENT", &f->ident},
		{"SOURCE", &f->source}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_ieqc(name, all[i].name))
			return all[i].to;
	return NULL;
}

static bool is_unavailable(struct str value)
{
	return str_ieqc(value, "[UNAVAILABLE]") ||
	       str_ieqc(value, "[TEMPUNAVAIL]");
}

/* "IPV6:2001:db8::1" or a plain address */
static struct str bare_address(struct str value)
{
	return str_istarts(value, "IPV6:") ? str_from_at(value, 5) : value;
}

static bool is_good(struct str name, struct str value)
{
	unsigned char addr[16];
	uint64_t n;
	size_t len;

	if (is_unavailable(value))
		return true;
	if (str_ieqc(name, "ADDR") || str_ieqc(name, "DESTADDR"))
		return address_parse(bare_address(value), addr, &len);
	if (str_ieqc(name, "PORT") || str_ieqc(name, "DESTPORT"))
		return str_u64(value, &n) && n <= 65535;
	if (str_ieqc(name, "PROTO"))
		return str_ieqc(value, "SMTP") || str_ieqc(value, "ESMTP");
	if (str_ieqc(name, "NAME") || str_ieqc(name, "REVERSE_NAME"))
		return hostname_valid(value);
	return value.len <= 255;
}

/* False: refused and answered. */
static bool read_facts(
	struct session *s, struct str args, const char *names, struct facts *f)
{
	struct str word, value, allowed;

	*f = (struct facts){0};
	if (args.len == 0) {
		smtpd_refuse(s, 501, "5.5.4 Syntax: %s attribute=value ...",
			s->where);
		return false;
	}
	while (str_present(word = str_word(&args, " \t"))) {
		struct str name = str_cut(&word, '=');
		struct str *to = fact(f, name);
		bool known = false;

		allowed = str_from(names);
		for (struct str one;
			str_present(one = str_word(&allowed, " "));)
			known |= str_ieq(one, name);
		if (to == NULL || !known || !str_present(word) ||
			!smtp_xtext_decode(word, s->cmd_a, &value) ||
			!is_good(name, value)) {
			smtpd_refuse(s, 501, "5.5.4 Bad %.*s in %s",
				STR_ARG(str_sub(name, 0, 40)), s->where);
			return false;
		}
		*to = value;
	}
	return true;
}

static struct str known_or(struct str value, struct str otherwise)
{
	return !str_present(value)     ? otherwise
	       : is_unavailable(value) ? STR("unknown")
				       : value;
}

static void take_port(struct str value, unsigned *port)
{
	uint64_t n;

	if (str_present(value) && str_u64(value, &n))
		*port = (unsigned)n;
}

static void take_address(struct session *s, const struct facts *f)
{
	struct fault fault;

	if (!str_present(f->addr))
		return;
	s->addr_len = 0;
	memset(s->addr, 0, sizeof(s->addr));
	if (!is_unavailable(f->addr))
		address_parse(bare_address(f->addr), s->addr, &s->addr_len);
	s->client = s->addr_len > 0 ? address_text(s->addr, s->addr_len, s->a)
				    : STR("unknown");
	s->trusted =
		s->addr_len > 0 &&
		match_address(s->sv->policy->mynetworks, s->addr, s->addr_len,
			s->client, s->cmd_a, &fault) == TABLE_FOUND;
	/* Names that were found belong to the address before. */
	s->client_name = s->reverse_name = STR("unknown");
	s->client_temp = false;
}

/* False: refused and answered. */
static bool may_say(struct session *s, bool allowed)
{
	if (!allowed)
		smtpd_refuse(s, 550, "5.7.0 Error: insufficient authorization");
	else if (s->tx.open)
		smtpd_refuse(
			s, 503, "5.5.1 Error: MAIL transaction in progress");
	return allowed && !s->tx.open;
}

void smtpd_xclient(struct session *s, struct str args)
{
	struct facts f;

	if (!may_say(s, s->xclient_allowed) ||
		!read_facts(s, args, xclient_names, &f))
		return;
	log_info("xclient", log_s("client", s->client), log_s("addr", f.addr),
		log_s("name", f.name), log_s("login", f.login));
	/* A session of somebody else begins. */
	transaction_reset(s);
	milters_free(s);
	s->connect_refusal = s->helo_refusal = s->screen_refusal = STR_NONE;
	s->quarantine = s->stranger = false;
	s->screen_tests = 0;
	take_address(s, &f);
	s->client_name = arena_str(s->a, known_or(f.name, s->client_name));
	s->reverse_name = arena_str(s->a,
		known_or(f.reverse_name, known_or(f.name, s->reverse_name)));
	s->client_temp = str_ieqc(f.name, "[TEMPUNAVAIL]");
	take_port(f.port, &s->client_port);
	take_port(f.destport, &s->server_port);
	if (str_present(f.destaddr) && !is_unavailable(f.destaddr))
		s->server = arena_str(s->a, bare_address(f.destaddr));
	s->helo = str_present(f.helo) && !is_unavailable(f.helo)
			  ? arena_str(s->a, f.helo)
			  : STR_NONE;
	s->esmtp = str_ieqc(f.proto, "ESMTP");
	bool login = str_present(f.login) && !is_unavailable(f.login);
	s->login = login ? arena_str(s->a, f.login) : STR_NONE;
	s->sasl_method = login ? STR("XCLIENT") : STR_NONE;
	s->where = "CONNECT";
	if (!smtpd_begin(s))
		s->closing = true;
}

/* For the log: the mail comes from elsewhere, the rules are for the proxy. */
void smtpd_xforward(struct session *s, struct str args)
{
	struct facts f;

	if (!may_say(s, s->xforward_allowed) ||
		!read_facts(s, args, xforward_names, &f))
		return;
	log_info("xforward", log_s("client", s->client), log_s("addr", f.addr),
		log_s("name", f.name), log_s("helo", f.helo),
		log_s("ident", f.ident));
	smtpd_reply(s, 250, "2.0.0 Ok");
}

void smtpd_x_allowed(struct session *s)
{
	struct fault f;

	s->xclient_allowed =
		match_address(s->sv->xclient_hosts, s->addr, s->addr_len,
			s->client, s->cmd_a, &f) == TABLE_FOUND;
	s->xforward_allowed =
		match_address(s->sv->xforward_hosts, s->addr, s->addr_len,
			s->client, s->cmd_a, &f) == TABLE_FOUND;
}
