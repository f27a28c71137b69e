/* SPDX-License-Identifier: ISC */
#include "role/mailbox/pop3/pop3.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "codec/mail/header.h"
#include "codec/mail/surrogate.h"
#include "codec/pop3/command.h"
#include "codec/smtp/data.h"
#include "store/message.h"

struct entry {
	uint32_t uid;
	bool deleted;
	bool read; /* becomes \Seen when the session ends */
	uint64_t size;
};

struct pop3 {
	struct seat seat; /* first */
	struct mailbox_service *sv;
	struct stream *stream;
	struct arena *a;
	struct arena *cmd_a;
	struct str client;
	struct str login;
	int64_t account;
	int64_t mailbox;
	uint32_t uidvalidity;
	struct entry *v;
	size_t n, cap;
	bool utf8; /* RFC 6856: its client takes it in headers */
	bool closing;
};

typedef void pop3_command_f(struct pop3 *s, struct str args);

static void ok(struct pop3 *s, const char *text)
{
	stream_putf(s->stream, "+OK %s\r\n", text);
}

static void err(struct pop3 *s, const char *text)
{
	stream_putf(s->stream, "-ERR %s\r\n", text);
}

static void fault(struct pop3 *s, const struct fault *f)
{
	/* RFC 3206: SYS/TEMP */
	log_error("store", log_s("login", s->login), log_fault(f));
	err(s, "[SYS/TEMP] the mailbox is not available for now");
}

/* A message that is there and not marked; else answers. */
static struct entry *entry_of(struct pop3 *s, struct str arg)
{
	uint32_t n;

	if (!pop3_number(arg, &n) || n == 0 || n > s->n ||
		s->v[n - 1].deleted) {
		err(s, "no such message");
		return NULL;
	}
	return &s->v[n - 1];
}

static void stat_command(struct pop3 *s, struct str args UNUSED)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].deleted) {
			n++;
			bytes += s->v[i].size;
		}
	stream_putf(
		s->stream, "+OK %zu %llu\r\n", n, (unsigned long long)bytes);
}

static void put_size(struct pop3 *s, size_t i)
{
	stream_putf(s->stream, "%zu %llu\r\n", i + 1,
		(unsigned long long)s->v[i].size);
}

/* Stable over sessions and moves of other messages: RFC 1939 7.  The form is
 * Dovecot's: who imports his mail with its UIDs does not get it once more. */
static void put_uidl(struct pop3 *s, size_t i)
{
	stream_putf(s->stream, "%zu %08x%08x\r\n", i + 1, s->v[i].uid,
		s->uidvalidity);
}

static void list_with(
	struct pop3 *s, struct str args, void (*put)(struct pop3 *s, size_t i))
{
	if (args.len > 0) {
		struct entry *e = entry_of(s, args);

		if (e != NULL) {
			stream_puts(s->stream, "+OK ");
			put(s, (size_t)(e - s->v));
		}
		return;
	}
	ok(s, "list follows");
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].deleted) {
			put(s, i);
			stream_out(s->stream);
		}
	stream_puts(s->stream, ".\r\n");
}

static void list_command(struct pop3 *s, struct str args)
{
	list_with(s, args, put_size);
}

static void uidl_command(struct pop3 *s, struct str args)
{
	list_with(s, args, put_uidl);
}

/* Header and n lines of the body; UINT64_MAX: everything */
static struct str cut_lines(struct str message, uint64_t lines)
{
	struct str head, body;
	size_t at = 0;

	if (lines == UINT64_MAX)
		return message;
	mail_split_blank(message, &head, &body);
	while (lines-- > 0 && at < body.len) {
		ptrdiff_t nl = str_find(str_from_at(body, at), '\n');

		at = nl < 0 ? body.len : at + (size_t)nl + 1;
	}
	return str_sub(message, 0, message.len - body.len + at);
}

/* Clients stumble over NUL: it goes as 0x80. */
static struct str without_nul(struct str text, struct arena *a)
{
	if (str_find(text, '\0') < 0)
		return text;
	char *out = arena_alloc(a, text.len + 1);
	for (size_t i = 0; i < text.len; i++)
		out[i] = text.ptr[i] != '\0' ? text.ptr[i] : (char)0x80;
	return str_of(out, text.len);
}

