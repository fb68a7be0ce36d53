/*
 * bank_trial.h - pgw.try_bank(): a backend asks the worker to call a bank for nothing but its
 * answer
 */
#ifndef PGW_EXCHANGE_BANK_TRIAL_H
#define PGW_EXCHANGE_BANK_TRIAL_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* What came of the call.  Nothing of an answer's text, but the name of a certificate. */
typedef struct PgwTrialReport
{
	char error_code[64]; /* it was not made: one of core/base/error_codes.h; else empty */
	char detail[256];    /* with it */
	char operation[32];
	int transport;    /* PgwTransport */
	char trouble[64]; /* of the transport; empty: none */
	int http_status;
	int outcome; /* PgwOutcome */
	bool key_refused;
	bool other_mode;
	int64 took_ms;
	char date[40];           /* the header, empty: none */
	int64 answered_at_s;     /* by our clock, since 1970 */
	char certificates[1536]; /* JSON: an array of objects; empty: none were shown */
} PgwTrialReport;

/* The backend: 0 when all places are taken, or nothing is preloaded. */
extern uint64 pgw_trial_ask(const char *bank);

/* The report, and the place is free; false: not yet. */
extern bool pgw_trial_fetch(uint64 ticket, PgwTrialReport *report);
extern void pgw_trial_forget(uint64 ticket); /* whoever asked does not wait any more */

/*
 * The worker, which has read the configuration of this generation: the oldest trial of this
 * database that nobody has taken, and that was asked for by no newer one; 0: none.
 */
extern uint64 pgw_trial_take(uint64 generation, char bank[64]);
extern bool pgw_trial_waits(void); /* cheap */
extern void pgw_trial_report(uint64 ticket, const PgwTrialReport *report);

/* _PG_init */
extern void pgw_trial_init(void);

#endif
