/*
 * compiled.h - the compiled form of a connector document, shared by the files of the engine
 *
 *   compile.c              compile: the document as a whole; the public small functions
 *   compile_names.c        compile: each name once in its object
 *   compile_capabilities.c compile: what the bank can do
 *   compile_idempotency.c  compile: what the bank makes of each operation's key
 *   compile_operation.c    compile: one operation, and what must hold between operations
 *   compile_template.c     compile: texts with placeholders, headers, body trees
 *   always_there.c         compile: what stands in every request of an operation
 *   references.c           compile, render, judge: our references as the bank takes them
 *   compile_computed.c     compile: values that are made of others and of the request
 *   compile_filter.c       compile: how a placeholder's value is to be written
 *   compile_answer.c       compile: rules, selection, error codes
 *   doubtful_rules.c       compile: rules that anything on the way may fit
 *   compile_condition.c    compile: JSON pointers, and what must stand at them
 *   compile_field.c        compile: where a field's value comes from
 *   compile_notifications.c compile: what the bank sends by itself, and how it is signed
 *   warnings.c, disagreements.c, hidden_rules.c  what a compiled connector will cost (warnings.h)
 *   render_request.c       render a request (core/bank_message)
 *   render_value.c         render: the value of a placeholder
 *   render_computed.c      render: computed values
 *   render_mark.c          render: what stands for values that nobody is to see
 *   judge_answer.c         judge an answer (core/bank_message)
 *   answer_body.c          what stands where in it (core/bank_message)
 *
 * Everything compiled lives in the connector's arena and is never changed afterwards, so one
 * connector may serve any number of calls at once.  Nothing points into the json-c tree of the
 * document, which is gone when compiling ends.
 */
#ifndef PGW_CORE_CONNECTOR_COMPILED_H
#define PGW_CORE_CONNECTOR_COMPILED_H

#include <json-c/json.h>

#include "core/base/byte_text.h"
#include "core/base/secret_values.h"
#include "core/base/sha2.h"
#include "core/card/card_checks.h"
#include "core/connector/connector.h"
#include "core/connector/said_dispute.h"

#define PGW_DOC_MAX_BYTES (256 * 1024)
#define PGW_DOC_MAX_NESTING 32
#define PGW_PATH_MAX_BYTES 4096
#define PGW_HEADER_MAX_BYTES 8192
#define PGW_BODY_MAX_BYTES (64 * 1024)
#define PGW_ANSWER_MAX_BYTES (1024 * 1024)
#define PGW_ANSWER_MAX_NESTING 32
#define PGW_TEN_YEARS_S INT64_C(315360000)

/* ---- templates ---- */

typedef enum PgwPlaceholder
{
	PGW_PH_AMOUNT = 0,
	PGW_PH_AMOUNT_DECIMAL,
	PGW_PH_CURRENCY,
	PGW_PH_TOKEN,
	PGW_PH_CARD_NUMBER,
	PGW_PH_CARD_EXPIRY_MONTH,
	PGW_PH_CARD_EXPIRY_YEAR,
	PGW_PH_CARD_EXPIRY_MMYY,
	PGW_PH_CARD_CVV,
	PGW_PH_CARD_HOLDER,
	PGW_PH_TRANSACTION_REF,
	PGW_PH_ORIGINAL_REF,
	PGW_PH_BANK_REFERENCE,
	PGW_PH_IDEMPOTENCY_KEY,
	PGW_PH_CORRELATION_ID,
	PGW_PH_MERCHANT,
	PGW_PH_REFERENCE,
	PGW_PH_REASON,
	PGW_PH_FINAL,
	PGW_PH_SECRET,      /* with a name, or NULL: a file with one value */
	PGW_PH_CARD_EXPIRY, /* this and the next seven: since version 2 */
	PGW_PH_CARD_BRAND,
	PGW_PH_OPERATION_REFERENCE,
	PGW_PH_NOTIFICATION_ID, /* in "verify_notification" alone */
	PGW_PH_TRACEPARENT,     /* this and the next one: in headers alone */
	PGW_PH_TRACESTATE,
	PGW_PH_NOW,
	PGW_PH_NONCE,
	PGW_PH_METHOD, /* this and the next three: of the request, in computed values alone */
	PGW_PH_HOST,
	PGW_PH_PATH,
	PGW_PH_BODY,
	PGW_PH_COMPUTED,    /* with a name */
	PGW_PH_TOKEN_PART,  /* with a JSON pointer */
	PGW_PH_CUSTOMER,    /* ... */
	PGW_PH_BANK_FIELDS, /* with a name */
	PGW_PH_SETTINGS,    /* with a name */
	PGW_PH_NONE         /* literal text */
} PgwPlaceholder;

