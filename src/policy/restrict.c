/* SPDX-License-Identifier: ISC */
#include "policy/restrict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "policy/restrict_private.h"

enum { RULES_MAX = 256, CLASS_DEPTH_MAX = 10 };

struct list {
	struct rule *v;
	size_t n;
};

struct restrictions {
	struct list stage[STAGES];
	struct policy *p;
};

static const char *const stage_params[STAGES] = {"smtpd_client_restrictions",
	"smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions",
	"smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
	"smtpd_etrn_restrictions"};

/* ---- parsing ---- */

struct parser {
	struct policy *p;
	const char *param;
	struct problems *problems;
	unsigned depth;
};

static struct list parse_list(struct parser *x, struct str text);

#define RESTRICTION(name, fn, arg, relay_guard) {#name, fn, arg, relay_guard},
static const struct restriction_def defs[] = {
#include "policy/restrict.def"
};
#undef RESTRICTION

static const struct restriction_def *find_def(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(defs); i++)
		if (str_ieqc(name, defs[i].name))
			return &defs[i];
	return NULL;
}

static void unknown(struct parser *x, struct str word)
{
	const char *names[ARRAY_LEN(defs)];
	const struct conf *c = x->p->c;

	for (size_t i = 0; i < ARRAY_LEN(defs); i++)
		names[i] = defs[i].name;
	const char *near = nearest_name(word, names, ARRAY_LEN(defs));
	conf_problem(c, x->problems, PROBLEM_ERROR, x->param,
		arena_printf(c->a, "%s: unknown restriction \"%.*s\"", x->param,
			STR_ARG(word)),
		near != NULL ? arena_printf(c->a, "write %s", near)
			     : STR("take it out, or look it up in "
				   "postern-restrictions(5)"));
}

static bool parse_class(struct parser *x, struct str name, struct rule *rule)
{
	struct str value;
	const char *why;

	if (!conf_option_has(x->p->c->smtpd_restriction_classes,
		    arena_cstr(x->p->c->a, name)))
		return false;
	if (x->depth >= CLASS_DEPTH_MAX ||
		!conf_expand_name(x->p->c, name, x->p->c->a, &value, &why))
		return false;
	x->depth++;
	struct list inner = parse_list(x, value);
	x->depth--;
	rule->class = inner.v;
	rule->n_class = inner.n;
	return true;
}

/* "type:table" alone is check_<stage>_access, as in Postfix. */
static const char *implied_check(const char *param)
{
	static const char *const names[STAGES] = {"check_client_access",
		"check_helo_access", "check_sender_access",
		"check_recipient_access", "check_recipient_access",
		"check_recipient_access", "check_recipient_access",
		"check_etrn_access"};

	for (size_t i = 0; i < STAGES; i++)
		if (strcmp(stage_params[i], param) == 0)
			return names[i];
	return "check_recipient_access";
}

static void parse_arg(
	struct parser *x, struct rule *rule, struct str word, struct str *rest)
{
	const struct conf *c = x->p->c;

	if (rule->def->arg == NULL)
		return;
	rule->arg = list_item(rest);
	if (!str_present(rule->arg)) {
		conf_problem(c, x->problems, PROBLEM_ERROR, x->param,
			arena_printf(c->a, "%s: %.*s needs %s behind it",
				x->param, STR_ARG(word), rule->def->arg),
			STR_NONE);
		rule->arg = STR("");
	}
	if (strcmp(rule->def->arg, "a policy service") == 0)
		rule->service =
			policy_service_new(c, x->param, rule->arg, x->problems);
	if (strcmp(rule->def->arg, "a table") == 0 && rule->arg.len > 0)
		rule->maps = maps_open(
			x->p->tables, c, x->param, rule->arg, 0, x->problems);
}

static struct list parse_list(struct parser *x, struct str text)
{
	struct arena *a = x->p->c->a;
	struct list list = {
		.v = arena_alloc(a, sizeof(struct rule) * RULES_MAX)};
	struct str word, type, name;

	while (str_present(word = list_item(&text)) && list.n < RULES_MAX) {
		struct rule rule = {.def = find_def(word)};

		table_spec_split(word, &type, &name);
		if (rule.def != NULL) {
			parse_arg(x, &rule, word, &text);
		} else if (str_present(type) && type.len > 0) {
			rule.def = find_def(str_from(implied_check(x->param)));
			rule.arg = word;
			rule.maps = maps_open(x->p->tables, x->p->c, x->param,
				word, 0, x->problems);
		} else if (!parse_class(x, word, &rule)) {
			unknown(x, word);
			continue;
		}
		list.v[list.n++] = rule;
	}
	return list;
}

