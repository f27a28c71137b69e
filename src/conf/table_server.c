/* SPDX-License-Identifier: ISC */
/*
 * Table servers: tcp_table(5) and socketmap_table(5).  One question and one
 * answer at a time on a connection; a few connections are kept.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/must.h"
#include "codec/mail/uri.h"
#include "conf/table_private.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "sys/waiting.h"

enum { POOL_MAX = 8, TIMEOUT_MS = 30000, REPLY_MAX = 100000 };

struct server {
	struct sock_addr addr;
	struct str path; /* of a Unix socket */
	struct str map; /* of a socketmap */
	pthread_mutex_t lock; /* pool, n */
	int pool[POOL_MAX];
	size_t n;
};

/* ---- where ---- */

static bool find_host(struct server *s, struct str host, struct str port,
	struct arena *a, struct fault *f)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (str_starts(host, "[") && str_ends(host, "]"))
		host = str_sub(host, 1, host.len - 2);
	if (getaddrinfo(arena_cstr(a, host), arena_cstr(a, port), &hints,
		    &list) != 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"no address for %.*s:%.*s", STR_ARG(host),
			STR_ARG(port));
	memcpy(&s->addr.ss, list->ai_addr, list->ai_addrlen);
	s->addr.len = list->ai_addrlen;
	freeaddrinfo(list);
	return true;
}

static struct server *server_new(struct table *t)
{
	struct server *s = arena_make(tables_arena(t->owner), struct server);

	pthread_mutex_init(&s->lock, NULL);
	t->state = s;
	return s;
}

static bool tcp_open(struct table *t, unsigned flags UNUSED,
	struct problems *p UNUSED, struct fault *f)
{
	ptrdiff_t colon = str_rfind(t->name, ':');

	if (colon <= 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "write tcp:host:port");
	return find_host(server_new(t), str_sub(t->name, 0, (size_t)colon),
		str_from_at(t->name, (size_t)colon + 1), tables_arena(t->owner),
		f);
}

/* inet:host:port:map or unix:path:map */
static bool socketmap_open(struct table *t, unsigned flags UNUSED,
	struct problems *p UNUSED, struct fault *f)
{
	struct server *s = server_new(t);
	ptrdiff_t last = str_rfind(t->name, ':');
	bool local = str_starts(t->name, "unix:");

	if (last <= 5 || (!local && !str_starts(t->name, "inet:")))
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"write socketmap:inet:host:port:map or "
			"socketmap:unix:path:map");
	s->map = str_from_at(t->name, (size_t)last + 1);
	struct str where = str_sub(t->name, 5, (size_t)last - 5);
	if (local) {
		s->path = arena_str(tables_arena(t->owner), where);
		return true;
	}
	ptrdiff_t colon = str_rfind(where, ':');
	if (colon <= 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"write socketmap:inet:host:port:map");
	return find_host(s, str_sub(where, 0, (size_t)colon),
		str_from_at(where, (size_t)colon + 1), tables_arena(t->owner),
		f);
}

static void server_close(struct table *t)
{
	struct server *s = t->state;

	for (size_t i = 0; i < s->n; i++)
		close(s->pool[i]);
	pthread_mutex_destroy(&s->lock);
	t->state = NULL;
}

/* ---- talking ---- */

static bool is_quiet(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

static int take(struct server *s, struct fault *f)
{
	for (;;) {
		int fd = -1;

		pthread_mutex_lock(&s->lock);
		if (s->n > 0)
			fd = s->pool[--s->n];
		pthread_mutex_unlock(&s->lock);
		if (fd < 0)
			return str_present(s->path)
				       ? sock_unix_connect(s->path.ptr, f)
				       : sock_connect(
						 &s->addr, NULL, TIMEOUT_MS, f);
		if (is_quiet(fd))
			return fd;
		close(fd);
	}
}

static void give(struct server *s, int fd)
{
	pthread_mutex_lock(&s->lock);
	bool keep = s->n < POOL_MAX;
	if (keep)
		s->pool[s->n++] = fd;
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		close(fd);
}

static bool send_all(int fd, struct str data)
{
	while (data.len > 0) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (waiting_poll(&p, 1, TIMEOUT_MS) <= 0)
				return false;
			continue;
		}
		if (n <= 0)
			return false;
		data = str_from_at(data, (size_t)n);
	}
	return true;
}

