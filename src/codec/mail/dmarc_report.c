/* SPDX-License-Identifier: ISC */
#include "codec/mail/dmarc_report.h"

#include <expat.h>
#include <string.h>

#include "base/utf8.h"

struct dmarc_row *dmarc_report_add(struct dmarc_report *r, struct arena *a)
{
	if (r->n >= DMARC_REPORT_ROWS_MAX)
		return NULL;
	if (r->n == r->cap) {
		size_t cap = r->cap > 0 ? r->cap * 2 : 16;
		struct dmarc_row *v = arena_alloc(a, cap * sizeof(*v));

		if (r->n > 0)
			memcpy(v, r->v, r->n * sizeof(*v));
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n] = (struct dmarc_row){0};
	return &r->v[r->n++];
}

/* ---- writing ---- */

/* XML 1.0 2.2, 2.4: what no document may hold becomes "?". */
static void put_text(struct str s, struct buf *out)
{
	bool utf8 = utf8_valid(s);

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '<')
			buf_puts(out, "&lt;");
		else if (c == '>')
			buf_puts(out, "&gt;");
		else if (c == '&')
			buf_puts(out, "&amp;");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buf_putc(out, '?');
		else
			buf_putc(out, (char)c);
	}
}

static void put(struct buf *out, const char *name, struct str value)
{
	if (!str_present(value))
		return;
	buf_putf(out, "<%s>", name);
	put_text(value, out);
	buf_putf(out, "</%s>\n", name);
}

static void put_number(struct buf *out, const char *name, int64_t n)
{
	buf_putf(out, "<%s>%lld</%s>\n", name, (long long)n, name);
}

static void put_row(const struct dmarc_row *r, struct buf *out)
{
	buf_puts(out, "<record>\n<row>\n");
	put(out, "source_ip", r->source_ip);
	put_number(out, "count", (int64_t)r->count);
	buf_puts(out, "<policy_evaluated>\n");
	put(out, "disposition", r->disposition);
	put(out, "dkim", r->dkim);
	put(out, "spf", r->spf);
	if (str_present(r->reason)) {
		buf_puts(out, "<reason>\n");
		put(out, "type", r->reason);
		put(out, "comment", r->comment);
		buf_puts(out, "</reason>\n");
	}
	buf_puts(out, "</policy_evaluated>\n</row>\n<identifiers>\n");
	put(out, "header_from", r->header_from);
	put(out, "envelope_from", r->envelope_from);
	buf_puts(out, "</identifiers>\n<auth_results>\n");
	for (size_t i = 0; i < r->n_dkims; i++) {
		buf_puts(out, "<dkim>\n");
		put(out, "domain", r->dkims[i].domain);
		put(out, "selector", r->dkims[i].selector);
		put(out, "result", r->dkims[i].result);
		buf_puts(out, "</dkim>\n");
	}
	if (str_present(r->spf_auth.domain)) {
		buf_puts(out, "<spf>\n");
		put(out, "domain", r->spf_auth.domain);
		put(out, "scope", r->spf_auth.scope);
		put(out, "result", r->spf_auth.result);
		buf_puts(out, "</spf>\n");
	}
	buf_puts(out, "</auth_results>\n</record>\n");
}

void dmarc_report_put(const struct dmarc_report *r, struct buf *out)
{
	buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n"
		      "<version>1.0</version>\n<report_metadata>\n");
	put(out, "org_name", r->org_name);
	put(out, "email", r->email);
	put(out, "report_id", r->report_id);
	buf_puts(out, "<date_range>\n");
	put_number(out, "begin", r->begin);
	put_number(out, "end", r->end);
	buf_puts(out, "</date_range>\n</report_metadata>\n"
		      "<policy_published>\n");
	put(out, "domain", r->domain);
	put(out, "discovery_method", STR("treewalk"));
	put(out, "p", r->p);
	put(out, "sp", r->sp);
	put(out, "np", r->np);
	put(out, "adkim", r->adkim);
	put(out, "aspf", r->aspf);
	put(out, "testing", r->testing);
	buf_puts(out, "</policy_published>\n");
	for (size_t i = 0; i < r->n; i++)
		put_row(&r->v[i], out);
	buf_puts(out, "</feedback>\n");
}

/* ---- reading ---- */

enum { PATH_MAX_LEN = 256, TEXT_MAX = 1024, DEPTH_MAX = 16 };

struct reading {
	struct arena *a;
	struct dmarc_report *r;
	XML_Parser parser;
	char path[PATH_MAX_LEN]; /* "/feedback/record/row" */
	unsigned depth;
	struct buf text;
	struct dmarc_row *row; /* NULL: outside of a record */
	struct dmarc_auth *auth; /* NULL: outside of dkim and spf */
	bool is_report, bad;
};

/* "urn:...|record" to "record" */
static const char *local_name(const char *name)
{
	const char *bar = strrchr(name, '|');

	return bar != NULL ? bar + 1 : name;
}

static void XMLCALL begin(void *ctx, const char *full, const char **attributes)
{
	struct reading *x = ctx;
	const char *name = local_name(full);
	size_t len = strlen(x->path);

	(void)attributes;
	if (++x->depth > DEPTH_MAX || len + strlen(name) + 2 > PATH_MAX_LEN) {
		x->bad = true;
		XML_StopParser(x->parser, XML_FALSE);
		return;
	}
	x->path[len] = '/';
	strcpy(x->path + len + 1, name);
	buf_reset(&x->text);
	if (x->depth == 1)
		x->is_report = strcmp(name, "feedback") == 0;
	if (strcmp(x->path, "/feedback/record") == 0) {
		x->row = dmarc_report_add(x->r, x->a);
		if (x->row == NULL) {
			x->bad = true;
			XML_StopParser(x->parser, XML_FALSE);
		}
	}
	if (x->row == NULL)
		return;
	if (strcmp(x->path, "/feedback/record/auth_results/spf") == 0)
		x->auth = &x->row->spf_auth;
	else if (strcmp(x->path, "/feedback/record/auth_results/dkim") == 0 &&
		 x->row->n_dkims < DMARC_REPORT_AUTHS_MAX)
		x->auth = &x->row->dkims[x->row->n_dkims++];
}

