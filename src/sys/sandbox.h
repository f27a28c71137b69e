/* SPDX-License-Identifier: ISC */
#ifndef SYS_SANDBOX_H
#define SYS_SANDBOX_H

/*
 * sandbox: what a role may do from here on, said once before its first byte
 * from outside.  Landlock for files and TCP, seccomp for system calls, no
 * new privileges; all without root.  There is no way back.
 */

#include "base/fault.h"

struct sandbox {
	const char *const *read; /* paths, NULL-terminated; missing is fine */
	const char *const *write; /* also create and remove below them */
	bool inet; /* may have Internet sockets and connect */
	bool child; /* may fork (a delivery child) */
};

/* False only when the kernel has it and refuses; a kernel without Landlock
 * leaves the seccomp half, and *missing_r says so. */
bool sandbox_enter(
	const struct sandbox *s, const char **missing_r, struct fault *f);

/* As root without an account to change to: keep uid 0, drop every power. */
bool sandbox_drop_capabilities(struct fault *f);

#endif
