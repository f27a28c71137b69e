/* SPDX-License-Identifier: ISC */
#include "conf/service.h"

#include <string.h>

#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/line_conf.h"
#include "conf/service_addrs.h"

const char *service_kind_name(enum service_kind kind)
{
	static const char *const names[] = {"smtpd", "imapd", "pop3d"};

	return names[kind];
}

/* ---- lines ---- */

struct loader {
	const struct conf *base;
	struct services *out;
	struct problems *problems;
	size_t cap;
	size_t transports_cap;
	size_t spawns_cap;
	struct master_lines lines;
};

static void complain(struct loader *l, enum problem_level level, unsigned line,
	struct str what, struct str write)
{
	problem_add(l->problems, level, l->out->master_cf, line, what, write);
}

static struct conf *conf_of(
	struct loader *l, const struct master_entry *e, bool cleans)
{
	return line_conf(l->base, &l->lines, &e, 1, cleans, l->problems);
}

/* What stands behind postscreen in Postfix is the smtpd of its pass line: its
 * settings count, too. */
static struct conf *screen_conf(struct loader *l, const struct master_entry *e)
{
	const struct master_entry *pass =
		master_lines_find(&l->lines, STR_NONE, STR("pass"), "smtpd");
	const struct master_entry *both[] = {pass, e};

	return pass == NULL ? conf_of(l, e, true)
			    : line_conf(l->base, &l->lines, both, 2, true,
				      l->problems);
}

static bool listener_kind(struct str command, enum service_kind *kind_r)
{
	static const struct {
		const char *command;
		enum service_kind kind;
	} commands[] = {{"smtpd", SERVICE_SMTPD}, {"postscreen", SERVICE_SMTPD},
		{"lmtpd", SERVICE_SMTPD}, {"imapd", SERVICE_IMAPD},
		{"pop3d", SERVICE_POP3D}};

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eqc(command, commands[i].command)) {
			*kind_r = commands[i].kind;
			return true;
		}
	return false;
}

static void add(struct loader *l, struct service s)
{
	if (l->out->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		struct service *v =
			arena_alloc(l->base->a, l->cap * sizeof(*v));
		if (l->out->n > 0)
			memcpy(v, l->out->v, l->out->n * sizeof(*v));
		l->out->v = v;
	}
	l->out->v[l->out->n++] = s;
}

static void add_service(
	struct loader *l, const struct master_entry *e, enum service_kind kind)
{
	const struct master_line *m = &e->m;
	struct arena *a = l->base->a;
	unsigned line = e->line;
	struct service s = {.kind = kind,
		.lmtp = str_eqc(m->command, "lmtpd"),
		.screen = str_eqc(m->command, "postscreen"),
		.line = line};

	s.name = arena_str(a, m->service);
	s.conf = s.screen ? screen_conf(l, e)
			  : conf_of(l, e, kind == SERVICE_SMTPD);
	if (!service_addrs(s.conf, e, l->out->master_cf, &s.addrs, &s.n_addrs,
		    l->problems)) {
		conf_free(s.conf);
		return;
	}
	/* The last line of the same name counts, as in Postfix. */
	for (size_t i = 0; i < l->out->n; i++)
		if (str_eq(l->out->v[i].name, s.name)) {
			conf_free(l->out->v[i].conf);
			l->out->v[i] = s;
			return;
		}
	add(l, s);
}

static void add_transport(struct loader *l, const struct master_entry *e)
{
	const struct master_line *m = &e->m;
	struct arena *a = l->base->a;
	unsigned line = e->line;
	struct pipe_args *pipe_args = NULL;
	const char *why;

	if (str_eqc(m->command, "pipe")) {
		pipe_args = arena_make(a, struct pipe_args);
		if (!pipe_args_parse(&m->args, a, pipe_args, &why)) {
			complain(l, PROBLEM_ERROR, line,
				arena_printf(a, "%.*s pipe: %s",
					STR_ARG(m->service), why),
				STR("write flags=DRhu user=NAME "
				    "argv=/path/of/program ${recipient}"));
			return;
		}
	}
	if (l->out->n_transports == l->transports_cap) {
		l->transports_cap =
			l->transports_cap > 0 ? l->transports_cap * 2 : 16;
		struct transport *v =
			arena_alloc(a, l->transports_cap * sizeof(*v));
		if (l->out->n_transports > 0)
			memcpy(v, l->out->transports,
				l->out->n_transports * sizeof(*v));
		l->out->transports = v;
	}
	l->out->transports[l->out->n_transports++] =
		(struct transport){.name = arena_str(a, m->service),
			.command = arena_str(a, m->command),
			.pipe = pipe_args,
			.conf = conf_of(l, e, false),
			.line = line};
}

