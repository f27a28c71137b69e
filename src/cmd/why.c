/* SPDX-License-Identifier: ISC */
/*
 * postern why: what was decided about a message, an address or a client, from
 * the first byte to the last reply.  Reads the trail (sys/trail.h) twice: who
 * is meant, then all that was said about them.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/map.h"
#include "base/must.h"
#include "cmd/cmd.h"
#include "cmd/queue_client.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/trail.h"

enum { STORIES = 50, STORIES_MAX = 10000, CHAIN_MAX = 4 };

struct line {
	struct str time; /* of the JSON text */
	json_t *j;
	size_t n; /* order of reading: settles equal times */
	struct line *next;
};

/* All about one message, or one session without any. */
struct story {
	struct str id;
	bool is_session;
};

struct why {
	struct arena *a;
	const struct conf *c;
	struct str query;
	struct strs files;
	struct map *stories; /* id to struct story */
	struct map *sessions; /* session to session: those of the stories */
	struct story **v;
	size_t n, cap, limit;
	struct line *lines;
	size_t n_lines;
};

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

/* ---- who is meant ---- */

static struct str bare(struct str s)
{
	return str_starts(s, "<") && str_ends(s, ">") ? str_sub(s, 1, s.len - 2)
						      : s;
}

static bool is_meant(const struct why *w, const json_t *j)
{
	static const char *const keys[] = {"queue_id", "report_id", "session",
		"message_id", "from", "to", "orig_to", "login", "client",
		"client_name", "helo"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str value = str_from(text_of(j, keys[i]));

		if (value.len > 0 && str_ieq(bare(value), w->query))
			return true;
	}
	return false;
}

static void add_story(struct why *w, const char *id, bool is_session)
{
	struct story *s = map_get(w->stories, str_from(id));

	if (s != NULL || w->n == STORIES_MAX)
		return;
	if (w->n == w->cap) {
		w->cap = w->cap > 0 ? w->cap * 2 : 64;
		w->v = must_realloc(w->v, w->cap * sizeof(struct story *));
	}
	s = arena_make(w->a, struct story);
	*s = (struct story){
		.id = arena_str(w->a, str_from(id)), .is_session = is_session};
	w->v[w->n++] = s;
	map_set(w->stories, s->id, s);
}

typedef void line_f(struct why *w, const json_t *j);

/* The value of a member that is an id, read without parsing the line. */
static struct str raw_id(struct str line, struct str member)
{
	ptrdiff_t at = str_isearch(line, member);

	if (at < 0)
		return STR("");
	struct str rest = str_from_at(line, (size_t)at + member.len);
	return str_cut(&rest, '"');
}

/* Most lines are about others, and parsing them costs. */
static bool may_matter(const struct why *w, struct str line, bool by_id)
{
	struct str id, session;

	if (!by_id)
		return str_isearch(line, w->query) >= 0;
	id = raw_id(line, STR("\"queue_id\":\""));
	session = raw_id(line, STR("\"session\":\""));
	return map_get(w->stories, id) != NULL ||
	       map_get(w->stories, session) != NULL ||
	       map_get(w->sessions, session) != NULL;
}

static void each_line(struct why *w, struct str text, line_f *fn, bool by_id)
{
	while (str_present(text) && text.len > 0) {
		struct str line = str_cut(&text, '\n');

		w->n_lines++;
		if (!may_matter(w, line, by_id))
			continue;
		json_t *j = json_loadb(line.ptr, line.len, 0, NULL);
		if (json_is_object(j))
			fn(w, j);
		json_decref(j);
	}
}

static void each_file(struct why *w, line_f *fn, bool by_id)
{
	w->n_lines = 0;
	for (size_t i = 0; i < w->files.n; i++) {
		struct file_map map CLEANUP(file_unmap) = {0};
		struct fault f;
		int fd CLEANUP(fd_close) =
			open(w->files.v[i].ptr, O_RDONLY | O_CLOEXEC);

		/* It may be swept away while we read. */
		if (fd >= 0 && file_map_fd(fd, &map, &f))
			each_line(w, map.bytes, fn, by_id);
	}
}

