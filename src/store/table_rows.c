/*
 * table_rows.c - rows of payments, attempts and open work to structs and back
 *
 * Owns: the one list of these tables' columns, and the description of these tables.
 * Locks: none; whoever opens a table has its lock (row.c).
 * Invariant: columns are named as the members of the structs in tables.h, those of a PgwBankRequest
 * with its prefix.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "core/base/uuid7.h"
#include "core/state/steps.h"
#include "database/column_values.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/table_description.h"
#include "store/event_data.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

typedef enum PgwColumnType
{
	PGW_COLUMN_UUID,
	PGW_COLUMN_STRING,
	PGW_COLUMN_OWN_KEY,
	PGW_COLUMN_INT64,
	PGW_COLUMN_INT64_OR_NULL,
	PGW_COLUMN_INT,
	PGW_COLUMN_INT_OR_NULL,
	PGW_COLUMN_BOOL,
	PGW_COLUMN_TIME,
	PGW_COLUMN_FXID,
	PGW_COLUMN_OID,
	PGW_COLUMN_STATE,
	PGW_COLUMN_KIND,
	PGW_COLUMN_CAPTURE,
	PGW_COLUMN_PAYMENT_STATUS
} PgwColumnType;

typedef struct PgwColumn
{
	const char *name;
	PgwColumnType type;
	size_t offset;
	/* never changed by an update: ids and what the caller asked for */
	bool fixed;
} PgwColumn;

#define P(member, type, fixed) \
	{ \
#member, type, offsetof(PgwPayment, member), fixed \
	}
#define T(member, type, fixed) \
	{ \
#member, type, offsetof(PgwAttempt, member), fixed \
	}
/* of a request to the bank: three columns with its prefix */
#define R(column, member, type) \
	{ \
#column, type, offsetof(PgwAttempt, member), false \
	}
/* of an open_work row */
#define W(member, type, fixed) \
	{ \
#member, type, offsetof(PgwOpenWork, member), fixed \
	}

static const PgwColumn payment_columns[] = {
	P(payment_id, PGW_COLUMN_UUID, true),
	P(client_request_id, PGW_COLUMN_STRING, true),
	P(merchant, PGW_COLUMN_STRING, true),
	P(transaction_id, PGW_COLUMN_UUID, false),
	P(status, PGW_COLUMN_PAYMENT_STATUS, false),
	P(capture, PGW_COLUMN_CAPTURE, true),
	/* that of the attempt, when one of another call is taken over */
	P(livemode, PGW_COLUMN_BOOL, false),
	P(amount, PGW_COLUMN_INT64, true),
	P(currency, PGW_COLUMN_STRING, true),
	P(authorized_amount, PGW_COLUMN_INT64, false),
	P(captured_amount, PGW_COLUMN_INT64, false),
	P(capture_pending_amount, PGW_COLUMN_INT64, false),
	P(reserved_amount, PGW_COLUMN_INT64, false),
	P(refunded_amount, PGW_COLUMN_INT64, false),
	P(refund_pending_amount, PGW_COLUMN_INT64, false),
	P(bank_captured_amount, PGW_COLUMN_INT64_OR_NULL, false),
	P(bank_refunded_amount, PGW_COLUMN_INT64_OR_NULL, false),
	P(disputed_amount, PGW_COLUMN_INT64_OR_NULL, false),
	P(bank, PGW_COLUMN_STRING, false),
	P(bank_reference, PGW_COLUMN_STRING, false),
	P(authorization_code, PGW_COLUMN_STRING, false),
	P(card_last4, PGW_COLUMN_STRING, false),
	P(card_brand, PGW_COLUMN_STRING, false),
	P(reference, PGW_COLUMN_STRING, true),
	P(metadata, PGW_COLUMN_STRING, true),
	P(created_at, PGW_COLUMN_TIME, true),
	P(updated_at, PGW_COLUMN_TIME, false),
};