static void XMLCALL characters(void *ctx, const char *s, int len)
{
	struct reading *x = ctx;

	if (x->text.len + (size_t)len <= TEXT_MAX)
		buf_put_mem(&x->text, s, (size_t)len);
}

static int64_t number_of(struct str s)
{
	int64_t n = 0;

	return str_i64(s, &n) && n > 0 ? n : 0;
}

static void take(struct reading *x, struct str text)
{
	struct dmarc_report *r = x->r;
	struct dmarc_row *row = x->row;
	struct dmarc_auth *auth = x->auth;
	const struct {
		const char *path;
		struct str *to;
	} places[] = {
		{"/feedback/report_metadata/org_name", &r->org_name},
		{"/feedback/report_metadata/email", &r->email},
		{"/feedback/report_metadata/report_id", &r->report_id},
		{"/feedback/policy_published/domain", &r->domain},
		{"/feedback/policy_published/p", &r->p},
		{"/feedback/policy_published/sp", &r->sp},
		{"/feedback/policy_published/np", &r->np},
		{"/feedback/policy_published/adkim", &r->adkim},
		{"/feedback/policy_published/aspf", &r->aspf},
		{"/feedback/policy_published/testing", &r->testing},
		{"/feedback/record/row/source_ip",
			row != NULL ? &row->source_ip : NULL},
		{"/feedback/record/row/policy_evaluated/disposition",
			row != NULL ? &row->disposition : NULL},
		{"/feedback/record/row/policy_evaluated/dkim",
			row != NULL ? &row->dkim : NULL},
		{"/feedback/record/row/policy_evaluated/spf",
			row != NULL ? &row->spf : NULL},
		{"/feedback/record/row/policy_evaluated/reason/type",
			row != NULL ? &row->reason : NULL},
		{"/feedback/record/row/policy_evaluated/reason/comment",
			row != NULL ? &row->comment : NULL},
		{"/feedback/record/identifiers/header_from",
			row != NULL ? &row->header_from : NULL},
		{"/feedback/record/identifiers/envelope_from",
			row != NULL ? &row->envelope_from : NULL},
		{"/feedback/record/auth_results/spf/domain",
			auth != NULL ? &auth->domain : NULL},
		{"/feedback/record/auth_results/spf/scope",
			auth != NULL ? &auth->scope : NULL},
		{"/feedback/record/auth_results/spf/result",
			auth != NULL ? &auth->result : NULL},
		{"/feedback/record/auth_results/dkim/domain",
			auth != NULL ? &auth->domain : NULL},
		{"/feedback/record/auth_results/dkim/selector",
			auth != NULL ? &auth->selector : NULL},
		{"/feedback/record/auth_results/dkim/result",
			auth != NULL ? &auth->result : NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (places[i].to != NULL &&
			strcmp(x->path, places[i].path) == 0)
			*places[i].to = arena_str(x->a, text);
	if (strcmp(x->path, "/feedback/report_metadata/date_range/begin") == 0)
		r->begin = number_of(text);
	if (strcmp(x->path, "/feedback/report_metadata/date_range/end") == 0)
		r->end = number_of(text);
	if (row != NULL && strcmp(x->path, "/feedback/record/row/count") == 0)
		row->count = (uint64_t)number_of(text);
}

static void XMLCALL end(void *ctx, const char *full)
{
	struct reading *x = ctx;
	char *slash = strrchr(x->path, '/');

	(void)full;
	take(x, str_trim(buf_str(&x->text)));
	buf_reset(&x->text);
	if (strcmp(x->path, "/feedback/record") == 0)
		x->row = NULL;
	if (strcmp(x->path, "/feedback/record/auth_results/spf") == 0 ||
		strcmp(x->path, "/feedback/record/auth_results/dkim") == 0)
		x->auth = NULL;
	if (slash != NULL)
		*slash = '\0';
	x->depth--;
}

/* A report needs no entities of its own: attack "billion laughs". */
static void XMLCALL doctype(void *ctx, const char *name, const char *system_id,
	const char *public_id, int has_internal_subset)
{
	struct reading *x = ctx;

	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	x->bad = true;
	XML_StopParser(x->parser, XML_FALSE);
}

bool dmarc_report_parse(struct str xml, struct arena *a,
	struct dmarc_report *r_r, struct str *why_r)
{
	struct reading x = {.a = a, .r = r_r};

	*r_r = (struct dmarc_report){0};
	buf_init(&x.text, TEXT_MAX + 16);
	x.parser = XML_ParserCreateNS(NULL, '|');
	XML_SetUserData(x.parser, &x);
	XML_SetElementHandler(x.parser, begin, end);
	XML_SetCharacterDataHandler(x.parser, characters);
	XML_SetStartDoctypeDeclHandler(x.parser, doctype);
	bool ok =
		xml.len <= INT32_MAX &&
		XML_Parse(x.parser, xml.ptr, (int)xml.len, 1) == XML_STATUS_OK;
	*why_r = ok ? STR("it is no aggregate report")
		    : arena_printf(a, "%s in line %lu",
			      x.bad ? "not as a report may be"
				    : XML_ErrorString(
					      XML_GetErrorCode(x.parser)),
			      XML_GetCurrentLineNumber(x.parser));
	XML_ParserFree(x.parser);
	buf_fini(&x.text);
	return ok && x.is_report;
}
