/* SPDX-License-Identifier: ISC */
#include "sys/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"

struct text text_view(struct str bytes)
{
	return (struct text){.bytes = bytes, .fd = -1, .size = bytes.len};
}

struct text text_file(int fd, uint64_t size)
{
	return (struct text){.fd = fd, .size = size};
}

struct text text_copy(struct str bytes)
{
	char *memory = must_alloc(bytes.len + 1);

	if (bytes.len > 0)
		memcpy(memory, bytes.ptr, bytes.len);
	return (struct text){.bytes = str_of(memory, bytes.len),
		.memory = memory,
		.fd = -1,
		.size = bytes.len};
}

struct text text_join(const struct strs *pieces)
{
	size_t total = 0;

	for (size_t i = 0; i < pieces->n; i++)
		total += pieces->v[i].len;
	char *memory = must_alloc_raw(total + 1), *at = memory;
	for (size_t i = 0; i < pieces->n; i++) {
		memcpy(at, pieces->v[i].ptr, pieces->v[i].len);
		at += pieces->v[i].len;
	}
	return (struct text){.bytes = str_of(memory, total),
		.memory = memory,
		.fd = -1,
		.size = total};
}

void text_fini(struct text *t)
{
	free(t->memory);
	fd_close(&t->fd);
	*t = (struct text){.fd = -1};
}

bool text_map(const struct text *t, struct file_map *map_r, struct fault *f)
{
	if (!str_present(t->bytes))
		return file_map_fd(t->fd, map_r, f);
	*map_r = (struct file_map){.bytes = t->bytes};
	return true;
}

int text_descriptor(const struct text *t, struct fault *f)
{
	if (str_present(t->bytes))
		return file_memory(t->bytes, f);
	int fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		fault_sys(f, "dup");
	else
		lseek(fd, 0, SEEK_SET);
	return fd;
}