#define PGW_PH_BIT(ph) (UINT64_C(1) << (ph))

/* What is kept nowhere, because it is a card's or a person's: in bodies alone. */
#define PGW_CARD_DATA \
	(PGW_PH_BIT(PGW_PH_CARD_NUMBER) | PGW_PH_BIT(PGW_PH_CARD_CVV) | \
	 PGW_PH_BIT(PGW_PH_CARD_EXPIRY_MONTH) | PGW_PH_BIT(PGW_PH_CARD_EXPIRY_YEAR) | \
	 PGW_PH_BIT(PGW_PH_CARD_EXPIRY_MMYY) | PGW_PH_BIT(PGW_PH_CARD_EXPIRY) | \
	 PGW_PH_BIT(PGW_PH_CARD_HOLDER) | PGW_PH_BIT(PGW_PH_TOKEN_PART))
#define PGW_NEVER_KEPT (PGW_CARD_DATA | PGW_PH_BIT(PGW_PH_CUSTOMER))

_Static_assert(PGW_PH_NONE < 64, "each placeholder has a bit of its own");

typedef struct PgwPointer
{
	int nsteps;         /* 0: the whole document */
	const char **steps; /* unescaped */
	int header;         /* not in the body: this header of the answer, from 1 on; 0: none */
} PgwPointer;

/* What is made of a placeholder's value: {{currency|lower}}. */
typedef enum PgwFilter
{
	PGW_FILTER_NONE = 0,
	PGW_FILTER_STRING, /* a JSON string, where the value alone would be a number */
	PGW_FILTER_NUMBER, /* a JSON number, where the value alone would be a string */
	PGW_FILTER_LOWER,
	PGW_FILTER_NUMERIC, /* ISO 4217 */
	PGW_FILTER_SHAPE,   /* of an expiry: "MM/YY" */
	PGW_FILTER_RFC1123, /* this and the next three: of the time */
	PGW_FILTER_ISO8601,
	PGW_FILTER_EPOCH,
	PGW_FILTER_EPOCH_MS,
	PGW_FILTER_BASE64,
	PGW_FILTER_HEX
} PgwFilter;

#define PGW_MAX_FILTERS 3

typedef struct PgwSegment
{
	PgwPlaceholder kind;
	/*
	 * literal text, or what stands after "bank_fields.", "settings.", "secret.", "token." and
	 * "customer."
	 */
	const char *text;
	PgwFilter filters[PGW_MAX_FILTERS]; /* in order, PGW_FILTER_NONE where there are no more */
	const char *shape;                  /* PGW_FILTER_SHAPE: "MM/YY" */
	int computed;                       /* PGW_PH_COMPUTED: which one */
	PgwPointer pointer;                 /* PGW_PH_TOKEN_PART, PGW_PH_CUSTOMER */
} PgwSegment;

typedef struct PgwText
{
	int nsegments; /* 0: the empty string */
	PgwSegment *segments;
} PgwText;

/* ---- computed values ---- */

typedef enum PgwComputedKind
{
	PGW_COMPUTED_TEXT,
	PGW_COMPUTED_DIGEST,
	PGW_COMPUTED_HMAC
} PgwComputedKind;

typedef struct PgwComputed
{
	const char *name;
	PgwComputedKind kind;
	PgwSha2Kind hash;
	PgwText key; /* of an HMAC */
	PgwByteText key_as;
	int ntexts; /* one behind the other */
	PgwText *texts;
	PgwByteText as;
	bool of_body;   /* the body stands in it, or in one that stands in it */
	bool of_secret; /* ... a secret */
} PgwComputed;