struct restrictions *restrictions_new(
	struct policy *p, struct problems *problems)
{
	struct restrictions *r = arena_make(p->c->a, struct restrictions);
	const struct str texts[STAGES] = {p->c->smtpd_client_restrictions,
		p->c->smtpd_helo_restrictions, p->c->smtpd_sender_restrictions,
		p->c->smtpd_relay_restrictions,
		p->c->smtpd_recipient_restrictions,
		p->c->smtpd_data_restrictions,
		p->c->smtpd_end_of_data_restrictions,
		p->c->smtpd_etrn_restrictions};

	r->p = p;
	for (size_t i = 0; i < STAGES; i++) {
		struct parser x = {
			.p = p, .param = stage_params[i], .problems = problems};

		r->stage[i] = parse_list(&x, texts[i]);
	}
	return r;
}

/* ---- replies ---- */

static struct str subject_text(const struct check *c, enum subject subject)
{
	switch (subject) {
	case SUBJECT_CLIENT:
	case SUBJECT_REVERSE:
		return arena_printf(c->a, "%.*s[%.*s]", STR_ARG(c->client_name),
			STR_ARG(c->client_text));
	case SUBJECT_HELO:
		return c->helo;
	case SUBJECT_SENDER:
		return c->sender;
	case SUBJECT_RECIPIENT:
		return c->recipient;
	case SUBJECT_LOGIN:
		return c->login;
	case SUBJECT_CCERT:
		return c->ccert_fingerprint;
	case SUBJECT_ETRN:
		return c->etrn_domain;
	}
	return STR("");
}

enum subject restrict_subject(const struct check *c)
{
	return str_present(c->etrn_domain) ? SUBJECT_ETRN
	       : str_present(c->recipient) ? SUBJECT_RECIPIENT
	       : str_present(c->sender)    ? SUBJECT_SENDER
	       : str_present(c->helo)      ? SUBJECT_HELO
					   : SUBJECT_CLIENT;
}

enum outcome restrict_reject(struct check *c, struct decision *d, int64_t code,
	const char *enhanced, enum subject subject, const char *why, ...)
{
	static const char *const labels[] = {
		"Client host rejected: ", "Helo command rejected: ",
		"Sender address rejected: ", "Recipient address rejected: ",
		"Login rejected: ", "Client certificate rejected: ",
		"Unverified Client host rejected: ", "Etrn command rejected: "};
	char text[512];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	/* The class of the enhanced code follows the reply code: RFC 3463 2 */
	bool relay = strncmp(text, "Relay", 5) == 0;
	d->verdict = VERDICT_REJECT;
	d->code = (int)code;
	d->text =
		arena_printf(c->a, "%c%s <%.*s>: %s%s", code < 500 ? '4' : '5',
			enhanced + 1, STR_ARG(subject_text(c, subject)),
			relay ? "" : labels[subject], text);
	return OUT_REJECT;
}

enum outcome restrict_temp(
	struct check *c, struct decision *d, const struct fault *f)
{
	/* The log names the table, the reply does not. */
	strs_add(&c->warnings, c->a, arena_str(c->a, str_from(f->text)));
	d->verdict = VERDICT_REJECT;
	d->code = 451;
	d->text = arena_printf(c->a, "4.3.0 <%.*s>: Temporary lookup failure",
		STR_ARG(str_present(c->recipient) ? c->recipient
			: str_present(c->sender)  ? c->sender
						  : c->client_text));
	return OUT_REJECT;
}

enum outcome restrict_defer_if_permit(struct check *c, struct decision *d)
{
	if (!str_present(c->defer_if_permit))
		c->defer_if_permit = arena_printf(
			c->a, "%d %.*s", d->code, STR_ARG(d->text));
	*d = (struct decision){.verdict = VERDICT_PERMIT};
	return OUT_DUNNO;
}

enum outcome restrict_nobody_knows(
	struct check *c, struct decision *d, struct str action)
{
	return str_ieqc(action, "defer") ? OUT_REJECT
					 : restrict_defer_if_permit(c, d);
}

/* ---- running ---- */

static bool is_def(const struct rule *rule, const char *name)
{
	return rule->def != NULL && strcmp(rule->def->name, name) == 0;
}

static enum outcome run_rule(
	struct check *c, const struct rule *rule, struct decision *d)
{
	if (rule->def == NULL)
		return restrict_run(c, rule->class, rule->n_class, d);
	return rule->def->fn(c, rule, d);
}

static void note_rule(struct check *c, const struct rule *rule)
{
	if (rule->def == NULL || str_present(c->rule))
		return;
	c->rule = rule->arg.len > 0
			  ? arena_printf(c->a, "%s %.*s", rule->def->name,
				    STR_ARG(rule->arg))
			  : str_from(rule->def->name);
}

