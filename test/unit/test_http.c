/*
 * test_http.c - src/http/http.c against small servers in threads of this process
 *
 * Each server counts connections and whole requests: "never sent" and "sent at
 * most once" are checked at the receiving end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_names.h"
#include "http/http.h"
#include "test_http_stubs.h"

/* ---------- stubs of the server ---------- */

int max_safe_fds = 240; /* 60 connections: 200 at once must queue */
static int external_fds = 0;
static int external_fds_peak = 0;
static bool deny_fds = false;

bool
AcquireExternalFD(void)
{
	if (deny_fds || external_fds >= max_safe_fds / 3)
		return false;
	ReserveExternalFD();
	return true;
}

void
ReserveExternalFD(void)
{
	external_fds++;
	if (external_fds > external_fds_peak)
		external_fds_peak = external_fds;
}

void
ReleaseExternalFD(void)
{
	assert_true(external_fds > 0);
	external_fds--;
}

/* ---------- servers ---------- */

typedef struct Server Server;
struct Server
{
	int listener;
	int port;
	atomic_int connections;
	atomic_int requests;
	atomic_int taken;  /* answers, by those who say so */
	atomic_int closed; /* and connections that were done with */
	void (*serve)(Server *server, int fd, int number);
	Server *next;
	char last[65536]; /* last request as received */
};

static Server *servers = NULL; /* all of them: reachable for leak checkers */

typedef struct Connection
{
	Server *server;
	int fd;
	int number; /* 1, 2, ... */
} Connection;

/* One whole request; false at the end of the connection. */
static bool
read_request(Server *server, int fd)
{
	size_t len = 0;

	while (len < sizeof(server->last) - 1)
	{
		char *end;
		char *cl;
		ssize_t n = recv(fd, server->last + len, sizeof(server->last) - 1 - len, 0);

		if (n <= 0)
			return false;
		len += n;
		server->last[len] = '\0';
		end = strstr(server->last, "\r\n\r\n");
		if (end == NULL)
			continue;
		cl = strstr(server->last, "Content-Length: ");
		if (len >= (size_t) (end + 4 - server->last) + (cl ? strtoul(cl + 16, NULL, 10) : 0))
		{
			server->requests++;
			return true;
		}
	}
	return false;
}

static void
answer(int fd, const char *text)
{
	(void) send(fd, text, strlen(text), MSG_NOSIGNAL);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void
serve_ok(Server *server, int fd, int number)
{
	(void) number;
	while (read_request(server, fd))
		answer(fd, OK_ANSWER);
}

static void
serve_slow(Server *server, int fd, int number)
{
	char private_buffer[4096];

	(void) number;
	while (recv(fd, private_buffer, sizeof(private_buffer), 0) > 0)
	{
		server->requests++;
		usleep(50000);
		answer(fd, OK_ANSWER);
	}
}

static void
serve_close(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
}

/* As a server of HTTP/2 begins that was told of no other version. */
static void
serve_no_http(Server *server, int fd, int number)
{
	static const char settings[] = "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\144";

	(void) number;
	read_request(server, fd);
	(void) send(fd, settings, sizeof(settings) - 1, MSG_NOSIGNAL);
}

static void
serve_silence(Server *server, int fd, int number)
{
	(void) number;
	while (read_request(server, fd))
		;
}

static void
serve_nothing(Server *server, int fd, int number)
{
	char c;

	(void) server;
	(void) number;
	while (recv(fd, &c, 1, 0) > 0)
		;
}

/* The first connection dies on its second request. */
static void
serve_die(Server *server, int fd, int number)
{
	while (read_request(server, fd))
	{
		if (number == 1 && server->requests == 2)
			return;
		answer(fd, OK_ANSWER);
	}
}

/* The same, and then nobody listens any more. */
static void
serve_die_and_refuse(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, OK_ANSWER);
	read_request(server, fd);
	/* not closed: the next server would get its number while listener_main() may still use it */
	shutdown(server->listener, SHUT_RDWR);
}

/* One answer for each connection, which is closed without a word. */
static void
serve_once(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, OK_ANSWER);
	shutdown(fd, SHUT_RDWR);
	server->closed++;
}

/* The first connection gets an answer too many, later than the one that was asked for. */
static void
serve_extra(Server *server, int fd, int number)
{
	while (read_request(server, fd))
	{
		answer(fd, OK_ANSWER);
		if (number != 1)
			continue;
		while (server->taken < 1)
			sched_yield();
		answer(fd, "HTTP/1.1 402 No\r\nContent-Length: 0\r\n\r\n");
		server->closed++;
	}
}

