/* SPDX-License-Identifier: ISC */
/* The session loop, the table of commands, and replies. */
#include "role/smtpd/milters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_LINE_MS = 10000, ANSWER_MS = 60000 };

enum command_states {
	IN_ANY = 0,
	NEEDS_TLS = 1u << 0, /* where the service demands TLS */
	IS_JUNK = 1u << 1, /* counts towards smtpd_junk_command_limit */
	LAST_IN_GROUP = 1u << 2, /* RFC 2920 3.1: nothing may follow unread */
	NOT_LMTP = 1u << 3, /* RFC 2033 4.1: neither HELO nor EHLO */
	ONLY_LMTP = 1u << 4,
};

static const struct {
	const char *verb;
	smtpd_command_f *fn;
	unsigned states;
} commands[] = {
	{"EHLO", smtpd_ehlo, LAST_IN_GROUP | NOT_LMTP},
	{"HELO", smtpd_helo, LAST_IN_GROUP | NOT_LMTP},
	{"LHLO", smtpd_ehlo, LAST_IN_GROUP | ONLY_LMTP},
	{"MAIL", smtpd_mail, NEEDS_TLS},
	{"RCPT", smtpd_rcpt, NEEDS_TLS},
	{"DATA", smtpd_data, NEEDS_TLS | LAST_IN_GROUP},
	{"BDAT", smtpd_bdat, IN_ANY},
	{"RSET", smtpd_rset, IS_JUNK},
	{"NOOP", smtpd_noop, IS_JUNK},
	{"QUIT", smtpd_quit, IN_ANY},
	{"ETRN", smtpd_etrn, NEEDS_TLS | LAST_IN_GROUP | NOT_LMTP},
	{"VRFY", smtpd_vrfy, NEEDS_TLS | IS_JUNK},
	{"HELP", smtpd_help, IS_JUNK},
	{"STARTTLS", smtpd_starttls, LAST_IN_GROUP},
	{"AUTH", smtpd_auth, LAST_IN_GROUP},
	{"XCLIENT", smtpd_xclient, NEEDS_TLS | LAST_IN_GROUP},
	{"XFORWARD", smtpd_xforward, NEEDS_TLS},
};

/* A browser that was lured here: ALPACA, attack 82 */
static const char *const foreign[] = {
	"GET", "POST", "PUT", "CONNECT", "HEAD", "OPTIONS", "DELETE"};

static struct session *session_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct session *session;
	} u = {.seat = seat};

	return u.session;
}

/* ---- state ---- */

void transaction_reset(struct session *s)
{
	handover_free(s, s->tx.handover);
	reception_free(s->tx.reception);
	milters_abort(s);
	s->tx = (struct transaction){0};
	arena_reset(s->tx_a);
}

const char *smtpd_protocol(const struct session *s)
{
	return s->sv->lmtp ? "LMTP" : s->esmtp ? "ESMTP" : "SMTP";
}

struct check smtpd_check(struct session *s, struct arena *a)
{
	struct check c = {.policy = s->sv->policy,
		.a = a,
		.client_addr_len = s->addr_len,
		.client_text = s->client,
		.client_name = s->client_name,
		.reverse_name = s->reverse_name,
		.client_temp = s->client_temp,
		.helo = s->helo,
		.sender = s->tx.open ? s->tx.sender_said : STR_NONE,
		.login = s->login,
		.recipients = s->tx.n_rcpts,
		.tls = stream_is_tls(s->stream),
		.pipelined = s->pipelined,
		.state = s->where,
		.protocol = smtpd_protocol(s),
		.sasl_method = s->sasl_method,
		.size = s->tx.reception != NULL ? s->tx.reception->spool.size
						: s->tx.mail.size,
		.client_port = s->client_port,
		.server_text = s->server,
		.server_port = s->server_port,
		.tls_version = stream_tls_version(s->stream),
		.tls_cipher = stream_tls_cipher(s->stream),
		.tls_bits = stream_tls_bits(s->stream),
		.ccert_trusted = s->peer.trusted,
		.ccert_subject = s->peer.subject,
		.ccert_issuer = s->peer.issuer,
		.ccert_fingerprint = s->peer.fingerprint,
		.ccert_pubkey_fingerprint = s->peer.pubkey_fingerprint};
	char id[ID_TEXT];

