/* SPDX-License-Identifier: ISC */
#ifndef SYS_LOG_H
#define SYS_LOG_H

/*
 * log: one line per event, key=value or JSON.  One of the four services that
 * a process shares; thread-safe.  Only role/ and cmd/ call it.
 *
 * Values are written so that no byte of theirs can end or forge a line.
 * Lines go to a descriptor (stderr, a file opened for append) or to syslog,
 * and into the trail (sys/trail.h) where it is open.  They are written at once,
 * or, where the process gathers and they come fast, within 10 ms:
 * sys/log_out.h.
 */

#include "base/fault.h"
#include "base/str.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

struct log_kv {
	const char *key; /* NULL ends the list */
	struct str s; /* absent: the number counts */
	int64_t n;
};

/* ident: "postern/smtpd".  facility: syslog(3) facility name or NULL: fd 2 */
void log_open(const char *ident, bool json, const char *syslog_facility);
void log_level_max(enum log_level level);
/* Lines that come fast are written together.  Called once, in the sandbox. */
void log_gather(void);

/* Goes with every line of this thread until the next call: the session that
 * is being served.  The text is the caller's; NULL: none. */
void log_context(const char *session);

void log_put(enum log_level level, const char *event, const struct log_kv *kv);

#define log_event(level, event, ...)                                           \
	log_put((level), (event),                                              \
		(const struct log_kv[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_info(event, ...) log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

struct log_kv log_s(const char *key, struct str s);
struct log_kv log_z(const char *key, const char *s);
struct log_kv log_n(const char *key, int64_t n);
/* The fault's text, with errno where it has one. */
struct log_kv log_fault(const struct fault *f);

#endif
