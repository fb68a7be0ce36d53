/*
 * ledger_table.c - the ledger of the bank inside the worker: pgw.test_bank_ledger
 *
 * Owns: the table's rows, which only the worker of the database writes, one transaction after the
 * other, and pgw.purge_test_data() takes away.
 * Locks: RowExclusiveLock on the table, taken without waiting.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "test_bank/ledger_table.h"

#define EPOCH_US ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* The columns, in the order of the statements' parameters. */
enum
{
	ID,
	KIND,
	STATUS,
	REFERENCE,
	IDEMPOTENCY_KEY,
	FINGERPRINT,
	CHARGE_ID,
	AMOUNT,
	CURRENCY,
	CODE,
	TOKEN,
	CAPTURED,
	REFUNDED,
	VOIDED,
	REFUSALS,
	CREATED_AT,
	DECIDED_AT,
	DECIDED_AS,
	EXPIRES_AT,
	AUTHORIZATION_CODE,
	CARD_BRAND,
	CARD_LAST4,
	ANSWER_STATUS,
	ANSWER,
	NCOLUMNS
};

#define COLUMNS \
	"id, kind, status, reference, idempotency_key, fingerprint, charge_id, amount, currency, " \
	"code, token, captured, refunded, voided, refusals, created_at, decided_at, decided_as, " \
	"expires_at, authorization_code, card_brand, card_last4, answer_status, answer"

static const Oid types[NCOLUMNS] = {[ID] = TEXTOID,
									[KIND] = TEXTOID,
									[STATUS] = TEXTOID,
									[REFERENCE] = TEXTOID,
									[IDEMPOTENCY_KEY] = TEXTOID,
									[FINGERPRINT] = INT8OID,
									[CHARGE_ID] = TEXTOID,
									[AMOUNT] = INT8OID,
									[CURRENCY] = TEXTOID,
									[CODE] = TEXTOID,
									[TOKEN] = TEXTOID,
									[CAPTURED] = INT8OID,
									[REFUNDED] = INT8OID,
									[VOIDED] = BOOLOID,
									[REFUSALS] = INT4OID,
									[CREATED_AT] = TIMESTAMPTZOID,
									[DECIDED_AT] = TIMESTAMPTZOID,
									[DECIDED_AS] = TEXTOID,
									[EXPIRES_AT] = TIMESTAMPTZOID,
									[AUTHORIZATION_CODE] = TEXTOID,
									[CARD_BRAND] = TEXTOID,
									[CARD_LAST4] = TEXTOID,
									[ANSWER_STATUS] = INT4OID,
									[ANSWER] = TEXTOID};

int64
pgw_ledger_ms(TimestampTz t)
{
	return (t + EPOCH_US) / 1000;
}

static TimestampTz
from_ms(int64 ms)
{
	return ms * 1000 - EPOCH_US;
}

/* ---------------------------------------------------------------- reading */

typedef struct Row
{
	HeapTuple tuple;
	TupleDesc desc;
} Row;

static Datum
value(const Row *r, int column)
{
	bool isnull;
	Datum v = SPI_getbinval(r->tuple, r->desc, column + 1, &isnull);

	return isnull ? (Datum) 0 : v;
}

static void
copy_text(const Row *r, int column, char *dst, size_t size)
{
	char *v = SPI_getvalue(r->tuple, r->desc, column + 1);

	strlcpy(dst, v != NULL ? v : "", size);
}

static int64
number(const Row *r, int column)
{
	bool isnull;
	Datum v = SPI_getbinval(r->tuple, r->desc, column + 1, &isnull);

	return isnull ? 0 : DatumGetInt64(v);
}

static int64
time_of(const Row *r, int column)
{
	bool isnull;
	Datum v = SPI_getbinval(r->tuple, r->desc, column + 1, &isnull);

	return isnull ? 0 : pgw_ledger_ms(DatumGetTimestampTz(v));
}

