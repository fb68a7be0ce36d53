/*
 * database.c - the peer's connections to PostgreSQL: one prepared statement, one round trip and one
 * commit for each step of a payment, or of a batch of payments
 *
 * One payment at a time (batch 1): all connections carry both steps, and a statement goes at once
 * to the connection with the fewest before it (libpq's pipeline mode), so that the server need not
 * wait for this program between two of them.
 *
 * Batches: half of the connections carry intents, the others results, one statement at a time on
 * each. What comes meanwhile waits here and makes the next batch.
 *
 * A statement has ended when its Sync is answered, not when its rows have come: they come before
 * the commit.
 */
#include <libpq-fe.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "peer.h"

#define MAX_VALUES 4

/* The payments of a statement that is under way. */
typedef struct Batch
{
	Step step;
	int size;
	Payment *first;
	struct Batch *next;
} Batch;

typedef struct Connection
{
	PGconn *conn;
	Batch *oldest; /* its answer comes next */
	Batch *newest;
	int in_flight;
} Connection;

/* Payments that wait for a statement. */
typedef struct Queue
{
	Payment *first;
	Payment *last;
} Queue;

/* An array as PostgreSQL reads it. Nothing that is put into one needs quotes. */
typedef struct Array
{
	char *text;
	size_t length;
	size_t size;
} Array;

static const char *const statement_name[STEPS] = {"intent", "result"};
static const int parameters[STEPS] = {4, 3};
static Connection *connections;
static Queue queues[STEPS];

static void
array_add(Array *array, const char *value)
{
	size_t more = strlen(value);
	char before = array->length == 0 ? '{' : ',';

	if (array->length + more + 3 > array->size)
	{
		array->size = 2 * (array->size + more) + 64;
		array->text = realloc(array->text, array->size);
		if (array->text == NULL)
			fatal("out of memory");
	}
	array->text[array->length++] = before;
	memcpy(array->text + array->length, value, more);
	array->length += more;
	strcpy(array->text + array->length, "}");
}

/* The parameters of a payment's statement. */
static void
values_of(Step step, const Payment *payment, const char *values[MAX_VALUES])
{
	if (step == STEP_INTENT)
	{
		values[0] = payment->id;
		values[1] = AMOUNT;
		values[2] = CURRENCY;
		values[3] = TOKEN;
	}
	else
	{
		values[0] = payment->attempt;
		values[1] = payment->bank_id;
		values[2] = payment->approved ? "t" : "f";
	}
}

/* The same for a batch: an array of each. */
static void
arrays_of(const Batch *batch, const char *values[MAX_VALUES])
{
	static Array arrays[MAX_VALUES];

	for (int i = 0; i < MAX_VALUES; i++)
		arrays[i].length = 0;
	for (Payment *p = batch->first; p != NULL; p = p->next)
	{
		values_of(batch->step, p, values);
		for (int i = 0; i < parameters[batch->step]; i++)
			array_add(&arrays[i], values[i]);
	}
	for (int i = 0; i < MAX_VALUES; i++)
		values[i] = arrays[i].text;
}

static void connection_ready(int fd, uint32_t events, void *arg);

/* Send what libpq holds; what does not fit goes when the socket takes more. */
static void
connection_flush(Connection *c)
{
	int left = PQflush(c->conn);

	if (left < 0)
		fatal("%s", PQerrorMessage(c->conn));
	if (left > 0)
		watch(PQsocket(c->conn), EPOLLIN | EPOLLOUT, connection_ready, c);
}

static void
send_batch(Connection *c, Batch *batch)
{
	const char *values[MAX_VALUES];

	if (options.batch == 1)
		values_of(batch->step, batch->first, values);
	else
		arrays_of(batch, values);
	if (PQsendQueryPrepared(c->conn, statement_name[batch->step], parameters[batch->step], values,
							NULL, NULL, 0) != 1 ||
		PQpipelineSync(c->conn) != 1)
		fatal("%s", PQerrorMessage(c->conn));
	connection_flush(c);
	if (c->oldest == NULL)
		c->oldest = batch;
	else
		c->newest->next = batch;
	c->newest = batch;
	c->in_flight++;
}

