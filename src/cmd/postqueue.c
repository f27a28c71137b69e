/* SPDX-License-Identifier: ISC */
/* mailq(1), postqueue(1), postsuper(1): the queue as Postfix shows it. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cmd/names.h"
#include "cmd/queue_client.h"

/* ---- listing ---- */

struct listing {
	size_t n;
	long long bytes;
};

static void put_safe(const char *s)
{
	for (; *s != '\0'; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void put_recipients(const json_t *m)
{
	const char *last = "";
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		const char *reason = ask_queue_text(r, "reason");

		if (strcmp(ask_queue_text(r, "state"), "done") == 0)
			continue;
		if (*reason != '\0' && strcmp(reason, last) != 0) {
			printf("%8s(", "");
			put_safe(reason);
			printf(")\n");
		}
		last = reason;
		printf("%41s", "");
		put_safe(ask_queue_text(r, "address"));
		printf("\n");
	}
}

static void list_one(const json_t *m, void *ctx)
{
	struct listing *l = ctx;
	const char *state = ask_queue_text(m, "state");
	const char *sender = ask_queue_text(m, "sender");
	time_t t = (time_t)json_integer_value(json_object_get(m, "arrival"));
	long long size = json_integer_value(json_object_get(m, "size"));
	char mark = strcmp(state, "active") == 0 ? '*'
		    : strcmp(state, "hold") == 0 ? '!'
						 : ' ';
	struct tm tm;
	char date[40];

	if (l->n++ == 0)
		printf("-Queue ID-  --Size-- ----Arrival Time---- "
		       "-Sender/Recipient-------\n");
	else
		printf("\n");
	l->bytes += size;
	localtime_r(&t, &tm);
	strftime(date, sizeof(date), "%a %b %e %H:%M:%S", &tm);
	printf("%s%c %8lld %s  ", ask_queue_text(m, "id"), mark, size, date);
	put_safe(*sender != '\0' ? sender : "MAILER-DAEMON");
	printf("\n");
	put_recipients(m);
}

static int list(const struct conf *c)
{
	struct queue_request all = {0};
	struct listing l = {0};
	struct fault f;

	if (!ask_queue_each(c, &all, list_one, &l, &f)) {
		fprintf(stderr, "postqueue: %s\n", f.text);
		return EX_UNAVAILABLE;
	}
	if (l.n == 0)
		printf("Mail queue is empty\n");
	else
		printf("\n-- %lld Kbytes in %zu Request%s.\n", l.bytes / 1024,
			l.n, l.n == 1 ? "" : "s");
	return EX_OK;
}

/* One object a message: postqueue -j */
static void json_one(const json_t *m, void *ctx UNUSED)
{
	json_t *rcpts = json_array();
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		const char *reason = ask_queue_text(r, "reason");
		json_t *one = json_pack(
			"{s:s}", "address", ask_queue_text(r, "address"));

		if (strcmp(ask_queue_text(r, "state"), "done") == 0) {
			json_decref(one);
			continue;
		}
		if (*reason != '\0')
			json_object_set_new(
				one, "delay_reason", json_string(reason));
		json_array_append_new(rcpts, one);
	}
	json_t *out = json_pack("{s:s,s:s,s:O,s:O,s:b,s:s,s:o}", "queue_name",
		ask_queue_text(m, "state"), "queue_id", ask_queue_text(m, "id"),
		"arrival_time", json_object_get(m, "arrival"), "message_size",
		json_object_get(m, "size"), "forced_expire", 0, "sender",
		ask_queue_text(m, "sender"), "recipients", rcpts);
	json_dumpf(out, stdout, 0);
	printf("\n");
	json_decref(out);
}

static int list_json(const struct conf *c)
{
	struct queue_request all = {0};
	struct fault f;

	if (ask_queue_each(c, &all, json_one, NULL, &f))
		return EX_OK;
	fprintf(stderr, "postqueue: %s\n", f.text);
	return EX_UNAVAILABLE;
}

