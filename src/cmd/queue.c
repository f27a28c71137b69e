/* SPDX-License-Identifier: ISC */
/* postern queue list|show|flush|hold|release|delete */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/queue_client.h"
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

static int list(const struct conf *c, bool as_json)
{
	struct listing l = {.as_json = as_json};
	struct fault f;

	if (!ask_queue_each(c, list_one, &l, &f)) {
		fprintf(stderr, "postern queue: %s\n", f.text);
		return EX_UNAVAILABLE;
	}
	if (!as_json)
		printf(l.n == 0 ? "The queue is empty.\n"
				: "%zu in the queue.\n",
			l.n);
	return EX_OK;
}

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

static int act(
	const struct conf *c, enum queue_action action, const char *which)
{
	static const char *const done[] = {
		"flushed", "held", "released", "deleted"};
	unsigned long long n;
	struct fault f;

	if (!ask_queue_act(c, action, which, &n, &f)) {
		fprintf(stderr, "postern queue: %s\n", f.text);
		return f.class == FAULT_PERM ? EX_DATAERR : EX_UNAVAILABLE;
	}
	printf("%llu %s\n", n, done[action]);
	return n > 0 || strcmp(which, "ALL") == 0 ? EX_OK : EX_DATAERR;
}

int cmd_queue(struct cmd *c)
{
	static const char *const verbs[] = {
		"list", "show", "flush", "hold", "release", "delete"};
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	struct conf *conf = conf_load(c->dir, &problems);
	const char *verb = c->argc > 1 ? c->argv[1] : "list";
	const char *word = c->argc > 2 ? c->argv[2] : NULL;
	size_t i = 0;

	if (c->argc > 3)
		return cmd_usage(c, "unexpected \"%s\"", c->argv[3]);
	while (i < ARRAY_LEN(verbs) && strcmp(verb, verbs[i]) != 0)
		i++;
	if (i == ARRAY_LEN(verbs)) {
		const char *near =
			nearest_name(str_from(verb), verbs, ARRAY_LEN(verbs));
		return cmd_usage(c, "unknown \"%s\"%s%s", verb,
			near != NULL ? ": did you mean " : "",
			near != NULL ? near : "");
	}
	if (i == 0) {
		if (word != NULL && strcmp(word, "--json") != 0)
			return cmd_usage(c, "unexpected \"%s\"", word);
		return list(conf, word != NULL);
	}
	/* Only flushing everything is harmless enough to be the default. */
	if (word == NULL && i == 2)
		word = "ALL";
	if (word == NULL)
		return cmd_usage(c, "%s needs a queue id%s", verb,
			i == 1 ? "" : " or ALL");
	if (i > 1)
		return act(conf, (enum queue_action)(i - 2), word);
	struct ipc_client *queue = ipc_client_new(
		role_socket_path(conf, "queue", conf->a).ptr, true);
	return show(queue, word);
}