/* The same as serve_once(), and nobody listens any more. */
static void
serve_once_and_refuse(Server *server, int fd, int number)
{
	shutdown(server->listener, SHUT_RDWR);
	serve_once(server, fd, number);
}

static void
serve_large(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n");
	answer(fd, "012345678901234567890123456789012345678901234567890123456789");
}

static void
serve_headers(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 200; i++)
	{
		char line[1100];

		memset(line, 'x', sizeof(line));
		memcpy(line, "A: ", 3);
		memcpy(line + 1000, "\r\n", 3);
		answer(fd, line);
	}
}

/* Until the client has enough of it. */
static void
serve_endless(int fd, const char *piece)
{
	while (send(fd, piece, strlen(piece), MSG_NOSIGNAL) > 0)
		;
}

/* The length of a chunk never ends. */
static void
serve_extension(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	serve_endless(fd, "nothing=to;be=said;");
	server->closed++;
}

/* An answer in chunks of one byte, each with the same extension. */
static void
serve_small_chunks(Server *server, int fd, int number)
{
	(void) number;
	while (read_request(server, fd))
	{
		answer(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (int i = 0; i < 50; i++)
			answer(fd, "1;of=fifty\r\nx\r\n");
		answer(fd, "0\r\n\r\n");
	}
}

/* The first connection gets an answer too many, together with the one that was asked for. */
static void
serve_two_at_once(Server *server, int fd, int number)
{
	while (read_request(server, fd))
		answer(fd,
			   number == 1 ? OK_ANSWER "HTTP/1.1 402 No\r\nContent-Length: 0\r\n\r\n" : OK_ANSWER);
}

static void
serve_busy(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, "HTTP/1.1 503 Busy\r\nretry-AFTER: \t17 \r\nContent-Length: 0\r\n\r\n");
}

static const char *raw_answer;

static void
serve_raw(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, raw_answer);
}

static void
serve_plain_text(Server *server, int fd, int number)
{
	(void) number;
	answer(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	serve_nothing(server, fd, number);
}

static void
serve_redirect(Server *server, int fd, int number)
{
	(void) number;
	while (read_request(server, fd))
		answer(fd, "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
}

/* Ends inside the headers: libcurl calls that CURLE_OK. */
static void
serve_half_headers(Server *server, int fd, int number)
{
	(void) number;
	read_request(server, fd);
	answer(fd, "HTTP/1.1 200 OK\r\nContent-Le");
}

static void *
connection_main(void *arg)
{
	Connection c = *(Connection *) arg;

	free(arg);
	c.server->serve(c.server, c.fd, c.number);
	shutdown(c.fd, SHUT_RDWR);
	close(c.fd);
	return NULL;
}

static void *
listener_main(void *arg)
{
	Server *server = arg;
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0)
	{
		Connection *c = malloc(sizeof(Connection));
		pthread_t thread;

		c->server = server;
		c->fd = fd;
		c->number = ++server->connections;
		pthread_create(&thread, NULL, connection_main, c);
		pthread_detach(thread);
	}
	return NULL;
}

/* Never freed: threads may still look at it. */
static Server *
start_server(void (*serve)(Server *, int, int))
{
	Server *server = calloc(1, sizeof(Server));
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	pthread_t thread;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->serve = serve;
	server->next = servers;
	servers = server;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *) &addr, sizeof(addr)), 0);
	assert_int_equal(listen(server->listener, 512), 0);
	getsockname(server->listener, (struct sockaddr *) &addr, &len);
	server->port = ntohs(addr.sin_port);
	pthread_create(&thread, NULL, listener_main, server);
	pthread_detach(thread);
	return server;
}

/* A port nobody listens on (just released). */
static int
free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
	getsockname(fd, (struct sockaddr *) &addr, &len);
	close(fd);
	return ntohs(addr.sin_port);
}

/* ---------- client side ---------- */

static char url[128];

static PgwHttpRequest
request_to(const char *scheme, int port)
{
	static char *headers[] = {"Content-Type: application/json", "Authorization: Bearer secret"};
	PgwHttpRequest req = {0};

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d/pay", scheme, port);
	req.method = "POST";
	req.url = url;
	req.headers = headers;
	req.nheaders = 2;
	req.body = "{\"amount\":1}";
	req.body_len = strlen(req.body);
	/* limits, not waits: under valgrind on a busy machine a TLS handshake takes seconds */
	req.connect_timeout_ms = 20000;
	req.total_timeout_ms = 30000;
	req.max_body = 50;
	return req;
}

