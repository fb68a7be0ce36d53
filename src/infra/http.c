/*
 * http.c - HTTP exchanges of one worker process
 *
 * One curl multi handle, driven by events.  A private epoll descriptor holds
 * libcurl's sockets and one timerfd; its fd is level-triggered and can be
 * nested in a WaitEventSet, so that the worker has a single place to sleep:
 *
 *		start ──> libcurl ──(drive)──> done queue ──(next_done)──> caller
 *		  ^                                                          |
 *		  └──────────── pool of idle calls <──────(release)──────────┘
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
 * - Request bodies lie in an arena that is kept out of core dumps and locked
 *   where the limits permit.  Body and headers are wiped as soon as the transfer
 *   has ended, before the caller sees the answer.  libcurl puts copies of both
 *   into its own buffers, therefore its memory functions are replaced by ones
 *   that wipe on free.  Nothing here is ever logged, and error texts are
 *   constants.
 *
 * - Nothing palloc'ed, no ereport and no interrupt processing while libcurl is
 *   on the stack: a longjmp across its frames would leave them locked in a
 *   half-done state.  Only pgw_http_init() raises errors.
 *
 * - Every socket is counted with AcquireExternalFD().  The connection limit
 *   below stays under what that grants, so at the limit libcurl closes idle
 *   connections or lets transfers wait, instead of failing.
 *
 * - All signals are blocked while libcurl runs, because the threads that it
 *   starts for name resolution inherit the mask; else one of them could run
 *   the worker's signal handlers.  SIGPIPE must be ignored process-wide, as in
 *   every background worker: CURLOPT_NOSIGNAL leaves it to us.
 *
 * There is no clean-up at exit: the kernel closes and clears everything, and
 * curl_multi_cleanup() could wait for a resolver thread.
 */
#ifdef PGW_UNIT
#include "test_http_stubs.h"
#else
#include "postgres.h"

#include "storage/fd.h"
#endif

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "infra/http.h"

#if LIBCURL_VERSION_NUM < 0x074A00
#error "libcurl 7.74 or newer is needed"
#endif

/* Fires before anything of a request is sent, on every attempt (7.80). */
#define HAVE_PREREQ (LIBCURL_VERSION_NUM >= 0x075000)

#define CHUNK_SIZE			16384	/* unit of the body arena */
#define SLAB_CHUNKS			64	/* chunks per mapping, one bit each */
#define MAX_SLABS			64	/* 64 MB of bodies in flight at most */

#define MAX_POOLED			256 /* idle calls kept */
#define POOLED_BODY_MAX		65536	/* larger answer buffers are not kept */
#define MAX_CACHED_CONNS	512 /* of which MAX_TOTAL_CONNECTIONS may use less */
#define MAX_HEADER_BYTES	65536	/* all answer headers together */
#define DEFAULT_MAX_BODY	(1024 * 1024)
#define DEFAULT_CONNECT_MS	10000
#define DEFAULT_TOTAL_MS	30000
#define EVENTS_PER_DRIVE	256

/* One HTTP exchange, from pgw_http_start() to pgw_http_release(). */
typedef struct Call
{
	struct Call *next;			/* in the pool or the done queue */
	CURL	   *easy;			/* kept over reuse, reset in between */
	void	   *tag;
	struct curl_slist *headers; /* wiped when the transfer ends */
	char	   *req_body;		/* in the arena; NULL: none */
	size_t		req_len;
	PgwBuf		body;			/* of the answer */
	size_t		max_body;
	size_t		header_bytes;
	char		retry_after[64];
	bool		begun;			/* libcurl was about to send, at least once */
	bool		no_descriptor;	/* the server granted no more sockets */
	bool		too_large;		/* cut off by us */
	struct timespec started;

	/* set at the end */
	PgwHttpResult result;
	long		status;
	const char *error;
	int64_t		duration_us;
} Call;

/* A mapping of the body arena, never unmapped. */
typedef struct Slab
{
	char	   *base;
	uint64_t	used;			/* bit i: chunk i is taken */
} Slab;

static CURLM *multi = NULL;
static int	mux = -1;			/* the epoll descriptor */
static int	timer = -1;
static int	in_flight = 0;		/* started, not yet given out by next_done */

