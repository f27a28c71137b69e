/* SPDX-License-Identifier: ISC */
#ifndef STORE_KEEPING_H
#define STORE_KEEPING_H

/*
 * keeping: what a person does with the files of the store, beside a running
 * server or without one.
 */

#include "base/arena.h"
#include "base/fault.h"

/*
 * A copy of the store in dir below to, each shard as it is at one moment;
 * bodies are linked where they can be, else copied.  Made again into the same
 * place, only what is new is copied.  A server takes it as its own store.
 */
bool store_backup(const char *dir, const char *to, struct fault *f);

struct store_verified {
	uint64_t mailboxes, messages, bodies;
	uint64_t problems;
};
/* Reads everything and says what does not fit, by complain. */
bool store_verify(const char *dir,
	void (*complain)(const char *what, void *ctx), void *ctx,
	struct store_verified *v_r, struct fault *f);

struct store_repaired {
	uint64_t mended; /* rows */
	uint64_t lost; /* messages without a body: they are gone */
};
/* Mends what store_verify finds, a shard in one transaction, and says what it
 * does.  A file that is damaged below its rows is made anew (salvage.h) where
 * nobody has it open (alone), and is a FAULT_PERM else. */
bool store_repair(const char *dir, bool alone,
	void (*say)(const char *what, void *ctx), void *ctx,
	struct store_repaired *r_r, struct fault *f);

#endif