/* The next finished call, sleeping on the descriptor, and no longer than libcurl's timer allows. */
static PgwHttpDone
wait_done(void)
{
	PgwHttpDone done;

	while (!pgw_http_next_done(&done))
	{
		struct pollfd p = {.fd = pgw_http_fd(), .events = POLLIN};
		long ms = pgw_http_timeout_ms();

		assert_true(poll(&p, 1, ms >= 0 ? (int) ms : 10000) == 1 || ms >= 0);
		pgw_http_drive();
	}
	return done;
}

static bool resent; /* of the last that was expected */

static void
expect(const PgwHttpRequest *req, PgwHttpResult result, long status, const char *error)
{
	const char *start_error;
	PgwHttpDone done;
	int tag;

	if (!pgw_http_start(req, &tag, &start_error))
		fail_msg("%s", start_error);
	assert_int_equal(pgw_http_in_flight(), 1);
	done = wait_done();
	if (error != NULL && done.error != NULL)
		assert_string_equal(done.error, error);
	assert_int_equal(done.result, result);
	assert_int_equal(done.status, status);
	assert_ptr_equal(done.tag, &tag);
	assert_int_equal(done.error == NULL, error == NULL);
	assert_int_equal(pgw_http_in_flight(), 0);
	resent = done.resent;
	pgw_http_release(done.handle);
}

static void
test_answer(void **state)
{
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;
	PgwHttpDone done;

	(void) state;
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_int_equal(done.result, PGW_HTTP_ANSWERED);
	assert_int_equal(done.status, 200);
	assert_int_equal(done.body->len, 2);
	assert_memory_equal(done.body->data, "ok", 2);
	assert_null(done.retry_after);
	assert_null(done.error);
	pgw_http_release(done.handle);

	assert_non_null(strstr(server->last, "POST /pay HTTP/1.1\r\n"));
	assert_non_null(strstr(server->last, "\r\nAuthorization: Bearer secret\r\n"));
	assert_non_null(strstr(server->last, "\r\n\r\n{\"amount\":1}"));
	assert_null(strcasestr(server->last, "expect:"));
	assert_null(strcasestr(server->last, "accept-encoding:"));

	req.method = "GET";
	req.body = NULL;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_non_null(strstr(server->last, "GET /pay HTTP/1.1\r\n"));
	assert_null(strstr(server->last, "Content-Length"));

	req.method = "POST";
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_non_null(strstr(server->last, "Content-Length: 0\r\n"));

	/* keep-alive all along */
	assert_int_equal(server->connections, 1);
	assert_int_equal(server->requests, 3);
}

static void
test_body_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 60000};
	static char body[60000];
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;

	(void) state;
	memset(body, 'b', sizeof(body));
	req.body = body;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		req.body_len = sizes[i];
		expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
		assert_int_equal(strlen(strstr(server->last, "\r\n\r\n") + 4), sizes[i]);
	}
	req.body_len = 2 * 1024 * 1024;
	assert_false(pgw_http_start(&req, NULL, &error));
	assert_string_equal(error, "request too large");
}

static void
test_refused_input(void **state)
{
	static char *bad[] = {"X: a\r\nY: b"};
	PgwHttpRequest req = request_to("http", 1);
	const char *error;

	(void) state;
	req.headers = bad;
	req.nheaders = 1;
	assert_false(pgw_http_start(&req, NULL, &error));
	assert_string_equal(error, "invalid header");
	req = request_to("http", 1);
	req.method = "GET / HTTP/1.1\r\n";
	assert_false(pgw_http_start(&req, NULL, &error));
	assert_string_equal(error, "invalid method");

	req = request_to("ftp", 1);
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "unsupported URL");
	req.url = "http://user:word@127.0.0.1:1/";
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "unsupported URL");
	req.url = "http://nowhere.invalid/";
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "could not resolve host");
	assert_int_equal(pgw_http_in_flight(), 0);
}

static void
test_close_before_answer(void **state)
{
	Server *server = start_server(serve_close);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_MAYBE_SENT, 0, "connection lost");
	assert_int_equal(server->requests, 1);
}

