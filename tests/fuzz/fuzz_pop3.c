/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/pop3/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct pop3_command cmd;
	uint32_t n;

	if (pop3_command_parse(in, &cmd))
		pop3_number(cmd.args, &n);
	arena_free(a);
	return 0;
}