	if (s->tx.open) {
		id_text(s->tx.id, id);
		c.instance = arena_str(a, str_from(id));
	}

	memcpy(c.client_addr, s->addr, sizeof(c.client_addr));
	return c;
}

static enum next end(struct session *s)
{
	if (s->mails > 0 && s->screen_tests != 0)
		smtpd_screen_passes(s);
	log_info("disconnect", log_s("client", s->client),
		log_n("mails", s->mails), log_n("errors", s->errors));
	transaction_reset(s);
	milters_free(s);
	smtpd_rate_end(s);
	crew_leave(&s->seat);
	stream_free(s->stream);
	arena_free(s->a);
	arena_free(s->tx_a);
	arena_free(s->cmd_a);
	free(s);
	return NEXT_CLOSE;
}

/* ---- one command ---- */

/* postscreen_forbidden_commands, and a header where commands belong */
static bool is_no_smtp(struct session *s, struct str verb)
{
	return conf_option_has(s->sv->c->postscreen_forbidden_commands,
		       arena_cstr(s->cmd_a, verb)) ||
	       str_ends(verb, ":");
}

static void unknown_command(struct session *s, struct str verb)
{
	if (is_no_smtp(s, verb) &&
		smtpd_screen_violates(s, PASS_NON_SMTP_COMMAND))
		return;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (str_ieqc(verb, foreign[i])) {
			smtpd_reply(s, 421, "4.7.0 This is a mail server");
			s->closing = true;
			return;
		}
	if (conf_option_has(s->sv->c->smtpd_forbidden_commands,
		    arena_cstr(s->cmd_a, verb))) {
		smtpd_reply(s, 221, "2.7.0 Error: this command is forbidden");
		s->closing = true;
		return;
	}
	if (conf_option_has(s->sv->c->smtpd_noop_commands,
		    arena_cstr(s->cmd_a, verb))) {
		smtpd_reply(s, 250, "2.0.0 Ok");
		return;
	}
	if (!milters_unknown(s, verb))
		smtpd_refuse(s, 500, "5.5.1 Command unrecognized");
}

static bool junk_limit(struct session *s)
{
	if (++s->junk <= (unsigned)s->sv->c->smtpd_junk_command_limit)
		return false;
	s->errors++;
	return s->errors >= (unsigned)s->sv->c->smtpd_hard_error_limit;
}

static void too_eager(struct session *s, struct str verb)
{
	s->pipelined = true;
	if (smtpd_screen_violates(s, PASS_PIPELINING))
		return;
	if (!s->sv->c->smtpd_forbid_unauth_pipelining || s->trusted)
		return;
	log_info("session ended", log_s("client", s->client),
		log_z("reason", "talked before its turn"),
		log_s("command", verb));
	smtpd_reply(s, 521,
		"5.5.0 Error: commands sent behind %.*s without waiting for "
		"its reply",
		STR_ARG(verb));
	s->closing = true;
}

/* What AUTH says behind the mechanism is nobody's business. */
static struct str for_log(struct session *s, struct str line)
{
	struct str rest = line;
	struct str verb = str_word(&rest, " \t");

	if (str_ieqc(verb, "AUTH")) {
		struct str mechanism = str_word(&rest, " \t");

		return arena_printf(s->cmd_a, "AUTH %.*s",
			STR_ARG(str_sub(mechanism, 0, 40)));
	}
	return arena_str(s->cmd_a, str_sub(line, 0, 200));
}

static void run_command(struct session *s, struct str line)
{
	struct smtp_command cmd;
	struct fault f;
	size_t i = 0;
	unsigned other = s->sv->lmtp ? NOT_LMTP : ONLY_LMTP;

	if (s->sv->command_filter != NULL)
		maps_lookup(s->sv->command_filter, str_trim_right(line),
			s->cmd_a, &line, &f);
	s->command = for_log(s, line);
	if (!smtp_command_parse(line, &cmd)) {
		smtpd_refuse(s, 500, "5.5.2 Error: bad syntax");
		return;
	}
	while (i < ARRAY_LEN(commands) &&
		((commands[i].states & other) != 0 ||
			!str_ieqc(cmd.verb, commands[i].verb)))
		i++;
	if (i == ARRAY_LEN(commands)) {
		unknown_command(s, cmd.verb);
		return;
	}
	if ((commands[i].states & LAST_IN_GROUP) != 0 &&
		stream_buffered(s->stream) && !str_ieqc(cmd.verb, "STARTTLS")) {
		too_eager(s, cmd.verb);
		if (s->closing)
			return;
	}
	if ((commands[i].states & NEEDS_TLS) != 0 && s->sv->tls_required &&
		!stream_is_tls(s->stream)) {
		smtpd_refuse(
			s, 530, "5.7.0 Must issue a STARTTLS command first");
		return;
	}
	if ((commands[i].states & IS_JUNK) != 0 && junk_limit(s)) {
		smtpd_reply(s, 421,
			"4.7.0 Error: too many commands without a mail");
		s->closing = true;
		return;
	}
	s->where = commands[i].verb;
	/* The line lies in the input buffer, which a command may refill. */
	commands[i].fn(s, arena_str(s->cmd_a, cmd.args));
}

