/*
 * attempt_alerts.c - what people are told of an attempt, after the commit
 *
 * What an alert says is noted while the row is at hand, and kept until the commit: what is rolled
 * back is not told.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/attempt_alerts.h"
#include "base/clock.h"
#include "core/base/uuid7.h"
#include "observe/alerts.h"

#define BUSY_ALERT_MS (5 * 60 * 1000)

void
pgw_attempt_alert_note(const PgwAttempt *attempt, char *correlation, char *bank)
{
	pgw_uuid_to_text(attempt->correlation_id.data, correlation);
	strlcpy(bank, attempt->bank != NULL ? attempt->bank : "", NAMEDATALEN);
}

/* After the commit: a person is needed, or one more has failed. */
void
pgw_attempt_alert(const pg_uuid_t *transaction_id, PgwState status, const char *correlation,
				  const char *bank)
{
	if (status == PGW_REQUIRES_MANUAL_REVIEW)
		pgw_alert("review_required", NULL, bank, transaction_id, correlation,
				  "a transaction needs manual review: see pgw.manual_reviews");
	else if (status == PGW_REFUNDING)
		pgw_alert(
			"capture_refused", NULL, bank, transaction_id, correlation,
			"the bank refused to capture what it had authorized: the payment has failed after its caller's commit");
	else
		pgw_alert_failed(bank);
}

void
pgw_attempt_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id, const char *correlation,
					   const char *bank)
{
	TimestampTz now = pgw_now();

	if (*since == 0 || *since > now)
		*since = now;
	if (now < TimestampTzPlusMilliseconds(*since, BUSY_ALERT_MS))
		return;
	pgw_alert(
		"row_busy", NULL, bank, transaction_id, correlation,
		"a transaction holds the row of a payment, whose outcome cannot be written: look for idle and prepared transactions");
}

/* Nothing is under way any more, and the amount is free again. */
void
pgw_attempt_alert_failed_later(const pg_uuid_t *transaction_id, const char *correlation,
							   const char *bank)
{
	pgw_alert(
		"accepted_failed", NULL, bank, transaction_id, correlation,
		"the bank had accepted a refund or void, and has failed it: its amount is free again, and nothing follows by itself");
}

/* What the bank shows, for a message. */
static void
put_shown(const PgwAnswer *shown, const char *what, char *message, size_t size)
{
	char captured[32] = "not said";
	char refunded[32] = "not said";

	if (shown->captured >= 0)
		snprintf(captured, sizeof(captured), INT64_FORMAT, shown->captured);
	if (shown->refunded >= 0 || shown->has_amount)
		snprintf(refunded, sizeof(refunded), INT64_FORMAT,
				 shown->refunded >= 0 ? shown->refunded : shown->amount);
	snprintf(message, size, "%s: captured %s, given back %s", what, captured, refunded);
}

/* Somebody gave back, or captured, at the bank itself; or the bank did what nobody asked for. */
void
pgw_attempt_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
						  const char *correlation, const char *bank)
{
	char message[256];

	put_shown(shown, "the bank shows more than pgw has asked for", message, sizeof(message));
	pgw_alert("bank_shows_more", NULL, bank, transaction_id, correlation, message);
}

void
pgw_attempt_alert_made_at_bank(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
							   bool unexplained, const char *correlation, const char *bank)
{
	char message[256];

	if (unexplained)
	{
		put_shown(shown, "the bank shows less than pgw has done there, or another currency",
				  message, sizeof(message));
		pgw_alert("bank_shows_less", NULL, bank, transaction_id, correlation, message);
		return;
	}
	put_shown(shown, "something was done at the bank without pgw, and is recorded", message,
			  sizeof(message));
	pgw_alert("made_at_bank", NULL, bank, transaction_id, correlation, message);
}

void
pgw_attempt_alert_told_at_bank(const pg_uuid_t *transaction_id, const char *correlation,
							   const char *bank)
{
	pgw_alert("made_at_bank", NULL, bank, transaction_id, correlation,
			  "the bank tells of something that was done there without pgw, and it is recorded");
}

/* The database does not take what is to be written: a trigger that raises, a full disk. */
void
pgw_attempt_alert_failing(const pg_uuid_t *transaction_id, const char *correlation,
						  const char *bank)
{
	pgw_alert("work_failing", NULL, bank, transaction_id, correlation,
			  "work on a transaction fails again and again: see the server's log");
}

void
pgw_attempt_alert_contradicted(const pg_uuid_t *transaction_id, const char *correlation,
							   const char *bank)
{
	pgw_alert("notification_contradicts", NULL, bank, transaction_id, correlation,
			  "the bank has said something else of an operation than how that has ended");
}

void
pgw_attempt_alert_dispute(const char *kind, const pg_uuid_t *transaction_id,
						  const char *correlation, const char *bank)
{
	const char *message =
		"the charge is disputed, or money was taken or given back by a dispute: see pgw.audit_disputes";

	if (strcmp(kind, "dispute_closed") == 0)
		message = "a dispute of the charge is over: pgw.audit_disputes says how";
	else if (strcmp(kind, "dispute_unclear") == 0)
		message =
			"a dispute has moved money, and the bank does not say how much of the payment's currency: disputed_amount lacks it";
	pgw_alert(kind, NULL, bank, transaction_id, correlation, message);
}

void
pgw_attempt_alert_unwatched(const pg_uuid_t *transaction_id, const char *correlation,
							const char *bank)
{
	pgw_alert(
		"watch_ended", NULL, bank, transaction_id, correlation,
		"what the bank did later with a transaction that had ended could not be looked at to the end of its time");
}