static const PgwColumn transaction_columns[] = {
	T(transaction_id, PGW_COLUMN_UUID, true),
	/* an adopted attempt goes to the new caller's payments row */
	T(payment_id, PGW_COLUMN_UUID, false),
	T(client_request_id, PGW_COLUMN_STRING, true),
	T(merchant, PGW_COLUMN_STRING, true),
	T(kind, PGW_COLUMN_KIND, true),
	T(status, PGW_COLUMN_STATE, false),
	T(step_order, PGW_COLUMN_INT, false),
	T(submitted, PGW_COLUMN_BOOL, false),
	T(submitted_by, PGW_COLUMN_STRING, true),
	T(live, PGW_COLUMN_BOOL, false),
	T(given_up, PGW_COLUMN_BOOL, false),
	T(adopted, PGW_COLUMN_BOOL, false),
	T(amount, PGW_COLUMN_INT64, true),
	T(currency, PGW_COLUMN_STRING, true),
	T(capture, PGW_COLUMN_CAPTURE, true),
	T(livemode, PGW_COLUMN_BOOL, true),
	T(token, PGW_COLUMN_STRING, true),
	T(card_last4, PGW_COLUMN_STRING, false),
	T(card_brand, PGW_COLUMN_STRING, false),
	T(card_expiry_month, PGW_COLUMN_INT_OR_NULL, false),
	T(card_expiry_year, PGW_COLUMN_INT_OR_NULL, false),
	T(bank, PGW_COLUMN_STRING, false),
	T(bank_version, PGW_COLUMN_INT_OR_NULL, false),
	T(bank_requested, PGW_COLUMN_STRING, true),
	T(reference, PGW_COLUMN_STRING, true),
	T(bank_fields, PGW_COLUMN_STRING, true),
	R(bank_key, own_request.key, PGW_COLUMN_OWN_KEY),
	R(bank_key_used_at, own_request.key_used_at, PGW_COLUMN_TIME),
	R(bank_asked_at, own_request.asked_at, PGW_COLUMN_TIME),
	T(bank_reference, PGW_COLUMN_STRING, false),
	T(authorization_code, PGW_COLUMN_STRING, false),
	T(approved_amount, PGW_COLUMN_INT64_OR_NULL, false),
	T(approved_currency, PGW_COLUMN_STRING, false),
	T(refund_operation, PGW_COLUMN_STRING, false),
	R(refund_key, refund_request.key, PGW_COLUMN_STRING),
	R(refund_key_used_at, refund_request.key_used_at, PGW_COLUMN_TIME),
	R(refund_asked_at, refund_request.asked_at, PGW_COLUMN_TIME),
	T(refund_reference, PGW_COLUMN_STRING, false),
	T(cancelled_at, PGW_COLUMN_TIME, false),
	T(pending_at_bank, PGW_COLUMN_BOOL, false),
	T(accepted_at, PGW_COLUMN_TIME, false),
	T(unconfirmed, PGW_COLUMN_BOOL, false),
	T(refund_keys_used, PGW_COLUMN_INT, false),
	T(refund_ruled_out, PGW_COLUMN_INT, false),
	R(capture_key, capture_request.key, PGW_COLUMN_STRING),
	R(capture_key_used_at, capture_request.key_used_at, PGW_COLUMN_TIME),
	R(capture_asked_at, capture_request.asked_at, PGW_COLUMN_TIME),
	T(capture_reference, PGW_COLUMN_STRING, false),
	T(maybe_at_another_bank, PGW_COLUMN_BOOL, false),
	T(error_answered, PGW_COLUMN_BOOL, false),
	T(card_echoed, PGW_COLUMN_BOOL, false),
	T(customer_sent, PGW_COLUMN_BOOL, true),
	T(final_capture, PGW_COLUMN_BOOL, true),
	T(reason, PGW_COLUMN_STRING, true),
	T(origin, PGW_COLUMN_STRING, true),
	T(caller_xid, PGW_COLUMN_FXID, false),
	T(caller_subxid, PGW_COLUMN_FXID, false),
	T(system_identifier, PGW_COLUMN_INT64, false),
	T(database_oid, PGW_COLUMN_OID, false),
	T(abandoned_at, PGW_COLUMN_TIME, false),
	T(requests_sent, PGW_COLUMN_INT, false),
	T(step_tries, PGW_COLUMN_INT, false),
	T(next_step_at, PGW_COLUMN_TIME, false),
	T(put_off_since, PGW_COLUMN_TIME, false),
	T(put_off_reason, PGW_COLUMN_STRING, false),
	T(watch_until, PGW_COLUMN_TIME, false),
	T(expires_at, PGW_COLUMN_TIME, false),
	T(error_class, PGW_COLUMN_STRING, false),
	T(error_code, PGW_COLUMN_STRING, false),
	T(error_message, PGW_COLUMN_STRING, false),
	T(http_status, PGW_COLUMN_INT_OR_NULL, false),
	T(retryable, PGW_COLUMN_BOOL, false),
	T(correlation_id, PGW_COLUMN_UUID, true),
	T(created_at, PGW_COLUMN_TIME, true),
	T(updated_at, PGW_COLUMN_TIME, false),
};

