/* SPDX-License-Identifier: ISC */
/* postern queue list|show|sites|flush|hold|release|delete|expire|requeue|
 * redirect|reroute */
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
	bool as_json;
	size_t n;
};

static void list_one(const json_t *m, void *ctx)
{
	struct listing *l = ctx;

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
	const struct conf *c, const struct queue_request *r, bool as_json)
{
	struct listing l = {.as_json = as_json};
	struct fault f;

	if (!ask_queue_each(c, r, list_one, &l, &f))
		return no_answer(&f);
	if (!as_json && l.n == 0)
		printf(queue_select_any(r) ? "Nothing in the queue is "
					     "like that.\n"
					   : "The queue is empty.\n");
	else if (!as_json)
		printf("%zu %s.\n", l.n,
			r->limit == l.n ? "shown" : "in the queue");
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

	return ask_queue_sites(c, print_site, &as_json, &f) ? EX_OK
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

static const char *const done[] = {"flushed", "held", "released", "deleted",
	"given up", "requeued", "redirected", "rerouted"};

static int act(const struct conf *c, const struct queue_request *r, bool one)
{
	struct queue_done d;
	struct fault f;

	if (!ask_queue_act(c, r, &d, &f))
		return no_answer(&f);
	printf("%llu %s\n", d.n, done[r->action]);
	if (d.busy > 0)
		printf("%llu being delivered right now, left as they are\n",
			d.busy);
	return d.n > 0 || !one ? EX_OK : EX_DATAERR;
}

/* ---- the command line ---- */

enum verb {
	VERB_LIST,
	VERB_SHOW,
	VERB_SITES,
	VERB_FLUSH, /* and on: enum queue_action */
};
static const char *const verbs[] = {"list", "show", "sites", "flush", "hold",
	"release", "delete", "expire", "requeue", "redirect", "reroute"};

struct asked {
	enum verb verb;
	struct queue_request r;
	bool as_json;
	const char *word; /* an id or ALL */
};

/* What redirect and reroute need; take_option keeps it from the others. */
static int check_to(struct cmd *c, const struct asked *q)
{
	struct str to = q->r.to;

	if (q->r.action == QUEUE_REDIRECT && str_find(to, '@') < 1)
		return cmd_usage(c, "redirect needs --to ADDRESS");
	if (q->r.action == QUEUE_REROUTE && str_find(to, ':') < 1)
		return cmd_usage(c, "reroute needs --via TRANSPORT:NEXTHOP");
	return EX_OK;
}

static int run_action(const struct conf *conf, struct cmd *c, struct asked *q)
{
	bool selected = queue_select_any(&q->r);
	struct fault f;

	q->r.action = (enum queue_action)(q->verb - VERB_FLUSH);
	int rc = check_to(c, q);
	if (rc != EX_OK)
		return rc;
	if (q->as_json || q->r.limit > 0)
		return cmd_usage(c, "--json and --limit are for lists");
	/* Only flushing everything is harmless enough to be the default. */
	if (q->word == NULL && !selected && q->r.action == QUEUE_FLUSH)
		q->word = "ALL";
	if (q->word == NULL && !selected)
		return cmd_usage(c, "%s needs a queue id, ALL or a selection",
			verbs[q->verb]);
	if (q->word != NULL && !ask_queue_id(q->word, &q->r.id, &f))
		return no_answer(&f);
	return act(conf, &q->r, q->r.id != 0);
}

static int run(const struct conf *conf, struct cmd *c, struct asked *q)
{
	bool selected = queue_select_any(&q->r);

	if ((selected && q->word != NULL) ||
		(selected && (q->verb == VERB_SHOW || q->verb == VERB_SITES)))
		return cmd_usage(c, "a queue id or a selection, not both");
	if ((q->verb == VERB_LIST || q->verb == VERB_SITES) && q->word != NULL)
		return cmd_usage(c, "unexpected \"%s\"", q->word);
	if (q->verb >= VERB_FLUSH)
		return run_action(conf, c, q);
	if (q->verb == VERB_LIST)
		return list(conf, &q->r, q->as_json);
	if (q->verb == VERB_SITES)
		return sites(conf, q->as_json);
	if (q->as_json)
		return cmd_usage(c, "--json is for list and sites");
	if (q->word == NULL)
		return cmd_usage(c, "show needs a queue id");
	struct ipc_client *queue = ipc_client_new(
		role_socket_path(conf, "queue", conf->a).ptr, true);
	return show(queue, q->word);
}

/* "--to" and "--via", and what selects */
static bool take_option(struct asked *q, const char *name, const char *value)
{
	if (strcmp(name, "--to") == 0 || strcmp(name, "--via") == 0) {
		bool via = strcmp(name, "--via") == 0;

		if (strcmp(verbs[q->verb], via ? "reroute" : "redirect") != 0)
			return false;
		q->r.to = str_from(value);
		return true;
	}
	return queue_select_option(&q->r, name, value);
}

int cmd_queue(struct cmd *c)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct conf *conf = conf_load(c->dir, &problems);
	const char *verb = c->argc > 1 ? c->argv[1] : "list";
	struct asked q = {0};
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
	q.verb = (enum verb)v;
	for (int i = 2; i < c->argc; i++) {
		const char *arg = c->argv[i];

		if (strcmp(arg, "--json") == 0)
			q.as_json = true;
		else if (arg[0] == '-' && i + 1 < c->argc &&
			 take_option(&q, arg, c->argv[i + 1]))
			i++;
		else if (arg[0] != '-' && q.word == NULL)
			q.word = arg;
		else
			return cmd_usage(c, "unexpected \"%s\"", arg);
	}
	return run(conf, c, &q);
}
