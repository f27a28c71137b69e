/* SPDX-License-Identifier: ISC */
/*
 * The local class: alias_maps, .forward, mailbox_transport, then the user's own
 * mailbox.
 * local(8), aliases(5).  First everything is expanded; then users, files and
 * commands get the message by a child of master that has the right uid; the
 * addresses go back into the queue as a message of their own, last, because
 * what fails before them is tried again as a whole.
 */
#include <pwd.h>
#include <string.h>

#include "codec/mail/header.h"
#include "codec/postfix/aliases.h"
#include "codec/smtp/path.h"
#include "policy/rewrite.h"
#include "role/mailbox/local_forward.h"
#include "role/mailbox/local_pass.h"

enum { ALIAS_DEPTH_MAX = 100, ALIAS_TARGETS_MAX = 100000, TIMEOUT_MS = 120000 };

/* Somebody or something that gets the message here. */
struct task {
	enum local_action action;
	struct str user; /* whose mailbox, whose rights; absent: nobody's */
	struct str target; /* file or command; the extension of a user */
	struct str owner; /* of the list that it is in; absent: none */
	bool luser; /* luser_relay named it */
	struct task *next;
};

struct expansion {
	struct mailbox_role *m;
	const struct envelope *e;
	const struct recipient *r;
	const struct text *body;
	struct str message; /* its bytes */
	int body_fd; /* of body, for the child; -1: not asked for yet */
	struct arena *a;
	struct map *seen; /* what is already among the targets */
	size_t remembered; /* of them: towards duplicate_filter_limit */
	size_t targets; /* all, those that were there before, too */
	struct forwarded *forwarded; /* addresses to be queued */
	struct passed *passed; /* the same, to transports */
	bool luser; /* what is expanded is luser_relay */
	struct task *first, **last;
	struct str extension; /* of the recipient; absent without */
	struct fault *f;
};

/* Where a target was found: what it may do, and with whose rights. */
struct source {
	const char *name; /* alias, forward, include */
	struct str user; /* absent: default_privs */
	struct str alias; /* absent: not an alias */
	struct str owner; /* to whom errors go: of a list; absent: the sender */
	const struct source *up;
	unsigned depth;
};

static bool expand_name(
	struct expansion *x, struct str name, const struct source *from);
static bool take_text(
	struct expansion *x, struct str text, const struct source *from);

/* ---- what is asked of master ---- */

static bool ask_master(
	struct expansion *x, const struct task *t, struct ipc_frame *reply)
{
	struct buf b CLEANUP(buf_fini);
	bool user = t->action == LOCAL_MAILBOX ||
		    t->action == LOCAL_MAILBOX_ONLY ||
		    t->action == LOCAL_FORWARD;
	int64_t ms = TIMEOUT_MS;
	bool delivered_to =
		conf_option_has(x->m->role->conf->prepend_delivered_header,
			t->action == LOCAL_COMMAND ? "command" : "file");
	struct local_request req = {.action = t->action,
		.user = t->user,
		.target = user ? STR("") : t->target,
		.prefix = mailbox_prefix(
			x->m->role->conf, x->e, x->r, delivered_to, x->a),
		.sender = x->e->sender,
		.recipient = x->r->address,
		.original = x->r->original,
		.extension = user ? t->target : x->extension,
		.client = x->e->client,
		.login = x->e->login,
		.helo = x->e->helo,
		.protocol = x->e->protocol,
		.sasl_method = x->e->sasl_method,
		.sasl_sender = x->e->sasl_sender,
		.port = x->e->port};

	if (user || t->action == LOCAL_COMMAND)
		ms += x->m->role->conf->command_time_limit * 1000;
	buf_init(&b, 1 << 20);
	local_request_put(&b, &req);
	if (x->body_fd < 0)
		x->body_fd = text_descriptor(x->body, x->f);
	return x->body_fd >= 0 &&
	       ipc_call(x->m->role->master, IPC_LOCAL, buf_str(&b), x->body_fd,
		       ms, reply, x->f);
}

/* The text of an :include: file, as default_privs or the user reads it. */
static bool take_include(
	struct expansion *x, struct str path, const struct source *from)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct file_map map CLEANUP(file_unmap) = {0};
	struct task t = {
		.action = LOCAL_READ, .user = from->user, .target = path};
	struct source in = {.name = "include",
		.user = from->user,
		.owner = from->owner,
		.up = from,
		.depth = from->depth + 1};

	ipc_frame_init(&reply);
	if (!ask_master(x, &t, &reply) || !file_map_fd(reply.fd, &map, x->f))
		return false;
	return take_text(x, alias_lines_join(map.bytes, x->a), &in);
}

