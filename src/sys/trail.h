/* SPDX-License-Identifier: ISC */
#ifndef SYS_TRAIL_H
#define SYS_TRAIL_H

/*
 * trail: what was decided about each message and session, kept for a while,
 * for `postern why`.
 *
 * Every line of the log once more, as JSON, in files of the process's own:
 * "TIME.NAME" in one directory, TIME in hexadecimal Unix seconds, so that
 * names sort by age.  A full file is followed by a new one; whoever begins a
 * new one removes the oldest until size and age are within the bounds.  Not
 * flushed: a power cut may take the last seconds.  Thread-safe.
 */

#include "base/arena.h"
#include "base/fault.h"

struct trail_limits {
	int64_t bytes; /* of all files together; 0: no trail */
	int64_t seconds;
};

/* One trail for a process.  name: role and index. */
void trail_open(
	const char *dir, const char *name, const struct trail_limits *limits);
bool trail_is_open(void);
/* Whole lines, each with its LF. */
void trail_put(struct str lines);
/* Of a process that crashes, from the handler of the signal. */
void trail_put_dying(struct str lines);

/* The files there are, oldest first, with their directory. */
bool trail_files(
	const char *dir, struct arena *a, struct strs *paths, struct fault *f);

#endif
