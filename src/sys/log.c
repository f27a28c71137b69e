/* SPDX-License-Identifier: ISC */
#include "sys/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "sys/clock.h"
#include "sys/log_out.h"
#include "sys/trail.h"

enum {
	LINE_BYTES = 512,
	/* With its LF; pipe(7): so much does not mix with others' lines. */
	LINE_MAX_BYTES = 4096,
	VALUE_MAX_BYTES = 1536, /* as it is written */
	ESCAPED_MAX = 6, /* \u00ff */
	/* A key, quotes, the session, the end. */
	BESIDE_MAX_BYTES = 256,
};

static struct {
	char ident[64];
	bool json;
	bool to_syslog;
	int pid; /* 0: not open; else the system is not asked for each line */
	enum log_level max;
} state = {.ident = "postern", .max = LOG_LEVEL_INFO};

static _Thread_local const char *context;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static int facility_of(const char *name)
{
	static const struct {
		const char *name;
		int facility;
	} names[] = {{"mail", LOG_MAIL}, {"daemon", LOG_DAEMON},
		{"user", LOG_USER}, {"local0", LOG_LOCAL0},
		{"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},
		{"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
		{"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},
		{"local7", LOG_LOCAL7}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].facility;
	return LOG_MAIL;
}

static void know_pid(void)
{
	state.pid = (int)getpid();
}

void log_open(const char *ident, bool json, const char *syslog_facility)
{
	snprintf(state.ident, sizeof(state.ident), "%s", ident);
	state.json = json;
	know_pid();
	pthread_atfork(NULL, NULL, know_pid);
	state.to_syslog = syslog_facility != NULL;
	if (state.to_syslog)
		openlog(state.ident, LOG_PID | LOG_NDELAY,
			facility_of(syslog_facility));
}

void log_context(const char *session)
{
	context = session;
}

void log_gather(void)
{
	log_out_gather();
}

void log_level_max(enum log_level level)
{
	state.max = level;
}

struct log_kv log_s(const char *key, struct str s)
{
	return (struct log_kv){key, str_present(s) ? s : STR(""), 0};
}

struct log_kv log_z(const char *key, const char *s)
{
	return log_s(key, str_from(s != NULL ? s : ""));
}

struct log_kv log_n(const char *key, int64_t n)
{
	return (struct log_kv){key, STR_NONE, n};
}

struct log_kv log_fault(const struct fault *f)
{
	return log_z("reason", f->text);
}

/* Bytes in front that stand for themselves everywhere. */
static size_t plain_run(struct str s)
{
	size_t n = 0;

	while (n < s.len && (unsigned char)s.ptr[n] >= 0x20 &&
		(unsigned char)s.ptr[n] < 0x7f && s.ptr[n] != '"' &&
		s.ptr[n] != '\\')
		n++;
	return n;
}

/* Quoted where a blank or quote is in it; controls as \xNN, always. */
static void put_escaped(struct buf *b, struct str s, bool json)
{
	size_t end = b->len + VALUE_MAX_BYTES - ESCAPED_MAX;

	while (s.len > 0 && b->len < end) {
		uint32_t c;
		size_t plain = plain_run(str_sub(s, 0, end - b->len));

		buf_put(b, str_sub(s, 0, plain));
		s = str_from_at(s, plain);
		if (s.len == 0 || b->len == end)
			break;
		size_t n = utf8_decode(s, &c);

		if (n == 0) {
			buf_putf(b, json ? "\\u00%02x" : "\\x%02x",
				(unsigned char)s.ptr[0]);
			n = 1;
		} else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
			buf_putf(b, json ? "\\u%04x" : "\\x%02x", (unsigned)c);
		} else if (c == '"' || c == '\\') {
			buf_putc(b, '\\');
			buf_putc(b, (char)c);
		} else {
			buf_put(b, str_sub(s, 0, n));
		}
		s = str_from_at(s, n);
	}
}

static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] <= 0x20 || s.ptr[i] == '"' ||
			s.ptr[i] == '=' || (unsigned char)s.ptr[i] >= 0x7f ||
			s.ptr[i] == '\\')
			return false;
	return s.len > 0;
}

