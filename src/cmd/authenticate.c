/* SPDX-License-Identifier: ISC */
/*
 * postern authenticate: what SPF, DKIM and DMARC say of a message or of a
 * client, asked now, as smtpd asks it.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "codec/postfix/value.h"
#include "net/resolver.h"
#include "policy/authenticate.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { MESSAGE_MAX = 256 << 20 };

struct asked {
	const char *client, *helo, *from, *file;
	bool json;
};

/* Files have LF at the end of a line, the standards sign CRLF. */
static void put_crlf(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r'))
			buf_putc(out, '\r');
		buf_putc(out, text.ptr[i]);
	}
}

static bool read_message(const char *path, struct buf *out, struct fault *f)
{
	struct buf raw CLEANUP(buf_fini);
	bool ok;

	buf_init(&raw, MESSAGE_MAX);
	ok = strcmp(path, "-") == 0
		     ? file_read_fd(STDIN_FILENO, MESSAGE_MAX, &raw, f)
		     : file_read(path, MESSAGE_MAX, &raw, f);
	if (ok)
		put_crlf(buf_str(&raw), out);
	return ok;
}

/* ---- output ---- */

/* A domain's own words may be no UTF-8. */
static json_t *text_json(struct str s)
{
	if (!str_present(s))
		return json_null();
	json_t *j = json_stringn(s.ptr, s.len);
	return j != NULL ? j : json_string("?");
}

static json_t *spf_json(const struct spf_verdict *v)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:i}", "result",
		spf_result_name(v->result), "domain", text_json(v->domain),
		"mechanism", text_json(v->mechanism), "why", text_json(v->why),
		"explanation", text_json(v->explanation), "lookups",
		(int)v->lookups);
}

static json_t *dkim_json(const struct dkim_verdict *v)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:b}", "result",
		dkim_result_name(v->result), "domain",
		text_json(v->signature.domain), "selector",
		text_json(v->signature.selector), "why",
		text_json(str_from(v->why)), "testing", v->testing);
}

static json_t *dmarc_json(const struct dmarc_verdict *v)
{
	return json_pack("{s:s, s:o, s:o, s:s, s:s, s:o}", "result",
		dmarc_result_name(v->result), "from", text_json(v->from),
		"policy_domain", text_json(v->policy_domain), "policy",
		dmarc_policy_name(v->policy), "disposition",
		dmarc_policy_name(v->disposition), "why",
		text_json(str_from(v->why)));
}

static json_t *arc_json(const struct arc_verdict *v)
{
	return json_pack("{s:s, s:i, s:o, s:o}", "result",
		arc_result_name(v->result), "instances", (int)v->chain.n,
		"domain", text_json(v->domain), "why",
		text_json(str_from(v->why)));
}

static void print_json(const struct authentication *v)
{
	json_t *j = json_object();

	if ((v->what & AUTHENTICATE_SPF) != 0) {
		json_object_set_new(j, "helo", spf_json(&v->helo));
		json_object_set_new(j, "spf", spf_json(&v->mail));
	}
	if ((v->what & AUTHENTICATE_DKIM) != 0) {
		json_t *list = json_array();

		for (size_t i = 0; i < v->n_dkim; i++)
			json_array_append_new(list, dkim_json(&v->dkim[i]));
		json_object_set_new(j, "dkim", list);
		json_object_set_new(j, "arc", arc_json(&v->arc));
		json_object_set_new(j, "dmarc", dmarc_json(&v->dmarc));
	}
	json_dumpf(j, stdout, JSON_COMPACT);
	printf("\n");
	json_decref(j);
}

static void print_fields(const struct authentication *v,
	const struct authenticate_query *q, struct str authserv_id)
{
	struct buf b CLEANUP(buf_fini);
	struct str rest;

	buf_init(&b, 1 << 20);
	authentication_put_fields(v, q, authserv_id, true, &b);
	rest = buf_str(&b);
	while (str_present(rest) && rest.len > 0) {
		struct str line = str_cut(&rest, '\n');

		printf("%.*s\n", STR_ARG(str_trim_right(line)));
	}
	if (str_present(v->mail.explanation))
		printf("explanation of %.*s: %.*s\n", STR_ARG(v->mail.domain),
			STR_ARG(v->mail.explanation));
}

/* ---- the command ---- */

static int act(struct cmd *c, const struct asked *asked)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct problems problems = {.a = a};
	struct conf *conf = conf_load(c->dir, &problems);
	struct buf message CLEANUP(buf_fini);
	unsigned char addr[16];
	struct fault f;
	struct authenticate_query q = {.client = str_from(asked->client),
		.helo = str_from(asked->helo),
		.sender = str_from(asked->from),
		.receiver = conf->myhostname,
		.now = clock_unix(),
		.timeout_ms = conf->smtpd_authentication_timeout * 1000};

	buf_init(&message, MESSAGE_MAX);
	if (asked->client != NULL) {
		if (!address_parse(q.client, addr, &q.addr_len))
			return cmd_usage(
				c, "\"%s\" is no address", asked->client);
		q.addr = addr;
		q.what |= AUTHENTICATE_SPF;
	}
	if (asked->file != NULL) {
		if (!read_message(asked->file, &message, &f)) {
			fprintf(stderr, "postern authenticate: %s\n", f.text);
			return EX_NOINPUT;
		}
		q.message = buf_str(&message);
		q.what |= AUTHENTICATE_DKIM | AUTHENTICATE_DMARC |
			  AUTHENTICATE_ARC;
	}
	if (q.what == 0)
		return cmd_usage(c, "a message or --client is missing");
	q.resolver = cmd_resolver(conf, &f);
	if (q.resolver == NULL) {
		fprintf(stderr, "postern authenticate: %s\n", f.text);
		return EX_CONFIG;
	}
	struct authentication v = authenticate(&q, a);
	if (asked->json)
		print_json(&v);
	else
		print_fields(&v, &q, conf->authserv_id);
	resolver_free(q.resolver);
	return EX_OK;
}

int cmd_authenticate(struct cmd *c)
{
	static const struct option_def defs[] = {{"--client", true},
		{"--helo", true}, {"--from", true}, {"--json", false}};
	struct asked asked = {.helo = "", .from = ""};
	const char *value;
	int at = 1, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == 0)
			asked.client = value;
		else if (i == 1)
			asked.helo = value;
		else if (i == 2)
			asked.from = value;
		else if (i == 3)
			asked.json = true;
		else if (asked.file == NULL)
			asked.file = value;
		else
			return cmd_usage(c, "unexpected \"%s\"", value);
	}
	return act(c, &asked);
}
