/*
 * state_machine.c - the table of legal edges, and the names of states, events and kinds
 *
 * Owns the one table that says which event may move an attempt from which state to which.
 * docs/state-machine.md shows the same rows; a unit test compares the two, and another compares the
 * table with an independent transcription.
 *
 * Invariants: no row stands twice; an attempt enters by None -> Created only; the final states
 * (Completed, Failed, Refunded) are left only because the bank later shows or does something else;
 * Refunding and Refunded (giving back what a lost caller was charged) are for payments only, as
 * captures, voids and refunds are not undone but reviewed.
 */
#include "core/state/state_machine.h"

#include <string.h>

#define PAYMENT PGW_KIND_BIT(PGW_KIND_PAYMENT)
#define CAPTURE PGW_KIND_BIT(PGW_KIND_CAPTURE)
#define VOID PGW_KIND_BIT(PGW_KIND_VOID)
#define REFUND PGW_KIND_BIT(PGW_KIND_REFUND)
#define ANY (PAYMENT | CAPTURE | VOID | REFUND)

static const PgwEdge edges[] = {
	/* Accepted. */
	{PGW_STATE_NONE, PGW_CREATED, PGW_EV_TRANSACTION_STARTED, ANY},

	/*
	 * The intent is durable, the bank is about to be called; or provably not sent, and tried again
	 * or elsewhere.
	 */
	{PGW_CREATED, PGW_CREATED, PGW_EV_BANK_PROCESSING_STARTED, ANY},
	{PGW_CREATED, PGW_CREATED, PGW_EV_BANK_RETRY_SCHEDULED, ANY},
	/*
	 * Only a charge can go to another bank; the other kinds belong to the bank that has the charge.
	 */
	{PGW_CREATED, PGW_CREATED, PGW_EV_BANK_SWITCHED, PAYMENT},

	/* The bank said yes. */
	{PGW_CREATED, PGW_BANK_APPROVED, PGW_EV_BANK_PROCESSING_COMPLETED, ANY},
	{PGW_BANK_UNKNOWN, PGW_BANK_APPROVED, PGW_EV_BANK_PROCESSING_COMPLETED, ANY},

	/* The bank said no, or provably never got it. */
	{PGW_CREATED, PGW_FAILED, PGW_EV_BANK_PROCESSING_FAILED, ANY},
	{PGW_CREATED, PGW_FAILED, PGW_EV_TRANSACTION_FAILED, ANY},
	{PGW_BANK_UNKNOWN, PGW_FAILED, PGW_EV_BANK_PROCESSING_FAILED, ANY},
	{PGW_BANK_UNKNOWN, PGW_FAILED, PGW_EV_TRANSACTION_FAILED, ANY},

	/*
	 * It may have reached the bank and there is no trusted or final answer; looked, still not
	 * known.
	 */
	{PGW_CREATED, PGW_BANK_UNKNOWN, PGW_EV_BANK_OUTCOME_UNKNOWN, ANY},
	{PGW_CREATED, PGW_BANK_UNKNOWN, PGW_EV_BANK_PROCESSING_PENDING, ANY},
	{PGW_BANK_UNKNOWN, PGW_BANK_UNKNOWN, PGW_EV_BANK_STATUS_CHECKED, ANY},

	/* Approved, but another amount or currency than asked for. */
	{PGW_CREATED, PGW_REFUNDING, PGW_EV_BANK_OUTCOME_UNACCEPTABLE, PAYMENT},
	{PGW_CREATED, PGW_REFUNDING, PGW_EV_COMPENSATION_STARTED, PAYMENT},
	{PGW_CREATED, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},
	{PGW_BANK_UNKNOWN, PGW_REFUNDING, PGW_EV_BANK_OUTCOME_UNACCEPTABLE, PAYMENT},
	{PGW_BANK_UNKNOWN, PGW_REFUNDING, PGW_EV_COMPENSATION_STARTED, PAYMENT},
	{PGW_BANK_UNKNOWN, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},

	/* A retry takes over from a caller that is gone. */
	{PGW_CREATED, PGW_CREATED, PGW_EV_TRANSACTION_ADOPTED, ANY},
	{PGW_BANK_UNKNOWN, PGW_BANK_UNKNOWN, PGW_EV_TRANSACTION_ADOPTED, ANY},
	{PGW_BANK_APPROVED, PGW_BANK_APPROVED, PGW_EV_TRANSACTION_ADOPTED, ANY},

	/*
	 * Into manual review: there is no way (left) to find out the outcome, or the result cannot be
	 * saved.
	 */
	{PGW_CREATED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, ANY},
	{PGW_BANK_UNKNOWN, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, ANY},
	{PGW_BANK_APPROVED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, ANY},

	/* The business row takes the result; in two steps, or both in one commit. */
	{PGW_BANK_APPROVED, PGW_BANK_APPROVED, PGW_EV_PAYMENT_DATA_SAVE_STARTED, ANY},
	{PGW_BANK_APPROVED, PGW_SAVED, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, ANY},
	{PGW_SAVED, PGW_COMPLETED, PGW_EV_TRANSACTION_COMPLETED, ANY},
	{PGW_BANK_APPROVED, PGW_COMPLETED, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, ANY},
	{PGW_BANK_APPROVED, PGW_COMPLETED, PGW_EV_TRANSACTION_COMPLETED, ANY},

	/*
	 * The bank has taken the order, and may still fail it: Saved until it says which.  A refund or
	 * void that fails leaves everything as it was; a capture is for a person, as goods may have
	 * gone out for it.
	 */
	{PGW_SAVED, PGW_SAVED, PGW_EV_BANK_ACCEPTED, ANY},
	{PGW_SAVED, PGW_FAILED, PGW_EV_BANK_PROCESSING_FAILED, VOID | REFUND},
	{PGW_SAVED, PGW_FAILED, PGW_EV_TRANSACTION_FAILED, VOID | REFUND},
	{PGW_SAVED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_CAPTURE_REVERSED, PAYMENT | CAPTURE},

	/* capture => 'on_commit': the capture is part of the payment's own attempt. */
	{PGW_SAVED, PGW_SAVED, PGW_EV_CAPTURE_STARTED, PAYMENT},
	{PGW_SAVED, PGW_SAVED, PGW_EV_CAPTURE_FAILED, PAYMENT},
	{PGW_SAVED, PGW_SAVED, PGW_EV_CAPTURE_RETRY_SCHEDULED, PAYMENT},
	{PGW_SAVED, PGW_COMPLETED, PGW_EV_CAPTURE_COMPLETED, PAYMENT},

	/* That capture is finally refused: the authorization is voided. */
	{PGW_SAVED, PGW_REFUNDING, PGW_EV_COMPENSATION_STARTED, PAYMENT},
	{PGW_SAVED, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},

	/* The caller rolled back, or the save failed. */
	{PGW_BANK_APPROVED, PGW_REFUNDING, PGW_EV_PAYMENT_DATA_SAVE_FAILED, PAYMENT},
	{PGW_BANK_APPROVED, PGW_REFUNDING, PGW_EV_COMPENSATION_STARTED, PAYMENT},
	{PGW_BANK_APPROVED, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},

	/* Giving back: an attempt failed, is pending, is in doubt, is tried again; done. */
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_REFUND_FAILED, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_REFUND_PENDING, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_BANK_ACCEPTED, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_REFUND_OUTCOME_UNKNOWN, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_REFUND_RETRY_SCHEDULED, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},
	{PGW_REFUNDING, PGW_REFUNDED, PGW_EV_REFUND_COMPLETED, PAYMENT},

	/* Finally refused, or the retries are used up. */
	{PGW_SAVED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, ANY},
	{PGW_REFUNDING, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, PAYMENT},

	/*
	 * The bank took a refund back later: one of ours (Refunded), or one that was asked for.  Or a
	 * capture, so that goods may have gone out for nothing.
	 */
	{PGW_REFUNDED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_REFUND_REVERSED, PAYMENT},
	{PGW_REFUNDED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, PAYMENT},
	{PGW_COMPLETED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_REFUND_REVERSED, REFUND},
	{PGW_COMPLETED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_CAPTURE_REVERSED, CAPTURE},
	{PGW_COMPLETED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, CAPTURE | REFUND},

	/*
	 * What was authorized was not captured in time: nothing is held any more, the payment's row
	 * says so.
	 */
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_AUTHORIZATION_EXPIRED, PAYMENT},

	/* The card holder disputes the charge: the payments row says what that takes. */
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_INQUIRY_OPENED, PAYMENT},
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_DISPUTE_OPENED, PAYMENT},
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_DISPUTE_WITHDRAWN, PAYMENT},
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_DISPUTE_REINSTATED, PAYMENT},
	{PGW_COMPLETED, PGW_COMPLETED, PGW_EV_DISPUTE_CLOSED, PAYMENT},

	/* The bank later shows that it did charge. */
	{PGW_FAILED, PGW_REFUNDING, PGW_EV_LATE_APPROVAL_RECEIVED, PAYMENT},
	{PGW_FAILED, PGW_REFUNDING, PGW_EV_COMPENSATION_STARTED, PAYMENT},
	{PGW_FAILED, PGW_REFUNDING, PGW_EV_REFUND_STARTED, PAYMENT},
	/*
	 * ... but not which charge, or another payment's; or it says so by itself, of whatever kind.
	 */
	{PGW_FAILED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_LATE_APPROVAL_RECEIVED, ANY},
	{PGW_FAILED, PGW_REQUIRES_MANUAL_REVIEW, PGW_EV_MANUAL_REVIEW_REQUIRED, ANY},

	/*
	 * What pgw has not made, and the bank shows; and a refund of that kind which it shows no more.
	 * Attempts of origin 'bank' alone: pgw_store_advance() and the trigger see to that.
	 */
	{PGW_CREATED, PGW_BANK_APPROVED, PGW_EV_BANK_REPORTED, CAPTURE | VOID | REFUND},
	{PGW_COMPLETED, PGW_FAILED, PGW_EV_BANK_REPORTED, REFUND},

	/* An operator's typed action, or evidence from the bank. */
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_BANK_UNKNOWN, PGW_EV_MANUAL_REVIEW_RESOLVED, ANY},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_BANK_APPROVED, PGW_EV_MANUAL_REVIEW_RESOLVED, ANY},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_SAVED, PGW_EV_MANUAL_REVIEW_RESOLVED, PAYMENT},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_REFUNDING, PGW_EV_MANUAL_REVIEW_RESOLVED, PAYMENT},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_REFUNDED, PGW_EV_MANUAL_REVIEW_RESOLVED, PAYMENT},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_COMPLETED, PGW_EV_MANUAL_REVIEW_RESOLVED, ANY},
	{PGW_REQUIRES_MANUAL_REVIEW, PGW_FAILED, PGW_EV_MANUAL_REVIEW_RESOLVED, ANY},
};

