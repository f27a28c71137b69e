/* SPDX-License-Identifier: ISC */
#include "role/downgrade_file.h"

#include <unistd.h>

#include "sys/file.h"

struct output {
	int fd;
	uint64_t size;
	char last;
	struct fault *fault;
};

static bool put(struct str piece, void *ctx)
{
	struct output *o = ctx;

	o->size += piece.len;
	o->last = piece.ptr[piece.len - 1];
	return file_write(o->fd, piece, o->fault);
}

bool downgrade_to_file(struct str message, enum downgrade_to to,
	struct arena *a, int fd, uint64_t *size_r, struct fault *f)
{
	struct output o = {.fd = fd, .fault = f};

	switch (mail_downgrade(message, to, a, put, &o)) {
	case DOWNGRADE_OK:
		break;
	case DOWNGRADE_STOPPED:
		return false;
	case DOWNGRADE_IMPOSSIBLE:
		return fault_set(f, FAULT_PERM, 554, 6, 3,
			to == DOWNGRADE_TO_7BIT
				? "the next server takes 7-bit text only, and "
				  "this message cannot be converted"
				: "the binary parts of this message cannot be "
				  "encoded");
	}
	if (o.last != '\n' && !put(STR("\r\n"), &o))
		return false;
	lseek(fd, 0, SEEK_SET);
	*size_r = o.size;
	return true;
}
