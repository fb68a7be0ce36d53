/*-------------------------------------------------------------------------
 *
 * http.c
 *		Connections: receiving requests, sending answers, breaking them.
 *
 * A delayed request is suspended; when its connection is resumed the handler
 * is called again and sends the answer that was made before.  The broken
 * answers are written to the socket directly.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bank.h"

static int
fd_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info;

	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info ? (int) info->connect_fd : -1;
}

/* The content of a huge answer: one endless JSON string. */
static ssize_t
huge_reader(void *cls, uint64_t pos, char *buf, size_t max)
{
	static const char start[] = "{\"status\":\"approved\",\"padding\":\"";

	(void) cls;
	if (pos >= HUGE_BODY)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (max > HUGE_BODY - pos)
		max = (size_t) (HUGE_BODY - pos);
	memset(buf, 'x', max);
	if (pos == 0 && max >= sizeof(start))
		memcpy(buf, start, sizeof(start) - 1);
	return (ssize_t) max;
}

/*
 * Really reset the connection: on Linux, connecting a socket to "nothing"
 * sends RST at once, before the daemon can shut the connection down in order.
 */
static void
send_reset(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	struct sockaddr nothing;

	memset(&nothing, 0, sizeof(nothing));
	nothing.sa_family = AF_UNSPEC;
	(void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	(void) connect(fd, &nothing, sizeof(nothing));
}

static void
send_raw(int fd, const char *data, size_t len)
{
	(void) !send(fd, data, len, MSG_NOSIGNAL);
}

/* Deliver the answer, or what takes its place; MHD_NO closes the connection. */
static enum MHD_Result
deliver(Request *req)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	Buf raw = {0};

	switch (req->delivery)
	{
		case D_NEVER:
		case D_CLOSE:
			return MHD_NO;
		case D_RESET:
			send_reset(req->fd);
			return MHD_NO;
		case D_CLOSE_HEADERS:
			buf_printf(&raw, "HTTP/1.1 %d OK\r\nContent-Type: applica", req->status);
			send_raw(req->fd, raw.data, raw.len);
			buf_free(&raw);
			return MHD_NO;
		case D_TRUNCATED:
			buf_printf(&raw,
					   "HTTP/1.1 %d OK\r\nContent-Type: application/json\r\n"
					   "Content-Length: %zu\r\n\r\n",
					   req->status, req->out.len);
			buf_add(&raw, req->out.data, req->out.len / 2);
			send_raw(req->fd, raw.data, raw.len);
			buf_free(&raw);
			return MHD_NO;
		case D_HUGE:
			response = MHD_create_response_from_callback(HUGE_BODY, 65536, huge_reader, NULL, NULL);
			break;
		default:
			if (req->out.len > 0)
			{
				response = MHD_create_response_from_buffer(req->out.len, req->out.data,
														   MHD_RESPMEM_MUST_FREE);
				memset(&req->out, 0, sizeof(req->out));
			}
			else
				response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
			break;
	}
	MHD_add_response_header(response, "Content-Type", "application/json");
	if (req->replayed)
		MHD_add_response_header(response, "Idempotent-Replayed", "true");
	if (req->retry_after > 0)
	{
		char text[16];

		snprintf(text, sizeof(text), "%d", req->retry_after);
		MHD_add_response_header(response, "Retry-After", text);
	}
	result = MHD_queue_response(req->connection, (unsigned int) req->status, response);
	MHD_destroy_response(response);
	return result;
}

static Request *
request_new(struct MHD_Connection *connection, const char *url, const char *method)
{
	Request *req = xalloc(sizeof(Request));

	req->connection = connection;
	req->fd = fd_of(connection);
	/* the methods that matter are kept as constants */
	req->method = strcmp(method, "GET") == 0    ? "GET"
				  : strcmp(method, "POST") == 0 ? "POST"
												: "OTHER";
	req->path = xstrdup(url);
	req->key = xstrdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Idempotency-Key"));
	req->correlation =
		xstrdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Correlation-Id"));
	req->traceparent =
		xstrdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent"));
	req->tracestate =
		xstrdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "tracestate"));
	return req;
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
		   const char *version, const char *data, size_t *size, void **state)
{
	Request *req = *state;

	(void) cls;
	(void) version;
	if (req == NULL)
	{
		*state = request_new(connection, url, method);
		return MHD_YES;
	}
	if (*size > 0)
	{
		if (req->body.len + *size > MAX_BODY)
			req->body_too_large = true;
		else
			buf_add(&req->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!req->waiting)
	{
		request_handle(req);
		if (req->delivery == D_NEVER || req->delay > 0)
		{
			req->waiting = true;
			return timer_add(req, now_ms() + req->delay, req->delivery == D_NEVER) ? MHD_YES
																				   : MHD_NO;
		}
	}
	if (req->late)
	{
		request_finish_late(req);
		if (req->delivery == D_NEVER)
			return timer_add(req, now_ms(), true) ? MHD_YES : MHD_NO;
	}
	return deliver(req);
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why)
{
	Request *req = *state;

	(void) cls;
	(void) connection;
	(void) why;
	*state = NULL;
	if (req == NULL)
		return;
	if (req->late)
		request_finish_late(req); /* the client left; the bank does it anyway */
	request_free(req);
}

struct MHD_Daemon *
http_start(int port, int threads, unsigned int limit, const char *key, const char *certificate)
{
	struct sockaddr_in address;
	unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
						 (key != NULL ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) (intptr_t) key},
								   {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) (intptr_t) certificate},
								   {MHD_OPTION_END, 0, NULL}};

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t) port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *) &address,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_THREAD_POOL_SIZE,
		(unsigned int) threads, MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
		0U, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 16384, MHD_OPTION_LISTEN_BACKLOG_SIZE,
		4096U, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_ARRAY,
		key != NULL ? tls : tls + 2, MHD_OPTION_END);
}