/* ---- spawn(8) ---- */

/* $queue_directory/private/NAME, or public/NAME where the line says private n
 */
static bool spawn_addrs(
	struct loader *l, const struct master_entry *e, struct spawn *s)
{
	struct arena *a = l->base->a;

	if (str_eqc(e->m.type, "inet"))
		return service_addrs(l->base, e, l->out->master_cf, &s->addrs,
			&s->n_addrs, l->problems);
	s->public = str_eqc(e->m.private_, "n");
	s->addrs = arena_make(a, struct sock_addr);
	s->n_addrs = 1;
	if (sock_addr_unix(arena_printf(a, "%.*s/%s/%.*s",
				   STR_ARG(l->base->queue_directory),
				   s->public ? "public" : "private",
				   STR_ARG(e->m.service)),
		    s->addrs))
		return true;
	complain(l, PROBLEM_ERROR, e->line,
		STR("the path of this socket is too long"),
		STR("a shorter queue_directory"));
	return false;
}

static void add_spawn(struct loader *l, const struct master_entry *e)
{
	struct arena *a = l->base->a;
	struct pipe_args *args = arena_make(a, struct pipe_args);
	struct spawn s = {.name = arena_str(a, e->m.service),
		.args = args,
		.line = e->line};
	const char *why;
	uint64_t most;

	if (!pipe_args_parse(&e->m.args, a, args, &why)) {
		complain(l, PROBLEM_ERROR, e->line,
			arena_printf(a, "%.*s spawn: %s", STR_ARG(s.name), why),
			STR("write user=NAME argv=/path/of/program"));
		return;
	}
	if (!spawn_addrs(l, e, &s))
		return;
	s.most = str_u64(e->m.maxproc, &most)
			 ? (unsigned)most
			 : (unsigned)l->base->default_process_limit;
	s.time_limit = transport_setting(l->base, s.name, "time_limit", true,
		l->base->command_time_limit, a);
	l->out->spawns = arena_grown(a, l->out->spawns, l->out->n_spawns,
		&l->spawns_cap, sizeof(*l->out->spawns));
	l->out->spawns[l->out->n_spawns++] = s;
}

const struct transport *transport_find(
	const struct services *s, struct str name)
{
	for (size_t i = 0; i < s->n_transports; i++)
		if (str_eq(s->transports[i].name, name))
			return &s->transports[i];
	return NULL;
}

int64_t transport_setting(const struct conf *c, struct str transport,
	const char *rest, bool is_time, int64_t fallback, struct arena *a)
{
	struct str value;
	const char *why;
	int64_t n;

	if (!conf_expand_name(c,
		    arena_printf(a, "%.*s_%s", STR_ARG(transport), rest), a,
		    &value, &why) ||
		!str_present(value) ||
		!(is_time ? value_time(value, 's', &n) : str_i64(value, &n)) ||
		n < 0)
		return fallback;
	return n;
}

struct str service_pickup_path(const struct conf *c, struct arena *a)
{
	return arena_printf(
		a, "%.*s/public/pickup", STR_ARG(c->queue_directory));
}

/*
 * The way in for sendmail(1): SMTP on a Unix socket, for people who are logged
 * in and whom the kernel names.  No list of restrictions concerns them; what
 * cannot be delivered comes back as a bounce, as in Postfix.
 */
static void add_pickup(struct loader *l)
{
	static const char text[] =
		"pickup unix n - n - - smtpd -o smtpd_client_restrictions= "
		"-o smtpd_helo_restrictions= -o smtpd_sender_restrictions= "
		"-o smtpd_relay_restrictions=permit "
		"-o smtpd_recipient_restrictions=permit "
		"-o smtpd_data_restrictions= "
		"-o smtpd_end_of_data_restrictions= "
		"-o smtpd_reject_unlisted_recipient=no "
		"-o smtpd_reject_unlisted_sender=no "
		"-o smtpd_helo_required=no -o smtpd_sasl_auth_enable=no "
		"-o smtpd_tls_security_level=none "
		"-o smtpd_tls_wrappermode=no -o smtpd_milter_maps= "
		"-o smtpd_milters=$non_smtpd_milters "
		"-o smtpd_recipient_limit=100000 "
		"-o smtpd_forbid_bare_newline=normalize "
		"-o always_add_missing_headers=yes "
		"-o local_header_rewrite_clients=static:all";
	struct arena *a = l->base->a;
	struct sock_addr *addr = arena_make(a, struct sock_addr);
	const struct master_entry *theirs =
		master_lines_find(&l->lines, STR_NONE, STR_NONE, "pickup");
	struct master_entry own = {0};
	const struct master_entry *both[] = {&own, theirs};
	const char *why;

	if (!sock_addr_unix(service_pickup_path(l->base, a), addr) ||
		!master_line_parse(str_from(text), a, &own.m, &why))
		return; /* the path is too long: told when sendmail is used */
	add(l, (struct service){.kind = SERVICE_SMTPD,
		       .local = true,
		       .name = STR("pickup"),
		       .addrs = addr,
		       .n_addrs = 1,
		       .conf = line_conf(l->base, &l->lines, both,
			       theirs != NULL ? 2 : 1, true, l->problems)});
}

