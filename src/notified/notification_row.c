/*
 * notification_row.c - the row of a notification that is taken
 *
 * Written by the endpoint's transaction (client_api/receive_notification.c), and by the worker of
 * what the bank has confirmed (unconfirmed.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "core/base/mutant.h"
#include "notified/notification_row.h"
#include "notified/unknown_payment.h"
#include "store/told_disputes.h"

static Datum
text_or_null(const char *text, char *isnull)
{
	*isnull = text[0] == '\0' ? 'n' : ' ';
	return text[0] == '\0' ? (Datum) 0 : CStringGetTextDatum(text);
}

/* One that does not name its dispute cannot be told from another: a person has to look. */
static const char *
becomes_of_dispute(const PgwNotificationRow *r)
{
	if (!r->match->dispute)
		return "";
	return r->said->dispute.id[0] != '\0' ? "waiting" : "unclear";
}

bool
pgw_notification_insert(const PgwNotificationRow *r)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {UUIDOID, TEXTOID, BOOLOID,        TEXTOID,        TEXTOID, TEXTOID,
				   TEXTOID, TEXTOID, TEXTOID,        TEXTOID,        UUIDOID, TEXTOID,
				   INT8OID, TEXTOID, TIMESTAMPTZOID, UUIDOID,        TEXTOID, TEXTOID,
				   TEXTOID, TEXTOID, TEXTOID,        TEXTOID,        INT4OID, TIMESTAMPTZOID,
				   TEXTOID, TEXTOID, TEXTOID,        TIMESTAMPTZOID, TEXTOID};
	/* it is matched later, with what it says; one that names nothing never could be */
	bool waits = !r->match->has_payment && r->ask_at == 0 &&
				 (r->said->reference[0] != '\0' || r->said->bank_reference[0] != '\0' ||
				  (r->match->dispute && r->said->dispute.id[0] != '\0'));
	/* without a payment only that it cannot be read is known */
	const char *amounts = pgw_said_amount_name(
		waits && r->said->amount_unreadable ? PGW_SAID_UNREADABLE : r->match->amounts);
	Datum values[lengthof(types)];
	char nulls[] = "                             "; /* one for each */
	bool is_word =
		r->match->request_key != NULL || r->match->told || (waits && r->said->is_evidence);
	const char *request_key = r->match->request_key != NULL ? r->match->request_key : "";
	bool inserted;

	values[0] = UUIDPGetDatum(&r->notification_id);
	values[1] = CStringGetTextDatum(r->bank->name);
	values[2] = BoolGetDatum(r->bank->livemode);
	values[3] = text_or_null(r->said->identity, &nulls[3]);
	values[4] = CStringGetTextDatum(r->said->digest);
	values[5] = text_or_null(r->said->event_id, &nulls[5]);
	values[6] = text_or_null(r->said->type, &nulls[6]);
	values[7] = text_or_null(r->said->time, &nulls[7]);
	values[8] = text_or_null(r->said->bank_reference, &nulls[8]);
	values[9] = text_or_null(r->said->reference, &nulls[9]);
	values[10] = UUIDPGetDatum(&r->match->payment_id);
	nulls[10] = r->match->has_payment ? ' ' : 'n';
	values[11] = CStringGetTextDatum(r->match->outcome);
	values[12] = Int64GetDatum(r->said->amount);
	nulls[12] = r->said->has_amount ? ' ' : 'n';
	values[13] = text_or_null(r->said->currency, &nulls[13]);
	values[14] = TimestampTzGetDatum(r->received_at);
	values[15] = UUIDPGetDatum(&r->match->transaction_id);
	nulls[15] = r->match->has_payment ? ' ' : 'n';
	values[16] = text_or_null(amounts != NULL ? amounts : "", &nulls[16]);
	values[17] = text_or_null(is_word ? pgw_op_name(r->said->about) : "", &nulls[17]);
	values[18] = text_or_null(is_word ? pgw_outcome_name(r->said->says) : "", &nulls[18]);
	values[19] = text_or_null(request_key, &nulls[19]);
	values[20] = text_or_null(request_key[0] != '\0' ? "waiting" : "", &nulls[20]);
	values[21] = text_or_null(r->match->change ? "waiting" : "", &nulls[21]);
	values[22] = Int32GetDatum((int32) r->said->changes);
	nulls[22] = waits && r->said->changes != 0 ? ' ' : 'n';
	values[23] = TimestampTzGetDatum(pgw_unknown_payment_first(pgw_now()));
	nulls[23] = waits && !PGW_MUTATED(UNKNOWN_FORGOTTEN) ? ' ' : 'n';
	values[24] = text_or_null(becomes_of_dispute(r), &nulls[24]);
	values[25] = text_or_null(
		r->match->dispute ? pgw_store_said_dispute_text(&r->said->dispute) : "", &nulls[25]);
	values[26] =
		text_or_null(r->proof != PGW_PROVED_BY_NOTHING ? pgw_proof_name(r->proof) : "", &nulls[26]);
	values[27] = TimestampTzGetDatum(r->ask_at);
	nulls[27] = r->ask_at != 0 ? ' ' : 'n';
	values[28] = text_or_null(is_word ? r->said->operation_reference : "", &nulls[28]);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		/* with the search_path of pgw.receive_notification(): an endpoint's is whatever it likes */
		plan = SPI_prepare(
			"INSERT INTO pgw.notifications (notification_id, bank, livemode, identity, digest,"
			" event_id, event_type, bank_time, bank_reference, reference, payment_id, outcome,"
			" amount, currency, received_at, transaction_id, amounts, about, says, request_key,"
			" evidence, change, may_change, next_match_at, dispute, dispute_says, proof, next_ask_at,"
			" operation_reference)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
			" $18, $19, $20, $21, $22, $23, $24, $25, $26::pg_catalog.jsonb, $27, $28, $29)"
			" ON CONFLICT ON CONSTRAINT notifications_once DO NOTHING",
			lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the INSERT of a notification");
	}
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not record a notification");
	inserted = SPI_processed == 1;
	SPI_finish();

	/*
	 * The bank is answered after COMMIT and does not send it again: a crash must not forget what
	 * it was told we have, whatever the session has in synchronous_commit.
	 */
	if (inserted && !PGW_MUTATED(NOTIFICATION_UNFLUSHED))
		ForceSyncCommit();
	return inserted;
}
