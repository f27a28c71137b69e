/* SPDX-License-Identifier: ISC */
/*
 * The load of `make bench-mailbox`: many LMTP, IMAP or POP3 sessions from one
 * thread, each of which goes through a script.
 *
 *   mailbox_load lmtp   HOST PORT SESSIONS N BYTES USERS
 *   mailbox_load append HOST PORT SESSIONS N BYTES USERS
 *   mailbox_load login  HOST PORT SESSIONS N USERS
 *   mailbox_load pop3   HOST PORT N
 *   mailbox_load idle   HOST PORT SESSIONS USERS LMTP_PORT N
 *   mailbox_load fill   HOST PORT USER N BYTES AT_ONCE
 *   mailbox_load time   HOST PORT COMMAND...
 *
 * A PORT that ends in "s" is spoken to over TLS.  Users are uN@bench.test from
 * 0 on, with the password "secret"; pop3 and time are of u0. lmtp, append,
 * login and pop3 print how many operations a second there were; idle says
 * "ready" when all sessions are in IDLE, waits for a line, delivers N messages
 * and prints median and 99th percentile, in ms, of the time from the end of the
 * data to EXISTS, then waits for the end of its input; time prints the ms of
 * each command.  Each ends by itself after ten minutes.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/wire.h"

enum { EVENTS = 256, SECONDS_MAX = 600, OPENING_MAX = 20 };

#define USER "\001"

struct step {
	const char *say; /* USER: who it is; NULL: the message */
	const char *want; /* the line that ends it begins with this */
};

/* Steps from .first to .last are one operation, said again and again; with
 * first 0 an operation is a connection. */
struct script {
	const struct step *steps;
	size_t n, first, last;
	bool literals; /* replies may have some */
};

struct session {
	struct wire w;
	size_t step;
	long user;
	double begun;
};

struct load {
	struct script script;
	struct sockaddr_in to;
	bool tls;
	int epoll;
	long sessions, n, begun, done, users;
	char *text; /* the message as it is sent */
	size_t text_len;
};

/* ---- messages ---- */

static uint64_t random_state = 88172645463325252u;

static unsigned any(unsigned below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 11) % below;
}

static const char *word(void)
{
	static const char *const words[] = {"budget", "meeting", "report",
		"invoice", "release", "server", "customer", "project", "update",
		"schedule", "question", "review", "draft", "contract", "the",
		"and", "of", "for", "with", "about", "please", "new", "old",
		"first", "last", "your", "our", "team", "order", "status"};

	/* One that few messages have. */
	return any(40000) == 0 ? "zebrafish"
			       : words[any(sizeof(words) / sizeof(words[0]))];
}

static int add(char *to, size_t len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(to, len, format, args);
	va_end(args);
	return n;
}

/* Message number i of a mailbox: two of three answer an earlier one.  Lines end
 * in CRLF; no line begins with a dot. */
static size_t write_message(char *to, size_t bytes, long i)
{
	size_t n = 0, cap = bytes + 2048;
	long parent = i > 0 && any(3) > 0 ? i - 1 - any(40) % i : -1;

	n += (size_t)add(to, cap,
		"Received: from mx.load.example (mx.load.example [192.0.2.%u])"
		" by mx.bench.test with ESMTPS id %08lx;\r\n"
		" Mon, %ld Jan 2024 %02ld:%02ld:%02ld +0000\r\n"
		"From: Person %u <p%u@load.example>\r\n"
		"To: u0@bench.test\r\n"
		"Subject: %s%s %s %s\r\n"
		"Message-ID: <%ld.bench@load.example>\r\n"
		"Date: Mon, %ld Jan 2024 %02ld:%02ld:%02ld +0000\r\n",
		any(250), i, 1 + i / 86400 % 28, i / 3600 % 24, i / 60 % 60,
		i % 60, any(400), any(400), parent >= 0 ? "Re: " : "", word(),
		word(), word(), i, 1 + i / 86400 % 28, i / 3600 % 24,
		i / 60 % 60, i % 60);
	if (parent >= 0)
		n += (size_t)add(to + n, cap - n,
			"In-Reply-To: <%ld.bench@load.example>\r\n"
			"References: <%ld.bench@load.example>\r\n",
			parent, parent);
	n += (size_t)add(to + n, cap - n,
		"MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n\r\n");
	for (size_t line = n; n < bytes;) {
		n += (size_t)add(to + n, cap - n, "%s ", word());
		if (n - line > 66 || n >= bytes) {
			n += (size_t)add(to + n, cap - n, "\r\n");
			line = n;
		}
	}
	return n;
}

