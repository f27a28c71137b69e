/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_WORDS_H
#define CMD_CHECK_WORDS_H

#include "conf/conf.h"

/* Parameters whose value is one of a few words, or a list of them: an unknown
 * one would be taken for the mildest. */
void check_words(const struct conf *c, struct problems *p);

#endif