#define PGW_MAX_COMPUTED 16

typedef enum PgwNodeKind
{
	PGW_NODE_OBJECT,
	PGW_NODE_ARRAY,
	PGW_NODE_CHOICE, /* the first child whose placeholder has a value */
	PGW_NODE_TEXT,
	PGW_NODE_RAW /* number, true, false, null as they stand in the document */
} PgwNodeKind;

typedef struct PgwNode
{
	PgwNodeKind kind;
	PgwText text;    /* PGW_NODE_TEXT */
	const char *raw; /* PGW_NODE_RAW */
	int nchildren;
	struct PgwNode **children;
	const char **names; /* of an object's members */
	PgwText *choosers;  /* PGW_NODE_CHOICE: a placeholder for each child */
} PgwNode;

typedef struct PgwHeader
{
	const char *name;
	PgwText value;
	const char *pointer; /* where in the document, for faults while rendering */
} PgwHeader;

typedef enum PgwEncoding
{
	PGW_ENC_NONE = 0,
	PGW_ENC_JSON,
	PGW_ENC_FORM
} PgwEncoding;

/* ---- answers ---- */

typedef struct PgwScalar
{
	json_type type; /* string, int, boolean or null */
	const char *text;
	int64_t number; /* also true/false */
	/*
	 * not PGW_PH_NONE: the question's value for this placeholder, between text and behind.  Which
	 * can be asked for: compile_condition.c
	 */
	PgwPlaceholder asked;
	const char *behind;
} PgwScalar;

typedef struct PgwCondition
{
	PgwPointer pointer;
	const char *written; /* as it stands in the document, for people */
	bool exists_test;
	bool exists;
	int nvalues; /* any of these */
	PgwScalar *values;
} PgwCondition;

typedef struct PgwStatusRange
{
	int from;
	int to;
} PgwStatusRange;

typedef struct PgwRule
{
	int nstatuses;
	PgwStatusRange *statuses;
	int nconditions;
	PgwCondition *conditions;
	bool empty; /* "body": "empty": of an answer without a body, and no other */
	PgwOutcome outcome;
	PgwKeyWord key_word;    /* with UNKNOWN */
	const char *error_code; /* with DECLINED: the rule says why; NULL: the bank's code does */
} PgwRule;

typedef enum PgwAnswerField
{
	PGW_FIELD_BANK_REFERENCE = 0,
	PGW_FIELD_AUTHORIZATION_CODE,
	PGW_FIELD_AMOUNT,
	PGW_FIELD_CURRENCY,
	PGW_FIELD_BANK_CODE,
	PGW_FIELD_CAPTURED,
	PGW_FIELD_REFUNDED,
	PGW_FIELD_VOIDED,
	PGW_FIELD_CARD_BRAND,
	PGW_FIELD_CARD_LAST4,
	PGW_FIELD_CAPTURE_REFERENCE, /* the bank's id of what took the money, beside the charge's */
	PGW_FIELD_REFERENCE,         /* ours, as the bank echoes it */
	PGW_FIELD_LIVEMODE,          /* real money, or a test? */
	PGW_NFIELDS
} PgwAnswerField;

/* All of them must hold. */
typedef struct PgwConditions
{
	int n;
	PgwCondition *conditions;
} PgwConditions;

/* Where the value of a field comes from. */
typedef enum PgwSourceKind
{
	PGW_SOURCE_PLACE = 0, /* what stands at "from" */
	PGW_SOURCE_CONSTANT,  /* "constant" */
	PGW_SOURCE_SUM,       /* the amounts of a list's elements */
	PGW_SOURCE_TOTAL,     /* some amounts, less others */
	PGW_SOURCE_TEST       /* true: the conditions hold; false: they do not */
} PgwSourceKind;