/* The rows of a statement: each intent's attempt, or the events of the results. */
static void
take_rows(const Batch *batch, PGresult *r)
{
	if (batch->step == STEP_RESULT)
	{
		if (atoi(PQcmdTuples(r)) != 4 * batch->size)
			fatal("%d results have written %s events", batch->size, PQcmdTuples(r));
		return;
	}
	if (PQntuples(r) != batch->size)
		fatal("%d intents have made %d attempts", batch->size, PQntuples(r));
	for (int i = 0; i < batch->size; i++)
	{
		Payment *p = batch->first;

		/* rows come mostly, but not certainly, in the order of the batch */
		while (p != NULL && (p->attempt[0] != '\0' || strcmp(p->id, PQgetvalue(r, i, 0)) != 0))
			p = p->next;
		if (p == NULL)
			fatal("an attempt of nobody: %s", PQgetvalue(r, i, 0));
		snprintf(p->attempt, sizeof(p->attempt), "%s", PQgetvalue(r, i, 1));
	}
}

/* A statement is committed: its payments go on. */
static void
batch_committed(Connection *c)
{
	Batch *batch = c->oldest;
	Payment *p = batch->first;

	c->oldest = batch->next;
	c->in_flight--;
	while (p != NULL)
	{
		Payment *next = p->next;

		if (batch->step == STEP_INTENT)
			payment_intended(p);
		else
			payment_completed(p);
		p = next;
	}
	free(batch);
}

static void
connection_ready(int fd, uint32_t events, void *arg)
{
	Connection *c = arg;

	if (events & EPOLLOUT)
	{
		watch(fd, EPOLLIN, connection_ready, c);
		connection_flush(c);
	}
	if (PQconsumeInput(c->conn) != 1)
		fatal("%s", PQerrorMessage(c->conn));
	while (c->in_flight > 0 && !PQisBusy(c->conn))
	{
		PGresult *r = PQgetResult(c->conn);

		switch (PQresultStatus(r))
		{
			case PGRES_TUPLES_OK:
			case PGRES_COMMAND_OK:
				take_rows(c->oldest, r);
				break;
			case PGRES_PIPELINE_SYNC:
				batch_committed(c);
				break;
			default:
				/* NULL stands between the rows and the Sync */
				if (r != NULL)
					fatal("%s", PQresultErrorMessage(r));
		}
		PQclear(r);
	}
}

/* The connection that takes the next statement of a step, NULL where it has to wait. */
static Connection *
connection_for(Step step)
{
	int lanes = options.connections / 2;
	int from = options.batch > 1 && step == STEP_RESULT ? lanes : 0;
	int to = options.batch > 1 ? from + lanes : options.connections;
	Connection *best = &connections[from];

	for (int i = from; i < to; i++)
		if (connections[i].in_flight < best->in_flight)
			best = &connections[i];
	return options.batch > 1 && best->in_flight > 0 ? NULL : best;
}

/* The first payments of a queue, as many as share a statement. */
static Batch *
batch_of(Step step)
{
	Queue *queue = &queues[step];
	Batch *batch = calloc(1, sizeof(*batch));
	Payment *last = queue->first;

	if (batch == NULL)
		fatal("out of memory");
	batch->step = step;
	batch->first = queue->first;
	batch->size = 1;
	while (batch->size < options.batch && last->next != NULL)
	{
		last = last->next;
		batch->size++;
	}
	queue->first = last->next;
	last->next = NULL;
	return batch;
}

void
database_queue(Step step, Payment *payment)
{
	Queue *queue = &queues[step];

	payment->next = NULL;
	if (queue->first == NULL)
		queue->first = payment;
	else
		queue->last->next = payment;
	queue->last = payment;
}

/* Send what waits, as far as there is a connection for it. */
void
database_send(void)
{
	/* results first: their payments are over with them */
	for (int step = STEP_RESULT; step >= STEP_INTENT; step--)
	{
		Connection *c;

		while (queues[step].first != NULL && (c = connection_for(step)) != NULL)
			send_batch(c, batch_of(step));
	}
}

static PGconn *
connect_one(void)
{
	PGconn *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		fatal("%s", PQerrorMessage(conn));
	for (int step = 0; step < STEPS; step++)
	{
		PGresult *r = PQprepare(conn, statement_name[step], options.statement[step], 0, NULL);

		if (PQresultStatus(r) != PGRES_COMMAND_OK)
			fatal("%s", PQresultErrorMessage(r));
		PQclear(r);
	}
	if (PQsetnonblocking(conn, 1) != 0 || PQenterPipelineMode(conn) != 1)
		fatal("%s", PQerrorMessage(conn));
	return conn;
}

void
database_connect(void)
{
	if (options.batch > 1 && options.connections < 2)
		fatal("batches need a connection for each step");
	connections = calloc(options.connections, sizeof(*connections));
	if (connections == NULL)
		fatal("out of memory");
	for (int i = 0; i < options.connections; i++)
	{
		connections[i].conn = connect_one();
		watch(PQsocket(connections[i].conn), EPOLLIN, connection_ready, &connections[i]);
	}
}