/* The message of an operation that is repeated, with what ends it. */
static void make_text(struct load *l, size_t bytes, bool imap)
{
	char *raw = malloc(bytes + 2048);
	size_t n = write_message(raw, bytes, 0);

	l->text = malloc(n + 100);
	l->text_len = (size_t)sprintf(
		l->text, imap ? "a APPEND INBOX {%zu+}\r\n" : "", n);
	memcpy(l->text + l->text_len, raw, n);
	l->text_len += n;
	l->text_len +=
		(size_t)sprintf(l->text + l->text_len, imap ? "\r\n" : ".\r\n");
	free(raw);
}

/* ---- scripts ---- */

static void open_session(struct load *l, struct session *s)
{
	s->step = 0;
	wire_open(&s->w, l->epoll, &l->to, l->tls);
	s->w.owner = s;
	if (l->script.first == 0)
		s->user = l->begun++ % l->users;
}

static void say_step(struct load *l, struct session *s)
{
	const char *text = l->script.steps[s->step].say;
	const char *user = text != NULL ? strstr(text, USER) : NULL;
	char line[512];

	if (text == NULL)
		wire_say(&s->w, l->text, l->text_len);
	else if (user == NULL)
		wire_say(&s->w, text, strlen(text));
	else
		wire_say(&s->w, line,
			(size_t)snprintf(line, sizeof(line),
				"%.*su%ld@bench.test%s", (int)(user - text),
				text, s->user, user + strlen(USER)));
}

/* An IMAP session stays with its user. */
static void begin_operation(struct load *l, struct session *s)
{
	long op = l->begun++;

	if (l->script.steps[0].want[0] == '2')
		s->user = op % l->users;
}

/* The step was answered. */
static void next_step(struct load *l, struct session *s)
{
	const struct script *x = &l->script;

	if (s->step == x->last)
		l->done++;
	s->step = s->step == x->last && x->first > 0 ? x->first : s->step + 1;
	if (s->step == x->n) {
		wire_close(&s->w);
		if (x->first == 0 && l->begun < l->n)
			open_session(l, s);
		return;
	}
	if (s->step == x->first && l->begun >= l->n)
		s->step = x->last + 1;
	else if (s->step == x->first)
		begin_operation(l, s);
	say_step(l, s);
}

static bool refused(const struct script *x, const char *line)
{
	if (x->steps[0].want[0] == '2')
		return line[0] == '4' || line[0] == '5';
	return strncmp(line, "a NO", 4) == 0 || strncmp(line, "a BAD", 5) == 0;
}

static void readable(struct load *l, struct session *s)
{
	char *line;

	wire_move(&s->w);
	while (s->w.fd >= 0 &&
		(line = wire_line(&s->w, l->script.literals)) != NULL) {
		const char *want = l->script.steps[s->step].want;

		if (strncmp(line, want, strlen(want)) == 0)
			next_step(l, s);
		else if (refused(&l->script, line))
			wire_die("step %zu: %.200s", s->step, line);
		if (s->step == 0)
			return;
	}
}

static void turn(struct load *l)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(l->epoll, events, EVENTS, -1);

	for (int i = 0; i < n; i++) {
		struct wire *w = events[i].data.ptr;

		readable(l, w->owner);
	}
}

static int run_script(struct load *l)
{
	struct session *s = calloc((size_t)l->sessions, sizeof(*s));
	double start = wire_now();

	for (long i = 0; i < l->sessions && i < l->n; i++) {
		s[i].user = i % l->users;
		open_session(l, &s[i]);
	}
	while (l->done < l->n)
		turn(l);
	printf("%.1f\n", (double)l->done / (wire_now() - start));
	return 0;
}