typedef struct PgwFieldSource
{
	PgwSourceKind kind;
	int nwhen; /* all must hold, else the next source is asked; of a test: what is tested */
	PgwCondition *when;
	PgwPointer from;      /* of a sum: the list */
	const char *behind;   /* of a place: an id is what stands behind this in it; NULL: all of it */
	const char *constant; /* JSON */
	PgwPointer of;        /* of a sum: the amount in each element */
	int nwhere;           /* of a sum: which elements count */
	PgwCondition *where;
	int nexcept; /* of a sum: which elements do not count; any of them must hold */
	PgwConditions *except;
	bool has_currency; /* of a sum: where an element says its currency, and which one it is */
	PgwPointer currency;
	bool has_id;
	PgwPointer id;
	bool has_more; /* of a sum: where the bank says that the list goes on elsewhere */
	PgwPointer more;
	int ntotal; /* of a total: what is added, and behind it what is taken away */
	int nless;
	PgwPointer *parts;
} PgwFieldSource;

/* The first source whose conditions hold, if it has some, else that is there. */
typedef struct PgwField
{
	int nsources;
	PgwFieldSource *sources;
} PgwField;

/* The answer is a list, and one element of it is what was asked for. */
typedef struct PgwSelect
{
	bool present;
	int nwhen; /* of the whole: without it, a successful answer is no list either */
	PgwCondition *when;
	PgwPointer in;
	int nwhere;
	PgwCondition *where;
	bool has_more;
	PgwPointer more;
	const char *next_name; /* the parameter that asks for the next page; NULL: there is none */
	bool next_of_last;     /* ... with what stands in the last element, else in the whole */
	PgwPointer next;
	bool by_our_reference; /* the element names our reference, or is not chosen */
	uint64_t asked;        /* PGW_PH_BIT of what of the question its conditions compare with */
} PgwSelect;

typedef struct PgwErrorMap
{
	const char *bank_code;
	const char *error_code;
} PgwErrorMap;

typedef struct PgwAnswerSpec
{
	const char *pointer; /* where it stands in the document */
	bool form;           /* of a form, not JSON */
	unsigned headers;    /* bits, from 0 on: which of the connector's answer_headers it looks at */
	int nrules;
	PgwRule *rules;
	PgwSelect select;
	int ndeclared; /* "statuses": all values that may stand at these places, for people alone */
	PgwCondition *declared;
	bool has_field[PGW_NFIELDS];
	PgwField fields[PGW_NFIELDS];
	bool not_echoed; /* "reference_echoed": false */
	bool decimal;    /* amounts are decimal text, else integer minor units */
	bool by_own_id;  /* of a look-up that asks by the bank's own id of the operation */
	/* what stands in PGW_FIELD_LIVEMODE where money is real, and where not; none: true, false */
	int nlive;
	PgwScalar *live;
	int ntest;
	PgwScalar *test;
	int nerrors;
	PgwErrorMap *errors;
	const char *default_error; /* "*", or NULL */
} PgwAnswerSpec;

/* ---- notifications ---- */

/* What is signed, and where its signature stands. */
typedef enum PgwSignatureScheme
{
	/* a header "t=TIME,v1=SIGNATURE", of TIME, a point and the body */
	PGW_SIGNED_TIMESTAMPED = 0,
	/* webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks) */
	PGW_SIGNED_STANDARD_WEBHOOKS,
	PGW_SIGNED_BODY,         /* a header, of the body */
	PGW_SIGNED_URL_AND_BODY, /* ... of the URL it was sent to, and the body */
	PGW_SIGNED_FIELDS,       /* a place of the body, of others of it */
	PGW_SIGNED_BASIC_AUTH,   /* nothing is signed: who sends it knows a name and a password */
	PGW_UNSIGNED,            /* anybody may have sent it: a hint, and nothing more */
	PGW_TO_BE_ASKED          /* ... and the bank is asked for it, by its id */
} PgwSignatureScheme;

#define PGW_MAX_SIGNED_FIELDS 32

