/* SPDX-License-Identifier: ISC */
/*
 * postern dmarc show: what others report about mail in the name of a domain,
 * as a table.  Reads the mails that reports come in, or what is attached.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "codec/mail/dmarc_report.h"
#include "codec/mail/mime.h"
#include "sys/file.h"
#include "sys/gzip.h"

enum { FILE_MAX = 64 << 20, XML_MAX = 256 << 20 };

static void put_safe(struct str s, struct arena *a)
{
	cmd_put_safe(arena_cstr(a, str_present(s) ? s : STR("-")));
}

static const char *day_of(int64_t at, char text[20])
{
	time_t t = (time_t)at;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, 20, "%Y-%m-%d %H:%M", &tm);
	return text;
}

/* ---- output ---- */

static bool is_aligned(const struct dmarc_row *r)
{
	return str_ieqc(r->dkim, "pass") || str_ieqc(r->spf, "pass");
}

static void print_auths(const struct dmarc_row *r, struct arena *a)
{
	printf("  spf ");
	put_safe(r->spf_auth.domain, a);
	printf(" ");
	put_safe(r->spf_auth.result, a);
	for (size_t i = 0; i < r->n_dkims; i++) {
		printf(", dkim ");
		put_safe(r->dkims[i].domain, a);
		printf(" ");
		put_safe(r->dkims[i].result, a);
	}
}

static void print_row(const struct dmarc_row *r, struct arena *a)
{
	printf("  %8llu  ", (unsigned long long)r->count);
	put_safe(r->source_ip, a);
	printf("  %s  ", is_aligned(r) ? "pass" : "FAIL");
	put_safe(r->disposition, a);
	if (str_present(r->reason)) {
		printf(" (");
		put_safe(r->reason, a);
		printf(")");
	}
	printf("  from ");
	put_safe(r->header_from, a);
	print_auths(r, a);
	printf("\n");
}

static void print_report(const struct dmarc_report *r, struct arena *a)
{
	char from[20], to[20];
	uint64_t all = 0, aligned = 0;

	put_safe(r->domain, a);
	printf("  %s to %s UTC, by ", day_of(r->begin, from),
		day_of(r->end, to));
	put_safe(r->org_name, a);
	printf("  p=");
	put_safe(r->p, a);
	printf("\n");
	for (size_t i = 0; i < r->n; i++) {
		print_row(&r->v[i], a);
		all += r->v[i].count;
		aligned += is_aligned(&r->v[i]) ? r->v[i].count : 0;
	}
	printf("  %llu messages, %llu of them not proved to be the domain's "
	       "own\n",
		(unsigned long long)all, (unsigned long long)(all - aligned));
}

/* ---- input ---- */

static bool show_bytes(const char *path, struct str bytes, struct arena *a)
{
	struct buf xml CLEANUP(buf_fini);
	struct dmarc_report report;
	struct str why = STR("cannot be unpacked");

	buf_init(&xml, XML_MAX);
	if (gzip_unpack(bytes, &xml) &&
		dmarc_report_parse(buf_str(&xml), a, &report, &why)) {
		print_report(&report, a);
		return true;
	}
	fprintf(stderr, "postern dmarc: %s: ", path);
	fprintf(stderr, "%.*s\n", STR_ARG(why));
	return false;
}

static bool may_hold_report(const struct mime_part *p)
{
	struct str name = mime_param(&p->disposition, "filename");

	if (!str_present(name))
		name = mime_param(&p->content, "name");
	return mime_is(p, "application", "gzip") ||
	       mime_is(p, "application", "x-gzip") ||
	       mime_is(p, "application", "zip") ||
	       mime_is(p, "application", "x-zip-compressed") ||
	       mime_is(p, "application", "xml") || mime_is(p, "text", "xml") ||
	       str_iends(name, STR(".xml")) || str_iends(name, STR(".gz")) ||
	       str_iends(name, STR(".zip"));
}

/* In order, without recursion: a message may nest 50 deep. */
static bool show_parts(
	const char *path, const struct mime_part *root, struct arena *a)
{
	const struct mime_part *stack[MIME_DEPTH_MAX + 1];
	size_t n = 1;
	bool any = false, ok = true;

	stack[0] = root;
	while (n > 0) {
		const struct mime_part *p = stack[n - 1];
		struct buf body CLEANUP(buf_fini);

		buf_init(&body, FILE_MAX);
		if (p->child == NULL && may_hold_report(p)) {
			mime_decode_body(p, &body);
			any = true;
			ok &= show_bytes(path, buf_str(&body), a);
		}
		if (p->child != NULL && n < ARRAY_LEN(stack)) {
			stack[n - 1] = p->next;
			n += p->next != NULL;
			stack[n - 1] = p->child;
			continue;
		}
		stack[n - 1] = p->next;
		n -= p->next == NULL;
	}
	if (!any)
		fprintf(stderr, "postern dmarc: %s: no report in it\n", path);
	return any && ok;
}

static bool show_file(const char *path)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct buf raw CLEANUP(buf_fini);
	struct fault f;

	buf_init(&raw, FILE_MAX);
	bool ok = strcmp(path, "-") == 0
			  ? file_read_fd(STDIN_FILENO, FILE_MAX, &raw, &f)
			  : file_read(path, FILE_MAX, &raw, &f);
	if (!ok) {
		fprintf(stderr, "postern dmarc: %s\n", f.text);
		return false;
	}
	struct str bytes = buf_str(&raw);
	struct str begin = str_trim(bytes);
	if (str_starts(begin, "<") || str_starts(begin, "\xef\xbb\xbf<") ||
		str_starts(bytes, "\x1f\x8b") || str_starts(bytes, "PK\x03"))
		return show_bytes(path, bytes, a);
	return show_parts(path, mime_parse(bytes, a), a);
}

int cmd_dmarc(struct cmd *c)
{
	const char *value;
	bool ok = true;
	unsigned files = 0;
	int at = 1, i;

	while ((i = cmd_option(c, &at, NULL, 0, &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (files++ == 0) {
			if (strcmp(value, "show") != 0)
				return cmd_usage(c, "show?");
			continue;
		}
		ok &= show_file(value);
	}
	if (files < 2)
		return cmd_usage(c, "a file is missing");
	return ok ? EX_OK : EX_DATAERR;
}
