/* SPDX-License-Identifier: ISC */
#ifndef SYS_TEXT_H
#define SYS_TEXT_H

/*
 * text: the text of one message on its way through the roles: a small one
 * stands in memory and travels in the frame, a large one is a file that
 * travels as a descriptor.  One thread at a time.
 */

#include "base/arena.h"
#include "sys/file.h"

/* Up to this a text is copied through a socket: a descriptor costs more. */
enum { TEXT_MEMORY_MAX = 64 * 1024 };

struct text {
	struct str bytes; /* absent: in fd */
	char *memory; /* where bytes stand; NULL: in somebody else's memory */
	int fd; /* -1: in memory */
	uint64_t size; /* bytes */
};

/* Leans on the bytes. */
struct text text_view(struct str bytes);
/* Takes the descriptor over, which holds the whole text. */
struct text text_file(int fd, uint64_t size);
/* A copy of the bytes, in memory. */
struct text text_copy(struct str bytes);
/* The same of all the pieces. */
struct text text_join(const struct strs *pieces);
void text_fini(struct text *t); /* for CLEANUP */

/* The bytes, good as long as text and map are. */
bool text_map(const struct text *t, struct file_map *map_r, struct fault *f);
/* A descriptor at the start of the text, the caller's; -1 with the fault. */
int text_descriptor(const struct text *t, struct fault *f);

#endif
