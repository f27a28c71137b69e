/* SPDX-License-Identifier: ISC */
/* A message for a server that does not take 8-bit text: RFC 6152 3 */
#include "role/downgrade_file.h"
#include "role/sender/sender.h"

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
	uint64_t size;

	*message_r = message;
	/* BODY=8BITMIME may stand over plain text. */
	if (!has_8bit(message))
		return true;
	int fd CLEANUP(fd_close) = file_memory(STR(""), f);
	if (fd < 0 ||
		!downgrade_to_file(
			message, DOWNGRADE_TO_7BIT, a, fd, &size, f) ||
		!file_map_fd(fd, map, f))
		return false;
	*message_r = map->bytes;
	return true;
}
