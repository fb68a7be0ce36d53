/*
 * metrics.h - what pgw counts, per database, in shared memory since the server's start
 *
 * Writers: the store tells of every change of an attempt, call.c of every bank call that is
 * over, scan_turns.c of its scans.  Changes are counted when their transaction commits; bank calls
 * at once, because they have happened.  Without shared memory (not preloaded) nothing is counted.
 */
#ifndef PGW_OBSERVE_METRICS_H
#define PGW_OBSERVE_METRICS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "portability/instr_time.h"

#include "core/connector/bank_op.h"
#include "core/notification/notification_verdict.h"

/*
 * How long an attempt may be Refunding before health() and the scan take it for stuck, in seconds.
 */
extern int pgw_refund_stuck_after;

extern void pgw_metrics_init(void); /* _PG_init: settings, shared memory, hook */

/* What a call says of the bank itself. */
typedef enum PgwBankHealth
{
	PGW_BANK_HEALTHY = 0, /* it does its work, whatever it said */
	PGW_BANK_FAILING,
	PGW_BANK_HEALTH_UNKNOWN
} PgwBankHealth;

/*
 * A bank call is over.  livemode: of the bank, here and below.  outcome counts with
 * PGW_TRANSPORT_ANSWERED only.
 */
extern void pgw_metrics_bank_call(const char *bank, bool livemode, PgwBankOp op,
								  PgwTransport transport, PgwOutcome outcome, PgwBankHealth health,
								  const instr_time *began);

/*
 * What is known of the bank's key: a file that cannot be used (PgwSecretFault); renewed: another
 * one was read.
 */
extern void pgw_metrics_bank_secret(const char *bank, bool livemode, int fault, bool renewed);
extern void pgw_metrics_bank_credentials_rejected(const char *bank, bool livemode);

/* By an answer's Date the bank's clock is ahead of ours by so much for sure; negative: behind. */
extern void pgw_metrics_bank_clock(const char *bank, bool livemode, int64 ahead_s);

/* A notification of the bank's has come, and this became of it. */
extern void pgw_metrics_notification(const char *bank, bool livemode,
									 PgwNotificationVerdict verdict);
/* Each bank of which notifications could not be verified, and how many so far; "others". */
extern void pgw_metrics_each_refused(void (*found)(const char *bank, uint64 n, void *arg),
									 void *arg);

/* --- reading --- */

/* One call per figure that is not a table's: labels is a JSON object. */
typedef void (*PgwMetricPut)(void *arg, const char *name, const char *labels, double value);
extern void pgw_metrics_each(PgwMetricPut put, void *arg);

/* What is known of a bank's calls since the server's start; false: nothing. */
typedef struct PgwBankSeen
{
	TimestampTz last_success; /* 0: never */
	TimestampTz last_failure;
	uint64 failures; /* since the last success */
	/* the bank refused our key then, and has not taken one since; 0: no */
	TimestampTz credentials_rejected;
	int secret_fault;    /* PgwSecretFault, as the worker sees it */
	bool clock_seen;     /* the bank has told the time */
	int64 clock_ahead_s; /* for sure, negative: it is behind */
} PgwBankSeen;
extern bool pgw_metrics_bank_seen(const char *bank, PgwBankSeen *out);

/* --- pgw.run_recovery(): numbers grow, so that a caller knows its own scan or a later one --- */
typedef struct PgwRecoveryFigures
{
	uint64 looked_at; /* attempts that scans found */
	uint64 resolved;  /* left BankUnknown */
	uint64 given_back;
	uint64 to_review;
	uint64 retried; /* tries put off to a later one */
	uint64 calls;   /* of banks */
} PgwRecoveryFigures;
/* 0: nothing is counted, so nothing can be waited for */
extern uint64 pgw_recovery_ask(void);
extern uint64 pgw_recovery_done(void);
extern void pgw_recovery_figures(PgwRecoveryFigures *out);

/* The worker's side. */
extern uint64 pgw_recovery_asked(void); /* before a scan: it answers all that asked until now */
extern void pgw_recovery_found(int n, bool last); /* a page of a scan, whoever wanted it */
extern void pgw_recovery_finish(uint64 asked);

#endif
