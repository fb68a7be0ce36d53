/*
 * bank.c - the peer's requests to the bank: libcurl's multi interface on the peer's epoll, a
 * connection that is kept alive for each payment at a time, the idempotency key in a header
 */
#include <curl/curl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "peer.h"

/* The request of one slot: its handle is used for one payment after the other. */
typedef struct Request
{
	CURL *easy;
	struct curl_slist *key; /* the header that differs */
	char body[256];
	char answer[2048];
	size_t length;
} Request;

static CURLM *multi;
static Request *requests; /* by slot */
static int64_t timer_at;  /* when libcurl wants to be called, 0 when it does not */

static void socket_ready(int fd, uint32_t events, void *arg);

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	uint32_t events = 0;

	(void) easy;
	(void) arg;
	(void) socket_arg;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	watch(fd, events, socket_ready, NULL);
	return 0;
}

static int
on_timer(CURLM *m, long ms, void *arg)
{
	(void) m;
	(void) arg;
	timer_at = ms < 0 ? 0 : now_us() + ms * 1000;
	return 0;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	Request *request = arg;

	if (request->length + size * n >= sizeof(request->answer))
		return 0;
	memcpy(request->answer + request->length, data, size * n);
	request->length += size * n;
	return size * n;
}

static const char *
text_of(json_object *answer, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(answer, name, &value) ? json_object_get_string(value) : "";
}

/* What the bank has answered about a charge. */
static void
read_answer(Payment *payment, Request *request)
{
	long status = 0;
	json_object *answer;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	request->answer[request->length] = '\0';
	answer = json_tokener_parse(request->answer);
	if ((status != 200 && status != 201) || answer == NULL)
		fatal("the bank answers %ld %s", status, request->answer);
	payment->approved = strcmp(text_of(answer, "status"), "approved") == 0;
	snprintf(payment->bank_id, sizeof(payment->bank_id), "%s", text_of(answer, "id"));
	json_object_put(answer);
}

static void
collect_answers(void)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		Payment *payment = NULL;
		CURL *easy = message->easy_handle;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (message->data.result != CURLE_OK)
			fatal("the bank: %s", curl_easy_strerror(message->data.result));
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &payment);
		curl_multi_remove_handle(multi, easy);
		read_answer(payment, &requests[payment->slot]);
		payment_charged(payment);
	}
}

static void
socket_ready(int fd, uint32_t events, void *arg)
{
	int running;
	int what = ((events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
			   ((events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
			   ((events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);

	(void) arg;
	curl_multi_socket_action(multi, fd, what, &running);
	collect_answers();
}

/* How long epoll may wait for libcurl's sake; -1 for as long as it likes. */
int
bank_timeout_ms(void)
{
	int64_t left = timer_at - now_us();

	if (timer_at == 0)
		return -1;
	return left <= 0 ? 0 : (int) (left / 1000) + 1;
}

/* What libcurl wanted to do at this time; requests that were added begin here. */
void
bank_tick(void)
{
	int running;

	if (timer_at == 0 || now_us() < timer_at)
		return;
	timer_at = 0;
	curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect_answers();
}

void
bank_charge(Payment *payment)
{
	Request *request = &requests[payment->slot];

	request->length = 0;
	sprintf(strchr(request->key->data, ' ') + 1, "%s", payment->id);
	snprintf(request->body, sizeof(request->body),
			 "{\"amount\":%s,\"currency\":\"%s\",\"reference\":\"%s\","
			 "\"source\":{\"token\":\"%s\"}}",
			 AMOUNT, CURRENCY, payment->id, TOKEN);
	curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE, (long) strlen(request->body));
	curl_easy_setopt(request->easy, CURLOPT_PRIVATE, payment);
	if (curl_multi_add_handle(multi, request->easy) != CURLM_OK)
		fatal("the request to the bank could not begin");
}

static void
request_init(Request *request, const char *authorization)
{
	char room[sizeof(((Payment *) 0)->id) + 32];
	struct curl_slist *headers;

	/* as long as the longest id: each payment's is written over it */
	snprintf(room, sizeof(room), "Idempotency-Key: %0*d", (int) sizeof(((Payment *) 0)->id), 0);
	request->key = curl_slist_append(NULL, room);
	headers = curl_slist_append(request->key, authorization);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	request->easy = curl_easy_init();
	if (request->easy == NULL || headers == NULL)
		fatal("out of memory");
	curl_easy_setopt(request->easy, CURLOPT_URL, options.bank);
	curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->body);
	curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
}

void
bank_init(void)
{
	char authorization[256];

	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	requests = calloc(options.clients, sizeof(*requests));
	if (multi == NULL || requests == NULL)
		fatal("out of memory");
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) options.clients);
	snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", options.secret);
	for (int i = 0; i < options.clients; i++)
		request_init(&requests[i], authorization);
}
