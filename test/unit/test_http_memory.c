/*
 * test_http_memory.c - src/http/ keeps nothing of a request: every writable byte of this process is
 * searched after each way that an exchange ends
 *
 * The bank is another process, so what it has read is not found here.  What is searched for lies
 * disguised in this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

#include "http/http.h"
#include "test_http_stubs.h"

int max_safe_fds = 240;

bool
AcquireExternalFD(void)
{
	return true;
}

void
ReserveExternalFD(void)
{
}

void
ReleaseExternalFD(void)
{
}

/* ---------- what must not be found ---------- */

#define MASK 0x55
#define SECRET_LEN 20

typedef enum Secret
{
	IN_BODY,
	IN_HEADER,
	IN_PATH,
	NSECRETS
} Secret;

static const char *const secret_names[NSECRETS] = {"body", "header", "path"};
static unsigned char disguised[NSECRETS][SECRET_LEN];

/* New ones for each exchange: what an earlier one has left is not held against it. */
static void
make_secrets(void)
{
	static unsigned int number = 0;

	number++;
	for (int s = 0; s < NSECRETS; s++)
	{
		for (int i = 0; i < SECRET_LEN; i++)
			disguised[s][i] = (unsigned char) ('A' + (number * 7919 + s * 104729 + i * i * 31 +
													  (number >> (i % 8))) %
														 26) ^
							  MASK;
	}
}

static void
reveal(Secret s, char *to)
{
	for (int i = 0; i < SECRET_LEN; i++)
		to[i] = (char) (disguised[s][i] ^ MASK);
}

static bool
is_here(const unsigned char *p, Secret s)
{
	for (int i = 0; i < SECRET_LEN; i++)
	{
		if ((p[i] ^ MASK) != disguised[s][i])
			return false;
	}
	return true;
}

/* All that this process can write; without copying it. */
static int
found(Secret s, bool tell)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
	{
		unsigned long from;
		unsigned long to;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0 ||
			strstr(line, "[v") != NULL)
			continue;
		for (const unsigned char *p = (const unsigned char *) from;
			 p + SECRET_LEN <= (const unsigned char *) to; p++)
		{
			if (!is_here(p, s))
				continue;
			n++;
			if (tell)
				print_error("the %s at %p of %s", secret_names[s], (const void *) p, line);
		}
	}
	fclose(maps);
	return n;
}

static void
nothing_left(const char *when)
{
	int n = 0;

	for (int s = 0; s < NSECRETS; s++)
		n += found((Secret) s, true);
	if (n > 0)
		fail_msg("%s: %d copies are left, libcurl %s", when, n, curl_version());
}

/* ---------- the bank ---------- */

typedef struct Bank
{
	pid_t pid;
	int port;
} Bank;

/* Reads a request, and answers each read with text; NULL: never, "": hangs up. */
static void
serve(int listener, const char *text)
{
	static char buffer[1 << 20];
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0)
	{
		size_t len = 0;
		ssize_t n;

		while ((n = recv(fd, buffer + len, sizeof(buffer) - 1 - len, 0)) > 0)
		{
			char *end;
			char *length;

			len += (size_t) n;
			buffer[len] = '\0';
			end = strstr(buffer, "\r\n\r\n");
			length = strstr(buffer, "Content-Length: ");
			if (end == NULL || len < (size_t) (end + 4 - buffer) +
										 (length != NULL ? strtoul(length + 16, NULL, 10) : 0))
				continue;
			len = 0;
			if (text == NULL)
				continue;
			if (text[0] == '\0')
				break;
			(void) !write(fd, text, strlen(text));
		}
		close(fd);
	}
	_exit(0);
}

static Bank
bank_start(const char *text)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	Bank bank;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *) &addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 64), 0);
	getsockname(listener, (struct sockaddr *) &addr, &len);
	bank.port = ntohs(addr.sin_port);
	bank.pid = fork();
	if (bank.pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* not left behind when a check fails */
		serve(listener, text);
	}
	close(listener);
	return bank;
}

static void
bank_stop(Bank *bank)
{
	kill(bank->pid, SIGKILL);
	waitpid(bank->pid, NULL, 0);
}

/* ---------- exchanges ---------- */

