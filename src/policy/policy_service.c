/* SPDX-License-Identifier: ISC */
#include "policy/policy_service.h"

#include <pthread.h>
#include <time.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "net/endpoint.h"
#include "sys/clock.h"

enum { POOL_MAX = 32, LINE_MAX_BYTES = 4096, LINES_MAX = 100 };

struct link {
	struct stream *stream;
	int64_t born_ms;
	int64_t idle_ms; /* since when it waits */
	int64_t asked;
};

struct policy_service {
	const struct conf *c;
	struct endpoint endpoint;
	bool usable;
	int64_t timeout_ms;
	int64_t tries;
	int64_t retry_ms;
	struct str default_action;
	struct str context;
	pthread_mutex_t lock; /* pool, n */
	struct link pool[POOL_MAX];
	size_t n;
};

/* ---- making one ---- */

static bool set(struct policy_service *s, struct str name, struct str value)
{
	int64_t n;

	if (str_eqc(name, "default_action"))
		s->default_action = arena_str(s->c->a, value);
	else if (str_eqc(name, "policy_context"))
		s->context = arena_str(s->c->a, value);
	else if (str_eqc(name, "timeout") && value_time(value, 's', &n))
		s->timeout_ms = n * 1000;
	else if (str_eqc(name, "retry_delay") && value_time(value, 's', &n))
		s->retry_ms = n * 1000;
	else if (str_eqc(name, "try_limit") && value_int(value, &n) && n > 0)
		s->tries = n;
	else
		return false;
	return true;
}

struct policy_service *policy_service_new(const struct conf *c,
	const char *param, struct str spec, struct problems *problems)
{
	struct policy_service *s = arena_make(c->a, struct policy_service);
	struct str rest = list_unbrace(spec), item, name, value;
	struct fault f;

	s->c = c;
	s->timeout_ms = c->smtpd_policy_service_timeout * 1000;
	s->retry_ms = c->smtpd_policy_service_retry_delay * 1000;
	s->tries = c->smtpd_policy_service_try_limit;
	s->default_action = c->smtpd_policy_service_default_action;
	s->context = c->smtpd_policy_service_policy_context;
	pthread_mutex_init(&s->lock, NULL);
	struct str where = list_item(&rest);
	s->usable =
		str_present(where) && endpoint_parse(where, c->queue_directory,
					      c->a, &s->endpoint, &f);
	if (!s->usable)
		conf_problem(c, problems, PROBLEM_ERROR, param,
			arena_printf(c->a, "%s: check_policy_service: %s",
				param, str_present(where) ? f.text : "where?"),
			STR("write inet:host:port or unix:path"));
	while (str_present(item = list_item(&rest)))
		if (assignment_parse(list_unbrace(item), &name, &value) !=
				ASSIGNMENT_OK ||
			!set(s, name, value))
			conf_problem(c, problems, PROBLEM_ERROR, param,
				arena_printf(c->a,
					"%s: check_policy_service: %.*s?",
					param, STR_ARG(item)),
				STR("write timeout=, default_action=, "
				    "try_limit=, retry_delay= or "
				    "policy_context="));
	return s;
}

/* ---- connections ---- */

static bool is_good(struct policy_service *s, struct link *l)
{
	int64_t now = clock_mono_ms();
	const struct conf *c = s->c;

	/* One that says something unasked is closed or mad. */
	return now - l->idle_ms < c->smtpd_policy_service_max_idle * 1000 &&
	       now - l->born_ms < c->smtpd_policy_service_max_ttl * 1000 &&
	       (c->smtpd_policy_service_request_limit == 0 ||
		       l->asked < c->smtpd_policy_service_request_limit) &&
	       !stream_readable(l->stream, 0) && !stream_failed(l->stream);
}

static bool take(struct policy_service *s, struct link *l, struct fault *f)
{
	for (;;) {
		*l = (struct link){0};
		pthread_mutex_lock(&s->lock);
		if (s->n > 0)
			*l = s->pool[--s->n];
		pthread_mutex_unlock(&s->lock);
		if (l->stream == NULL)
			break;
		if (is_good(s, l))
			return true;
		stream_free(l->stream);
	}
	l->born_ms = clock_mono_ms();
	l->stream = endpoint_connect(
		&s->endpoint, LINE_MAX_BYTES * 2, s->timeout_ms, f);
	return l->stream != NULL;
}

static void give(struct policy_service *s, struct link *l)
{
	l->idle_ms = clock_mono_ms();
	l->asked++;
	stream_trim(l->stream);
	pthread_mutex_lock(&s->lock);
	bool keep = s->n < POOL_MAX;
	if (keep)
		s->pool[s->n++] = *l;
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		stream_free(l->stream);
}

/* ---- asking ---- */

/* "action=..." among lines up to an empty one. */
static bool read_action(
	struct stream *st, struct arena *a, struct str *action_r)
{
	*action_r = STR_NONE;
	for (int i = 0; i < LINES_MAX; i++) {
		struct str line;

		if (stream_line(st, LINE_MAX_BYTES, false, &line) != LINE_OK)
			return false;
		if (line.len == 0)
			return str_present(*action_r);
		if (str_starts(line, "action="))
			*action_r =
				arena_str(a, str_trim(str_from_at(line, 7)));
	}
	return false;
}

static bool ask_once(struct policy_service *s, struct str attributes,
	struct arena *a, struct str *action_r, struct fault *f)
{
	struct link l;

	if (!take(s, &l, f))
		return false;
	stream_deadline(l.stream, s->timeout_ms);
	stream_put(l.stream, attributes);
	stream_putf(l.stream, "policy_context=%.*s\n\n", STR_ARG(s->context));
	if (stream_flush(l.stream) && read_action(l.stream, a, action_r)) {
		give(s, &l);
		return true;
	}
	bool late = stream_timed_out(l.stream);
	stream_free(l.stream);
	return fault_set(f, FAULT_TEMP, 451, 3, 5, "%s",
		late ? "no answer in time" : "lost the connection");
}

struct str policy_service_ask(struct policy_service *s, struct str attributes,
	struct arena *a, const char **why_r)
{
	struct timespec wait = {s->retry_ms / 1000, 0};
	struct str action;
	struct fault f = {.text = "not configured"};

	*why_r = NULL;
	for (int64_t i = 0; i < s->tries && s->usable; i++) {
		if (i > 0)
			nanosleep(&wait, NULL);
		if (ask_once(s, attributes, a, &action, &f))
			return action;
	}
	*why_r = arena_printf(
		a, "policy service %.*s: %s", STR_ARG(s->endpoint.text), f.text)
			 .ptr;
	return s->default_action;
}
