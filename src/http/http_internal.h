/*
 * http_internal.h - what the files of this room share; nobody else includes it
 *
 * wiped_memory.c owns the body arena and libcurl's allocator, transfer.c one transfer (options, the
 * callbacks that belong to one transfer, classification), kept_headers.c which headers of an answer
 * are kept, wire_limit.c how much
 * a bank may send, trusted_certificates.c what is known of files of certificates, http.c the multi
 * handle, the descriptors and the queue of what is done.
 */
#ifndef PGW_HTTP_HTTP_INTERNAL_H
#define PGW_HTTP_HTTP_INTERNAL_H

#ifdef PGW_UNIT
#include "test_http_stubs.h"
#else
#include "postgres.h"

#include "storage/fd.h"
#endif

#include <errno.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "http/http.h"

#if LIBCURL_VERSION_NUM < 0x074A00
#error "libcurl 7.74 or newer is needed"
#endif

/* Fires before anything of a request is sent, on every attempt (7.80). */
#define HAVE_PREREQ (LIBCURL_VERSION_NUM >= 0x075000)

/*
 * An upper age of connections (7.80); a memory of parsed certificates, and how long it lasts
 * (7.87).
 */
#define HAVE_MAX_LIFETIME (LIBCURL_VERSION_NUM >= 0x075000)
#define HAVE_CA_CACHE (LIBCURL_VERSION_NUM >= 0x075700)

#define MAX_HEADER_BYTES 65536 /* all answer headers together */
#define MAX_CERTIFICATES 1500  /* bytes that are told of a chain; a longer one is not */
#define MAX_KEPT_HEADERS 8192  /* of them, those that were asked for */
#define CHUNK_SIZE 2048        /* unit of the body arena: most bodies take one */
#define MAX_OPENED 8   /* sockets that one transfer opens, as a host has several addresses */
#define SLAB_CHUNKS 64 /* chunks per mapping, one bit each */

/* One HTTP transfer, from pgw_http_start() to pgw_http_release(). */
typedef struct Transfer
{
	/* in the done queue, or in that of those without a socket */
	struct Transfer *next;
	CURL *easy; /* of this transfer alone; NULL once it has ended */
	void *tag;
	struct curl_slist *headers; /* wiped when the transfer ends */
	char *req_body;             /* in the arena; NULL: none */
	size_t req_len;
	PgwBuf body; /* of the answer */
	size_t max_body;
	size_t header_bytes;
	char retry_after[64];
	char date[40];
	bool wants_certificates;
	PgwBuf certificates;
	bool begun; /* libcurl was about to send, at least once */
	/* and once more: by itself, because a reused connection had died */
	bool resent;
	int opened[MAX_OPENED]; /* sockets; none: it has a connection that is used again */
	int nopened;
	bool spoilt;        /* ... which was not fit for that */
	bool no_descriptor; /* the server granted no more sockets, the last time */
	bool starved;       /* ... and it has had none since */
	PgwHttpMayConnect may_connect;
	bool address_refused; /* by that, the last time */
	long total_ms;        /* from `started` on */
	long connect_ms;
	int64_t retry_at;         /* waiting for a socket: when to look for one again */
	int socket;               /* of its connection, from the request on; -1: not known */
	int turns;                /* of libcurl's with it since */
	uint64_t received_before; /* by its connection, when we first looked */
	bool too_large;           /* cut off by us */
	int lengths;              /* Content-Length headers of this answer */
	bool bad_length;          /* ... of which one is not simply a number */
	PgwBuf wanted_headers;    /* names, a line each */
	PgwBuf kept_headers;      /* of this answer, as they came, a line each */
	bool kept_last;           /* the last one was kept */
	bool headers_over;        /* the body has begun */
	bool bad_header;          /* one that was to be kept could not be */
	struct timespec started;

	/* set at the end */
	PgwHttpResult result;
	long status;
	const char *error;
} Transfer;

extern bool pgw_http_arena_add_slab(void); /* one more mapping; false: none to be had */

extern void pgw_http_wipe_stack(void); /* below the caller's frame */

/* curl_global_init with memory functions that wipe what libcurl frees. */
extern CURLcode pgw_http_global_init(void);

extern Transfer *pgw_http_transfer_new(void); /* NULL: out of memory */
/* not while the multi handle has it */
extern void pgw_http_transfer_free(Transfer *transfer);

/* The transfer has ended: all that was sent is gone, libcurl's copies too. */
extern void pgw_http_wipe_request(Transfer *transfer);

/* Of libcurl, at each turn with the transfer; not zero ends it. */
extern int pgw_http_on_progress(void *transfer, curl_off_t dltotal, curl_off_t dlnow,
								curl_off_t ultotal, curl_off_t ulnow);

extern bool pgw_http_is_token(const char *s);
extern bool pgw_http_add_header(Transfer *transfer, const char *header);
extern bool pgw_http_set_fixed_options(Transfer *transfer);
extern bool pgw_http_set_request_options(Transfer *transfer, const PgwHttpRequest *req);

/*
 * How long these certificates have been what they are: seconds since a change was noticed, -1: none
 * was. NULL: the system's.
 */
extern long pgw_http_trusted_for_s(const char *ca_file);
/* kept_headers.c */
extern bool pgw_http_want_headers(Transfer *transfer, const PgwHttpRequest *req);
extern void pgw_http_forget_headers(Transfer *transfer); /* another answer begins */
extern void pgw_http_keep_header(Transfer *transfer, const char *data, size_t len);

extern void pgw_http_classify(Transfer *transfer, CURLcode code);

/* Nothing was sent because there was no socket: another try may be made, of what was rendered. */
extern bool pgw_http_lacked_socket(Transfer *transfer, CURLcode code);

/*
 * Nothing was sent because the connection that was to be used again was not fit for that: the next
 * try, which has a new one, is prepared.
 */
extern bool pgw_http_needs_new_connection(Transfer *transfer, CURLcode code);

#endif