bool smtpd_read_line(struct session *s, size_t max, struct str *line_r)
{
	int64_t wait_ms = s->sv->c->smtpd_timeout * 1000;

	/* A thread waits here: a program answers at once. */
	stream_deadline(s->stream, wait_ms < ANSWER_MS ? wait_ms : ANSWER_MS);
	if (!stream_flush(s->stream))
		return false;
	enum line_result r = stream_line(s->stream, max, false, line_r);
	if (r == LINE_TOO_LONG)
		*line_r = STR_NONE;
	return r == LINE_OK || r == LINE_TOO_LONG;
}

bool smtpd_tls_handshake(struct session *s)
{
	struct fault f;

	stream_deadline(s->stream, s->sv->c->smtpd_starttls_timeout * 1000);
	if (!stream_tls_accept(s->stream, tls_server_session(s->sv->tls), &f)) {
		log_info("TLS failed", log_s("client", s->client),
			log_fault(&f));
		return false;
	}
	if (SSL_session_reused(stream_ssl(s->stream)) == 0 &&
		smtpd_rate_over(s, ANVIL_NEW_TLS)) {
		stream_flush(s->stream);
		return false;
	}
	s->peer = tls_peer_of(stream_ssl(s->stream),
		arena_cstr(s->cmd_a, s->sv->c->smtpd_tls_fingerprint_digest),
		s->a);
	if (s->peer.present)
		log_info("client certificate", log_s("client", s->client),
			log_s("subject", s->peer.subject),
			log_s("fingerprint", s->peer.fingerprint),
			log_n("trusted", s->peer.trusted));
	log_info("TLS", log_s("client", s->client),
		log_z("version", stream_tls_version(s->stream)),
		log_z("cipher", stream_tls_cipher(s->stream)));
	return true;
}

/* After STARTTLS nothing of before counts: RFC 3207 4.2 */
static bool start_tls(struct session *s)
{
	s->handshake = false;
	stream_drop_input(s->stream);
	if (!smtpd_tls_handshake(s))
		return false;
	transaction_reset(s);
	s->helo = STR_NONE;
	s->esmtp = false;
	s->login = s->sasl_method = STR_NONE;
	return true;
}

static enum next say_goodbye(struct session *s, const char *text)
{
	stream_deadline(s->stream, 5000);
	stream_putf(s->stream, "421 4.4.2 %.*s Error: %s\r\n",
		STR_ARG(s->sv->c->myhostname), text);
	stream_flush(s->stream);
	return end(s);
}

/* A line that comes byte by byte gets the time of one wait, not of many. */
static int64_t quiet_until(struct session *s)
{
	int64_t now = clock_mono_ms();

	if (s->mode != MODE_COMMANDS || !stream_has_part(s->stream))
		s->line_since_ms = 0;
	else if (s->line_since_ms == 0)
		s->line_since_ms = now;
	return (s->line_since_ms > 0 ? s->line_since_ms : now) +
	       s->sv->c->smtpd_timeout * 1000;
}

static enum next park(struct session *s)
{
	if (s->delay_ms > 0) {
		s->seat.deadline_ms = clock_mono_ms() + s->delay_ms;
		s->delay_ms = 0;
		s->asleep = true;
		return NEXT_SLEEP;
	}
	stream_deadline(s->stream, s->sv->c->smtpd_timeout * 1000);
	if (s->closing || !stream_flush(s->stream))
		return end(s);
	if (s->handshake && !start_tls(s))
		return end(s);
	s->seat.deadline_ms = quiet_until(s);
	return NEXT_PARK;
}

