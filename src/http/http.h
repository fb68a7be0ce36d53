/*
 * http.h - HTTP transfers of one worker process: libcurl multi driven by one epoll descriptor
 *
 * The worker's only wait is a WaitEventSet {latch, postmaster death, pgw_http_fd()}; when the fd is
 * readable, or in doubt at any time, it calls pgw_http_drive().  No ereport, palloc or transaction
 * happens inside libcurl's frames.
 */
#ifndef PGW_HTTP_HTTP_H
#define PGW_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

typedef enum PgwHttpResult
{
	PGW_HTTP_ANSWERED,   /* a whole answer as far as HTTP can tell; its body decides */
	PGW_HTTP_NEVER_SENT, /* provably not one byte of the request reached the bank */
	PGW_HTTP_MAYBE_SENT  /* anything else */
} PgwHttpResult;

struct sockaddr;
typedef bool (*PgwHttpMayConnect)(const struct sockaddr *address, size_t len);

typedef struct PgwHttpRequest
{
	const char *method;
	const char *url; /* complete */
	char **headers;  /* "Name: value", nheaders of them */
	int nheaders;
	/* NULL: none; copied to wiped, locked memory, the caller may wipe its own at once */
	const char *body;
	size_t body_len;
	/*
	 * no reuse: libcurl resends silently on a dead reused connection (for banks without idempotency
	 * keys)
	 */
	bool fresh_connection;
	/* names of those of the answer that are kept; copied */
	const char *const *answer_headers;
	int nanswer_headers;
	bool certificates;      /* tell of those that the bank shows, if a connection is made */
	int connect_timeout_ms; /* not positive: 10 s */
	/*
	 * not positive: 30 s; counts from pgw_http_start, waiting for a connection or a socket included
	 */
	int total_timeout_ms;
	size_t max_body;     /* larger answers are cut off: MAYBE_SENT; 0: 1 MB */
	const char *ca_file; /* NULL: system store; else only this file is trusted */
	/* no connection that is older is used; not positive: no limit */
	int max_connection_age_s;
	/*
	 * May a connection to this address be made?  Asked of what the name was resolved to.  NULL: to
	 * any.  One that is used again was asked of when it was made.
	 */
	PgwHttpMayConnect may_connect;
} PgwHttpRequest;

typedef struct PgwHttpDone
{
	void *tag; /* as given to pgw_http_start */
	PgwHttpResult result;
	long status;    /* HTTP status, 0 when none */
	bool our_fault; /* NEVER_SENT for want of a socket: says nothing of the bank */
	/* libcurl sent it twice: a refusal may be the second one's alone */
	bool resent;
	PgwBuf *body;            /* valid until pgw_http_release */
	const char *retry_after; /* header text or NULL, same lifetime */
	const char *date;        /* likewise */
	const char *headers;     /* those that were asked for, lines "Name: value\n"; NULL: none came */
	/* JSON: an array of subject, issuer and end, the bank's own first; NULL: none, or not asked */
	const char *certificates;
	/* short, stable, without URL or secret: "could not connect" ... ; NULL when answered */
	const char *error;
	void *handle; /* for pgw_http_release */
} PgwHttpDone;

extern void pgw_http_init(void); /* in the worker's main, once; ereport(ERROR) on failure */
extern int pgw_http_fd(void);
/* drive again after so many, also when the descriptor is silent; -1: no need */
extern long pgw_http_timeout_ms(void);
extern int pgw_http_in_flight(void); /* started, not yet given out by pgw_http_next_done */

/*
 * Contiguous, zeroed room for len bytes that stays out of core dumps and swap where possible, or
 * NULL. Request bodies lie there, and what belongs to them.
 */
extern char *pgw_http_arena_alloc(size_t len);
extern void pgw_http_arena_free(char *p, size_t len); /* wipes */

/*
 * How many transfers have a connection at a time; what is started beyond that waits for one, and
 * its time runs.
 */
extern int pgw_http_capacity(void);

/*
 * Start; NULL with *error set (static text) when it could not even be queued: never sent.  Returns
 * the transfer, for pgw_http_disown() until it is done.
 */
extern void *pgw_http_start(const PgwHttpRequest *req, void *tag, const char **error);

/* Whoever started it has given it up: it is given out as done with no tag. */
extern void pgw_http_disown(void *transfer);

/*
 * Drive sockets and timers without blocking; then fetch what is done until
 * false: the fd tells of sockets only, not of a done queue left over.
 */
extern void pgw_http_drive(void);
extern bool pgw_http_next_done(PgwHttpDone *done);
extern void pgw_http_release(void *handle); /* wipes the answer, too */

#endif