int name_mailq(int argc UNUSED, char **argv UNUSED)
{
	return list(name_conf(NULL));
}

/* ---- acting ---- */

static int act(const struct conf *c, enum queue_action action,
	const char *which, const char *done)
{
	struct queue_request r = {.action = action};
	struct queue_done d;
	struct fault f;

	if (!ask_queue_id(which, &r.id, &f) || !ask_queue_act(c, &r, &d, &f)) {
		fprintf(stderr, "postqueue: %s\n", f.text);
		return f.class == FAULT_PERM ? EX_DATAERR : EX_UNAVAILABLE;
	}
	if (done != NULL && d.n > 0)
		fprintf(stderr, "postsuper: %s: %llu message%s\n", done, d.n,
			d.n == 1 ? "" : "s");
	return EX_OK;
}

static int flush_site(const struct conf *c, const char *site)
{
	unsigned long long n;
	struct fault f;

	if (ask_queue_flush_site(c, site, &n, &f))
		return EX_OK;
	fprintf(stderr, "postqueue: %s\n", f.text);
	return EX_UNAVAILABLE;
}

int name_postqueue(int argc, char **argv)
{
	static const char usage[] = "-p | -j | -f | -i queue_id | -s site";
	const char *dir = NULL, *id = NULL;
	char what = 0;
	int ch;

	while ((ch = getopt(argc, argv, "c:fi:jps:v")) != -1) {
		if (ch == 'c')
			dir = optarg;
		else if (ch == '?')
			return name_usage("postqueue", usage);
		else if (ch != 'v')
			what = (char)ch;
		if (ch == 'i' || ch == 's')
			id = optarg;
	}
	const struct conf *c = name_conf(dir);
	switch (what) {
	case 'p':
		return list(c);
	case 'j':
		return list_json(c);
	case 'f':
		return act(c, QUEUE_FLUSH, "ALL", NULL);
	case 'i':
		return act(c, QUEUE_FLUSH, id, NULL);
	case 's':
		return flush_site(c, id);
	default:
		return name_usage("postqueue", usage);
	}
}

/* "-": ids from stdin, one a line */
static int act_each(const struct conf *c, enum queue_action action,
	const char *which, const char *done)
{
	char id[128];
	int rc = EX_OK;

	if (strcmp(which, "-") != 0)
		return act(c, action, which, done);
	while (fgets(id, sizeof(id), stdin) != NULL) {
		id[strcspn(id, " \t\r\n")] = '\0';
		int one = id[0] != '\0' ? act(c, action, id, done) : EX_OK;
		rc = one != EX_OK ? one : rc;
	}
	return rc;
}

int name_postsuper(int argc, char **argv)
{
	static const char usage[] =
		"[-c dir] -d|-e|-f|-h|-H|-r queue_id|ALL|- ... | -p | -s";
	const struct conf *c = NULL;
	const char *dir = NULL;
	int ch, rc = EX_OK, n = 0;

	while ((ch = getopt(argc, argv, "c:d:e:f:h:H:r:psSv")) != -1) {
		int one = EX_OK;

		if (ch == 'c')
			dir = optarg;
		if (c == NULL && ch != 'c')
			c = name_conf(dir);
		n += ch != 'c' && ch != 'v';
		switch (ch) {
		case 'd':
			one = act_each(c, QUEUE_DELETE, optarg, "Deleted");
			break;
		case 'h':
			one = act_each(c, QUEUE_HOLD, optarg, "Placed on hold");
			break;
		case 'H':
			one = act_each(
				c, QUEUE_RELEASE, optarg, "Released from hold");
			break;
		case 'r':
			one = act_each(c, QUEUE_REQUEUE, optarg, "Requeued");
			break;
		case 'e':
		case 'f':
			one = act_each(c, QUEUE_EXPIRE, optarg, "Expired");
			break;
		}
		rc = one != EX_OK ? one : rc;
	}
	return n > 0 ? rc : name_usage("postsuper", usage);
}
