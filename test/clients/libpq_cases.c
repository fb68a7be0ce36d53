/* The cases of make check-clients with libpq, PQexecParams and binary results. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAY "SELECT status, error_code, payment_id FROM pgw.process_payment($1, 4990, 'EUR', $2)"
#define RAISED "SELECT status FROM pgw.process_payment($1, 4990, 'EUR', $2, on_failure => 'raise')"
#define WITH_CARD(id, card, cvv)                                                                                       \
	"SELECT status FROM pgw.process_payment(" id ", 4990, 'EUR', card_number => " card                                  \
	", card_expiry_month => 12, card_expiry_year => 2039, card_cvv => " cvv ")"
#define TAKE "UPDATE stock SET n = n - 1 WHERE run = $1"

static const char *run;

static PGconn *
connected(void)
{
	PGconn *c = PQconnectdb("");

	if (PQstatus(c) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(c));
		exit(1);
	}
	return c;
}

/* The result, in binary: NULL as the last of the parameters. */
static PGresult *
query(PGconn *c, const char *sql, ...)
{
	const char *values[4];
	int			n = 0;
	va_list		ap;

	va_start(ap, sql);
	while ((values[n] = va_arg(ap, const char *)) != NULL)
		n++;
	va_end(ap);
	return PQexecParams(c, sql, n, NULL, values, NULL, NULL, 1);
}

static bool
failed(PGresult *r)
{
	return PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK;
}

/* What libpq itself finds, such as a lost connection, has none. */
static bool
has_state(PGresult *r, const char *state)
{
	const char *its = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	return its != NULL && strcmp(its, state) == 0;
}

static const char *
id(const char *name)
{
	static char buf[64];

	snprintf(buf, sizeof(buf), "%s-%s", run, name);
	return buf;
}

/* What a value of type uuid is, as a parameter's text. */
static const char *
uuid_text(PGresult *r, int column)
{
	static char buf[40];
	const unsigned char *u = (const unsigned char *) PQgetvalue(r, 0, column);
	int			at = 0;

	for (int i = 0; i < 16; i++)
		at += sprintf(buf + at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
	return buf;
}

static PGresult *
serialization(PGconn *c, char *said)
{
	PGconn	   *other = connected();
	PGresult   *r;

	for (int attempt = 1;; attempt++)
	{
		char		status[32] = "";

		r = query(c, "BEGIN ISOLATION LEVEL SERIALIZABLE", NULL);
		if (!failed(r))
			r = query(c, "SELECT n FROM stock WHERE run = $1", run, NULL);
		if (!failed(r))
			r = query(c, PAY, id("40001"), "tok_ok", NULL);
		if (!failed(r))
		{
			snprintf(status, sizeof(status), "%s", PQgetvalue(r, 0, 0));
			if (attempt == 1)
				PQclear(query(other, TAKE, run, NULL));
			r = query(c, TAKE, run, NULL);
		}
		if (!failed(r))
			r = query(c, "COMMIT", NULL);
		if (!failed(r))
		{
			sprintf(said, "%s at %d", status, attempt);
			break;
		}
		if (attempt == 3 || !has_state(r, "40001"))
			break;
		PQclear(query(c, "ROLLBACK", NULL));
	}
	PQfinish(other);
	return r;
}

/* As listeners do, it waits without a statement of its own; another connection pays. */
static PGresult *
notify(PGconn *c, char *said)
{
	PGconn	   *other;
	PGresult   *r = query(c, "LISTEN pgw_payments", NULL);
	struct pollfd socket = {PQsocket(c), POLLIN, 0};
	char		payment[40];

	if (failed(r))
		return r;
	other = connected();
	r = query(other, "SELECT payment_id FROM pgw.submit_payment($1, 4990, 'EUR', 'tok_ok')", id("notify"), NULL);
	if (failed(r))
		return r;
	strcpy(payment, uuid_text(r, 0));
	r = query(other, "SELECT status FROM pgw.wait_for_payment($1)", payment, NULL);
	PQfinish(other);
	strcpy(said, "lost");
	while (poll(&socket, 1, 1000 * atoi(getenv("LISTEN_SECONDS"))) > 0 && PQconsumeInput(c))
		for (PGnotify *n; (n = PQnotifies(c)) != NULL; PQfreemem(n))
			if (strstr(n->extra, payment) != NULL)
			{
				strcpy(said, "heard");
				return r;
			}
	return r;
}

static PGresult *
refund(PGconn *c, char *said)
{
	char		payment[40];
	PGresult   *r = query(c, PAY, id("refund"), "tok_ok", NULL);

	if (failed(r))
		return r;
	strcpy(payment, uuid_text(r, 2));
	r = query(c, "SELECT status FROM pgw.refund_payment($1, $2)", payment, id("back"), NULL);
	if (failed(r))
		return r;
	r = query(c, "SELECT status FROM pgw.wait_for_payment($1)", payment, NULL);
	strcpy(said, failed(r) ? "" : PQgetvalue(r, 0, 0));
	return r;
}

/* In binary: how many bytes each has. */
static PGresult *
types(PGconn *c, char *said)
{
	PGresult   *r = query(c, "SELECT payment_id, status, amount, details, created_at, replayed FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", id("token"), NULL);

	*said = '\0';
	for (int i = 0; i < PQnfields(r); i++)
		sprintf(said + strlen(said), "%s%d", i > 0 ? " " : "", PQgetlength(r, 0, i));
	return r;
}

static void
tell(const char *name, PGconn *c, PGresult *r, const char *said)
{
	if (!failed(r))
		printf("%s\t%s\n", name, *said ? said : PQgetvalue(r, 0, 0));
	else
	{
		const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
		const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

		printf("%s\t%s%s\n", name, state ? state : "no SQLSTATE",
			state && strncmp(state, "PW", 2) == 0 ? detail && strchr("[{", *detail) ? " DETAIL" : " no DETAIL" : "");
	}
	PQclear(r);
	PQfinish(c);
}

int
main(void)
{
	char		card[17],
				literal[512],
				said[256] = "";
	PGconn	   *c;
	PGresult   *r;

	run = getenv("RUN");
	for (int i = 0; i < 4; i++)
		strcpy(card + 4 * i, "4242");
	snprintf(literal, sizeof(literal), WITH_CARD("'%s-literal'", "'%s'", "'123'"), run, card);

	c = connected(), tell("token", c, query(c, PAY, id("token"), "tok_ok", NULL), "");
	c = connected(), tell("card_bound", c, query(c, WITH_CARD("$1", "$2", "$3"), id("card"), card, "123", NULL), "");
	c = connected(), tell("card_interpolated", c, query(c, literal, NULL), "");
	c = connected(), r = query(c, PAY, id("no"), "tok_decline_insufficient_funds", NULL);
	if (!failed(r))
		snprintf(said, sizeof(said), "%s %s", PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
	tell("decline_row", c, r, said);
	c = connected(), tell("decline_raise", c, query(c, RAISED, id("raise"), "tok_decline_do_not_honor", NULL), "");
	c = connected(), tell("pw400", c, query(c, "SELECT status FROM pgw.process_payment($1, 0, 'EUR', 'tok_ok')", id("bad"), NULL), "");
	c = connected(), r = serialization(c, said), tell("serialization", c, r, said);
	c = connected(), r = notify(c, said), tell("notify", c, r, said);
	c = connected(), r = refund(c, said), tell("refund", c, r, said);
	c = connected(), r = types(c, said), tell("types", c, r, said);
	return 0;
}
