/* SPDX-License-Identifier: ISC */
/* Sessions that share few threads: who waits holds up nobody, and each is woken
 * by what it waits for alone. */
#include "net/crew.h"

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/waiting.h"
#include "tests/unit/test.h"

/* One byte is a command; each is answered with one. */
struct guest {
	struct seat seat; /* first */
	int peer; /* the test's end */
	int news[2]; /* AWAIT: the test writes to [1] */
	sem_t gate; /* 'b' and 'w' wait for it */
	sem_t idled;
	char waits; /* the command at work; 0: none */
	struct guest *heir;
	struct guest *next; /* of all, until the end of the crew */
};

static struct guest *all;

static struct guest *guest_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct guest *guest;
	} u = {.seat = seat};

	return u.guest;
}

static void say(struct guest *g, char c)
{
	must(write(g->seat.fd, &c, 1) == 1);
}

static enum next leave(struct guest *g)
{
	int fd = g->seat.fd;

	crew_leave(&g->seat);
	close(fd);
	return NEXT_CLOSE;
}

static void wait_at(sem_t *gate)
{
	while (sem_wait(gate) != 0)
		continue;
}

static enum next begin(struct guest *g, char command)
{
	switch (command) {
	case 'b': /* as who never heard of waiting.h */
		wait_at(&g->gate);
		break;
	case 'w':
		waiting_begin();
		wait_at(&g->gate);
		waiting_end();
		break;
	case 'a':
	case 't':
		g->waits = command;
		g->seat.await_fd = g->news[0];
		g->seat.deadline_ms = command == 't' ? clock_mono_ms() + 30 : 0;
		return NEXT_AWAIT;
	case 's':
		g->waits = command;
		g->seat.deadline_ms = clock_mono_ms() + 200;
		return NEXT_SLEEP;
	case 'h':
		crew_become(g->seat.crew, &g->heir->seat);
		return NEXT_BECOME;
	default:
		break;
	}
	say(g, command);
	return NEXT_PARK;
}

/* Why was it woken?  The answer says so. */
static void woken(struct guest *g)
{
	char c;

	if (g->seat.readable)
		must(read(g->news[0], &c, 1) == 1);
	say(g, g->seat.readable     ? 'N'
		: g->seat.timed_out ? 'T'
		: g->seat.rung      ? 'R'
				    : 'E');
	g->waits = 0;
	g->seat.deadline_ms = 0;
	g->seat.readable = false;
}

static enum next serve(struct seat *seat)
{
	struct guest *g = guest_of(seat);
	char c;

	if (g->waits != 0)
		woken(g);
	if (crew_ending(seat->crew))
		return leave(g);
	if (seat->rung)
		say(g, 'R');
	ssize_t n = recv(seat->fd, &c, 1, MSG_DONTWAIT);
	must(n >= 0 || !seat->readable);
	if (n == 0)
		return leave(g);
	return n < 0 ? NEXT_PARK : begin(g, c);
}

static void idle(struct seat *seat)
{
	sem_post(&guest_of(seat)->idled);
}

static struct guest *guest_new(void)
{
	struct guest *g = must_alloc(sizeof(*g));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(g->news), 0);
	g->seat.fd = pair[0];
	g->peer = pair[1];
	g->seat.serve = serve;
	g->seat.idle = idle;
	sem_init(&g->gate, 0, 0);
	sem_init(&g->idled, 0, 0);
	g->next = all;
	all = g;
	return g;
}

static struct guest *enter(struct crew *c)
{
	struct guest *g = guest_new();

	crew_add(c, &g->seat);
	return g;
}

static void command(struct guest *g, char c)
{
	assert_int_equal(write(g->peer, &c, 1), 1);
}

static void news(struct guest *g)
{
	assert_int_equal(write(g->news[1], "!", 1), 1);
}

static void answers(struct guest *g, char want)
{
	char got = 0;

	assert_int_equal(read(g->peer, &got, 1), 1);
	assert_int_equal(got, want);
}

static void asks(struct guest *g, char c)
{
	command(g, c);
	answers(g, c);
}

/* The other end closes, too. */
static void goes(struct guest *g)
{
	char c;

	shutdown(g->peer, SHUT_WR);
	assert_int_equal(read(g->peer, &c, 1), 0);
	close(g->peer);
	close(g->news[0]);
	close(g->news[1]);
}

static void end(struct crew *c)
{
	assert_int_equal(crew_end(c, 10000), 0);
	while (all != NULL) {
		struct guest *next = all->next;

		free(all);
		all = next;
	}
}

