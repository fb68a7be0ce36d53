/*
 * fuzz_notification.c - any bytes as a notification: its scheme, header, URL and body
 *
 * The first byte chooses the scheme, the next three lines are the headers (and the URL), the rest
 * is the body.  Nothing is verified by a secret that has not signed it: what comes here is never
 * signed, so a "verified" would be a forgery; but a signature that is made for it, with the same
 * code as a bank would use, must verify, and the same with another secret must not.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/byte_text.h"
#include "core/base/sha2.h"
#include "core/card/card_text.h"
#include "core/connector/compiled.h"
#include "core/notification/kept_ids.h"
#include "core/notification/notification_verdict.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const signatures[] = {
	"{\"scheme\": \"timestamped_hmac\", \"header\": \"s\"}", "{\"scheme\": \"standard_webhooks\"}",
	"{\"scheme\": \"hmac_body\", \"header\": \"s\", \"as\": \"hex\"}",
	"{\"scheme\": \"hmac_url_body\", \"header\": \"s\", \"as\": \"base64\", \"hash\": \"sha512\"}",
	"{\"scheme\": \"hmac_fields\", \"at\": \"/s\", \"fields\": [\"/a\", \"/b/c\", \"/d/0\"],"
	" \"separator\": \":\", \"as\": \"base64\"}",
	"{\"scheme\": \"basic_auth\"}",
	/* several in one body, each signed by itself */
	"{\"scheme\": \"hmac_fields\", \"at\": \"/s\", \"fields\": [\"/a\", \"/r\"], \"separator\": \":\","
	" \"as\": \"hex\"}, \"items\": \"/i\""};

#define NSCHEMES (sizeof(signatures) / sizeof(signatures[0]))

static PgwConnector *connectors[NSCHEMES];

static void
compile(void)
{
	for (size_t i = 0; i < NSCHEMES; i++)
	{
		PgwConnectorError err;
		char document[2048];

		snprintf(document, sizeof(document),
				 "{\"v\": 2, \"capabilities\": {\"tokens\": true}, \"operations\": {\"charge\":"
				 " {\"method\": \"POST\", \"path\": \"/c\", \"encoding\": \"json\", \"body\":"
				 " {\"t\": \"{{token}}\"}, \"answer\": {\"rules\": [{\"status\": 200, \"outcome\":"
				 " \"approved\"}]}}}, \"notifications\": {\"signature\": %s, \"identity\": [\"/a\","
				 " \"/d\"], \"type\": \"/t\", \"time\": \"/b\", \"fields\": {\"bank_reference\":"
				 " [\"/b/c\", \"/a\"], \"reference\": \"/r\", \"livemode\": \"/l\"}}}",
				 signatures[i]);
		connectors[i] = pgw_connector_compile(document, strlen(document), &err);
		if (connectors[i] == NULL)
			abort();
	}
}

/* A line of the input as a text of its own. */
static char *
line(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *stop = memchr(*at, '\n', (size_t) (end - *at));
	size_t len = (size_t) ((stop != NULL ? stop : end) - *at);
	char *text = malloc(len + 1);

	memcpy(text, *at, len);
	text[len] = '\0';
	*at = stop != NULL ? stop + 1 : end;
	return text;
}

/* As a bank that signs time and body. */
static void
check_signed(const PgwArrived *a)
{
	PgwSecretValues right = {2, {{"", "other"}, {"", "secret"}}};
	PgwSecretValues wrong = {1, {{"", "secreu"}}};
	unsigned char mac[PGW_SHA2_MAX];
	PgwGivenHeader header = {"S", NULL};
	PgwArrived sent = *a;
	PgwBuf text;

	pgw_buf_init(&text, 0);
	pgw_buf_puts(&text, "100.");
	pgw_buf_append(&text, a->body, a->len);
	(void) pgw_hmac(PGW_SHA256, "secret", 6, text.data, text.len, mac);
	pgw_buf_reset(&text);
	pgw_buf_puts(&text, "t=100,v1=");
	pgw_put_hex(&text, mac, 32);
	header.value = text.data;
	sent.headers = &header;
	sent.nheaders = 1;
	sent.received_at = 100;
	if (a->len <= PGW_NOTIFICATION_MAX_BYTES &&
		(pgw_verify_signature(&connectors[0]->notifications.signature, &sent, &right) !=
			 PGW_VERIFIED ||
		 pgw_verify_signature(&connectors[0]->notifications.signature, &sent, &wrong) !=
			 PGW_WRONG_SIGNATURE))
		abort();
	pgw_buf_free(&text);
}

