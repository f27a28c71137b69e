/* SPDX-License-Identifier: ISC */
/* There are no files to keep. */
#include "store/keeping.h"

#include "store/mem/mem.h"
#include "store/undelete.h"

static bool no_files(struct fault *f)
{
	return fault_set(f, FAULT_PERM, 0, 3, 0,
		"this store keeps nothing outside of the server's memory");
}

bool store_backup(
	const char *dir UNUSED, const char *to UNUSED, struct fault *f)
{
	return no_files(f);
}

bool store_verify(const char *dir UNUSED,
	void (*complain)(const char *what, void *ctx) UNUSED, void *ctx UNUSED,
	struct store_verified *v_r, struct fault *f)
{
	*v_r = (struct store_verified){0};
	return no_files(f);
}

bool store_repair(const char *dir UNUSED, bool alone UNUSED,
	void (*say)(const char *what, void *ctx) UNUSED, void *ctx UNUSED,
	struct store_repaired *r_r, struct fault *f)
{
	*r_r = (struct store_repaired){0};
	return no_files(f);
}

bool store_undelete(const char *dir UNUSED, int64_t account UNUSED,
	int64_t since UNUSED, uint64_t *n_r, struct fault *f)
{
	*n_r = 0;
	return no_files(f);
}