#define NEDGES (sizeof(edges) / sizeof(edges[0]))

static const char *const state_names[PGW_NSTATES] = {
	[PGW_CREATED] = "Created",
	[PGW_BANK_APPROVED] = "BankApproved",
	[PGW_SAVED] = "Saved",
	[PGW_COMPLETED] = "Completed",
	[PGW_FAILED] = "Failed",
	[PGW_REFUNDING] = "Refunding",
	[PGW_REQUIRES_MANUAL_REVIEW] = "RequiresManualReview",
	[PGW_BANK_UNKNOWN] = "BankUnknown",
	[PGW_REFUNDED] = "Refunded",
};

static const char *const event_names[PGW_NEVENTS] = {
	[PGW_EV_TRANSACTION_STARTED] = "TransactionStarted",
	[PGW_EV_BANK_PROCESSING_STARTED] = "BankProcessingStarted",
	[PGW_EV_BANK_PROCESSING_COMPLETED] = "BankProcessingCompleted",
	[PGW_EV_BANK_PROCESSING_FAILED] = "BankProcessingFailed",
	[PGW_EV_BANK_PROCESSING_PENDING] = "BankProcessingPending",
	[PGW_EV_BANK_RETRY_SCHEDULED] = "BankRetryScheduled",
	[PGW_EV_BANK_SWITCHED] = "BankSwitched",
	[PGW_EV_BANK_OUTCOME_UNKNOWN] = "BankOutcomeUnknown",
	[PGW_EV_BANK_OUTCOME_UNACCEPTABLE] = "BankOutcomeUnacceptable",
	[PGW_EV_BANK_STATUS_CHECKED] = "BankStatusChecked",
	[PGW_EV_BANK_ACCEPTED] = "BankAccepted",
	[PGW_EV_PAYMENT_DATA_SAVE_STARTED] = "PaymentDataSaveStarted",
	[PGW_EV_PAYMENT_DATA_SAVE_COMPLETED] = "PaymentDataSaveCompleted",
	[PGW_EV_PAYMENT_DATA_SAVE_FAILED] = "PaymentDataSaveFailed",
	[PGW_EV_TRANSACTION_ADOPTED] = "TransactionAdopted",
	[PGW_EV_TRANSACTION_COMPLETED] = "TransactionCompleted",
	[PGW_EV_TRANSACTION_FAILED] = "TransactionFailed",
	[PGW_EV_CAPTURE_STARTED] = "CaptureStarted",
	[PGW_EV_CAPTURE_COMPLETED] = "CaptureCompleted",
	[PGW_EV_CAPTURE_FAILED] = "CaptureFailed",
	[PGW_EV_CAPTURE_RETRY_SCHEDULED] = "CaptureRetryScheduled",
	[PGW_EV_CAPTURE_REVERSED] = "CaptureReversed",
	[PGW_EV_AUTHORIZATION_EXPIRED] = "AuthorizationExpired",
	[PGW_EV_COMPENSATION_STARTED] = "CompensationStarted",
	[PGW_EV_REFUND_STARTED] = "RefundStarted",
	[PGW_EV_REFUND_COMPLETED] = "RefundCompleted",
	[PGW_EV_REFUND_FAILED] = "RefundFailed",
	[PGW_EV_REFUND_PENDING] = "RefundPending",
	[PGW_EV_REFUND_OUTCOME_UNKNOWN] = "RefundOutcomeUnknown",
	[PGW_EV_REFUND_RETRY_SCHEDULED] = "RefundRetryScheduled",
	[PGW_EV_REFUND_REVERSED] = "RefundReversed",
	[PGW_EV_LATE_APPROVAL_RECEIVED] = "LateApprovalReceived",
	[PGW_EV_MANUAL_REVIEW_REQUIRED] = "ManualReviewRequired",
	[PGW_EV_MANUAL_REVIEW_RESOLVED] = "ManualReviewResolved",
	[PGW_EV_BANK_REPORTED] = "BankReported",
	[PGW_EV_INQUIRY_OPENED] = "InquiryOpened",
	[PGW_EV_DISPUTE_OPENED] = "DisputeOpened",
	[PGW_EV_DISPUTE_WITHDRAWN] = "DisputeWithdrawn",
	[PGW_EV_DISPUTE_REINSTATED] = "DisputeReinstated",
	[PGW_EV_DISPUTE_CLOSED] = "DisputeClosed",
};