enum outcome restrict_run(
	struct check *c, const struct rule *rules, size_t n, struct decision *d)
{
	bool warn_only = false;

	for (size_t i = 0; i < n; i++) {
		if (is_def(&rules[i], "warn_if_reject")) {
			warn_only = true;
			continue;
		}
		enum outcome out = run_rule(c, &rules[i], d);
		if (out == OUT_REJECT && warn_only) {
			strs_add(&c->warnings, c->a,
				arena_printf(c->a, "would reject: %d %.*s",
					d->code, STR_ARG(d->text)));
			*d = (struct decision){.verdict = VERDICT_PERMIT};
			out = OUT_DUNNO;
		}
		warn_only = false;
		if (out != OUT_DUNNO) {
			note_rule(c, &rules[i]);
			return out;
		}
	}
	return OUT_DUNNO;
}

enum outcome restrict_run_text(
	struct check *c, struct str text, struct decision *d)
{
	const struct restriction_def *def;
	struct rule rule = {0};
	struct str rest = text;
	struct str word = list_item(&rest);

	def = find_def(word);
	if (def == NULL ||
		(def->arg != NULL && str_starts(str_from(def->arg), "a "))) {
		d->verdict = VERDICT_REJECT;
		d->code = 451;
		d->text = STR("4.3.5 Server configuration error");
		strs_add(&c->warnings, c->a,
			arena_printf(c->a, "access map: unknown action %.*s",
				STR_ARG(word)));
		return OUT_REJECT;
	}
	rule.def = def;
	rule.arg = def->arg != NULL ? list_item(&rest) : STR_NONE;
	return def->fn(c, &rule, d);
}

static void split_reply(struct str reply, struct decision *d)
{
	uint64_t code = 451;
	struct str rest = reply;

	str_u64(str_cut(&rest, ' '), &code);
	d->verdict = VERDICT_REJECT;
	d->code = (int)code;
	d->text = rest;
}

/* postconf(5) smtpd_log_access_permit_actions */
static void note_permit(struct check *c)
{
	struct str rest = c->rule;
	struct str name = str_word(&rest, " ");
	struct fault f;

	if (c->policy->c->smtpd_log_access_permit_actions.len > 0 &&
		match_name(c->policy->log_permit, name, c->a, &f) ==
			TABLE_FOUND)
		strs_add(&c->permits, c->a,
			arena_printf(
				c->a, "%s %.*s", c->param, STR_ARG(c->rule)));
}

struct decision restrict_stage(struct check *c, enum restriction_stage stage)
{
	const struct list *l = &c->policy->restrictions->stage[stage];
	struct decision d = {.verdict = VERDICT_PERMIT};

	c->param = stage_params[stage];
	c->rule = STR_NONE;
	enum outcome out = restrict_run(c, l->v, l->n, &d);
	if (out == OUT_REJECT && d.code >= 500 &&
		str_present(c->defer_if_reject))
		split_reply(c->defer_if_reject, &d);
	if (out == OUT_PERMIT)
		note_permit(c);
	if (out != OUT_REJECT) {
		int64_t sleep_ms = d.sleep_ms;

		d = (struct decision){
			.verdict = VERDICT_PERMIT, .sleep_ms = sleep_ms};
	}
	if (out != OUT_REJECT && stage >= STAGE_RECIPIENT &&
		str_present(c->defer_if_permit))
		split_reply(c->defer_if_permit, &d);
	if (d.verdict == VERDICT_REJECT && c->policy->c->soft_bounce &&
		d.code >= 500)
		d.code -= 100;
	return d;
}

/* Which list is empty of guards?  A guard may also stand in a class. */
static bool has_guard(const struct rule *rules, size_t n, bool *open_r)
{
	for (size_t i = 0; i < n; i++) {
		if (rules[i].def == NULL) {
			if (has_guard(rules[i].class, rules[i].n_class, open_r))
				return true;
			continue;
		}
		if (rules[i].def->relay_guard)
			return true;
		/* A bare permit in front of the guard lets everybody in. */
		if (strcmp(rules[i].def->name, "permit") == 0 ||
			(strcmp(rules[i].def->name, "check_client_access") ==
					0 &&
				str_starts(rules[i].arg, "static:")))
			*open_r = true;
		if (*open_r)
			return false;
	}
	return false;
}

bool restrictions_relay_open(const struct policy *p)
{
	const struct restrictions *r = p->restrictions;
	bool open_relay = false, open_rcpt = false;
	bool relay = has_guard(
		r->stage[STAGE_RELAY].v, r->stage[STAGE_RELAY].n, &open_relay);
	bool rcpt = has_guard(r->stage[STAGE_RECIPIENT].v,
		r->stage[STAGE_RECIPIENT].n, &open_rcpt);

	return !relay && !rcpt;
}
