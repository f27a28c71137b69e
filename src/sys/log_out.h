/* SPDX-License-Identifier: ISC */
#ifndef SYS_LOG_OUT_H
#define SYS_LOG_OUT_H

#include "base/str.h"

/*
 * log_out: where the lines of sys/log go: descriptor 2, and the trail.
 *
 * A line is written at once, unless the process gathers and lines come fast
 * (more than 3,200 a second): then it waits, for 10 ms at most, and many become
 * one write(2) of whole lines.  Thread-safe; lines keep their order.
 */

/* line, trail_line: each with its LF, or absent.  urgent: written at once. */
void log_out_put(struct str line, struct str trail_line, bool urgent);

/* From now on lines may wait.  What a crash leaves is written by the handler
 * of its signal; SIGKILL takes the last lines with it.  Called once, in the
 * sandbox: it starts a thread.  A child that is forked does not gather. */
void log_out_gather(void);

#endif
