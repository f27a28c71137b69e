/* SPDX-License-Identifier: ISC */
/* postern queue list|show|sites|flush|hold|release|delete|expire */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/queue_client.h"
#include "cmd/queue_select.h"
#include "codec/postfix/value.h"
#include "ipc/messages.h"
#include "role/role.h"
#include "sys/file.h"

static void put_time(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[40];

	localtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s", text);
}

static void print_message(const json_t *m)
{
	const json_t *r;
	size_t i;

	printf("%s  %-8s  %8lld  ", ask_queue_text(m, "id"),
		ask_queue_text(m, "state"),
		(long long)json_integer_value(json_object_get(m, "size")));
	put_time(json_integer_value(json_object_get(m, "arrival")));
	printf("  <");
	cmd_put_safe(ask_queue_text(m, "sender"));
	printf(">\n");
	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		const json_t *next = json_object_get(r, "next_try");

		if (strcmp(ask_queue_text(r, "state"), "done") == 0)
			continue;
		printf("    ");
		cmd_put_safe(ask_queue_text(r, "address"));
		printf("  (%s", ask_queue_text(r, "state"));
		if (*ask_queue_text(r, "reason") != '\0') {
			printf(": ");
			cmd_put_safe(ask_queue_text(r, "reason"));
		}
		if (json_is_integer(next)) {
			printf("; next try ");
			put_time(json_integer_value(next));
		}
		printf(")\n");
	}
}

struct listing {
	const struct queue_select *select;
	bool as_json;
	size_t n;
};

static void list_one(const json_t *m, void *ctx)
{
	struct listing *l = ctx;

	if (!queue_select_has(l->select, m))
		return;
	l->n++;
	if (!l->as_json) {
		print_message(m);
		return;
	}
	json_dumpf(m, stdout, JSON_COMPACT);
	printf("\n");
}

static int no_answer(const struct fault *f)
{
	fprintf(stderr, "postern queue: %s\n", f->text);
	return f->class == FAULT_PERM ? EX_DATAERR : EX_UNAVAILABLE;
}

static int list(
	const struct conf *c, const struct queue_select *select, bool as_json)
{
	struct listing l = {.select = select, .as_json = as_json};
	struct fault f;

	if (!ask_queue_each(c, IPC_QUEUE_LIST, list_one, &l, &f))
		return no_answer(&f);
	if (!as_json && l.n == 0)
		printf(queue_select_any(select) ? "Nothing in the queue is "
						  "like that.\n"
						: "The queue is empty.\n");
	else if (!as_json)
		printf("%zu in the queue.\n", l.n);
	return EX_OK;
}

/* ---- sites ---- */

static void print_site(const json_t *site, void *ctx)
{
	const bool *as_json = ctx;
	const json_t *closed = json_object_get(site, "closed_until");

	if (*as_json) {
		json_dumpf(site, stdout, JSON_COMPACT);
		printf("\n");
		return;
	}
	cmd_put_safe(ask_queue_text(site, "site"));
	printf("\n    %lld waiting, %lld of at most %lld (%lld) at work, "
	       "%lld good, %lld bad",
		(long long)json_integer_value(json_object_get(site, "waiting")),
		(long long)json_integer_value(
			json_object_get(site, "in_flight")),
		(long long)json_integer_value(json_object_get(site, "window")),
		(long long)json_integer_value(json_object_get(site, "limit")),
		(long long)json_integer_value(json_object_get(site, "good")),
		(long long)json_integer_value(json_object_get(site, "bad")));
	if (json_is_integer(closed)) {
		printf("; left alone until ");
		put_time(json_integer_value(closed));
	}
	if (*ask_queue_text(site, "last") != '\0') {
		printf("\n    last: ");
		cmd_put_safe(ask_queue_text(site, "last"));
	}
	printf("\n");
}

static int sites(const struct conf *c, bool as_json)
{
	struct fault f;

	return ask_queue_each(c, IPC_QUEUE_SITES, print_site, &as_json, &f)
		       ? EX_OK
		       : no_answer(&f);
}

/* ---- one message, and changes ---- */

static int show(struct ipc_client *queue, const char *id)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct text text CLEANUP(text_fini) = {.fd = -1};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct fault f;

	ipc_frame_init(&reply);
	buf_init(&b, 4096);
	wire_put_str(&b, str_from(id));
	if (!ipc_call(queue, IPC_QUEUE_SHOW, buf_str(&b), -1, 30000, &reply,
		    &f)) {
		fprintf(stderr, "postern queue: %s\n", f.text);
		return EX_UNAVAILABLE;
	}
	struct wire w = {.rest = buf_str(&reply.payload)};
	if (!text_read(&w, &reply, &text) || !text_map(&text, &map, &f)) {
		fprintf(stderr, "postern queue: the text cannot be read\n");
		return EX_UNAVAILABLE;
	}
	fwrite(map.bytes.ptr, 1, map.bytes.len, stdout);
	return EX_OK;
}