static void send_message(struct pop3 *s, const struct entry *e, uint64_t lines)
{
	struct store_message m = {0};
	bool line_start = true;
	struct fault f;

	if (!store_message(s->sv->m->store, s->account, s->mailbox, e->uid,
		    lines > 0 ? STORE_BYTES : STORE_HEAD, &m, &f)) {
		if (f.class == FAULT_PERM)
			err(s, "the message was deleted by another session");
		else
			fault(s, &f);
		return;
	}
	struct str text = s->utf8 ? m.bytes : mail_surrogate(m.bytes, s->cmd_a);
	bool other = text.ptr != m.bytes.ptr;
	text = without_nul(cut_lines(text, lines), s->cmd_a);
	stream_putf(s->stream, "+OK %llu octets\r\n",
		other ? (unsigned long long)text.len
		      : (unsigned long long)e->size);
	for (size_t at = 0; at < text.len; at += 32768) {
		stream_deadline(s->stream, 300000);
		smtp_data_stuff(str_sub(text, at, 32768), &line_start,
			stream_out(s->stream));
	}
	if (!line_start)
		stream_puts(s->stream, "\r\n");
	stream_puts(s->stream, ".\r\n");
	store_message_fini(&m);
}

static void retr_command(struct pop3 *s, struct str args)
{
	struct entry *e = entry_of(s, args);

	if (e == NULL)
		return;
	send_message(s, e, UINT64_MAX);
	e->read = true;
}

static void top_command(struct pop3 *s, struct str args)
{
	struct str rest = args;
	struct str which = str_cut(&rest, ' ');
	struct entry *e = entry_of(s, which);
	uint32_t lines;

	if (e == NULL)
		return;
	if (!pop3_number(rest, &lines)) {
		err(s, "TOP needs a message and a number of lines");
		return;
	}
	send_message(s, e, lines);
}

static void dele_command(struct pop3 *s, struct str args)
{
	struct entry *e = entry_of(s, args);

	if (e == NULL)
		return;
	e->deleted = true;
	ok(s, "marked");
}

static void rset_command(struct pop3 *s, struct str args UNUSED)
{
	for (size_t i = 0; i < s->n; i++)
		s->v[i].deleted = false;
	ok(s, "nothing is marked");
}

static void noop_command(struct pop3 *s, struct str args UNUSED)
{
	ok(s, "");
}

static void capa_command(struct pop3 *s, struct str args UNUSED)
{
	ok(s, "capabilities follow");
	pop3_put_capabilities(s->sv, s->stream);
	stream_puts(s->stream,
		"USER\r\nIMPLEMENTATION postern " POSTERN_VERSION "\r\n.\r\n");
}

static void lang_command(struct pop3 *s, struct str args)
{
	pop3_lang(s->stream, args);
}

/* What was read is \Seen for IMAP. */
static void mark_read(struct pop3 *s)
{
	uint32_t *uids = arena_alloc(s->cmd_a, (s->n + 1) * sizeof(*uids));
	struct store_flags change = {.op = FLAGS_ADD, .flags = FLAG_SEEN};
	size_t n = 0;
	struct fault f;

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].read && !s->v[i].deleted)
			uids[n++] = s->v[i].uid;
		s->v[i].read = false;
	}
	if (n == 0)
		return;
	if (!store_flags(s->sv->m->store, s->account, s->mailbox, uids, n,
		    &change, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
	else if (change.modseq != 0)
		bells_ring(s->sv->m->bells, s->account);
}

/* The UPDATE state: what was marked goes, before +OK. RFC 1939 6 */
static void quit_command(struct pop3 *s, struct str args UNUSED)
{
	uint32_t *uids = arena_alloc(s->cmd_a, (s->n + 1) * sizeof(*uids));
	size_t n = 0;
	struct fault f;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].deleted)
			uids[n++] = s->v[i].uid;
	s->closing = true;
	mark_read(s);
	if (!store_expunge(
		    s->sv->m->store, s->account, s->mailbox, uids, n, &f)) {
		fault(s, &f);
		return;
	}
	if (n > 0)
		bells_ring(s->sv->m->bells, s->account);
	ok(s, "bye");
}

