/* SPDX-License-Identifier: ISC */
/*
 * sendmail(1): what cron, PHP and scripts hand their mail to.  It talks SMTP
 * to the pickup socket; the kernel tells smtpd who calls, so no set-uid bit is
 * needed.  Without a running postern the answer is 75, and callers try again.
 */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cmd/names.h"
#include "codec/mail/address.h"
#include "codec/mail/charset.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"
#include "codec/smtp/command.h"
#include "codec/smtp/path.h"
#include "conf/service.h"
#include "net/smtp_client.h"
#include "sys/file.h"

enum { MESSAGE_MAX = 1 << 30, ADDRESSES_MAX = 1000000 };

struct sendmail {
	const struct conf *c;
	struct arena *a;
	const char *dir;
	const char *from; /* -f */
	const char *full_name; /* -F */
	const char *notify, *ret, *envid; /* -N -R -V */
	const char *verp; /* -XV...: the delimiters, or "" */
	const char *flush; /* -q... */
	char mode; /* -bX; m by default */
	bool from_header; /* -t */
	bool dots; /* -i: a dot alone is text */
	bool verbose;
	struct strs rcpts;
	struct buf message;
};

static int say(const char *text, struct str what, int code)
{
	fprintf(stderr, "sendmail: %s%.*s\n", text, STR_ARG(what));
	return code;
}

/* ---- arguments ---- */

/* -o: the options of sendmail that mean something here. */
static void set_o(struct sendmail *s, const char *value)
{
	if (value[0] == 'i')
		s->dots = true;
	else if (value[0] == 'f' && value[1] != '\0')
		s->from = value + 1;
}

static int read_options(struct sendmail *s, int argc, char **argv)
{
	/* -B, -O, -L, ... take values that change nothing here. */
	static const char options[] =
		"A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:q::r:stvx:E";
	int ch;

	while ((ch = getopt(argc, argv, options)) != -1) {
		switch (ch) {
		case 'b':
			s->mode = optarg[0];
			break;
		case 'C':
			s->dir = optarg;
			break;
		case 'f':
		case 'r':
			s->from = optarg;
			break;
		case 'F':
			s->full_name = optarg;
			break;
		case 'N':
			s->notify = optarg;
			break;
		case 'R':
			s->ret = optarg;
			break;
		case 'V':
			s->envid = optarg;
			break;
		case 'I':
			s->mode = 'i';
			break;
		case 'i':
			s->dots = true;
			break;
		case 'o':
			set_o(s, optarg);
			break;
		case 'q':
			s->flush = optarg != NULL ? optarg : "";
			break;
		case 't':
			s->from_header = true;
			break;
		case 'v':
			s->verbose = true;
			break;
		case 'X': /* elsewhere the name of a log */
			if (optarg[0] == 'V')
				s->verp = optarg + 1;
			break;
		case '?':
			return name_usage("sendmail",
				"[-bm|-bs|-bp|-bi] [-t] [-i] [-f sender] "
				"[-F name] [-N dsn] [-R full|hdrs] [-V envid] "
				"[-XV[delimiters]] [recipient ...]");
		default:
			break;
		}
	}
	for (int i = optind; i < argc; i++)
		strs_add(&s->rcpts, s->a, str_trim(str_from(argv[i])));
	return EX_OK;
}

/* ---- the text ---- */

/* sendmail_fix_line_endings, by the first line. */
static bool fixes_ends(const struct sendmail *s, struct str first)
{
	struct str how = s->c->sendmail_fix_line_endings;

	return str_ieqc(how, "always") ||
	       (str_ieqc(how, "strict") && str_ends(first, "\r"));
}