static Slab slabs[MAX_SLABS];
static int	nslabs = 0;

static Call *pool = NULL;
static int	npooled = 0;
static Call *done_head = NULL;
static Call *done_tail = NULL;

/* ---------- memory ---------- */

/*
 * libcurl's memory functions.  It copies request bodies and headers into
 * buffers that it frees without wiping.
 */
static void
wiping_free(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *
wiping_realloc(void *p, size_t size)
{
	void	   *fresh;
	size_t		old;

	if (p == NULL)
		return malloc(size);
	old = malloc_usable_size(p);
	if (size != 0 && size <= old && size >= old / 2)
		return p;
	fresh = malloc(size);
	if (fresh == NULL)
		return NULL;
	memcpy(fresh, p, old < size ? old : size);
	wiping_free(p);
	return fresh;
}

static void *
plain_malloc(size_t size)
{
	return malloc(size);
}

static void *
plain_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

static char *
plain_strdup(const char *s)
{
	size_t		len = strlen(s) + 1;
	char	   *copy = malloc(len);

	if (copy != NULL)
		memcpy(copy, s, len);
	return copy;
}

/* Chunks that hold len bytes; an empty body takes one, too. */
static int
chunks_for(size_t len)
{
	return len == 0 ? 1 : (int) ((len + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

static uint64_t
chunk_mask(int n)
{
	return n == SLAB_CHUNKS ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static bool
arena_add_slab(void)
{
	size_t		size = (size_t) CHUNK_SIZE * SLAB_CHUNKS;
	void	   *base;

	if (nslabs == MAX_SLABS)
		return false;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return false;

	/* Both are extra protection: go on without where it is not permitted. */
	(void) madvise(base, size, MADV_DONTDUMP);
	(void) mlock(base, size);

	slabs[nslabs].base = base;
	slabs[nslabs].used = 0;
	nslabs++;
	return true;
}

/* Contiguous, zeroed room for len bytes, or NULL. */
static char *
arena_alloc(size_t len)
{
	int			n;
	uint64_t	mask;

	if (len > (size_t) CHUNK_SIZE * SLAB_CHUNKS)
		return NULL;
	n = chunks_for(len);
	mask = chunk_mask(n);

	for (int s = 0; s < nslabs || arena_add_slab(); s++)
	{
		for (int i = 0; i + n <= SLAB_CHUNKS; i++)
		{
			if ((slabs[s].used & (mask << i)) == 0)
			{
				slabs[s].used |= mask << i;
				return slabs[s].base + (size_t) i * CHUNK_SIZE;
			}
		}
	}
	return NULL;
}

static void
arena_free(char *p, size_t len)
{
	explicit_bzero(p, len);
	for (int s = 0; s < nslabs; s++)
	{
		if (p >= slabs[s].base &&
			p < slabs[s].base + (size_t) CHUNK_SIZE * SLAB_CHUNKS)
		{
			int			i = (int) ((p - slabs[s].base) / CHUNK_SIZE);

			slabs[s].used &= ~(chunk_mask(chunks_for(len)) << i);
			return;
		}
	}
}

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

static int
on_timer(CURLM *m, long timeout_ms, void *arg)
{
	struct itimerspec spec = {0};

	(void) m;
	(void) arg;

	/* All zero disarms the timer, so "now" is one nanosecond. */
	if (timeout_ms == 0)
		spec.it_value.tv_nsec = 1;
	else if (timeout_ms > 0)
	{
		spec.it_value.tv_sec = timeout_ms / 1000;
		spec.it_value.tv_nsec = (timeout_ms % 1000) * 1000000L;
	}
	(void) timerfd_settime(timer, 0, &spec, NULL);
	return 0;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	Call	   *call = arg;
	int			fd;

	(void) purpose;

	/* AcquireExternalFD() returns false rather than raise an error. */
	if (!AcquireExternalFD())
	{
		call->no_descriptor = true;
		return CURL_SOCKET_BAD; /* CURLE_COULDNT_CONNECT */
	}
	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE)
			call->no_descriptor = true;
		ReleaseExternalFD();
		return CURL_SOCKET_BAD;
	}
	return fd;
}

/* The connection may outlive the call that opened it: no argument. */
static int
on_close_socket(void *arg, curl_socket_t fd)
{
	(void) arg;
	ReleaseExternalFD();
	return close(fd);
}

#if HAVE_PREREQ
static int
on_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	((Call *) arg)->begun = true;
	return CURL_PREREQFUNC_OK;
}
#endif

/* Returning less than the size ends the transfer with CURLE_WRITE_ERROR. */
static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	Call	   *call = arg;
	size_t		len = size * n;

	if (len > call->max_body - call->body.len)
	{
		call->too_large = true;
		return 0;
	}
	pgw_buf_append(&call->body, data, len);
	return call->body.failed ? 0 : len;
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	static const char name[] = "retry-after:";
	Call	   *call = arg;
	size_t		len = size * n;
	size_t		rest = len;

	if (len > MAX_HEADER_BYTES - call->header_bytes)
	{
		call->too_large = true;
		return 0;
	}
	call->header_bytes += len;

	/* The status line of a new answer, after an interim one like 100. */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		call->retry_after[0] = '\0';

	if (rest >= sizeof(name) - 1 && strncasecmp(data, name, sizeof(name) - 1) == 0)
	{
		data += sizeof(name) - 1;
		rest -= sizeof(name) - 1;
		while (rest > 0 && (*data == ' ' || *data == '\t'))
		{
			data++;
			rest--;
		}
		while (rest > 0 && strchr(" \t\r\n", data[rest - 1]) != NULL)
			rest--;
		/* Neither form, seconds or date, is longer than the field. */
		if (rest < sizeof(call->retry_after))
		{
			memcpy(call->retry_after, data, rest);
			call->retry_after[rest] = '\0';
		}
	}
	return len;
}

/* ---------- one call ---------- */

/* Wipe what was sent; libcurl must not know about it any more. */
static void
wipe_request(Call *call)
{
	for (struct curl_slist *h = call->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(call->headers);
	call->headers = NULL;

	if (call->req_body != NULL)
		arena_free(call->req_body, call->req_len);
	call->req_body = NULL;
	call->req_len = 0;
}

static Call *
call_get(void)
{
	Call	   *call = pool;

	if (call != NULL)
	{
		pool = call->next;
		npooled--;
		call->next = NULL;
		return call;
	}
	call = calloc(1, sizeof(Call));
	if (call == NULL)
		return NULL;
	call->easy = curl_easy_init();
	if (call->easy == NULL)
	{
		free(call);
		return NULL;
	}
	pgw_buf_init(&call->body, 0);	/* on_body() enforces the limit */
	return call;
}

/* Back into the pool, without a trace of the exchange. */
static void
call_put(Call *call)
{
	CURL	   *easy = call->easy;
	PgwBuf		body;

	curl_easy_reset(easy);		/* before what it points to goes away */
	wipe_request(call);

	if (call->body.failed || call->body.cap > POOLED_BODY_MAX ||
		npooled >= MAX_POOLED)
	{
		pgw_buf_free(&call->body);
		pgw_buf_init(&call->body, 0);
	}
	else
		pgw_buf_reset(&call->body);

	if (npooled >= MAX_POOLED)
	{
		curl_easy_cleanup(easy);
		explicit_bzero(call, sizeof(*call));
		free(call);
		return;
	}

	body = call->body;
	explicit_bzero(call, sizeof(*call));
	call->easy = easy;
	call->body = body;
	call->next = pool;
	pool = call;
	npooled++;
}

/* A header or URL with a line break could smuggle in a request of its own. */
static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
	{
		if ((unsigned char) *s < ' ' && *s != '\t')
			return true;
		if (*s == 0x7f)
			return true;
	}
	return false;
}

static bool
is_token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
	{
		if (*s < 'A' || *s > 'Z')
			return false;
	}
	return true;
}

