/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

/* What cmocka needs before it, and comparing views. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

#define assert_str(s, text)                                                    \
	do {                                                                   \
		struct str got_ = (s);                                         \
		if (!str_eqc(got_, text))                                      \
			fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got_),   \
				text);                                         \
	} while (0)

#endif
