/* SPDX-License-Identifier: ISC */
/* The loop of an authenticated session, its table of commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "role/mailbox/gate/gate.h"
#include "role/mailbox/imap/fetch.h"
#include "role/mailbox/imap/notify.h"

enum {
	INPUT_MAX = 300 << 20,
	OVERHEAD_BYTES = 64 << 20,
	IDLE_LINE_MAX = 1024,
	STILL_HERE_MS = 120000
};

enum states {
	ANY = 0,
	SELECTED = 1,
	WRITES = 2, /* needs a mailbox that is not read-only */
	UID_FORM = 4,
	NO_NEWS = 8, /* nothing is told in front of its reply */
	KEEP_NUMBERS = 16, /* without UID, no EXPUNGE in front of its reply */
	ROWS = 32, /* needs the rows of the box, as they are now */
	EXPUNGES = 64, /* its reply is what goes by it */
};

static const struct {
	const char *name;
	imap_command_f *fn;
	unsigned states;
} commands[] = {
	{"CAPABILITY", imap_capability, ANY},
	{"NOOP", imap_noop, ANY},
	{"CHECK", imap_noop, SELECTED},
	{"LOGOUT", imap_logout, NO_NEWS},
	{"ID", imap_id, ANY},
	{"NAMESPACE", imap_namespace, ANY},
	{"ENABLE", imap_enable, ANY},
	{"LANGUAGE", imap_language, ANY},
	{"COMPRESS", imap_compress, ANY},
	{"UNAUTHENTICATE", imap_unauthenticate, NO_NEWS},
	{"SELECT", imap_select, NO_NEWS},
	{"EXAMINE", imap_examine, NO_NEWS},
	{"CREATE", imap_create, ANY},
	{"DELETE", imap_delete, ANY},
	{"RENAME", imap_rename, ANY},
	{"SUBSCRIBE", imap_subscribe, ANY},
	{"UNSUBSCRIBE", imap_unsubscribe, ANY},
	{"LIST", imap_list, ANY},
	{"LSUB", imap_lsub, ANY},
	{"XLIST", imap_xlist, ANY},
	{"STATUS", imap_status, ANY},
	{"GETMETADATA", imap_getmetadata, ANY},
	{"SETMETADATA", imap_setmetadata, ANY},
	{"GETQUOTA", imap_getquota, ANY},
	{"GETQUOTAROOT", imap_getquotaroot, ANY},
	{"SETQUOTA", imap_setquota, ANY},
	{"SETACL", imap_setacl, ANY},
	{"DELETEACL", imap_deleteacl, ANY},
	{"GETACL", imap_getacl, ANY},
	{"LISTRIGHTS", imap_listrights, ANY},
	{"MYRIGHTS", imap_myrights, ANY},
	{"APPEND", imap_append, ANY},
	{"CLOSE", imap_close, SELECTED | NO_NEWS | ROWS},
	{"UNSELECT", imap_unselect, SELECTED | NO_NEWS},
	{"EXPUNGE", imap_expunge,
		SELECTED | WRITES | UID_FORM | ROWS | EXPUNGES},
	{"SEARCH", imap_search, SELECTED | UID_FORM | KEEP_NUMBERS | ROWS},
	{"SORT", imap_sort, SELECTED | UID_FORM | KEEP_NUMBERS | ROWS},
	{"THREAD", imap_thread, SELECTED | UID_FORM | KEEP_NUMBERS | ROWS},
	{"FETCH", imap_fetch, SELECTED | UID_FORM | KEEP_NUMBERS | ROWS},
	{"STORE", imap_store,
		SELECTED | WRITES | UID_FORM | KEEP_NUMBERS | ROWS},
	{"COPY", imap_copy, SELECTED | UID_FORM | ROWS},
	{"MOVE", imap_move, SELECTED | WRITES | UID_FORM | ROWS | EXPUNGES},
	{"REPLACE", imap_replace,
		SELECTED | WRITES | UID_FORM | ROWS | EXPUNGES},
	{"IDLE", imap_idle, NO_NEWS},
	{"NOTIFY", imap_notify, ANY},
	{"ESEARCH", imap_esearch, ANY},
	{"CANCELUPDATE", imap_cancelupdate, SELECTED},
	{"UIDBATCHES", imap_uidbatches, SELECTED | KEEP_NUMBERS | ROWS},
	{"UID", imap_uid, SELECTED | NO_NEWS},
};

