/* SPDX-License-Identifier: ISC */
#include "net/milter.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { INPUT_BYTES = 64 * 1024, CHANGES_MAX = 10000 };

struct milter {
	const struct milter_def *def;
	milter_macro_f *macro;
	void *ctx;
	struct stream *stream; /* NULL: not connected */
	uint32_t steps; /* as agreed */
	struct str macros[MILTER_STAGES + 1]; /* as in milter_def */
	struct arena *a; /* of the macro names it asked for */
	bool failed; /* the default action, from now on */
	bool told; /* that it failed */
	bool done; /* accepted the whole session */
	bool message_done; /* accepted this message */
	bool in_message; /* MAIL was told: an ABORT is due */
	bool skip_body;
	struct buf packet; /* of the last reply */
};

struct milter *milter_new(
	const struct milter_def *def, milter_macro_f *macro, void *ctx)
{
	struct milter *m = must_alloc(sizeof(*m));

	m->def = def;
	m->macro = macro;
	m->ctx = ctx;
	m->a = arena_new(SIZE_MAX);
	buf_init(&m->packet, MILTER_PACKET_MAX + 1);
	return m;
}

static void say_quit(struct milter *m)
{
	size_t at = milter_packet_begin(stream_out(m->stream), MILTER_QUIT);

	milter_packet_end(stream_out(m->stream), at);
	stream_deadline(m->stream, 1000);
	stream_flush(m->stream);
}

void milter_free(struct milter *m)
{
	if (m == NULL)
		return;
	if (m->stream != NULL && !m->failed)
		say_quit(m);
	stream_free(m->stream);
	buf_fini(&m->packet);
	arena_free(m->a);
	free(m);
}

const struct milter_def *milter_def_of(const struct milter *m)
{
	return m->def;
}

bool milter_failed_now(struct milter *m)
{
	bool now = m->failed && !m->told;

	m->told = m->failed;
	return now;
}

bool milter_keeps_space(const struct milter *m)
{
	return (m->steps & MILTER_LEADING_SPACE) != 0;
}

void milter_trim(struct milter *m)
{
	if (m->stream != NULL)
		stream_trim(m->stream);
	buf_shrink(&m->packet);
}

/* ---- failure ---- */

static struct milter_verdict on_failure(const struct milter *m)
{
	struct milter_verdict v = {.kind = MILTER_REFUSE};

	switch (m->def->on_failure) {
	case MILTER_DEFAULT_ACCEPT:
		v.kind = MILTER_GO_ON;
		break;
	case MILTER_DEFAULT_QUARANTINE:
		v.kind = MILTER_GO_ON;
		v.quarantine = true;
		break;
	case MILTER_DEFAULT_REJECT:
		v.code = 550;
		v.text = STR("5.5.0 Service unavailable");
		break;
	case MILTER_DEFAULT_TEMPFAIL:
		v.code = 451;
		v.text = STR("4.7.1 Service unavailable - try again later");
		break;
	case MILTER_DEFAULT_SHUTDOWN:
		v.code = 421;
		v.text = STR("4.3.0 Service unavailable - try again later");
		v.end = true;
		break;
	}
	return v;
}

static struct milter_verdict fail(struct milter *m)
{
	m->failed = true;
	stream_free(m->stream);
	m->stream = NULL;
	return on_failure(m);
}

/* ---- packets ---- */

static bool read_exact(struct milter *m, char *to, size_t len)
{
	while (len > 0) {
		struct str data;

		if (stream_some(m->stream, len, &data) != LINE_OK)
			return false;
		memcpy(to, data.ptr, data.len);
		to += data.len;
		len -= data.len;
	}
	return true;
}

static bool read_packet(struct milter *m, int64_t ms)
{
	char head[MILTER_HEAD_BYTES];

	stream_deadline(m->stream, ms);
	if (!read_exact(m, head, sizeof(head)))
		return false;
	uint32_t len = milter_packet_length(head);
	buf_reset(&m->packet);
	if (len == 0 || !buf_reserve(&m->packet, len))
		return false;
	m->packet.len = len;
	return read_exact(m, m->packet.data, len);
}

static bool read_reply(struct milter *m, int64_t ms, struct milter_reply *r)
{
	/* PROGRESS: it still works on it, the clock starts again. */
	do {
		if (!read_packet(m, ms) ||
			!milter_reply_parse(buf_str(&m->packet), r))
			return false;
	} while (r->kind == MILTER_SAYS_PROGRESS);
	return true;
}

