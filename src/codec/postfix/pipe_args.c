/* SPDX-License-Identifier: ISC */
#include "codec/postfix/pipe_args.h"

#include <string.h>

#include "base/buf.h"

enum { WORD_MAX = 65536 };

/* ---- the line ---- */

static bool take_flags(struct str value, unsigned *flags_r)
{
	static const char letters[] = "BDFORXhuq.>";

	for (size_t i = 0; i < value.len; i++) {
		const char *at = value.ptr[i] != '\0'
					 ? strchr(letters, value.ptr[i])
					 : NULL;

		if (at == NULL)
			return false;
		*flags_r |= 1u << (at - letters);
	}
	return true;
}

/* "\r\n" as it is written in master.cf. */
static struct str unescape(struct str value, struct arena *a)
{
	char *out = arena_alloc(a, value.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '\\' && i + 1 < value.len) {
			c = value.ptr[++i];
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c;
		}
		out[n++] = c;
	}
	return str_of(out, n);
}

static bool take(struct pipe_args *p, struct str name, struct str value,
	struct arena *a, const char **why_r)
{
	if (str_eqc(name, "flags")) {
		*why_r = "flags=: a letter that is none of BDFORXhuq.>";
		return take_flags(value, &p->flags);
	}
	if (str_eqc(name, "user")) {
		struct str rest = value;

		p->user = str_cut(&rest, ':');
		p->group = rest;
	} else if (str_eqc(name, "directory")) {
		p->directory = value;
	} else if (str_eqc(name, "null_sender")) {
		p->null_sender = value;
	} else if (str_eqc(name, "eol")) {
		p->eol = unescape(value, a);
	} else if (str_eqc(name, "size")) {
		*why_r = "size=: not a number";
		return str_u64(value, &p->size);
	} else {
		*why_r = "a word that is none of flags=, user=, argv=, "
			 "directory=, eol=, null_sender=, size=";
		return false;
	}
	return true;
}

bool pipe_args_parse(const struct strs *words, struct arena *a,
	struct pipe_args *args_r, const char **why_r)
{
	struct pipe_args p = {
		.null_sender = STR("MAILER-DAEMON"), .eol = STR("\n")};
	size_t i = 0;

	for (; i < words->n; i++) {
		struct str value = words->v[i];

		if (str_starts(value, "-")) {
			i += str_eqc(value, "-o");
			continue;
		}
		struct str name = str_cut(&value, '=');
		value = str_present(value) ? value : STR("");
		if (str_eqc(name, "argv")) {
			if (value.len > 0)
				strs_add(&p.argv, a, value);
			break;
		}
		if (!take(&p, name, value, a, why_r))
			return false;
	}
	for (i++; i < words->n; i++)
		strs_add(&p.argv, a, words->v[i]);
	*why_r = p.user.len == 0 ? "user= is missing" : "argv= is missing";
	if (p.user.len == 0 || p.argv.n == 0)
		return false;
	*args_r = p;
	return true;
}

/* ---- the command ---- */

struct expansion {
	const struct pipe_args *args;
	const struct pipe_mail *mail;
	const struct pipe_rcpt *rcpt;
	struct arena *a;
	bool of_rcpt; /* a macro of the recipient was used */
};

static struct str folded(struct expansion *x, struct str s, unsigned flag)
{
	return (x->args->flags & flag) != 0 ? arena_lower(x->a, s) : s;
}

static bool has_special(struct str local)
{
	for (size_t i = 0; i < local.len; i++)
		if (local.ptr[i] == ' ' || local.ptr[i] == '\t')
			return true;
	return false;
}

static struct str address(struct expansion *x, struct str whole)
{
	ptrdiff_t at = str_rfind(whole, '@');
	struct str local = at < 0 ? whole : str_sub(whole, 0, (size_t)at);
	struct str domain = at < 0 ? STR("") : str_from_at(whole, (size_t)at);

	if ((x->args->flags & PIPE_QUOTE) != 0 && has_special(local) &&
		!str_starts(local, "\""))
		local = arena_printf(x->a, "\"%.*s\"", STR_ARG(local));
	return arena_concat(x->a, folded(x, local, PIPE_FOLD_USER),
		folded(x, domain, PIPE_FOLD_DOMAIN));
}

