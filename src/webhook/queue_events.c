/*
 * queue_events.c - what has happened since the last look becomes rows of pgw.webhook_queue
 *
 * Owns nothing.  Events are read as by anybody who consumes them (event_stream/), by the consumer
 * "pgw.webhooks": none is skipped, however late its transaction commits.  That the messages are
 * there and that the consumer is done with their events is one commit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "database/statements.h"
#include "webhook/queue_events.h"

void
pgw_webhooks_keep_consumer(void)
{
	pgw_statements_begin();
	if (SPI_execute("SELECT pgw.webhook_consumer()", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "the consumer of events could not be looked at");
	pgw_statements_end();
}

int
pgw_webhooks_queue_events(int most)
{
	Oid types[] = {INT4OID};
	Datum args[] = {Int32GetDatum(most)};
	bool isnull;
	int n;

	pgw_statements_begin();
	if (SPI_execute_with_args("SELECT pgw.queue_webhooks($1)", 1, types, args, NULL, false, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "the events could not be read");
	n = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	pgw_statements_end();
	return n;
}