static PgwTestStatus
status_of(const Row *r, int column)
{
	char name[PGW_TEST_CODE];
	PgwTestStatus status = PGW_TEST_FAILED;

	copy_text(r, column, name, sizeof(name));
	if (name[0] != '\0' && !pgw_test_status_of(name, &status))
		elog(ERROR, "pgw.test_bank_ledger has an unknown status: %s", name);
	return status;
}

static void
read_entry(PgwTestEntry *e, const Row *r, MemoryContext context)
{
	char kind[PGW_TEST_CODE];
	char *answer = SPI_getvalue(r->tuple, r->desc, ANSWER + 1);

	copy_text(r, KIND, kind, sizeof(kind));
	if (!pgw_test_kind_of(kind, &e->kind))
		elog(ERROR, "pgw.test_bank_ledger has an unknown kind: %s", kind);
	e->status = status_of(r, STATUS);
	e->decided_as = status_of(r, DECIDED_AS);
	copy_text(r, ID, e->id, sizeof(e->id));
	copy_text(r, REFERENCE, e->reference, sizeof(e->reference));
	copy_text(r, IDEMPOTENCY_KEY, e->key, sizeof(e->key));
	copy_text(r, CHARGE_ID, e->charge_id, sizeof(e->charge_id));
	copy_text(r, CURRENCY, e->currency, sizeof(e->currency));
	copy_text(r, CODE, e->code, sizeof(e->code));
	copy_text(r, TOKEN, e->fault, sizeof(e->fault));
	copy_text(r, AUTHORIZATION_CODE, e->authorization_code, sizeof(e->authorization_code));
	copy_text(r, CARD_BRAND, e->brand, sizeof(e->brand));
	copy_text(r, CARD_LAST4, e->last4, sizeof(e->last4));
	e->fingerprint = number(r, FINGERPRINT);
	e->amount = number(r, AMOUNT);
	e->captured = number(r, CAPTURED);
	e->refunded = number(r, REFUNDED);
	e->voided = DatumGetBool(value(r, VOIDED));
	e->refusals = DatumGetInt32(value(r, REFUSALS));
	e->created_at = time_of(r, CREATED_AT);
	e->decided_at = time_of(r, DECIDED_AT);
	e->expires_at = time_of(r, EXPIRES_AT);
	e->answer_status = DatumGetInt32(value(r, ANSWER_STATUS));
	e->answer = answer != NULL ? MemoryContextStrdup(context, answer) : NULL;
}

static void
begin_statements(void)
{
	pgw_table_need("test_bank_ledger", RowExclusiveLock);
	pgw_statements_begin();
}

