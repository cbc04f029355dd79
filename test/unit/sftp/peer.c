// SPDX-License-Identifier: GPL-2.0-or-later
/* See peer.h. */
#include <pthread.h>

#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lock.h"
#include "util.h"

/* ---- a stream over a socket pair -------------------------------------------------------------- */

struct peer_transport {
	struct transport transport;
	int fd;
	pid_t pid; /* 0: none */
};

static struct peer_transport *of(struct transport *transport)
{
	return util_container_of(transport, struct peer_transport, transport);
}

static ssize_t stream_read(struct transport *transport, void *buf, size_t size)
{
	ssize_t n = recv(of(transport)->fd, buf, size, 0);

	return n < 0 ? -errno : n;
}

static ssize_t stream_write(struct transport *transport, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	ssize_t n = sendmsg(of(transport)->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static int stream_wait_writable(struct transport *transport)
{
	struct pollfd pfd = {.fd = of(transport)->fd, .events = POLLOUT};

	poll(&pfd, 1, -1);
	return pfd.revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

static int stream_splice_fd(struct transport *transport)
{
	return of(transport)->fd;
}

static void stream_shutdown(struct transport *transport)
{
	shutdown(of(transport)->fd, SHUT_RDWR);
}

static char *stream_why_ended(struct transport *transport)
{
	return NULL;
}

static void stream_free(struct transport *transport)
{
	struct peer_transport *stream = of(transport);

	close(stream->fd);
	if (stream->pid > 0) {
		while (waitpid(stream->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	g_free(stream);
}

static const struct transport_ops stream_ops = {
	.read = stream_read,
	.write = stream_write,
	.wait_writable = stream_wait_writable,
	.splice_fd = stream_splice_fd,
	.shutdown = stream_shutdown,
	.why_ended = stream_why_ended,
	.free = stream_free,
};

static struct peer_transport *stream_new(int *ret_fd)
{
	struct peer_transport *stream = g_new0(struct peer_transport, 1);
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	stream->transport.ops = &stream_ops;
	stream->fd = fds[0];
	*ret_fd = fds[1];
	return stream;
}

struct transport *peer_transport_new(int *ret_fd)
{
	return &stream_new(ret_fd)->transport;
}

/* ---- connectors ------------------------------------------------------------------------------- */

struct peer_thread {
	pthread_t thread;
	int fd;
	struct connector *connector;
};

struct connector {
	peer_fn serve;
	void *data;
	char *folder;
	pthread_mutex_t lock;
	unsigned int count;    /* protected by lock */
	unsigned int attempts; /* protected by lock */
	bool refuse;           /* protected by lock */
	GPtrArray *threads;    /* struct peer_thread; protected by lock */
	GArray *cuts;          /* int: duplicates of the peers' descriptors; protected by lock */
};

static struct connector *connector_blank(void)
{
	struct connector *connector = g_new0(struct connector, 1);

	pthread_mutex_init(&connector->lock, NULL);
	connector->threads = g_ptr_array_new_with_free_func(g_free);
	connector->cuts = g_array_new(FALSE, FALSE, sizeof(int));
	return connector;
}

struct connector *peer_connector_new(peer_fn serve, void *data)
{
	struct connector *connector = connector_blank();

	connector->serve = serve;
	connector->data = data;
	return connector;
}

struct connector *peer_connector_new_server(const char *folder)
{
	struct connector *connector = connector_blank();

	connector->folder = g_strdup(folder);
	return connector;
}

const char *peer_server_path(void)
{
	static const char *const paths[] = {"/usr/lib/openssh/sftp-server",
	                                    "/usr/libexec/openssh/sftp-server",
	                                    "/usr/lib/ssh/sftp-server"};

	for (unsigned int i = 0; i < G_N_ELEMENTS(paths); i++) {
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	}
	return NULL;
}

static void *serve_main(void *arg)
{
	struct peer_thread *peer = arg;

	peer->connector->serve(peer->fd, peer->connector->data);
	shutdown(peer->fd, SHUT_RDWR);
	return NULL;
}

static void start_thread(struct connector *connector, int fd)
{
	struct peer_thread *peer = g_new0(struct peer_thread, 1);

	peer->fd = fd;
	peer->connector = connector;
	g_ptr_array_add(connector->threads, peer);
	g_assert_cmpint(pthread_create(&peer->thread, NULL, serve_main, peer), ==, 0);
}

static pid_t start_server(struct connector *connector, int fd)
{
	const char *path = peer_server_path();
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		if (chdir(connector->folder) || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
			_exit(126);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* One way only. */
enum connector_way connector_more_way(struct connector *connector)
{
	return CONNECTOR_ALONE;
}

bool connector_other_way(struct connector *connector, enum connector_way *way)
{
	return false;
}

void connector_note_way(struct connector *connector, enum connector_way way)
{
}

int connector_connect(struct connector *connector, enum connector_way way,
                      struct transport **ret_transport, char **ret_why)
{
	struct peer_transport *stream;
	int fd, cut;

	LOCK_SCOPE(&connector->lock);

	connector->attempts++;
	if (connector->refuse) {
		*ret_why = g_strdup("failed to connect: Connection refused");
		return -ECONNREFUSED;
	}
	stream = stream_new(&fd);
	cut = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	g_array_append_val(connector->cuts, cut);
	connector->count++;
	if (connector->serve) {
		start_thread(connector, fd);
	} else {
		stream->pid = start_server(connector, fd);
		close(fd);
	}
	*ret_transport = &stream->transport;
	return 0;
}

bool connector_can_reconnect(const struct connector *connector)
{
	return true;
}

unsigned int peer_connector_count(struct connector *connector)
{
	LOCK_SCOPE(&connector->lock);

	return connector->count;
}

unsigned int peer_connector_attempts(struct connector *connector)
{
	LOCK_SCOPE(&connector->lock);

	return connector->attempts;
}

void peer_connector_refuse(struct connector *connector, bool refuse)
{
	LOCK_SCOPE(&connector->lock);

	connector->refuse = refuse;
}

void peer_connector_cut(struct connector *connector)
{
	LOCK_SCOPE(&connector->lock);

	for (unsigned int i = 0; i < connector->cuts->len; i++)
		shutdown(g_array_index(connector->cuts, int, i), SHUT_RDWR);
}

void connector_free(struct connector *connector)
{
	peer_connector_cut(connector);
	for (unsigned int i = 0; i < connector->threads->len; i++) {
		struct peer_thread *peer = g_ptr_array_index(connector->threads, i);

		pthread_join(peer->thread, NULL);
		close(peer->fd);
	}
	for (unsigned int i = 0; i < connector->cuts->len; i++)
		close(g_array_index(connector->cuts, int, i));
	g_ptr_array_unref(connector->threads);
	g_array_unref(connector->cuts);
	pthread_mutex_destroy(&connector->lock);
	g_free(connector->folder);
	g_free(connector);
}

/* ---- words ------------------------------------------------------------------------------------ */

static bool receive_bytes(int fd, void *bytes, size_t size)
{
	uint8_t *next = bytes;

	while (size > 0) {
		ssize_t n = recv(fd, next, size, 0);

		if (n <= 0)
			return false;
		next += n;
		size -= (size_t)n;
	}
	return true;
}

bool peer_receive(int fd, struct peer_message *message)
{
	uint8_t header[9];
	struct wire_reader reader;
	uint32_t size;
	void *bytes;

	if (!receive_bytes(fd, header, sizeof(header)))
		return false;
	wire_reader_init(&reader, header, sizeof(header));
	size = wire_get_u32(&reader) - 5;
	message->type = wire_get_u8(&reader);
	message->id = wire_get_u32(&reader);
	g_assert_cmpuint(size, <=, 256 * 1024);
	bytes = g_malloc(size);
	if (!receive_bytes(fd, bytes, size)) {
		g_free(bytes);
		return false;
	}
	message->bytes = g_bytes_new_take(bytes, size);
	wire_reader_init(&message->body, bytes, size);
	return true;
}

void peer_message_clear(struct peer_message *message)
{
	g_clear_pointer(&message->bytes, g_bytes_unref);
}

char *peer_get_string(struct peer_message *message)
{
	char *string = wire_get_cstring(&message->body);

	g_assert_nonnull(string);
	return string;
}

bool peer_send_raw(int fd, const void *bytes, size_t size)
{
	const uint8_t *next = bytes;

	while (size > 0) {
		ssize_t n = send(fd, next, size, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		next += n;
		size -= (size_t)n;
	}
	return true;
}

bool peer_send(int fd, uint8_t type, uint32_t id, const struct wire_buf *body)
{
	struct wire_buf message;
	bool sent;

	wire_buf_init(&message);
	wire_put_u32(&message, (uint32_t)(body->size + 5));
	wire_put_u8(&message, type);
	wire_put_u32(&message, id);
	wire_put_bytes(&message, body->data, body->size);
	sent = peer_send_raw(fd, message.data, message.size);
	wire_buf_done(&message);
	return sent;
}

bool peer_send_version(int fd, uint32_t version, const char *const *extensions)
{
	struct wire_buf body;
	bool sent;

	wire_buf_init(&body);
	for (; extensions && *extensions; extensions++)
		wire_put_cstring(&body, *extensions);
	sent = peer_send(fd, SFTP_VERSION_REPLY, version, &body);
	wire_buf_done(&body);
	return sent;
}

bool peer_greet(int fd, const char *const *extensions)
{
	struct peer_message init;

	if (!peer_receive(fd, &init))
		return false;
	g_assert_cmpuint(init.type, ==, SFTP_INIT);
	g_assert_cmpuint(init.id, ==, SFTP_VERSION);
	peer_message_clear(&init);
	return peer_send_version(fd, SFTP_VERSION, extensions);
}

bool peer_send_status(int fd, uint32_t id, uint32_t status, const char *text)
{
	struct wire_buf body;
	bool sent;

	wire_buf_init(&body);
	wire_put_u32(&body, status);
	wire_put_cstring(&body, text);
	wire_put_cstring(&body, "en");
	sent = peer_send(fd, SFTP_STATUS, id, &body);
	wire_buf_done(&body);
	return sent;
}

bool peer_send_handle(int fd, uint32_t id, const char *handle)
{
	struct wire_buf body;
	bool sent;

	wire_buf_init(&body);
	wire_put_cstring(&body, handle);
	sent = peer_send(fd, SFTP_HANDLE, id, &body);
	wire_buf_done(&body);
	return sent;
}

bool peer_send_data(int fd, uint32_t id, const void *bytes, size_t size)
{
	struct wire_buf body;
	bool sent;

	wire_buf_init(&body);
	wire_put_string(&body, bytes, size);
	sent = peer_send(fd, SFTP_DATA, id, &body);
	wire_buf_done(&body);
	return sent;
}

bool peer_send_attrs(int fd, uint32_t id, const struct sftp_attrs *attrs)
{
	struct wire_buf body;
	bool sent;

	wire_buf_init(&body);
	sftp_put_attrs(&body, attrs);
	sent = peer_send(fd, SFTP_ATTRS, id, &body);
	wire_buf_done(&body);
	return sent;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

void peer_count(struct peer_counter *counter)
{
	LOCK_SCOPE(&counter->lock);

	counter->value++;
	pthread_cond_broadcast(&counter->changed);
}

void peer_await(struct peer_counter *counter, unsigned int value)
{
	LOCK_SCOPE(&counter->lock);

	while (counter->value < value)
		pthread_cond_wait(&counter->changed, &counter->lock);
}

unsigned int peer_counted(struct peer_counter *counter)
{
	LOCK_SCOPE(&counter->lock);

	return counter->value;
}
