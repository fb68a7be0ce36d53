/*
 * validate_internal.h - what the checks of single arguments share; for validate.c,
 * validate_card.c, validate_customer.c and validate_trace.c alone
 */
#ifndef PGW_CORE_REQUEST_VALIDATE_INTERNAL_H
#define PGW_CORE_REQUEST_VALIDATE_INTERNAL_H

#include "core/card/card_text.h"
#include "core/json/json_read.h"
#include "core/request/not_a_card.h"
#include "core/request/validate.h"

typedef struct PgwChecker
{
	const PgwPaymentArgs *args;
	PgwBuf *faults;
	int count;        /* faults so far */
	PgwSought sought; /* what no field that is kept may hold */
	/* what of it the caller may say, and says, is no card */
	PgwStateable stateable;
	bool forbidden;
	PgwStated stated;
	PgwStatedFault statement_fault;
} PgwChecker;

extern void pgw_check_fault(PgwChecker *c, const char *field, const char *code,
							const char *message);

/* Is there what must stay secret in it? */
extern bool pgw_check_has_card(const PgwChecker *c, const char *text);

/* A bounded text that is kept or logged: max counts bytes or characters. */
extern void pgw_check_text(PgwChecker *c, const char *field, PgwTextKind kind, const char *value,
						   size_t max, bool bytes, bool required, const char *too_long);

/* validate_card.c */
extern void pgw_check_token(PgwChecker *c);
extern void pgw_check_card(PgwChecker *c, int64_t now, PgwCheckedArgs *out);

/* validate_customer.c: options.customer, as it stands in the text of the options */
extern void pgw_check_customer(PgwChecker *c, const PgwJson *value, PgwCheckedArgs *out);

/* validate_trace.c: a member of the options, if it is of the trace; and then all of it together */
extern bool pgw_check_trace_option(PgwChecker *c, const char *name, const PgwJson *value,
								   PgwTrace *trace);
extern void pgw_check_trace(PgwChecker *c, const char *bank_fields, const PgwTrace *trace);

#endif
