/*
 * reported_by_bank.h - what a bank shows of a charge that pgw has not made: captures, refunds and
 * voids of the bank's own pages, or of its own accord
 *
 * Pure: the payments row is locked, and written, by others (attempt/made_at_bank.c).
 */
#ifndef PGW_CORE_PAYMENT_REPORTED_BY_BANK_H
#define PGW_CORE_PAYMENT_REPORTED_BY_BANK_H

#include "core/bank_message/judge_answer.h"
#include "core/connector/connector.h"
#include "core/payment/payment_amounts.h"

typedef struct PgwReportInput
{
	const PgwPaymentAmounts *s; /* as they stand under the payments row's lock */
	const char *currency;
	const PgwAnswer *answer; /* a look-up of the charge */
	/*
	 * whatever pgw knows of was done so long before the look-up was made that it shows all of it:
	 * else what it lacks says nothing
	 */
	bool shows_all;
} PgwReportInput;

/* What has to be recorded beside what pgw knows, in minor units. */
typedef struct PgwReport
{
	bool told; /* the answer says how the charge stands; else the rest is nothing */
	int64_t captured;
	int64_t refunded;
	int64_t taken_back; /* of refunds that pgw has not made: the bank shows them no more */
	bool voided;
	/* for people: it shows less than pgw itself has done, another currency, or what cannot be */
	bool unexplained;
	/* ask again: an operation of pgw's is open, which may be what the bank shows; or it lags behind
	 */
	bool again;
} PgwReport;

extern void pgw_report_read(const PgwReportInput *in, PgwReport *out);

/*
 * May a notification that tells of such changes (PGW_CHANGE_...) tell of one that a payment with
 * this status does not have yet?
 */
extern bool pgw_report_change_matters(unsigned changes, PgwPaymentStatus status);

/* May anything that a look-up shows be recorded of a payment with this status? */
extern bool pgw_report_may_matter(PgwPaymentStatus status);

/* Whose the bank's id of an operation is. */
typedef enum PgwToldOwner
{
	PGW_TOLD_NOBODYS = 0,
	PGW_TOLD_OURS,       /* pgw has made it for this payment */
	PGW_TOLD_BANKS,      /* it was recorded as made at the bank */
	PGW_TOLD_ELSEWHERES, /* another payment's */
} PgwToldOwner;

/* What a bank that can be asked nothing tells of one operation that no request of pgw's made. */
typedef struct PgwToldInput
{
	const PgwPaymentAmounts *s; /* as they stand under the payments row's lock */
	const char *currency;
	PgwBankOp about; /* capture, void, refund */
	bool done;       /* else it has failed */
	bool failed_too; /* and has been told to have failed */
	bool lacks_id;   /* nothing would tell it from another one */
	bool of_other_charge;
	PgwToldOwner owner;
	bool owner_done; /* else open, or failed */
	bool owner_failed;
	bool differs; /* the owner's is of another amount or currency */
	/* pgw's own of that kind without a known id: one is open; one of this amount is done */
	bool own_unnamed_open;
	bool own_unnamed_done;
	bool has_amount;
	int64_t amount;
	const char *said_currency; /* NULL: none */
} PgwToldInput;

typedef enum PgwToldStep
{
	PGW_TOLD_SEEN = 0, /* nothing new */
	PGW_TOLD_RECORD,
	PGW_TOLD_TAKE_BACK, /* the refund that was recorded has failed */
	PGW_TOLD_WAITS,     /* for what pgw has open */
	PGW_TOLD_UNCLEAR    /* for people */
} PgwToldStep;

extern PgwToldStep pgw_report_told(const PgwToldInput *in);

#endif
