/*
 * fuzz_answer.c - any bytes as a bank's answer, judged with the connectors
 * src/connectors/json.json, test/connectors/listbank.json, nvpbank.json and hrefbank.json there
 *
 * Input: operation (the two highest bits: which connector), status class, length and text of
 * Retry-After (of hrefbank: of the headers), then the body.  PGW_SRCDIR names the sources' folder;
 * without it the document is looked for relative to where the fuzzer runs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/error_codes.h"
#include "core/bank_message/judge_answer.h"
#include "core/bank_message/list_pages.h"
#include "core/connector/connector.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static PgwConnector *
connector(const char *file)
{
	PgwConnector *c = NULL;
	static char text[65536];
	const char *roots[] = {getenv("PGW_SRCDIR"), ".", "../..", "../../.."};
	PgwConnectorError err;

	for (size_t i = 0; c == NULL && i < sizeof(roots) / sizeof(roots[0]); i++)
	{
		char path[1024];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", roots[i] ? roots[i] : ".", file);
		if ((f = fopen(path, "r")) == NULL)
			continue;
		c = pgw_connector_compile(text, fread(text, 1, sizeof(text), f), &err);
		fclose(f);
	}
	if (c == NULL)
		abort();
	return c;
}

/* In any spelling: escapes and case are the reader's business. */
static bool
names(const uint8_t *body, size_t len, const char *reference)
{
	return memchr(body, '\\', len) != NULL || memchr(body, '%', len) != NULL ||
		   memmem(body, len, reference, strlen(reference)) != NULL ||
		   memmem(body, len, reference[0] == 'r' ? "R17" : "O42", 3) != NULL;
}

/* A page says nothing alone, and the same one again ends it, in doubt. */
static void
check_pages(const PgwAnswer *a)
{
	PgwPages pages = {.n = 0};
	PgwAnswer first = *a;
	PgwAnswer again = *a;
	bool goes_on = a->next_page[0] != '\0';

	if (memchr(a->next_page, 0, sizeof(a->next_page)) == NULL || (goes_on && !a->of_list))
		abort();
	if (pgw_pages_add(&pages, &first) != goes_on ||
		(!goes_on && memcmp(&first, a, sizeof(first)) != 0))
		abort();
	if (goes_on && (first.outcome != PGW_OUT_UNKNOWN || first.bank_reference[0] != '\0' ||
					pgw_pages_add(&pages, &again) || again.outcome != PGW_OUT_UNKNOWN))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const PgwSought with_card = {.card_number = "4532015112830366",
										.parts = true,
										.card_cvv = "737",
										.words = {"sk_live_Ab12-cd", "Jo Holder"},
										.last4 = "0366"};
	static const PgwSought without_card = {.words = {"sk_live_Ab12-cd"}, .last4 = "0366"};
	static const int statuses[] = {200, 201, 400, 401, 404, 409, 422, 429, 500, 503, 302, 0, 204};
	static const PgwConnector *connectors[4];
	const PgwConnector *c;
	char head[256];
	PgwGivenAnswer given;
	size_t n;
	PgwQuestion question = {.transaction_ref = "r17",
							.original_ref = "o42",
							.bank_reference = "ch_1",
							.operation_reference = "re_1",
							.currency = "EUR",
							.iso_exponent = 2};
	PgwBankOp op;
	PgwAnswer a;
	PgwAnswer again;
	PgwWhy why;

	if (size < 3)
		return 0;
	if (connectors[0] == NULL)
	{
		connectors[0] = connector("src/connectors/json.json");
		connectors[1] = connector("test/connectors/listbank.json");
		connectors[2] = connector("test/connectors/nvpbank.json");
		connectors[3] = connector("test/connectors/hrefbank.json");
	}
	c = connectors[data[0] >> 6 == 2 ? 1 : data[0] >> 6 == 1 ? 2 : data[0] >> 6];
	op = (PgwBankOp) ((data[0] & 0x3F) % PGW_NOPS);
	n = data[2] % (c == connectors[3] ? sizeof(head) : 64);
	if (n > size - 3)
		n = size - 3;
	memcpy(head, data + 3, n);
	head[n] = '\0';
	question.op = op;
	if ((data[1] & 0x80) != 0) /* the card is known */
	{
		question.sought = &with_card;
		question.sought_later = &without_card;
	}
	given = (PgwGivenAnswer){
		.status = statuses[data[1] % 13], .body = (const char *) data + 3 + n, .len = size - 3 - n};
	if (data[2] != 0 && c == connectors[3])
		given.headers = head;
	else if (data[2] != 0)
		given.retry_after = head;
	pgw_connector_judge(c, &question, &given, &a);

	/* whoever asks why is told the same */
	pgw_connector_explain(c, &question, &given, &again, &why);
	pgw_buf_free(&why.passed_over);
	if (memcmp(&a, &again, sizeof(a)) != 0)
		abort();

	if (memchr(a.bank_reference, 0, sizeof(a.bank_reference)) == NULL ||
		memchr(a.bank_code, 0, sizeof(a.bank_code)) == NULL ||
		memchr(a.capture_reference, 0, sizeof(a.capture_reference)) == NULL ||
		memchr(a.authorization_code, 0, sizeof(a.authorization_code)) == NULL ||
		memchr(a.card_brand, 0, sizeof(a.card_brand)) == NULL ||
		(strlen(a.card_last4) != 0 && strlen(a.card_last4) != 4) ||
		(strlen(a.currency) != 0 && strlen(a.currency) != 3))
		abort();
	if ((a.has_amount && a.amount < 0) || a.captured < -1 || a.refunded < -1 ||
		a.retry_after_s < -1 || a.retry_after_s > 86400)
		abort();
	if (a.error_code[0] != '\0' && pgw_error_find(a.error_code) == NULL)
		abort();
	if (a.outcome == PGW_OUT_NOT_FOUND && op != PGW_OP_LOOKUP_CHARGE && op != PGW_OP_LOOKUP_REFUND)
		abort();
	/*
	 * a look-up's answer names the charge, or the refund, that was asked about; nothing of another
	 * one's is kept
	 */
	if ((op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND) &&
		(a.outcome == PGW_OUT_APPROVED || a.outcome == PGW_OUT_DECLINED ||
		 a.outcome == PGW_OUT_REQUIRES_ACTION || a.outcome == PGW_OUT_PENDING) &&
		!names(data + 3 + n, size - 3 - n,
			   op == PGW_OP_LOOKUP_CHARGE ? question.original_ref : question.transaction_ref))
		abort();
	if (a.other_reference && (a.outcome != PGW_OUT_UNKNOWN || a.bank_reference[0] != '\0' ||
							  a.has_amount || a.captured != -1 || a.refunded != -1))
		abort();
	if (a.bank_reference[0] != '\0' && a.bank_reference_invalid)
		abort();
	check_pages(&a);
	/* an id out of a header stands there, behind what was named, and nowhere else in it */
	if (c == connectors[3] && given.len == 0 && a.bank_reference[0] != '\0' &&
		(strpbrk(a.bank_reference, "/?# ,%") != NULL || strstr(head, a.bank_reference) == NULL ||
		 strstr(head, "/transfers/") == NULL))
		abort();
	/* nothing was ever approved that does not look like an object, or a form */
	if (a.outcome == PGW_OUT_APPROVED &&
		memchr(data + 3 + n, c == connectors[2] ? '=' : '{', size - 3 - n) == NULL &&
		!(c == connectors[2] && op == PGW_OP_VOID && size == 3 + n))
		abort();
	return 0;
}
