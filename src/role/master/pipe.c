/* SPDX-License-Identifier: ISC */
/*
 * pipe(8): a program that a line of master.cf names takes the message for all
 * recipients.  The asker names the transport; whose rights and which program
 * stands in master's own configuration.
 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "role/master/local.h"
#include "sys/clock.h"
#include "sys/file.h"

bool local_take_rights(
	struct local *l, const struct pipe_args *p, struct fault *f)
{
	struct passwd *pw = getpwnam(arena_cstr(l->a, p->user));
	struct passwd *own;

	if (pw == NULL)
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"there is no account %.*s", STR_ARG(p->user));
	own = arena_make(l->a, struct passwd);
	*own = *pw;
	if (p->group.len > 0) {
		struct group *g = getgrnam(arena_cstr(l->a, p->group));

		if (g == NULL || g->gr_gid == 0)
			return fault_set(f, FAULT_TEMP, 451, 3, 5,
				"no group %.*s that may be used",
				STR_ARG(p->group));
		own->pw_gid = g->gr_gid;
	}
	l->pw = own;
	return local_become(own, NULL, f);
}

/* ---- what the program reads ---- */

static void put_line(
	struct buf *out, const struct pipe_args *p, struct str line)
{
	if ((p->flags & PIPE_QUOTE_FROM) != 0 && str_starts(line, "From "))
		buf_putc(out, '>');
	if ((p->flags & PIPE_DOT) != 0 && str_starts(line, "."))
		buf_putc(out, '.');
	buf_put(out, line);
	buf_put(out, p->eol);
}

static void put_text(struct buf *out, const struct pipe_args *p, struct str in)
{
	while (in.len > 0) {
		ptrdiff_t nl = str_find(in, '\n');
		struct str line = nl < 0 ? in : str_sub(in, 0, (size_t)nl);

		in = nl < 0 ? STR("") : str_from_at(in, (size_t)nl + 1);
		if (str_ends(line, "\r"))
			line.len--;
		put_line(out, p, line);
	}
}

static void put_field(struct buf *out, const struct pipe_args *p,
	const char *name, struct str value, bool brackets)
{
	buf_putf(out, brackets ? "%s: <%.*s>" : "%s: %.*s", name,
		STR_ARG(value));
	buf_put(out, p->eol);
}

static bool is_loop(struct str message, const struct pipe_rcpt *r)
{
	struct str head, body;
	struct mail_field field;

	mail_split(message, &head, &body);
	while (mail_field_next(&head, &field))
		if (str_ieqc(field.name, "Delivered-To") &&
			str_ieq(str_trim(field.value), r->address))
			return true;
	return false;
}

static int input(
	const struct local *l, const struct pipe_args *p, struct fault *f)
{
	const struct pipe_rcpt *r = &l->r.rcpts[0];
	struct buf text CLEANUP(buf_fini);
	struct str sender = l->r.sender.len > 0 ? l->r.sender : p->null_sender;

	buf_init(&text, l->message.len * 3 + 65536);
	if ((p->flags & PIPE_FROM_LINE) != 0)
		local_put_from_line(sender, &text);
	if ((p->flags & PIPE_RETURN_PATH) != 0)
		put_field(&text, p, "Return-Path", l->r.sender, true);
	if ((p->flags & PIPE_ORIGINAL_TO) != 0)
		put_field(&text, p, "X-Original-To", r->original, false);
	if ((p->flags & PIPE_DELIVERED_TO) != 0)
		put_field(&text, p, "Delivered-To", r->address, false);
	put_text(&text, p, l->message);
	if ((p->flags & PIPE_BLANK) != 0)
		buf_put(&text, p->eol);
	int fd = file_memory(buf_str(&text), f);
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

/* ---- the delivery ---- */

static bool fits(
	const struct local *l, const struct pipe_args *p, struct fault *f)
{
	unsigned single = PIPE_DELIVERED_TO | PIPE_ORIGINAL_TO;

	if (l->r.n_rcpts == 0)
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "bad request");
	if ((p->flags & single) != 0 && l->r.n_rcpts > 1)
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"pipe: flags D and O need "
			"%.*s_destination_recipient_limit = 1",
			STR_ARG(l->r.target));
	if ((p->flags & PIPE_DELIVERED_TO) != 0 &&
		is_loop(l->message, &l->r.rcpts[0]))
		return fault_set(f, FAULT_PERM, 554, 4, 6,
			"mail forwarding loop for %.*s",
			STR_ARG(l->r.rcpts[0].address));
	return p->size == 0 || l->message.len <= p->size ||
	       fault_set(f, FAULT_PERM, 552, 3, 4,
		       "the message is larger than the transport takes (%llu "
		       "bytes)",
		       (unsigned long long)p->size);
}

bool local_pipe(struct local *l, struct fault *f)
{
	const struct transport *t = transport_find(l->services, l->r.target);
	struct str address = l->r.client;
	struct str hostname = str_cut(&address, '[');
	struct pipe_mail mail = {.sender = l->r.sender,
		.nexthop = l->r.nexthop,
		.queue_id = l->r.queue_id,
		.login = l->r.login,
		.client_hostname = hostname,
		.client_address = str_cut(&address, ']'),
		.client_helo = l->r.helo,
		.client_protocol = l->r.protocol,
		.client_port = l->r.port,
		.sasl_method = l->r.sasl_method,
		.sasl_sender = l->r.sasl_sender,
		.size = l->message.len,
		.rcpts = l->r.rcpts,
		.n_rcpts = l->r.n_rcpts};
	struct strs words;
	const char *why;

	if (t == NULL || t->pipe == NULL)
		return fault_set(f, FAULT_TEMP, 451, 3, 5,
			"there is no pipe transport %.*s any more",
			STR_ARG(l->r.target));
	if (!fits(l, t->pipe, f))
		return false;
	if (!pipe_argv(t->pipe, &mail, l->a, &words, &why))
		return fault_set(f, FAULT_PERM, 553, 1, 3, "%s", why);
	if (!local_take_rights(l, t->pipe, f))
		return false;
	int in CLEANUP(fd_close) = input(l, t->pipe, f);
	struct str dir = str_present(t->pipe->directory)
				 ? t->pipe->directory
				 : l->conf->queue_directory;
	struct local_program p = {.words = &words,
		.in = in,
		.directory = arena_cstr(l->a, dir),
		.seconds = transport_setting(l->conf, l->r.target, "time_limit",
			true, l->conf->command_time_limit, l->a),
		.name = words.v[0]};
	return in >= 0 && local_run(l, &p, f);
}