void
pgw_ledger_load(PgwTestLedger *ledger, const PgwTestOrder *order)
{
	MemoryContext context = CurrentMemoryContext;
	Oid arg_types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum args[3] = {CStringGetTextDatum(order->key), CStringGetTextDatum(order->reference),
					 CStringGetTextDatum(order->charge_id)};

	begin_statements();
	/* each by its index: joined by OR they would be one look through the whole ledger */
	if (SPI_execute_with_args(
			"SELECT " COLUMNS " FROM pgw.test_bank_ledger WHERE id = ANY (ARRAY("
			"SELECT l.id FROM pgw.test_bank_ledger l WHERE l.idempotency_key = $1"
			" UNION SELECT l.id FROM pgw.test_bank_ledger l WHERE l.reference = $2"
			" UNION SELECT l.id FROM pgw.test_bank_ledger l WHERE l.id = $3"
			" UNION SELECT l.id FROM pgw.test_bank_ledger l WHERE l.charge_id = $3"
			" UNION SELECT l.charge_id FROM pgw.test_bank_ledger l"
			" WHERE l.reference = $2 AND l.charge_id IS NOT NULL))",
			3, arg_types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the test bank's ledger could not be read");
	pgw_buf_init(&ledger->kept, 0);
	ledger->n = (int) SPI_processed;
	ledger->entries =
		MemoryContextAllocZero(context, (ledger->n + PGW_TEST_MOST_NEW) * sizeof(PgwTestEntry));
	for (int i = 0; i < ledger->n; i++)
	{
		Row r = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc};

		read_entry(&ledger->entries[i], &r, context);
	}
	pgw_statements_end();
}

/* ---------------------------------------------------------------- writing */

typedef struct Values
{
	Datum values[NCOLUMNS];
	char nulls[NCOLUMNS + 1];
} Values;

static void
put(Values *v, int column, Datum d)
{
	v->values[column] = d;
	v->nulls[column] = ' ';
}

static void
put_text(Values *v, int column, const char *s)
{
	if (s != NULL && s[0] != '\0')
		put(v, column, CStringGetTextDatum(s));
}

static void
put_time(Values *v, int column, int64 ms)
{
	if (ms != 0)
		put(v, column, TimestampTzGetDatum(from_ms(ms)));
}

static void
put_entry(Values *v, const PgwTestEntry *e)
{
	memset(v, 0, sizeof(*v));
	memset(v->nulls, 'n', NCOLUMNS);
	put_text(v, ID, e->id);
	put_text(v, KIND, pgw_test_kind_name(e->kind));
	put_text(v, STATUS, pgw_test_status_name(e->status));
	put_text(v, REFERENCE, e->reference);
	put_text(v, IDEMPOTENCY_KEY, e->key);
	put_text(v, CHARGE_ID, e->charge_id);
	put_text(v, CURRENCY, e->currency);
	put_text(v, CODE, e->code);
	put_text(v, TOKEN, e->fault);
	put_text(v, AUTHORIZATION_CODE, e->authorization_code);
	put_text(v, CARD_BRAND, e->brand);
	put_text(v, CARD_LAST4, e->last4);
	put_text(v, ANSWER, e->answer);
	if (e->key[0] != '\0')
		put(v, FINGERPRINT, Int64GetDatum(e->fingerprint));
	if (e->amount >= 0)
		put(v, AMOUNT, Int64GetDatum(e->amount));
	put(v, CAPTURED, Int64GetDatum(e->captured));
	put(v, REFUNDED, Int64GetDatum(e->refunded));
	put(v, VOIDED, BoolGetDatum(e->voided));
	put(v, REFUSALS, Int32GetDatum(e->refusals));
	put_time(v, CREATED_AT, e->created_at);
	put_time(v, DECIDED_AT, e->decided_at);
	put_time(v, EXPIRES_AT, e->expires_at);
	if (e->decided_at != 0)
		put_text(v, DECIDED_AS, pgw_test_status_name(e->decided_as));
	if (e->answer_status != 0)
		put(v, ANSWER_STATUS, Int32GetDatum(e->answer_status));
}

static void
save(const PgwTestEntry *e)
{
	/* with the number of each parameter, which are those of the columns */
	static const char *const insert =
		"INSERT INTO pgw.test_bank_ledger (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
		" $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";
	static const char *const update =
		"UPDATE pgw.test_bank_ledger SET status = $3, code = $10, captured = $12, refunded = $13,"
		" voided = $14, refusals = $15, decided_at = $17, decided_as = $18 WHERE id = $1";
	Values v;

	put_entry(&v, e);
	if (SPI_execute_with_args(e->is_new ? insert : update, NCOLUMNS, (Oid *) types, v.values,
							  v.nulls, false, 0) != (e->is_new ? SPI_OK_INSERT : SPI_OK_UPDATE) ||
		SPI_processed != 1)
		elog(ERROR, "the test bank's ledger could not be written");
}

void
pgw_ledger_save(const PgwTestLedger *ledger)
{
	begin_statements();
	for (int i = 0; i < ledger->n; i++)
	{
		if (ledger->entries[i].is_new || ledger->entries[i].changed)
			save(&ledger->entries[i]);
	}
	pgw_statements_end();
}
