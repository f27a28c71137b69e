/* SPDX-License-Identifier: ISC */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void no_controls(char *text)
{
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

bool fault_fill(struct fault *f, enum fault_class class, int code, int subject,
	int detail, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	*f = (struct fault){.class = class,
		.code = code,
		.subject = subject,
		.detail = detail,
		.file = file,
		.line = line};
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
	no_controls(f->text);
	return false;
}

bool fault_errno(
	struct fault *f, const char *file, int line, const char *fmt, ...)
{
	int errnum = errno;
	va_list args;
	char reason[80];

	/* ENOSPC and friends have a code of their own: RFC 3463 3.3.1. */
	bool full = errnum == ENOSPC || errnum == EDQUOT;
	*f = (struct fault){.class = FAULT_TEMP,
		.code = full ? 452 : 451,
		.subject = 3,
		.detail = full ? 1 : 0,
		.errnum = errnum,
		.file = file,
		.line = line};
	va_start(args, fmt);
	int n = vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(f->text))
		snprintf(f->text + n, sizeof(f->text) - (size_t)n, ": %s",
			strerror_r(errnum, reason, sizeof(reason)));
	no_controls(f->text);
	return false;
}