static const struct {
	const char *name;
	pop3_command_f *fn;
} commands[] = {{"STAT", stat_command}, {"LIST", list_command},
	{"UIDL", uidl_command}, {"RETR", retr_command}, {"TOP", top_command},
	{"DELE", dele_command}, {"RSET", rset_command}, {"NOOP", noop_command},
	{"CAPA", capa_command}, {"LANG", lang_command}, {"QUIT", quit_command}};

static void run(struct pop3 *s, struct str line)
{
	struct pop3_command cmd;

	if (!pop3_command_parse(line, &cmd)) {
		err(s, "bad command");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_ieqc(cmd.verb, commands[i].name)) {
			commands[i].fn(s, cmd.args);
			return;
		}
	err(s, "unknown command");
}

static enum next end(struct pop3 *s)
{
	mark_read(s);
	log_info("disconnect", log_s("client", s->client),
		log_s("login", s->login));
	crew_leave(&s->seat);
	stream_free(s->stream);
	free(s->v);
	arena_free(s->cmd_a);
	arena_free(s->a);
	free(s);
	return NEXT_CLOSE;
}

static struct pop3 *pop3_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct pop3 *pop3;
	} u = {.seat = seat};

	return u.pop3;
}

static void idle(struct seat *seat)
{
	stream_trim(pop3_of(seat)->stream);
}

static enum next serve(struct seat *seat)
{
	struct pop3 *s = pop3_of(seat);
	int64_t timeout = s->sv->c->pop3d_timeout * 1000;

	/* RFC 1939 3: a session that ends without QUIT deletes nothing. */
	if (crew_ending(seat->crew) || seat->timed_out)
		return end(s);
	bool bytes = seat->readable;
	for (;;) {
		struct str line;

		if (s->closing || (!bytes && !stream_buffered(s->stream))) {
			stream_deadline(s->stream, 60000);
			if (!stream_flush(s->stream) || s->closing)
				return end(s);
			seat->deadline_ms = clock_mono_ms() + timeout;
			return NEXT_PARK;
		}
		bytes = false;
		stream_deadline(s->stream, timeout);
		enum line_result r =
			stream_line(s->stream, POP3_LINE_MAX, false, &line);
		if (r == LINE_TOO_LONG)
			err(s, "line too long");
		else if (r != LINE_OK)
			return end(s);
		else
			run(s, arena_str(s->cmd_a, line));
		arena_reset(s->cmd_a);
	}
}

static bool load_row(const struct store_row *row, void *ctx)
{
	struct pop3 *s = ctx;

	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 64;
		s->v = must_realloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = (struct entry){.uid = row->uid, .size = row->size};
	return true;
}

static bool load(struct pop3 *s, struct fault *f)
{
	struct store_mailbox inbox;

	if (!store_mailbox(s->sv->m->store, s->account,
		    (struct store_which){.name = STR("INBOX")}, &inbox, f))
		return false;
	s->mailbox = inbox.id;
	s->uidvalidity = inbox.uidvalidity;
	return store_rows(
		s->sv->m->store, s->account, s->mailbox, 0, 0, load_row, s, f);
}

void pop3_begin(struct gate *g)
{
	struct pop3 *s = must_alloc(sizeof(*s));
	struct crew *crew = g->seat.crew;
	struct fault f;

	s->sv = g->sv;
	s->stream = g->stream;
	s->a = g->a;
	s->cmd_a = g->cmd_a;
	s->client = g->client;
	s->login = g->login;
	s->utf8 = g->utf8;
	s->account = g->account;
	s->seat.fd = stream_fd(g->stream);
	s->seat.serve = serve;
	s->seat.idle = idle;
	free(g);
	int64_t wait = pop3_login_wait(s->sv, s->account);
	if (wait > 0) {
		/* RFC 2449 8.1.1 */
		stream_putf(s->stream,
			"-ERR [LOGIN-DELAY] come again in %lld seconds\r\n",
			(long long)wait);
		s->closing = true;
	} else if (load(s, &f)) {
		stream_putf(s->stream, "+OK %zu messages\r\n", s->n);
	} else {
		fault(s, &f);
		s->closing = true;
	}
	arena_reset(s->cmd_a);
	crew_become(crew, &s->seat);
}