/* ---- expansion ---- */

/* False when it is already among the targets. */
static bool is_new(
	struct expansion *x, char kind, struct str user, struct str value)
{
	int64_t most = x->m->role->conf->duplicate_filter_limit;
	/* Whatever leads to more is followed once, or it would never end. */
	bool bounded = most > 0 && kind != 'a' && kind != ':';
	struct str key = arena_printf(
		x->a, "%c%.*s %.*s", kind, STR_ARG(user), STR_ARG(value));

	if (bounded && x->remembered >= (size_t)most)
		return map_get(x->seen, key) == NULL;
	x->remembered += bounded;
	return map_set(x->seen, key, x) == NULL;
}

static void add_task(struct expansion *x, enum local_action action,
	struct str user, struct str target, const struct source *from)
{
	struct task *t = arena_make(x->a, struct task);

	if (!is_new(x, (char)('0' + action), user, target))
		return;
	*t = (struct task){.action = action,
		.user = user,
		.target = target,
		.owner = from->owner,
		.luser = x->luser};
	*x->last = t;
	x->last = &t->next;
}

static bool take_address(
	struct expansion *x, struct str item, const struct source *from)
{
	struct str address = rewrite_trivial(x->m->policy, item, x->a);
	struct str local, domain;
	enum address_class class;

	smtp_address_split(address, &local, &domain);
	if (!policy_class(x->m->policy, domain, x->a, &class, x->f))
		return false;
	if (class != CLASS_LOCAL) {
		if (is_new(x, '@', STR_NONE, address))
			forward_add(&x->forwarded, from->owner, address, x->a);
		return true;
	}
	/* Who names himself in his .forward wants a copy in the mailbox. */
	if (strcmp(from->name, "forward") == 0 && str_ieq(local, from->user)) {
		add_task(x, LOCAL_MAILBOX_ONLY, from->user, STR(""), from);
		return true;
	}
	return expand_name(x, local, from);
}

static bool restricted(struct expansion *x, const char *what,
	struct str allowed, const struct source *from)
{
	if (conf_option_has(allowed, from->name))
		return false;
	fault_set(x->f, FAULT_PERM, 550, 7, 1, "mail to %s is restricted (%s)",
		what, from->name);
	return true;
}

static bool take_target(struct expansion *x, const struct alias_target *t,
	const struct source *from)
{
	const struct conf *c = x->m->role->conf;

	switch (t->kind) {
	case ALIAS_ADDRESS:
		return take_address(x, t->value, from);
	case ALIAS_USER:
		add_task(x, LOCAL_MAILBOX_ONLY, t->value, STR(""), from);
		return true;
	case ALIAS_FILE:
		if (restricted(x, "files", c->allow_mail_to_files, from))
			return false;
		add_task(x, LOCAL_FILE, from->user, t->value, from);
		return true;
	case ALIAS_COMMAND:
		if (restricted(x, "commands", c->allow_mail_to_commands, from))
			return false;
		add_task(x, LOCAL_COMMAND, from->user, t->value, from);
		return true;
	case ALIAS_INCLUDE:
		return !is_new(x, ':', from->user, t->value) ||
		       take_include(x, t->value, from);
	}
	return true;
}

static bool take_text(
	struct expansion *x, struct str text, const struct source *from)
{
	struct alias_target t;

	if (from->depth > ALIAS_DEPTH_MAX)
		return fault_set(x->f, FAULT_PERM, 554, 4, 6,
			"aliases nest too deep for %.*s",
			STR_ARG(x->r->address));
	while (alias_target_next(&text, x->a, &t)) {
		if (++x->targets > ALIAS_TARGETS_MAX)
			return fault_set(x->f, FAULT_PERM, 554, 5, 3,
				"%.*s has too many members",
				STR_ARG(x->r->address));
		if (!take_target(x, &t, from))
			return false;
	}
	return true;
}

