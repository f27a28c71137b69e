/* SPDX-License-Identifier: ISC */
/* IMAP before login: CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN,
 * AUTHENTICATE.  RFC 3501 6.1 and 6.2, RFC 2595, RFC 4959, RFC 7888 */
#include "role/mailbox/imap/imap.h"
#include "base/must.h"
#include "codec/imap/parse.h"
#include "codec/mail/base64.h"
#include "role/mailbox/gate/gate.h"

enum { PRELOGIN_TIMEOUT_MS = 60000, ERRORS_MAX = 20, COMMAND_MAX = 16384 };

typedef void gate_command_f(struct gate *g, struct str tag, struct imap_in *in);

static void reply(struct gate *g, struct str tag, const char *text)
{
	stream_putf(
		g->stream, "%.*s %s\r\n", STR_ARG(str_sub(tag, 0, 200)), text);
}

static void put_capabilities(struct gate *g)
{
	stream_puts(g->stream,
		"IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ENABLE ID IDLE");
	if (!stream_is_tls(g->stream) && g->sv->tls != NULL)
		stream_puts(g->stream, " STARTTLS");
	gate_put_mechanisms(g, " AUTH=", "");
	if (!gate_may_login(g))
		stream_puts(g->stream, " LOGINDISABLED");
}

static void capability(
	struct gate *g, struct str tag, struct imap_in *in UNUSED)
{
	stream_puts(g->stream, "* CAPABILITY ");
	put_capabilities(g);
	stream_puts(g->stream, "\r\n");
	reply(g, tag, "OK Capability completed");
}

static void noop(struct gate *g, struct str tag, struct imap_in *in UNUSED)
{
	reply(g, tag, "OK Completed");
}

static void logout(struct gate *g, struct str tag, struct imap_in *in UNUSED)
{
	stream_puts(g->stream, "* BYE Logging out\r\n");
	reply(g, tag, "OK Logout completed");
	g->closing = true;
}

static void id(struct gate *g, struct str tag, struct imap_in *in UNUSED)
{
	/* Before login: no version for strangers. */
	stream_puts(g->stream, "* ID (\"name\" \"postern\")\r\n");
	reply(g, tag, "OK ID completed");
}

static void starttls(struct gate *g, struct str tag, struct imap_in *in)
{
	if (stream_is_tls(g->stream) || g->sv->tls == NULL || !imap_end(in)) {
		reply(g, tag, "BAD STARTTLS is not offered");
		return;
	}
	if (stream_buffered(g->stream)) {
		stream_puts(g->stream,
			"* BYE data sent behind STARTTLS before TLS\r\n");
		g->closing = true;
		return;
	}
	reply(g, tag, "OK Begin TLS negotiation now");
	g->handshake = true;
}

static void after_login(struct gate *g, struct str tag, enum auth_result r)
{
	switch (r) {
	case AUTH_DONE:
		return; /* the session says OK */
	case AUTH_REFUSED:
		reply(g, tag,
			"NO [AUTHENTICATIONFAILED] Authentication failed");
		return;
	case AUTH_BROKEN:
	case AUTH_CONTINUE:
		reply(g, tag, "BAD malformed authentication data");
		return;
	case AUTH_TEMP:
		reply(g, tag,
			"NO [UNAVAILABLE] Temporary authentication failure");
		return;
	}
}

static void login(struct gate *g, struct str tag, struct imap_in *in)
{
	struct str user, password;

	if (!gate_may_login(g)) {
		reply(g, tag, "NO [PRIVACYREQUIRED] Use STARTTLS first");
		return;
	}
	if (!imap_astring(in, &user) || !imap_space(in) ||
		!imap_astring(in, &password) || !imap_end(in)) {
		reply(g, tag, "BAD LOGIN needs user and password");
		return;
	}
	after_login(g, tag, gate_password(g, user, password));
}

static void authenticate(struct gate *g, struct str tag, struct imap_in *in)
{
	struct str name, text, initial = STR_NONE;
	enum auth_result r;

	if (!imap_atom(in, &name)) {
		reply(g, tag, "BAD AUTHENTICATE needs a mechanism");
		return;
	}
	const char *mechanism = gate_mechanism(g, name);
	if (mechanism == NULL) {
		reply(g, tag,
			gate_may_login(g)
				? "NO [CANNOT] unknown mechanism"
				: "NO [PRIVACYREQUIRED] Use STARTTLS first");
		return;
	}
	if (imap_space(in)) {
		text = in->rest;
		if (str_eqc(text, "="))
			initial = STR("");
		else if (!base64_decode(text, g->cmd_a, &initial)) {
			reply(g, tag, "BAD broken base64");
			return;
		}
	}
	if (gate_sasl(g, mechanism, initial, &r))
		after_login(g, tag, r);
	else
		g->closing = true;
}

static const struct {
	const char *name;
	gate_command_f *fn;
} commands[] = {{"CAPABILITY", capability}, {"NOOP", noop}, {"LOGOUT", logout},
	{"ID", id}, {"STARTTLS", starttls}, {"LOGIN", login},
	{"AUTHENTICATE", authenticate}};