static void
test_half_headers(void **state)
{
	Server *server = start_server(serve_half_headers);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;
	PgwHttpDone done;

	(void) state;
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_int_not_equal(done.result, PGW_HTTP_NEVER_SENT);
	assert_int_equal(done.body->len, 0);
	pgw_http_release(done.handle);
}

/* The URL is not to blame for it. */
static void
test_no_http(void **state)
{
	Server *server = start_server(serve_no_http);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_MAYBE_SENT, 0, "no answer of HTTP");
	assert_int_equal(server->requests, 1);
}

static void
test_refused(void **state)
{
	PgwHttpRequest req = request_to("http", free_port());

	(void) state;
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "could not connect");
}

static void
test_no_descriptor(void **state)
{
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	req.total_timeout_ms = 300;
	deny_fds = true;
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "too many open sockets");
	deny_fds = false;
	assert_int_equal(server->connections, 0);
	req.total_timeout_ms = 30000;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
}

/* It waits for one within its time, whole; and whose fault it was is told apart from the bank's. */
static void
test_waits_for_descriptor(void **state)
{
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;
	PgwHttpDone done;

	(void) state;
	deny_fds = true;
	assert_true(pgw_http_start(&req, NULL, &error));
	for (int i = 0; i < 5; i++)
	{
		long ms = pgw_http_timeout_ms();

		assert_true(ms >= 0); /* it looks again by itself */
		usleep((useconds_t) (ms + 1) * 1000);
		pgw_http_drive();
		assert_false(pgw_http_next_done(&done));
	}
	deny_fds = false;
	done = wait_done();
	assert_int_equal(done.result, PGW_HTTP_ANSWERED);
	assert_int_equal(done.status, 200);
	assert_false(done.our_fault);
	assert_non_null(strstr(server->last, req.body));
	pgw_http_release(done.handle);
	assert_int_equal(server->requests, 1);

	req.total_timeout_ms = 200;
	req.fresh_connection = true;
	deny_fds = true;
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_int_equal(done.result, PGW_HTTP_NEVER_SENT);
	assert_true(done.our_fault);
	pgw_http_release(done.handle);
	deny_fds = false;

	req = request_to("http", free_port());
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_int_equal(done.result, PGW_HTTP_NEVER_SENT);
	assert_false(done.our_fault);
	pgw_http_release(done.handle);
	assert_int_equal(pgw_http_in_flight(), 0);
}

static void
test_timeout_after_sending(void **state)
{
	Server *server = start_server(serve_silence);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	req.total_timeout_ms = 200;
	expect(&req, PGW_HTTP_MAYBE_SENT, 0, "timed out waiting for the answer");
	assert_int_equal(server->requests, 1);
}

/* TCP stands, the TLS handshake never ends. */
static void
test_timeout_before_sending(void **state)
{
	Server *server = start_server(serve_nothing);
	PgwHttpRequest req = request_to("https", server->port);

	(void) state;
	req.total_timeout_ms = 200;
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "timed out before sending");
	assert_int_equal(server->connections, 1);
}

/* libcurl sends twice, without a word: that is why fresh_connection exists. */
static void
test_resend(void **state)
{
	Server *server = start_server(serve_die);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 2);
	assert_int_equal(server->requests, 3);
}

/* The last error is a refused connection, yet the first attempt was sent. */
static void
test_resend_then_refused(void **state)
{
	Server *server = start_server(serve_die_and_refuse);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&req, PGW_HTTP_MAYBE_SENT, 0, "could not connect");
	assert_int_equal(server->requests, 2);
}

/* A connection that the bank has closed since gets nothing: neither sent nor sent again. */
static void
test_closed_in_between(void **state)
{
	Server *server = start_server(serve_once);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	for (int i = 1; i <= 3; i++)
	{
		expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
		assert_false(resent);
		while (server->closed < i)
			sched_yield();
	}
	assert_int_equal(server->requests, 3);

	server = start_server(serve_once_and_refuse);
	req = request_to("http", server->port);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	while (server->closed < 1)
		sched_yield();
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "could not connect");
	assert_int_equal(server->requests, 1);
}

/* What comes on a connection while nothing is asked on it is nobody's answer. */
static void
test_answer_too_many(void **state)
{
	Server *server = start_server(serve_extra);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	server->taken++;
	while (server->closed < 1)
		sched_yield();
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_false(resent);
	assert_int_equal(server->connections, 2);
}