static struct imap *imap_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct imap *imap;
	} u = {.seat = seat};

	return u.imap;
}

/* ---- begin and end ---- */

void imap_begin(struct gate *g, struct str tag)
{
	struct imap *s = must_alloc(sizeof(*s));
	struct crew *crew = g->seat.crew;

	s->sv = g->sv;
	s->stream = g->stream;
	s->a = g->a;
	s->cmd_a = arena_new(OVERHEAD_BYTES);
	s->client = g->client;
	s->login = g->login;
	s->account = g->account;
	s->tag = arena_str(s->a, tag);
	s->seat.fd = stream_fd(g->stream);
	s->seat.serve = imap_serve;
	s->seat.idle = imap_idle_seat;
	buf_init(&s->input, INPUT_MAX);
	stream_limit(s->stream, (size_t)s->sv->c->imapd_line_limit * 2);
	stream_putf(s->stream, "%.*s OK [CAPABILITY ", STR_ARG(s->tag));
	imap_put_capabilities(s, stream_out(s->stream));
	stream_puts(s->stream, "] Logged in\r\n");
	stream_flush(s->stream);
	arena_free(g->cmd_a);
	free(g);
	crew_become(crew, &s->seat);
}

/* All but the connection and the memory of the session. */
static void forget(struct imap *s)
{
	imap_drop_bells(s);
	imap_notify_free(s->notify);
	view_close(s);
	free(s->saved);
	buf_fini(&s->input);
	arena_free(s->cmd_a);
}

static enum next end(struct imap *s)
{
	forget(s);
	log_info("disconnect", log_s("client", s->client),
		log_s("login", s->login));
	crew_leave(&s->seat);
	stream_free(s->stream);
	arena_free(s->a);
	free(s);
	return NEXT_CLOSE;
}

static enum next leave(struct imap *s)
{
	log_info("unauthenticate", log_s("client", s->client),
		log_s("login", s->login));
	forget(s);
	gate_imap_again(s->seat.crew, s->sv, s->stream, s->a, s->client);
	free(s);
	return NEXT_BECOME;
}

static enum next say_bye(struct imap *s, const char *why)
{
	stream_deadline(s->stream, 5000);
	stream_putf(s->stream, "* BYE %s\r\n", why);
	stream_flush(s->stream);
	return end(s);
}

/* ---- commands ---- */

static bool may_run(struct imap *s, unsigned st)
{
	struct fault f;

	if ((st & SELECTED) != 0 && s->view.box == NULL) {
		imap_bad(s, "no mailbox is selected");
		return false;
	}
	if ((st & WRITES) != 0 && s->view.read_only) {
		imap_no(s, "[READ-ONLY] the mailbox is selected read-only");
		return false;
	}
	if ((st & KEEP_NUMBERS) != 0 && s->uidonly && !s->uid) {
		imap_bad(s, "[UIDREQUIRED] message numbers are off");
		return false;
	}
	if ((st & ROWS) != 0 && !view_refresh(s, &f)) {
		s->news = NEWS_NONE;
		s->closing = f.class == FAULT_PERM;
		if (s->closing)
			imap_untagged(
				s, "BYE the selected mailbox was deleted");
		imap_fault(s, &f);
		return false;
	}
	return true;
}

static void run(struct imap *s, size_t i, struct imap_in *in)
{
	unsigned st = commands[i].states;

	/* The numbers stay while FETCH, STORE and SEARCH by number run. */
	s->news = (st & NO_NEWS) != 0                   ? NEWS_NONE
		  : (st & KEEP_NUMBERS) != 0 && !s->uid ? NEWS_KEEP_NUMBERS
							: NEWS_ALL;
	s->own = (struct view_own){0};
	s->own_new = NULL;
	s->n_own_new = 0;
	s->own_expunge = (st & EXPUNGES) != 0;
	if (imap_still_may_read(s) && may_run(s, st))
		commands[i].fn(s, in);
	s->own_expunge = false;
}

static long find_command(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_ieqc(name, commands[i].name))
			return (long)i;
	return -1;
}

