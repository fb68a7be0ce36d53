/*
 * http.c - HTTP transfers of one worker process
 *
 * One curl multi handle, driven by events.  A private epoll descriptor holds
 * libcurl's sockets; its fd is level-triggered and can be nested in a
 * WaitEventSet, so that the worker has a single place to sleep.  libcurl's timer
 * is a number: it is set for each transfer anew, and a system call each time
 * was an eighth of the worker's time.
 *
 *         start --> libcurl --(drive)--> done queue --(next_done)--> caller --(release)--> gone
 *
 * Invariants
 *
 * - NEVER_SENT is a proof, everything in doubt is MAYBE_SENT.  The proof needs
 *   both an error that belongs to the time before the request (no name, no
 *   connection, no TLS, ...) and that no attempt of this transfer ever got as
 *   far as sending.  The second half matters because libcurl silently sends
 *   again when a reused connection turns out dead: the error then describes the
 *   last attempt only.  See request_begun().
 *
 * - A transfer with fresh_connection neither takes a connection from the cache
 *   nor leaves one there.  libcurl resends only on reused connections, and with
 *   HTTP/1.1 forced there is no refused-stream resend, without credentials no
 *   authentication round, without "Expect:" no 417 round: such a request is on
 *   the wire at most once.
 *
 * - Request bodies lie in an arena that is kept out of core dumps and locked where the limits
 *   permit.  Body and headers are wiped as soon as the transfer
 *   has ended, before the caller sees the answer.  libcurl puts copies of both into its own
 *   buffers, therefore its memory functions are replaced by ones
 *   that wipe on free, and each transfer has an easy handle of its own, which ends with it.
 *   Nothing here is ever logged, and error texts are constants.
 *
 * - Nothing palloc'ed, no ereport and no interrupt processing while libcurl is
 *   on the stack: a longjmp across its frames would leave them locked in a
 *   half-done state.  Only pgw_http_init() raises errors.
 *
 * - Every socket is counted with AcquireExternalFD().  The connection limit
 *   below stays under what that grants, so at the limit libcurl closes idle
 *   connections or lets transfers wait, instead of failing.  Where no socket is
 *   to be had all the same (IPv6 and IPv4 race, the machine's table is full),
 *   the transfer waits here for one, within its time: that is no fault of the
 *   bank's.
 *
 * - All signals are blocked while libcurl runs, because the threads that it
 *   starts for name resolution inherit the mask; else one of them could run
 *   the worker's signal handlers.  SIGPIPE must be ignored process-wide, as in
 *   every background worker: CURLOPT_NOSIGNAL leaves it to us.
 *
 * There is no clean-up at exit: the kernel closes and clears everything, and
 * curl_multi_cleanup() could wait for a resolver thread.
 */
#include "core/base/characters.h"
#include "core/base/connection_limit.h"
#include "http/http_internal.h"

#define MAX_CACHED_CONNS 512 /* of which MAX_TOTAL_CONNECTIONS may use less */
#define DEFAULT_MAX_BODY (1024 * 1024)
#define EVENTS_PER_DRIVE 256
#define NO_TIMER INT64_MAX
#define SOCKET_RETRY_US (50 * 1000)

static CURLM *multi = NULL;
static int mux = -1;                /* the epoll descriptor */
static int64_t timer_at = NO_TIMER; /* CLOCK_MONOTONIC, in microseconds */
static int in_flight = 0;           /* started, not yet given out by next_done */
static long max_connections = 0;

static Transfer *done_head = NULL;
static Transfer *done_tail = NULL;
static Transfer *starved_head = NULL; /* wait for a socket, by retry_at */
static Transfer *starved_tail = NULL;

/* ---------- callbacks of libcurl: no palloc, no ereport ---------- */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event ev = {0};

	(void) easy;
	(void) arg;

	if (what == CURL_POLL_REMOVE)
	{
		/* The descriptor may be closed already, which removed it. */
		(void) epoll_ctl(mux, EPOLL_CTL_DEL, fd, &ev);
		return 0;
	}

	if (what != CURL_POLL_OUT)
		ev.events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		ev.events |= EPOLLOUT;
	ev.data.fd = fd;

	/*
	 * What we remember may be out of date after a close, so try the other
	 * operation, too.  Failure (out of kernel memory) must not be returned:
	 * libcurl would declare the whole multi handle dead.  The transfer runs
	 * into its timeout instead.
	 */
	if (known != NULL)
	{
		if (epoll_ctl(mux, EPOLL_CTL_MOD, fd, &ev) < 0 && errno == ENOENT)
			(void) epoll_ctl(mux, EPOLL_CTL_ADD, fd, &ev);
	}
	else
	{
		if (epoll_ctl(mux, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
			(void) epoll_ctl(mux, EPOLL_CTL_MOD, fd, &ev);
		(void) curl_multi_assign(multi, fd, &mux);
	}
	return 0;
}

static int64_t
microseconds(const struct timespec *t)
{
	return (int64_t) t->tv_sec * 1000000 + t->tv_nsec / 1000;
}

static int64_t
monotonic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return microseconds(&now);
}

