/*
 * drop_guard.c - the records of payments are not deleted without a word
 *
 * Owns: pgw.allow_drop, and the object access hook.  Dropping the extension would delete every
 * record, and leave charges that are under way to nobody:
 *
 *     an attempt is open at a bank	refused, whatever the setting: nobody would look its outcome up,
 *     give it back, or ask a person
 *     there are payments or attempts	refused, unless a superuser has set pgw.allow_drop
 *     a table is elsewhere			refused, whatever the setting: what it holds cannot be told
 *     a restored or copied database	its open attempts are the original's until somebody resumes
 * it: the setting alone decides
 *
 * The hook is asked for every object that goes, by whatever way it came to that: DROP EXTENSION,
 * CASCADE from what it depends on, DROP OWNED.  Members of an extension cannot be dropped alone, so
 * a member that goes means the extension goes.  The deletion has locked all of it exclusively
 * before the first object goes, and nothing is gone yet when the first member is asked for: what is
 * seen then is final. Besides members: the record tables by name, should somebody have taken them
 * out of the extension, and the partitions of the events, which are none.
 *
 * Where pgw is not preloaded, the event trigger pgw_guard_drop has the library loaded before such a
 * statement runs. DROP DATABASE is not looked at: there the whole database goes, by the word of who
 * owns it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/base/mutant.h"
#include "database/extension.h"
#include "database/relations.h"
#include "ddl/drop_guard.h"
#include "exchange/signal_ring.h"
#include "restore/restored_database.h"


#define COUNT_UP_TO 10000 /* a table of millions is not counted for a message */
/* of all attempts: what pgw.open_work says is not enough to drop records by */
#define OPEN_AT_BANK \
	"(t.status NOT IN ('Completed', 'Failed', 'Refunded') AND (t.status <> 'Created' OR t.live))"

PG_FUNCTION_INFO_V1(pgw_guard_drop);

static bool allow_drop = false;
static object_access_hook_type prev_object_access_hook = NULL;
static bool extension_dropped = false; /* by the transaction that runs, in whatever way */

/* ---------------------------------------------------------------- what is in the tables */

static int64
count(const char *query, char **names)
{
	int64 n;
	bool isnull;

	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the look at what would be dropped failed");
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (names != NULL)
		*names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	return n;
}

static void
refuse_open(int64 n, const char *states)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_IN_USE),
		 errmsg("cannot drop pgw: %lld payments, captures, voids or refunds are open at a bank",
				(long long) n),
		 errdetail(
			 "In state: %s. Without pgw nobody would find out their outcome, or give back what is charged.",
			 states),
		 errhint(
			 "Let the worker finish them, and decide those in review: see SELECT * FROM pgw.health(), pgw.resolve_review(). "
			 "No setting allows this.")));
}

static void
refuse_payments(int64 n)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
		 errmsg("cannot drop pgw: it holds the records of payments"),
		 errdetail("%s%lld payments and attempts, with all their events, would be deleted.",
				   n > COUNT_UP_TO ? "More than " : "", (long long) Min(n, COUNT_UP_TO)),
		 errhint(
			 "Dump them first: pg_dump. Then a superuser can SET pgw.allow_drop = on and drop it.")));
}

static void
look(void)
{
	char *states;
	int64 open;
	int64 records;

	open = count(
		"SELECT count(*), string_agg(DISTINCT t.status::text, ', ') FROM pgw.payment_transactions t WHERE " OPEN_AT_BANK,
		&states);
	if (open > 0 && !pgw_is_restored() && !pgw_restored_is_unnoticed())
		refuse_open(open, states);
	records = count(
		"SELECT count(*) FROM (SELECT FROM pgw.payments UNION ALL SELECT FROM pgw.payment_transactions LIMIT " CppAsString2(
			COUNT_UP_TO) " + 1) x",
		NULL);
	if (records > 0 && !allow_drop)
		refuse_payments(records);
}

static void
look_at_partition(Oid relid)
{
	char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
											get_rel_name(relid));
	int64 open;
	int64 events;
	char *states;

	open = count(
		psprintf(
			"SELECT count(*), string_agg(DISTINCT t.status::text, ', ') FROM pgw.payment_transactions t WHERE " OPEN_AT_BANK
			" AND EXISTS (SELECT FROM %s e WHERE e.transaction_id = t.transaction_id)",
			name),
		&states);
	if (open > 0 && !pgw_is_restored() && !pgw_restored_is_unnoticed())
		refuse_open(open, states);
	events = count(
		psprintf("SELECT count(*) FROM (SELECT FROM %s LIMIT " CppAsString2(COUNT_UP_TO) " + 1) x",
				 name),
		NULL);
	if (events > 0 && !allow_drop)
		ereport(
			ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop table %s: it holds the events of payments", name),
			 errdetail("%s%lld events would be deleted.", events > COUNT_UP_TO ? "More than " : "",
					   (long long) Min(events, COUNT_UP_TO)),
			 errhint(
				 "Dump them first: pg_dump. Then a superuser can SET pgw.allow_drop = on and drop it.")));
}