/* aliases(5): errors of a list go to its owner. */
static struct str owner_of(
	struct expansion *x, struct str name, const struct source *from)
{
	const struct conf *c = x->m->role->conf;
	struct str value;
	struct fault f;
	struct alias_target t;
	struct str owner = arena_printf(x->a, "owner-%.*s", STR_ARG(name));

	if (maps_lookup(x->m->policy->alias, owner, x->a, &value, &f) !=
		TABLE_FOUND)
		return c->reset_owner_alias ? STR_NONE : from->owner;
	if (c->expand_owner_alias && alias_target_next(&value, x->a, &t) &&
		t.kind == ALIAS_ADDRESS)
		owner = t.value;
	return rewrite_trivial(x->m->policy, owner, x->a);
}

/* aliases(5): the commands of an alias file run as its owner. */
static struct str rights_of_aliases(struct expansion *x, struct str name)
{
	uid_t uid = maps_owner(x->m->policy->alias, name, x->a);
	char buffer[4096];
	struct passwd pw, *found = NULL;

	/* The owner of the queue runs nothing for anybody. */
	if (uid == 0 || uid == (uid_t)-1 ||
		getpwuid_r(uid, &pw, buffer, sizeof(buffer), &found) != 0 ||
		found == NULL ||
		str_eqc(x->m->role->conf->mail_owner, pw.pw_name))
		return STR_NONE;
	return arena_str(x->a, str_from(pw.pw_name));
}

static bool is_user(struct expansion *x, struct str name)
{
	char buffer[4096];
	struct passwd pw, *found = NULL;

	getpwnam_r(arena_cstr(x->a, name), &pw, buffer, sizeof(buffer), &found);
	return found != NULL;
}

static bool is_above(const struct source *from, struct str alias)
{
	for (; from != NULL; from = from->up)
		if (str_present(from->alias) && str_ieq(from->alias, alias))
			return true;
	return false;
}

static bool expand_name(
	struct expansion *x, struct str name, const struct source *from)
{
	const struct conf *c = x->m->role->conf;
	struct str value, user, ext, key = name;

	address_extension(name, c->recipient_delimiter,
		c->owner_request_special, &user, &ext);
	enum table_result r =
		maps_lookup(x->m->policy->alias, key, x->a, &value, x->f);
	if (r == TABLE_NONE && str_present(ext)) {
		key = user;
		r = maps_lookup(x->m->policy->alias, key, x->a, &value, x->f);
	}
	if (r == TABLE_ERROR)
		return false;
	/* An alias that leads to itself means the user, if there is one. */
	bool again = r == TABLE_FOUND && is_above(from, key);
	if (again && !is_user(x, user))
		return true;
	if (r == TABLE_NONE || again) {
		add_task(x, LOCAL_MAILBOX, arena_lower(x->a, user),
			str_present(ext) ? str_from_at(ext, 1) : STR(""), from);
		return true;
	}
	if (!is_new(x, 'a', STR_NONE, arena_lower(x->a, key)))
		return true;
	struct source in = {.name = "alias",
		.owner = owner_of(x, user, from),
		.user = rights_of_aliases(x, key),
		.alias = key,
		.up = from,
		.depth = from->depth + 1};
	return take_text(x, value, &in);
}

/* ---- delivery ---- */

/* To another transport, as it came: who gets it there is its business. */
static bool pass_on(struct expansion *x, struct str user, struct str spec)
{
	struct recipient rcpt = {
		.address = passed_address(x->m, x->r, user, x->a),
		.original = x->r->original,
		.orcpt = x->r->orcpt,
		.notify = x->r->notify};

	/* What comes by a transport and goes to it again never ends. */
	if (str_present(x->e->filter) && str_eq(x->e->filter, spec))
		return fault_set(x->f, FAULT_PERM, 554, 4, 6,
			"mail transport loop: %.*s leads back here",
			STR_ARG(spec));
	log_info("passed on", log_s("user", user), log_s("transport", spec));
	passed_add(&x->passed, spec, &rcpt, x->a);
	return true;
}

/* The address of luser_relay; once, whoever else of this mail is unknown. */
static bool relay_luser(struct expansion *x, struct str address)
{
	struct source in = {.name = "luser_relay", .depth = 1};

	if (!is_new(x, 'l', STR_NONE, address))
		return true;
	x->luser = true;
	bool ok = take_address(x, address, &in);
	x->luser = false;
	return ok;
}

