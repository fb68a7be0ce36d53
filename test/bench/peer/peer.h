/*
 * peer.h - the parts of the peer: payments (main.c), the database (database.c), the bank (bank.c)
 *
 * The peer is what a user would write instead of pgw: an app server that carries out payments by
 * itself. A payment takes three steps: its intent is committed, then the bank is asked, then the
 * result is committed. Everything happens in one thread around one epoll.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>

/* Every payment of the benchmark is the same but for its id, whoever carries it out. */
#define AMOUNT "1234"
#define CURRENCY "EUR"
#define TOKEN "tok_ok"

typedef enum Step
{
	STEP_INTENT,
	STEP_RESULT,
} Step;
#define STEPS 2

typedef struct Payment
{
	int slot;             /* its place among those that are carried out at the same time */
	long number;          /* how many the slot has had */
	int64_t began;        /* now_us() */
	char id[48];          /* client_request_id, and the bank's idempotency key and reference */
	char attempt[24];     /* id of its row in payment_transactions; empty until that is known */
	char bank_id[64];     /* the bank's id of the charge */
	bool approved;        /* what the bank has said */
	struct Payment *next; /* in the queue or the batch that it is in */
} Payment;

typedef struct Options
{
	int clients;        /* payments that are carried out at the same time */
	double seconds;     /* for so long payments are begun ... */
	long payments;      /* ... or, where this is not 0, until so many were */
	int connections;    /* to the database */
	int batch;          /* payments that share a statement and its commit, at most */
	const char *prefix; /* of every id */
	const char *bank;   /* URL of a charge */
	const char *secret;
	const char *statement[STEPS];
	const char *log;
} Options;

extern Options options;

/* main.c */
typedef void (*Ready)(int fd, uint32_t events, void *arg);
extern void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
extern int64_t now_us(void);
extern void watch(int fd, uint32_t events, Ready ready, void *arg);
extern void payment_intended(Payment *payment);
extern void payment_charged(Payment *payment);
extern void payment_completed(Payment *payment);

/* database.c */
extern void database_connect(void);
extern void database_queue(Step step, Payment *payment);
extern void database_send(void);

/* bank.c */
extern void bank_init(void);
extern void bank_charge(Payment *payment);
extern int bank_timeout_ms(void);
extern void bank_tick(void);

#endif
