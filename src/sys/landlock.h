/* SPDX-License-Identifier: ISC */
#ifndef SYS_LANDLOCK_H
#define SYS_LANDLOCK_H

/*
 * The kernel's Landlock interface, landlock(7), as far as we use it.  Debian
 * 12's headers stop before the network rules, hence our own.
 */

#include <stdint.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define LANDLOCK_CREATE_VERSION 1u
#define LANDLOCK_RULE_PATH 1
#define LANDLOCK_RULE_PORT 2

struct landlock_ruleset {
	uint64_t handled_fs;
	uint64_t handled_net;
};

struct landlock_path {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct landlock_port {
	uint64_t allowed_access;
	uint64_t port; /* 0: one that the kernel chooses */
};

#define LANDLOCK_EXECUTE (1ULL << 0)
#define LANDLOCK_WRITE_FILE (1ULL << 1)
#define LANDLOCK_READ_FILE (1ULL << 2)
#define LANDLOCK_READ_DIR (1ULL << 3)
#define LANDLOCK_MAKE_CHAR (1ULL << 6)
#define LANDLOCK_MAKE_BLOCK (1ULL << 11)
#define LANDLOCK_ALL_V1 ((1ULL << 13) - 1)
#define LANDLOCK_REFER (1ULL << 13)
#define LANDLOCK_TRUNCATE (1ULL << 14)

#define LANDLOCK_READ (LANDLOCK_READ_FILE | LANDLOCK_READ_DIR)
#define LANDLOCK_FILE_RIGHTS                                                   \
	(LANDLOCK_EXECUTE | LANDLOCK_WRITE_FILE | LANDLOCK_READ_FILE |         \
		LANDLOCK_TRUNCATE)
/* Not even below the writable paths. */
#define LANDLOCK_NEVER                                                         \
	(LANDLOCK_EXECUTE | LANDLOCK_MAKE_CHAR | LANDLOCK_MAKE_BLOCK)

#define LANDLOCK_TCP_BIND (1ULL << 0)
#define LANDLOCK_TCP_CONNECT (1ULL << 1)

#endif
