/*
 * bank_op.c - the names of operations and outcomes, as they stand in a connector and in what is
 * shown
 */
#include "core/connector/bank_op.h"

#include <string.h>

static const char *const op_names[PGW_NOPS] = {"charge",
											   "authorize",
											   "capture",
											   "void",
											   "refund",
											   "lookup_charge",
											   "lookup_refund",
											   "cancel",
											   "reverse",
											   "ping",
											   "verify_notification"};

static const char *const outcome_names[] = {"unknown",         "approved",  "declined",
											"requires_action", "pending",   "rejected",
											"not_processed",   "not_found", "accepted"};

#define NOUTCOMES ((int) (sizeof(outcome_names) / sizeof(outcome_names[0])))

const char *
pgw_op_name(PgwBankOp op)
{
	return (int) op >= 0 && op < PGW_NOPS ? op_names[op] : "?";
}

int
pgw_op_parse(const char *name)
{
	for (int i = 0; i < PGW_NOPS; i++)
	{
		if (strcmp(op_names[i], name) == 0)
			return i;
	}
	return -1;
}

bool
pgw_op_is_lookup(PgwBankOp op)
{
	return op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND;
}

bool
pgw_op_moves_money(PgwBankOp op)
{
	return op <= PGW_OP_REFUND || op == PGW_OP_CANCEL || op == PGW_OP_REVERSE;
}

const char *
pgw_outcome_name(PgwOutcome o)
{
	return (int) o >= 0 && (int) o < NOUTCOMES ? outcome_names[o] : "?";
}

const char *
pgw_key_word_name(PgwKeyWord word)
{
	switch (word)
	{
		case PGW_KEY_IN_PROGRESS:
			return "in_progress";
		case PGW_KEY_MISMATCH:
			return "key_mismatch";
		case PGW_KEY_UNSAID:
			break;
	}
	return NULL;
}

int
pgw_outcome_parse(const char *name)
{
	for (int i = 0; i < NOUTCOMES; i++)
	{
		if (strcmp(outcome_names[i], name) == 0)
			return i;
	}
	return -1;
}
