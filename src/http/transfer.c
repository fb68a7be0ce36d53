/*
 * transfer.c - one HTTP transfer: its options, what libcurl reports of it, and whether it was sent
 *
 * The callbacks run inside libcurl's frames: no palloc, no ereport.
 * Invariant: NEVER_SENT is said only when libcurl was not about to send a byte on any attempt; see
 * pgw_http_classify().
 */
#include "core/base/buf_json.h"
#include "core/base/mutant.h"
#include "core/base/trust_file.h"
#include "http/http_internal.h"

#define ANSWER_BUFFER 2048L
#define PORTS 65536
#define NO_FILE "/dev/null/none" /* there can be none: /dev/null is no folder */
#define CA_CACHE_S 10L           /* parsed certificates are used again for so long */
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_TOTAL_MS 30000

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	Transfer *transfer = arg;
	int fd;

	(void) purpose;

	transfer->address_refused =
		transfer->may_connect != NULL && !transfer->may_connect(&addr->addr, addr->addrlen);
	if (transfer->address_refused)
		return CURL_SOCKET_BAD;
	/* AcquireExternalFD() returns false rather than raise an error. */
	if (!AcquireExternalFD())
	{
		transfer->no_descriptor = true;
		return CURL_SOCKET_BAD; /* CURLE_COULDNT_CONNECT */
	}
	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE)
			transfer->no_descriptor = true;
		ReleaseExternalFD();
		return CURL_SOCKET_BAD;
	}
	transfer->starved = false;
	if (transfer->nopened < MAX_OPENED)
		transfer->opened[transfer->nopened++] = fd;
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
/*
 * Whose connection is it?  libcurl says no more of it than its ends, so the socket of each local
 * port is remembered, and asked whether it still is what it was.
 */
static bool
is_socket_of(int fd, int local_port, const char *remote_ip, int remote_port)
{
	struct sockaddr_storage local;
	struct sockaddr_storage remote;
	socklen_t local_len = sizeof(local);
	socklen_t remote_len = sizeof(remote);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	return getsockname(fd, (struct sockaddr *) &local, &local_len) == 0 &&
		   getpeername(fd, (struct sockaddr *) &remote, &remote_len) == 0 &&
		   getnameinfo((struct sockaddr *) &local, local_len, NULL, 0, port, sizeof(port),
					   NI_NUMERICSERV) == 0 &&
		   atoi(port) == local_port &&
		   getnameinfo((struct sockaddr *) &remote, remote_len, host, sizeof(host), port,
					   sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
		   atoi(port) == remote_port && strcmp(host, remote_ip) == 0;
}

/* The socket on which this request is about to be written; -1: not known. */
static int
socket_of(const Transfer *transfer, int local_port, const char *remote_ip, int remote_port)
{
	static int socket_of_port[PORTS]; /* 0: none is known */
	int fd;

	if (local_port <= 0 || local_port >= PORTS)
		return -1;
	for (int i = 0; i < transfer->nopened; i++)
	{
		if (is_socket_of(transfer->opened[i], local_port, remote_ip, remote_port))
			socket_of_port[local_port] = transfer->opened[i];
	}
	fd = socket_of_port[local_port];
	return fd != 0 && is_socket_of(fd, local_port, remote_ip, remote_port) ? fd : -1;
}

/*
 * Has the bank closed the connection, or said something on it while nothing was asked, which would
 * be taken for our answer?  libcurl looks for the former when it takes a connection again, from 8.0
 * on for the latter, too, and from 8.22 on for neither within a second of its last look.  False in
 * doubt.
 */
static bool
is_spoilt(const Transfer *transfer)
{
	struct pollfd p = {.fd = transfer->socket, .events = POLLIN | POLLRDHUP};

	return transfer->nopened == 0 && p.fd >= 0 && poll(&p, 1, 0) == 1;
}

static int
on_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	Transfer *transfer = arg;

	(void) local_ip;

	transfer->socket = socket_of(transfer, local_port, remote_ip, remote_port);
	transfer->turns = 0;

	/*
	 * The next try has a connection of its own.  What is begun would count as perhaps sent, and a
	 * resend of libcurl's own as a repetition, although no bank has seen either.
	 */
	if (!transfer->begun && is_spoilt(transfer))
	{
		transfer->spoilt = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->resent = transfer->begun;
	transfer->begun = true;
	return CURL_PREREQFUNC_OK;
}
#endif

/* Returning less than the size ends the transfer with CURLE_WRITE_ERROR. */
static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	Transfer *transfer = arg;
	size_t len = size * n;

	if (len > transfer->max_body - transfer->body.len)
	{
		transfer->too_large = true;
		return 0;
	}
	pgw_buf_append(&transfer->body, data, len);
	return transfer->body.failed ? 0 : len;
}