static const PgwColumn open_work_columns[] = {
	W(transaction_id, PGW_COLUMN_UUID, true), W(kind, PGW_COLUMN_KIND, true),
	W(merchant, PGW_COLUMN_STRING, true),     W(submitted_by, PGW_COLUMN_STRING, true),
	W(expires_at, PGW_COLUMN_TIME, false),    W(bank, PGW_COLUMN_STRING, false),
	W(begun, PGW_COLUMN_BOOL, false),         W(left_to_caller, PGW_COLUMN_BOOL, false),
	W(status, PGW_COLUMN_STATE, false),       W(next_step_at, PGW_COLUMN_TIME, false),
	W(put_off_since, PGW_COLUMN_TIME, false),
};

#define MAX_COLUMNS lengthof(transaction_columns)
StaticAssertDecl(lengthof(payment_columns) <= MAX_COLUMNS &&
					 lengthof(open_work_columns) <= MAX_COLUMNS &&
					 MAX_COLUMNS <= PGW_DESCRIBED_COLUMNS,
				 "a row has more columns than its description");

/* What is looked for by their keys; the order is that of the descriptions. */
enum
{
	ID_KEY,
	CLAIM_KEY /* payments */
};

static const PgwWantedKey payment_keys[] = {
	[ID_KEY] = {{"payment_id"}, 1, "its id"},
	[CLAIM_KEY] = {{"client_request_id", "merchant"}, 2, "(client_request_id, merchant)"}};
static const PgwWantedKey transaction_keys[] = {[ID_KEY] = {{"transaction_id"}, 1, "its id"}};

static const struct
{
	const char *name;
	const char *what;
	const PgwColumn *columns;
	int n;
	const PgwWantedKey *keys;
	int nkeys;
	size_t size; /* of the struct */
	size_t place;
} tables[PGW_NTABLES] = {
	[PGW_TABLE_PAYMENTS] = {"payments", "table pgw.payments", payment_columns,
							lengthof(payment_columns), payment_keys, lengthof(payment_keys),
							sizeof(PgwPayment), offsetof(PgwPayment, place)},
	[PGW_TABLE_TRANSACTIONS] = {"payment_transactions", "table pgw.payment_transactions",
								transaction_columns, lengthof(transaction_columns),
								transaction_keys, lengthof(transaction_keys), sizeof(PgwAttempt),
								offsetof(PgwAttempt, place)},
	[PGW_TABLE_OPEN_WORK] = {"open_work", "table pgw.open_work", open_work_columns,
							 lengthof(open_work_columns), transaction_keys,
							 lengthof(transaction_keys), sizeof(PgwOpenWork),
							 offsetof(PgwOpenWork, place)},
};

static PgwTableDescription descriptions[PGW_NTABLES];
static Bitmapset *changing[PGW_NTABLES]; /* columns that an update may change; with those */

