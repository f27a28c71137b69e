/* SPDX-License-Identifier: ISC */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

/*
 * fault: why the world said no.  Functions that can fail for reasons outside
 * of us return false and fill the fault of their last parameter.  Carries
 * what a peer may be told (code, enhanced code, one line) and what only the
 * log may see (errno, place).
 */

#include "base/attr.h"
#include "base/str.h"

enum fault_class {
	FAULT_TEMP, /* try again later: 4xx */
	FAULT_PERM, /* never in this form: 5xx */
};

struct fault {
	enum fault_class class;
	int code; /* SMTP reply code, RFC 5321 4.2 */
	int subject; /* RFC 3463 subject.detail */
	int detail;
	int errnum; /* errno, or 0 */
	const char *file; /* where it was found */
	int line;
	char text[232]; /* one line, no control bytes */
};

/* fault_set(f, FAULT_TEMP, 451, 4.3.0 as 3,0, "text %s", ...); false. */
#define fault_set(f, cls, smtp, subj, det, ...)                                \
	fault_fill((f), (cls), (smtp), (subj), (det), __FILE__, __LINE__,      \
		__VA_ARGS__)
/* A failed system call: temporary, 451 4.3.0, the errno kept and named. */
#define fault_sys(f, ...) fault_errno((f), __FILE__, __LINE__, __VA_ARGS__)

bool fault_fill(struct fault *f, enum fault_class class, int code, int subject,
	int detail, const char *file, int line, const char *fmt, ...)
	PRINTF_LIKE(8, 9);
bool fault_errno(struct fault *f, const char *file, int line, const char *fmt,
	...) PRINTF_LIKE(4, 5);

#endif