/* A user without an account. */
static bool deliver_unknown(struct expansion *x, const struct task *t)
{
	struct str spec, address = STR_NONE;

	if (!local_transport(x->m, t->user, true, x->a, &spec, x->f))
		return false;
	if (str_present(spec))
		return pass_on(x, t->user, spec);
	/* Nobody catches what the catcher would. */
	if (!t->luser &&
		!local_luser(x->m, x->r->address, x->a, &address, x->f))
		return false;
	if (str_present(address))
		return relay_luser(x, address);
	if (str_ieqc(t->user, "postmaster") ||
		str_ieqc(t->user, "mailer-daemon")) {
		/* Nobody named one: what is said to it, the log keeps. */
		log_warn("mail for postmaster has no home: set an alias",
			log_s("from", x->e->sender));
		return true;
	}
	return fault_set(x->f, FAULT_PERM, 550, 1, 1, "unknown user: \"%.*s\"",
		STR_ARG(t->user));
}

static bool deliver_user(struct expansion *x, const struct task *t)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct file_map map CLEANUP(file_unmap) = {0};
	struct source in = {
		.name = "forward", .user = t->user, .owner = t->owner};
	struct task ask = *t;
	bool there = is_user(x, t->user);
	struct str spec;

	ipc_frame_init(&reply);
	if (!local_transport(x->m, t->user, false, x->a, &spec, x->f))
		return false;
	bool pass = str_present(spec);
	if (pass && (!there || t->action == LOCAL_MAILBOX_ONLY))
		return pass_on(x, t->user, spec);
	if (!there)
		return deliver_unknown(x, t);
	if (pass)
		ask.action = LOCAL_FORWARD;
	if (!ask_master(x, &ask, &reply))
		return false;
	/* Nothing was delivered yet: there is a .forward to follow. */
	if (reply.fd >= 0)
		return file_map_fd(reply.fd, &map, x->f) &&
		       take_text(x, alias_lines_join(map.bytes, x->a), &in);
	return !pass || pass_on(x, t->user, spec);
}

/* A .forward adds tasks behind the one that is being done. */
static bool do_tasks(struct expansion *x)
{
	for (const struct task *t = x->first; t != NULL; t = t->next) {
		struct ipc_frame reply CLEANUP(ipc_frame_fini);
		bool user = t->action == LOCAL_MAILBOX ||
			    t->action == LOCAL_MAILBOX_ONLY;

		ipc_frame_init(&reply);
		if (user ? !deliver_user(x, t) : !ask_master(x, t, &reply))
			return false;
	}
	return true;
}

static bool deliver_rcpt(struct mailbox_role *m, const struct envelope *e,
	const struct recipient *r, const struct text *body, struct arena *a,
	struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct expansion x = {.m = m,
		.e = e,
		.r = r,
		.body = body,
		.body_fd = -1,
		.a = a,
		.f = f};
	struct source from = {.name = "alias"};
	struct str local, domain, user, ext;

	x.last = &x.first;
	if (!text_map(body, &map, f))
		return false;
	x.message = map.bytes;
	if (forward_is_loop(map.bytes, r->address))
		return fault_set(f, FAULT_PERM, 554, 4, 6,
			"mail forwarding loop for %.*s", STR_ARG(r->address));
	smtp_address_split(r->address, &local, &domain);
	if (address_extension(local, m->role->conf->recipient_delimiter,
		    m->role->conf->owner_request_special, &user, &ext))
		x.extension = str_from_at(ext, 1);
	x.seen = map_new();
	bool ok = expand_name(&x, local, &from) && do_tasks(&x) &&
		  passed_queue(x.passed, m, e, x.message, f) &&
		  forward_queue(x.forwarded, m, e, r, x.message, a, f);
	map_free(x.seen, NULL);
	fd_close(&x.body_fd);
	return ok;
}

void mailbox_local(struct mailbox_role *m, const struct job *job,
	const struct text *body, struct arena *a, struct outcomes *o)
{
	for (uint32_t i = 0; i < job->n_pick; i++) {
		const struct recipient *r = &job->env.rcpts[job->pick[i]];
		struct outcome_of one = {.n = job->pick[i],
			.kind = DELIVERED,
			.text = STR("delivered locally")};
		struct fault f;

		if (!deliver_rcpt(m, &job->env, r, body, a, &f))
			outcome_fault(&one, job->pick[i], &f, a);
		o->v[o->n++] = one;
	}
}
