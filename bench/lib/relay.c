// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A longer way to a server on this machine: every byte arrives later, and no fewer arrive a second.
 *
 *	relay MILLISECONDS PORT
 *
 * listens on a free port of 127.0.0.1, prints its number, and forwards each connection to PORT. A byte
 * takes half of the MILLISECONDS in each direction, whatever else is on the way: what was read gets the
 * time at which it is due, and waits in a ring. Ends when its standard input does.
 *
 * Never earlier than due; later by what the machine's scheduler adds. There is no limit of bandwidth: a
 * ring holds what GIGABYTE a second would put on the way, and is only filled further when its receiver
 * stands still. Compiled by lib/relay.py, which also measures it; not part of sshfs.
 *
 * One thread and ppoll(): a machine with two cores has better uses for the second one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS = 64,
	MARKS = 1 << 16,   /* reads on the way in one direction */
	PIECE = 256 << 10, /* bytes read at once, so that both directions get their turn */
	GIGABYTE = 1000 * 1000 * 1000,
	ROOM = 8 << 20, /* of a ring, besides what is on the way */
};

struct mark {
	int64_t due;  /* ns of CLOCK_MONOTONIC */
	uint64_t end; /* of the bytes it is about, counted from the beginning of the connection */
};

/* Half of a connection. Counters only grow; what they count lies at their remainder by the size. */
struct direction {
	int source, sink;
	char *ring;
	struct mark *marks;
	uint64_t taken, given;           /* bytes */
	uint64_t marks_made, marks_over; /* marks */
	bool ended;                      /* the source has nothing more */
	bool closed;                     /* the sink has been told so */
	bool broken;                     /* the sink takes nothing: what comes is thrown away */
};

static int64_t delay;
static uint64_t ring_size;
static struct direction directions[2 * CONNECTIONS];
static int used;

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void *pages(uint64_t size)
{
	void *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		err(1, "mmap");
	return start;
}

/* ---- one direction -------------------------------------------------------------------------- */

static struct mark *mark_at(struct direction *it, uint64_t number)
{
	return &it->marks[number % MARKS];
}

static bool has_room(const struct direction *it)
{
	return !it->ended && it->taken - it->given < ring_size &&
	       it->marks_made - it->marks_over < MARKS;
}

/* How many bytes may lie, or are, in one piece from `position` on. */
static uint64_t in_one_piece(uint64_t position, uint64_t bytes)
{
	uint64_t to_the_end = ring_size - position % ring_size;

	return bytes < to_the_end ? bytes : to_the_end;
}

static void begin_again(struct direction *it)
{
	/* An empty ring starts at its beginning, which is still in the processor's cache. */
	if (it->taken == it->given) {
		it->taken = it->given = 0;
		it->marks_made = it->marks_over = 0;
	}
}

static void take(struct direction *it)
{
	uint64_t room = in_one_piece(it->taken, ring_size - (it->taken - it->given));
	ssize_t got = recv(it->source, it->ring + it->taken % ring_size,
	                   room < PIECE ? room : PIECE, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		it->ended = true; /* reset: the other side sees an end */
	else
		it->taken += got;
	*mark_at(it, it->marks_made++) = (struct mark){.due = now() + delay, .end = it->taken};
}

static bool is_due(struct direction *it, int64_t time)
{
	return it->marks_over < it->marks_made && mark_at(it, it->marks_over)->due <= time;
}

/* The end of what is due, which is more than the first mark's when the sink was slow. */
static uint64_t due_until(struct direction *it, int64_t time)
{
	uint64_t number = it->marks_over;

	while (number + 1 < it->marks_made && mark_at(it, number + 1)->due <= time)
		number++;
	return mark_at(it, number)->end;
}

static void send_due(struct direction *it, int64_t time)
{
	uint64_t bytes = in_one_piece(it->given, due_until(it, time) - it->given);
	ssize_t sent = it->broken ? (ssize_t)bytes
	                          : send(it->sink, it->ring + it->given % ring_size, bytes,
	                                 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		it->broken = true;
		shutdown(it->source, SHUT_RD);
	}
	if (sent > 0)
		it->given += sent;
}

static void give(struct direction *it)
{
	int64_t time = now();

	if (!is_due(it, time))
		return;
	send_due(it, time);
	while (is_due(it, time) && mark_at(it, it->marks_over)->end <= it->given)
		it->marks_over++;
	if (it->marks_over < it->marks_made)
		return;
	begin_again(it);
	if (it->ended && !it->closed) {
		shutdown(it->sink, SHUT_WR);
		it->closed = true;
	}
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void start_direction(int source, int sink)
{
	struct direction *it = &directions[used++];

	/* Kept from the last connection: its pages are there already. */
	char *ring = it->ring ?: pages(ring_size);
	struct mark *marks = it->marks ?: pages(MARKS * sizeof(*marks));

	*it = (struct direction){.source = source, .sink = sink, .ring = ring, .marks = marks};
}

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_port = htons(port),
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock >= 0 && connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0)
		return sock;
	close(sock);
	return -1;
}

