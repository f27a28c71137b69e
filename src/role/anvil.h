/* SPDX-License-Identifier: ISC */
#ifndef ROLE_ANVIL_H
#define ROLE_ANVIL_H

/*
 * anvil: how often a client network did what, counted for all smtpd processes
 * together: anvil(8).
 *
 * One table of a fixed size in a file that master maps and the smtpd
 * processes share; a process that dies leaves no count behind.  Who passed a
 * test is still known after a restart; counts are not kept.  When the table is
 * full of busy clients, new ones are not counted.  Any thread.
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

/* What is remembered of a client that passed: postscreen(8). */
enum anvil_pass {
	PASS_GREET,
	PASS_PIPELINING,
	PASS_NON_SMTP_COMMAND,
	PASS_BARE_NEWLINE,
	PASS_GREYLIST,
	PASS_DNSBL,
	ANVIL_PASSES,
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
/* By master, once: takes over what an earlier one left in the file, or begins
 * anew. */
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
/* Did a client pass a test a while ago?  Kept as long as there is room,
 * seconds at most. */
bool anvil_passed(
	struct anvil *a, const struct anvil_key *k, enum anvil_pass pass);
void anvil_pass(struct anvil *a, const struct anvil_key *k,
	enum anvil_pass pass, int64_t seconds);

struct greylist {
	int64_t delay, window, ttl; /* seconds */
};
/* A client is let in when it comes again after the delay and within the
 * window; from then on for ttl.  True: in.  *wait_r: seconds to go. */
bool anvil_greylist(struct anvil *a, const struct anvil_key *k,
	const struct greylist *g, int64_t *wait_r);
/* Counts an event; returns the count in this window. */
unsigned anvil_count(
	struct anvil *a, const struct anvil_key *k, enum anvil_event event);

#endif
