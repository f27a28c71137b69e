/* SPDX-License-Identifier: ISC */
/*
 * Invariants
 * 1. What a connection wrote it reads again: a read, a truncation or the end
 *    of the file brings out first what it may concern.
 * 2. xSync returns after all that was written before it is on disk.
 * 3. Other files than logs are the real VFS's own; we are not in between.
 */
#include "db/wal_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sys/waiting.h"

/* SQLite's own VFS takes less than 128 KiB in one call. */
enum { GATHERED_MAX = 120 * 1024 };

struct wal_file {
	sqlite3_file base; /* first: SQLite's view of it */
	sqlite3_file *real; /* in the same memory, behind */
	char *bytes; /* NULL: none gathered yet */
	int n;
	sqlite3_int64 at; /* where they belong */
};

/* The process has one list of VFSs, and so there is one of this. */
static struct {
	pthread_once_t once;
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
} shared = {.once = PTHREAD_ONCE_INIT};

static struct wal_file *of(sqlite3_file *f)
{
	union {
		sqlite3_file *base;
		struct wal_file *file;
	} u = {.base = f};

	return u.file;
}

static int bring_out(struct wal_file *x)
{
	if (x->n == 0)
		return SQLITE_OK;
	int rc = x->real->pMethods->xWrite(x->real, x->bytes, x->n, x->at);
	/* What cannot be written goes with its transaction, which fails. */
	x->n = 0;
	return rc;
}

static int x_close(sqlite3_file *f)
{
	struct wal_file *x = of(f);
	int rc = bring_out(x);
	int closed = x->real->pMethods->xClose(x->real);

	free(x->bytes);
	return rc != SQLITE_OK ? rc : closed;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	struct wal_file *x = of(f);
	bool overlaps = at < x->at + x->n && x->at < at + n;
	int rc = overlaps ? bring_out(x) : SQLITE_OK;

	return rc != SQLITE_OK ? rc
			       : x->real->pMethods->xRead(x->real, to, n, at);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct wal_file *x = of(f);
	bool follows = x->n > 0 && at == x->at + x->n;

	if (x->n > 0 && (!follows || x->n + n > GATHERED_MAX)) {
		int rc = bring_out(x);

		if (rc != SQLITE_OK)
			return rc;
	}
	if (n > GATHERED_MAX)
		return x->real->pMethods->xWrite(x->real, from, n, at);
	if (x->bytes == NULL)
		x->bytes = must_alloc_raw(GATHERED_MAX);
	if (x->n == 0)
		x->at = at;
	memcpy(x->bytes + x->n, from, (size_t)n);
	x->n += n;
	return SQLITE_OK;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal_file *x = of(f);
	int rc = bring_out(x);

	return rc != SQLITE_OK ? rc
			       : x->real->pMethods->xTruncate(x->real, size);
}

static int x_sync(sqlite3_file *f, int flags)
{
	struct wal_file *x = of(f);
	int rc = bring_out(x);

	if (rc != SQLITE_OK)
		return rc;
	waiting_begin();
	rc = x->real->pMethods->xSync(x->real, flags);
	waiting_end();
	return rc;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct wal_file *x = of(f);
	int rc = bring_out(x);

	return rc != SQLITE_OK ? rc
			       : x->real->pMethods->xFileSize(x->real, size);
}

static int x_lock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int x_unlock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int x_reserved(sqlite3_file *f, int *out)
{
	return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
	return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int x_sector(sqlite3_file *f)
{
	return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int x_device(sqlite3_file *f)
{
	return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static const sqlite3_io_methods methods = {1, x_close, x_read, x_write,
	x_truncate, x_sync, x_size, x_lock, x_unlock, x_reserved, x_control,
	x_sector, x_device, NULL, NULL, NULL, NULL, NULL, NULL};

static int x_open(sqlite3_vfs *vfs UNUSED, const char *name, sqlite3_file *f,
	int flags, int *out)
{
	sqlite3_vfs *real = shared.real;
	struct wal_file *x = of(f);

	if ((flags & SQLITE_OPEN_WAL) == 0)
		return real->xOpen(real, name, f, flags, out);
	*x = (struct wal_file){.real = (sqlite3_file *)(void *)(x + 1)};
	x->real->pMethods = NULL;
	int rc = real->xOpen(real, name, x->real, flags, out);
	if (x->real->pMethods != NULL)
		x->base.pMethods = &methods;
	return rc;
}

static void enlist(void)
{
	shared.real = sqlite3_vfs_find(NULL);
	shared.vfs = *shared.real;
	shared.vfs.szOsFile =
		(int)sizeof(struct wal_file) + shared.real->szOsFile;
	shared.vfs.zName = "postern-wal";
	shared.vfs.xOpen = x_open;
	must(sqlite3_vfs_register(&shared.vfs, 0) == SQLITE_OK);
}

const char *wal_vfs_name(void)
{
	must(pthread_once(&shared.once, enlist) == 0);
	return shared.vfs.zName;
}
