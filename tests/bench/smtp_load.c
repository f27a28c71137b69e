/* SPDX-License-Identifier: ISC */
/*
 * The load of `make bench`: many SMTP sessions from one thread, and a server
 * that does nothing, which tells what the machine allows.
 *
 *   smtp_load send HOST PORT SESSIONS MESSAGES BYTES PER_CONNECTION USERS
 * DOMAIN smtp_load null PORT [COUNTER]
 *
 * COUNTER: a file that holds the number of mails that came, as uint64_t.
 * send prints: messages per second, CPU seconds of its own, median and 99th
 * percentile of a mail's way in ms.  IPv4 only; ends by itself after a minute.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_MAX = 65536, EVENTS = 256, SECONDS_MAX = 60 };
enum step { GREETING, EHLO, MAIL, RCPT, DATA, TEXT, QUIT };

struct session {
	int fd;
	enum step step;
	long left; /* mails over this connection */
	double begun; /* of the mail */
	char in[IN_MAX];
	size_t n_in;
};

struct load {
	struct sockaddr_in to;
	long messages, begun, done, per_connection, users;
	const char *domain;
	char *text;
	size_t text_len;
	double *took;
	int epoll;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0)
			die("send");
		text += n;
		len -= (size_t)n;
	}
}

static void open_session(struct load *l, struct session *s)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
	int one = 1;

	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	s->step = GREETING;
	s->left = l->per_connection;
	s->n_in = 0;
	if (s->fd < 0 ||
		connect(s->fd, (struct sockaddr *)&l->to, sizeof(l->to)) != 0)
		die("connect");
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &e) != 0)
		die("epoll");
}

static void next_mail(struct load *l, struct session *s)
{
	static const char mail[] = "MAIL FROM:<bench@load.example>\r\n";

	if (l->begun == l->messages || s->left == 0) {
		say(s->fd, "QUIT\r\n", 6);
		s->step = QUIT;
		return;
	}
	l->begun++;
	s->left--;
	s->begun = now();
	say(s->fd, mail, sizeof(mail) - 1);
	s->step = MAIL;
}

static void say_rcpt(struct load *l, struct session *s)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "RCPT TO:<%ldu@%s>\r\n",
		l->begun % l->users, l->domain);

	say(s->fd, line, (size_t)n);
}

static void answered(struct load *l, struct session *s, int code)
{
	static const int want[] = {220, 250, 250, 250, 354, 250, 221};

	if (code != want[s->step]) {
		fprintf(stderr, "step %d: %.100s\n", s->step, s->in);
		exit(1);
	}
	switch (s->step) {
	case GREETING:
		say(s->fd, "EHLO load.example\r\n", 19);
		s->step = EHLO;
		break;
	case EHLO:
		next_mail(l, s);
		break;
	case MAIL:
		say_rcpt(l, s);
		s->step = RCPT;
		break;
	case RCPT:
		say(s->fd, "DATA\r\n", 6);
		s->step = DATA;
		break;
	case DATA:
		say(s->fd, l->text, l->text_len);
		s->step = TEXT;
		break;
	case TEXT:
		l->took[l->done++] = now() - s->begun;
		next_mail(l, s);
		break;
	case QUIT:
		close(s->fd);
		s->fd = -1;
		if (l->begun < l->messages)
			open_session(l, s);
		break;
	}
}

static void readable(struct load *l, struct session *s)
{
	ssize_t n = recv(s->fd, s->in + s->n_in, IN_MAX - 1 - s->n_in, 0);
	char *end;

	if (n <= 0)
		die("the server went away");
	s->n_in += (size_t)n;
	s->in[s->n_in] = '\0';
	while ((end = memchr(s->in, '\n', s->n_in)) != NULL) {
		size_t len = (size_t)(end - s->in) + 1;
		int code = len > 4 && s->in[3] == ' ' ? atoi(s->in) : 0;

		memmove(s->in, s->in + len, s->n_in - len + 1);
		s->n_in -= len;
		if (code != 0)
			answered(l, s, code);
		if (s->fd < 0 || s->step == GREETING)
			return;
	}
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return a < b ? -1 : a > b;
}

static void make_text(struct load *l, size_t bytes)
{
	static const char head[] = "From: <bench@load.example>\r\n"
				   "Message-ID: <1@load.example>\r\n"
				   "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
				   "Subject: bench\r\n\r\n";
	size_t n = sizeof(head) - 1;

	l->text = malloc(bytes + sizeof(head) + 100);
	memcpy(l->text, head, n);
	while (n < bytes) {
		memset(l->text + n, 'x', 76);
		memcpy(l->text + n + 76, "\r\n", 2);
		n += 78;
	}
	memcpy(l->text + n, ".\r\n", 3);
	l->text_len = n + 3;
}

