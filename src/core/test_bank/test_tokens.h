/*
 * test_tokens.h - which token, card number or amount asks a test bank for what
 *
 * One list for both test banks: the one inside the worker (core/test_bank/) and the simulator
 * (test/bank/).  docs/bank-protocol.md describes it.
 */
#ifndef PGW_CORE_TEST_BANK_TEST_TOKENS_H
#define PGW_CORE_TEST_BANK_TEST_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum PgwFaultKind
{
	PGW_FAULT_NONE,
	PGW_FAULT_DECLINE,
	PGW_FAULT_AUTH_REQUIRED,
	PGW_FAULT_500_BEFORE,
	PGW_FAULT_500_AFTER,
	PGW_FAULT_TIMEOUT_BEFORE,
	PGW_FAULT_TIMEOUT_AFTER,
	PGW_FAULT_SLOW,
	PGW_FAULT_LATE,
	PGW_FAULT_RESET_BEFORE,
	PGW_FAULT_RESET_AFTER,
	PGW_FAULT_CLOSE_HEADERS,
	PGW_FAULT_TRUNCATED,
	PGW_FAULT_HUGE,
	PGW_FAULT_NOT_JSON,
	PGW_FAULT_EMPTY,
	PGW_FAULT_WRONG_AMOUNT,
	PGW_FAULT_WRONG_CURRENCY,
	PGW_FAULT_OTHER_ANSWER,
	PGW_FAULT_NO_IDS,
	PGW_FAULT_DOUBLE_KEYS,
	PGW_FAULT_429,
	PGW_FAULT_503,
	PGW_FAULT_CHARGE_PENDING_DONE,
	PGW_FAULT_CHARGE_PENDING_FAIL,
	PGW_FAULT_REFUND_PENDING_DONE,
	PGW_FAULT_REFUND_PENDING_FAIL,
	PGW_FAULT_REFUND_FAIL,
	PGW_FAULT_REFUND_TIMEOUT_AFTER,
	PGW_FAULT_REFUND_LATER_REVERSED,
	PGW_FAULT_CAPTURE_FAIL,
	PGW_FAULT_CAPTURE_TIMEOUT_AFTER,
	PGW_FAULT_VOID_FAIL,
	PGW_FAULT_VOID_TIMEOUT_AFTER,
	PGW_FAULT_AUTH_EXPIRES,
	PGW_FAULT_NOTIFY_LATE,
	PGW_FAULT_NOTIFY_TWICE,
	PGW_FAULT_NOTIFY_OUT_OF_ORDER,
	PGW_FAULT_NOTIFY_BEFORE,
	PGW_FAULT_NOTIFY_WRONG_AMOUNT,
	PGW_FAULT_NOTIFY_FORGED,
	PGW_FAULT_NOTIFY_OTHER_MODE,
	PGW_FAULT_NOTIFY_SUCCESS_AFTER_FAILURE
} PgwFaultKind;

typedef struct PgwFault
{
	PgwFaultKind kind;
	long arg;         /* the number behind the name; -1: none */
	const char *code; /* why it is declined (constant text) */
} PgwFault;

/* With the number that may or must follow the name. */
extern bool pgw_fault_by_name(const char *name, PgwFault *fault);
extern bool pgw_fault_by_token(const char *token, PgwFault *fault);

/* The token that a card number, or a reserved amount, stands for; NULL: none. */
extern const char *pgw_token_of_card(const char *digits);
extern const char *pgw_token_of_amount(int64_t amount);

/* Does it strike before anything is done? */
extern bool pgw_fault_is_before(PgwFaultKind kind);

/* The names, one after the other; NULL: no more. */
extern const char *pgw_fault_name(int i);

#endif
