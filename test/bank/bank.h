/*-------------------------------------------------------------------------
 *
 * bank.h
 *		Shared declarations of the bank simulator.
 *
 * The simulator is a stand-alone program used by the tests.  It is built
 * from small files: main.c (command line), http.c (connections), timer.c
 * (delays), request.c (routing, idempotency, faults), ops.c (what the bank
 * does), state.c (what the bank remembers), faults.c (which fault is wanted),
 * v1.c and form.c (dialects of our own), notify.c (what it says by itself), disputes.c, dialect.c,
 *parameters.c, schema.c and dialect_answer.c (vendors' dialects, from data), control.c and ledger.c
 *(the test side), buf.c (text).
 *
 * Everything declared here other than buf_* and timer_* needs the state
 * lock, unless a comment says otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BANK_H
#define BANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <json-c/json.h>
#include <microhttpd.h>

#include "core/base/sha2.h"
#include "core/test_bank/test_tokens.h"

#define LAST4_LEN 5
#define MAX_BODY (64 * 1024)
#define HUGE_BODY (100 * 1024 * 1024)
#define MAX_CODE 40
#define NOTIFY_SECRET 80

/* ---- buf.c ---- */
typedef struct Buf
{
	char *data;
	size_t len;
	size_t cap;
} Buf;