static const char *const done[] = {
	"flushed", "held", "released", "deleted", "given up"};

static int act(
	const struct conf *c, enum queue_action action, const char *which)
{
	unsigned long long n;
	struct fault f;

	if (!ask_queue_act(c, action, which, &n, &f))
		return no_answer(&f);
	printf("%llu %s\n", n, done[action]);
	return n > 0 || strcmp(which, "ALL") == 0 ? EX_OK : EX_DATAERR;
}

struct picking {
	const struct queue_select *select;
	struct arena *a;
	struct strs ids;
};

static void pick_one(const json_t *m, void *ctx)
{
	struct picking *p = ctx;

	if (queue_select_has(p->select, m))
		strs_add(&p->ids, p->a,
			arena_str(p->a, str_from(ask_queue_text(m, "id"))));
}

/* All that are like that; who ends in between is not counted. */
static int act_on_selected(const struct conf *c, enum queue_action action,
	const struct queue_select *select)
{
	struct picking p = {.select = select, .a = c->a};
	unsigned long long n = 0, one;
	struct fault f;

	if (!ask_queue_each(c, IPC_QUEUE_LIST, pick_one, &p, &f))
		return no_answer(&f);
	for (size_t i = 0; i < p.ids.n; i++) {
		if (!ask_queue_act(c, action, p.ids.v[i].ptr, &one, &f))
			return no_answer(&f);
		n += one;
	}
	printf("%llu %s\n", n, done[action]);
	return EX_OK;
}

/* ---- the command line ---- */

enum verb {
	VERB_LIST,
	VERB_SHOW,
	VERB_SITES,
	VERB_FLUSH, /* and on: enum queue_action */
	VERB_HOLD,
	VERB_RELEASE,
	VERB_DELETE,
	VERB_EXPIRE
};
static const char *const verbs[] = {"list", "show", "sites", "flush", "hold",
	"release", "delete", "expire"};

static int run(const struct conf *conf, struct cmd *c, enum verb verb,
	const struct queue_select *select, bool as_json, const char *word)
{
	bool selected = queue_select_any(select);

	if ((selected && word != NULL) ||
		(selected && (verb == VERB_SHOW || verb == VERB_SITES)))
		return cmd_usage(c, "a queue id or a selection, not both");
	if (as_json && verb != VERB_LIST && verb != VERB_SITES)
		return cmd_usage(c, "--json is for list and sites");
	if ((verb == VERB_LIST || verb == VERB_SITES) && word != NULL)
		return cmd_usage(c, "unexpected \"%s\"", word);
	if (verb == VERB_LIST)
		return list(conf, select, as_json);
	if (verb == VERB_SITES)
		return sites(conf, as_json);
	/* Only flushing everything is harmless enough to be the default. */
	if (word == NULL && !selected && verb == VERB_FLUSH)
		word = "ALL";
	if (word == NULL && !selected)
		return cmd_usage(c, "%s needs a queue id%s", verbs[verb],
			verb == VERB_SHOW ? "" : ", ALL or a selection");
	if (verb != VERB_SHOW) {
		enum queue_action action =
			(enum queue_action)(verb - VERB_FLUSH);

		return selected ? act_on_selected(conf, action, select)
				: act(conf, action, word);
	}
	struct ipc_client *queue = ipc_client_new(
		role_socket_path(conf, "queue", conf->a).ptr, true);
	return show(queue, word);
}

int cmd_queue(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct conf *conf = conf_load(c->dir, &problems);
	const char *verb = c->argc > 1 ? c->argv[1] : "list";
	struct queue_select select = {0};
	const char *word = NULL;
	bool as_json = false;
	size_t v = 0;

	while (v < ARRAY_LEN(verbs) && strcmp(verb, verbs[v]) != 0)
		v++;
	if (v == ARRAY_LEN(verbs)) {
		const char *near =
			nearest_name(str_from(verb), verbs, ARRAY_LEN(verbs));
		return cmd_usage(c, "unknown \"%s\"%s%s", verb,
			near != NULL ? ": did you mean " : "",
			near != NULL ? near : "");
	}
	for (int i = 2; i < c->argc; i++) {
		const char *arg = c->argv[i];

		if (strcmp(arg, "--json") == 0)
			as_json = true;
		else if (arg[0] == '-' && i + 1 < c->argc &&
			 queue_select_option(&select, arg, c->argv[i + 1]))
			i++;
		else if (arg[0] != '-' && word == NULL)
			word = arg;
		else
			return cmd_usage(c, "unexpected \"%s\"", arg);
	}
	return run(conf, c, (enum verb)v, &select, as_json, word);
}