/* Digits, with blanks around them at most: "5, 5" is two lengths in one header. */
static bool
is_number(const char *s, size_t len)
{
	while (len > 0 && (*s == ' ' || *s == '\t'))
	{
		s++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", s[len - 1]) != NULL)
		len--;
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return true;
}

/* The value of a header that has this name (with its colon); one that does not fit is none. */
static void
take_header(const char *data, size_t len, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);

	if (len < n || strncasecmp(data, name, n) != 0)
		return;
	data += n;
	len -= n;
	while (len > 0 && (*data == ' ' || *data == '\t'))
	{
		data++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", data[len - 1]) != NULL)
		len--;
	if (len >= size)
		return;
	memcpy(value, data, len);
	value[len] = '\0';
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
	static const char length_name[] = "content-length:";
	Transfer *transfer = arg;
	size_t len = size * n;

	if (len > MAX_HEADER_BYTES - transfer->header_bytes)
	{
		transfer->too_large = true;
		return 0;
	}
	transfer->header_bytes += len;

	/* The status line of a new answer, after an interim one like 100. */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		transfer->retry_after[0] = '\0';
		transfer->date[0] = '\0';
		transfer->lengths = 0;
		transfer->bad_length = false;
		pgw_http_forget_headers(transfer);
	}
	if (len > sizeof(length_name) - 1 &&
		strncasecmp(data, length_name, sizeof(length_name) - 1) == 0)
	{
		transfer->lengths++;
		transfer->bad_length |=
			!is_number(data + sizeof(length_name) - 1, len - (sizeof(length_name) - 1));
	}

	pgw_http_keep_header(transfer, data, len);
	take_header(data, len, "Retry-After:", transfer->retry_after, sizeof(transfer->retry_after));
	take_header(data, len, "Date:", transfer->date, sizeof(transfer->date));
	return len;
}

/* ---------- one transfer ---------- */

Transfer *
pgw_http_transfer_new(void)
{
	Transfer *transfer = calloc(1, sizeof(Transfer));

	if (transfer == NULL)
		return NULL;
	transfer->socket = -1;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	pgw_buf_init(&transfer->body, 0); /* on_body() enforces the limit */
	pgw_buf_init(&transfer->certificates, MAX_CERTIFICATES);
	pgw_buf_init(&transfer->wanted_headers, 0);
	pgw_buf_init(&transfer->kept_headers, MAX_KEPT_HEADERS);
	return transfer;
}

/*
 * Not reset, for another transfer to use it: what a reset keeps is the library's affair (8.14: the
 * whole request).  Only what is freed is wiped.  The connections are the multi handle's, and stay.
 */