/* ---- the beginning ---- */

static bool agree(struct milter *m)
{
	struct buf *out = stream_out(m->stream);
	struct milter_options o;
	size_t at = milter_packet_begin(out, MILTER_OPTNEG);

	milter_put_u32(out, MILTER_VERSION);
	milter_put_u32(out, MILTER_ALL_ACTIONS);
	milter_put_u32(out, MILTER_ALL_STEPS & ~(uint32_t)MILTER_RCPT_REJECTED);
	milter_packet_end(out, at);
	stream_deadline(m->stream, m->def->command_ms);
	if (!stream_flush(m->stream) || !read_packet(m, m->def->command_ms))
		return false;
	struct str answer = buf_str(&m->packet);
	if (answer.ptr[0] != MILTER_OPTNEG ||
		!milter_options_parse(str_from_at(answer, 1), &o) ||
		o.version < 2 || o.version > MILTER_VERSION)
		return false;
	m->steps = o.steps;
	for (size_t i = 0; i < MILTER_STAGES; i++)
		m->macros[i] = str_present(o.macros[i])
				       ? arena_str(m->a, o.macros[i])
				       : m->def->macros[i];
	m->macros[MILTER_STAGES] = m->def->macros[MILTER_STAGES];
	return true;
}

static bool connected(struct milter *m)
{
	struct fault f;

	if (m->stream != NULL)
		return true;
	m->stream = endpoint_connect(
		&m->def->endpoint, INPUT_BYTES, m->def->connect_ms, &f);
	return m->stream != NULL && agree(m);
}

/* ---- events ---- */

static const struct event {
	enum milter_command command;
	uint32_t no, mute;
	int stage; /* of its macros; -1: none */
} events[] = {{MILTER_CONNECT, MILTER_NO_CONNECT, MILTER_MUTE_CONNECT,
		      MILTER_AT_CONNECT},
	{MILTER_HELO, MILTER_NO_HELO, MILTER_MUTE_HELO, MILTER_AT_HELO},
	{MILTER_MAIL, MILTER_NO_MAIL, MILTER_MUTE_MAIL, MILTER_AT_MAIL},
	{MILTER_RCPT, MILTER_NO_RCPT, MILTER_MUTE_RCPT, MILTER_AT_RCPT},
	{MILTER_DATA, MILTER_NO_DATA, MILTER_MUTE_DATA, MILTER_AT_DATA},
	{MILTER_UNKNOWN, MILTER_NO_UNKNOWN, MILTER_MUTE_UNKNOWN, MILTER_STAGES},
	{MILTER_HEADER, MILTER_NO_HEADERS, MILTER_MUTE_HEADER, -1},
	{MILTER_EOH, MILTER_NO_EOH, MILTER_MUTE_EOH, MILTER_AT_EOH},
	{MILTER_BODY, MILTER_NO_BODY, MILTER_MUTE_BODY, -1},
	{MILTER_EOM, 0, 0, MILTER_AT_EOM}};

static const struct event *event_of(enum milter_command command)
{
	size_t i = 0;

	while (events[i].command != command)
		i++;
	return &events[i];
}

static void put_macros(struct milter *m, const struct event *e)
{
	struct buf *out = stream_out(m->stream);
	struct str rest, name;

	if (e->stage < 0 || (e->stage == MILTER_STAGES &&
				    m->macros[MILTER_STAGES].len == 0))
		return;
	size_t at = milter_packet_begin(out, MILTER_MACRO);
	buf_putc(out, (char)e->command);
	rest = m->macros[e->stage];
	while (str_present(name = str_word(&rest, " \t,"))) {
		struct str value = m->macro(name, m->ctx);
		bool braces = name.len > 1 && name.ptr[0] != '{';

		if (!str_present(value))
			continue;
		if (braces)
			buf_putc(out, '{');
		buf_put(out, name);
		milter_put_str(out, braces ? STR("}") : STR(""));
		milter_put_str(out, value);
	}
	milter_packet_end(out, at);
}

static bool off(const struct milter *m)
{
	return m->failed || m->done || m->message_done;
}

/* A reply code of the filter's own: "550 5.7.1 text". */
static struct milter_verdict own_reply(
	struct milter *m, struct str text, struct arena *a)
{
	uint64_t code;

