/*
 * relations.c - tables, indexes and columns of pgw's by name, and an index by its columns
 *
 * Owns: what is remembered in the callers' PgwIndexByColumns, and which relation has which name.
 * Both belong to one relation oid, and are void after any relcache invalidation of that, so DROP
 * and CREATE EXTENSION in one session work; names also when any schema has changed.  Names of
 * columns are looked up in the server's own cache of its catalogs.
 * Locks: none.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "nodes/nodes.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "database/relation_changes.h"
#include "database/relations.h"

/*
 * The tables of a payment, which is more than a dozen look-ups of five names in two caches of the
 * server's, each of them far from the last one in memory.  Only what is there is remembered: that
 * something is not there, nobody would tell us the end of.
 */
#define MAX_NAMED 16

typedef struct Named
{
	Oid relid; /* InvalidOid: void */
	NameData name;
} Named;

static Named named[MAX_NAMED];

static void
forget_names(Oid relid)
{
	for (int i = 0; i < MAX_NAMED; i++)
	{
		if (relid == InvalidOid || relid == named[i].relid)
			named[i].relid = InvalidOid;
	}
}

static void
forget_all_names(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_names(InvalidOid);
}

static void
remember_name(const char *name, Oid relid)
{
	static int next = 0;
	Named *n = &named[next];

	next = (next + 1) % MAX_NAMED;
	namestrcpy(&n->name, name);
	n->relid = relid;
}

static Oid
look_up(const char *name)
{
	static bool registered = false;
	Oid nsp;
	Oid relid;

	/* before the look-up, which can itself take in what has changed */
	pgw_tell_of_relation_changes(forget_names);
	if (!registered)
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_all_names, (Datum) 0);
	registered = true;
	nsp = get_namespace_oid("pgw", true);
	relid = OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;
	if (OidIsValid(relid))
		remember_name(name, relid);
	return relid;
}

Oid
pgw_relation_or_none(const char *name)
{
	for (int i = 0; i < MAX_NAMED; i++)
	{
		if (OidIsValid(named[i].relid) && strcmp(NameStr(named[i].name), name) == 0)
			return named[i].relid;
	}
	return look_up(name);
}

Oid
pgw_relation(const char *name)
{
	Oid relid = pgw_relation_or_none(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table pgw.%s does not exist", name)));
	return relid;
}

AttrNumber
pgw_relation_column(Relation rel, const char *name)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum == InvalidAttrNumber)
		elog(ERROR, "table pgw.%s has no column \"%s\"", RelationGetRelationName(rel), name);
	return attnum;
}

static bool
is_btree(Oid index)
{
	HeapTuple tup = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool result = HeapTupleIsValid(tup) && ((Form_pg_class) GETSTRUCT(tup))->relam == BTREE_AM_OID;

	if (HeapTupleIsValid(tup))
		ReleaseSysCache(tup);
	return result;
}

/* Is the predicate what wanted->where says? */
static bool
is_where(Oid relid, HeapTuple tup, const PgwIndexByColumns *wanted)
{
	bool isnull;
	Datum tree = SysCacheGetAttr(INDEXRELID, tup, Anum_pg_index_indpred, &isnull);
	Node *predicate;
	Bitmapset *columns = NULL;

	if (isnull)
		return false;
	predicate = stringToNode(TextDatumGetCString(tree));
	pull_varattnos(predicate, 1, &columns);
	if (bms_num_members(columns) != wanted->nwhere)
		return false;
	for (int i = 0; i < wanted->nwhere; i++)
	{
		AttrNumber attnum = get_attnum(relid, wanted->where[i]);

		if (attnum == InvalidAttrNumber ||
			!bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns))
			return false;
	}
	/* WHERE NOT live is about live, too */
	return wanted->nwhere > 1 ||
		   get_atttype(relid, get_attnum(relid, wanted->where[0])) != BOOLOID ||
		   IsA(predicate, Var);
}

static bool
fits(Oid relid, HeapTuple tup, const PgwIndexByColumns *wanted, bool partial)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tup);

	if (!form->indisvalid || form->indnkeyatts < wanted->n || !is_btree(form->indexrelid))
		return false;
	if (wanted->unique && (!form->indisunique || !form->indimmediate ||
						   form->indnkeyatts != wanted->n || (partial && wanted->nwhere == 0)))
		return false;
	for (int i = 0; i < wanted->n; i++)
	{
		AttrNumber attnum = form->indkey.values[i];

		if (attnum == 0 || attnum != get_attnum(relid, wanted->columns[i]))
			return false;
	}
	return wanted->nwhere == 0 || is_where(relid, tup, wanted);
}

static Oid
find_index(Oid relid, const PgwIndexByColumns *wanted)
{
	Relation rel = RelationIdGetRelation(relid);
	List *indexes;
	ListCell *lc;
	Oid best = InvalidOid;
	bool best_partial = true;

	if (!RelationIsValid(rel))
		return InvalidOid;
	indexes = RelationGetIndexList(rel);
	foreach (lc, indexes)
	{
		HeapTuple tup = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		bool partial;

		if (!HeapTupleIsValid(tup))
			continue;
		partial = !heap_attisnull(tup, Anum_pg_index_indpred, NULL);
		if (fits(relid, tup, wanted, partial) && (!OidIsValid(best) || (best_partial && !partial)))
		{
			best = lfirst_oid(lc);
			best_partial = partial;
		}
		ReleaseSysCache(tup);
	}
	list_free(indexes);
	RelationClose(rel);
	return best;
}

Oid
pgw_relation_find_index(Oid relid, const char *const *columns, int n, bool unique)
{
	PgwIndexByColumns wanted = {.n = n, .unique = unique};

	Assert(n > 0 && n <= lengthof(wanted.columns));
	memcpy(wanted.columns, columns, n * sizeof(*columns));
	return find_index(relid, &wanted);
}

Oid
pgw_relation_index(Oid relid, PgwIndexByColumns *wanted)
{
	Oid index;

	Assert(wanted->n > 0 && wanted->n <= lengthof(wanted->columns));
	if (wanted->of.relid == relid)
		return wanted->index;
	pgw_remembered_is_voided(&wanted->of);
	index = find_index(relid, wanted);
	if (OidIsValid(index)) /* only now: the look-ups can have processed invalidations */
	{
		wanted->of.relid = relid;
		wanted->index = index;
	}
	return index;
}