/* Whatever the list holds, nothing of it is taken, and nothing said. */
static void
check_items(const PgwConnector *c, const PgwArrived *a, const PgwSecretValues *secrets)
{
	static PgwJudged judged[PGW_NOTIFICATION_MAX_ITEMS];
	int n = pgw_notification_judge(c, a, secrets, NULL, true, judged);

	if (n < 1 || n > PGW_NOTIFICATION_MAX_ITEMS)
		abort();
	for (int i = 0; i < n; i++)
	{
		if (judged[i].verdict == PGW_NOTIFICATION_ACCEPTED || judged[i].said.readable)
			abort();
	}
}

static void
check_text(const char *text, size_t size)
{
	if (memchr(text, '\0', size) == NULL || pgw_text_has_card_number(text, strlen(text)))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data + 1;
	const uint8_t *end = data + size;
	PgwSecretValues secrets = {2, {{"", "whsec_c2VjcmV0"}, {"", "a:b"}}};
	PgwGivenHeader headers[5];
	PgwArrived a = {.headers = headers, .received_at = 100};
	PgwNotification n;
	char *lines[3];
	size_t which;
	char *body;

	if (connectors[0] == NULL)
		compile();
	if (size < 1)
		return 0;
	which = data[0] % NSCHEMES;
	for (int i = 0; i < 3; i++)
		lines[i] = line(&at, end);
	a.len = (size_t) (end - at);
	body = malloc(a.len > 0 ? a.len : 1);
	memcpy(body, at, a.len);
	a.body = body;
	headers[0] = (PgwGivenHeader){which == 5 ? "authorization" : "s", lines[0]};
	headers[1] = (PgwGivenHeader){"Webhook-Id", lines[1]};
	headers[2] = (PgwGivenHeader){"WEBHOOK-TIMESTAMP", lines[2]};
	headers[3] = (PgwGivenHeader){"webhook-signature", lines[0]};
	headers[4] = (PgwGivenHeader){lines[1], lines[2]};
	a.nheaders = 5;
	a.url = lines[1];

	if (pgw_verify_signature(&connectors[which]->notifications.signature, &a, &secrets) ==
			PGW_VERIFIED &&
		which != 5) /* the fuzzer may find out a password of three letters */
		abort();
	check_signed(&a);
	if (which != 5)
		check_items(connectors[which], &a, &secrets);
	pgw_notification_read(connectors[which], &a, true, &n);
	/* of what anybody may have sent nothing is kept that looks like a card's number */
	pgw_notification_keep_ids(&n, NULL);
	check_text(n.event_id, sizeof(n.event_id));
	check_text(n.type, sizeof(n.type));
	check_text(n.time, sizeof(n.time));
	check_text(n.bank_reference, sizeof(n.bank_reference));
	check_text(n.reference, sizeof(n.reference));
	check_text(n.operation_reference, sizeof(n.operation_reference));
	check_text(n.dispute.id, sizeof(n.dispute.id));
	if (strlen(n.digest) != 64 || (n.identity[0] != '\0' && strlen(n.identity) != 64) ||
		(!n.readable && (n.identity[0] != '\0' || n.reference[0] != '\0')))
		abort();
	for (int i = 0; i < 3; i++)
		free(lines[i]);
	free(body);
	return 0;
}
