/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "ipc/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct wire w = {.rest = in};
	struct envelope e;
	struct outcomes o;
	struct job j;
	struct local_request l;
	struct fault f;

	envelope_read(&w, a, &e);
	w = (struct wire){.rest = in};
	outcomes_read(&w, a, &o);
	w = (struct wire){.rest = in};
	job_read(&w, a, &j);
	w = (struct wire){.rest = in};
	local_request_read(&w, a, &l);
	struct import_request i;
	w = (struct wire){.rest = in};
	import_request_read(&w, a, &i);
	struct queue_request q;
	w = (struct wire){.rest = in};
	queue_request_read(&w, &q);
	ipc_read_fault(in, &f);
	arena_free(a);
	return 0;
}