extern void *xalloc(size_t size);
extern char *xstrdup(const char *s);
extern void buf_add(Buf *b, const char *data, size_t len);
extern void buf_puts(Buf *b, const char *s);
extern void buf_printf(Buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern void buf_json(Buf *b, const char *s);
extern void buf_free(Buf *b);
extern void copy_masked(char *dst, size_t size, const char *src);
extern uint64_t hash_bytes(const void *data, size_t len, uint64_t h);
extern int64_t now_ms(void);

#define HASH_START UINT64_C(14695981039346656037)

/* ---- faults.c ---- */
typedef PgwFaultKind FaultKind;
typedef PgwFault Fault;

typedef enum Operation
{
	OP_CHARGE,
	OP_AUTHORIZE,
	OP_CAPTURE,
	OP_VOID,
	OP_REFUND,
	OP_LOOKUP,
	OP_CANCEL,
	OP_PING,
	OP_OTHER,
	OP_COUNT
} Operation;

extern const char *const operation_names[OP_COUNT];

extern const char *brand_of_card(const char *number);
extern Fault fault_by_chance(Operation op);
/* those of notifications are drawn for each notification, and for nothing else */
extern Fault fault_of_notification(void);
extern bool fault_is_of_notification(FaultKind kind);
extern const char *faults_configure(json_object *conf);
extern void faults_reset(void);
extern void faults_seed(uint64_t seed);

/* ---- state.c ---- */
typedef enum ChargeStatus
{
	CH_APPROVED,
	CH_DECLINED,
	CH_PENDING,
	CH_REQUIRES_ACTION
} ChargeStatus;

typedef struct Charge
{
	char id[32];
	char *reference;
	char *key;
	char *merchant;
	char *merchant_reference;
	char currency[4];
	char last4[LAST4_LEN];
	char auth_code[8];
	const char *brand;
	const char *dialect;
	const char *error; /* decline code, constant text */
	ChargeStatus status;
	ChargeStatus resolve_to;
	bool immediate; /* capture together with the approval */
	bool voided;
	bool had_chance;       /* to be disputed */
	bool closed;           /* the rest of it has been released */
	json_object *metadata; /* what a vendor keeps with it, and shows */
	Fault fault;
	int refusals;        /* how often a refund was refused */
	int told;            /* the state that a notification has told, and one more; 0: none */
	int64_t answered_at; /* when the answer to the request that made it is sent */
	int64_t resolve_at;  /* 0 = nothing to come */
	int64_t expires_at;  /* of the authorization; 0 = never */
	int64_t created_at;
	int64_t amount;
	int64_t authorized;
	int64_t captured;
	int64_t refunded;
	struct Charge *next_ref; /* older charge of the same hash bucket */
} Charge;

typedef enum RefundStatus
{
	RE_SUCCEEDED,
	RE_PENDING,
	RE_FAILED
} RefundStatus;

/* a capture, a refund or a void */
typedef struct Step
{
	char id[32];
	Operation op;
	Charge *charge;
	char *reference;
	char *key;
	int64_t amount;
	int64_t created_at;
	int64_t resolve_at;
	bool closes; /* a capture that was accepted: the rest is released when it is done */
	RefundStatus status;
	RefundStatus resolve_to;
	Fault fault;         /* of the request that made it */
	int told;            /* as a charge's */
	int64_t answered_at; /* as a charge's */
	const char *error;
	json_object *metadata;
	struct Step *next_ref;
} Step;

typedef struct KeyEntry
{
	char *key;
	uint64_t print;
	bool stored;      /* has an answer (else: in flight) */
	int64_t ready_at; /* in flight until then */
	int64_t created_at;
	int status;
	char *body;
	struct KeyEntry *next;
} KeyEntry;

typedef struct Settings
{
	bool idempotency;
	bool lookup;
	bool down;
	bool drop;
	/* a look-up shows the newest charge, whatever was asked for */
	bool lookup_ignores_reference;
	/* a look-up says what was captured and refunded, and whether it was voided */
	bool lookup_amounts;
	bool numeric_ids;             /* ids are numbers of 25 digits */
	unsigned accepts;             /* these operations are done, or fail, later: ... */
	long accepted_min;            /* ... so many milliseconds, or, where they are 0, ... */
	long accepted_max;            /* ... when /control/settle says so */
	char notifies[NOTIFY_SECRET]; /* what notifications are signed with; "": there are none */
	double disputes;              /* so many of the captured charges are disputed, 0 to 1 */
	bool over_refunds;            /* pays back more than was captured, if it is asked to */
	bool refunds_by_void;         /* a refund of the whole is carried out as a void */
	bool unsettled;       /* what is captured is not settled: it is voided, and never refunded */
	int64_t lookup_lag;   /* milliseconds after which a look-up by reference shows something */
	int64_t key_lifetime; /* milliseconds */
	long delay_min;
	long delay_max;
	const char *secret;
	const char *livemode; /* what v1 says of it, true or false; NULL: nothing */
	uint64_t seed;
} Settings;

typedef struct List
{
	void **items;
	size_t count;
	size_t cap;
} List;

extern Settings settings;
extern Settings settings_at_start;
extern List charges;
extern List captures;
extern List refunds;
extern List voids;

extern void state_lock(void);
extern void state_unlock(void);
extern void state_reset(void);
extern void list_add(List *list, void *item);
extern void random_seed(uint64_t seed);
extern uint64_t random_step(uint64_t *state);
extern uint64_t random_next(void);
extern Charge *charge_new(const char *reference, const char *id_prefix);
extern Charge *charge_by_id(const char *id);
extern Charge *charge_newest(void);
extern Charge *charge_by_reference(const char *reference, Charge *after);
extern void charge_settle(Charge *c, int64_t now);
extern bool charge_expired(const Charge *c, int64_t now);
extern bool charge_as_of(const Charge *c, int64_t then, Charge *copy);
extern Step *step_new(Operation op, Charge *c, const char *reference);
extern Step *step_by_reference(Operation op, const char *reference);
extern void step_settle(Step *s, int64_t now);
/* What was accepted is done, or has failed: with which code. */
extern void step_end(Step *s, const char *error);
extern void charge_end(Charge *c, ChargeStatus status);
extern bool bank_accepts(Operation op);
/* when what is accepted now is done; 0: when /control/settle says so */
extern int64_t accepted_until(int64_t now);
/* of a charge, what steps of that list have been accepted for and not done */
extern int64_t accepted_amount(const List *list, const Charge *c);
extern bool reference_blocked(const char *reference);
extern void reference_block(const char *reference);
extern int count_attempt(const char *what, const char *reference);
extern KeyEntry *key_find(const char *key, int64_t now);
extern KeyEntry *key_add(const char *key, uint64_t print, int64_t now);
extern void key_remove(const char *key);

/* ---- timer.c ---- */
struct Request;
extern bool timer_start(void);
extern void timer_stop(void);
extern bool timer_add(struct Request *req, int64_t due, bool hold);

/* ---- request.c ---- */
typedef enum Delivery
{
	D_NORMAL,
	D_NEVER,
	D_RESET,
	D_CLOSE,
	D_CLOSE_HEADERS,
	D_TRUNCATED,
	D_HUGE
} Delivery;

/* what a dialect asks the bank to do */
typedef struct Order
{
	Operation op;
	char *charge_id;
	int64_t amount; /* -1 = not given */
	char currency[8];
	char *reference;
	char *merchant;
	char *merchant_reference;
	char *reason;
	const char *brand;
	char last4[LAST4_LEN];
	Fault fault;
	const char *lookup;  /* "charges", "refunds", "captures", or NULL */
	bool capture_closes; /* one capture, and the rest is released */
	bool accepts_only;   /* does what it accepts a while later */
	bool void_stops;     /* ends also what waits for the card holder */
	bool or_void;        /* of a refund: what is not captured is voided */
} Order;

/* what the bank did */
typedef struct Outcome
{
	int http; /* status of an error, or 0 = done */
	const char *code;
	const char *message;
	Charge *charge;
	Step *step;
	int matches;
	const char *result; /* of a cancellation */
} Outcome;

struct Request;

/* ---- schema.c ---- */
#define SCHEMA_PARAM 128

typedef struct SchemaFault
{
	const char *code;
	char param[SCHEMA_PARAM];
} SchemaFault;

extern bool schema_check(json_object *schema, json_object *value, bool form, const char *path,
						 SchemaFault *f);

/* ---- parameters.c ---- */
extern int hex_digit(char c);
extern json_object *parameters_of_form(const char *body);
extern json_object *parameters_of_query(struct MHD_Connection *connection);
extern json_object *parameters_of_json(const char *body, size_t len);

/* how the bank is spoken to, under a root of its own */
typedef struct Dialect
{
	const char *name;
	const char *root;
	bool keys; /* it has idempotency keys */
	bool (*parse)(struct Request *req);
	void (*answer)(struct Request *req, const Outcome *out, const Fault *fault);
	void (*error)(struct Request *req, int status, const char *code, const char *message);
	const char *text; /* of a vendor's: the file */
	json_object *data;
	const char *id_prefix; /* of charges; NULL: ch */
} Dialect;

typedef struct Request
{
	struct MHD_Connection *connection;
	int fd;
	const char *method;
	char *path;
	char *key;
	char *correlation;
	char *traceparent;
	char *tracestate;
	Buf body;
	bool body_too_large;
	const Dialect *dialect;   /* NULL: of the test side */
	json_object *request;     /* a vendor's: what its dialect says of this request ... */
	json_object *params;      /* ... its parameters ... */
	char param[SCHEMA_PARAM]; /* ... and the one that is wrong */
	Order order;
	Charge shown; /* what a look-up shows that lags behind */

	/* the answer */
	bool answered; /* the answer below is complete */
	bool waiting;  /* suspended, timer runs */
	bool late;     /* the work is to be done after the delay */
	bool replayed;
	bool key_held; /* this request owns the key entry */
	int retry_after;
	int status;
	Delivery delivery;
	int64_t delay;
	Buf out;
	size_t log_slot;
	uint64_t log_number;
} Request;

extern void request_handle(Request *req);
extern void request_finish_late(Request *req);
extern void request_free(Request *req);
extern void answer_error(Request *req, int status, const char *code, const char *message);

/* ---- notify.c ---- */
extern void notify_reset(void);
/* one was taken: it is not sent again, and what waited for it is due */
extern const char *notify_taken(json_object *conf);
extern void notify_handle(Request *req);
/* type: "dispute.opened" ...; more: further members of the body, each after a comma */
extern void notify_dispute(const Charge *c, const char *type, int64_t amount, const char *more,
						   int64_t due);

/* ---- disputes.c ---- */
extern void disputes_reset(void);
extern const char *disputes_control(json_object *conf);
extern void disputes_draw(int64_t now);
extern void disputes_put(Buf *b);

/* ---- ops.c ---- */
extern void bank_do(Request *req, Outcome *out);

/* ---- v1.c ---- */
extern const char *order_card(Order *o, const char *number, long month, long year);
extern const char *order_token(Order *o, const char *token);
extern bool v1_parse(Request *req);
extern void v1_answer(Request *req, const Outcome *out, const Fault *fault);
extern void v1_error(Request *req, int status, const char *code, const char *message);

/* ---- decimal.c ---- */
extern int decimal_digits(const char *currency);
extern int64_t decimal_amount(const char *text, int digits);
extern void put_decimal(Buf *b, int64_t amount, int digits);

/* ---- form.c ---- */
extern bool form_parse(Request *req);
extern void form_answer(Request *req, const Outcome *out, const Fault *fault);
extern void form_error(Request *req, int status, const char *code, const char *message);

/* ---- dialect.c ---- */
extern void dialects_load(void);
extern const Dialect *dialect_of(const char *path);
extern json_object *dialect_member(json_object *obj, const char *name);
extern void dialect_die(const Dialect *d, const char *what, const char *name);

/* ---- dialect_answer.c ---- */
extern void dialect_answer(Request *req, const Outcome *out, const Fault *fault);
extern void dialect_error(Request *req, int status, const char *code, const char *message);

/* ---- control.c ---- */
extern void control_handle(Request *req);

/* ---- ledger.c ---- */
extern void ledger_handle(Request *req);
extern void ledger_count(Operation op);
extern void ledger_log(Request *req);
extern void ledger_log_answer(Request *req);
extern void ledger_reset(void);

/* ---- http.c ---- */
/* PEM; NULL: no TLS */
extern struct MHD_Daemon *http_start(int port, int threads, unsigned int limit, const char *key,
									 const char *certificate);

#endif /* BANK_H */