static void find(struct why *w, const json_t *j)
{
	const char *id = text_of(j, "queue_id");
	const char *session = text_of(j, "session");

	if (!is_meant(w, j))
		return;
	if (*id != '\0')
		add_story(w, id, false);
	else if (*session != '\0')
		add_story(w, session, true);
}

/* ---- what was said ---- */

static void keep(struct why *w, const json_t *j)
{
	struct line *l = arena_make(w->a, struct line);

	l->j = json_deep_copy(j);
	l->time = str_from(text_of(l->j, "time"));
	l->n = w->n_lines;
	l->next = w->lines;
	w->lines = l;
}

static bool has(const struct map *m, const char *id)
{
	return *id != '\0' && map_get(m, str_from(id)) != NULL;
}

/* The sessions that the messages came in by, and the reports about them. */
static void follow(struct why *w, const json_t *j)
{
	const char *id = text_of(j, "queue_id");
	const char *session = text_of(j, "session");
	const char *report = text_of(j, "report_id");

	if (!has(w->stories, id))
		return;
	if (*session != '\0')
		map_set(w->sessions, arena_str(w->a, str_from(session)), w);
	if (*report != '\0')
		add_story(w, report, false);
}

static void collect(struct why *w, const json_t *j)
{
	const char *id = text_of(j, "queue_id");
	const char *session = text_of(j, "session");

	if (has(w->stories, id) || has(w->stories, session) ||
		(*id == '\0' && has(w->sessions, session)))
		keep(w, j);
}

static int by_time(const void *a, const void *b)
{
	const struct line *const *x = a, *const *y = b;
	int c = str_cmp((*x)->time, (*y)->time);

	return c != 0 ? c : (*x)->n < (*y)->n ? -1 : (*x)->n > (*y)->n;
}

static struct line **sorted(struct why *w, size_t *n_r)
{
	size_t n = 0;

	for (struct line *l = w->lines; l != NULL; l = l->next)
		n++;
	struct line **v = arena_alloc(w->a, (n + 1) * sizeof(struct line *));
	n = 0;
	for (struct line *l = w->lines; l != NULL; l = l->next)
		v[n++] = l;
	qsort(v, n, sizeof(struct line *), by_time);
	*n_r = n;
	return v;
}

/* ---- out ---- */

static bool is_told(const char *key)
{
	static const char *const head[] = {"time", "service", "pid", "level",
		"event", "session", "queue_id"};

	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		if (strcmp(key, head[i]) == 0)
			return true;
	return false;
}

static void print_line(const struct line *l)
{
	const char *service = text_of(l->j, "service");
	const char *slash = strrchr(service, '/');
	const char *key;
	json_t *value;

	printf("  %.*s  %-8s %s", (int)l->time.len, l->time.ptr,
		slash != NULL ? slash + 1 : service, text_of(l->j, "event"));
	json_object_foreach(l->j, key, value)
	{
		if (is_told(key) || (json_is_string(value) &&
					    *json_string_value(value) == '\0'))
			continue;
		printf("  %s=", key);
		if (json_is_string(value))
			cmd_put_safe(json_string_value(value));
		else
			printf("%lld", (long long)json_integer_value(value));
	}
	printf("\n");
}

/* Does the line belong to the story: by its id, or as part of its session? */
static bool belongs(
	const struct story *s, const struct map *own, const json_t *j)
{
	const char *id = text_of(j, "queue_id");
	const char *session = text_of(j, "session");

	if (s->is_session)
		return str_eqc(s->id, session);
	return str_eqc(s->id, id) || (*id == '\0' && has(own, session));
}

static void print_story(const struct story *s, struct line **v, size_t n)
{
	struct map *own = map_new();

	for (size_t i = 0; i < n; i++)
		if (str_eqc(s->id, text_of(v[i]->j, "queue_id")) &&
			*text_of(v[i]->j, "session") != '\0')
			map_set(own, str_from(text_of(v[i]->j, "session")),
				own);
	printf("%s %.*s\n", s->is_session ? "session" : "message",
		STR_ARG(s->id));
	for (size_t i = 0; i < n; i++)
		if (belongs(s, own, v[i]->j))
			print_line(v[i]);
	map_free(own, NULL);
}