/* Reads until done(in) says so. */
static bool read_until(
	int fd, struct buf *in, bool (*done)(struct str in, bool *bad_r))
{
	int64_t deadline = clock_mono_ms() + TIMEOUT_MS;
	bool bad = false;

	while (!done(buf_str(in), &bad)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono_ms();
		char bytes[4096];

		if (bad || left <= 0 || in->len > REPLY_MAX ||
			waiting_poll(&p, 1, (int)left) <= 0)
			return false;
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return false;
		buf_put_mem(in, bytes, (size_t)n);
	}
	return !bad;
}

static bool ask(struct server *s, struct str question, struct buf *answer,
	bool (*done)(struct str in, bool *bad_r), struct str name,
	struct fault *f)
{
	int fd = take(s, f);

	if (fd < 0)
		return false;
	if (send_all(fd, question) && read_until(fd, answer, done)) {
		give(s, fd);
		return true;
	}
	close(fd);
	return fault_set(f, FAULT_TEMP, 451, 3, 0, "%.*s: no usable answer",
		STR_ARG(name));
}

/* ---- tcp ---- */

static void put_escaped(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= 32 || c == '%' || c >= 127)
			buf_putf(b, "%%%02X", c);
		else
			buf_putc(b, (char)c);
	}
}

static bool line_done(struct str in, bool *bad_r UNUSED)
{
	return str_find(in, '\n') >= 0;
}

static enum table_result tcp_lookup(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	struct buf question CLEANUP(buf_fini);
	struct buf answer CLEANUP(buf_fini);

	buf_init(&question, key.len * 3 + 64);
	buf_init(&answer, REPLY_MAX * 2);
	buf_puts(&question, "get ");
	put_escaped(&question, key);
	buf_putc(&question, '\n');
	if (!ask(t->state, buf_str(&question), &answer, line_done, t->spec, f))
		return TABLE_ERROR;
	struct str line = buf_str(&answer);
	line = str_trim_right(str_cut(&line, '\n'));
	struct str text = str_from_at(line, 4);
	if (str_starts(line, "200 ")) {
		*value_r = uri_unescape(text, a);
		return TABLE_FOUND;
	}
	if (str_starts(line, "500"))
		return TABLE_NONE;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "%.*s: %.*s", STR_ARG(t->spec),
		STR_ARG(line));
	return TABLE_ERROR;
}

/* ---- socketmap: netstrings ---- */

/* "5:hello," at the front; false while it is not all there. */
static bool netstring(struct str in, struct str *text_r, bool *bad_r)
{
	ptrdiff_t colon = str_find(in, ':');
	uint64_t len;

	if (colon < 0) {
		*bad_r = in.len > 8;
		return false;
	}
	if (!str_u64(str_sub(in, 0, (size_t)colon), &len) || len > REPLY_MAX) {
		*bad_r = true;
		return false;
	}
	struct str rest = str_from_at(in, (size_t)colon + 1);
	if (rest.len <= len)
		return false;
	*bad_r = rest.ptr[len] != ',';
	*text_r = str_sub(rest, 0, (size_t)len);
	return !*bad_r;
}

static bool netstring_done(struct str in, bool *bad_r)
{
	struct str text;

	return netstring(in, &text, bad_r);
}

static enum table_result socketmap_lookup(struct table *t, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	const struct server *s = t->state;
	struct buf question CLEANUP(buf_fini);
	struct buf answer CLEANUP(buf_fini);
	struct str text;
	bool bad;

	buf_init(&question, key.len + s->map.len + 64);
	buf_init(&answer, REPLY_MAX * 2);
	buf_putf(&question, "%zu:%.*s ", s->map.len + 1 + key.len,
		STR_ARG(s->map));
	buf_put(&question, key);
	buf_putc(&question, ',');
	if (!ask(t->state, buf_str(&question), &answer, netstring_done, t->spec,
		    f))
		return TABLE_ERROR;
	netstring(buf_str(&answer), &text, &bad);
	if (str_starts(text, "OK ")) {
		*value_r = arena_str(a, str_from_at(text, 3));
		return TABLE_FOUND;
	}
	if (str_starts(text, "NOTFOUND"))
		return TABLE_NONE;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "%.*s: %.*s", STR_ARG(t->spec),
		STR_ARG(text));
	return TABLE_ERROR;
}

const struct table_engine table_tcp = {tcp_open, tcp_lookup, server_close};
const struct table_engine table_socketmap = {
	socketmap_open, socketmap_lookup, server_close};
