/*
 * test_document.c - what the bank inside the worker says: the documents of the reference protocol
 *
 * Owns: the names of kinds and states in the ledger, and how ids are made.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/test_bank/test_bank.h"

#define COUNT(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* in the order of PgwTestKind */
static const char *const kinds[] = {"charge", "authorization", "capture", "void",
									"refund", "cancellation",  "refusal", "try"};
/* in the order of PgwTestStatus */
static const char *const statuses[] = {"approved",        "declined",  "pending",
									   "requires_action", "succeeded", "failed"};

const char *
pgw_test_kind_name(PgwTestKind kind)
{
	return kinds[kind];
}

const char *
pgw_test_status_name(PgwTestStatus status)
{
	return statuses[status];
}

static int
find(const char *const *list, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(list[i], name) == 0)
			return i;
	}
	return -1;
}

bool
pgw_test_kind_of(const char *name, PgwTestKind *kind)
{
	int i = find(kinds, COUNT(kinds), name);

	*kind = i < 0 ? PGW_TEST_TRY : (PgwTestKind) i;
	return i >= 0;
}

bool
pgw_test_status_of(const char *name, PgwTestStatus *status)
{
	int i = find(statuses, COUNT(statuses), name);

	*status = i < 0 ? PGW_TEST_FAILED : (PgwTestStatus) i;
	return i >= 0;
}

/* References are pgw's, in hexadecimal: g to p are its digits. */
void
pgw_test_id(char *id, const char *prefix, const char *reference)
{
	size_t n = (size_t) snprintf(id, PGW_TEST_ID, "%s_", prefix);

	for (const char *p = reference; *p != '\0' && n < PGW_TEST_ID - 1; p++)
		id[n++] = *p >= '0' && *p <= '9' ? (char) ('g' + (*p - '0')) : *p;
	id[n] = '\0';
}

void
pgw_test_answer_init(PgwTestAnswer *a)
{
	memset(a, 0, sizeof(*a));
	pgw_buf_init(&a->body, 0);
}

void
pgw_test_answer_free(PgwTestAnswer *a)
{
	pgw_buf_free(&a->body);
}

void
pgw_test_refuse(PgwTestAnswer *a, int status, const char *code, const char *message)
{
	a->status = status;
	pgw_buf_reset(&a->body);
	pgw_buf_json_open(&a->body, '{');
	pgw_buf_json_name(&a->body, "error");
	pgw_buf_json_open(&a->body, '{');
	pgw_buf_json_member(&a->body, "code", code);
	pgw_buf_json_member(&a->body, "message", message);
	pgw_buf_json_close(&a->body, '}');
	pgw_buf_json_close(&a->body, '}');
}

static void
put_number(PgwBuf *b, const char *name, int64_t number)
{
	pgw_buf_json_name(b, name);
	pgw_buf_printf(b, "%lld", (long long) number);
}

static void
put_money(PgwBuf *b, const PgwTestEntry *e, PgwFaultKind fault)
{
	const char *currency = e->currency;

	if (fault == PGW_FAULT_WRONG_CURRENCY)
		currency = strcmp(currency, "USD") == 0 ? "EUR" : "USD";
	put_number(b, "amount", e->amount + (fault == PGW_FAULT_WRONG_AMOUNT ? 100 : 0));
	pgw_buf_json_member(b, "currency", currency);
}

/* The reference; that of somebody else's document is nobody's. */
static void
put_reference(PgwBuf *b, const PgwTestEntry *e, PgwFaultKind fault)
{
	pgw_buf_json_member(b, "reference",
						fault == PGW_FAULT_OTHER_ANSWER ? "another_payment" : e->reference);
}

static void
put_error(PgwBuf *b, const PgwTestEntry *e, const char *message)
{
	if (e->code[0] == '\0')
		return;
	pgw_buf_json_name(b, "error");
	pgw_buf_json_open(b, '{');
	pgw_buf_json_member(b, "code", e->code);
	pgw_buf_json_member(b, "message", message);
	pgw_buf_json_close(b, '}');
}

/* The id, and with double_keys a status that says the opposite. */
static void
put_head(PgwBuf *b, const PgwTestEntry *e, PgwFaultKind fault, PgwTestStatus opposite)
{
	if (fault == PGW_FAULT_OTHER_ANSWER)
		pgw_buf_json_member(b, "id", "ch_of_another_payment");
	else if (fault != PGW_FAULT_NO_IDS)
		pgw_buf_json_member(b, "id", e->id);
	if (fault == PGW_FAULT_DOUBLE_KEYS)
		pgw_buf_json_member(b, "status", statuses[opposite]);
	pgw_buf_json_member(b, "status", statuses[e->status]);
}

void
pgw_test_put_charge(PgwBuf *b, const PgwTestEntry *charge, PgwFaultKind fault)
{
	put_head(b, charge, fault,
			 charge->status == PGW_TEST_APPROVED ? PGW_TEST_DECLINED : PGW_TEST_APPROVED);
	put_money(b, charge, fault);
	put_reference(b, charge, fault);
	pgw_buf_json_name(b, "authorization_code");
	if (charge->authorization_code[0] != '\0')
		pgw_buf_json_string(b, charge->authorization_code);
	else
		pgw_buf_puts(b, "null");
	put_number(b, "captured", charge->captured);
	put_number(b, "refunded", charge->refunded);
	pgw_buf_json_name(b, "voided");
	pgw_buf_puts(b, charge->voided ? "true" : "false");
	pgw_buf_json_name(b, "card");
	pgw_buf_json_open(b, '{');
	pgw_buf_json_member(b, "brand", charge->brand);
	pgw_buf_json_member(b, "last4", charge->last4);
	pgw_buf_json_close(b, '}');
	if (charge->expires_at != 0)
		put_number(b, "expires_at_ms", charge->expires_at);
	put_error(b, charge, "the card was not charged");
}

void
pgw_test_put_step(PgwBuf *b, const PgwTestEntry *step, PgwFaultKind fault)
{
	put_head(b, step, fault,
			 step->status == PGW_TEST_SUCCEEDED ? PGW_TEST_FAILED : PGW_TEST_SUCCEEDED);
	if (fault != PGW_FAULT_NO_IDS)
		pgw_buf_json_member(b, "charge", step->charge_id);
	put_money(b, step, fault);
	put_reference(b, step, fault);
	put_error(b, step, "the refund failed");
}
