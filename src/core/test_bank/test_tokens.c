/*
 * test_tokens.c - which token, card number or amount asks a test bank for what
 *
 * Every fault has one name.  A token is "tok_" and the name; card numbers and reserved amounts
 * stand for tokens.  Card numbers are written in groups: no process that has this file in its
 * memory is to be taken for one that keeps a card.
 *
 * Owns nothing.
 */
#include "core/test_bank/test_tokens.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define RESERVED_AMOUNT INT64_C(9990000)
#define COUNT(a) ((int) (sizeof(a) / sizeof((a)[0])))

typedef enum Number
{
	NUMBER_NO,
	NUMBER_MAY,
	NUMBER_MUST
} Number;

static const struct
{
	const char *name;
	PgwFaultKind kind;
	Number number;
	const char *code;
} names[] = {
	{"ok", PGW_FAULT_NONE, NUMBER_NO, NULL},
	{"decline_insufficient_funds", PGW_FAULT_DECLINE, NUMBER_NO, "insufficient_funds"},
	{"decline_do_not_honor", PGW_FAULT_DECLINE, NUMBER_NO, "do_not_honor"},
	{"decline_lost_card", PGW_FAULT_DECLINE, NUMBER_NO, "lost_card"},
	{"decline_expired_card", PGW_FAULT_DECLINE, NUMBER_NO, "expired_card"},
	{"decline_fraud", PGW_FAULT_DECLINE, NUMBER_NO, "fraud"},
	{"auth_required", PGW_FAULT_AUTH_REQUIRED, NUMBER_NO, "authentication_required"},
	{"500_before", PGW_FAULT_500_BEFORE, NUMBER_MAY, NULL},
	{"500_after", PGW_FAULT_500_AFTER, NUMBER_NO, NULL},
	{"timeout_before", PGW_FAULT_TIMEOUT_BEFORE, NUMBER_MAY, NULL},
	{"timeout_after", PGW_FAULT_TIMEOUT_AFTER, NUMBER_NO, NULL},
	{"slow", PGW_FAULT_SLOW, NUMBER_MUST, NULL},
	{"late", PGW_FAULT_LATE, NUMBER_MUST, NULL},
	{"reset_before", PGW_FAULT_RESET_BEFORE, NUMBER_MAY, NULL},
	{"reset_after", PGW_FAULT_RESET_AFTER, NUMBER_NO, NULL},
	{"close_headers", PGW_FAULT_CLOSE_HEADERS, NUMBER_NO, NULL},
	{"truncated", PGW_FAULT_TRUNCATED, NUMBER_NO, NULL},
	{"huge", PGW_FAULT_HUGE, NUMBER_NO, NULL},
	{"not_json", PGW_FAULT_NOT_JSON, NUMBER_NO, NULL},
	{"empty", PGW_FAULT_EMPTY, NUMBER_NO, NULL},
	{"wrong_amount", PGW_FAULT_WRONG_AMOUNT, NUMBER_NO, NULL},
	{"wrong_currency", PGW_FAULT_WRONG_CURRENCY, NUMBER_NO, NULL},
	{"other_answer", PGW_FAULT_OTHER_ANSWER, NUMBER_NO, NULL},
	{"no_ids", PGW_FAULT_NO_IDS, NUMBER_NO, NULL},
	{"double_keys", PGW_FAULT_DOUBLE_KEYS, NUMBER_NO, NULL},
	{"429", PGW_FAULT_429, NUMBER_MAY, NULL},
	{"503", PGW_FAULT_503, NUMBER_MAY, NULL},
	{"charge_pending_done", PGW_FAULT_CHARGE_PENDING_DONE, NUMBER_MUST, NULL},
	{"charge_pending_fail", PGW_FAULT_CHARGE_PENDING_FAIL, NUMBER_MUST, NULL},
	{"refund_pending_done", PGW_FAULT_REFUND_PENDING_DONE, NUMBER_MUST, NULL},
	{"refund_pending_fail", PGW_FAULT_REFUND_PENDING_FAIL, NUMBER_MUST, NULL},
	{"refund_fail", PGW_FAULT_REFUND_FAIL, NUMBER_MAY, NULL},
	{"refund_timeout_after", PGW_FAULT_REFUND_TIMEOUT_AFTER, NUMBER_NO, NULL},
	{"refund_later_reversed", PGW_FAULT_REFUND_LATER_REVERSED, NUMBER_MUST, NULL},
	{"capture_fail", PGW_FAULT_CAPTURE_FAIL, NUMBER_NO, NULL},
	{"capture_timeout_after", PGW_FAULT_CAPTURE_TIMEOUT_AFTER, NUMBER_NO, NULL},
	{"void_fail", PGW_FAULT_VOID_FAIL, NUMBER_NO, NULL},
	{"void_timeout_after", PGW_FAULT_VOID_TIMEOUT_AFTER, NUMBER_NO, NULL},
	{"auth_expires", PGW_FAULT_AUTH_EXPIRES, NUMBER_MUST, NULL},
	{"notify_late", PGW_FAULT_NOTIFY_LATE, NUMBER_MUST, NULL},
	{"notify_twice", PGW_FAULT_NOTIFY_TWICE, NUMBER_NO, NULL},
	{"notify_out_of_order", PGW_FAULT_NOTIFY_OUT_OF_ORDER, NUMBER_MUST, NULL},
	{"notify_before", PGW_FAULT_NOTIFY_BEFORE, NUMBER_MUST, NULL},
	{"notify_wrong_amount", PGW_FAULT_NOTIFY_WRONG_AMOUNT, NUMBER_NO, NULL},
	{"notify_forged", PGW_FAULT_NOTIFY_FORGED, NUMBER_NO, NULL},
	{"notify_other_mode", PGW_FAULT_NOTIFY_OTHER_MODE, NUMBER_NO, NULL},
	{"notify_success_after_failure", PGW_FAULT_NOTIFY_SUCCESS_AFTER_FAILURE, NUMBER_NO, NULL}};