void
pgw_http_wipe_request(Transfer *transfer)
{
	curl_easy_cleanup(transfer->easy); /* first: it points to the rest */
	transfer->easy = NULL;
	for (struct curl_slist *h = transfer->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;

	if (transfer->req_body != NULL)
		pgw_http_arena_free(transfer->req_body, transfer->req_len);
	transfer->req_body = NULL;
	transfer->req_len = 0;
}

void
pgw_http_transfer_free(Transfer *transfer)
{
	pgw_http_wipe_request(transfer);
	pgw_buf_free(&transfer->body);
	pgw_buf_free(&transfer->certificates);
	pgw_buf_free(&transfer->wanted_headers);
	pgw_buf_free(&transfer->kept_headers);
	explicit_bzero(transfer, sizeof(*transfer));
	free(transfer);
}

bool
pgw_http_is_token(const char *s)
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

bool
pgw_http_add_header(Transfer *transfer, const char *header)
{
	struct curl_slist *list = curl_slist_append(transfer->headers, header);

	if (list == NULL)
		return false;
	transfer->headers = list;
	return true;
}

#define SETOPT(opt, value) \
	do \
	{ \
		if (curl_easy_setopt(easy, opt, value) != CURLE_OK) \
			return false; \
	} while (0)

/* What every transfer has in common. */
bool
pgw_http_set_fixed_options(Transfer *transfer)
{
	CURL *easy = transfer->easy;

	SETOPT(CURLOPT_PRIVATE, transfer);
	SETOPT(CURLOPT_NOSIGNAL, 1L);

	/*
	 * Answers are short, and libcurl's own buffer is four times as large: to be allocated and wiped
	 * for each, and for thousands at the same time.
	 */
	SETOPT(CURLOPT_BUFFERSIZE, ANSWER_BUFFER);
	SETOPT(CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
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
	/* a resumed session shows no certificate: it would outlive our trust */
	SETOPT(CURLOPT_SSL_SESSIONID_CACHE, (long) PGW_MUTATED(CA_CHANGE));

	SETOPT(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SETOPT(CURLOPT_OPENSOCKETDATA, transfer);
	SETOPT(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SETOPT(CURLOPT_CLOSESOCKETDATA, NULL);
#if HAVE_PREREQ
	SETOPT(CURLOPT_PREREQFUNCTION, on_request);
	SETOPT(CURLOPT_PREREQDATA, transfer);
#endif
	SETOPT(CURLOPT_XFERINFOFUNCTION, pgw_http_on_progress);
	SETOPT(CURLOPT_XFERINFODATA, transfer);
	SETOPT(CURLOPT_NOPROGRESS, 0L);
	SETOPT(CURLOPT_WRITEFUNCTION, on_body);
	SETOPT(CURLOPT_WRITEDATA, transfer);
	SETOPT(CURLOPT_HEADERFUNCTION, on_header);
	SETOPT(CURLOPT_HEADERDATA, transfer);
	return true;
}

/*
 * How old a connection may be, and what of libcurl's memory may be used, so that only certificates
 * count that are trusted now.  libcurl counts the age of connections in whole seconds: what stood
 * before the change must be older than what is allowed, so the first two seconds go without reuse.
 */
static bool
set_trust(CURL *easy, const PgwHttpRequest *req)
{
	long trusted_for = PGW_MUTATED(CA_CHANGE) ? -1 : pgw_http_trusted_for_s(req->ca_file);
	long limit = req->max_connection_age_s > 0 ? req->max_connection_age_s : 0;

#if HAVE_CA_CACHE
	SETOPT(CURLOPT_CA_CACHE_TIMEOUT, trusted_for >= 0 && trusted_for <= CA_CACHE_S ? 0L
									 : PGW_MUTATED(CA_CHANGE)                      ? 86400L
																				   : CA_CACHE_S);
#endif
#if HAVE_MAX_LIFETIME
	if (trusted_for >= 0 && trusted_for < 2)
		SETOPT(CURLOPT_FRESH_CONNECT, 1L);
	else if (trusted_for >= 0 && (limit == 0 || trusted_for - 1 < limit))
		limit = trusted_for - 1;
	SETOPT(CURLOPT_MAXLIFETIME_CONN, limit);
#else
	/*
	 * No limit to be had: until all that stood before have been idle for longer than libcurl keeps
	 * one.
	 */
	if (trusted_for >= 0 && trusted_for < 150)
		SETOPT(CURLOPT_FRESH_CONNECT, 1L);
	(void) limit;
#endif
	return true;
}

bool
pgw_http_set_request_options(Transfer *transfer, const PgwHttpRequest *req)
{
	CURL *easy = transfer->easy;
	long total = req->total_timeout_ms > 0 ? req->total_timeout_ms : DEFAULT_TOTAL_MS;
	long connect = req->connect_timeout_ms > 0 ? req->connect_timeout_ms : DEFAULT_CONNECT_MS;

	SETOPT(CURLOPT_URL, req->url);
	SETOPT(CURLOPT_HTTPHEADER, transfer->headers);
	transfer->total_ms = total;
	transfer->connect_ms = connect < total ? connect : total;
	SETOPT(CURLOPT_TIMEOUT_MS, transfer->total_ms);
	SETOPT(CURLOPT_CONNECTTIMEOUT_MS, transfer->connect_ms);

	if (transfer->req_body != NULL)
	{
		SETOPT(CURLOPT_POST, 1L);
		SETOPT(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->req_len);
		SETOPT(CURLOPT_POSTFIELDS, transfer->req_body);
	}
	else if (strcmp(req->method, "HEAD") == 0)
		SETOPT(CURLOPT_NOBODY, 1L);
	else
		SETOPT(CURLOPT_HTTPGET, 1L);
	SETOPT(CURLOPT_CUSTOMREQUEST, req->method);

	/* a library that cannot tell of its resends gets no occasion for one */
	if (req->fresh_connection || (!HAVE_PREREQ && transfer->req_body != NULL))
	{
		SETOPT(CURLOPT_FRESH_CONNECT, 1L);
		SETOPT(CURLOPT_FORBID_REUSE, 1L);
	}
	if (req->certificates)
		SETOPT(CURLOPT_CERTINFO, 1L);
	if (!set_trust(easy, req))
		return false;
	if (req->ca_file != NULL)
	{
		/* what must not be opened is for libcurl a file that is not there */
		SETOPT(CURLOPT_CAINFO, pgw_trust_file_fits(req->ca_file) ? req->ca_file : NO_FILE);
		SETOPT(CURLOPT_CAPATH, NULL); /* else the system's are trusted, too */
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
request_begun(Transfer *transfer)
{
	long size = 0;
	curl_off_t pretransfer = 0;

	if (transfer->begun)
		return true;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &size) != CURLE_OK ||
		curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer) != CURLE_OK)
		return true;
#if HAVE_PREREQ
	/* A failed connect may set this time in some versions: no proof of sending. */
	return size != 0;
#else
	return size != 0 || pretransfer != 0;
#endif
}

bool
pgw_http_lacked_socket(Transfer *transfer, CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT && transfer->no_descriptor && !request_begun(transfer);
}

bool
pgw_http_needs_new_connection(Transfer *transfer, CURLcode code)
{
	return code == CURLE_ABORTED_BY_CALLBACK && transfer->spoilt && !request_begun(transfer) &&
		   curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
}

/*
 * Where the answer ends is not one statement when it has two lengths: what was read may be the half
 * of it, or somebody else's.
 */
static void
classify_answer(Transfer *transfer)
{
	if (transfer->lengths > 1 || transfer->bad_length)
	{
		transfer->result = PGW_HTTP_MAYBE_SENT;
		transfer->error = "more than one Content-Length";
		return;
	}
	if (transfer->bad_header)
	{
		transfer->result = PGW_HTTP_MAYBE_SENT;
		transfer->error = "a header that cannot be read";
		return;
	}
	transfer->result = PGW_HTTP_ANSWERED;
	transfer->error = NULL;
}

/* An error from before the request is sent, as a constant text; NULL: it is none of those. */
static const char *
early_error(const Transfer *transfer, CURLcode code, bool begun)
{
	switch (code)
	{
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* what has come is no HTTP, or of a version that nobody has asked for */
			return begun ? "no answer of HTTP" : "unsupported URL";
		case CURLE_URL_MALFORMAT:
		case CURLE_LOGIN_DENIED: /* a user name in the URL */
			return "unsupported URL";
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_RESOLVE_HOST:
			return "could not resolve host";
		case CURLE_COULDNT_CONNECT:
			return transfer->no_descriptor     ? "too many open sockets"
				   : transfer->address_refused ? "address not allowed"
											   : "could not connect";
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_ENGINE_INITFAILED:
			return "TLS handshake failed";
		case CURLE_SSL_CACERT_BADFILE:
			return "trusted certificates could not be read";
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return "certificate not accepted";
		case CURLE_ABORTED_BY_CALLBACK:
			return begun ? NULL : "connection not to be used again";
		case CURLE_OPERATION_TIMEDOUT:
			return begun ? "timed out waiting for the answer" : "timed out before sending";
		default:
			return NULL;
	}
}

static const char *
late_error(const Transfer *transfer, CURLcode code)
{
	switch (code)
	{
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_PARTIAL_FILE:
			return "connection lost";
		case CURLE_WRITE_ERROR:
		case CURLE_ABORTED_BY_CALLBACK:
			return transfer->too_large ? "answer too large" : "out of memory";
		default:
			return "transfer failed";
	}
}

/* What "Subject:CN = bank.example" says, as a member; whatever the bank has put there is JSON text.
 */
static void
put_certificate(PgwBuf *b, const struct curl_slist *lines)
{
	static const struct
	{
		const char *line;
		const char *name;
	} parts[] = {{"Subject:", "subject"}, {"Issuer:", "issuer"}, {"Expire date:", "expires"}};

	pgw_buf_json_open(b, '{');
	for (const struct curl_slist *l = lines; l != NULL; l = l->next)
	{
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		{
			size_t n = strlen(parts[i].line);

			if (strncmp(l->data, parts[i].line, n) == 0)
				pgw_buf_json_member(b, parts[i].name, l->data + n);
		}
	}
	pgw_buf_json_close(b, '}');
}

static void
note_certificates(Transfer *transfer)
{
	struct curl_certinfo *info = NULL;

	if (!transfer->wants_certificates ||
		curl_easy_getinfo(transfer->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
		info->num_of_certs == 0)
		return;
	pgw_buf_json_open(&transfer->certificates, '[');
	for (int i = 0; i < info->num_of_certs; i++)
		put_certificate(&transfer->certificates, info->certinfo[i]);
	pgw_buf_json_close(&transfer->certificates, ']');
}

void
pgw_http_classify(Transfer *transfer, CURLcode code)
{
	bool begun = request_begun(transfer);
	const char *early;

	note_certificates(transfer);

	if (code == CURLE_OK)
	{
		classify_answer(transfer);
		return;
	}
	early = early_error(transfer, code, begun);
	transfer->error = early != NULL ? early : late_error(transfer, code);
	transfer->starved |= code == CURLE_COULDNT_CONNECT && transfer->no_descriptor;
	transfer->result = early != NULL && !begun ? PGW_HTTP_NEVER_SENT : PGW_HTTP_MAYBE_SENT;
}