/* stdin as lines that end in CRLF; without -i a lone dot ends it. */
static bool read_message(struct sendmail *s)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	bool fix = false;

	buf_init(&s->message, MESSAGE_MAX);
	while ((n = getline(&line, &cap, stdin)) >= 0) {
		struct str text = str_of(line, (size_t)n);

		if (str_ends(text, "\n"))
			text.len--;
		if (s->message.len == 0)
			fix = fixes_ends(s, text);
		if (fix && str_ends(text, "\r"))
			text.len--;
		if (!s->dots && str_eqc(text, "."))
			break;
		/* mbox's envelope line is none of the header. */
		if (s->message.len == 0 && str_starts(text, "From "))
			continue;
		buf_put(&s->message, text);
		buf_puts(&s->message, "\r\n");
	}
	free(line);
	return !ferror(stdin) && !buf_over(&s->message);
}

static bool add_addresses(struct sendmail *s, struct str value)
{
	struct mail_address_list list = {0};

	if (!mail_address_parse(value, ADDRESSES_MAX, s->a, &list))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct str spec = list.v[i].spec;

		if (list.v[i].kind == MAIL_MAILBOX && spec.len > 0 &&
			!strs_has(&s->rcpts, spec))
			strs_add(&s->rcpts, s->a, spec);
	}
	return true;
}

/* Recipients of the header; of the Resent- block when there is one. */
static bool take_recipients(struct sendmail *s, struct str head)
{
	bool resent = str_present(mail_field_value(head, "Resent-To")) ||
		      str_present(mail_field_value(head, "Resent-Cc")) ||
		      str_present(mail_field_value(head, "Resent-Bcc"));
	const char *const plain[] = {"To", "Cc", "Bcc"};
	const char *const again[] = {"Resent-To", "Resent-Cc", "Resent-Bcc"};
	struct mail_field field;

	while (mail_field_next(&head, &field))
		for (size_t i = 0; i < 3; i++)
			if (str_ieqc(
				    field.name, resent ? again[i] : plain[i]) &&
				!add_addresses(s, field.value))
				return false;
	return true;
}

static struct str user_name(struct sendmail *s, struct str *full_r)
{
	const struct passwd *pw = getpwuid(getuid());
	struct str gecos =
		pw != NULL ? arena_str(s->a, str_from(pw->pw_gecos)) : STR("");

	*full_r = str_cut(&gecos, ',');
	return pw != NULL ? arena_str(s->a, str_from(pw->pw_name))
			  : arena_printf(s->a, "%u", getuid());
}

static struct str at_origin(struct sendmail *s, struct str user)
{
	if (user.len == 0 || str_find(user, '@') >= 0)
		return user;
	return arena_printf(
		s->a, "%.*s@%.*s", STR_ARG(user), STR_ARG(s->c->myorigin));
}

static struct str sender_of(struct sendmail *s, struct str user)
{
	struct mail_address_list list = {0};
	struct str text = str_trim(str_from(s->from));

	if (s->from == NULL)
		return at_origin(s, user);
	if (text.len == 0 || str_eqc(text, "<>"))
		return STR("");
	mail_address_parse(text, 1, s->a, &list);
	return list.n > 0 ? at_origin(s, list.v[0].spec) : text;
}

/* -F, $NAME or the password file: UTF-8, whatever it was written in, and no
 * control bytes, which would begin a field of their own. */
static struct str name_of(struct sendmail *s, struct str full)
{
	const char *said = s->full_name != NULL ? s->full_name : getenv("NAME");
	struct str name = said != NULL ? str_from(said) : full;
	struct buf text CLEANUP(buf_fini);

	buf_init(&text, 4096);
	if (utf8_is_ascii(name) ||
		!charset_to_utf8(
			s->c->full_name_encoding_charset, name, &text)) {
		buf_reset(&text);
		buf_put(&text, name);
	}
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
			text.data[i] = ' ';
	return arena_str(s->a, str_trim(buf_str(&text)));
}

/* A name of words alone is not quoted.  postconf(5) header_from_format:
 * obsolete puts it behind the address. */
static void put_from(
	struct buf *out, struct str format, struct str name, struct str address)
{
	bool plain = utf8_is_ascii(name);

