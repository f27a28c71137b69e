/* SPDX-License-Identifier: ISC */
/* arc_seal KEY DOMAIN SELECTOR AUTHSERV-ID TIME HEADERS < message: prints the
 * fields, for the public suite that wants a certain time and list. */
#include <stdio.h>
#include <unistd.h>

#include "policy/arc_seal.h"
#include "sys/file.h"

int main(int argc, char **argv)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct buf message;
	struct strs names = {0};
	struct fault f;
	uint64_t now;
	const char *why;

	buf_init(&message, 1 << 24);
	if (argc != 7 || !str_u64(str_from(argv[5]), &now) ||
		!file_read_fd(STDIN_FILENO, 1 << 24, &message, &f))
		return 64;
	for (struct str rest = str_from(argv[6]); str_present(rest);)
		strs_add(&names, a, str_cut(&rest, ':'));
	struct arc_seal_request q = {.message = buf_str(&message),
		.authserv_id = str_from(argv[4]),
		.domain = str_from(argv[2]),
		.selector = str_from(argv[3]),
		.key = signature_load(argv[1], &f),
		.headers = &names,
		.now = (int64_t)now};
	if (q.key == NULL)
		return 66;
	struct str fields = arc_seal(&q, a, &why);
	fwrite(fields.ptr, 1, fields.len, stdout);
	buf_fini(&message);
	EVP_PKEY_free(q.key);
	arena_free(a);
	return 0;
}