typedef struct PgwSignature
{
	PgwSignatureScheme scheme;
	PgwSha2Kind hash;
	PgwByteText as;         /* how the signature is written */
	PgwByteText key_as;     /* how the key is */
	const char *header;     /* NULL: the scheme's own, or none */
	const char *time_name;  /* PGW_SIGNED_TIMESTAMPED: "t" */
	const char *value_name; /* ... "v1" */
	int64_t tolerance_s;    /* how far its time may be from ours; of those with a time */
	PgwPointer place;       /* PGW_SIGNED_FIELDS: of the signature */
	int nfields;
	PgwPointer *fields;
	const char *separator; /* between them */
} PgwSignature;

/* Where all of this stands in a notification it is the bank's word on that operation. */
typedef struct PgwEvidenceRule
{
	int nwhen;
	PgwCondition *when;
	PgwBankOp about;    /* charge, capture, void, refund, cancel, reverse */
	PgwOutcome outcome; /* approved: it is done; declined: it has failed */
	bool has_id;
	PgwPointer id; /* the bank's own id of the operation */
} PgwEvidenceRule;

/* A notification of this type may tell of what was done at the bank without pgw. */
typedef struct PgwChangeRule
{
	const char *type;
	unsigned what; /* PGW_CHANGE_... */
} PgwChangeRule;

/* Where all of this stands in a notification it tells of these steps of a dispute. */
typedef struct PgwDisputeRule
{
	int nwhen;
	PgwCondition *when;
	unsigned steps; /* PGW_DISPUTE_BIT of each */
} PgwDisputeRule;

/* What was moved in the merchant's account at the bank: amount and currency alone. */
typedef struct PgwMovedSpec
{
	bool present;
	PgwAnswerSpec amount;
	bool has_fee;
	PgwAnswerSpec fee;
} PgwMovedSpec;

typedef struct PgwDisputeSpec
{
	int nrules; /* 0: it tells of none */
	PgwDisputeRule *rules;
	PgwPointer id;
	PgwAnswerSpec said; /* bank_reference and reference of the charge; what is disputed of it */
	PgwMovedSpec withdrawn;
	PgwMovedSpec reinstated;
	bool has_deadline;
	PgwPointer deadline;
	bool has_reason;
	PgwPointer reason;
} PgwDisputeSpec;

typedef struct PgwNotificationSpec
{
	bool present;
	bool form; /* the body is a form, not JSON */
	/* each element of this list is a notification of its own; else the whole body is one */
	bool has_items;
	PgwPointer items;
	PgwSignature signature;
	/* what two deliveries of one notification have in common; none: nothing is known of that */
	const char *identity_header;
	int nidentity;
	PgwPointer *identity;
	bool has_type;
	PgwPointer type;
	int nchanges;
	PgwChangeRule *changes;
	bool has_time;
	PgwPointer time;
	PgwAnswerSpec said; /* of its fields: bank_reference, reference, livemode */
	int nevidence;      /* 0: it makes us look, and nothing more */
	PgwEvidenceRule *evidence;
	PgwDisputeSpec disputes;
} PgwNotificationSpec;

/* ---- the connector ---- */

typedef struct PgwCompiledOp
{
	bool present;
	const char
		*key_header; /* for the idempotency key; NULL: it stands elsewhere, or there is none */
	char method[8];
	PgwText path;
	int nheaders; /* common, own, content type and idempotency header together */
	PgwHeader headers[PGW_MAX_HEADERS];
	PgwEncoding encoding;
	PgwNode *body;  /* NULL: none */
	uint64_t uses;  /* PGW_PH_BIT of every placeholder in path, headers and body */
	uint64_t needs; /* ... without whose value there is no request */
	bool settles;   /* cancel: its success also stops a charge that is still on its way */
	PgwAnswerSpec answer;
} PgwCompiledOp;

/* What is so of one currency at this bank: its exponent, or of what amounts must be a multiple. */
typedef struct PgwOfCurrency
{
	char currency[4];
	int64_t n;
} PgwOfCurrency;

/* Our references as the bank takes them; length 0: 32 hex digits. */
typedef struct PgwReferences
{
	int length;
	const char *alphabet;
	int nletters;
	int bits;      /* that one holds, whatever the case of its letters */
	bool need_ids; /* ... so few that two payments' may be one: then an id tells them apart */
} PgwReferences;