static void
test_fresh_connection(void **state)
{
	Server *server = start_server(serve_die);
	PgwHttpRequest req = request_to("http", server->port);
	PgwHttpRequest fresh = req;

	(void) state;
	fresh.fresh_connection = true;

	/* A cached connection stands, which would die now. */
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&fresh, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 2);
	assert_int_equal(server->requests, 2);

	/* Not even the connection of a fresh one is left to others. */
	expect(&fresh, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 3);

	/* Sent once when the bank hangs up. */
	server = start_server(serve_close);
	fresh = request_to("http", server->port);
	fresh.fresh_connection = true;
	expect(&fresh, PGW_HTTP_MAYBE_SENT, 0, "connection lost");
	assert_int_equal(server->requests, 1);
}

static void
write_text(const char *path, const char *text)
{
	char fresh[128];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, path), 0);
}

/* A connection lives only so long. */
static void
test_connection_age(void **state)
{
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	req.max_connection_age_s = 1;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 1);
	sleep(3); /* libcurl counts whole seconds */
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 2);
	req.max_connection_age_s = 0;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 2);
}

/* Nor is one used that was made while other certificates were trusted; later ones are. */
static void
test_changed_certificates(void **state)
{
	Server *server = start_server(serve_ok);
	PgwHttpRequest req = request_to("http", server->port);
	char ca[] = "/tmp/pgw-ca-XXXXXX";
	int before;

	(void) state;
	assert_true(close(mkstemp(ca)) == 0);
	req.ca_file = ca;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 1);
	write_text(ca, "another");
	usleep(1100000); /* it is looked at once a second */
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 2);
	sleep(4);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	before = server->connections; /* at most one more: see set_trust() */
	assert_int_in_range(before, 2, 3);
	for (int i = 0; i < 20; i++)
		expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, before);
	assert_int_equal(unlink(ca), 0);
	usleep(1100000);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, before + 1);
}

static void
test_too_large(void **state)
{
	Server *server = start_server(serve_large);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_MAYBE_SENT, 200, "answer too large");
	req.max_body = 60;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);

	server = start_server(serve_headers);
	req = request_to("http", server->port);
	expect(&req, PGW_HTTP_MAYBE_SENT, 200, "answer too large");
}

/* What is neither header nor body has its limit, too, whatever the time that is left. */
static void
test_endless_framing(void **state)
{
	Server *server = start_server(serve_extension);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	req.total_timeout_ms = 600000;
	expect(&req, PGW_HTTP_MAYBE_SENT, 200, "answer too large");
	while (server->closed < 1)
		sched_yield();

	/* what is long only for its chunks is an answer, all on one connection */
	server = start_server(serve_small_chunks);
	req = request_to("http", server->port);
	for (int i = 0; i < 200; i++)
		expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_int_equal(server->connections, 1);
}

/* Left over on a connection, it is nobody's answer. */
static void
test_two_answers_at_once(void **state)
{
	Server *server = start_server(serve_two_at_once);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);
	assert_false(resent);
	assert_int_equal(server->connections, 2);
	assert_int_equal(server->requests, 2);
}

static void
test_retry_after(void **state)
{
	Server *server = start_server(serve_busy);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;
	PgwHttpDone done;

	(void) state;
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_int_equal(done.result, PGW_HTTP_ANSWERED);
	assert_int_equal(done.status, 503);
	assert_string_equal(done.retry_after, "17");
	pgw_http_release(done.handle);

	server = start_server(serve_ok);
	req = request_to("http", server->port);
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	assert_null(done.retry_after);
	pgw_http_release(done.handle);
}

/* Two statements about where the answer ends are none: "ok" may be its half, or its double. */
static void
test_two_lengths(void **state)
{
	static const struct
	{
		const char *text;
		PgwHttpResult result;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokok",
		 PGW_HTTP_MAYBE_SENT},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\ncontent-length: 2\r\n\r\nokok",
		 PGW_HTTP_MAYBE_SENT},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		 PGW_HTTP_MAYBE_SENT},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", PGW_HTTP_MAYBE_SENT},
		{"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", PGW_HTTP_MAYBE_SENT},
		{"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length:  2 \r\n\r\nok",
		 PGW_HTTP_ANSWERED},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Server *server = start_server(serve_raw);
		PgwHttpRequest req = request_to("http", server->port);
		const char *error;
		PgwHttpDone done;

		raw_answer = cases[i].text;
		assert_true(pgw_http_start(&req, NULL, &error));
		done = wait_done();
		if (done.result != cases[i].result)
			fail_msg("%s: %d, %s", cases[i].text, (int) done.result,
					 done.error ? done.error : "no error");
		pgw_http_release(done.handle);
	}
}