static const struct
{
	const char *groups;
	const char *token;
} cards[] = {{"4242 4242 4242 4242", "tok_ok"},
			 {"4111 1111 1111 1111", "tok_ok"},
			 {"5555 5555 5555 4444", "tok_ok"},
			 {"3782 822463 10005", "tok_ok"},
			 {"4000 0000 0000 0002", "tok_decline_do_not_honor"},
			 {"4000 0000 0000 9995", "tok_decline_insufficient_funds"},
			 {"4000 0000 0000 0069", "tok_decline_expired_card"},
			 {"4000 0000 0000 9987", "tok_decline_lost_card"},
			 {"4100 0000 0000 0019", "tok_decline_fraud"},
			 {"4000 0025 0000 3155", "tok_auth_required"},
			 {"4000 0000 0000 0119", "tok_500_before"},
			 {"4000 0000 0000 0259", "tok_500_after"},
			 {"4000 0000 0000 0341", "tok_timeout_after"},
			 {"4000 0000 0000 0077", "tok_timeout_before"},
			 {"4000 0000 0000 0101", "tok_reset_after"},
			 {"4000 0000 0000 0127", "tok_503"}};

/* the last two digits of the reserved amounts, 99,900.00 to 99,900.99 */
static const struct
{
	int cents;
	const char *token;
} amounts[] = {{1, "tok_decline_insufficient_funds"},
			   {2, "tok_decline_do_not_honor"},
			   {3, "tok_decline_lost_card"},
			   {4, "tok_decline_expired_card"},
			   {5, "tok_decline_fraud"},
			   {6, "tok_auth_required"},
			   {10, "tok_500_before"},
			   {11, "tok_500_after"},
			   {12, "tok_timeout_before"},
			   {13, "tok_timeout_after"},
			   {14, "tok_reset_before"},
			   {15, "tok_reset_after"},
			   {16, "tok_close_headers"},
			   {17, "tok_truncated"},
			   {18, "tok_huge"},
			   {19, "tok_not_json"},
			   {20, "tok_empty"},
			   {21, "tok_wrong_amount"},
			   {22, "tok_wrong_currency"},
			   {23, "tok_429"},
			   {24, "tok_503"},
			   {30, "tok_slow_500"},
			   {31, "tok_charge_pending_done_500"},
			   {32, "tok_charge_pending_fail_500"},
			   {40, "tok_refund_fail"},
			   {41, "tok_refund_pending_done_500"},
			   {42, "tok_refund_pending_fail_500"},
			   {43, "tok_refund_timeout_after"},
			   {44, "tok_capture_fail"},
			   {45, "tok_void_fail"},
			   {46, "tok_auth_expires_500"}};

static bool
has_number(const char *rest, long *number)
{
	char *end;

	if (rest[0] != '_' || !isdigit((unsigned char) rest[1]) || strlen(rest) > 9)
		return false;
	*number = strtol(rest + 1, &end, 10);
	return *end == '\0';
}

bool
pgw_fault_by_name(const char *name, PgwFault *fault)
{
	for (int i = 0; i < COUNT(names); i++)
	{
		size_t len = strlen(names[i].name);
		long number = -1;

		if (strncmp(name, names[i].name, len) != 0)
			continue;
		if (name[len] == '\0' ? names[i].number == NUMBER_MUST
							  : names[i].number == NUMBER_NO || !has_number(name + len, &number))
			continue;
		fault->kind = names[i].kind;
		fault->arg = number;
		fault->code = names[i].code;
		return true;
	}
	return false;
}

bool
pgw_fault_by_token(const char *token, PgwFault *fault)
{
	return strncmp(token, "tok_", 4) == 0 && pgw_fault_by_name(token + 4, fault);
}

static bool
same_digits(const char *groups, const char *digits)
{
	for (; *groups != '\0'; groups++)
	{
		if (*groups != ' ' && *groups != *digits++)
			return false;
	}
	return *digits == '\0';
}

const char *
pgw_token_of_card(const char *digits)
{
	for (int i = 0; i < COUNT(cards); i++)
	{
		if (same_digits(cards[i].groups, digits))
			return cards[i].token;
	}
	return NULL;
}

const char *
pgw_token_of_amount(int64_t amount)
{
	for (int i = 0; i < COUNT(amounts); i++)
	{
		if (amount == RESERVED_AMOUNT + amounts[i].cents)
			return amounts[i].token;
	}
	return NULL;
}

bool
pgw_fault_is_before(PgwFaultKind kind)
{
	return kind == PGW_FAULT_500_BEFORE || kind == PGW_FAULT_TIMEOUT_BEFORE ||
		   kind == PGW_FAULT_RESET_BEFORE || kind == PGW_FAULT_429 || kind == PGW_FAULT_503;
}

const char *
pgw_fault_name(int i)
{
	return i < COUNT(names) ? names[i].name : NULL;
}