/*
 * What would be deleted is what the extension has, wherever it was moved: there it cannot be looked
 * at.
 */
static void
refuse_moved(Oid relid)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("cannot drop pgw: its table %s is not where CREATE EXTENSION has made it",
				quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
										   get_rel_name(relid))),
		 errdetail("There nobody can tell what it holds, and whether anything is open at a bank."),
		 errhint(
			 "Give it its name and schema back first: ALTER TABLE ... RENAME TO, ALTER TABLE ... SET SCHEMA pgw, ALTER SCHEMA ... RENAME TO pgw.")));
}

/* A table is known by a column that no other table of pgw has: its name may be another one now. */
static void
check_place(Oid relid, const char *column, const char *name)
{
	char kind = get_rel_relkind(relid);

	if ((kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
		get_attnum(relid, column) != InvalidAttrNumber && relid != pgw_relation_or_none(name))
		refuse_moved(relid);
}

static void
check_places(void)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(get_extension_oid("pgw", false)));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend d = (Form_pg_depend) GETSTRUCT(tuple);

		if (d->deptype != DEPENDENCY_EXTENSION || d->classid != RelationRelationId)
			continue;
		check_place(d->objid, "refund_pending_amount", "payments");
		check_place(d->objid, "caller_subxid", "payment_transactions");
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/*
 * As the owner of the tables, with nothing of the caller's in the search path, on what is committed
 * now. InvalidOid: the whole.
 */
static void
look_as_owner(Oid partition)
{
	Oid caller;
	int sec_context;
	int nest_level;

	if (PGW_MUTATED(DROP_GUARD))
		return;
	check_places();
	if (!OidIsValid(pgw_relation_or_none("payments")))
		return;
	GetUserIdAndSecContext(&caller, &sec_context);
	SetUserIdAndSecContext(pgw_extension_owner(), sec_context | SECURITY_LOCAL_USERID_CHANGE);
	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	if (OidIsValid(partition))
		look_at_partition(partition);
	else
		look();
	PopActiveSnapshot();
	SPI_finish();
	AtEOXact_GUC(true, nest_level);
	SetUserIdAndSecContext(caller, sec_context);
}

void
pgw_drop_check(void)
{
	look_as_owner(InvalidOid);
}

/* ---------------------------------------------------------------- the hook */

/* Its records are what is guarded; an event table of a month is a partition. */
static bool
holds_records(Oid relid)
{
	char *name = get_rel_name(relid);

	return name != NULL && get_rel_namespace(relid) == get_namespace_oid("pgw", true) &&
		   (strcmp(name, "payments") == 0 || strcmp(name, "payment_transactions") == 0 ||
			strcmp(name, "transaction_events") == 0);
}

static bool
is_event_partition(Oid relid)
{
	return get_rel_relispartition(relid) && holds_records(get_partition_parent(relid, true));
}

static void
guard(Oid class_id, Oid object_id)
{
	/* where all was looked at: under the locks of that subtransaction nothing is added */
	static Oid extension = InvalidOid;
	static TransactionId xid = InvalidTransactionId;
	static SubTransactionId subid = InvalidSubTransactionId;
	Oid pgw = get_extension_oid("pgw", true);

	if (!OidIsValid(pgw) ||
		(extension == pgw && xid == GetTopTransactionId() && subid == GetCurrentSubTransactionId()))
		return;
	if ((class_id == ExtensionRelationId && object_id == pgw) ||
		getExtensionOfObject(class_id, object_id) == pgw ||
		(class_id == RelationRelationId && holds_records(object_id)))
	{
		look_as_owner(InvalidOid);
		extension = pgw;
		xid = GetTopTransactionId();
		subid = GetCurrentSubTransactionId();
	}
	else if (class_id == RelationRelationId && is_event_partition(object_id))
		look_as_owner(object_id);
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, class_id, object_id, sub_id, arg);

	/*
	 * what the server drops for itself (temporary tables), and what an extension's own script does,
	 * is nobody's wish to delete records
	 */
	if (access == OAT_DROP && class_id == ExtensionRelationId &&
		object_id == get_extension_oid("pgw", true))
		extension_dropped = true;
	if (access == OAT_DROP && sub_id == 0 &&
		!(((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_INTERNAL) && !creating_extension)
		guard(class_id, object_id);
}

/*
 * DROP OWNED and CASCADE are no statements that the worker is told of: an idle one would notice at
 * its next scan, minutes later.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && extension_dropped)
		(void) pgw_exchange_rescan(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		extension_dropped = false;
}

/* Event trigger pgw_guard_drop: to call this is to have the library loaded, and the hook set. */
Datum
pgw_guard_drop(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}

void
pgw_drop_init(void)
{
	DefineCustomBoolVariable(
		"pgw.allow_drop",
		"Whether the extension, and so the records of all payments, may be dropped.",
		"Never while attempts are open at a bank.", &allow_drop, false, PGC_SUSET, 0, NULL, NULL,
		NULL);
	prev_object_access_hook = object_access_hook;
	object_access_hook = on_object_access;
	RegisterXactCallback(at_xact_end, NULL);
}