/* What field_to_datum() makes, and field_from_datum() reads; InvalidOid: text of any type. */
static Oid
type_of(PgwColumnType column_type)
{
	switch (column_type)
	{
		case PGW_COLUMN_UUID:
			return UUIDOID;
		case PGW_COLUMN_INT64:
		case PGW_COLUMN_INT64_OR_NULL:
			return INT8OID;
		case PGW_COLUMN_INT:
		case PGW_COLUMN_INT_OR_NULL:
			return INT4OID;
		case PGW_COLUMN_BOOL:
			return BOOLOID;
		case PGW_COLUMN_TIME:
			return TIMESTAMPTZOID;
		case PGW_COLUMN_FXID:
			return XID8OID;
		case PGW_COLUMN_OID:
			return OIDOID;
		case PGW_COLUMN_STRING:
		case PGW_COLUMN_OWN_KEY:
		case PGW_COLUMN_STATE:
		case PGW_COLUMN_KIND:
		case PGW_COLUMN_CAPTURE:
		case PGW_COLUMN_PAYMENT_STATUS:
			break;
	}
	return InvalidOid;
}

static void
note_changing(PgwTable table)
{
	const PgwTableDescription *d = &descriptions[table];
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Bitmapset *fresh = NULL;

	for (int i = 0; i < tables[table].n; i++)
	{
		if (!tables[table].columns[i].fixed)
			fresh = bms_add_member(fresh, d->attnums[i] - FirstLowInvalidHeapAttributeNumber);
	}
	MemoryContextSwitchTo(old);
	bms_free(changing[table]);
	changing[table] = fresh;
}

static void
describe_anew(PgwTable table, Oid relid)
{
	PgwWantedColumn columns[MAX_COLUMNS];
	PgwWantedTable wanted = {tables[table].what, columns, tables[table].n, tables[table].keys,
							 tables[table].nkeys};

	for (int i = 0; i < tables[table].n; i++)
		columns[i] = (PgwWantedColumn){tables[table].columns[i].name,
									   type_of(tables[table].columns[i].type)};
	pgw_table_describe(&descriptions[table], relid, &wanted);
	note_changing(table);
}

static const PgwTableDescription *
describe(PgwTable table, Oid relid)
{
	if (descriptions[table].of.relid != relid)
		describe_anew(table, relid);
	return &descriptions[table];
}

void
pgw_store_open(PgwRel *r, PgwTable table, bool write, bool speculative)
{
	Oid relid = pgw_relation(tables[table].name);

	if (write)
	{
		(void) describe(table, relid);
		pgw_row_open_write(r, relid, changing[table], speculative);
	}
	else
		pgw_row_open_read(r, relid);
}

/*
 * An attempt's own key is at first made of its id, and stays so for nearly all: only another one is
 * stored, as each byte of this row is there three times over (fillfactor).
 */
static void
first_key(const PgwAttempt *attempt, char key[33])
{
	pgw_uuid_to_hex32(attempt->transaction_id.data, key);
}

/* NULL: it is the first key. */
static const char *
key_to_store(const PgwAttempt *attempt)
{
	const char *key = attempt->own_request.key;
	char first[33];

	first_key(attempt, first);
	return key != NULL && strcmp(key, first) == 0 ? NULL : key;
}

static void
read_own_key(PgwAttempt *attempt)
{
	if (attempt->own_request.key != NULL)
		return;
	attempt->own_request.key = palloc(33);
	first_key(attempt, attempt->own_request.key);
}