	if (text.len < 4 || !str_u64(str_sub(text, 0, 3), &code) ||
		(text.ptr[0] != '4' && text.ptr[0] != '5') ||
		(text.ptr[3] != ' ' && text.ptr[3] != '-'))
		return fail(m);
	struct str rest = str_from_at(text, 4);
	rest = str_cut(&rest, '\r');
	rest = str_cut(&rest, '\n');
	bool enhanced = rest.len > 4 && rest.ptr[0] == text.ptr[0] &&
			rest.ptr[1] == '.';
	return (struct milter_verdict){.kind = MILTER_REFUSE,
		.code = (int)code,
		.text = enhanced ? arena_str(a, rest)
				 : arena_printf(a, "%c.7.1 %.*s", text.ptr[0],
					   STR_ARG(rest)),
		.end = code == 421};
}

/* What a final reply means at an event. */
static struct milter_verdict verdict(struct milter *m,
	enum milter_command command, const struct milter_reply *r,
	struct arena *a)
{
	struct milter_verdict v = {.kind = MILTER_GO_ON};

	switch (r->kind) {
	case MILTER_SAYS_CONTINUE:
		return v;
	case MILTER_SAYS_ACCEPT:
		if (command == MILTER_CONNECT || command == MILTER_HELO)
			m->done = true;
		else
			m->message_done = true;
		return v;
	case MILTER_SAYS_SKIP:
		if (command != MILTER_BODY)
			return fail(m);
		m->skip_body = true;
		return v;
	case MILTER_SAYS_DISCARD:
		m->message_done = true;
		v.kind = MILTER_DROP;
		return v;
	case MILTER_SAYS_REPLY_CODE:
		return own_reply(m, r->text, a);
	case MILTER_SAYS_REJECT:
		return (struct milter_verdict){.kind = MILTER_REFUSE,
			.code = 550,
			.text = STR("5.7.1 Command rejected")};
	case MILTER_SAYS_TEMPFAIL:
		return (struct milter_verdict){.kind = MILTER_REFUSE,
			.code = 451,
			.text = STR("4.7.1 Service unavailable - try again "
				    "later")};
	case MILTER_SAYS_SHUTDOWN:
	case MILTER_SAYS_CONNECT_FAIL:
		return (struct milter_verdict){.kind = MILTER_REFUSE,
			.code = 421,
			.text = STR("4.7.0 Server closing connection"),
			.end = true};
	default:
		return fail(m);
	}
}

static bool wanted(const struct milter *m, const struct event *e)
{
	return (m->steps & e->no) == 0;
}

/* data: the packet's content behind the command. */
static struct milter_verdict tell(struct milter *m, enum milter_command command,
	struct str data, struct arena *a)
{
	const struct event *e = event_of(command);
	struct milter_reply r;

	if (m->failed)
		return on_failure(m);
	if (off(m))
		return (struct milter_verdict){.kind = MILTER_GO_ON};
	if (!connected(m))
		return fail(m);
	if (!wanted(m, e))
		return (struct milter_verdict){.kind = MILTER_GO_ON};
	put_macros(m, e);
	struct buf *out = stream_out(m->stream);
	size_t at = milter_packet_begin(out, command);
	buf_put(out, data);
	milter_packet_end(out, at);
	if ((m->steps & e->mute) != 0 && !stream_failed(m->stream))
		return (struct milter_verdict){.kind = MILTER_GO_ON};
	stream_deadline(m->stream, m->def->command_ms);
	if (!stream_flush(m->stream) || !read_reply(m, m->def->command_ms, &r))
		return fail(m);
	return verdict(m, command, &r, a);
}

static struct milter_verdict tell_str(struct milter *m,
	enum milter_command command, struct str text, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	milter_put_str(&b, text);
	return tell(m, command, buf_str(&b), a);
}

struct milter_verdict milter_connect(struct milter *m, struct str host,
	struct str ip, bool six, unsigned port, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 4096);
	milter_put_str(&b, host);
	buf_putc(&b, ip.len == 0 ? 'U' : six ? '6' : '4');
	if (ip.len > 0) {
		milter_put_u16(&b, port);
		milter_put_str(
			&b, six ? arena_concat(a, STR("IPv6:"), ip) : ip);
	}
	return tell(m, MILTER_CONNECT, buf_str(&b), a);
}

struct milter_verdict milter_helo(
	struct milter *m, struct str name, struct arena *a)
{
	return tell_str(m, MILTER_HELO, name, a);
}