/* Those that were asked for, as they came; what cannot be kept whole spoils the answer. */
static void
test_kept_headers(void **state)
{
	static const char *const names[] = {"Location", "X-Id"};
	static const struct
	{
		const char *text;
		const char *kept; /* NULL: the answer is none */
	} cases[] = {
		{"HTTP/1.1 201 Made\r\nDate: x\r\nlocation:  /t/1 \r\nX-Id: 7\r\nX-Id-2: 8\r\nContent-Length: 0\r\n\r\n",
		 "location:  /t/1 \nX-Id: 7\n"},
		{"HTTP/1.1 201 Made\r\nX-Id: 7\r\nX-Id: 8\r\nContent-Length: 0\r\n\r\n",
		 "X-Id: 7\nX-Id: 8\n"},
		{"HTTP/1.1 103 Early\r\nLocation: /t/0\r\n\r\nHTTP/1.1 201 Made\r\nX-Id: 7\r\nContent-Length: 0\r\n\r\n",
		 "X-Id: 7\n"},
		/* behind the body */
		{"HTTP/1.1 201 Made\r\nX-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nLocation: /t/1\r\n\r\n",
		 "X-Id: 7\n"},
		/* half an id */
		{"HTTP/1.1 201 Made\r\nX-Id: 7\x01\r\nContent-Length: 0\r\n\r\n", NULL},
	};
	static char long_one[8500];

	(void) state;
	snprintf(long_one, sizeof(long_one),
			 "HTTP/1.1 201 Made\r\nX-Id: %0*d\r\nContent-Length: 0\r\n\r\n", 8200, 7);
	for (size_t i = 0; i <= sizeof(cases) / sizeof(cases[0]); i++)
	{
		bool last = i == sizeof(cases) / sizeof(cases[0]);
		const char *kept = last ? NULL : cases[i].kept;
		Server *server = start_server(serve_raw);
		PgwHttpRequest req = request_to("http", server->port);
		const char *error;
		PgwHttpDone done;

		req.answer_headers = names;
		req.nanswer_headers = 2;
		raw_answer = last ? long_one : cases[i].text;
		assert_true(pgw_http_start(&req, NULL, &error));
		done = wait_done();
		if (done.result != (kept != NULL ? PGW_HTTP_ANSWERED : PGW_HTTP_MAYBE_SENT))
			fail_msg("%s: %d, %s", raw_answer, (int) done.result,
					 done.error ? done.error : "no error");
		if (kept != NULL)
			assert_string_equal(done.headers, kept);
		pgw_http_release(done.handle);
	}
}

/* A line that goes on in the next is two halves, or one thing, by the library's version. */
static void
test_folded_header(void **state)
{
	static const char *const names[] = {"Location"};
	Server *server = start_server(serve_raw);
	PgwHttpRequest req = request_to("http", server->port);
	const char *error;
	PgwHttpDone done;

	(void) state;
	req.answer_headers = names;
	req.nanswer_headers = 1;
	raw_answer = "HTTP/1.1 201 Made\r\nLocation: /t/1\r\n 23\r\nContent-Length: 0\r\n\r\n";
	assert_true(pgw_http_start(&req, NULL, &error));
	done = wait_done();
	if (done.result == PGW_HTTP_ANSWERED)
		assert_string_equal(done.headers, "Location: /t/1 23\n");
	else
		assert_int_equal(done.result, PGW_HTTP_MAYBE_SENT);
	pgw_http_release(done.handle);
}

static void
test_no_redirect_no_proxy(void **state)
{
	Server *server = start_server(serve_redirect);
	PgwHttpRequest req = request_to("http", server->port);

	(void) state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	expect(&req, PGW_HTTP_ANSWERED, 302, NULL);
	assert_int_equal(server->requests, 1);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

static void
test_tls_to_plain_port(void **state)
{
	Server *server = start_server(serve_plain_text);
	PgwHttpRequest req = request_to("https", server->port);

	(void) state;
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "TLS handshake failed");
}