typedef struct PgwChunk
{
	struct PgwChunk *next;
} PgwChunk;

struct PgwConnector
{
	PgwChunk *chunks; /* the arena */
	PgwCapabilities caps;
	/* what {{secret.NAME}} names, each once; none: a file with one value, if there is {{secret}} */
	int nsecret_names;
	const char *secret_names[PGW_SECRET_VALUES];
	bool one_secret; /* {{secret}} stands somewhere */
	int ncomputed;   /* in order: each uses only those before it */
	PgwComputed computed[PGW_MAX_COMPUTED];
	bool has_card_brands;
	/* what the bank calls them; NULL: it has no name for that one */
	const char *card_brands[PGW_NBRANDS];
	PgwReferences references;
	int nnot_ids;
	const char **not_ids; /* what the bank writes where it has no id */
	/* the headers of answers that the document names, each once */
	int nanswer_headers;
	const char *answer_headers[PGW_MAX_ANSWER_HEADERS];
	int nexponents;
	PgwOfCurrency *exponents;
	int nmultiples; /* in the bank's unit */
	PgwOfCurrency *multiples;
	int ncommon;
	PgwHeader common[PGW_MAX_HEADERS];
	PgwCompiledOp ops[PGW_NOPS];
	PgwCompiledOp lookup_by_id; /* asked in place of lookup_charge where the charge's id is known */
	PgwNotificationSpec notifications;
};

/* What is sent for an operation, and how its answer is read.  bank_reference: NULL: not known. */
extern const PgwCompiledOp *pgw_compiled_op(const PgwConnector *c, PgwBankOp which,
											const char *bank_reference);

/* ---- compiling: the place where we are, and faults ---- */

typedef struct PgwCompile
{
	PgwConnector *connector;
	PgwConnectorError *faults; /* the first maxfaults of them */
	int maxfaults;
	int nfaults;
	bool capabilities_at_fault; /* then nothing is said of what follows from them */
	int version;                /* of the document format */
	/* "not found" of lookup_refund counts so long after; -1: not said */
	int64_t lookup_refund_consistent_after_s;
	unsigned headers;     /* of the answer that is being compiled: see PgwAnswerSpec */
	bool named_answer;    /* ... is one of "answers" */
	bool in_computed;     /* ... of a computed value's texts */
	bool in_header;       /* ... of a header's value */
	bool in_body;         /* ... of a body */
	bool of_body;         /* what is being computed has the body in it */
	bool of_secret;       /* ... a secret */
	json_object *answers; /* those that stand once, by name; or NULL */
	json_object *sources; /* where what the document says was read, by name; or NULL */
	char pointer[256];    /* of the value being compiled */
	size_t len;
} PgwCompile;

/* Go down into a member or element; give the answer to pgw_leave(). */
extern size_t pgw_enter(PgwCompile *cc, const char *step);
extern size_t pgw_enter_index(PgwCompile *cc, size_t index);
extern void pgw_leave(PgwCompile *cc, size_t mark);

/* Of valid UTF-8 that was cut: only the characters that are whole. */
extern void pgw_drop_cut_characters(char *s);

/*
 * Record a fault at the present place; always false.  Whoever goes through members that have
 * nothing to do with each other goes on with the next one.
 */
