/* SPDX-License-Identifier: ISC */
/* u.N and m.N: the messages themselves. */
#include "codec/mail/dovecot_index.h"

enum { RECORD_HEADER_MIN = 30 };

static bool hex(struct str s, uint64_t *n_r)
{
	*n_r = 0;
	for (size_t i = 0; i < s.len; i++) {
		int digit = ascii_hex(s.ptr[i]);

		if (digit < 0 || *n_r > UINT64_MAX >> 4)
			return false;
		*n_r = *n_r << 4 | (uint64_t)digit;
	}
	return s.len > 0;
}

bool dovecot_file_begin(struct str file, size_t *offset_r)
{
	struct str line = str_sub(file, 0, 200);
	ptrdiff_t nl = str_find(line, '\n');

	/* "2 M1e C6b08823a" */
	if (!str_starts(line, "2 M") || nl < 0)
		return false;
	*offset_r = (size_t)nl + 1;
	return true;
}

static void take_metadata(struct str text, struct dovecot_record *r)
{
	while (str_present(text)) {
		struct str line = str_cut(&text, '\n');
		uint64_t n;

		if (line.len == 0)
			return;
		if (line.ptr[0] == 'R' && hex(str_from_at(line, 1), &n))
			r->received = (int64_t)n;
		r->parts_elsewhere |= line.ptr[0] == 'X';
	}
}

bool dovecot_file_record(
	struct str file, size_t offset, struct dovecot_record *r_r)
{
	/* "\1\2N" 11 blanks, 16 digits, "\n" */
	struct str head = str_sub(file, offset, RECORD_HEADER_MIN);
	uint64_t size;

	*r_r = (struct dovecot_record){0};
	if (head.len < RECORD_HEADER_MIN || !str_starts(head, "\001\002N") ||
		head.ptr[29] != '\n' || !hex(str_sub(head, 13, 16), &size))
		return false;
	struct str rest = str_from_at(file, offset + RECORD_HEADER_MIN);
	if (size > rest.len)
		return false;
	r_r->bytes = str_sub(rest, 0, (size_t)size);
	rest = str_from_at(rest, (size_t)size);
	if (!str_starts(rest, "\n\001\003\n"))
		return false;
	take_metadata(str_from_at(rest, 4), r_r);
	return true;
}