static void one_thread_serves_many(void **state UNUSED)
{
	enum { MANY = 100 };
	struct crew *c = crew_new(1);
	struct guest *v[MANY];

	for (int i = 0; i < MANY; i++)
		v[i] = enter(c);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++)
			command(v[i], (char)('0' + i % 10));
		for (int i = 0; i < MANY; i++)
			answers(v[i], (char)('0' + i % 10));
	}
	assert_int_equal(crew_sessions(c), MANY);
	for (int i = 0; i < MANY; i++)
		goes(v[i]);
	end(c);
}

/* Whoever is told of bytes finds some, however many take turns to poll. */
static void nobody_is_woken_for_nothing(void **state UNUSED)
{
	enum { SOME = 8, ROUNDS = 2000 };
	struct crew *c = crew_new(4);
	struct guest *v[SOME];

	for (int i = 0; i < SOME; i++)
		v[i] = enter(c);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < SOME; i++) {
			char what = i % 3 == 0 ? 'w' : '1';

			if (i % 3 == 0)
				sem_post(&v[i]->gate);
			command(v[i], what);
		}
		for (int i = 0; i < SOME; i++)
			answers(v[i], i % 3 == 0 ? 'w' : '1');
	}
	for (int i = 0; i < SOME; i++)
		goes(v[i]);
	end(c);
}

/* With c, who holds its thread until the gate opens. */
static void others_go_on(char c)
{
	struct crew *crew = crew_new(2);
	struct guest *g = enter(crew), *other = enter(crew);

	asks(g, '1');
	asks(other, '1');
	for (char i = '2'; i < '5'; i++) {
		command(g, c);
		asks(other, i);
		sem_post(&g->gate);
		answers(g, c);
	}
	goes(g);
	goes(other);
	end(crew);
}

static void who_says_that_it_waits_holds_up_nobody(void **state UNUSED)
{
	others_go_on('w');
}

static void nor_who_does_not_say_so(void **state UNUSED)
{
	others_go_on('b');
}

/* A new session that comes while the only worker is stuck. */
static void a_new_one_is_served_meanwhile(void **state UNUSED)
{
	struct crew *c = crew_new(2);
	struct guest *g = enter(c);

	command(g, 'b');
	struct guest *other = enter(c);
	asks(other, '1');
	sem_post(&g->gate);
	answers(g, 'b');
	goes(g);
	goes(other);
	end(c);
}

static void another_descriptor_is_awaited(void **state UNUSED)
{
	struct crew *c = crew_new(1);
	struct guest *g = enter(c), *other = enter(c);

	for (int round = 0; round < 3; round++) {
		command(g, 'a');
		asks(other, '1');
		/* What the client says meanwhile is read afterwards. */
		command(g, '2');
		asks(other, '3');
		news(g);
		answers(g, 'N');
		answers(g, '2');
		command(g, 't');
		answers(g, 'T');
		asks(g, '4');
	}
	command(g, 'a');
	asks(other, '5');
	crew_ring(&g->seat);
	answers(g, 'R');
	answers(g, 'R');
	asks(g, '6');
	goes(g);
	goes(other);
	end(c);
}

/* The descriptor is one session's, then another's, as a pool's would be. */
static void an_awaited_descriptor_has_many_masters(void **state UNUSED)
{
	struct crew *c = crew_new(1);
	struct guest *v[2] = {enter(c), enter(c)};

	int own[2] = {v[1]->news[0], v[1]->news[1]};

	memcpy(v[1]->news, v[0]->news, sizeof(own));
	for (int i = 0; i < 6; i++) {
		command(v[i % 2], 'a');
		asks(v[(i + 1) % 2], '1');
		news(v[i % 2]);
		answers(v[i % 2], 'N');
	}
	memcpy(v[1]->news, own, sizeof(own));
	goes(v[0]);
	goes(v[1]);
	end(c);
}

static int64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Bytes, or the end of the connection, wait until the sleep is over, and cost
 * nothing. */
static void who_sleeps_is_not_woken_by_bytes(void **state UNUSED)
{
	struct crew *c = crew_new(1);
	struct guest *g = enter(c), *gone = enter(c);

	asks(g, '1');
	asks(gone, '1');
	command(g, 's');
	command(gone, 's');
	int64_t before = cpu_ms();
	command(g, '2');
	shutdown(gone->peer, SHUT_WR);
	answers(g, 'T');
	answers(g, '2');
	answers(gone, 'T');
	assert_true(cpu_ms() - before < 150);
	goes(g);
	goes(gone);
	end(c);
}

static void who_is_quiet_is_told_so_once(void **state UNUSED)
{
	struct crew *c = crew_new(2);
	struct guest *g = enter(c), *other = enter(c);
	int told;

	for (int round = 0; round < 3; round++) {
		asks(g, '1');
		wait_at(&g->idled);
		command(other, 'w');
		sem_post(&other->gate);
		answers(other, 'w');
		wait_at(&other->idled);
		sem_getvalue(&g->idled, &told);
		assert_int_equal(told, 0);
		crew_ring(&g->seat);
		answers(g, 'R');
		wait_at(&g->idled);
	}
	goes(g);
	goes(other);
	end(c);
}

