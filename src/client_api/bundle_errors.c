/*
 * bundle_errors.c - the payments of one pgw.process_payments(), and what becomes of one that fails
 *
 * Owns nothing that lasts.  Invariant: an error is taken for an answer only in a subtransaction
 * that is rolled back for it: pgw_bundle_run().
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/json_writer.h"
#include "client_api/bundle_errors.h"
#include "client_api/payment_result.h"
#include "core/base/error_codes.h"
#include "core/base/uuid7.h"
#include "core/json/json_text.h"
#include "sql_function/raise_error.h"

#define MAX_NESTING 8 /* of a DETAIL */

/* ---------------------------------------------------------------- errors */

/*
 * The code that it has as an error of pgw's own: in DETAIL, which is an object
 * (base/error_detail.h), or for PW400 an array of faults.  NULL: it is none, whatever its SQLSTATE,
 * which code of users may raise, too.  Nothing of it is trusted, and nothing here raises.
 */
static const char *
code_of(const ErrorData *e)
{
	const PgwErrorInfo *info;
	PgwJson detail;
	PgwJson first;
	PgwJson code;
	char name[64];
	size_t len;

	if (strncmp(unpack_sql_state(e->sqlerrcode), "PW", 2) != 0 || e->detail == NULL ||
		pgw_json_read(e->detail, strlen(e->detail), MAX_NESTING, &detail) != PGW_JSON_GOOD)
		return NULL;
	if (pgw_json_element(&detail, 0, &first))
		detail = first;
	if (!pgw_json_member(&detail, "code", &code) || pgw_json_type(&code) != PGW_JSON_STRING)
		return NULL;
	len = pgw_json_text(&code, name, sizeof(name));
	if (len >= sizeof(name))
		return NULL;
	name[len] = '\0';
	info = pgw_error_find(name);
	return info != NULL ? info->code : NULL;
}

/* DETAIL is an object, or an array of them: one member more. */
static void
name_request(ErrorData *e, const PgwMember *m)
{
	int request = m->pay->args.request;
	int len = (int) strlen(e->detail);

	if (e->detail[0] == '{' && e->detail[len - 1] == '}')
		e->detail = psprintf("%.*s, \"request\": %d}", len - 1, e->detail, request);
	else if (strncmp(e->detail, "[{", 2) == 0)
		e->detail = psprintf("[{\"request\": %d, %s", request, e->detail + 2);
}

bool
pgw_bundle_try(PgwBundle *b, PgwMember *m, PgwBundleStep step)
{
	volatile bool ok = true;

	PG_TRY();
	{
		step(b, m);
	}
	PG_CATCH();
	{
		const char *code;
		ErrorData *e;

		MemoryContextSwitchTo(b->context);
		e = CopyErrorData();
		code = code_of(e);
		if (code == NULL)
			PG_RE_THROW();
		FlushErrorState();
		name_request(e, m);
		if (b->atomic || m->begun_before)
			ReThrowError(e);
		m->error = e;
		m->error_code = code;
		m->state = PGW_MEMBER_FAILED;
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

static void
roll_back(PgwBundle *b)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(b->context);
	CurrentResourceOwner = b->owner;
}

/*
 * An error must not leave the subtransaction: to the server it would be a savepoint of the
 * client's, who would find himself in a transaction that he has not begun.
 */
static bool
run_in_subtransaction(PgwBundle *b, PgwBundleWork work, PgwMember *m, PgwBundleStep step)
{
	volatile bool ok = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(b->context);
	PG_TRY();
	{
		ok = work(b, m, step);
	}
	PG_CATCH();
	{
		ErrorData *e;

		MemoryContextSwitchTo(b->context);
		e = CopyErrorData();
		FlushErrorState();
		roll_back(b);
		ReThrowError(e);
	}
	PG_END_TRY();
	if (!ok)
	{
		roll_back(b);
		return false;
	}
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(b->context);
	CurrentResourceOwner = b->owner;
	return true;
}

bool
pgw_bundle_run(PgwBundle *b, PgwBundleWork work, PgwMember *m, PgwBundleStep step)
{
	return b->atomic ? work(b, m, step) : run_in_subtransaction(b, work, m, step);
}

/* ---------------------------------------------------------------- results */

static void
put_untaken(PgwJsonWriter *w, const PgwMember *m, const PgwResultError *v)
{
	char id[37];

	pgw_json_begin_object(w, NULL);
	pgw_json_put_int(w, "request", m->pay->args.request);
	pgw_json_put_string(w, "client_request_id", m->pay->args.client_request_id);
	pgw_json_put_string(w, "code", v->error_code);
	pgw_uuid_to_text(m->pay->payment.payment_id.data, id);
	pgw_json_put_string(w, "payment_id", id);
	pgw_json_end_object(w);
}

void
pgw_bundle_require_taken(const PgwBundle *b)
{
	PgwResultError first = {0};
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_array(&w, "requests");
	for (int i = 0; i < b->n; i++)
	{
		const PgwMember *m = &b->members[i];
		PgwResultError v;

		pgw_result_error(&m->pay->payment, m->have_t ? &m->attempt : NULL, m->audience, &v);
		if (v.error_code == NULL)
			continue;
		put_untaken(&w, m, &v);
		if (first.error_code == NULL)
			first = v;
	}
	pgw_json_end_array(&w);
	if (first.error_code != NULL)
		pgw_raise(
			first.error_code, w.text.data,
			"DETAIL names the requests that were not taken; what was taken is given back. Leave them out, or ask for each by itself with atomic => false.");
}

void
pgw_bundle_put(const PgwMember *m, Tuplestorestate *store, TupleDesc desc)
{
	if (m->state == PGW_MEMBER_FAILED)
		pgw_result_put_refused(store, desc, &m->pay->args, m->error_code, m->error->detail);
	else
		pgw_result_put_request(store, desc, m->pay->args.request, &m->pay->payment,
							   m->have_t ? &m->attempt : NULL, m->audience);
}