void smtpd_idle(struct seat *seat)
{
	struct session *s = session_of(seat);

	stream_trim(s->stream);
	milters_trim(s);
	arena_trim(s->cmd_a);
	if (!s->tx.open)
		arena_trim(s->tx_a);
}

static void after_command(struct session *s)
{
	s->command = s->rcpt_said = STR_NONE;
	arena_reset(s->cmd_a);
	if (arena_over(s->a) || arena_over(s->tx_a)) {
		smtpd_reply(
			s, 421, "4.3.0 Error: session uses too much memory");
		s->closing = true;
	}
}

static void take_line(struct session *s, enum line_result r, struct str line)
{
	if (stream_bare_newline(s->stream) &&
		smtpd_screen_violates(s, PASS_BARE_NEWLINE))
		return;
	struct str rest = line;
	if (r == LINE_TOO_LONG ||
		(line.len > SMTP_LINE_MAX &&
			!str_ieqc(str_word(&rest, " "), "AUTH")))
		smtpd_refuse(s, 500, "5.5.2 Error: line too long");
	else
		run_command(s, line);
	after_command(s);
}

/* True: go on, something has been read, or the text is complete. */
static bool read_text(struct session *s)
{
	bool more =
		s->mode == MODE_DATA ? smtpd_data_more(s) : smtpd_bdat_more(s);

	if (s->mode == MODE_COMMANDS || s->closing)
		after_command(s);
	return more;
}

/* False: the session is over. */
static bool read_command(struct session *s)
{
	struct str line;

	s->line_since_ms = 0;
	/* The rest of a line that is too long is not waited for. */
	stream_deadline(s->stream, LONG_LINE_MS);
	enum line_result r =
		stream_line(s->stream, SMTP_AUTH_LINE_MAX, false, &line);
	if (r != LINE_OK && r != LINE_TOO_LONG)
		return false;
	take_line(s, r, line);
	return true;
}

/* False: the answer is still awaited. */
static bool take_handover(struct session *s)
{
	while (s->mode == MODE_HANDOVER) {
		if (!smtpd_handover_more(s))
			return false;
	}
	after_command(s);
	return true;
}

static enum next serve(struct session *s, struct seat *seat)
{
	bool slept = s->asleep;

	s->asleep = false;
	if (s->mode == MODE_HANDOVER && !take_handover(s))
		return NEXT_AWAIT;
	if (seat->timed_out && s->greeted && !slept && !s->screening)
		return say_goodbye(s, "timeout exceeded");
	if (crew_ending(seat->crew))
		return say_goodbye(s, "the server is shutting down");
	/* Woken by bytes: they are read before anything is waited for. */
	bool bytes = seat->readable && !s->screening;
	if (bytes)
		stream_told(s->stream);
	if (!s->greeted) {
		if (!smtpd_greet(s))
			return end(s);
		if (s->screening)
			return NEXT_PARK;
	} else if (s->screening && (!smtpd_screen_end(s, !seat->timed_out) ||
					   !smtpd_begin(s))) {
		return end(s);
	}
	for (;;) {
		/* Nobody who is slow holds a thread: the text of a mail and
		 * commands are read as far as they have come. */
		if (s->mode != MODE_COMMANDS && s->delay_ms == 0 &&
			!s->closing && read_text(s)) {
			if (s->mode == MODE_HANDOVER && !take_handover(s))
				return NEXT_AWAIT;
			continue;
		}
		/* Replies to a pipelined group go out together; a delay, a
		 * handshake or the end come at once. */
		if (s->mode != MODE_COMMANDS || s->delay_ms > 0 || s->closing ||
			s->handshake ||
			!stream_has_line(
				s->stream, SMTP_AUTH_LINE_MAX, bytes)) {
			enum next next = park(s);

			if (next != NEXT_PARK || s->mode != MODE_COMMANDS ||
				!stream_has_line(
					s->stream, SMTP_AUTH_LINE_MAX, false))
				return next;
		}
		bytes = false;
		if (!read_command(s))
			return end(s);
	}
}

enum next smtpd_serve(struct seat *seat)
{
	struct session *s = session_of(seat);

	log_context(s->log_id);
	enum next next = serve(s, seat);
	log_context(NULL);
	return next;
}