static int send_load(char **arg)
{
	struct load l = {.messages = atol(arg[3]),
		.per_connection = atol(arg[5]),
		.users = atol(arg[6]),
		.domain = arg[7],
		.epoll = epoll_create1(0),
		.to = {.sin_family = AF_INET,
			.sin_port = htons((uint16_t)atoi(arg[1]))}};
	long sessions = atol(arg[2]);
	struct session *s = calloc((size_t)sessions, sizeof(*s));
	struct epoll_event events[EVENTS];
	struct rusage used;

	inet_pton(AF_INET, arg[0], &l.to.sin_addr);
	if (l.per_connection <= 0)
		l.per_connection = l.messages;
	l.took = calloc((size_t)l.messages, sizeof(*l.took));
	make_text(&l, (size_t)atol(arg[4]));
	alarm(SECONDS_MAX);
	double start = now();
	for (long i = 0; i < sessions && i < l.messages; i++)
		open_session(&l, &s[i]);
	while (l.done < l.messages) {
		int n = epoll_wait(l.epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			readable(&l, events[i].data.ptr);
	}
	double took = now() - start;
	getrusage(RUSAGE_SELF, &used);
	qsort(l.took, (size_t)l.done, sizeof(*l.took), by_value);
	printf("%.1f %.3f %.2f %.2f\n", (double)l.done / took,
		(double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			(double)(used.ru_utime.tv_usec +
				 used.ru_stime.tv_usec) /
				1e6,
		l.took[l.done / 2] * 1e3, l.took[l.done * 99 / 100] * 1e3);
	return 0;
}

/* ---- the server that does nothing ---- */

/* One line; NULL: nothing to say. */
static const char *null_reply(
	struct session *s, const char *line, size_t len, uint64_t *mails)
{
	if (s->step == TEXT) {
		if (len != 3 || line[0] != '.')
			return NULL;
		s->step = MAIL;
		(*mails)++;
	} else if (strncmp(line, "DATA", 4) == 0) {
		s->step = TEXT;
		return "354 go\r\n";
	} else if (strncmp(line, "EHLO", 4) == 0) {
		return "250-null\r\n250 PIPELINING\r\n";
	} else if (strncmp(line, "QUIT", 4) == 0) {
		return "221 bye\r\n";
	}
	return "250 ok\r\n";
}

static void answer_null(struct session *s, uint64_t *mails)
{
	char out[4096], *end;
	size_t at = 0, n_out = 0;

	while (n_out < sizeof(out) - 64 &&
		(end = memchr(s->in + at, '\n', s->n_in - at)) != NULL) {
		size_t len = (size_t)(end - (s->in + at)) + 1;
		const char *reply = null_reply(s, s->in + at, len, mails);

		if (reply != NULL) {
			memcpy(out + n_out, reply, strlen(reply));
			n_out += strlen(reply);
		}
		at += len;
	}
	if (n_out > 0)
		say(s->fd, out, n_out);
	memmove(s->in, s->in + at, s->n_in - at);
	s->n_in -= at;
}

/* Where others can see how many mails came; nowhere without a file. */
static uint64_t *counter_at(const char *path)
{
	static uint64_t nowhere;
	int fd = path != NULL ? open(path, O_RDWR | O_CREAT, 0600) : -1;

	if (fd < 0 || ftruncate(fd, sizeof(nowhere)) != 0)
		return &nowhere;
	void *at = mmap(NULL, sizeof(nowhere), PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0);
	return at != MAP_FAILED ? at : &nowhere;
}

/* For ever: who started it ends it. */
static void serve_null(const char *port, const char *counter)
{
	uint64_t *mails = counter_at(counter);
	struct sockaddr_in on = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int ep = epoll_create1(0), one = 1;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct epoll_event e = {.events = EPOLLIN}, events[EVENTS];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&on, sizeof(on)) != 0 ||
		listen(listener, 512) != 0 ||
		epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) != 0)
		die("listen");
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct session *s = events[i].data.ptr;

			if (s == NULL) {
				s = calloc(1, sizeof(*s));
				s->fd = accept(listener, NULL, NULL);
				e.data.ptr = s;
				epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
				say(s->fd, "220 null\r\n", 10);
				continue;
			}
			ssize_t got = recv(
				s->fd, s->in + s->n_in, IN_MAX - s->n_in, 0);
			if (got <= 0) {
				close(s->fd);
				free(s);
				continue;
			}
			s->n_in += (size_t)got;
			answer_null(s, mails);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 10 && strcmp(argv[1], "send") == 0)
		return send_load(argv + 2);
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "null") == 0)
		serve_null(argv[2], argv[3]);
	fprintf(stderr,
		"usage: smtp_load send HOST PORT SESSIONS MESSAGES "
		"BYTES PER_CONNECTION USERS DOMAIN | null PORT [COUNTER]\n");
	return 2;
}