static void accept_one(int listener, int port)
{
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int server = client < 0 ? -1 : connect_to(port);
	int yes = 1;

	if (server < 0 || used == 2 * CONNECTIONS) {
		close(server);
		close(client);
		return;
	}
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	start_direction(client, server);
	start_direction(server, client);
}

/* Takes away the connections, which are pairs of directions, that are over in both. */
static void sweep(void)
{
	for (int i = 0; i < used; i += 2) {
		struct direction *one = &directions[i], last[2];

		if (!one[0].closed || !one[1].closed)
			continue;
		close(one->source);
		close(one->sink);
		used -= 2;
		memcpy(last, one, sizeof(last));
		memcpy(one, &directions[used], sizeof(last));
		memcpy(&directions[used], last, sizeof(last));
		i -= 2;
	}
}

/* Fills what to wait for; returns the first time at which something becomes due. */
static int64_t wishes(struct pollfd *polls, int64_t time)
{
	int64_t first = INT64_MAX;

	for (int i = 0; i < used; i++) {
		struct direction *it = &directions[i];
		bool sends = is_due(it, time) && !it->broken;

		polls[2 * i] =
			(struct pollfd){.fd = has_room(it) ? it->source : -1, .events = POLLIN};
		polls[2 * i + 1] = (struct pollfd){.fd = sends ? it->sink : -1, .events = POLLOUT};
		if (!sends && it->marks_over < it->marks_made &&
		    mark_at(it, it->marks_over)->due < first)
			first = mark_at(it, it->marks_over)->due;
	}
	return first;
}

static void wait_for(struct pollfd *polls, int count, int64_t time, int64_t first)
{
	int64_t left = first > time ? first - time : 0;
	struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};

	if (ppoll(polls, count, first == INT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
		err(1, "ppoll");
}

static void forward(int listener, int port)
{
	struct pollfd polls[2 + 4 * CONNECTIONS];

	for (;;) {
		int64_t time = now();
		int64_t first = wishes(polls + 2, time);
		int count = used;

		polls[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
		polls[1] = (struct pollfd){.fd = listener, .events = POLLIN};
		wait_for(polls, 2 + 2 * count, time, first);
		if (polls[0].revents)
			return;
		for (int i = 0; i < count; i++) {
			if (polls[2 + 2 * i].revents)
				take(&directions[i]);
			give(&directions[i]);
		}
		if (polls[1].revents)
			accept_one(listener, port);
		sweep();
	}
}

static int listen_somewhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || bind(sock, (struct sockaddr *)&address, size) < 0 || listen(sock, 64) < 0 ||
	    getsockname(sock, (struct sockaddr *)&address, &size) < 0)
		err(1, "listening");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return sock;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: relay MILLISECONDS PORT");
	delay = atof(argv[1]) * 1e6 / 2;
	ring_size = ROOM + (uint64_t)(delay / 1e9 * GIGABYTE);
	prctl(PR_SET_TIMERSLACK, 1); /* else a sleep ends 50 us late */
	forward(listen_somewhere(), atoi(argv[2]));
	return 0;
}
