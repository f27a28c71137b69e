/* SPDX-License-Identifier: ISC */
#ifndef CODEC_MILTER_PACKET_H
#define CODEC_MILTER_PACKET_H

/*
 * milter_packet: the packets of the milter protocol, version 6: what a mail
 * server tells a filter and what it answers.  There is no RFC; the numbers
 * are those of libmilter.
 *
 * Pure.  Views point into the packet.
 */

#include "base/buf.h"

enum {
	MILTER_VERSION = 6,
	MILTER_HEAD_BYTES = 4, /* length, without itself */
	MILTER_PACKET_MAX = 1 << 20,
	MILTER_BODY_BYTES = 65535, /* of one 'B' packet */
};

/* What the server tells. */
enum milter_command {
	MILTER_OPTNEG = 'O',
	MILTER_MACRO = 'D',
	MILTER_CONNECT = 'C',
	MILTER_HELO = 'H',
	MILTER_MAIL = 'M',
	MILTER_RCPT = 'R',
	MILTER_DATA = 'T',
	MILTER_HEADER = 'L',
	MILTER_EOH = 'N',
	MILTER_BODY = 'B',
	MILTER_EOM = 'E',
	MILTER_ABORT = 'A',
	MILTER_QUIT = 'Q',
	MILTER_UNKNOWN = 'U',
};

/* What the filter may do at the end of a message. */
enum milter_actions {
	MILTER_ADD_HEADER = 0x01,
	MILTER_CHANGE_BODY = 0x02,
	MILTER_ADD_RCPT = 0x04,
	MILTER_DELETE_RCPT = 0x08,
	MILTER_CHANGE_HEADER = 0x10,
	MILTER_QUARANTINE = 0x20,
	MILTER_CHANGE_FROM = 0x40,
	MILTER_ADD_RCPT_ARGS = 0x80,
	MILTER_SET_MACROS = 0x100,
	MILTER_ALL_ACTIONS = 0x1ff,
};

/* What it does not want to hear, or not to answer. */
enum milter_steps {
	MILTER_NO_CONNECT = 0x01,
	MILTER_NO_HELO = 0x02,
	MILTER_NO_MAIL = 0x04,
	MILTER_NO_RCPT = 0x08,
	MILTER_NO_BODY = 0x10,
	MILTER_NO_HEADERS = 0x20,
	MILTER_NO_EOH = 0x40,
	MILTER_MUTE_HEADER = 0x80,
	MILTER_NO_UNKNOWN = 0x100,
	MILTER_NO_DATA = 0x200,
	MILTER_MAY_SKIP = 0x400,
	MILTER_RCPT_REJECTED = 0x800, /* wants refused recipients, too */
	MILTER_MUTE_CONNECT = 0x1000,
	MILTER_MUTE_HELO = 0x2000,
	MILTER_MUTE_MAIL = 0x4000,
	MILTER_MUTE_RCPT = 0x8000,
	MILTER_MUTE_DATA = 0x10000,
	MILTER_MUTE_UNKNOWN = 0x20000,
	MILTER_MUTE_EOH = 0x40000,
	MILTER_MUTE_BODY = 0x80000,
	MILTER_LEADING_SPACE = 0x100000, /* values with their blank */
	MILTER_ALL_STEPS = 0x1fffff,
};

/* Macro lists, as MILTER_SET_MACROS numbers them. */
enum milter_stage {
	MILTER_AT_CONNECT,
	MILTER_AT_HELO,
	MILTER_AT_MAIL,
	MILTER_AT_RCPT,
	MILTER_AT_DATA,
	MILTER_AT_EOM,
	MILTER_AT_EOH,
	MILTER_STAGES,
};

/* Starts a packet at the end of b and ends the one that starts at offset. */
size_t milter_packet_begin(struct buf *b, enum milter_command command);
void milter_packet_end(struct buf *b, size_t offset);
void milter_put_u32(struct buf *b, uint32_t n);
void milter_put_u16(struct buf *b, unsigned n);
/* With its NUL; a NUL inside is left out. */
void milter_put_str(struct buf *b, struct str s);

/* Length of the packet whose head this is; 0: broken or too large. */
uint32_t milter_packet_length(const char head[MILTER_HEAD_BYTES]);

struct milter_options {
	uint32_t version, actions, steps;
	struct str macros[MILTER_STAGES]; /* absent: as the server likes */
};
bool milter_options_parse(struct str data, struct milter_options *o_r);

enum milter_reply_kind {
	MILTER_SAYS_ADD_RCPT = '+',
	MILTER_SAYS_DELETE_RCPT = '-',
	MILTER_SAYS_ADD_RCPT_ARGS = '2',
	MILTER_SAYS_SHUTDOWN = '4',
	MILTER_SAYS_ACCEPT = 'a',
	MILTER_SAYS_REPLACE_BODY = 'b',
	MILTER_SAYS_CONTINUE = 'c',
	MILTER_SAYS_DISCARD = 'd',
	MILTER_SAYS_CHANGE_FROM = 'e',
	MILTER_SAYS_CONNECT_FAIL = 'f',
	MILTER_SAYS_ADD_HEADER = 'h',
	MILTER_SAYS_INSERT_HEADER = 'i',
	MILTER_SAYS_CHANGE_HEADER = 'm',
	MILTER_SAYS_PROGRESS = 'p',
	MILTER_SAYS_QUARANTINE = 'q',
	MILTER_SAYS_REJECT = 'r',
	MILTER_SAYS_SKIP = 's',
	MILTER_SAYS_TEMPFAIL = 't',
	MILTER_SAYS_REPLY_CODE = 'y',
};

struct milter_reply {
	char kind; /* enum milter_reply_kind */
	uint32_t index; /* of INSERT_HEADER, CHANGE_HEADER */
	struct str name, value; /* of the header kinds */
	struct str text; /* address, reason, reply, or body octets */
};
/* A packet without its head.  False: not of the protocol, or cut. */
bool milter_reply_parse(struct str packet, struct milter_reply *r_r);

#endif