static const struct step lmtp_steps[] = {{NULL, "220 "},
	{"LHLO load.example\r\n", "250 "},
	{"MAIL FROM:<load@load.example>\r\nRCPT TO:<" USER ">\r\n"
	 "DATA\r\n",
		"354 "},
	{NULL, "250 "}, {"QUIT\r\n", "221 "}};
static const struct step append_steps[] = {{NULL, "* OK"},
	{"a LOGIN " USER " secret\r\n", "a OK"}, {NULL, "a OK"},
	{"a LOGOUT\r\n", "a OK"}};
static const struct step login_steps[] = {{NULL, "* OK"},
	{"a LOGIN " USER " secret\r\n", "a OK"}, {"a SELECT INBOX\r\n", "a OK"},
	{"a LOGOUT\r\n", "a OK"}};

static int lmtp(struct load *l, char **arg)
{
	l->script = (struct script){lmtp_steps, 5, 2, 3, false};
	l->n = atol(arg[1]);
	l->users = atol(arg[3]);
	make_text(l, (size_t)atol(arg[2]), false);
	return run_script(l);
}

static int append(struct load *l, char **arg)
{
	l->script = (struct script){append_steps, 4, 2, 2, false};
	l->n = atol(arg[1]);
	l->users = atol(arg[3]);
	make_text(l, (size_t)atol(arg[2]), true);
	return run_script(l);
}

static int login(struct load *l, char **arg)
{
	l->script = (struct script){login_steps, 4, 0, 3, true};
	l->n = atol(arg[1]);
	l->users = atol(arg[2]);
	return run_script(l);
}

/* ---- one session, one thing after the other ---- */

static char *next_line(struct load *l, struct wire *w, bool literals)
{
	struct epoll_event e;
	char *line;

	while ((line = wire_line(w, literals)) == NULL) {
		epoll_wait(l->epoll, &e, 1, -1);
		wire_move(w);
	}
	return line;
}

static void say(struct wire *w, const char *text)
{
	wire_say(w, text, strlen(text));
}

/* Until a line that begins so. */
static void until(
	struct load *l, struct wire *w, const char *want, bool literals)
{
	char *line;

	do {
		line = next_line(l, w, literals);
		if (strncmp(line, "a NO", 4) == 0 ||
			strncmp(line, "a BAD", 5) == 0 ||
			strncmp(line, "-ERR", 4) == 0 || line[0] == '4' ||
			line[0] == '5')
			wire_die("%.200s", line);
	} while (strncmp(line, want, strlen(want)) != 0);
}

static void log_in(struct load *l, struct wire *w, long user)
{
	char line[128];

	wire_open(w, l->epoll, &l->to, l->tls);
	until(l, w, "* OK", true);
	wire_say(w, line,
		(size_t)sprintf(
			line, "a LOGIN u%ld@bench.test secret\r\n", user));
	until(l, w, "a OK", true);
}

static int fill(struct load *l, char **arg)
{
	long n = atol(arg[1]), at_once = atol(arg[3]);
	size_t bytes = (size_t)atol(arg[2]);
	char *text = malloc(bytes + 2048), line[64];
	struct wire w = {0};

	log_in(l, &w, atol(arg[0]));
	for (long i = 0; i < n;) {
		say(&w, "a APPEND INBOX");
		for (long k = 0; k < at_once && i < n; k++, i++) {
			size_t len = write_message(text, bytes, i);

			wire_say(&w, line,
				(size_t)sprintf(line, " {%zu+}\r\n", len));
			wire_say(&w, text, len);
		}
		say(&w, "\r\n");
		until(l, &w, "a OK", true);
	}
	return 0;
}

static int time_commands(struct load *l, char **arg)
{
	struct wire w = {0};

	log_in(l, &w, 0);
	for (; *arg != NULL; arg++) {
		double start = wire_now();

		say(&w, "a ");
		say(&w, *arg);
		say(&w, "\r\n");
		until(l, &w, "a OK", true);
		printf("%.3f\n", (wire_now() - start) * 1e3);
	}
	return 0;
}