static const char *const silent[] = {"pickup", "cleanup", "qmgr", "nqmgr",
	"tlsmgr", "trivial-rewrite", "bounce", "defer", "trace", "verify",
	"flush", "proxymap", "proxywrite", "showq", "anvil", "scache",
	"postlogd", "dnsblog", "tlsproxy", "oqmgr", "postscreen", "smtpd",
	"qmqpd", "nbdb_reindexd"};
static const char *const transports[] = {"smtp", "lmtp", "error", "discard",
	"local", "virtual", "retry", "pipe"};
static const char *const later[] = {"managesieved", "httpd"};

static bool in_list(struct str word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eqc(word, list[i]))
			return true;
	return false;
}

static void read_line(struct loader *l, const struct master_entry *e)
{
	const struct master_line *m = &e->m;
	struct arena *a = l->base->a;
	enum service_kind kind;

	if (str_eqc(m->type, "inet") && listener_kind(m->command, &kind)) {
		add_service(l, e, kind);
		return;
	}
	if (in_list(m->command, transports, ARRAY_LEN(transports))) {
		add_transport(l, e);
		return;
	}
	if (str_eqc(m->command, "spawn")) {
		add_spawn(l, e);
		return;
	}
	if (in_list(m->command, later, ARRAY_LEN(later))) {
		complain(l, PROBLEM_WARNING, e->line,
			arena_printf(a, "%.*s does not act yet",
				STR_ARG(m->command)),
			STR("remove the line, or live without it"));
		return;
	}
	if (in_list(m->command, silent, ARRAY_LEN(silent)))
		return;
	complain(l, PROBLEM_WARNING, e->line,
		arena_printf(a, "unknown command %.*s: the line is ignored",
			STR_ARG(m->command)),
		STR("write smtpd, imapd or pop3d behind inet"));
}

static const char default_master[] =
	"smtp inet n - n - - smtpd\n"
	"submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt"
	" -o smtpd_sasl_auth_enable=yes"
	" -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n"
	"submissions inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
	" -o smtpd_sasl_auth_enable=yes"
	" -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n"
	"imap inet n - n - - imapd\n"
	"imaps inet n - n - - imapd -o imapd_tls_wrappermode=yes\n"
	"pop3 inet n - n - - pop3d\n"
	"pop3s inet n - n - - pop3d -o pop3d_tls_wrappermode=yes\n";

struct services *services_load(
	const struct conf *base, struct problems *problems)
{
	struct services *s = arena_make(base->a, struct services);
	struct loader l = {.base = base, .out = s, .problems = problems};
	struct str text = base->master_text;

	s->master_cf =
		arena_printf(base->a, "%.*s/master.cf", STR_ARG(base->dir));
	if (!str_present(text)) {
		complain(&l, PROBLEM_NOTE, 0,
			STR("no master.cf: the usual services on their "
			    "standard ports"),
			STR_NONE);
		text = str_from(default_master);
	}
	master_lines_read(base, s->master_cf, text, &l.lines, problems);
	for (size_t i = 0; i < l.lines.n; i++)
		read_line(&l, &l.lines.v[i]);
	if (transport_find(s, STR("lmtp")) == NULL)
		add_transport(&l, &(struct master_entry){
					  .m = {.service = STR("lmtp"),
						  .command = STR("lmtp")}});
	add_pickup(&l);
	return s;
}

void services_free(struct services *s)
{
	for (size_t i = 0; i < s->n; i++)
		conf_free(s->v[i].conf);
	for (size_t i = 0; i < s->n_transports; i++)
		conf_free(s->transports[i].conf);
}
