/* SPDX-License-Identifier: ISC */
#ifndef ROLE_ANVIL_H
#define ROLE_ANVIL_H

/*
 * anvil: how often a client network did what, counted for all smtpd processes
 * together: anvil(8).
 *
 * One table of a fixed size in memory that master makes and the smtpd
 * processes share; a process that dies leaves no count behind.  When the
 * table is full of busy clients, new ones are not counted.  Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum anvil_event {
	ANVIL_CONNECTION,
	ANVIL_MESSAGE,
	ANVIL_RECIPIENT,
	ANVIL_NEW_TLS,
	ANVIL_AUTH,
	ANVIL_EVENTS,
};

struct anvil_key {
	uint64_t service;
	unsigned char net[16]; /* the address, cut to its prefix */
	unsigned char len; /* 4 or 16 */
};

/* service: name of the listener; prefix in bits. */
struct anvil_key anvil_key(const char *service, const unsigned char *addr,
	size_t len, unsigned prefix);

size_t anvil_bytes(void);
/* By master, once. */
void anvil_init(void *memory);

struct anvil;
/* slot: of this process, below BOARD_SLOTS; its old counts are cleared. */
struct anvil *anvil_attach(void *memory, unsigned slot);
/* Seconds that a rate is counted over. */
void anvil_set_window(struct anvil *a, int64_t seconds);

/* Counts a connection in; *rate_r: in this window.  Returns how many are
 * open now, this one included. */
unsigned anvil_open(
	struct anvil *a, const struct anvil_key *k, unsigned *rate_r);
void anvil_close(struct anvil *a, const struct anvil_key *k);
/* Did a client pass a test a short time ago?  Kept as long as there is room,
 * seconds at most. */
bool anvil_passed(struct anvil *a, const struct anvil_key *k);
void anvil_pass(struct anvil *a, const struct anvil_key *k, int64_t seconds);
/* Counts an event; returns the count in this window. */
unsigned anvil_count(
	struct anvil *a, const struct anvil_key *k, enum anvil_event event);

#endif