	buf_puts(out, "From: ");
	for (size_t i = 0; i < name.len; i++)
		plain &= ascii_is_alnum(name.ptr[i]) || name.ptr[i] == ' ';
	if (name.len == 0) {
		buf_putf(out, "%.*s\r\n", STR_ARG(address));
	} else if (plain && str_ieqc(format, "obsolete")) {
		buf_putf(out, "%.*s (%.*s)\r\n", STR_ARG(address),
			STR_ARG(name));
	} else {
		if (plain)
			buf_put(out, name);
		else
			encword_put_phrase(name, sizeof("From: ") - 1, out);
		buf_putf(out, " <%.*s>\r\n", STR_ARG(address));
	}
}

/* From: as Postfix's sendmail makes it, and no Bcc with -t. */
static struct str complete(
	struct sendmail *s, struct str sender, struct str full, struct buf *out)
{
	struct str all = buf_str(&s->message), head, body;
	struct mail_field field;

	mail_split(all, &head, &body);
	buf_init(out, (size_t)MESSAGE_MAX + 65536);
	if (!str_present(mail_field_value(head, "From")) &&
		!str_present(mail_field_value(head, "Resent-From")) &&
		sender.len > 0)
		put_from(out, s->c->header_from_format, name_of(s, full),
			sender);
	while (mail_field_next(&head, &field))
		if (!s->from_header ||
			(!str_ieqc(field.name, "Bcc") &&
				!str_ieqc(field.name, "Resent-Bcc")))
			buf_put(out, field.whole);
	buf_puts(out, "\r\n");
	buf_put(out, body);
	return buf_str(out);
}

/* Attack 31. */
static bool are_clean(const struct sendmail *s, struct str sender)
{
	bool ok = smtp_address_clean(sender) &&
		  smtp_address_clean(str_from(s->envid)) &&
		  smtp_address_clean(str_from(s->verp));

	for (size_t i = 0; i < s->rcpts.n; i++)
		ok &= smtp_address_clean(s->rcpts.v[i]);
	return ok;
}

/* ---- the dialog ---- */

static int dial(struct sendmail *s, struct fault *f)
{
	return sock_unix_connect(service_pickup_path(s->c, s->a).ptr, f);
}

static unsigned notify_flags(const char *text)
{
	struct str rest = str_from(text), word;
	unsigned flags = 0;

	while (str_present(word = str_word(&rest, ", "))) {
		flags |= str_ieqc(word, "never") ? SMTP_NOTIFY_NEVER : 0u;
		flags |= str_ieqc(word, "success") ? SMTP_NOTIFY_SUCCESS : 0u;
		flags |= str_ieqc(word, "failure") ? SMTP_NOTIFY_FAILURE : 0u;
		flags |= str_ieqc(word, "delay") ? SMTP_NOTIFY_DELAY : 0u;
	}
	return flags;
}

static int exit_code(const struct fault *f)
{
	if (f->class == FAULT_TEMP)
		return EX_TEMPFAIL;
	return f->subject == 1   ? EX_NOUSER
	       : f->subject == 7 ? EX_NOPERM
				 : EX_UNAVAILABLE;
}

static int submit(struct sendmail *s, struct smtp_client *client,
	struct smtp_client_mail *m)
{
	struct fault f;

	if (!smtp_client_hello(client, &f) || !smtp_client_send(client, m, &f))
		return say("", str_from(f.text), exit_code(&f));
	if (s->verbose)
		printf("%.*s\n", STR_ARG(buf_str(&client->reply.text)));
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (m->rcpts[i].refused) {
			fprintf(stderr, "sendmail: %.*s: %s\n",
				STR_ARG(m->rcpts[i].address),
				m->rcpts[i].fault.text);
			return exit_code(&m->rcpts[i].fault);
		}
	return EX_OK;
}