static Datum
field_to_datum(PgwColumnType column_type, const void *p, Oid type, bool *isnull)
{
	*isnull = false;
	switch (column_type)
	{
		case PGW_COLUMN_UUID:
			return UUIDPGetDatum((const pg_uuid_t *) p);
		case PGW_COLUMN_STRING:
		{
			const char *s = *(char *const *) p;

			*isnull = (s == NULL);
			return s != NULL ? pgw_row_from_string(type, s) : (Datum) 0;
		}
		case PGW_COLUMN_OWN_KEY:
		{
			const char *s = key_to_store(
				(const PgwAttempt *) ((const char *) p - offsetof(PgwAttempt, own_request.key)));

			*isnull = (s == NULL);
			return s != NULL ? pgw_row_from_string(type, s) : (Datum) 0;
		}
		case PGW_COLUMN_INT64:
			return Int64GetDatum(*(const int64 *) p);
		case PGW_COLUMN_INT64_OR_NULL:
			*isnull = (*(const int64 *) p == 0);
			return Int64GetDatum(*(const int64 *) p);
		case PGW_COLUMN_INT:
			return Int32GetDatum(*(const int *) p);
		case PGW_COLUMN_INT_OR_NULL:
			*isnull = (*(const int *) p == 0);
			return Int32GetDatum(*(const int *) p);
		case PGW_COLUMN_BOOL:
			return BoolGetDatum(*(const bool *) p);
		case PGW_COLUMN_TIME:
			*isnull = (*(const TimestampTz *) p == 0);
			return TimestampTzGetDatum(*(const TimestampTz *) p);
		case PGW_COLUMN_FXID:
			*isnull = !FullTransactionIdIsValid(*(const FullTransactionId *) p);
			return FullTransactionIdGetDatum(*(const FullTransactionId *) p);
		case PGW_COLUMN_OID:
			return ObjectIdGetDatum(*(const Oid *) p);
		case PGW_COLUMN_STATE:
			return pgw_row_from_string(type, pgw_state_name(*(const PgwState *) p));
		case PGW_COLUMN_KIND:
			return pgw_row_from_string(type, pgw_kind_name(*(const PgwKind *) p));
		case PGW_COLUMN_CAPTURE:
			return pgw_row_from_string(type, pgw_capture_name(*(const PgwCaptureMode *) p));
		case PGW_COLUMN_PAYMENT_STATUS:
			return pgw_row_from_string(type,
									   pgw_payment_status_name(*(const PgwPaymentStatus *) p));
	}
	return (Datum) 0;
}

static void
field_from_datum(PgwColumnType column_type, void *p, Oid type, Datum d)
{
	switch (column_type)
	{
		case PGW_COLUMN_UUID:
			memcpy(p, DatumGetUUIDP(d), UUID_LEN);
			break;
		case PGW_COLUMN_STRING:
		case PGW_COLUMN_OWN_KEY:
			*(char **) p = pgw_row_to_string(type, d);
			break;
		case PGW_COLUMN_INT64:
		case PGW_COLUMN_INT64_OR_NULL:
			*(int64 *) p = DatumGetInt64(d);
			break;
		case PGW_COLUMN_INT:
		case PGW_COLUMN_INT_OR_NULL:
			*(int *) p = DatumGetInt32(d);
			break;
		case PGW_COLUMN_BOOL:
			*(bool *) p = DatumGetBool(d);
			break;
		case PGW_COLUMN_TIME:
			*(TimestampTz *) p = DatumGetTimestampTz(d);
			break;
		case PGW_COLUMN_FXID:
			*(FullTransactionId *) p = DatumGetFullTransactionId(d);
			break;
		case PGW_COLUMN_OID:
			*(Oid *) p = DatumGetObjectId(d);
			break;
		case PGW_COLUMN_STATE:
			*(PgwState *) p = pgw_state_parse(pgw_row_to_string(type, d));
			break;
		case PGW_COLUMN_KIND:
			*(PgwKind *) p = (PgwKind) pgw_kind_parse(pgw_row_to_string(type, d));
			break;
		case PGW_COLUMN_CAPTURE:
			*(PgwCaptureMode *) p = (PgwCaptureMode) pgw_capture_parse(pgw_row_to_string(type, d));
			break;
		case PGW_COLUMN_PAYMENT_STATUS:
			*(PgwPaymentStatus *) p =
				(PgwPaymentStatus) pgw_payment_status_parse(pgw_row_to_string(type, d));
			break;
	}
}

void
pgw_store_fill(PgwRel *r, PgwTable table, const void *row)
{
	const PgwTableDescription *d = describe(table, RelationGetRelid(r->rel));

	bool update = pgw_row_begin(r, d->ours, tables[table].n);

	for (int i = 0; i < tables[table].n; i++)
	{
		int att = d->attnums[i] - 1;

		/* it cannot have changed, and is taken over as it lies there */
		if (update && tables[table].columns[i].fixed)
		{
			r->slot->tts_values[att] = r->found->tts_values[att];
			r->slot->tts_isnull[att] = r->found->tts_isnull[att];
			continue;
		}
		r->slot->tts_values[att] = field_to_datum(
			tables[table].columns[i].type, (const char *) row + tables[table].columns[i].offset,
			d->types[i], &r->slot->tts_isnull[att]);
	}
	ExecStoreVirtualTuple(r->slot);
}

