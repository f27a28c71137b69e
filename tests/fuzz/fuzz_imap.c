/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "base/arena.h"
#include "base/must.h"
#include "codec/imap/envelope.h"
#include "codec/imap/parse.h"
#include "codec/imap/subject.h"
#include "codec/imap/thread.h"
#include "codec/imap/url.h"
#include "codec/imap/utf7.h"
#include "codec/mail/casemap.h"

/* Few different ones: they collide, and refer to each other. */
static uint64_t number_of(struct str word)
{
	return word.len > 0 ? (unsigned char)word.ptr[0] % 64 : 0;
}

static const uint64_t *numbers_of(
	struct str words, struct arena *a, size_t *n_r)
{
	uint64_t *v = arena_alloc(a, (words.len + 1) * sizeof(*v));
	struct str word;

	while (str_present(word = str_word(&words, " ")))
		if (number_of(word) != 0)
			v[(*n_r)++] = number_of(word);
	return v;
}

/* Lines as messages: "id references..." */
static void thread_lines(struct str in, struct arena *a)
{
	struct imap_thread_message v[64] = {0};
	size_t n = 0;

	while (str_present(in) && n < ARRAY_LEN(v)) {
		struct str line = str_cut(&in, '\n');

		v[n].number = (uint32_t)n + 1;
		v[n].date = (int64_t)line.len;
		v[n].subject = (uint32_t)base_subject(line, a, &v[n].reply).len;
		v[n].id = number_of(str_word(&line, " "));
		v[n].references = numbers_of(line, a, &v[n].n_references);
		n++;
	}
	for (int kind = THREAD_ORDEREDSUBJECT; kind <= THREAD_REFS; kind++) {
		struct buf out CLEANUP(buf_fini);
		size_t digits = 0;

		buf_init(&out, 1 << 20);
		imap_thread_put((enum imap_thread_kind)kind, v, n, a, &out);
		/* Every message is told once. */
		for (size_t i = 0; i < out.len; i++)
			digits += ascii_is_digit(out.data[i]) &&
				  (i == 0 || !ascii_is_digit(out.data[i - 1]));
		must(digits == n);
	}
}

enum { STAR = 77 };

/* As the text says it, range by range */
static bool is_in(const struct imap_range *v, size_t n, uint32_t x)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t a = v[i].first == IMAP_STAR ? STAR : v[i].first;
		uint32_t b = v[i].last == IMAP_STAR ? STAR : v[i].last;

		if ((x >= a && x <= b) || (x >= b && x <= a))
			return true;
	}
	return false;
}

static void settle(struct imap_set *set)
{
	size_t n = set->n < 64 ? set->n : 64;
	struct imap_range was[64];

	memcpy(was, set->v, n * sizeof(*was));
	set->n = n;
	imap_set_settle(set, STAR);
	for (size_t i = 1; i < set->n; i++)
		must(set->v[i - 1].last + 1 < set->v[i].first);
	for (size_t i = 0; i < n; i++)
		for (uint32_t d = 0; d < 3; d++) {
			must(imap_set_has(set, was[i].first + d - 1) ==
				is_in(was, n, was[i].first + d - 1));
			must(imap_set_has(set, was[i].last + d - 1) ==
				is_in(was, n, was[i].last + d - 1));
		}
	must(imap_set_has(set, STAR) == is_in(was, n, STAR));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct imap_in p = {.rest = in, .a = a};
	struct str s;
	struct strs flags;
	struct imap_set set;
	uint64_t n;
	bool plus;

	struct imap_envelope envelope;
	struct imap_url url;
	struct imap_partial partial;

	imap_envelope_read(in, a, &envelope);
	imap_url_parse(in, a, &url);
	casemap(in, a);
	thread_lines(in, a);
	imap_literal_announced(in, &n, &plus);
	imap_utf7_decode(in, a, &s);
	imap_tag(&p, &s);
	while (!imap_end(&p)) {
		struct imap_in at = p;

		if (imap_set_parse(&at, &set))
			settle(&set);
		if (!imap_space(&p) && !imap_flag_list(&p, &flags) &&
			!imap_set_parse(&p, &set) &&
			!imap_partial_parse(&p, &partial) &&
			!imap_mailbox(&p, &s) && !imap_astring(&p, &s) &&
			!imap_list_mailbox(&p, &s))
			p.rest = str_from_at(p.rest, 1);
	}
	arena_free(a);
	return 0;
}