void imap_uid(struct imap *s, struct imap_in *in)
{
	struct str name;
	long i = -1;

	if (imap_atom(in, &name))
		i = find_command(name);
	if (i < 0 || (commands[i].states & UID_FORM) == 0 || !imap_space(in)) {
		imap_bad(s, "UID of what?");
		return;
	}
	s->uid = true;
	run(s, (size_t)i, in);
}

static void run_line(struct imap *s)
{
	struct imap_in in = {
		.rest = buf_str(&s->input), .a = s->cmd_a, .utf8 = s->utf8};
	struct str name;

	s->uid = false;
	s->limited_from = 0;
	s->news = NEWS_NONE;
	s->tag = STR("*");
	if (!imap_tag(&in, &s->tag) || !imap_space(&in) ||
		!imap_atom(&in, &name)) {
		imap_bad(s, "a command is: tag SP name");
		return;
	}
	long i = find_command(name);
	if (i < 0) {
		imap_bad(s, "unknown command");
		return;
	}
	imap_space(&in);
	run(s, (size_t)i, &in);
}

/* Behind IDLE: RFC 2177.  False: the client said something else. */
static bool idle_line(struct imap *s)
{
	struct str line;

	stream_deadline(s->stream, 10000);
	if (stream_line(s->stream, IDLE_LINE_MAX, false, &line) != LINE_OK) {
		s->closing = true;
		return false;
	}
	s->idling = false;
	s->tag = s->idle_tag;
	if (str_ieqc(line, "DONE"))
		imap_ok(s, "Idle completed");
	else
		imap_bad(s, "DONE was expected");
	return true;
}

/* Nobody asked: between commands, or in IDLE. */
static void wake_news(struct imap *s)
{
	bool delayed = !s->idling && s->notify != NULL && s->notify->delayed;

	s->own = (struct view_own){0};
	if (imap_still_may_read(s)) {
		imap_news(s, delayed ? NEWS_KEEP_NUMBERS : NEWS_ALL);
		notify_tell(s);
		imap_hang_bells(s);
	}
	arena_reset(s->cmd_a);
}

/* What woke us when no bytes did?  True: the session ends. */
static bool take_wake(struct imap *s, struct seat *seat)
{
	if (seat->rung && (s->idling || s->notify != NULL))
		wake_news(s);
	if (!seat->timed_out)
		return false;
	if (!s->idling)
		return true;
	/* A dead connection is noticed by talking into it. */
	stream_puts(s->stream, "* OK Still here\r\n");
	return false;
}

static enum next park(struct imap *s)
{
	int64_t timeout =
		s->idling ? STILL_HERE_MS : s->sv->c->imapd_timeout * 1000;

	stream_deadline(s->stream, 60000);
	if (!stream_flush(s->stream) || s->closing)
		return end(s);
	s->seat.deadline_ms = clock_mono_ms() + timeout;
	return NEXT_PARK;
}

static size_t line_max(const struct imap *s)
{
	return s->idling ? IDLE_LINE_MAX : (size_t)s->sv->c->imapd_line_limit;
}

void imap_idle_seat(struct seat *seat)
{
	struct imap *s = imap_of(seat);

	stream_trim(s->stream);
	buf_shrink(&s->input);
	arena_trim(s->cmd_a);
}

enum next imap_serve(struct seat *seat)
{
	struct imap *s = imap_of(seat);

	if (crew_ending(seat->crew))
		return say_bye(s, "the server is shutting down");
	if (take_wake(s, seat))
		return say_bye(s, "Autologout; idle for too long");
	bool bytes = seat->readable;
	seat->timed_out = seat->rung = false;
	for (;;) {
		/* Half a line holds no thread. */
		if (!stream_has_line(s->stream, line_max(s), bytes)) {
			enum next next = park(s);

			if (next != NEXT_PARK ||
				!stream_has_line(s->stream, line_max(s), false))
				return next;
		}
		bytes = false;
		if (s->idling) {
			idle_line(s);
			continue;
		}
		enum read_result r = imap_read_command(s);
		if (r == READ_GONE)
			return end(s);
		if (r == READ_OK)
			run_line(s);
		arena_reset(s->cmd_a);
		if (s->leaving)
			return leave(s);
		if (s->closing) {
			stream_flush(s->stream);
			return end(s);
		}
	}
}