static void run(struct gate *g, struct str line)
{
	struct imap_in in = {.rest = line, .a = g->cmd_a};
	struct str tag = STR("*"), name;

	if (!imap_tag(&in, &tag) || !imap_space(&in) ||
		!imap_atom(&in, &name)) {
		reply(g, tag, "BAD a command is: tag SP name");
		g->errors++;
		return;
	}
	imap_space(&in);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_ieqc(name, commands[i].name)) {
			g->user = tag;
			commands[i].fn(g, tag, &in);
			return;
		}
	reply(g, tag, "BAD unknown command, or not before login");
	g->errors++;
}

/* An ID may be 32 KiB (RFC 2971 3.3), which is too much to keep of a stranger;
 * what it says does not matter for the answer. */
static void answer_too_long(struct gate *g, struct str start)
{
	struct imap_in in = {.rest = start, .a = g->cmd_a};
	struct str tag = STR("*"), name;

	if (!imap_tag(&in, &tag) || !imap_space(&in) ||
		!imap_atom(&in, &name)) {
		tag = STR("*");
	} else if (str_ieqc(name, "ID")) {
		id(g, tag, &in);
		return;
	}
	reply(g, tag, "BAD line too long");
	g->errors++;
}

/* A command with small literals; flat in memory whatever is announced. */
static bool read_command(struct gate *g, struct buf *b, bool *answered_r)
{
	*answered_r = false;
	for (;;) {
		struct str line, piece;
		uint64_t size;
		bool non_sync;

		stream_deadline(g->stream, PRELOGIN_TIMEOUT_MS);
		enum line_result r =
			stream_line(g->stream, GATE_LINE_MAX, false, &line);
		if (r == LINE_TOO_LONG) {
			answer_too_long(g, b->len > 0 ? buf_str(b) : line);
			*answered_r = true;
			return true;
		}
		if (r != LINE_OK)
			return false;
		buf_put(b, line);
		if (!imap_literal_announced(line, &size, &non_sync))
			return !buf_over(b);
		if (size > GATE_LITERAL_MAX || buf_over(b) ||
			b->len + size > COMMAND_MAX) {
			stream_puts(g->stream,
				"* BYE literal too large before login\r\n");
			stream_flush(g->stream);
			return false;
		}
		buf_puts(b, "\r\n");
		if (!non_sync)
			stream_puts(g->stream, "+ go ahead\r\n");
		if (!stream_flush(g->stream))
			return false;
		while (size > 0) {
			if (stream_some(g->stream, (size_t)size, &piece) !=
				LINE_OK)
				return false;
			buf_put(b, piece);
			size -= piece.len;
		}
	}
}

static bool one_command(struct gate *g)
{
	struct buf b CLEANUP(buf_fini);
	bool answered;

	buf_init(&b, COMMAND_MAX);
	if (!read_command(g, &b, &answered))
		return false;
	if (!answered)
		run(g, arena_str(g->cmd_a, buf_str(&b)));
	if (g->errors >= ERRORS_MAX) {
		stream_puts(g->stream, "* BYE too many errors\r\n");
		g->closing = true;
	}
	return true;
}

static enum next bye(struct gate *g, const char *why)
{
	stream_deadline(g->stream, 5000);
	stream_putf(g->stream, "* BYE %s\r\n", why);
	stream_flush(g->stream);
	return gate_end(g);
}

static void greet(struct gate *g)
{
	stream_puts(g->stream, "* OK [CAPABILITY ");
	put_capabilities(g);
	stream_puts(g->stream, "] ready\r\n");
}

static enum next serve(struct seat *seat)
{
	struct gate *g = gate_of(seat);
	bool slept = seat->timed_out && stream_out(g->stream)->len > 0;

	if (crew_ending(seat->crew))
		return bye(g, "the server is shutting down");
	if (seat->timed_out && g->greeted && !slept)
		return bye(g, "Autologout; login took too long");
	bool bytes = seat->readable;
	if (!g->greeted) {
		if (!gate_begin(g, g->sv->c->imapd_tls_wrappermode))
			return gate_end(g);
		greet(g);
	}
	for (;;) {
		if (g->delay_ms > 0 || g->closing || g->handshake ||
			!stream_has_line(g->stream, GATE_LINE_MAX, bytes)) {
			enum next next = gate_park(g, PRELOGIN_TIMEOUT_MS);

			if (next != NEXT_PARK || !stream_has_line(g->stream,
							 GATE_LINE_MAX, false))
				return next;
		}
		bytes = false;
		if (!one_command(g)) {
			stream_flush(g->stream);
			return gate_end(g);
		}
		if (str_present(g->login)) {
			imap_begin(g, g->user);
			return NEXT_BECOME;
		}
		arena_reset(g->cmd_a);
	}
}

void gate_accepted_imap(int fd, void *ctx)
{
	gate_accepted(fd, ctx, serve);
}

void gate_imap_again(struct crew *crew, struct mailbox_service *sv,
	struct stream *stream, struct arena *a, struct str client)
{
	gate_again(crew, sv, stream, a, client, serve);
}