static int
on_timer(CURLM *m, long timeout_ms, void *arg)
{
	(void) m;
	(void) arg;

	timer_at = timeout_ms < 0 ? NO_TIMER : monotonic_now() + (int64_t) timeout_ms * 1000;
	return 0;
}

static int64_t
time_left_us(const Transfer *transfer)
{
	return microseconds(&transfer->started) + (int64_t) transfer->total_ms * 1000 - monotonic_now();
}

static void
append(Transfer *transfer, Transfer **head, Transfer **tail)
{
	transfer->next = NULL;
	if (*tail != NULL)
		(*tail)->next = transfer;
	else
		*head = transfer;
	*tail = transfer;
}

static void
wait_for_socket(Transfer *transfer)
{
	(void) curl_multi_remove_handle(multi, transfer->easy);
	transfer->no_descriptor = false;
	transfer->starved = true;
	transfer->retry_at = monotonic_now() + SOCKET_RETRY_US;
	append(transfer, &starved_head, &starved_tail);
}

/* With what is left of its time. */
static bool
start_again(Transfer *transfer)
{
	long left = (long) (time_left_us(transfer) / 1000);

	if (left < 1)
		left = 1;
	return curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, left) == CURLE_OK &&
		   curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS,
							left < transfer->connect_ms ? left : transfer->connect_ms) ==
			   CURLE_OK &&
		   curl_multi_add_handle(multi, transfer->easy) == CURLM_OK;
}

/* A transfer has ended: note all about it, wipe the request, queue the answer. */
static void
finish(Transfer *transfer, CURLcode code)
{
	if (pgw_http_lacked_socket(transfer, code) && time_left_us(transfer) > SOCKET_RETRY_US)
	{
		wait_for_socket(transfer); /* nothing of it was sent, and nothing is wiped */
		return;
	}
	if (pgw_http_needs_new_connection(transfer, code))
	{
		(void) curl_multi_remove_handle(multi, transfer->easy);
		if (start_again(transfer))
			return;
	}
	transfer->status = 0;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
	pgw_http_classify(transfer, code);

	(void) curl_multi_remove_handle(multi, transfer->easy);
	pgw_http_wipe_request(transfer);

	append(transfer, &done_head, &done_tail);
}

static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* ---------- interface ---------- */

/*
 * In the worker's main, not in _PG_init: libcurl and its TLS library must not
 * be initialized before a fork.
 */
void
pgw_http_init(void)
{
	sigset_t saved;
	bool ok;

	if (multi != NULL)
		return;

	/* epoll, and the pair that libcurl wakes itself with */
	for (int i = 0; i < 3; i++)
		ReserveExternalFD();

	mux = epoll_create1(EPOLL_CLOEXEC);
	if (mux < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create epoll descriptor: %m")));

	max_connections = pgw_connection_limit(max_safe_fds);

	block_signals(&saved);
	ok = pgw_http_global_init() == CURLE_OK;
	if (ok)
		multi = curl_multi_init();
	ok = multi != NULL &&
		 curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
		 curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
		 curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) == CURLM_OK &&
		 curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max_connections) == CURLM_OK &&
		 curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) MAX_CACHED_CONNS) == CURLM_OK;
	pthread_sigmask(SIG_SETMASK, &saved, NULL);

	if (!ok || !pgw_http_arena_add_slab())
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize HTTP client")));
}

int
pgw_http_fd(void)
{
	return mux;
}

