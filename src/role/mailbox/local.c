/* SPDX-License-Identifier: ISC */
/*
 * The local class: alias_maps, then the user's own mailbox file or Maildir.
 * local(8), aliases(5).  Addresses of an alias go back into the queue as a
 * message of their own; files are written by a child of master that has the
 * user's uid.
 */
#include <pwd.h>
#include <string.h>

#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "policy/rewrite.h"
#include "role/mailbox/mailbox.h"

enum { ALIAS_DEPTH_MAX = 100, ALIAS_TARGETS_MAX = 10000, TIMEOUT_MS = 120000 };

struct expansion {
	struct mailbox_role *m;
	struct arena *a;
	struct strs addresses; /* to be queued */
	struct strs files;
	struct strs users; /* to be delivered here */
	struct str owner; /* owner-NAME of the last alias; absent without */
	struct fault *f;
};

static bool expand_name(struct expansion *x, struct str name, unsigned depth);

/* One target of an alias: \user, "|command", /file, :include:, address */
static bool take_target(struct expansion *x, struct str item, unsigned depth)
{
	struct str local, domain;
	enum address_class class;

	if (item.len >= 2 && item.ptr[0] == '"' &&
		item.ptr[item.len - 1] == '"')
		item = str_sub(item, 1, item.len - 2);
	if (item.len > 1 && item.ptr[0] == '\\') {
		strs_add(&x->users, x->a, str_from_at(item, 1));
		return true;
	}
	if (item.len > 0 && item.ptr[0] == '/') {
		strs_add(&x->files, x->a, item);
		return true;
	}
	if (str_starts(item, "|") || str_istarts(item, ":include:"))
		return fault_set(x->f, FAULT_TEMP, 451, 3, 5,
			"alias target %.*s is not supported yet",
			STR_ARG(item));
	struct str address = rewrite_trivial(x->m->policy, item, x->a);
	smtp_address_split(address, &local, &domain);
	if (!policy_class(x->m->policy, domain, x->a, &class, x->f))
		return false;
	if (class == CLASS_LOCAL)
		return expand_name(x, local, depth + 1);
	if (!strs_has(&x->addresses, address))
		strs_add(&x->addresses, x->a, address);
	return true;
}

/* items of an alias: commas, quotes keep blanks */
static struct str alias_item(struct str *rest)
{
	bool quoted = false;
	size_t i = 0;

	while (i < rest->len && strchr(", \t", rest->ptr[i]) != NULL)
		i++;
	size_t start = i;
	for (; i < rest->len; i++) {
		if (rest->ptr[i] == '"')
			quoted = !quoted;
		else if (!quoted && rest->ptr[i] == ',')
			break;
	}
	struct str item = str_trim(str_sub(*rest, start, i - start));
	*rest = str_from_at(*rest, i);
	return item;
}

static void note_owner(struct expansion *x, struct str name)
{
	struct str value;
	struct fault f;
	struct str owner = arena_printf(x->a, "owner-%.*s", STR_ARG(name));

	if (maps_lookup(x->m->policy->alias, owner, x->a, &value, &f) ==
		TABLE_FOUND)
		x->owner = rewrite_trivial(x->m->policy, owner, x->a);
}

static bool expand_name(struct expansion *x, struct str name, unsigned depth)
{
	const struct conf *c = x->m->role->conf;
	struct str value, user, ext;

	if (depth > ALIAS_DEPTH_MAX)
		return fault_set(x->f, FAULT_PERM, 554, 4, 6,
			"aliases nest too deep at %.*s", STR_ARG(name));
	address_extension(name, c->recipient_delimiter,
		c->owner_request_special, &user, &ext);
	enum table_result r =
		maps_lookup(x->m->policy->alias, name, x->a, &value, x->f);
	if (r == TABLE_NONE && str_present(ext))
		r = maps_lookup(x->m->policy->alias, user, x->a, &value, x->f);
	if (r == TABLE_ERROR)
		return false;
	/* An alias that names itself means the user. */
	if (r == TABLE_NONE || strs_has(&x->users, user)) {
		if (!strs_has(&x->users, user))
			strs_add(&x->users, x->a, user);
		return true;
	}
	note_owner(x, user);
	while (value.len > 0) {
		struct str item = alias_item(&value);

		if (item.len == 0)
			continue;
		if (x->addresses.n + x->users.n > ALIAS_TARGETS_MAX)
			return fault_set(x->f, FAULT_PERM, 554, 5, 3,
				"alias %.*s has too many members",
				STR_ARG(name));
		if (str_ieq(item, user))
			strs_add(&x->users, x->a, user);
		else if (!take_target(x, item, depth))
			return false;
	}
	return true;
}

/* ---- delivery ---- */

/* RFC 9228: who was delivered to before is a loop. */
static bool is_loop(struct str message, struct str address)
{
	struct str head, body;
	struct mail_field field;

	mail_split(message, &head, &body);
	while (mail_field_next(&head, &field))
		if (str_ieqc(field.name, "Delivered-To") &&
			str_ieq(field.value, address))
			return true;
	return false;
}