PgwRowLocation *
pgw_store_location(PgwTable table, void *row)
{
	return (PgwRowLocation *) ((char *) row + tables[table].place);
}

void
pgw_store_read(PgwRel *r, PgwTable table, void *row)
{
	const PgwTableDescription *d = describe(table, RelationGetRelid(r->rel));

	memset(row, 0, tables[table].size);
	slot_getallattrs(r->found);
	for (int i = 0; i < tables[table].n; i++)
	{
		int att = d->attnums[i] - 1;

		if (!r->found->tts_isnull[att]) /* the struct was zeroed */
			field_from_datum(tables[table].columns[i].type,
							 (char *) row + tables[table].columns[i].offset, d->types[i],
							 r->found->tts_values[att]);
	}
	pgw_store_location(table, row)->tid = r->found->tts_tid;
	if (table == PGW_TABLE_TRANSACTIONS)
	{
		read_own_key(row);
		pgw_event_data_told(row);
	}
}

bool
pgw_store_has_id(PgwRel *r, PgwTable table, const pg_uuid_t *id)
{
	const PgwTableDescription *d = describe(table, RelationGetRelid(r->rel));
	bool isnull;
	Datum value = slot_getattr(r->found, d->attnums[0], &isnull);

	return memcmp(DatumGetUUIDP(value), id, sizeof(pg_uuid_t)) == 0;
}

/* The columns that the check of a transition asks for, in transaction_columns. */
#define COLUMN_OF(member) column_at(offsetof(PgwAttempt, member))

static int
column_at(size_t offset)
{
	for (int i = 0; i < lengthof(transaction_columns); i++)
	{
		if (transaction_columns[i].offset == offset)
			return i;
	}
	elog(ERROR, "no column of an attempt at %zu", offset);
}

void
pgw_store_check_transition(PgwRel *r, const PgwAttempt *attempt)
{
	static int payment_id = -1;
	static int status = -1;
	static int step_order = -1;
	const PgwTableDescription *d = describe(PGW_TABLE_TRANSACTIONS, RelationGetRelid(r->rel));
	const Datum *old = r->found->tts_values;
	PgwState from;
	bool moves;

	if (payment_id < 0)
	{
		status = COLUMN_OF(status);
		step_order = COLUMN_OF(step_order);
		payment_id = COLUMN_OF(payment_id);
	}
	from = pgw_state_parse(pgw_row_to_string(d->types[status], old[d->attnums[status] - 1]));
	moves =
		memcmp(DatumGetUUIDP(old[d->attnums[payment_id] - 1]), &attempt->payment_id, UUID_LEN) != 0;
	if (!pgw_steps_lead(attempt->kind, from, attempt->status,
						attempt->step_order - DatumGetInt32(old[d->attnums[step_order] - 1])) ||
		(moves && (from == PGW_SAVED || from == PGW_COMPLETED || from == PGW_REFUNDING ||
				   from == PGW_REFUNDED)))
		elog(ERROR, "an attempt in state %s cannot be changed like this",
			 from != PGW_STATE_NONE ? pgw_state_name(from) : "unknown");
}

const char *
pgw_store_table_name(PgwTable table)
{
	return tables[table].name;
}

Oid
pgw_store_claim_index(Oid relid)
{
	return describe(PGW_TABLE_PAYMENTS, relid)->keys[CLAIM_KEY];
}

Oid
pgw_store_id_index(PgwTable table, Oid relid)
{
	return describe(table, relid)->keys[ID_KEY];
}

void
pgw_store_check_rows(void)
{
	for (int i = 0; i < PGW_NTABLES; i++)
		(void) describe((PgwTable) i, pgw_relation(tables[i].name));
}