static int pop3(struct load *l, char **arg)
{
	long n = atol(arg[0]);
	struct wire w = {0};
	char line[64];

	wire_open(&w, l->epoll, &l->to, l->tls);
	until(l, &w, "+OK", false);
	say(&w, "USER u0@bench.test\r\n");
	until(l, &w, "+OK", false);
	say(&w, "PASS secret\r\n");
	until(l, &w, "+OK", false);
	double start = wire_now();
	for (long i = 1; i <= n; i++) {
		wire_say(&w, line, (size_t)sprintf(line, "RETR %ld\r\n", i));
		while (strcmp(next_line(l, &w, false), ".") != 0)
			;
	}
	printf("%.1f\n", (double)n / (wire_now() - start));
	return 0;
}

/* ---- many in IDLE ---- */

static const struct step idle_steps[] = {{NULL, "* OK"},
	{"a LOGIN " USER " secret\r\n", "a OK"}, {"a SELECT INBOX\r\n", "a OK"},
	{"a IDLE\r\n", "+ "}, {"", "* "}};

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

/* A message to the user of this session, until it says EXISTS; in seconds. */
static double probe(struct load *l, struct wire *lmtp, struct session *s)
{
	char line[128];

	wire_say(lmtp, line,
		(size_t)sprintf(line,
			"MAIL FROM:<load@load.example>\r\n"
			"RCPT TO:<u%ld@bench.test>\r\nDATA\r\n",
			s->user));
	until(l, lmtp, "354 ", false);
	double start = wire_now();
	wire_say(lmtp, l->text, l->text_len);
	for (;;) {
		struct epoll_event e;
		char *got;

		epoll_wait(l->epoll, &e, 1, -1);
		wire_move(e.data.ptr);
		while (e.data.ptr == &s->w &&
			(got = wire_line(&s->w, true)) != NULL)
			if (strstr(got, " EXISTS") != NULL)
				return wire_now() - start;
	}
}

static int idle(struct load *l, char **arg)
{
	long n = atol(arg[3]), open = 0;
	struct session *s = calloc((size_t)l->sessions, sizeof(*s));
	double *took = calloc((size_t)n, sizeof(*took));
	struct wire lmtp = {0};
	char go[64];
	bool tls;

	l->script = (struct script){idle_steps, 5, 4, 3, true};
	l->users = atol(arg[1]);
	l->n = 0;
	while (l->done < l->sessions) {
		for (; open < l->sessions && open - l->done < OPENING_MAX;
			open++) {
			s[open].user = open % l->users;
			open_session(l, &s[open]);
		}
		turn(l);
	}
	puts("ready");
	fflush(stdout);
	if (fgets(go, sizeof(go), stdin) == NULL)
		return 0;
	make_text(l, 4096, false);
	struct sockaddr_in to = wire_address("127.0.0.1", arg[2], &tls);
	wire_open(&lmtp, l->epoll, &to, false);
	until(l, &lmtp, "220 ", false);
	say(&lmtp, "LHLO load.example\r\n");
	until(l, &lmtp, "250 ", false);
	for (long i = 0; i < n; i++)
		took[i] = probe(l, &lmtp, &s[i * 7 % l->sessions]);
	qsort(took, (size_t)n, sizeof(*took), by_value);
	printf("%.2f %.2f\n", took[n / 2] * 1e3, took[n * 99 / 100] * 1e3);
	fflush(stdout);
	while (fgets(go, sizeof(go), stdin) != NULL)
		;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(struct load *l, char **arg);
	} modes[] = {{"lmtp", 4, lmtp}, {"append", 4, append},
		{"login", 3, login}, {"pop3", 1, pop3}, {"idle", 4, idle},
		{"fill", 4, fill}, {"time", 1, time_commands}};
	struct rlimit files = {65536, 65536};
	struct load l = {.epoll = epoll_create1(0)};

	alarm(SECONDS_MAX);
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; argc > 4 && i < sizeof(modes) / sizeof(modes[0]);
		i++)
		if (strcmp(argv[1], modes[i].name) == 0 &&
			argc - 4 >= modes[i].args) {
			l.to = wire_address(argv[2], argv[3], &l.tls);
			l.sessions = atol(argv[4]);
			return modes[i].run(&l, argv + 4);
		}
	fprintf(stderr, "usage: see the top of tests/bench/mailbox_load.c\n");
	return 2;
}