extern bool pgw_fault(PgwCompile *cc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern bool pgw_fault_at(PgwCompile *cc, const char *step, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * What a document of this format version does not have yet: false, and the fault says which
 * version has it.  what: "a selection", "a sum" ...
 */
extern bool pgw_since_version(PgwCompile *cc, int version, const char *what);

/* Zeroed memory of the arena; NULL (fault recorded) when there is none. n may be 0. */
extern void *pgw_arena(PgwCompile *cc, size_t n, size_t size);
extern char *pgw_arena_text(PgwCompile *cc, const char *s, size_t len);

/* Every key must be in the NULL-terminated list. */
extern bool pgw_check_keys(PgwCompile *cc, json_object *obj, const char *const *allowed);
extern json_object *pgw_member(json_object *obj, const char *name);
extern bool pgw_is_object(PgwCompile *cc, json_object *v);

/* Text of a json-c string; a fault when it is not a string or holds U+0000. */
extern const char *pgw_text_of(PgwCompile *cc, json_object *v);

/* Go down into a member, compile it with this function, and come back. */
extern bool pgw_compile_member(PgwCompile *cc, const char *name, json_object *v,
							   bool (*compile)(PgwCompile *, json_object *));

/* compile_names.c */
/* Each name once in its object.  The text is JSON, but for that, nested no deeper than allowed. */
extern bool pgw_check_names(PgwCompile *cc, const char *json, size_t len);

/* compile_capabilities.c */
extern bool pgw_compile_capabilities(PgwCompile *cc, json_object *v);
/* once the operations are known: what follows from them, and what contradicts them */
extern bool pgw_check_capabilities(PgwCompile *cc);

/* compile_idempotency.c */
/* "idempotency" of "capabilities": what holds for all operations that say nothing of their own */
extern bool pgw_compile_idempotency(PgwCompile *cc, json_object *v);
/* ... and of one operation */
extern bool pgw_compile_idempotency_of(PgwCompile *cc, json_object *v, PgwBankOp which);
extern bool pgw_check_idempotency(PgwCompile *cc);
/* An optional true or false, or whole number; absent: *result stays as it is. */
extern bool pgw_read_bool(PgwCompile *cc, json_object *obj, const char *name, bool *result);
extern bool pgw_read_int(PgwCompile *cc, json_object *obj, const char *name, int64_t min,
						 int64_t max, int64_t *result);

/* references.c */
extern bool pgw_compile_references(PgwCompile *cc, json_object *v);
/* once the operations are known: none goes by a reference that may be another payment's */
extern bool pgw_check_references(PgwCompile *cc);

/* compile_operation.c */
extern bool pgw_compile_operation(PgwCompile *cc, json_object *v, PgwBankOp which,
								  PgwCompiledOp *op);
extern bool pgw_check_operations(PgwCompile *cc);

/* doubtful_rules.c */
/* Does one of them ask for something that stands there? */
extern bool pgw_conditions_say_something(const PgwCondition *conditions, int n);
/* ... and compare it? */
extern bool pgw_conditions_compare(const PgwCondition *conditions, int n);
extern bool pgw_rule_says_something(const PgwRule *rule);
/* A status of the request's way: the key, a limit, a time-out.  exactly: named, not as "4xx". */
extern bool pgw_rule_is_of_the_way(const PgwRule *rule, bool exactly);
extern bool pgw_check_rule(PgwCompile *cc, PgwBankOp op, const PgwRule *rule);

/* always_there.c */
/* Does this text hold the idempotency key in every request, or what is made of it? */
extern bool pgw_text_says_key(const PgwConnector *c, const PgwText *text);
/* ... the header that is the key's, or where there is none something else of the request? */
extern bool pgw_request_says_key(const PgwConnector *c, const PgwCompiledOp *op);
/* The one of these placeholders that stands in every request, if it has a value; 0: none does. */
extern uint64_t pgw_request_names(const PgwConnector *c, const PgwCompiledOp *op, uint64_t among);
/* The amount, and of a charge our reference, stand in all of its requests or in none. */
extern bool pgw_check_always_there(PgwCompile *cc, PgwBankOp which);

/* compile_template.c */
/* -1 when unknown, and for those with a name of their own */
extern int pgw_placeholder_parse(const char *name);
extern const char *pgw_placeholder_name(PgwPlaceholder ph);

/* As it is written in the document. */
extern void pgw_segment_name(const PgwSegment *segment, char *name, size_t size);
extern bool pgw_compile_path(PgwCompile *cc, json_object *v, PgwText *text, uint64_t *uses);
/* A name of 1 to 64 characters, as RFC 9110, 5.6.2 has it. */
extern bool pgw_is_header_name(const char *name);
/* ... of a header of a request, which must not be one that the HTTP layer sets */
extern bool pgw_compile_header_name(PgwCompile *cc, const char *name);
extern bool pgw_compile_headers(PgwCompile *cc, json_object *obj, PgwHeader *headers, int *n,
								uint64_t *uses);
extern bool pgw_add_header(PgwCompile *cc, PgwHeader *headers, int *n, const PgwHeader *header);
extern PgwNode *pgw_compile_body(PgwCompile *cc, json_object *v, PgwEncoding encoding,
								 uint64_t *uses);

/* A text with placeholders, wherever it stands; adds to *uses. */
extern bool pgw_compile_text(PgwCompile *cc, json_object *v, PgwText *text, uint64_t *uses);

/* compile_computed.c */
/* How bytes are written: "hex" or "base64", and where that is allowed "plain". */
extern bool pgw_compile_byte_text(PgwCompile *cc, json_object *v, bool plain, PgwByteText *as);
extern bool pgw_compile_computed(PgwCompile *cc, json_object *v);
/* May {{computed.NAME}} stand here?  Which one it is. */
extern bool pgw_compile_computed_use(PgwCompile *cc, PgwSegment *segment);

/* compile_filter.c */
/* What stands after the first "|" of a placeholder; NULL: nothing does. */
extern bool pgw_compile_filters(PgwCompile *cc, PgwSegment *segment, const char *s, size_t len);
extern bool pgw_compile_card_brands(PgwCompile *cc, json_object *v);

/* compile_condition.c */
extern bool pgw_compile_pointer(PgwCompile *cc, const char *s, PgwPointer *pointer);
/* Is it written as a place in an answer, a pointer or "header:NAME"? */
extern bool pgw_is_place(const char *s);
/* A pointer, or "header:NAME". */
extern bool pgw_compile_place(PgwCompile *cc, const char *s, PgwPointer *place);

/* Do they name the same place? */
extern bool pgw_same_place(const PgwPointer *a, const PgwPointer *b);
/* Do all of them ask about headers? */
extern bool pgw_conditions_of_headers(const PgwCondition *conditions, int n);
/* One value, or an array of them, that an answer is compared with. */
extern bool pgw_compile_values(PgwCompile *cc, json_object *v, int *n, PgwScalar **values);
extern bool pgw_same_value(const PgwScalar *a, const PgwScalar *b);
/* {pointer: what must stand there, ...}; of what for faults: "when", "where" */
extern bool pgw_compile_conditions(PgwCompile *cc, json_object *v, const char *what,
								   PgwCondition **conditions, int *n);

/* compile_field.c */
extern const char *pgw_field_name(PgwAnswerField field);
extern bool pgw_compile_fields(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec);
/* Is one place both, whatever the answer says? */
extern bool pgw_fields_share_a_place(const PgwAnswerSpec *spec, PgwAnswerField a, PgwAnswerField b);
/* false: goes on elsewhere never; else a pointer */
extern bool pgw_compile_more(PgwCompile *cc, json_object *v, bool *has_more, PgwPointer *more);

/* compile_notifications.c */
extern bool pgw_compile_notifications(PgwCompile *cc, json_object *v);

/* compile_changes.c; type and operations are compiled */
extern bool pgw_compile_changes(PgwCompile *cc, json_object *v);

/* compile_evidence.c; its signature and fields are compiled */
extern bool pgw_compile_evidence(PgwCompile *cc, json_object *v);
/* What counts by itself: nobody on the way has written it, or can have it taken for another. */
extern bool pgw_check_content_is_signed(PgwCompile *cc);
extern bool pgw_check_identity_is_signed(PgwCompile *cc);
extern bool pgw_signature_covers(const PgwSignature *s, const PgwPointer *place);
extern bool pgw_signature_covers_conditions(const PgwSignature *s, const PgwCondition *when, int n);

/* compile_disputes.c; its signature and identity are compiled */
extern bool pgw_compile_disputes(PgwCompile *cc, json_object *v);

/* compile_answer.c */
extern bool pgw_compile_answer(PgwCompile *cc, json_object *v, PgwBankOp op, PgwAnswerSpec *spec);

#endif