static bool
add_header(Call *call, const char *header)
{
	struct curl_slist *list = curl_slist_append(call->headers, header);

	if (list == NULL)
		return false;
	call->headers = list;
	return true;
}

#define SETOPT(opt, value) \
	do { \
		if (curl_easy_setopt(easy, opt, value) != CURLE_OK) \
			return false; \
	} while (0)

/* What every transfer has in common. */
static bool
set_fixed_options(Call *call)
{
	CURL	   *easy = call->easy;

	SETOPT(CURLOPT_PRIVATE, call);
	SETOPT(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	SETOPT(CURLOPT_QUICK_EXIT, 1L); /* never join a resolver thread */
#endif

	/* Exactly this request to exactly this host, whatever the environment. */
	SETOPT(CURLOPT_FOLLOWLOCATION, 0L);
	SETOPT(CURLOPT_PROXY, "");
	SETOPT(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SETOPT(CURLOPT_COOKIEFILE, NULL);
	SETOPT(CURLOPT_ACCEPT_ENCODING, NULL);
	SETOPT(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SETOPT(CURLOPT_HTTP09_ALLOWED, 0L);
	SETOPT(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SETOPT(CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SETOPT(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SETOPT(CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif

	SETOPT(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(CURLOPT_SSL_VERIFYHOST, 2L);

	SETOPT(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SETOPT(CURLOPT_OPENSOCKETDATA, call);
	SETOPT(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SETOPT(CURLOPT_CLOSESOCKETDATA, NULL);
#if HAVE_PREREQ
	SETOPT(CURLOPT_PREREQFUNCTION, on_request);
	SETOPT(CURLOPT_PREREQDATA, call);
#endif
	SETOPT(CURLOPT_WRITEFUNCTION, on_body);
	SETOPT(CURLOPT_WRITEDATA, call);
	SETOPT(CURLOPT_HEADERFUNCTION, on_header);
	SETOPT(CURLOPT_HEADERDATA, call);
	return true;
}

static bool
set_request_options(Call *call, const PgwHttpRequest *req)
{
	CURL	   *easy = call->easy;
	long		total = req->total_timeout_ms > 0 ? req->total_timeout_ms : DEFAULT_TOTAL_MS;
	long		connect = req->connect_timeout_ms > 0 ? req->connect_timeout_ms : DEFAULT_CONNECT_MS;

	SETOPT(CURLOPT_URL, req->url);
	SETOPT(CURLOPT_HTTPHEADER, call->headers);
	SETOPT(CURLOPT_TIMEOUT_MS, total);
	SETOPT(CURLOPT_CONNECTTIMEOUT_MS, connect < total ? connect : total);

	if (call->req_body != NULL)
	{
		SETOPT(CURLOPT_POST, 1L);
		SETOPT(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->req_len);
		SETOPT(CURLOPT_POSTFIELDS, call->req_body);
	}
	else if (strcmp(req->method, "HEAD") == 0)
		SETOPT(CURLOPT_NOBODY, 1L);
	else
		SETOPT(CURLOPT_HTTPGET, 1L);
	SETOPT(CURLOPT_CUSTOMREQUEST, req->method);

	if (req->fresh_connection)
	{
		SETOPT(CURLOPT_FRESH_CONNECT, 1L);
		SETOPT(CURLOPT_FORBID_REUSE, 1L);
	}
	if (req->ca_file != NULL)
	{
		SETOPT(CURLOPT_CAINFO, req->ca_file);
		SETOPT(CURLOPT_CAPATH, NULL);	/* else the system's are trusted, too */
	}
	return true;
}

/* ---------- classification ---------- */

/*
 * Could a byte of this request, in any attempt, have been sent?
 *
 * CURLOPT_PREREQFUNCTION (7.80) is called at the entry of libcurl's DO state:
 * the connection and its TLS stand, and nothing of the request was written.
 * An attempt on a reused connection passes through DO as well, and so does
 * every resend, so "never called" covers all attempts.  We only ever set the
 * flag, hence it also survives the resend.
 *
 * Older libraries: CURLINFO_REQUEST_SIZE adds up over resends and grows after
 * each successful write.  Zero means that no write succeeded.  Over TCP then
 * no byte was taken by the kernel; over TLS those versions write at most 16 kB
 * at once, that is one record, and a record cut short fails authentication at
 * the peer.  It is checked with the newer ones, too, as a second opinion.
 *
 * Not enough alone: CURLINFO_PRETRANSFER_TIME_T is set only after the first
 * write, CURLINFO_NUM_CONNECTS does not tell a resend from a first try, and
 * CURLOPT_DEBUGFUNCTION reports what was sent only after the write.
 */
static bool
request_begun(Call *call)
{
	long		size = 0;
	curl_off_t	pretransfer = 0;

	if (call->begun)
		return true;
	if (curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &size) != CURLE_OK ||
		curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer) != CURLE_OK)
		return true;
#if HAVE_PREREQ
	/* A failed connect may set this time in some versions: no proof of sending. */
	return size != 0;
#else
	return size != 0 || pretransfer != 0;
#endif
}

static void
classify(Call *call, CURLcode code)
{
	bool		begun = request_begun(call);
	bool		early = true;	/* an error from before the request? */

	switch (code)
	{
		case CURLE_OK:
			call->result = PGW_HTTP_ANSWERED;
			call->error = NULL;
			return;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_LOGIN_DENIED:	/* a user name in the URL */
			call->error = "unsupported URL";
			break;
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_RESOLVE_HOST:
			call->error = "could not resolve host";
			break;
		case CURLE_COULDNT_CONNECT:
			call->error = call->no_descriptor ? "too many open sockets" : "could not connect";
			break;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_ENGINE_INITFAILED:
			call->error = "TLS handshake failed";
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_INVALIDCERTSTATUS:
			call->error = "certificate not accepted";
			break;
		case CURLE_OPERATION_TIMEDOUT:
			call->error = begun ? "timed out waiting for the answer" : "timed out before sending";
			break;
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_PARTIAL_FILE:
			call->error = "connection lost";
			early = false;
			break;
		case CURLE_WRITE_ERROR:
			call->error = call->too_large ? "answer too large" : "out of memory";
			early = false;
			break;
		default:
			call->error = "transfer failed";
			early = false;
			break;
	}
	call->result = early && !begun ? PGW_HTTP_NEVER_SENT : PGW_HTTP_MAYBE_SENT;
}

static int64_t
microseconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) (now.tv_sec - t->tv_sec) * 1000000 +
		(now.tv_nsec - t->tv_nsec) / 1000;
}

/* A transfer has ended: note all about it, wipe the request, queue the answer. */
static void
finish(Call *call, CURLcode code)
{
	call->duration_us = microseconds_since(&call->started);
	call->status = 0;
	(void) curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
	classify(call, code);

	(void) curl_multi_remove_handle(multi, call->easy);
	curl_easy_reset(call->easy);
	wipe_request(call);

	call->next = NULL;
	if (done_tail != NULL)
		done_tail->next = call;
	else
		done_head = call;
	done_tail = call;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

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
	struct epoll_event ev = {0};
	sigset_t	saved;
	bool		ok;
	long		max_connections;

	if (multi != NULL)
		return;

	/* epoll, timer, and the pair that libcurl wakes itself with */
	for (int i = 0; i < 4; i++)
		ReserveExternalFD();

	mux = epoll_create1(EPOLL_CLOEXEC);
	if (mux < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create epoll descriptor: %m")));
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create timer descriptor: %m")));
	ev.events = EPOLLIN;
	ev.data.fd = timer;
	if (epoll_ctl(mux, EPOLL_CTL_ADD, timer, &ev) < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not watch timer descriptor: %m")));

	/*
	 * AcquireExternalFD() grants a third of max_safe_fds.  A quarter leaves
	 * room for the second socket while IPv6 and IPv4 race.
	 */
	max_connections = max_safe_fds / 4 > 4 ? max_safe_fds / 4 : 4;

	block_signals(&saved);
	ok = curl_global_init_mem(CURL_GLOBAL_DEFAULT, plain_malloc, wiping_free,
							  wiping_realloc, plain_strdup, plain_calloc) == CURLE_OK;
	if (ok)
		multi = curl_multi_init();
	ok = multi != NULL &&
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max_connections) == CURLM_OK &&
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) MAX_CACHED_CONNS) == CURLM_OK;
	pthread_sigmask(SIG_SETMASK, &saved, NULL);

	if (!ok || !arena_add_slab())
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize HTTP client")));
}

int
pgw_http_fd(void)
{
	return mux;
}

int
pgw_http_in_flight(void)
{
	return in_flight;
}

bool
pgw_http_start(const PgwHttpRequest *req, void *tag, const char **error)
{
	Call	   *call;
	sigset_t	saved;
	bool		ok;
	bool		has_body;

	*error = NULL;
	if (!is_token(req->method))
	{
		*error = "invalid method";
		return false;
	}
	if (has_control(req->url))
	{
		*error = "invalid URL";
		return false;
	}
	for (int i = 0; i < req->nheaders; i++)
	{
		if (has_control(req->headers[i]))
		{
			*error = "invalid header";
			return false;
		}
	}
	if (req->body != NULL && req->body_len > (size_t) CHUNK_SIZE * SLAB_CHUNKS)
	{
		*error = "request too large";
		return false;
	}

	call = call_get();
	if (call == NULL)
	{
		*error = "out of memory";
		return false;
	}
	call->tag = tag;
	call->max_body = req->max_body > 0 ? req->max_body : DEFAULT_MAX_BODY;

	/* These methods need "Content-Length: 0" when there is no body. */
	has_body = req->body != NULL ||
		strcmp(req->method, "POST") == 0 ||
		strcmp(req->method, "PUT") == 0 ||
		strcmp(req->method, "PATCH") == 0;
	if (has_body)
	{
		call->req_len = req->body != NULL ? req->body_len : 0;
		call->req_body = arena_alloc(call->req_len);
		if (call->req_body == NULL)
		{
			call->req_len = 0;
			call_put(call);
			*error = "too many requests in flight";
			return false;
		}
		if (call->req_len > 0)
			memcpy(call->req_body, req->body, call->req_len);
	}

	ok = add_header(call, "Expect:");
	for (int i = 0; ok && i < req->nheaders; i++)
		ok = add_header(call, req->headers[i]);
	if (!ok || !set_fixed_options(call) || !set_request_options(call, req))
	{
		call_put(call);
		*error = "could not set up the request";
		return false;
	}

	clock_gettime(CLOCK_MONOTONIC, &call->started);
	block_signals(&saved);
	ok = curl_multi_add_handle(multi, call->easy) == CURLM_OK;
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (!ok)
	{
		call_put(call);
		*error = "could not queue the request";
		return false;
	}
	in_flight++;
	return true;
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
	bool		timed_out = false;
	sigset_t	saved;
	CURLMsg    *msg;
	int			running;
	int			left;
	int			n;

	block_signals(&saved);
	n = epoll_wait(mux, events, EVENTS_PER_DRIVE, 0);
	for (int i = 0; i < n; i++)
	{
		int			mask = 0;

		if (events[i].data.fd == timer)
		{
			timed_out = true;
			continue;
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		(void) curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
	}

	/*
	 * Timeouts last, so that an answer which is there already counts.  The
	 * timer is drained before libcurl is called: it may set it again.
	 */
	if (timed_out)
	{
		uint64_t	expirations;

		(void) !read(timer, &expirations, sizeof(expirations));
		(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}

	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode	code = msg->data.result;
		Call	   *call = NULL;

		if (msg->msg == CURLMSG_DONE &&
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &call) == CURLE_OK &&
			call != NULL)
			finish(call, code);	/* msg is gone after this */
	}
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

bool
pgw_http_next_done(PgwHttpDone *done)
{
	Call	   *call = done_head;

	if (call == NULL)
		return false;
	done_head = call->next;
	if (done_head == NULL)
		done_tail = NULL;
	call->next = NULL;
	in_flight--;

	done->tag = call->tag;
	done->result = call->result;
	done->status = call->status;
	done->body = &call->body;
	done->retry_after = call->retry_after[0] != '\0' ? call->retry_after : NULL;
	done->error = call->error;
	done->duration_us = call->duration_us;
	done->handle = call;
	return true;
}

void
pgw_http_release(void *handle)
{
	call_put(handle);
}