static bool queue_addresses(struct expansion *x, const struct envelope *e,
	const struct recipient *r, struct str message)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf text CLEANUP(buf_fini);
	struct buf b CLEANUP(buf_fini);
	struct recipient *rcpts =
		arena_alloc(x->a, (x->addresses.n + 1) * sizeof(*rcpts));

	ipc_frame_init(&reply);
	buf_init(&text, message.len + 4096);
	buf_putf(&text, "Delivered-To: %.*s\r\n", STR_ARG(r->address));
	buf_put(&text, message);
	for (size_t i = 0; i < x->addresses.n; i++)
		rcpts[i] = (struct recipient){.address = x->addresses.v[i],
			.original = r->original,
			.orcpt = r->orcpt,
			.notify = r->notify};
	struct envelope fresh = *e;
	fresh.id = id_new();
	fresh.size = text.len;
	fresh.rcpts = rcpts;
	fresh.n_rcpts = (uint32_t)x->addresses.n;
	/* aliases(5): errors of a list go to its owner */
	if (str_present(x->owner) && e->sender.len > 0)
		fresh.sender = x->owner;
	int fd CLEANUP(fd_close) = file_memory(buf_str(&text), x->f);
	buf_init(&b, IPC_PAYLOAD_MAX);
	envelope_put(&b, &fresh);
	return fd >= 0 && ipc_call(x->m->role->queue, IPC_QUEUE_PUT,
				  buf_str(&b), fd, TIMEOUT_MS, &reply, x->f);
}

/* Has a child of master write it, with the user's uid. */
static bool write_file(struct expansion *x, const struct envelope *e,
	const struct recipient *r, struct str user, struct str path, int body)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct local_request req = {.user = user,
		.path = path,
		.prefix = mailbox_prefix(e, r, x->a),
		.sender = e->sender,
		.size_limit = (uint64_t)x->m->role->conf->mailbox_size_limit};

	ipc_frame_init(&reply);
	buf_init(&b, 65536);
	local_request_put(&b, &req);
	return ipc_call(x->m->role->master, IPC_LOCAL, buf_str(&b), body,
		TIMEOUT_MS, &reply, x->f);
}

static bool deliver_user(struct expansion *x, const struct envelope *e,
	const struct recipient *r, struct str user, int body)
{
	const struct conf *c = x->m->role->conf;
	char buffer[4096];
	struct passwd pw, *found = NULL;

	getpwnam_r(arena_cstr(x->a, user), &pw, buffer, sizeof(buffer), &found);
	if (found == NULL && (str_ieqc(user, "postmaster") ||
				     str_ieqc(user, "mailer-daemon"))) {
		/* Nobody named one: what is said to it, the log keeps. */
		log_warn("mail for postmaster has no home: set an alias",
			log_s("from", e->sender));
		return true;
	}
	if (found == NULL)
		return fault_set(x->f, FAULT_PERM, 550, 1, 1,
			"unknown user: \"%.*s\"", STR_ARG(user));
	/* home_mailbox is always below the home, also with a leading slash */
	struct str path = c->home_mailbox.len > 0
				  ? arena_printf(x->a, "%s/%.*s", pw.pw_dir,
					    STR_ARG(c->home_mailbox))
				  : arena_printf(x->a, "%.*s/%.*s",
					    STR_ARG(c->mail_spool_directory),
					    STR_ARG(user));
	return write_file(x, e, r, user, path, body);
}

static bool deliver_all(struct expansion *x, const struct envelope *e,
	const struct recipient *r, int body, struct str message)
{
	if (x->addresses.n > 0 && !queue_addresses(x, e, r, message))
		return false;
	for (size_t i = 0; i < x->users.n; i++)
		if (!deliver_user(x, e, r, x->users.v[i], body))
			return false;
	for (size_t i = 0; i < x->files.n; i++)
		if (!write_file(x, e, r, x->m->role->conf->default_privs,
			    x->files.v[i], body))
			return false;
	return true;
}

static bool deliver_rcpt(struct mailbox_role *m, const struct envelope *e,
	const struct recipient *r, int body, struct arena *a, struct fault *f)
{
	struct file_map map CLEANUP(file_unmap) = {0};
	struct expansion x = {.m = m, .a = a, .f = f};
	struct str local, domain;

	if (!file_map_fd(body, &map, f))
		return false;
	if (is_loop(map.bytes, r->address))
		return fault_set(f, FAULT_PERM, 554, 4, 6,
			"mail forwarding loop for %.*s", STR_ARG(r->address));
	smtp_address_split(r->address, &local, &domain);
	return expand_name(&x, local, 0) &&
	       deliver_all(&x, e, r, body, map.bytes);
}

void mailbox_local(struct mailbox_role *m, const struct job *job, int body,
	struct arena *a, struct outcomes *o)
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
