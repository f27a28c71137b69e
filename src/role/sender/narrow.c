/* SPDX-License-Identifier: ISC */
/* A message for a server that does not take 8-bit text: RFC 6152 3 */
#include <unistd.h>

#include "codec/mail/downgrade.h"
#include "role/sender/sender.h"

struct output {
	int fd;
	struct fault *fault;
};

static bool put(struct str piece, void *ctx)
{
	struct output *o = ctx;

	return file_write(o->fd, piece, o->fault);
}

static bool has_8bit(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] >= 0x80)
			return true;
	return false;
}

bool sender_narrow(struct str message, struct arena *a, struct file_map *map,
	struct str *message_r, struct fault *f)
{
	struct output o = {.fault = f};

	*message_r = message;
	/* BODY=8BITMIME may stand over plain text. */
	if (!has_8bit(message))
		return true;
	int fd CLEANUP(fd_close) = file_memory(STR(""), f);
	if (fd < 0)
		return false;
	o.fd = fd;
	switch (mail_downgrade(message, DOWNGRADE_TO_7BIT, a, put, &o)) {
	case DOWNGRADE_OK:
		break;
	case DOWNGRADE_STOPPED:
		return false;
	case DOWNGRADE_IMPOSSIBLE:
		return fault_set(f, FAULT_PERM, 554, 6, 3,
			"the next server takes 7-bit text only, and this "
			"message cannot be converted");
	}
	lseek(fd, 0, SEEK_SET);
	if (!file_map_fd(fd, map, f))
		return false;
	*message_r = map->bytes;
	return true;
}