static const char *const kind_names[PGW_NKINDS] = {
	[PGW_KIND_PAYMENT] = "payment",
	[PGW_KIND_CAPTURE] = "capture",
	[PGW_KIND_VOID] = "void",
	[PGW_KIND_REFUND] = "refund",
};

static const char *
name_of(const char *const *names, int n, int value)
{
	return value >= 0 && value < n ? names[value] : NULL;
}

static int
value_of(const char *const *names, int n, const char *name)
{
	if (name != NULL)
	{
		for (int i = 0; i < n; i++)
		{
			if (strcmp(names[i], name) == 0)
				return i;
		}
	}
	return -1;
}

const PgwEdge *
pgw_edges(size_t *n)
{
	*n = NEDGES;
	return edges;
}

bool
pgw_edge_legal(PgwKind kind, PgwState from, PgwState to)
{
	for (int e = 0; e < PGW_NEVENTS; e++)
	{
		if (pgw_event_legal(kind, from, to, (PgwEventType) e))
			return true;
	}
	return false;
}

bool
pgw_event_legal(PgwKind kind, PgwState from, PgwState to, PgwEventType event)
{
	if ((int) kind < 0 || kind >= PGW_NKINDS)
		return false;
	for (size_t i = 0; i < NEDGES; i++)
	{
		if (edges[i].from == from && edges[i].to == to && edges[i].event == event)
			return (edges[i].kinds & PGW_KIND_BIT(kind)) != 0;
	}
	return false;
}

bool
pgw_state_is_final(PgwState s)
{
	return s == PGW_COMPLETED || s == PGW_FAILED || s == PGW_REFUNDED;
}

const char *
pgw_state_name(PgwState s)
{
	return name_of(state_names, PGW_NSTATES, (int) s);
}

PgwState
pgw_state_parse(const char *name)
{
	return (PgwState) value_of(state_names, PGW_NSTATES, name);
}

const char *
pgw_event_name(PgwEventType e)
{
	return name_of(event_names, PGW_NEVENTS, (int) e);
}

int
pgw_event_parse(const char *name)
{
	return value_of(event_names, PGW_NEVENTS, name);
}

const char *
pgw_kind_name(PgwKind k)
{
	return name_of(kind_names, PGW_NKINDS, (int) k);
}

int
pgw_kind_parse(const char *name)
{
	return value_of(kind_names, PGW_NKINDS, name);
}