long
pgw_http_timeout_ms(void)
{
	int64_t next = timer_at;
	int64_t left;

	if (starved_head != NULL && starved_head->retry_at < next)
		next = starved_head->retry_at;
	if (next == NO_TIMER)
		return -1;
	left = next - monotonic_now();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

int
pgw_http_in_flight(void)
{
	return in_flight;
}

int
pgw_http_capacity(void)
{
	return (int) max_connections;
}

/* What is wrong with the request itself; NULL: nothing. */
static const char *
fault_of(const PgwHttpRequest *req)
{
	if (!pgw_http_is_token(req->method))
		return "invalid method";
	if (pgw_has_ascii_control(req->url, "\t"))
		return "invalid URL";
	for (int i = 0; i < req->nheaders; i++)
	{
		if (pgw_has_ascii_control(req->headers[i], "\t"))
			return "invalid header";
	}
	if (req->body != NULL && req->body_len > (size_t) CHUNK_SIZE * SLAB_CHUNKS)
		return "request too large";
	return NULL;
}

/* Into the arena; false: it has no room left. */
static bool
copy_body(Transfer *transfer, const PgwHttpRequest *req)
{
	/* These methods need "Content-Length: 0" when there is no body. */
	bool has_body = req->body != NULL || strcmp(req->method, "POST") == 0 ||
					strcmp(req->method, "PUT") == 0 || strcmp(req->method, "PATCH") == 0;
	size_t len = req->body != NULL ? req->body_len : 0;

	if (!has_body)
		return true;
	transfer->req_body = pgw_http_arena_alloc(len);
	if (transfer->req_body == NULL)
		return false;
	transfer->req_len = len;
	if (len > 0)
		memcpy(transfer->req_body, req->body, len);
	return true;
}

static bool
set_up(Transfer *transfer, const PgwHttpRequest *req)
{
	bool ok = pgw_http_add_header(transfer, "Expect:");

	for (int i = 0; ok && i < req->nheaders; i++)
		ok = pgw_http_add_header(transfer, req->headers[i]);
	return ok && pgw_http_want_headers(transfer, req) && pgw_http_set_fixed_options(transfer) &&
		   pgw_http_set_request_options(transfer, req);
}

/* Its time begins, and libcurl has it. */
static bool
hand_over(Transfer *transfer)
{
	sigset_t saved;
	bool ok;

	clock_gettime(CLOCK_MONOTONIC, &transfer->started);
	block_signals(&saved);
	ok = curl_multi_add_handle(multi, transfer->easy) == CURLM_OK;
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return ok;
}

void *
pgw_http_start(const PgwHttpRequest *req, void *tag, const char **error)
{
	Transfer *transfer;

	*error = fault_of(req);
	if (*error != NULL)
		return NULL;
	transfer = pgw_http_transfer_new();
	if (transfer == NULL)
	{
		*error = "out of memory";
		return NULL;
	}
	transfer->tag = tag;
	transfer->wants_certificates = req->certificates;
	transfer->may_connect = req->may_connect;
	transfer->max_body = req->max_body > 0 ? req->max_body : DEFAULT_MAX_BODY;
	if (!copy_body(transfer, req))
		*error = "too many requests in flight";
	else if (!set_up(transfer, req))
		*error = "could not set up the request";
	else if (!hand_over(transfer))
		*error = "could not queue the request";
	pgw_http_wipe_stack();
	if (*error != NULL)
	{
		pgw_http_transfer_free(transfer);
		return NULL;
	}
	in_flight++;
	return transfer;
}

void
pgw_http_disown(void *transfer)
{
	((Transfer *) transfer)->tag = NULL;
}

/* Those that have waited for a socket try again.  Signals are blocked. */
static void
feed_starved(void)
{
	int64_t now = monotonic_now();

	while (starved_head != NULL && starved_head->retry_at <= now)
	{
		Transfer *transfer = starved_head;

		starved_head = transfer->next;
		if (starved_head == NULL)
			starved_tail = NULL;
		transfer->next = NULL;
		if (!start_again(transfer))
		{
			transfer->no_descriptor = true; /* out of memory: just as much ours */
			finish(transfer, CURLE_COULDNT_CONNECT);
		}
	}
}

/*
 * One round; the descriptor stays readable when there is more.  An event may
 * be about a descriptor that an earlier one of the same round closed; libcurl
 * ignores sockets that it does not know.
 */
void
pgw_http_drive(void)
{
	struct epoll_event events[EVENTS_PER_DRIVE];
	sigset_t saved;
	CURLMsg *msg;
	int running;
	int left;
	int n;

	block_signals(&saved);
	n = epoll_wait(mux, events, EVENTS_PER_DRIVE, 0);
	for (int i = 0; i < n; i++)
	{
		int mask = 0;

		if (events[i].events & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		(void) curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
	}

	/*
	 * Timeouts last, so that an answer which is there already counts.  Forgotten
	 * before libcurl is called: it may set it again.
	 */
	if (timer_at != NO_TIMER && timer_at <= monotonic_now())
	{
		timer_at = NO_TIMER;
		(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}

	feed_starved();
	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode code = msg->data.result;
		Transfer *transfer = NULL;

		if (msg->msg == CURLMSG_DONE &&
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &transfer) ==
				CURLE_OK &&
			transfer != NULL)
			finish(transfer, code); /* msg is gone after this */
	}
	pgw_http_wipe_stack();
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

bool
pgw_http_next_done(PgwHttpDone *done)
{
	Transfer *transfer = done_head;

	if (transfer == NULL)
		return false;
	done_head = transfer->next;
	if (done_head == NULL)
		done_tail = NULL;
	transfer->next = NULL;
	in_flight--;

	done->tag = transfer->tag;
	done->result = transfer->result;
	done->status = transfer->status;
	done->body = &transfer->body;
	done->retry_after = transfer->retry_after[0] != '\0' ? transfer->retry_after : NULL;
	done->date = transfer->date[0] != '\0' ? transfer->date : NULL;
	done->headers = transfer->kept_headers.len > 0 ? transfer->kept_headers.data : NULL;
	done->certificates = transfer->certificates.len > 0 && !transfer->certificates.failed
							 ? transfer->certificates.data
							 : NULL;
	done->error = transfer->error;
	done->our_fault = transfer->result == PGW_HTTP_NEVER_SENT && transfer->starved;
	done->resent = transfer->resent;
	done->handle = transfer;
	return true;
}

void
pgw_http_release(void *handle)
{
	pgw_http_transfer_free(handle);
}
