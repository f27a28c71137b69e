/* SPDX-License-Identifier: ISC */
#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/main.h"
#include "codec/postfix/value.h"

static const struct {
	const char *name;
	cmd_f *fn;
	const char *usage;
	const char *what;
} commands[] = {
	{"start", cmd_start, "start [--foreground]",
		"check the configuration and start"},
	{"stop", cmd_stop, "stop", "stop a running postern"},
	{"reload", cmd_reload, "reload",
		"check the configuration and take it over"},
	{"status", cmd_status, "status [--json]",
		"show roles, sessions, uptime"},
	{"check", cmd_check, "check [--list-parameters]",
		"say what is wrong with the configuration"},
	{"conf", cmd_conf,
		"conf [-n] [-d] [-x] [-h] [NAME ...] | conf -e NAME=VALUE ...",
		"show or edit parameters, as postconf does"},
	{"user", cmd_user,
		"user add|passwd|del ADDRESS [--password-stdin] | user list",
		"manage accounts"},
	{"mailbox", cmd_mailbox,
		"mailbox backup DIRECTORY | verify [DIRECTORY] | repair | "
		"undelete "
		"ADDRESS | import ADDRESS PATH [--mailbox NAME] | "
		"export ADDRESS DIRECTORY [--format maildir|mbox] | "
		"restore ADDRESS BACKUP",
		"back up the mailboxes, bring mail in and out"},
	{"queue", cmd_queue,
		"queue list [--json] | sites | show ID | "
		"flush|hold|release|delete|expire "
		"ID|ALL",
		"look at the queue and change it"},
	{"why", cmd_why,
		"why ID|ADDRESS|MESSAGE-ID|CLIENT [--json] [--limit N]",
		"tell all that was decided about a message"},
	{"authenticate", cmd_authenticate,
		"authenticate [--client ADDRESS] [--helo NAME] [--from "
		"ADDRESS] [--json] [FILE|-]",
		"say what SPF, DKIM and DMARC prove"},
	{"dkim", cmd_dkim,
		"dkim generate DOMAIN | rotate [DOMAIN] [--older-than DAYS] | "
		"list [DOMAIN] | zone [DOMAIN]  [--no-dns]",
		"make, show and replace signing keys"},
	{"dmarc", cmd_dmarc, "dmarc show FILE|- ...",
		"show the reports that others sent"},
	{"dns", cmd_dns, "dns DOMAIN | dns check DOMAIN",
		"print the zone of a domain, or compare it with DNS"},
	{"send", cmd_send,
		"send --server HOST:PORT [--starttls|--tls] [--ca-file FILE] "
		"[--auth-user USER --password-stdin]\n            --from A "
		"--to B ... [--cc C] [--bcc D] [--subject S] [--text "
		"T|--text-file FILE] [--attach FILE] ... | --eml FILE",
		"compose and submit a message"},
};

static void print_help(FILE *out)
{
	fprintf(out, "usage: postern [-c DIR] COMMAND ...\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-12s %s\n", commands[i].name,
			commands[i].what);
	fprintf(out, "\nDIR holds main.cf and master.cf; without -c it is "
		     "$MAIL_CONFIG, /etc/postern or /etc/postfix.\n"
		     "postern COMMAND --help says more.\n");
}

static int unknown(const char *word)
{
	const char *names[ARRAY_LEN(commands)];

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i].name;
	const char *near =
		nearest_name(str_from(word), names, ARRAY_LEN(names));
	fprintf(stderr, "postern: unknown command \"%s\"", word);
	if (near != NULL)
		fprintf(stderr, ": did you mean \"%s\"?\n", near);
	else
		fprintf(stderr, "; postern --help lists them\n");
	return EX_USAGE;
}

int cmd_main(int argc, char **argv)
{
	const char *dir = NULL;
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			dir = argv[++i];
		} else if (strcmp(argv[i], "--help") == 0) {
			print_help(stdout);
			return EX_OK;
		} else if (strcmp(argv[i], "--version") == 0) {
			printf("postern %s\n", POSTERN_VERSION);
			return EX_OK;
		} else {
			fprintf(stderr, "postern: unknown option %s\n",
				argv[i]);
			return EX_USAGE;
		}
	}
	if (i == argc) {
		print_help(stderr);
		return EX_USAGE;
	}
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		if (strcmp(argv[i], commands[k].name) == 0) {
			struct cmd c = {conf_find_dir(dir), argc - i, argv + i,
				commands[k].usage};

			return cmd_wants_help(&c) ? EX_OK : commands[k].fn(&c);
		}
	return unknown(argv[i]);
}

bool cmd_wants_help(struct cmd *c)
{
	for (int i = 1; i < c->argc; i++)
		if (strcmp(c->argv[i], "--help") == 0) {
			printf("usage: postern [-c DIR] %s\n\n"
			       "See postern-%s(1).\n",
				c->usage, c->argv[0]);
			return true;
		}
	return false;
}

void cmd_put_safe(const char *s)
{
	for (; *s != '\0'; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

int cmd_usage(struct cmd *c, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "postern %s: ", c->argv[0]);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nusage: postern [-c DIR] %s\n", c->usage);
	return EX_USAGE;
}

int cmd_option(struct cmd *c, int *at, const struct option_def *defs, size_t n,
	const char **value_r)
{
	if (*at >= c->argc)
		return -2;
	const char *word = c->argv[(*at)++];
	if (word[0] != '-' || word[1] == '\0') {
		*value_r = word;
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, defs[i].name) != 0)
			continue;
		*value_r = NULL;
		if (!defs[i].takes_value)
			return (int)i;
		if (*at >= c->argc) {
			cmd_usage(c, "%s needs a value", word);
			return -3;
		}
		*value_r = c->argv[(*at)++];
		return (int)i;
	}
	cmd_usage(c, "unknown option %s", word);
	return -3;
}

static bool read_line(FILE *in, struct buf *out)
{
	int ch;

	buf_reset(out);
	while ((ch = getc(in)) != EOF && ch != '\n')
		buf_putc(out, (char)ch);
	return out->len > 0 && !buf_over(out);
}

static bool ask(const char *prompt, struct buf *out)
{
	FILE *tty = fopen("/dev/tty", "r+");
	struct termios old, quiet;

	if (tty == NULL)
		return false;
	bool term = tcgetattr(fileno(tty), &old) == 0;
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(tty, "%s", prompt);
	fflush(tty);
	if (term)
		tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
	bool ok = read_line(tty, out);
	if (term)
		tcsetattr(fileno(tty), TCSAFLUSH, &old);
	fprintf(tty, "\n");
	fclose(tty);
	return ok;
}

bool cmd_read_password(bool from_stdin, bool twice, struct buf *out)
{
	struct buf again CLEANUP(buf_fini);

	if (from_stdin)
		return read_line(stdin, out);
	if (!ask("Password: ", out))
		return false;
	if (!twice)
		return true;
	buf_init(&again, 1024);
	if (ask("Once more: ", &again) && str_eq(buf_str(&again), buf_str(out)))
		return true;
	fprintf(stderr, "the two passwords differ\n");
	return false;
}

void cmd_give_back(const char *like, const char *path)
{
	struct stat st;

	if (geteuid() != 0 || stat(like, &st) != 0 || access(path, F_OK) != 0)
		return;
	if (chown(path, st.st_uid, st.st_gid) != 0)
		fprintf(stderr, "postern: chown %s failed\n", path);
}

struct resolver *cmd_resolver(const struct conf *c, struct fault *f)
{
	struct resolver_options o = {
		c->dns_resolvers, c->dns_trust_anchor_file};

	return resolver_new(&o, f);
}
