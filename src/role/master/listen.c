/* SPDX-License-Identifier: ISC */
/* The sockets of master: bound once, handed to each process that serves. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "role/master/master_private.h"

enum { BACKLOG = 1024 };

static const struct listener *find(
	const struct listeners *l, const struct sock_addr *addr)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].addr.len == addr->len &&
			memcmp(&l->v[i].addr.ss, &addr->ss, addr->len) == 0)
			return &l->v[i];
	return NULL;
}

static void close_new(const struct listeners *l, const struct listeners *old)
{
	for (size_t i = 0; i < l->n; i++)
		if (find(old, &l->v[i].addr) == NULL)
			close(l->v[i].fd);
}

static bool bind_one(struct master *m, size_t service,
	const struct sock_addr *addr, struct listeners *fresh, struct fault *f)
{
	const struct listener *old = find(&m->listeners, addr);

	if (find(fresh, addr) != NULL || fresh->n == LISTENERS_MAX)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "%s",
			fresh->n == LISTENERS_MAX
				? "too many listeners"
				: "an address is there twice");
	const char *path = sock_addr_path(addr);
	/* Everybody may connect: who it is, the kernel says. */
	int fd = old != NULL    ? old->fd
		 : path != NULL ? sock_unix_listen(path, 0666, f)
				: sock_listen(addr, BACKLOG, f);
	if (fd < 0) {
		struct str text = sock_addr_text(addr, m->a);
		char why[sizeof(f->text)];

		snprintf(why, sizeof(why), "%s", f->text);
		return fault_set(f, FAULT_PERM, 0, 3, 5, "%.*s:%u: %s",
			STR_ARG(text), sock_addr_port(addr), why);
	}
	fresh->v[fresh->n++] = (struct listener){*addr, fd, service};
	return true;
}

bool master_listen(
	struct master *m, const struct services *services, struct fault *f)
{
	struct listeners fresh = {.n = 0};

	for (size_t i = 0; i < services->n; i++)
		for (size_t j = 0; j < services->v[i].n_addrs; j++)
			if (!bind_one(m, i, &services->v[i].addrs[j], &fresh,
				    f)) {
				close_new(&fresh, &m->listeners);
				return false;
			}
	close_new(&m->listeners, &fresh);
	m->listeners = fresh;
	return true;
}

int master_unix_listener(struct master *m, const char *name, struct fault *f)
{
	struct str path = role_socket_path(m->conf, name, m->a);
	int fd = sock_unix_listen(path.ptr, 0600, f);

	if (fd >= 0 && m->uid >= 0 &&
		chown(path.ptr, (uid_t)m->uid, (gid_t)m->gid) != 0)
		log_warn("chown failed", log_s("path", path));
	return fd;
}