static void an_heir_has_its_descriptor(void **state UNUSED)
{
	struct crew *c = crew_new(1);
	struct guest *g = enter(c), *heir = guest_new();
	int peer = g->peer;

	close(heir->seat.fd);
	close(heir->peer);
	heir->seat.fd = g->seat.fd;
	heir->peer = peer;
	g->heir = heir;
	asks(g, '1');
	command(g, 'h');
	asks(heir, '2');
	crew_ring(&heir->seat);
	answers(heir, 'R');
	close(g->news[0]);
	close(g->news[1]);
	goes(heir);
	end(c);
}

/* Descriptors come back as soon as they are free. */
static void descriptors_are_used_again(void **state UNUSED)
{
	struct crew *c = crew_new(2);

	for (int i = 0; i < 200; i++) {
		struct guest *g = enter(c);

		if (i % 3 == 0)
			asks(g, '1');
		if (i % 3 == 1) {
			command(g, 'a');
			news(g);
			answers(g, 'N');
		}
		goes(g);
	}
	end(c);
}

static void let_in(int fd, void *ctx)
{
	struct guest *g = must_alloc(sizeof(*g));

	g->seat.fd = fd;
	g->seat.serve = serve;
	g->next = all;
	all = g;
	crew_add(ctx, &g->seat);
}

static int connected(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const union {
		const struct sockaddr_in *in;
		const struct sockaddr *any;
	} u = {.in = to};

	assert_int_equal(connect(fd, u.any, sizeof(*to)), 0);
	return fd;
}

/* The others are sent away, those who are in are served, and nobody spins. */
static void who_finds_no_descriptor_is_sent_away(void **state UNUSED)
{
	enum { MANY = 20, ROOM = 5 };
	struct crew *c = crew_new(1);
	struct sockaddr_in at = {.sin_family = AF_INET};
	union {
		struct sockaddr_in *in;
		struct sockaddr *any;
	} u = {.in = &at};
	socklen_t len = sizeof(at);
	struct rlimit before, few;
	int v[MANY], in = 0;
	char byte;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, u.any, len), 0);
	assert_int_equal(listen(listener, MANY), 0);
	assert_int_equal(getsockname(listener, u.any, &len), 0);
	for (int i = 0; i < MANY; i++)
		v[i] = connected(&at);
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = (rlim_t)v[MANY - 1] + 1 + ROOM;
	setrlimit(RLIMIT_NOFILE, &few);
	int64_t cpu = cpu_ms();
	crew_listen(c, listener, let_in, c);
	for (int i = 0; i < MANY; i++) {
		/* Written to before it was sent away: reset. */
		ssize_t n = send(v[i], "1", 1, MSG_NOSIGNAL) == 1
				    ? read(v[i], &byte, 1)
				    : -1;
		in += n == 1 && byte == '1';
	}
	assert_in_range(in, 1, ROOM);
	assert_true(cpu_ms() - cpu < 1000);
	setrlimit(RLIMIT_NOFILE, &before);
	for (int i = 0; i < MANY; i++)
		close(v[i]);
	end(c);
	close(listener);
}

static void the_end_finds_all_of_them(void **state UNUSED)
{
	struct crew *c = crew_new(2);
	struct guest *v[4] = {enter(c), enter(c), enter(c), enter(c)};
	int peers[4];

	for (int i = 0; i < 4; i++)
		asks(v[i], '1');
	command(v[1], 'a');
	command(v[2], 's');
	asks(v[0], '2');
	wait_at(&v[3]->idled);
	for (int i = 0; i < 4; i++)
		peers[i] = v[i]->peer;
	end(c);
	for (int i = 0; i < 4; i++)
		close(peers[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_serves_many),
		cmocka_unit_test(nobody_is_woken_for_nothing),
		cmocka_unit_test(who_says_that_it_waits_holds_up_nobody),
		cmocka_unit_test(nor_who_does_not_say_so),
		cmocka_unit_test(a_new_one_is_served_meanwhile),
		cmocka_unit_test(another_descriptor_is_awaited),
		cmocka_unit_test(an_awaited_descriptor_has_many_masters),
		cmocka_unit_test(who_sleeps_is_not_woken_by_bytes),
		cmocka_unit_test(who_is_quiet_is_told_so_once),
		cmocka_unit_test(an_heir_has_its_descriptor),
		cmocka_unit_test(descriptors_are_used_again),
		cmocka_unit_test(who_finds_no_descriptor_is_sent_away),
		cmocka_unit_test(the_end_finds_all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
