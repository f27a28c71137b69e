/* SPDX-License-Identifier: ISC */
/* POP3 before login: RFC 1939 4, RFC 2449 (CAPA), RFC 2595 (STLS), RFC 5034 */
#include "role/mailbox/pop3/pop3.h"
#include "base/must.h"
#include "codec/mail/base64.h"
#include "codec/pop3/command.h"
#include "role/mailbox/gate/gate.h"

enum { PRELOGIN_TIMEOUT_MS = 60000, ERRORS_MAX = 20 };

typedef void gate_command_f(struct gate *g, struct str args);

static void ok(struct gate *g, const char *text)
{
	stream_putf(g->stream, "+OK %s\r\n", text);
}

static void err(struct gate *g, const char *text)
{
	stream_putf(g->stream, "-ERR %s\r\n", text);
}

static void capa(struct gate *g, struct str args UNUSED)
{
	ok(g, "capabilities follow");
	pop3_put_capabilities(g->sv, g->stream);
	/* Strangers learn no version. */
	stream_puts(g->stream, "IMPLEMENTATION postern\r\n");
	if (!stream_is_tls(g->stream) && g->sv->tls != NULL)
		stream_puts(g->stream, "STLS\r\n");
	if (gate_may_login(g)) {
		stream_puts(g->stream, "USER\r\nSASL");
		gate_put_mechanisms(g, " ", "");
		stream_puts(g->stream, "\r\n");
	}
	stream_puts(g->stream, ".\r\n");
}

static void stls(struct gate *g, struct str args)
{
	if (stream_is_tls(g->stream) || g->sv->tls == NULL || args.len > 0) {
		err(g, "STLS is not offered");
		return;
	}
	if (stream_buffered(g->stream)) {
		err(g, "data sent behind STLS before TLS");
		g->closing = true;
		return;
	}
	ok(g, "begin TLS negotiation");
	g->handshake = true;
}

static void after_login(struct gate *g, enum auth_result r)
{
	switch (r) {
	case AUTH_DONE:
		return; /* the session says +OK */
	case AUTH_REFUSED:
		err(g, "[AUTH] authentication failed");
		return;
	case AUTH_BROKEN:
	case AUTH_CONTINUE:
		err(g, "malformed authentication data");
		return;
	case AUTH_TEMP:
		err(g, "[SYS/TEMP] authentication is not available for now");
		return;
	}
}

static bool no_login_now(struct gate *g)
{
	if (gate_may_login(g))
		return false;
	err(g, "[AUTH] use STLS first");
	return true;
}

static void user(struct gate *g, struct str args)
{
	if (no_login_now(g))
		return;
	if (args.len == 0 || args.len > 200) {
		err(g, "USER needs a name");
		return;
	}
	g->user = arena_str(g->a, args);
	ok(g, "now the password");
}

static void pass(struct gate *g, struct str args)
{
	if (no_login_now(g))
		return;
	if (!str_present(g->user)) {
		err(g, "USER comes first");
		return;
	}
	struct str name = g->user;
	g->user = STR_NONE;
	after_login(g, gate_password(g, name, args));
}

static void auth(struct gate *g, struct str args)
{
	struct str rest = args;
	struct str name = str_word(&rest, " ");
	struct str text = str_present(rest) ? str_trim(rest) : STR("");
	struct str initial = STR_NONE;
	enum auth_result r;

	/* Outlook asks which there are. */
	if (!str_present(name)) {
		ok(g, "mechanisms follow");
		gate_put_mechanisms(g, "", "\r\n");
		stream_puts(g->stream, ".\r\n");
		return;
	}
	if (no_login_now(g))
		return;
	const char *mechanism = gate_mechanism(g, name);
	if (mechanism == NULL) {
		err(g, "unknown mechanism");
		return;
	}
	if (str_eqc(text, "="))
		initial = STR("");
	else if (text.len > 0 && !base64_decode(text, g->cmd_a, &initial)) {
		err(g, "broken base64");
		return;
	}
	if (gate_sasl(g, mechanism, initial, &r))
		after_login(g, r);
	else
		g->closing = true;
}

/* RFC 6856 2 */
static void utf8(struct gate *g, struct str args)
{
	if (args.len > 0) {
		err(g, "UTF8 has no argument");
		return;
	}
	g->utf8 = true;
	ok(g, "UTF8 enabled");
}

static void lang(struct gate *g, struct str args)
{
	pop3_lang(g->stream, args);
}

static void quit(struct gate *g, struct str args UNUSED)
{
	ok(g, "bye");
	g->closing = true;
}

static void noop(struct gate *g, struct str args UNUSED)
{
	ok(g, "");
}

static const struct {
	const char *name;
	gate_command_f *fn;
} commands[] = {{"CAPA", capa}, {"STLS", stls}, {"USER", user}, {"PASS", pass},
	{"AUTH", auth}, {"UTF8", utf8}, {"LANG", lang}, {"QUIT", quit},
	{"NOOP", noop}};

static void run(struct gate *g, struct str line)
{
	struct pop3_command cmd;

	if (pop3_command_parse(line, &cmd))
		for (size_t i = 0; i < ARRAY_LEN(commands); i++)
			if (str_ieqc(cmd.verb, commands[i].name)) {
				commands[i].fn(g, cmd.args);
				return;
			}
	err(g, "unknown command, or not before login");
	if (++g->errors >= ERRORS_MAX)
		g->closing = true;
}

static enum next serve(struct seat *seat)
{
	struct gate *g = gate_of(seat);
	bool slept = seat->timed_out && stream_out(g->stream)->len > 0;

	if (crew_ending(seat->crew) ||
		(seat->timed_out && g->greeted && !slept))
		return gate_end(g);
	bool bytes = seat->readable;
	if (!g->greeted) {
		if (!gate_begin(g, g->sv->c->pop3d_tls_wrappermode))
			return gate_end(g);
		ok(g, "ready");
	}
	for (;;) {
		struct str line;

		if (g->delay_ms > 0 || g->closing || g->handshake ||
			!stream_has_line(g->stream, GATE_LINE_MAX, bytes)) {
			enum next next = gate_park(g, PRELOGIN_TIMEOUT_MS);

			if (next != NEXT_PARK || !stream_has_line(g->stream,
							 GATE_LINE_MAX, false))
				return next;
		}
		bytes = false;
		stream_deadline(g->stream, PRELOGIN_TIMEOUT_MS);
		enum line_result r =
			stream_line(g->stream, GATE_LINE_MAX, false, &line);
		if (r == LINE_TOO_LONG) {
			err(g, "line too long");
			g->errors++;
		} else if (r != LINE_OK) {
			return gate_end(g);
		} else {
			run(g, arena_str(g->cmd_a, line));
		}
		if (str_present(g->login)) {
			pop3_begin(g);
			return NEXT_BECOME;
		}
		arena_reset(g->cmd_a);
	}
}

void gate_accepted_pop3(int fd, void *ctx)
{
	gate_accepted(fd, ctx, serve);
}