static int mail(struct sendmail *s)
{
	static const struct smtp_timeouts t = {
		60000, 60000, 60000, 60000, 120000, 300000, 5000};
	struct buf complete_text CLEANUP(buf_fini) = {0};
	struct smtp_client client;
	struct str full, user = user_name(s, &full);
	struct str sender = sender_of(s, user);
	struct str head, body;
	struct fault f;

	if (!read_message(s))
		return say("the message cannot be read", STR(""), EX_IOERR);
	mail_split(buf_str(&s->message), &head, &body);
	if (s->from_header && !take_recipients(s, head))
		return say("too many recipients", STR(""), EX_DATAERR);
	if (s->rcpts.n == 0)
		return say("no recipients", STR(""), EX_USAGE);
	if (!are_clean(s, sender))
		return say("control byte in an address", STR(""), EX_DATAERR);
	struct str text = complete(s, sender, full, &complete_text);
	int fd = dial(s, &f);
	if (fd < 0)
		return say("the mail system is not running: ", str_from(f.text),
			EX_TEMPFAIL);
	struct smtp_client_mail m = {.sender = sender,
		.envid = str_from(s->envid),
		.with_verp = s->verp != NULL,
		.verp = str_from(s->verp),
		.ret_hdrs =
			s->ret != NULL && str_ieqc(str_from(s->ret), "hdrs"),
		.size = text.len,
		.message = text,
		.has_8bit = !utf8_is_ascii(text),
		.utf8 = !utf8_is_ascii(sender),
		.n_rcpts = s->rcpts.n};
	m.rcpts = arena_alloc(s->a, m.n_rcpts * sizeof(*m.rcpts));
	for (size_t i = 0; i < m.n_rcpts; i++) {
		struct str to = s->rcpts.v[i];

		if (to.len == 0 || str_eqc(to, "<>"))
			to = s->c->empty_address_recipient;
		m.rcpts[i].address = at_origin(s, to);
		m.rcpts[i].notify = notify_flags(s->notify);
		m.utf8 |= !utf8_is_ascii(s->rcpts.v[i]);
	}
	smtp_client_init(&client, fd, s->a, STR("localhost"), false, &t);
	int rc = submit(s, &client, &m);
	smtp_client_close(&client, true);
	return rc;
}

/* -bs: SMTP on stdin and stdout, for mail programs that speak it. */
static int talk(struct sendmail *s)
{
	struct fault f;
	int fd = dial(s, &f);
	char bytes[16384];
	ssize_t n;

	if (fd < 0)
		return say("the mail system is not running: ", str_from(f.text),
			EX_TEMPFAIL);
	if (fork() == 0) {
		while ((n = read(0, bytes, sizeof(bytes))) > 0)
			if (!file_write(fd, str_of(bytes, (size_t)n), &f))
				break;
		shutdown(fd, SHUT_WR);
		_exit(EX_OK);
	}
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		if (!file_write(1, str_of(bytes, (size_t)n), &f))
			break;
	return n == 0 ? EX_OK : EX_IOERR;
}

static int flush(const struct sendmail *s)
{
	static char name[] = "postqueue", option[] = "-f";
	char *argv[] = {name, option, NULL};

	/* -q15m starts a daemon elsewhere: here it runs anyway. */
	if (s->flush[0] != '\0' && ascii_is_digit(s->flush[0]))
		return EX_OK;
	optind = 1;
	return name_postqueue(2, argv);
}

int name_sendmail(int argc, char **argv)
{
	struct sendmail s = {.a = arena_new(SIZE_MAX), .mode = 'm'};
	char *none[] = {argv[0], NULL};
	int rc = read_options(&s, argc, argv);

	if (rc != EX_OK)
		return rc;
	signal(SIGPIPE, SIG_IGN);
	s.c = name_conf(s.dir);
	optind = 1;
	switch (s.mode) {
	case 'm':
		return s.flush != NULL ? flush(&s) : mail(&s);
	case 's':
		return talk(&s);
	case 'p':
		return name_mailq(1, none);
	case 'i':
		return name_newaliases(1, none);
	default:
		return say("not here: use postern start, postern check or "
			   "postern queue",
			STR(""), EX_USAGE);
	}
}