static void put_number(struct buf *b, int64_t n)
{
	if (n < 0)
		buf_putc(b, '-');
	buf_put_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void put_value(struct buf *b, const struct log_kv *kv, bool json)
{
	if (!str_present(kv->s)) {
		put_number(b, kv->n);
	} else if (!json && is_plain(kv->s)) {
		buf_put(b, str_sub(kv->s, 0, VALUE_MAX_BYTES));
	} else {
		buf_putc(b, '"');
		put_escaped(b, kv->s, json);
		buf_putc(b, '"');
	}
}

static void put_time(struct buf *b)
{
	/* Of the second that was written last: there are many in one. */
	static _Thread_local time_t second;
	static _Thread_local char text[40];
	int64_t us = clock_unix_us();
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	if (t != second || text[0] == '\0') {
		gmtime_r(&t, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm);
		second = t;
	}
	buf_puts(b, text);
	for (int64_t ms = us / 1000 % 1000, unit = 100; unit > 0; unit /= 10)
		buf_putc(b, (char)('0' + ms / unit % 10));
	buf_putc(b, 'Z');
}

static int own_pid(void)
{
	return state.pid != 0 ? state.pid : (int)getpid();
}

static void put_head_json(
	struct buf *b, enum log_level level, const char *event)
{
	buf_puts(b, "{\"time\":\"");
	put_time(b);
	buf_puts(b, "\",\"service\":\"");
	buf_puts(b, state.ident);
	buf_puts(b, "\",\"pid\":");
	put_number(b, own_pid());
	buf_puts(b, ",\"level\":\"");
	buf_puts(b, level_names[level]);
	buf_puts(b, "\",\"event\":\"");
	buf_puts(b, event);
	buf_putc(b, '"');
}

static void put_head_text(
	struct buf *b, enum log_level level, const char *event)
{
	if (!state.to_syslog) {
		put_time(b);
		buf_putc(b, ' ');
		buf_puts(b, state.ident);
		buf_putc(b, '[');
		put_number(b, own_pid());
		buf_puts(b, "]: ");
	}
	if (level <= LOG_LEVEL_WARN)
		buf_putf(b, "%s: ", level_names[level]);
	buf_puts(b, event);
}

static void put_pair(struct buf *b, const struct log_kv *kv, bool json)
{
	buf_puts(b, json ? ",\"" : " ");
	buf_puts(b, kv->key);
	buf_puts(b, json ? "\":" : "=");
	put_value(b, kv, json);
}

static void format(struct buf *b, bool json, enum log_level level,
	const char *event, const struct log_kv *kv)
{
	/* Whatever is in them, the last value fits. */
	size_t most =
		b->len + LINE_MAX_BYTES - VALUE_MAX_BYTES - BESIDE_MAX_BYTES;

	if (json)
		put_head_json(b, level, event);
	else
		put_head_text(b, level, event);
	for (; kv->key != NULL && b->len < most; kv++)
		put_pair(b, kv, json);
	if (context != NULL) {
		struct log_kv session = log_z("session", context);

		put_pair(b, &session, json);
	}
	if (json)
		buf_putc(b, '}');
}

void log_put(enum log_level level, const char *event, const struct log_kv *kv)
{
	static const int priorities[] = {
		LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	struct buf b CLEANUP(buf_fini); /* both lines: one allocation */
	int saved = errno;

	if (level > state.max)
		return;
	buf_init(&b, 2 * LINE_MAX_BYTES);
	buf_reserve(&b, 2 * LINE_BYTES);
	format(&b, state.json, level, event, kv);
	if (state.to_syslog) {
		syslog(priorities[level], "%.*s", STR_ARG(buf_str(&b)));
		buf_reset(&b);
	} else {
		buf_putc(&b, '\n');
	}
	size_t line = b.len;
	if (trail_is_open() && level <= LOG_LEVEL_INFO) {
		format(&b, true, level, event, kv);
		buf_putc(&b, '\n');
	}
	log_out_put(str_sub(buf_str(&b), 0, line),
		str_from_at(buf_str(&b), line), level <= LOG_LEVEL_WARN);
	errno = saved;
}
