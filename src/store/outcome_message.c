/*
 * outcome_message.c - what the message to listeners of pgw_payments says: what became of a
 * payment or operation
 *
 * Owns: the form of the payload.  How it is sent, so that it never stops what it tells of, is
 * notify.c's.
 */
#include "postgres.h"

#include "base/json_writer.h"
#include "core/base/uuid7.h"
#include "database/notify.h"
#include "store/outcome_message.h"
#include "store/tables.h"

/*
 * Every role of the database can listen, whatever it may read: so nobody's id, merchant or bank is
 * in it.  Who may look finds the rest with get_payment().
 */
void
pgw_store_notify(const pg_uuid_t *payment_id, PgwKind kind, const char *outcome)
{
	char id[37];
	PgwJsonWriter w;

	pgw_uuid_to_text(payment_id->data, id);
	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, "payment_id", id);
	pgw_json_put_string(&w, "kind", pgw_kind_name(kind));
	pgw_json_put_string(&w, "outcome", outcome);
	pgw_json_end_object(&w);
	pgw_notify("pgw_payments", w.text.data);
	pfree(w.text.data);
}

void
pgw_store_notify_payment(const PgwPayment *p)
{
	if (p->status != PGW_PAY_PENDING)
		pgw_store_notify(&p->payment_id, PGW_KIND_PAYMENT, pgw_payment_status_name(p->status));
}