/* Where a message that is still here stands. */
static void print_now(const json_t *m, void *ctx)
{
	const struct why *w = ctx;
	const json_t *r;
	size_t i;

	if (!has(w->stories, text_of(m, "id")))
		return;
	printf("now: %s is in the queue, %s\n", text_of(m, "id"),
		text_of(m, "state"));
	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		printf("  ");
		cmd_put_safe(text_of(r, "address"));
		printf("  %s", text_of(r, "state"));
		if (*text_of(r, "reason") != '\0') {
			printf(": ");
			cmd_put_safe(text_of(r, "reason"));
		}
		printf("\n");
	}
}

/* A session that brought one of the messages is told with it. */
static void drop_told_sessions(struct why *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct story *s = w->v[i];

		if (s->is_session && map_get(w->sessions, s->id) != NULL)
			map_remove(w->stories, s->id);
		else
			w->v[n++] = s;
	}
	w->n = n;
}

static void drop_oldest(struct why *w)
{
	if (w->n <= w->limit)
		return;
	printf("%zu messages and sessions; the last %zu (--limit N for more):"
	       "\n",
		w->n, w->limit);
	for (size_t i = 0; i < w->n - w->limit; i++)
		map_remove(w->stories, w->v[i]->id);
	memmove(w->v, w->v + (w->n - w->limit),
		w->limit * sizeof(struct story *));
	w->n = w->limit;
}

static int tell(struct why *w, bool as_json)
{
	struct fault f;
	size_t n;

	for (size_t before = 0, i = 0; i < CHAIN_MAX && before != w->n; i++) {
		before = w->n;
		each_file(w, follow, true);
	}
	drop_told_sessions(w);
	if (!as_json)
		drop_oldest(w);
	each_file(w, collect, true);
	struct line **v = sorted(w, &n);
	for (size_t i = 0; as_json && i < n; i++) {
		json_dumpf(v[i]->j, stdout, JSON_COMPACT);
		printf("\n");
	}
	if (as_json)
		return EX_OK;
	for (size_t i = 0; i < w->n; i++)
		print_story(w->v[i], v, n);
	for (size_t i = 0; i < w->n; i++) {
		struct queue_request r = {0};

		/* Without a running queue there is no now. */
		if (!w->v[i]->is_session && id_parse(w->v[i]->id, &r.id) &&
			!ask_queue_each(w->c, &r, print_now, w, &f))
			break;
	}
	return EX_OK;
}

static int answer(struct why *w, bool as_json)
{
	struct str dir = arena_printf(
		w->a, "%.*s/trail", STR_ARG(w->c->queue_directory));
	struct fault f;

	if (!trail_files(dir.ptr, w->a, &w->files, &f)) {
		fprintf(stderr, "postern why: %s\n", f.text);
		return EX_NOINPUT;
	}
	w->stories = map_new();
	w->sessions = map_new();
	each_file(w, find, false);
	if (w->n == 0) {
		fprintf(stderr,
			"postern why: nothing is known about %.*s (kept: "
			"trail_lifetime, trail_size_limit)\n",
			STR_ARG(w->query));
		return EX_DATAERR;
	}
	return tell(w, as_json);
}

int cmd_why(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct why w = {.a = arena_new(SIZE_MAX), .limit = STORIES};
	const char *query = NULL;
	bool as_json = false;

	for (int i = 1; i < c->argc; i++) {
		uint64_t n;

		if (strcmp(c->argv[i], "--json") == 0) {
			as_json = true;
		} else if (strcmp(c->argv[i], "--limit") == 0 &&
			   i + 1 < c->argc &&
			   str_u64(str_from(c->argv[i + 1]), &n) && n > 0) {
			w.limit = n;
			i++;
		} else if (query == NULL && c->argv[i][0] != '-') {
			query = c->argv[i];
		} else {
			return cmd_usage(c, "unexpected \"%s\"", c->argv[i]);
		}
	}
	if (query == NULL)
		return cmd_usage(c, "about whom?");
	w.c = conf_load(c->dir, &problems);
	w.query = bare(str_from(query));
	return answer(&w, as_json);
}