static bool rcpt_macro(struct expansion *x, struct str name, struct str *v_r)
{
	struct str whole = x->rcpt->address;
	ptrdiff_t at = str_rfind(whole, '@');
	struct str local = at < 0 ? whole : str_sub(whole, 0, (size_t)at);
	struct str domain =
		at < 0 ? STR("") : str_from_at(whole, (size_t)at + 1);

	if (str_eqc(name, "recipient"))
		*v_r = address(x, whole);
	else if (str_eqc(name, "original_recipient"))
		*v_r = address(x, x->rcpt->original);
	else if (str_eqc(name, "user"))
		*v_r = folded(x, x->rcpt->user, PIPE_FOLD_USER);
	else if (str_eqc(name, "mailbox"))
		*v_r = folded(x, local, PIPE_FOLD_USER);
	else if (str_eqc(name, "extension"))
		*v_r = folded(x, x->rcpt->extension, PIPE_FOLD_USER);
	else if (str_eqc(name, "domain"))
		*v_r = folded(x, domain, PIPE_FOLD_DOMAIN);
	else
		return false;
	x->of_rcpt = true;
	return true;
}

static bool macro(struct expansion *x, struct str name, struct str *v_r)
{
	const struct pipe_mail *m = x->mail;

	if (rcpt_macro(x, name, v_r))
		return true;
	if (str_eqc(name, "sender"))
		*v_r = m->sender.len > 0 ? address(x, m->sender)
					 : x->args->null_sender;
	else if (str_eqc(name, "nexthop"))
		*v_r = folded(x, m->nexthop, PIPE_FOLD_DOMAIN);
	else if (str_eqc(name, "queue_id"))
		*v_r = m->queue_id;
	else if (str_eqc(name, "size"))
		*v_r = arena_printf(x->a, "%llu", (unsigned long long)m->size);
	else if (str_eqc(name, "sasl_username"))
		*v_r = m->login;
	else if (str_eqc(name, "client_address"))
		*v_r = m->client_address;
	else if (str_eqc(name, "client_hostname"))
		*v_r = m->client_hostname;
	else if (str_eqc(name, "client_helo"))
		*v_r = m->client_helo;
	else if (str_eqc(name, "client_protocol"))
		*v_r = m->client_protocol;
	else if (str_eqc(name, "client_port"))
		*v_r = arena_printf(x->a, "%u", m->client_port);
	else if (str_eqc(name, "sasl_method"))
		*v_r = m->sasl_method;
	else if (str_eqc(name, "sasl_sender"))
		*v_r = m->sasl_sender;
	else
		return false;
	return true;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/* The name behind a "$", which *in stands behind; absent: none. */
static struct str macro_name(struct str *in)
{
	char close = str_starts(*in, "{")   ? '}'
		     : str_starts(*in, "(") ? ')'
					    : '\0';
	size_t n = 0;

	if (close != '\0') {
		ptrdiff_t end = str_find(*in, close);

		if (end < 0)
			return STR_NONE;
		struct str name = str_sub(*in, 1, (size_t)end - 1);
		*in = str_from_at(*in, (size_t)end + 1);
		return name;
	}
	while (n < in->len && is_name_char(in->ptr[n]))
		n++;
	struct str name = str_sub(*in, 0, n);
	*in = str_from_at(*in, n);
	return n > 0 ? name : STR_NONE;
}

static bool expand_word(struct expansion *x, struct str word, struct str *out_r,
	const char **why_r)
{
	bool option = str_starts(word, "-");
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, WORD_MAX);
	while (word.len > 0) {
		struct str value;
		char c = word.ptr[0];

		word = str_from_at(word, 1);
		if (c != '$' || str_starts(word, "$")) {
			word = str_from_at(word, c == '$');
			buf_putc(&out, c);
			continue;
		}
		struct str name = macro_name(&word);
		if (!str_present(name) || !macro(x, name, &value)) {
			*why_r = "argv=: a macro that is not known";
			return false;
		}
		buf_put(&out, str_present(value) ? value : STR(""));
	}
	/* attack 23: an address is no option of the program. */
	if (!option && str_starts(buf_str(&out), "-")) {
		*why_r = "an address that the program would take for an option";
		return false;
	}
	*why_r = "a word of the command has a NUL byte or is too long";
	if (buf_over(&out) || str_find(buf_str(&out), '\0') >= 0)
		return false;
	*out_r = arena_str(x->a, buf_str(&out));
	return true;
}

bool pipe_argv(const struct pipe_args *args, const struct pipe_mail *mail,
	struct arena *a, struct strs *argv_r, const char **why_r)
{
	struct strs argv = {0};

	for (size_t i = 0; i < args->argv.n; i++)
		for (size_t j = 0; j < mail->n_rcpts; j++) {
			struct expansion x = {.args = args,
				.mail = mail,
				.rcpt = &mail->rcpts[j],
				.a = a};
			struct str word;

			if (!expand_word(&x, args->argv.v[i], &word, why_r))
				return false;
			strs_add(&argv, a, word);
			if (!x.of_rcpt)
				break;
		}
	*argv_r = argv;
	return true;
}
