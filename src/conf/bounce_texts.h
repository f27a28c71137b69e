/* SPDX-License-Identifier: ISC */
#ifndef CONF_BOUNCE_TEXTS_H
#define CONF_BOUNCE_TEXTS_H

/*
 * bounce_texts: bounce_template_file, read, in UTF-8, with its $names replaced:
 * parameters, and delay_warning_time and maximal_queue_lifetime in _seconds to
 * _weeks.  bounce(5)
 */

#include "codec/postfix/bounce_template.h"
#include "conf/conf.h"

/* Those that the file has not have no text; no charset stands in them.  What is
 * wrong becomes a problem, and then there is none.  In c's arena. */
void bounce_texts_load(const struct conf *c, struct problems *p,
	struct bounce_template all_r[BOUNCE_KINDS]);

#endif
