/* SPDX-License-Identifier: ISC */
#ifndef DB_WAL_VFS_H
#define DB_WAL_VFS_H

/*
 * wal_vfs: writes to the log of a SQLite file in one piece.
 *
 * SQLite writes each page of a transaction with two system calls; here they
 * gather in memory until the log is synced, which comes before anybody else is
 * told of them.  Only for synchronous=FULL: without the sync at each commit
 * another connection would be told too early.
 */

/* The name for sqlite3_open_v2, registered at the first call.  It stands on
 * what is the default VFS then.  Any thread. */
const char *wal_vfs_name(void);

#endif