struct milter_verdict milter_mail(
	struct milter *m, struct str address, struct arena *a)
{
	m->message_done = m->skip_body = false;
	m->in_message = true;
	return tell_str(
		m, MILTER_MAIL, arena_printf(a, "<%.*s>", STR_ARG(address)), a);
}

struct milter_verdict milter_rcpt(
	struct milter *m, struct str address, struct arena *a)
{
	return tell_str(
		m, MILTER_RCPT, arena_printf(a, "<%.*s>", STR_ARG(address)), a);
}

struct milter_verdict milter_data(struct milter *m, struct arena *a)
{
	return tell(m, MILTER_DATA, STR(""), a);
}

struct milter_verdict milter_unknown(
	struct milter *m, struct str line, struct arena *a)
{
	return tell_str(m, MILTER_UNKNOWN, line, a);
}

struct milter_verdict milter_header(
	struct milter *m, struct str name, struct str value, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	bool space = (m->steps & MILTER_LEADING_SPACE) != 0;

	/* LF between the lines of a folded value, as sendmail has it. */
	buf_init(&b, MILTER_PACKET_MAX - 16);
	milter_put_str(&b, name);
	if (!space && value.len > 0 && value.ptr[0] == ' ')
		value = str_from_at(value, 1);
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] != '\r' && value.ptr[i] != '\0')
			buf_putc(&b, value.ptr[i]);
	buf_putc(&b, '\0');
	return tell(m, MILTER_HEADER, buf_str(&b), a);
}

struct milter_verdict milter_eoh(struct milter *m, struct arena *a)
{
	return tell(m, MILTER_EOH, STR(""), a);
}

struct milter_verdict milter_body(
	struct milter *m, struct str body, struct arena *a)
{
	struct milter_verdict v = {.kind = MILTER_GO_ON};

	while (body.len > 0 && v.kind == MILTER_GO_ON && !off(m) &&
		!m->skip_body) {
		v = tell(
			m, MILTER_BODY, str_sub(body, 0, MILTER_BODY_BYTES), a);
		body = str_from_at(body, MILTER_BODY_BYTES);
		/* A filter that is mute does not stop what piles up here. */
		stream_deadline(m->stream, m->def->content_ms);
		if (m->stream != NULL && !stream_flush(m->stream))
			v = fail(m);
	}
	return v;
}

/* ---- the end ---- */

static bool is_change(char kind)
{
	return strchr("+-2behimq", kind) != NULL;
}

static struct milter_change *keep(const struct milter_reply *r, struct arena *a)
{
	struct milter_change *c = arena_make(a, struct milter_change);

	c->what = *r;
	c->what.name = arena_str(a, r->name);
	c->what.value = arena_str(a, r->value);
	c->what.text = arena_str(a, r->text);
	return c;
}

struct milter_verdict milter_eom(struct milter *m, size_t body_max,
	struct arena *a, struct milter_change **changes_r)
{
	struct milter_change **last = changes_r;
	struct milter_reply r;
	size_t bytes = 0, n = 0;

	*changes_r = NULL;
	if (m->failed)
		return on_failure(m);
	if (off(m))
		return (struct milter_verdict){.kind = MILTER_GO_ON};
	if (!connected(m))
		return fail(m);
	put_macros(m, event_of(MILTER_EOM));
	size_t at = milter_packet_begin(stream_out(m->stream), MILTER_EOM);
	milter_packet_end(stream_out(m->stream), at);
	stream_deadline(m->stream, m->def->content_ms);
	bool ok = stream_flush(m->stream);
	while ((ok = ok && read_reply(m, m->def->content_ms, &r)) &&
		is_change(r.kind)) {
		bytes += r.text.len + r.name.len + r.value.len;
		ok = bytes <= body_max && ++n <= CHANGES_MAX;
		*last = keep(&r, a);
		last = &(*last)->next;
	}
	m->in_message = false;
	struct milter_verdict v = ok ? verdict(m, MILTER_EOM, &r, a) : fail(m);
	/* Who failed half-way has said nothing. */
	if (m->failed)
		*changes_r = NULL;
	m->message_done = true;
	return v;
}

void milter_abort(struct milter *m)
{
	bool due = m->in_message && m->stream != NULL && !m->failed;

	m->in_message = m->message_done = m->skip_body = false;
	if (!due)
		return;
	struct buf *out = stream_out(m->stream);
	size_t at = milter_packet_begin(out, MILTER_ABORT);
	milter_packet_end(out, at);
	stream_deadline(m->stream, 1000);
	if (!stream_flush(m->stream))
		fail(m);
}