static void
test_certificates(void **state)
{
	char dir[] = "/tmp/pgw-http-XXXXXX";
	char command[1024];
	char ca[64];
	int port = free_port();
	char port_text[16];
	PgwHttpRequest req;
	pid_t child;
	bool up = false;

	(void) state;
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
			 "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2"
			 " -subj /CN=test -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1",
			 dir);
	if (system(command) != 0)
		skip();
	snprintf(ca, sizeof(ca), "%s/cert", dir);
	snprintf(port_text, sizeof(port_text), "%d", port);
	child = fork();
	if (child == 0)
	{
		/* not left behind when a check fails */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(dir) == 0)
			execlp("openssl", "openssl", "s_server", "-accept", port_text, "-key", "key", "-cert",
				   "cert", "-www", "-quiet", (char *) NULL);
		_exit(127);
	}
	for (int i = 0; i < 100 && !up; i++)
	{
		struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		up = connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0;
		close(fd);
		if (!up)
			usleep(50000);
	}
	assert_true(up);

	req = request_to("https", port);
	req.method = "GET";
	req.body = NULL;
	req.max_body = 100000;
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "certificate not accepted");
	req.ca_file = ca;
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);

	/*
	 * another authority in the same file: what libcurl has read of it counts no longer, and comes
	 * back with it
	 */
	snprintf(
		command, sizeof(command),
		"cd %s && cp cert good && openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other -days 2"
		" -subj /CN=other >/dev/null 2>&1 && mv other cert",
		dir);
	assert_int_equal(system(command), 0);
	usleep(1100000); /* it is looked at once a second */
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "certificate not accepted");
	snprintf(command, sizeof(command), "cd %s && mv good cert", dir);
	assert_int_equal(system(command), 0);
	usleep(1100000);
	expect(&req, PGW_HTTP_ANSWERED, 200, NULL);

	/* right authority, wrong host */
	snprintf(url, sizeof(url), "https://localhost:%d/", port);
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "certificate not accepted");

	req = request_to("https", port);
	req.ca_file = "/nonexistent";
	expect(&req, PGW_HTTP_NEVER_SENT, 0, "trusted certificates could not be read");

	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* More at once than connections are allowed: the rest waits for its turn. */
static void
test_concurrent(void **state)
{
	Server *server = start_server(serve_slow);
	PgwHttpRequest req = request_to("http", server->port);
	static bool seen[200];
	const char *error;
	sigset_t mask;

	(void) state;
	req.total_timeout_ms = 9000;
	req.connect_timeout_ms = 9000;
	for (int i = 0; i < 200; i++)
		assert_true(pgw_http_start(&req, &seen[i], &error));
	assert_int_equal(pgw_http_in_flight(), 200);
	for (int i = 0; i < 200; i++)
	{
		PgwHttpDone done = wait_done();

		assert_int_equal(done.result, PGW_HTTP_ANSWERED);
		assert_false(*(bool *) done.tag);
		*(bool *) done.tag = true;
		pgw_http_release(done.handle);
	}
	assert_int_equal(pgw_http_in_flight(), 0);
	assert_int_equal(server->requests, 200);
	assert_true(server->connections > 10);
	assert_true(external_fds_peak <= max_safe_fds / 3);

	/* the signal mask is as before */
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_false(sigismember(&mask, SIGTERM));
}

static int
setup(void **state)
{
	(void) state;
	signal(SIGPIPE, SIG_IGN);
	pgw_http_init();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_body_sizes),
		cmocka_unit_test(test_refused_input),
		cmocka_unit_test(test_close_before_answer),
		cmocka_unit_test(test_half_headers),
		cmocka_unit_test(test_no_http),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_waits_for_descriptor),
		cmocka_unit_test(test_timeout_after_sending),
		cmocka_unit_test(test_timeout_before_sending),
		cmocka_unit_test(test_resend),
		cmocka_unit_test(test_resend_then_refused),
		cmocka_unit_test(test_closed_in_between),
		cmocka_unit_test(test_answer_too_many),
		cmocka_unit_test(test_fresh_connection),
		cmocka_unit_test(test_connection_age),
		cmocka_unit_test(test_changed_certificates),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_endless_framing),
		cmocka_unit_test(test_two_answers_at_once),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_kept_headers),
		cmocka_unit_test(test_folded_header),
		cmocka_unit_test(test_two_lengths),
		cmocka_unit_test(test_no_redirect_no_proxy),
		cmocka_unit_test(test_tls_to_plain_port),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_concurrent),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