/* As the worker does it: its own copies are gone as soon as the exchange has begun. */
static void
start(const char *scheme, int port, size_t padding, int timeout_ms)
{
	size_t size = padding + 256;
	char *body = malloc(size);
	char url[128];
	char header[64] = "Authorization: Bearer ";
	char secret[SECRET_LEN + 1] = "";
	char *headers[] = {"Content-Type: application/json", header};
	PgwHttpRequest req = {0};
	const char *error;

	make_secrets();
	reveal(IN_PATH, secret);
	snprintf(url, sizeof(url), "%s://127.0.0.1:%d/charges/%s", scheme, port, secret);
	reveal(IN_HEADER, header + strlen(header));
	reveal(IN_BODY, secret);
	memset(body, ' ', size);
	memcpy(body + padding / 2, secret, SECRET_LEN);
	req.method = "POST";
	req.url = url;
	req.headers = headers;
	req.nheaders = 2;
	req.body = body;
	req.body_len = size;
	req.connect_timeout_ms = timeout_ms;
	req.total_timeout_ms = timeout_ms;
	req.ca_file = "/nonexistent";
	assert_true(found(IN_BODY, false) > 0); /* the search works */
	if (!pgw_http_start(&req, &req, &error))
		fail_msg("%s", error);
	explicit_bzero(body, size);
	free(body);
	explicit_bzero(url, sizeof(url));
	explicit_bzero(header, sizeof(header));
	explicit_bzero(secret, sizeof(secret));
}

static void
finish(const char *when, PgwHttpResult result)
{
	PgwHttpDone done;

	while (!pgw_http_next_done(&done))
	{
		struct pollfd p = {.fd = pgw_http_fd(), .events = POLLIN};
		long ms = pgw_http_timeout_ms();

		(void) poll(&p, 1, ms >= 0 ? (int) ms : 10000);
		pgw_http_drive();
	}
	assert_int_equal(done.result, result);
	nothing_left(when); /* before the caller has seen the answer */
	pgw_http_release(done.handle);
	nothing_left(when);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LIMIT_MS 30000

static void
test_answered(void **state)
{
	static const size_t paddings[] = {0, 1500, 3000, 20000, 70000, 120000};
	Bank bank = bank_start(OK_ANSWER);

	(void) state;
	for (size_t i = 0; i < sizeof(paddings) / sizeof(paddings[0]); i++)
	{
		start("http", bank.port, paddings[i], LIMIT_MS);
		finish("answered", PGW_HTTP_ANSWERED);
	}
	bank_stop(&bank);
}

static void
test_refused(void **state)
{
	Bank bank = bank_start(
		"HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");

	(void) state;
	start("http", bank.port, 0, LIMIT_MS);
	finish("declined", PGW_HTTP_ANSWERED);
	bank_stop(&bank);
}

static void
test_timed_out(void **state)
{
	Bank bank = bank_start(NULL);

	(void) state;
	start("http", bank.port, 0, 300);
	finish("timed out", PGW_HTTP_MAYBE_SENT);
	start("http", bank.port, 100000, 300);
	finish("timed out", PGW_HTTP_MAYBE_SENT);
	bank_stop(&bank);
}

static void
test_connection_lost(void **state)
{
	Bank bank = bank_start("");

	(void) state;
	start("http", bank.port, 0, LIMIT_MS);
	finish("connection lost", PGW_HTTP_MAYBE_SENT);
	bank_stop(&bank);
}

static void
test_never_sent(void **state)
{
	Bank bank = bank_start(OK_ANSWER);

	(void) state;
	start("https", bank.port, 0, LIMIT_MS);
	finish("no certificates", PGW_HTTP_NEVER_SENT);
	bank_stop(&bank);
	start("http", bank.port, 0, LIMIT_MS);
	finish("no connection", PGW_HTTP_NEVER_SENT);
}

/* One after the other over the same connection, with pauses in which others are under way. */
static void
test_reused(void **state)
{
	Bank bank = bank_start(OK_ANSWER);

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		start("http", bank.port, (size_t) (i % 3) * 2000, LIMIT_MS);
		finish("reused", PGW_HTTP_ANSWERED);
	}
	bank_stop(&bank);
}

static int
setup(void **state)
{
	(void) state;
	signal(SIGPIPE, SIG_IGN);
	pgw_http_init();
	print_message("libcurl: %s\n", curl_version());
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answered),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_timed_out),  cmocka_unit_test(test_connection_lost),
		cmocka_unit_test(test_never_sent), cmocka_unit_test(test_reused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
