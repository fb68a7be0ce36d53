/*
 * pgw--1.0.sql - everything that CREATE EXTENSION pgw makes; docs/sql-reference.md describes it for users
 *
 *	 1	Schema
 *	 2	Types
 *	 3	Trigger functions
 *	 4	Configuration: merchants, connectors, banks, versions of banks
 *	 5	Payments
 *	 6	Attempts: payment_transactions, open_work, bank_references, operation_references; notifications, disputes
 *	 7	Events and their partitions
 *	 8	What the worker keeps over a restart: circuit breakers, alerts
 *	 9	Restored and copied databases
 *	10	Shards
 *	11	Functions for clients
 *	12	Functions for operators: reviews, rebinding
 *	13	Health, figures, recovery
 *	14	Access: grants
 *	15	Views for clients, operators and auditors
 *	16	What others put onto pgw's tables: foreign keys, code
 *	17	Consistency: what the tables promise one another
 *	18	Records are not dropped without a word
 *	19	The baseline: pgw's own objects stay as they are
 *	20	Built-in rows
 *	21	Dumps
 *	22	The end: nothing to PUBLIC, the baseline is recorded, the launcher is woken
 *
 * This is the source. The build writes build/pgw--1.0.sql from it, with the documents of src/connectors/ in section 21,
 * and that is what is installed.
 *
 * COMMENT ON tells those who use an object what it is for; a test demands one for every object and column. Comments in
 * this file say why something is made so.
 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pgw" to load this file. \quit

-- CREATE EXTENSION runs this script with the target schema (public, usually) in the search_path, as a superuser. A
-- function or an operator that somebody has planted there with argument types that fit better would run now, or be
-- bound into a view and run as its owner later. So every name below means pg_catalog's, or says pgw.
SET LOCAL search_path = pg_catalog, pg_temp;


-- ==================================================================================================
--  1  Schema
-- ==================================================================================================

-- Not by a "schema" key of the control file: that would adopt a schema that somebody else owns.
CREATE SCHEMA pgw;
COMMENT ON SCHEMA pgw IS 'Card payments as part of a database transaction (extension pgw).';


-- ==================================================================================================
--  2  Types
--
--  The order of the labels is the order of the C enums; a regression test compares the two.
-- ==================================================================================================

CREATE TYPE pgw.transaction_status AS ENUM (
	'Created', 'BankApproved', 'Saved', 'Completed', 'Failed', 'Refunding', 'RequiresManualReview', 'BankUnknown', 'Refunded');
COMMENT ON TYPE pgw.transaction_status IS
	'The state of one attempt. Completed, Failed and Refunded are final; docs/state-machine.md says what each state '
	'means.';

CREATE TYPE pgw.event_type AS ENUM (
	'TransactionStarted', 'BankProcessingStarted', 'BankProcessingCompleted', 'BankProcessingFailed', 'BankProcessingPending',
	'BankRetryScheduled', 'BankSwitched', 'BankOutcomeUnknown', 'BankOutcomeUnacceptable', 'BankStatusChecked', 'BankAccepted',
	'PaymentDataSaveStarted', 'PaymentDataSaveCompleted', 'PaymentDataSaveFailed', 'TransactionAdopted', 'TransactionCompleted',
	'TransactionFailed', 'CaptureStarted', 'CaptureCompleted', 'CaptureFailed', 'CaptureRetryScheduled', 'CaptureReversed',
	'AuthorizationExpired',
	'CompensationStarted', 'RefundStarted', 'RefundCompleted', 'RefundFailed', 'RefundPending', 'RefundOutcomeUnknown',
	'RefundRetryScheduled', 'RefundReversed', 'LateApprovalReceived', 'ManualReviewRequired', 'ManualReviewResolved',
	'BankReported', 'InquiryOpened', 'DisputeOpened', 'DisputeWithdrawn', 'DisputeReinstated', 'DisputeClosed');
COMMENT ON TYPE pgw.event_type IS
	'What happened to an attempt in one step. docs/state-machine.md lists from which state to which each event may '
	'lead.';

-- A domain, as a CHECK of the table would be prepared anew by each statement that writes events; its values are looked at
-- where they come from another type, and pgw's own come as what they are.
CREATE DOMAIN pgw.step_number AS int CONSTRAINT step_number_check CHECK (VALUE >= 1);
COMMENT ON DOMAIN pgw.step_number IS 'The number of an event within its attempt: 1, 2, 3.';

CREATE TYPE pgw.operation_kind AS ENUM ('payment', 'capture', 'void', 'refund');
COMMENT ON TYPE pgw.operation_kind IS
	'What an attempt is about: the payment itself, or a capture, void or refund that was asked for later.';

CREATE TYPE pgw.capture_mode AS ENUM ('immediate', 'on_commit', 'manual');
COMMENT ON TYPE pgw.capture_mode IS
	'When the money moves: with the call (immediate), after the caller''s commit (on_commit), or at capture_payment() '
	'(manual).';

CREATE TYPE pgw.payment_status AS ENUM (
	'pending', 'authorized', 'partially_captured', 'captured', 'partially_refunded', 'refunded', 'voided', 'expired', 'declined',
	'failed', 'in_review');
COMMENT ON TYPE pgw.payment_status IS
	'How a payment stands for the business. pending: its outcome is not known yet; in_review: an operator must decide.';

CREATE TYPE pgw.notification_result AS (
	http_status int,
	verdict text,
	notification_id uuid,
	event_id text,
	event_type text
);
COMMENT ON TYPE pgw.notification_result IS
	'What pgw.receive_notification() returns: how the bank is to be answered, after the commit. Later versions only append '
	'columns.';
COMMENT ON COLUMN pgw.notification_result.http_status IS
	'The HTTP status to answer with, once the transaction has committed.';
COMMENT ON COLUMN pgw.notification_result.verdict IS
	'accepted, repeated, or why it was refused: docs/notifications.md lists the words.';
COMMENT ON COLUMN pgw.notification_result.notification_id IS
	'Its row of pgw.notifications; NULL where it was refused, or repeated.';
COMMENT ON COLUMN pgw.notification_result.event_id IS
	'The bank''s own id of it; NULL where it was refused, or has none.';
COMMENT ON COLUMN pgw.notification_result.event_type IS
	'Its type, as the bank writes it; NULL where it was refused, or has none.';

CREATE TYPE pgw.payment_result AS (
	payment_id uuid,
	transaction_id uuid,
	client_request_id text,
	status pgw.payment_status,
	transaction_status pgw.transaction_status,
	amount bigint,
	currency text,
	authorized_amount bigint,
	captured_amount bigint,
	refunded_amount bigint,
	refund_pending_amount bigint,
	bank text,
	bank_reference text,
	authorization_code text,
	card_last4 text,
	card_brand text,
	error_class text,
	error_code text,
	error_message text,
	http_status int,
	retryable boolean,
	replayed boolean,
	reference text,
	correlation_id uuid,
	details jsonb,
	created_at timestamptz,
	livemode boolean,
	capture_pending_amount bigint
);
COMMENT ON TYPE pgw.payment_result IS
	'What the functions for clients return: a payment as it stands, or an operation on it. Later versions only append '
	'columns.';
COMMENT ON COLUMN pgw.payment_result.payment_id IS 'The payment, as a UUIDv7.';
COMMENT ON COLUMN pgw.payment_result.transaction_id IS
	'The attempt that the payment names; of a capture, void or refund, the operation''s own attempt.';
COMMENT ON COLUMN pgw.payment_result.client_request_id IS
	'The caller''s id of the payment; of a capture, void or refund, that of the operation.';
COMMENT ON COLUMN pgw.payment_result.status IS 'How the payment stands.';
COMMENT ON COLUMN pgw.payment_result.transaction_status IS 'The state of the attempt that transaction_id names.';
COMMENT ON COLUMN pgw.payment_result.amount IS
	'What was asked for, in minor units of the currency (4990 is 49.90 EUR); of a capture, void or refund, that of '
	'the operation.';
COMMENT ON COLUMN pgw.payment_result.currency IS 'The ISO 4217 code, three capital letters.';
COMMENT ON COLUMN pgw.payment_result.authorized_amount IS 'What the bank has reserved or taken, in minor units.';
COMMENT ON COLUMN pgw.payment_result.captured_amount IS
	'What the bank has taken, in minor units, whatever was given back since.';
COMMENT ON COLUMN pgw.payment_result.refunded_amount IS 'What was given back by refunds, in minor units.';
COMMENT ON COLUMN pgw.payment_result.refund_pending_amount IS
	'What refunds claim that are under way, accepted by the bank and not done yet, in doubt or in review, in minor '
	'units.';
COMMENT ON COLUMN pgw.payment_result.bank IS 'The bank that it went to, by its name in pgw.banks.';
COMMENT ON COLUMN pgw.payment_result.bank_reference IS 'The bank''s id of the charge.';
COMMENT ON COLUMN pgw.payment_result.authorization_code IS
	'The issuer''s authorization code, if the bank has named it.';
COMMENT ON COLUMN pgw.payment_result.card_last4 IS 'The last four digits of the card.';
COMMENT ON COLUMN pgw.payment_result.card_brand IS 'The brand of the card.';
COMMENT ON COLUMN pgw.payment_result.error_class IS
	'Whose affair the error is: validation, business, external, infrastructure or timeout.';
COMMENT ON COLUMN pgw.payment_result.error_code IS
	'The error, by its stable name in docs/errors.md; NULL without an error.';
COMMENT ON COLUMN pgw.payment_result.error_message IS
	'The error for people; it holds no text of the bank''s and no value that was passed in.';
COMMENT ON COLUMN pgw.payment_result.http_status IS
	'The error''s HTTP status in docs/errors.md; without an error 201 (done now), 200 (as it stands) or 202 (still on '
	'its way).';
COMMENT ON COLUMN pgw.payment_result.retryable IS
	'True: a new payment with a new client_request_id and the same data may succeed, and cannot charge twice.';
COMMENT ON COLUMN pgw.payment_result.replayed IS
	'True: this is the answer to an earlier call with the same client_request_id.';
COMMENT ON COLUMN pgw.payment_result.reference IS 'The merchant''s own reference, as the caller gave it.';
COMMENT ON COLUMN pgw.payment_result.correlation_id IS
	'The id that stands in every log line and event about the attempt.';
COMMENT ON COLUMN pgw.payment_result.details IS
	'The kind of an operation, as in {"kind": "refund"}; of a payment with an error, what the customer may be told, as '
	'in {"customer_message_key": "declined"} (docs/errors.md). Members may be added.';
COMMENT ON COLUMN pgw.payment_result.capture_pending_amount IS
	'What a capture claims that the bank has accepted and not done yet, in minor units.';
COMMENT ON COLUMN pgw.payment_result.created_at IS 'When the payment was recorded.';
COMMENT ON COLUMN pgw.payment_result.livemode IS 'False: no money moves, the bank is one for tests.';


-- ==================================================================================================
--  3  Trigger functions
--
--  The triggers that protect records and configuration are ENABLE ALWAYS: session_replication_role does not switch them
--  off.
-- ==================================================================================================

CREATE FUNCTION pgw.refuse_change() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_refuse_change' LANGUAGE C;
COMMENT ON FUNCTION pgw.refuse_change() IS
	'Trigger function: raises an error, so that rows of an append-only table stay as they are.';

CREATE FUNCTION pgw.keep_mark() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_keep_mark' LANGUAGE C;
COMMENT ON FUNCTION pgw.keep_mark() IS
	'Trigger function: pgw alone moves the mark, as what is open behind it is not looked for.';

CREATE FUNCTION pgw.enforce_transition() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_enforce_transition' LANGUAGE C;
COMMENT ON FUNCTION pgw.enforce_transition() IS
	'Trigger function: an attempt changes by legal steps of docs/state-machine.md only, and its identity never does.';

CREATE FUNCTION pgw.check_merchant() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_merchant' LANGUAGE C;
COMMENT ON FUNCTION pgw.check_merchant() IS
	'Trigger function: the merchant "default" stays as it came, and says so.';

CREATE FUNCTION pgw.check_connector_row() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_connector' LANGUAGE C
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgw.check_connector_row() IS
	'Trigger function: a connector''s definition must compile, a built-in one stays as it is, and one that a bank '
	'names stays.';

CREATE FUNCTION pgw.check_bank() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_bank' LANGUAGE C
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgw.check_bank() IS
	'Trigger function: refuses a bank''s row with faults, and names all of them at once.';

CREATE FUNCTION pgw.check_webhook_endpoint() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_webhook_endpoint' LANGUAGE C;
COMMENT ON FUNCTION pgw.check_webhook_endpoint() IS
	'Trigger function: refuses a webhook endpoint''s row with faults, and names all of them at once.';

CREATE FUNCTION pgw.config_changed() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_config_changed' LANGUAGE C;
COMMENT ON FUNCTION pgw.config_changed() IS
	'Trigger function: has all processes read the configuration again once the transaction has committed.';

CREATE FUNCTION pgw.keep_slots() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_keep_slots' LANGUAGE C;
COMMENT ON FUNCTION pgw.keep_slots() IS
	'Trigger function: rows of pgw.shard_slots stay, and are changed by pgw''s functions alone.';

CREATE FUNCTION pgw.slots_changed() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_slots_changed' LANGUAGE C;
COMMENT ON FUNCTION pgw.slots_changed() IS
	'Trigger function: what processes know of pgw.shard_slots is void once the transaction has committed.';


-- ==================================================================================================
--  4  Configuration: merchants, connectors, banks, versions of banks
-- ==================================================================================================

-- Dumps leave built-in rows out, because this script inserts them again: so nobody can change them or make more of
-- them.
CREATE TABLE pgw.merchants (
	merchant text NOT NULL PRIMARY KEY CHECK (merchant <> '' AND octet_length(merchant) <= 63),
	name text NOT NULL DEFAULT '',
	enabled boolean NOT NULL DEFAULT true,
	builtin boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT merchants_builtin CHECK (builtin = (merchant = 'default') AND (NOT builtin OR (enabled AND name = 'Default merchant')))
);
COMMENT ON TABLE pgw.merchants IS
	'For whom payments are made. Grants and payments name a merchant; disable one rather than delete it.';
COMMENT ON COLUMN pgw.merchants.merchant IS 'The merchant''s id, as callers and grants name it: 1 to 63 bytes.';
COMMENT ON COLUMN pgw.merchants.name IS 'The merchant''s name, for people.';
COMMENT ON COLUMN pgw.merchants.enabled IS 'False: no new payments for this merchant (error merchant_disabled).';
COMMENT ON COLUMN pgw.merchants.builtin IS
	'True: this is the merchant "default", which comes with the extension and cannot be changed.';
COMMENT ON COLUMN pgw.merchants.created_at IS 'When the row was inserted.';
COMMENT ON CONSTRAINT merchants_builtin ON pgw.merchants IS
	'The merchant "default" is the only built-in one, and stays as it came.';

CREATE TABLE pgw.connectors (
	name text NOT NULL PRIMARY KEY CHECK (name <> '' AND octet_length(name) <= 63),
	definition json NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pgw.connectors IS
	'How to talk to a kind of bank: each is one JSON document, described in docs/connectors.md.';
COMMENT ON COLUMN pgw.connectors.name IS 'The connector''s name, as pgw.banks.connector says it: 1 to 63 bytes.';
COMMENT ON COLUMN pgw.connectors.definition IS
	'The document: requests to send, and how to read their answers. It must compile. json, not jsonb: it is kept as it was '
	'written, because the order of a body''s members is part of it.';
COMMENT ON COLUMN pgw.connectors.builtin IS 'True: it comes with the extension and cannot be changed.';
COMMENT ON COLUMN pgw.connectors.created_at IS 'When the row was inserted.';

-- No foreign key: a dump is restored with several jobs in any order. The triggers check what it would.
CREATE TABLE pgw.banks (
	name text NOT NULL PRIMARY KEY CHECK (name <> '' AND octet_length(name) <= 63),
	connector text NOT NULL,
	base_url text NOT NULL,
	secret text,
	priority int NOT NULL DEFAULT 100,
	enabled boolean NOT NULL DEFAULT true,
	connect_timeout interval NOT NULL DEFAULT '5s',
	request_timeout interval NOT NULL DEFAULT '30s',
	max_in_flight int NOT NULL DEFAULT 1000,
	currencies text[],
	token_scope text,
	account text,
	settings jsonb NOT NULL DEFAULT '{}',
	livemode boolean NOT NULL DEFAULT true,
	notification_secret text,
	notification_login text,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pgw.banks IS
	'The banks that payments go to. A change concerns new attempts only: older ones go by their row of '
	'pgw.bank_versions.';
COMMENT ON COLUMN pgw.banks.name IS
	'The bank''s name, as callers and payments say it: 1 to 63 bytes, without @ and digits at its end.';
COMMENT ON COLUMN pgw.banks.connector IS 'The connector that speaks its protocol: a row of pgw.connectors.';
COMMENT ON COLUMN pgw.banks.base_url IS
	'Where its requests go: an https URL without user, query or fragment; http only to this machine (localhost, '
	'127.0.0.0/8, [::1]). test: with the connector "test", which is answered inside the worker.';
COMMENT ON COLUMN pgw.banks.secret IS
	'The name of the file in pgw.secrets_dir that holds its key; NULL: it needs none. The key is in no table.';
COMMENT ON COLUMN pgw.banks.priority IS
	'Among the banks that could take a payment, the one with the lowest number is asked first.';
COMMENT ON COLUMN pgw.banks.enabled IS 'False: it gets no new payments. What is open there is finished all the same.';
COMMENT ON COLUMN pgw.banks.connect_timeout IS 'How long a connection may take to be made: 10 ms to 60 s.';
COMMENT ON COLUMN pgw.banks.request_timeout IS
	'How long a request may take as a whole, with the connection: 10 ms to 600 s.';
COMMENT ON COLUMN pgw.banks.max_in_flight IS
	'How many requests may be under way to it at once, over all of its versions: 1 to 100000.';
COMMENT ON COLUMN pgw.banks.currencies IS 'The currencies that it takes, as ISO 4217 codes; NULL: all.';
COMMENT ON COLUMN pgw.banks.token_scope IS
	'Banks of one scope understand each other''s tokens, so a payment may go from one to another; NULL: none does.';
COMMENT ON COLUMN pgw.banks.account IS
	'Whose ledger it is, up to 63 bytes; NULL: the bank''s own, by its name. Within one account an id of a charge '
	'belongs to one payment.';
COMMENT ON COLUMN pgw.banks.settings IS
	'A JSON object: values for the connector''s template, and ca_file, the file of certificates to trust.';
COMMENT ON COLUMN pgw.banks.livemode IS
	'False: it moves no money, as the bank "test" and a gateway''s sandbox. For good: a bank of that name never has '
	'the other one.';
COMMENT ON COLUMN pgw.banks.notification_secret IS
	'The name of the file in pgw.secrets_dir that holds what its notifications are signed with, a value in each line: '
	'any of them is good. NULL: none are taken.';
COMMENT ON COLUMN pgw.banks.notification_login IS
	'The name of the file in pgw.secrets_dir that holds the names and passwords by which its notifications may log in beside '
	'their signature (HTTP Basic), name:password in each line: a second proof. NULL: there is none.';
COMMENT ON COLUMN pgw.banks.created_at IS 'When the row was inserted.';

-- Where webhooks go (docs/webhooks.md). What is sent is in section 8.
CREATE TABLE pgw.webhook_endpoints (
	endpoint text NOT NULL PRIMARY KEY CHECK (endpoint <> '' AND octet_length(endpoint) <= 63),
	url text NOT NULL,
	secret text NOT NULL,
	event_types pgw.event_type[] DEFAULT
		'{TransactionCompleted,TransactionFailed,CaptureCompleted,CaptureFailed,CaptureReversed,AuthorizationExpired,'
		'RefundCompleted,RefundFailed,RefundReversed,LateApprovalReceived,ManualReviewRequired,ManualReviewResolved,BankReported,'
		'InquiryOpened,DisputeOpened,DisputeWithdrawn,DisputeReinstated,DisputeClosed}',
	merchant text CONSTRAINT webhook_endpoints_merchant REFERENCES pgw.merchants,
	enabled boolean NOT NULL DEFAULT true,
	version int NOT NULL DEFAULT 1 CHECK (version = 1),
	ca_file text,
	max_in_flight int NOT NULL DEFAULT 50,
	timeout interval NOT NULL DEFAULT '15s',
	created_at timestamptz NOT NULL DEFAULT now(),
	enabled_at timestamptz,
	enabled_from pg_snapshot
);
COMMENT ON TABLE pgw.webhook_endpoints IS
	'Where events are posted to, as Standard Webhooks (docs/webhooks.md).';
COMMENT ON COLUMN pgw.webhook_endpoints.endpoint IS 'The endpoint''s name: 1 to 63 bytes.';
COMMENT ON COLUMN pgw.webhook_endpoints.url IS
	'Where its messages go: an https URL without user, query or fragment; http only to this machine (localhost, '
	'127.0.0.0/8, [::1]).';
COMMENT ON COLUMN pgw.webhook_endpoints.secret IS
	'The name of the file in pgw.secrets_dir that its messages are signed with: whsec_ and base64 in a line; two lines '
	'while the receiver changes over from one to the other.';
COMMENT ON COLUMN pgw.webhook_endpoints.event_types IS
	'The events that it wants; NULL: all. By default those that say how something has ended, or that a person is needed, and '
	'those of disputes.';
COMMENT ON COLUMN pgw.webhook_endpoints.merchant IS 'The merchant whose payments it hears of; NULL: all.';
COMMENT ON CONSTRAINT webhook_endpoints_merchant ON pgw.webhook_endpoints IS 'The merchant is a row of pgw.merchants.';
COMMENT ON COLUMN pgw.webhook_endpoints.enabled IS
	'False: nothing is sent or queued for it; what waits stays. pgw disables one that answers 410, or fails for long.';
COMMENT ON COLUMN pgw.webhook_endpoints.version IS 'The version of the messages: 1 (docs/webhook-message.schema.json).';
COMMENT ON COLUMN pgw.webhook_endpoints.ca_file IS
	'The file of certificates to trust, an absolute path; NULL: the system''s.';
COMMENT ON COLUMN pgw.webhook_endpoints.max_in_flight IS 'How many messages may be under way to it at once: 1 to 500.';
COMMENT ON COLUMN pgw.webhook_endpoints.timeout IS 'How long a message may take, with the connection: 10 ms to 60 s.';
COMMENT ON COLUMN pgw.webhook_endpoints.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN pgw.webhook_endpoints.enabled_at IS 'When it was last enabled; set by pgw.';
COMMENT ON COLUMN pgw.webhook_endpoints.enabled_from IS
	'The snapshot of that moment: it hears of what was not visible in it. Set by pgw.';

CREATE TABLE pgw.bank_versions (
	version int NOT NULL PRIMARY KEY CHECK (version >= 1),
	bank text NOT NULL,
	digest text NOT NULL,
	connector text NOT NULL,
	definition json NOT NULL,
	base_url text NOT NULL,
	account text NOT NULL,
	secret text,
	settings jsonb NOT NULL,
	livemode boolean NOT NULL DEFAULT true,
	connect_timeout interval NOT NULL,
	request_timeout interval NOT NULL,
	max_in_flight int NOT NULL,
	first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgw.bank_versions IS
	'What a bank was when requests of an attempt were sent to it; payment_transactions.bank_version says which. '
	'Append-only, written by the worker alone, before or with the first intent under it.';
COMMENT ON COLUMN pgw.bank_versions.version IS 'The version''s number, 1 and up, over all banks.';
COMMENT ON COLUMN pgw.bank_versions.bank IS 'The bank, by its name in pgw.banks at that time.';
COMMENT ON COLUMN pgw.bank_versions.digest IS
	'SHA-256, in hexadecimal, of bank, connector, definition, base_url, account, secret and settings. The same again '
	'is the same version.';
COMMENT ON COLUMN pgw.bank_versions.connector IS 'The name of its connector.';
COMMENT ON COLUMN pgw.bank_versions.definition IS 'The connector''s document as it was, to the byte.';
COMMENT ON COLUMN pgw.bank_versions.base_url IS 'Where requests of this version go.';
COMMENT ON COLUMN pgw.bank_versions.account IS 'Whose ledger it is; the bank''s name where pgw.banks.account was NULL.';
COMMENT ON COLUMN pgw.bank_versions.secret IS
	'The name of the key''s file; its content is no part of the version, so keys can be changed.';
COMMENT ON COLUMN pgw.bank_versions.settings IS
	'The bank''s settings, with the name of its ca_file; the content of that file is no part of the version.';
COMMENT ON COLUMN pgw.bank_versions.livemode IS 'False: it moves no money. The same in all versions of a bank.';
COMMENT ON COLUMN pgw.bank_versions.connect_timeout IS 'Used once pgw.banks has no row of that name any more.';
COMMENT ON COLUMN pgw.bank_versions.request_timeout IS 'Used once pgw.banks has no row of that name any more.';
COMMENT ON COLUMN pgw.bank_versions.max_in_flight IS 'Used once pgw.banks has no row of that name any more.';
COMMENT ON COLUMN pgw.bank_versions.first_used_at IS 'When the version was recorded.';

CREATE TABLE pgw.bank_rebinds (
	rebind int NOT NULL PRIMARY KEY CHECK (rebind >= 1),
	from_version int NOT NULL,
	to_version int NOT NULL,
	effective boolean NOT NULL,
	attempts bigint NOT NULL,
	note text NOT NULL,
	actor jsonb NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT bank_rebinds_other CHECK (from_version <> to_version)
);
COMMENT ON TABLE pgw.bank_rebinds IS
	'What pgw.rebind_attempts() was told: the same ledger answers at another version of the bank now. Append-only.';
COMMENT ON COLUMN pgw.bank_rebinds.rebind IS 'The row''s number, 1 and up.';
COMMENT ON COLUMN pgw.bank_rebinds.from_version IS 'The version whose attempts go by another one now.';
COMMENT ON COLUMN pgw.bank_rebinds.to_version IS 'The version that they go by.';
COMMENT ON COLUMN pgw.bank_rebinds.effective IS
	'False: proposed only, and a second role has to confirm it (pgw.require_four_eyes).';
COMMENT ON COLUMN pgw.bank_rebinds.attempts IS 'How many unfinished attempts it concerned.';
COMMENT ON COLUMN pgw.bank_rebinds.note IS 'Why it is the same ledger, as the operator wrote it.';
COMMENT ON COLUMN pgw.bank_rebinds.actor IS
	'Who said it: session_user, and as far as known set_role, current_user, address, application, actor '
	'(docs/state-machine.md).';
COMMENT ON COLUMN pgw.bank_rebinds.recorded_at IS 'When the row was recorded.';
COMMENT ON CONSTRAINT bank_rebinds_other ON pgw.bank_rebinds IS 'A version cannot be replaced by itself.';

CREATE TRIGGER check_connector BEFORE INSERT OR UPDATE OR DELETE ON pgw.connectors
	FOR EACH ROW EXECUTE FUNCTION pgw.check_connector_row();
CREATE TRIGGER check_bank BEFORE INSERT OR UPDATE OR DELETE ON pgw.banks
	FOR EACH ROW EXECUTE FUNCTION pgw.check_bank();
CREATE TRIGGER check_truncate BEFORE TRUNCATE ON pgw.banks FOR EACH STATEMENT EXECUTE FUNCTION pgw.check_bank();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.connectors
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.banks
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER check_merchant BEFORE INSERT OR UPDATE ON pgw.merchants
	FOR EACH ROW EXECUTE FUNCTION pgw.check_merchant();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.merchants
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.bank_rebinds
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_versions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_versions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_rebinds FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_rebinds FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.merchants ENABLE ALWAYS TRIGGER check_merchant, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.connectors ENABLE ALWAYS TRIGGER check_connector, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.banks ENABLE ALWAYS TRIGGER check_bank, ENABLE ALWAYS TRIGGER check_truncate, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.bank_versions ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE pgw.bank_rebinds ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate,
	ENABLE ALWAYS TRIGGER config_changed;
COMMENT ON TRIGGER check_connector ON pgw.connectors IS
	'A definition must compile; built-in rows and connectors in use stay.';
COMMENT ON TRIGGER check_truncate ON pgw.banks IS 'The bank "test" cannot be deleted, so not all rows can.';
COMMENT ON TRIGGER check_bank ON pgw.banks IS 'Refuses a row with faults, and names all of them.';
COMMENT ON TRIGGER config_changed ON pgw.connectors IS 'The worker takes a committed change up at once.';
COMMENT ON TRIGGER config_changed ON pgw.banks IS 'The worker takes a committed change up at once.';
COMMENT ON TRIGGER check_merchant ON pgw.merchants IS 'The merchant "default" stays as it came.';
COMMENT ON TRIGGER config_changed ON pgw.merchants IS 'The worker takes a committed change up at once.';
COMMENT ON TRIGGER config_changed ON pgw.bank_rebinds IS 'The worker takes a committed change up at once.';
COMMENT ON TRIGGER refuse_change ON pgw.bank_versions IS 'Recorded versions are never changed or deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.bank_versions IS 'Recorded versions are never changed or deleted.';
COMMENT ON TRIGGER refuse_change ON pgw.bank_rebinds IS 'Recorded rebindings are never changed or deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.bank_rebinds IS 'Recorded rebindings are never changed or deleted.';


-- ==================================================================================================
--  5  Payments
--
--  The business view: one row for each payment, inserted by its caller. The columns are those of PgwPayment
--  (src/store/tables.h).
-- ==================================================================================================

-- Checks are made of every new version of a row: without a regular expression, which costs as much as the rest of an update's checks.
CREATE TABLE pgw.payments (
	payment_id uuid NOT NULL PRIMARY KEY,
	transaction_id uuid NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	capture pgw.capture_mode NOT NULL,
	livemode boolean NOT NULL DEFAULT true,
	client_request_id text NOT NULL CHECK (char_length(client_request_id) BETWEEN 1 AND 255),
	merchant text NOT NULL,
	currency text NOT NULL CHECK (octet_length(currency) = 3 AND translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = ''),
	reference text,
	metadata jsonb CHECK (jsonb_typeof(metadata) = 'object'),
	bank text,
	-- what every payment changes comes last: an update's log record holds what lies between its first change and its last
	card_last4 text CHECK (octet_length(card_last4) = 4 AND translate(card_last4, '0123456789', '') = ''),
	card_brand text,
	bank_reference text,
	authorization_code text,
	status pgw.payment_status NOT NULL,
	authorized_amount bigint NOT NULL DEFAULT 0,
	captured_amount bigint NOT NULL DEFAULT 0,
	capture_pending_amount bigint NOT NULL DEFAULT 0,
	reserved_amount bigint NOT NULL DEFAULT 0,
	refunded_amount bigint NOT NULL DEFAULT 0,
	refund_pending_amount bigint NOT NULL DEFAULT 0,
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	-- last, and NULL of nearly all: there they cost nothing
	bank_captured_amount bigint,
	bank_refunded_amount bigint,
	disputed_amount bigint,
	CONSTRAINT payments_request_key UNIQUE (client_request_id, merchant),
	CONSTRAINT payments_authorized_check CHECK (authorized_amount >= 0 AND authorized_amount <= amount),
	-- differences, because the sum of two bigints can overflow
	CONSTRAINT payments_captured_check CHECK (captured_amount >= 0 AND capture_pending_amount >= 0 AND reserved_amount >= 0
		AND captured_amount <= authorized_amount AND capture_pending_amount <= authorized_amount - captured_amount
		AND reserved_amount <= authorized_amount - captured_amount - capture_pending_amount),
	CONSTRAINT payments_refunds_check CHECK (refunded_amount >= 0 AND refund_pending_amount >= 0
		AND refunded_amount - coalesce(bank_captured_amount, 0) <= captured_amount
		AND refund_pending_amount - coalesce(bank_captured_amount, 0) <= captured_amount - refunded_amount),
	CONSTRAINT payments_bank_check CHECK (bank_captured_amount > 0 AND bank_refunded_amount > 0 AND disputed_amount > 0),
	CONSTRAINT payments_no_money_check CHECK (status NOT IN ('pending', 'declined') OR captured_amount = 0)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_insert_scale_factor = 0.05);
COMMENT ON TABLE pgw.payments IS
	'One row for each payment: how it stands. Your own tables may refer to payment_id. A row is never deleted; it is '
	'gone only if its caller rolled back.';
COMMENT ON COLUMN pgw.payments.payment_id IS 'The payment, as a UUIDv7.';
COMMENT ON COLUMN pgw.payments.livemode IS 'False: no money moves, its bank is one for tests.';
COMMENT ON COLUMN pgw.payments.client_request_id IS
	'The idempotency key: the caller''s own id of the payment, 1 to 255 characters, unique for its merchant.';
COMMENT ON COLUMN pgw.payments.merchant IS 'For whom the payment is: a row of pgw.merchants.';
COMMENT ON COLUMN pgw.payments.transaction_id IS
	'The attempt in pgw.payment_transactions that made this payment. Committed with your rows, this column keeps its '
	'charge: pgw gives back what a bank approved for an attempt that no payment names.';
COMMENT ON COLUMN pgw.payments.status IS 'How the payment stands.';
COMMENT ON COLUMN pgw.payments.capture IS
	'When the money was to move: with the call, after the commit, or by capture_payment().';
COMMENT ON COLUMN pgw.payments.amount IS 'What was asked for, in minor units of the currency (4990 is 49.90 EUR).';
COMMENT ON COLUMN pgw.payments.currency IS 'The ISO 4217 code, three capital letters.';
COMMENT ON COLUMN pgw.payments.authorized_amount IS
	'What the bank has reserved or taken, in minor units; 0 while that is not known.';
COMMENT ON COLUMN pgw.payments.captured_amount IS
	'What the bank has taken, in minor units, whatever was given back since.';
COMMENT ON COLUMN pgw.payments.capture_pending_amount IS
	'What of the authorization is claimed by a capture that the bank has accepted, and may still fail, in minor units.';
COMMENT ON COLUMN pgw.payments.reserved_amount IS
	'What of the authorization is claimed by the capture or void that is under way, in doubt or in review, in minor '
	'units.';
COMMENT ON COLUMN pgw.payments.refunded_amount IS 'What was given back by finished refunds, in minor units.';
COMMENT ON COLUMN pgw.payments.refund_pending_amount IS
	'What refunds claim that are under way, accepted by the bank and not done yet, in doubt or in review, in minor '
	'units.';
COMMENT ON COLUMN pgw.payments.bank_captured_amount IS
	'What the bank has captured beside that, without pgw, as it reports it, in minor units; NULL: nothing.';
COMMENT ON COLUMN pgw.payments.bank_refunded_amount IS
	'What the bank has given back beside refunded_amount, without pgw, as it reports it, in minor units; NULL: nothing.';
COMMENT ON COLUMN pgw.payments.disputed_amount IS
	'What disputes have taken back of it: withdrawn less reinstated, in minor units; NULL: nothing. It counts in no status.';
COMMENT ON COLUMN pgw.payments.bank IS
	'The bank that has the charge, by its name in pgw.banks; NULL until it is known.';
COMMENT ON COLUMN pgw.payments.bank_reference IS 'The bank''s id of the charge; NULL until it is known.';
COMMENT ON COLUMN pgw.payments.authorization_code IS 'The issuer''s authorization code, if the bank has named it.';
COMMENT ON COLUMN pgw.payments.card_last4 IS 'The last four digits of the card. No table holds more of it.';
COMMENT ON COLUMN pgw.payments.card_brand IS 'The brand of the card.';
COMMENT ON COLUMN pgw.payments.reference IS 'The merchant''s own reference, as the caller gave it.';
COMMENT ON COLUMN pgw.payments.metadata IS 'A JSON object that the caller gave; it is kept, and never sent to a bank.';
COMMENT ON COLUMN pgw.payments.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN pgw.payments.updated_at IS 'When the row was last changed.';
-- Most payments have no reference, and cost nothing here; a reference never changes.
CREATE INDEX payments_by_reference ON pgw.payments (reference, merchant) WHERE reference IS NOT NULL;
COMMENT ON INDEX pgw.payments_by_reference IS 'For look-ups by the merchant''s own reference.';
COMMENT ON CONSTRAINT payments_request_key ON pgw.payments IS 'The same client_request_id is the same payment.';
COMMENT ON CONSTRAINT payments_authorized_check ON pgw.payments IS 'No more is authorized than was asked for.';
COMMENT ON CONSTRAINT payments_captured_check ON pgw.payments IS
	'What is captured and what is claimed are together no more than what is authorized.';
COMMENT ON CONSTRAINT payments_refunds_check ON pgw.payments IS
	'What pgw refunds and what its refunds claim are together no more than what is captured.';
COMMENT ON CONSTRAINT payments_bank_check ON pgw.payments IS
	'What the bank has done without pgw is a sum, or nothing; how much is not pgw''s to bound.';
COMMENT ON CONSTRAINT payments_no_money_check ON pgw.payments IS
	'A payment that is pending or declined has taken no money.';

CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payments FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payments ENABLE ALWAYS TRIGGER refuse_delete, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_delete ON pgw.payments IS 'Payments are never deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.payments IS 'Payments are never deleted.';


-- ==================================================================================================
--  6  Attempts: payment_transactions, open_work, bank_references, operation_references; notifications, disputes
--
--  One row for each attempt at an operation. The columns are those of PgwAttempt (src/store/tables.h).
-- ==================================================================================================

CREATE TABLE pgw.payment_transactions (
	transaction_id uuid NOT NULL PRIMARY KEY,
	payment_id uuid NOT NULL,
	correlation_id uuid NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),
	caller_xid xid8,
	caller_subxid xid8,
	system_identifier bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	database_oid oid NOT NULL,
	kind pgw.operation_kind NOT NULL,
	capture pgw.capture_mode NOT NULL,
	submitted boolean NOT NULL,
	final_capture boolean NOT NULL DEFAULT false,
	customer_sent boolean NOT NULL DEFAULT false,
	livemode boolean NOT NULL DEFAULT true,
	-- before all that has no fixed place: an update compares the columns of indexes, old with new
	live boolean NOT NULL,
	given_up boolean NOT NULL DEFAULT false,
	adopted boolean NOT NULL DEFAULT false,
	client_request_id text NOT NULL CHECK (char_length(client_request_id) BETWEEN 1 AND 255),
	merchant text NOT NULL,
	currency text NOT NULL CHECK (octet_length(currency) = 3 AND translate(currency, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = ''),
	submitted_by text,
	token text,
	card_expiry_month int CHECK (card_expiry_month BETWEEN 1 AND 12),
	card_expiry_year int CHECK (card_expiry_year BETWEEN 0 AND 9999),
	bank_requested text,
	reference text,
	reason text,
	bank_fields jsonb CHECK (jsonb_typeof(bank_fields) = 'object'),
	expires_at timestamptz,
	bank text,
	bank_version int,
	bank_key text,
	bank_key_used_at timestamptz,
	refund_operation text CHECK (refund_operation IN ('void', 'refund', 'cancel', 'reverse')),
	refund_key text,
	refund_key_used_at timestamptz,
	refund_asked_at timestamptz,
	refund_reference text,
	cancelled_at timestamptz,
	capture_key text,
	capture_key_used_at timestamptz,
	capture_asked_at timestamptz,
	capture_reference text,
	abandoned_at timestamptz,
	put_off_since timestamptz,
	put_off_reason text,
	watch_until timestamptz,
	approved_amount bigint,
	approved_currency text,
	error_class text,
	error_code text,
	error_message text,
	http_status int,
	refund_keys_used int NOT NULL DEFAULT 0 CHECK (refund_keys_used >= 0),
	refund_ruled_out int NOT NULL DEFAULT 0 CHECK (refund_ruled_out >= 0),
	step_tries int NOT NULL DEFAULT 0 CHECK (step_tries >= 0),
	retryable boolean NOT NULL DEFAULT false,
	pending_at_bank boolean NOT NULL DEFAULT false,
	maybe_at_another_bank boolean NOT NULL DEFAULT false,
	error_answered boolean NOT NULL DEFAULT false,
	card_echoed boolean NOT NULL DEFAULT false,
	accepted_at timestamptz,
	unconfirmed boolean NOT NULL DEFAULT false,
	-- what every payment changes comes last: an update's log record holds what lies between its first change and its last
	requests_sent int NOT NULL DEFAULT 0 CHECK (requests_sent >= 0),
	bank_asked_at timestamptz,
	card_last4 text CHECK (octet_length(card_last4) = 4 AND translate(card_last4, '0123456789', '') = ''),
	card_brand text,
	bank_reference text,
	authorization_code text,
	status pgw.transaction_status NOT NULL,
	step_order int NOT NULL CHECK (step_order >= 0),
	next_step_at timestamptz,
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	-- last, and NULL of nearly all: there it costs nothing
	origin text,
	CONSTRAINT payment_transactions_origin_check CHECK (origin IS NULL OR origin = 'bank' AND kind <> 'payment'),
	CONSTRAINT payment_transactions_live_check CHECK (NOT live OR NOT given_up AND status NOT IN ('Failed', 'Refunded')),
	CONSTRAINT payment_transactions_given_up_check CHECK (given_up OR status NOT IN ('Failed', 'Refunded')),
	CONSTRAINT payment_transactions_begun_check CHECK (live OR given_up OR status = 'Created')
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_insert_scale_factor = 0.05);
COMMENT ON TABLE pgw.payment_transactions IS
	'One row for each attempt at a payment, capture, void or refund. It stays when its caller rolls back, and is '
	'never deleted. Do not insert rows: pgw takes that for a restore.';
COMMENT ON COLUMN pgw.payment_transactions.transaction_id IS 'The attempt, as a UUIDv7.';
COMMENT ON COLUMN pgw.payment_transactions.payment_id IS
	'The payment that it is for. pgw.payments has no such row where the caller of a payment rolled back.';
COMMENT ON COLUMN pgw.payment_transactions.livemode IS 'False: no money moves, its bank is one for tests.';
COMMENT ON COLUMN pgw.payment_transactions.client_request_id IS
	'The caller''s own id of the payment, or of the capture, void or refund: 1 to 255 characters.';
COMMENT ON COLUMN pgw.payment_transactions.merchant IS 'For whom the payment is: a row of pgw.merchants.';
COMMENT ON COLUMN pgw.payment_transactions.kind IS 'What it is an attempt at.';
COMMENT ON COLUMN pgw.payment_transactions.status IS 'The attempt''s state; it is what its events lead to.';
COMMENT ON COLUMN pgw.payment_transactions.step_order IS 'How many events it has: the step_order of its last one.';
COMMENT ON COLUMN pgw.payment_transactions.submitted IS
	'True: accepted by submit_payment(), or a capture, void or refund; nobody waits, and the worker begins after the '
	'commit.';
COMMENT ON COLUMN pgw.payment_transactions.submitted_by IS
	'The role that called submit_payment(), for its quota; NULL: it came by another function.';
COMMENT ON COLUMN pgw.payment_transactions.live IS
	'True: it is the one attempt of its id that is at work or was kept. The worker sets it when it begins, and takes it '
	'away when the attempt has failed or was given back; no caller changes it.';
COMMENT ON COLUMN pgw.payment_transactions.given_up IS
	'True: it has failed or was given back, at some time. Another attempt may have its id since.';
COMMENT ON COLUMN pgw.payment_transactions.adopted IS
	'True: a retry has taken it over from a caller that was gone; payment_id is the retry''s.';
COMMENT ON COLUMN pgw.payment_transactions.amount IS
	'What was asked for, in minor units of the currency (4990 is 49.90 EUR).';
COMMENT ON COLUMN pgw.payment_transactions.currency IS 'The ISO 4217 code, three capital letters.';
COMMENT ON COLUMN pgw.payment_transactions.capture IS
	'When the money is to move: with the call, after the commit, or by capture_payment().';
COMMENT ON COLUMN pgw.payment_transactions.token IS
	'The bank''s token of the card; of one that was a JSON object a mark, "(object 0427)"; '
	'NULL: none was given, as with a card number, which no table holds.';
COMMENT ON COLUMN pgw.payment_transactions.card_last4 IS 'The last four digits of the card.';
COMMENT ON COLUMN pgw.payment_transactions.card_brand IS 'The brand of the card.';
COMMENT ON COLUMN pgw.payment_transactions.card_expiry_month IS
	'The month in which the card expires, 1 to 12; NULL: none was given, as with a token.';
COMMENT ON COLUMN pgw.payment_transactions.card_expiry_year IS
	'The year in which the card expires, four digits; NULL: none was given, as with a token.';
COMMENT ON COLUMN pgw.payment_transactions.bank IS
	'The bank that it goes to, or went to last, by its name in pgw.banks.';
COMMENT ON COLUMN pgw.payment_transactions.bank_version IS
	'The row of pgw.bank_versions by which its requests go; NULL: nothing was sent yet.';
COMMENT ON COLUMN pgw.payment_transactions.bank_requested IS
	'The bank that the caller named; NULL: it was left to pgw.';
COMMENT ON COLUMN pgw.payment_transactions.reference IS 'The merchant''s own reference, as the caller gave it.';
COMMENT ON COLUMN pgw.payment_transactions.bank_fields IS
	'A JSON object that the caller gave: values for the connector''s template; its member pgw.trace is the trace that the '
	'call is part of. NULL: none.';
COMMENT ON COLUMN pgw.payment_transactions.bank_key IS
	'Our reference and idempotency key of the operation at the bank, 32 hexadecimal digits; NULL: those of '
	'transaction_id.';
COMMENT ON COLUMN pgw.payment_transactions.bank_key_used_at IS
	'When that key was first sent: how long the bank remembers it counts from here. NULL: not sent yet.';
COMMENT ON COLUMN pgw.payment_transactions.bank_asked_at IS
	'When the last request of the operation ended, or was last seen under way: "not found" counts only some time '
	'after that.';
COMMENT ON COLUMN pgw.payment_transactions.bank_reference IS
	'The bank''s id of the charge, or of the capture, void or refund; NULL: not known.';
COMMENT ON COLUMN pgw.payment_transactions.authorization_code IS
	'The issuer''s authorization code, if the bank has named it.';
COMMENT ON COLUMN pgw.payment_transactions.approved_amount IS
	'The amount that stands at the bank, in minor units, where that is not what was asked for; NULL: it is.';
COMMENT ON COLUMN pgw.payment_transactions.approved_currency IS
	'The currency that the bank names, where that is not what was asked for; NULL: it is.';
COMMENT ON COLUMN pgw.payment_transactions.refund_operation IS
	'How the charge is given back: void, refund, reverse (as a whole), or cancel (by our own reference); NULL: not '
	'chosen yet. Of kind refund: void or reverse, if the bank did not refund it; NULL: by a refund.';
COMMENT ON COLUMN pgw.payment_transactions.refund_key IS
	'Our reference and idempotency key of the give-back at the bank; NULL: the next one gets a new key.';
COMMENT ON COLUMN pgw.payment_transactions.refund_key_used_at IS
	'When refund_key was first sent; NULL: it was announced in an event only, or the bank did nothing with it.';
COMMENT ON COLUMN pgw.payment_transactions.refund_asked_at IS
	'When the last request of the give-back ended, or was last seen under way: "not found" counts only some time '
	'after that.';
COMMENT ON COLUMN pgw.payment_transactions.refund_reference IS
	'The bank''s own id of the give-back, as its answer to the last request has named it; NULL: it has not.';
COMMENT ON COLUMN pgw.payment_transactions.cancelled_at IS
	'When the bank first confirmed a cancellation whose success does not say that it stops what is still on its way: '
	'it is repeated; NULL: none, or it is not needed.';
COMMENT ON COLUMN pgw.payment_transactions.pending_at_bank IS
	'True: the bank said last that what follows the charge (a capture, a give-back) is on its way there.';
COMMENT ON COLUMN pgw.payment_transactions.accepted_at IS
	'When the bank has accepted the order of what follows the charge (a capture, void, refund or give-back), which it '
	'may still fail; NULL: it has not, or it is known what became of it.';
COMMENT ON COLUMN pgw.payment_transactions.unconfirmed IS
	'True: it has ended as done because nothing could tell what became of what the bank had accepted.';
COMMENT ON COLUMN pgw.payment_transactions.refund_keys_used IS
	'How many keys the give-back has used; pgw.refund_max_attempts bounds it.';
COMMENT ON COLUMN pgw.payment_transactions.refund_ruled_out IS
	'What the bank has refused because the charge is (not) settled, so that it was given back otherwise: bit 3 void, '
	'bit 4 refund, bit 8 reverse.';
COMMENT ON COLUMN pgw.payment_transactions.capture_key IS
	'Our reference and idempotency key of the capture that follows the commit; NULL: not sent yet.';
COMMENT ON COLUMN pgw.payment_transactions.capture_key_used_at IS
	'When capture_key was first sent; NULL: it was not, or the bank did nothing with it.';
COMMENT ON COLUMN pgw.payment_transactions.capture_asked_at IS
	'When the last request of that capture ended, or was last seen under way: "not found" counts only some time '
	'after that.';
COMMENT ON COLUMN pgw.payment_transactions.capture_reference IS
	'The bank''s own id of what took the money of a payment, as far as it has named one beside the charge''s; NULL: it '
	'has not. Of kind capture that is bank_reference.';
COMMENT ON COLUMN pgw.payment_transactions.maybe_at_another_bank IS
	'True: it was restored, and the original may have gone on with it to another bank of the same token_scope.';
COMMENT ON COLUMN pgw.payment_transactions.error_answered IS
	'True: the bank has answered a request under bank_key, or later the give-back under refund_key, with an error of '
	'its own, which a repetition might only get again, or for which it would be done again.';
COMMENT ON COLUMN pgw.payment_transactions.card_echoed IS
	'True: an answer of the bank repeated the card''s security code, holder or number in a way that cannot be seen '
	'without the card. No id, code or reason of a later answer is kept.';
COMMENT ON COLUMN pgw.payment_transactions.customer_sent IS
	'True: the request held something of options.customer, or a part chosen by it, which is kept nowhere. So it cannot be sent once more.';
COMMENT ON COLUMN pgw.payment_transactions.final_capture IS
	'Kind capture: true when the rest of the authorization is given up with it.';
COMMENT ON COLUMN pgw.payment_transactions.reason IS 'Kind refund: why, as the caller said.';
COMMENT ON COLUMN pgw.payment_transactions.caller_xid IS
	'The caller''s transaction, whose end decides whether an approved charge is kept. It means nothing in a restored '
	'database.';
COMMENT ON COLUMN pgw.payment_transactions.caller_subxid IS
	'The caller''s subtransaction (savepoint), which can be rolled back by itself.';
COMMENT ON COLUMN pgw.payment_transactions.system_identifier IS
	'The cluster that recorded it. Where that is another one than this, the database was restored or copied.';
COMMENT ON COLUMN pgw.payment_transactions.database_oid IS
	'The database that recorded it. Where that is another one than this, the database was restored or copied.';
COMMENT ON COLUMN pgw.payment_transactions.abandoned_at IS
	'When the worker first saw that the caller is gone; pgw.compensation_delay later the charge is given back.';
COMMENT ON COLUMN pgw.payment_transactions.requests_sent IS
	'How many requests that can move money were sent for it, those of its give-back not counted.';
COMMENT ON COLUMN pgw.payment_transactions.step_tries IS
	'How many tries its present step has had: the back-off grows with it.';
COMMENT ON COLUMN pgw.payment_transactions.next_step_at IS
	'When the worker looks at it next; NULL: nothing is due, because it is finished or something is under way.';
COMMENT ON COLUMN pgw.payment_transactions.put_off_since IS
	'Since when its next request cannot be made; pgw.unknown_deadline ends that, of what pends its connector. NULL: it can be made.';
COMMENT ON COLUMN pgw.payment_transactions.put_off_reason IS
	'Why its next request cannot be made, as an error_code: bank_disabled, secret_missing, and so on.';
COMMENT ON COLUMN pgw.payment_transactions.watch_until IS
	'Until when the bank is still looked at: for a charge that turns up late, or a refund that is taken back. Of an '
	'attempt in doubt: until when it is asked past pgw.unknown_deadline.';
COMMENT ON COLUMN pgw.payment_transactions.expires_at IS
	'Kind payment, submitted: if it was not sent by then it fails. NULL: it waits.';
COMMENT ON COLUMN pgw.payment_transactions.error_class IS
	'Whose affair the error is: validation, business, external, infrastructure or timeout.';
COMMENT ON COLUMN pgw.payment_transactions.error_code IS 'The error, by its stable name in docs/errors.md; NULL: none.';
COMMENT ON COLUMN pgw.payment_transactions.error_message IS
	'The error for people; it holds no text of the bank''s and no value that was passed in.';
COMMENT ON COLUMN pgw.payment_transactions.http_status IS
	'The error''s HTTP status in docs/errors.md, not the bank''s; NULL: no error.';
COMMENT ON COLUMN pgw.payment_transactions.retryable IS
	'True: a new payment with the same data may succeed, and cannot charge twice.';
COMMENT ON COLUMN pgw.payment_transactions.correlation_id IS
	'The id that stands in every log line and event about the attempt, and in requests to the bank.';
COMMENT ON COLUMN pgw.payment_transactions.origin IS
	'bank: pgw has not made it; the bank shows it, as it was made at the bank''s own pages, or by the bank. NULL: pgw made it.';
COMMENT ON COLUMN pgw.payment_transactions.created_at IS 'When the attempt was recorded.';
COMMENT ON COLUMN pgw.payment_transactions.updated_at IS 'When the row was last changed.';

-- None of these indexes has a column, in its key or its predicate, that a payment changes that goes well: so its updates
-- are HOT. What the worker looks for by state or time stands in pgw.open_work. A submitted row joins this one when the
-- worker takes it: no client blocks the worker there.
CREATE UNIQUE INDEX payment_transactions_one_live ON pgw.payment_transactions (client_request_id, merchant, kind) WHERE live;
COMMENT ON INDEX pgw.payment_transactions_one_live IS
	'At most one attempt with an id is live, successful, being given back or in review.';
CREATE INDEX payment_transactions_given_up ON pgw.payment_transactions (client_request_id, merchant) WHERE given_up;
COMMENT ON INDEX pgw.payment_transactions_given_up IS
	'Attempts with an id that no payment may name any more: their caller rolled back. A retry and find_payment() look here.';
CREATE INDEX payment_transactions_payment ON pgw.payment_transactions (payment_id) WHERE kind <> 'payment' OR adopted;
COMMENT ON INDEX pgw.payment_transactions_payment IS
	'The attempts of a payment whose ids do not follow from its own: captures, voids, refunds, and what was adopted.';
CREATE UNIQUE INDEX payment_transactions_operation ON pgw.payment_transactions (client_request_id, merchant, kind)
	WHERE kind <> 'payment';
COMMENT ON INDEX pgw.payment_transactions_operation IS
	'A capture, void or refund has its id once and for all: the claim on it, as payments_request_key is for payments.';

CREATE TRIGGER enforce_transition BEFORE UPDATE ON pgw.payment_transactions
	FOR EACH ROW EXECUTE FUNCTION pgw.enforce_transition();
CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payment_transactions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER enforce_transition, ENABLE ALWAYS TRIGGER refuse_delete,
	ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER enforce_transition ON pgw.payment_transactions IS
	'An attempt changes by legal steps only, and its identity never does.';
COMMENT ON TRIGGER refuse_delete ON pgw.payment_transactions IS 'Attempts are never deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.payment_transactions IS 'Attempts are never deleted.';

-- What the worker has to find again by itself. A payment that goes well has no row here: until it is ten seconds old, or
-- its caller has ended it, the mark below stands before it.
CREATE TABLE pgw.open_work (
	transaction_id uuid NOT NULL PRIMARY KEY,
	kind pgw.operation_kind NOT NULL,
	merchant text NOT NULL,
	submitted_by text,
	expires_at timestamptz,
	bank text,
	begun boolean NOT NULL,
	left_to_caller boolean NOT NULL,
	status pgw.transaction_status NOT NULL,
	next_step_at timestamptz,
	put_off_since timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_insert_scale_factor = 0);
COMMENT ON TABLE pgw.open_work IS
	'What is open beyond the normal path: an attempt has a row here while it waits to be begun, is put off, tried again, '
	'in doubt, being given back, in review, watched, or open for more than ten seconds. Not in dumps: a load makes it.';
COMMENT ON COLUMN pgw.open_work.transaction_id IS 'The attempt in pgw.payment_transactions.';
COMMENT ON COLUMN pgw.open_work.kind IS 'What it is an attempt at.';
COMMENT ON COLUMN pgw.open_work.merchant IS 'For whom the payment is.';
COMMENT ON COLUMN pgw.open_work.submitted_by IS
	'The role that called submit_payment(), for its quota; NULL: it came by another function.';
COMMENT ON COLUMN pgw.open_work.expires_at IS 'If it was not sent by then it fails; NULL: it waits.';
COMMENT ON COLUMN pgw.open_work.bank IS 'The bank that it goes to.';
COMMENT ON COLUMN pgw.open_work.begun IS 'True: the worker has begun it.';
COMMENT ON COLUMN pgw.open_work.left_to_caller IS
	'True: its caller may end it, without a look at this row. The worker then takes the row away.';
COMMENT ON COLUMN pgw.open_work.status IS 'The attempt''s state.';
COMMENT ON COLUMN pgw.open_work.next_step_at IS
	'When the worker looks at it next; NULL: nothing is due, because something is under way or a person decides.';
COMMENT ON COLUMN pgw.open_work.put_off_since IS 'Since when its next request cannot be made; NULL: it can be.';

CREATE INDEX open_work_open ON pgw.open_work (status, next_step_at) WHERE begun;
COMMENT ON INDEX pgw.open_work_open IS 'What a starting worker looks at: what has begun, by its state.';
-- By bank, so that nobody reads what waits for one that has no room.
CREATE INDEX open_work_due ON pgw.open_work (bank COLLATE pg_catalog."C", status, next_step_at)
	WHERE next_step_at IS NOT NULL AND begun;
COMMENT ON INDEX pgw.open_work_due IS
	'What has begun and is due, by bank and by how urgent it is: a scan costs that, not what is stored.';
CREATE INDEX open_work_waiting
	ON pgw.open_work (bank COLLATE pg_catalog."C", kind, merchant COLLATE pg_catalog."C", next_step_at)
	WHERE next_step_at IS NOT NULL AND NOT begun;
COMMENT ON INDEX pgw.open_work_waiting IS
	'What waits to be begun, by bank and merchant, so that merchants can take turns; quotas count by it.';
CREATE INDEX open_work_expiring ON pgw.open_work (expires_at) WHERE expires_at IS NOT NULL AND status = 'Created';
COMMENT ON INDEX pgw.open_work_expiring IS 'What is not to be sent after its time, wherever it waits.';
CREATE INDEX open_work_put_off ON pgw.open_work (put_off_since) WHERE put_off_since IS NOT NULL;
COMMENT ON INDEX pgw.open_work_put_off IS 'What cannot go on: pgw.health() counts it.';

CREATE TABLE pgw.open_work_mark (
	one_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one_row),
	below uuid NOT NULL,
	moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);
COMMENT ON TABLE pgw.open_work_mark IS
	'The one place from which the worker, when it starts, reads pgw.payment_transactions. It moves the mark on every second. '
	'Not in dumps.';
COMMENT ON COLUMN pgw.open_work_mark.one_row IS 'True: there is one row at most.';
COMMENT ON COLUMN pgw.open_work_mark.below IS
	'Every attempt with a smaller transaction_id is over, or has a row in pgw.open_work.';
COMMENT ON COLUMN pgw.open_work_mark.moved_at IS 'When it was moved last.';

-- Who deletes the mark only has everything read once more.
CREATE TRIGGER keep_mark BEFORE INSERT OR UPDATE ON pgw.open_work_mark FOR EACH ROW EXECUTE FUNCTION pgw.keep_mark();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.open_work FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.open_work_mark ENABLE ALWAYS TRIGGER keep_mark;
COMMENT ON TRIGGER keep_mark ON pgw.open_work_mark IS 'Only pgw moves the mark.';
COMMENT ON TRIGGER refuse_truncate ON pgw.open_work IS 'What is open would not be found again.';

CREATE FUNCTION pgw.keep_listed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	IF EXISTS (SELECT FROM gone g CROSS JOIN LATERAL (
		SELECT t.status, t.next_step_at FROM pgw.payment_transactions t WHERE t.transaction_id = g.transaction_id OFFSET 0) t
		WHERE t.status NOT IN ('Completed', 'Failed', 'Refunded') OR t.next_step_at IS NOT NULL)
	THEN
		RAISE EXCEPTION 'rows of pgw.open_work cannot be deleted while their attempts are open' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed"}',
			HINT = 'They go when their attempts are over; an attempt in review ends by pgw.resolve_review().';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgw.keep_listed() IS
	'Trigger function: an open attempt without its row would not be found again by the worker.';
CREATE TRIGGER keep_listed AFTER DELETE ON pgw.open_work REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.keep_listed();
ALTER TABLE pgw.open_work ENABLE ALWAYS TRIGGER refuse_truncate, ENABLE ALWAYS TRIGGER keep_listed;
COMMENT ON TRIGGER keep_listed ON pgw.open_work IS 'What is open keeps its row.';

CREATE VIEW pgw.open_attempts AS
SELECT w.transaction_id FROM pgw.open_work w
UNION ALL
SELECT t.transaction_id
FROM pgw.payment_transactions t
WHERE t.transaction_id >= coalesce((SELECT m.below FROM pgw.open_work_mark m), '00000000-0000-0000-0000-000000000000')
	-- of a range with one end the planner expects a third of the table, and reads all of it
	AND t.transaction_id <= 'ffffffff-ffff-ffff-ffff-ffffffffffff'
	AND (t.status NOT IN ('Completed', 'Failed', 'Refunded') OR t.next_step_at IS NOT NULL)
	-- no join, which could read all of open_work for a few rows
	AND (SELECT true FROM pgw.open_work w WHERE w.transaction_id = t.transaction_id) IS NULL;
COMMENT ON VIEW pgw.open_attempts IS
	'All attempts that are open or due: those of pgw.open_work, and those that the mark has not passed yet.';
COMMENT ON COLUMN pgw.open_attempts.transaction_id IS 'The attempt in pgw.payment_transactions.';

-- pgw changes attempts row by row, without statements, and pgw.open_work with them. These are for whoever changes or loads
-- attempts by a statement: a restore, pgw.resume_after_restore(), the owner.
CREATE FUNCTION pgw.list_changed_work() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	mark uuid := (SELECT m.below FROM pgw.open_work_mark m);
BEGIN
	INSERT INTO pgw.open_work AS w
	SELECT t.transaction_id, t.kind, t.merchant, t.submitted_by, t.expires_at, t.bank, t.live OR t.status <> 'Created',
		NOT t.submitted AND t.status = 'BankApproved', t.status, t.next_step_at, t.put_off_since
	FROM changed t
	-- the rule of src/core/state/open_work_rules.c
	WHERE t.next_step_at IS NOT NULL OR t.status NOT IN ('Completed', 'Failed', 'Refunded')
		-- what is inserted is not seen until its commit, and the mark may have passed it by then
		AND (TG_OP = 'INSERT' OR (t.transaction_id < mark) IS NOT FALSE OR t.put_off_since IS NOT NULL
			OR NOT (t.live AND t.status = 'Created') AND t.status NOT IN ('BankApproved', 'Saved')
			-- and no row is taken away from what is open: the worker's mark may be passing it just now
			OR EXISTS (SELECT FROM pgw.open_work o WHERE o.transaction_id = t.transaction_id))
	ON CONFLICT (transaction_id) DO UPDATE SET bank = excluded.bank, begun = excluded.begun, expires_at = excluded.expires_at,
		left_to_caller = excluded.left_to_caller, status = excluded.status, next_step_at = excluded.next_step_at,
		put_off_since = excluded.put_off_since
	WHERE (w.bank, w.begun, w.expires_at, w.left_to_caller, w.status, w.next_step_at, w.put_off_since) IS DISTINCT FROM
		(excluded.bank, excluded.begun, excluded.expires_at, excluded.left_to_caller, excluded.status, excluded.next_step_at,
			excluded.put_off_since);
	DELETE FROM pgw.open_work w USING changed t
	WHERE w.transaction_id = t.transaction_id AND t.status IN ('Completed', 'Failed', 'Refunded') AND t.next_step_at IS NULL;
	IF TG_OP = 'INSERT' THEN
		-- a restored database has no mark, and to read all of it for one takes long
		INSERT INTO pgw.open_work_mark (below)
		SELECT t.transaction_id FROM pgw.payment_transactions t ORDER BY t.transaction_id DESC LIMIT 1
		ON CONFLICT DO NOTHING;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgw.list_changed_work() IS
	'Trigger function: what a statement has changed or inserted of attempts is changed in pgw.open_work, too.';

CREATE TRIGGER list_changed_work AFTER UPDATE ON pgw.payment_transactions REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.list_changed_work();
CREATE TRIGGER list_loaded_work AFTER INSERT ON pgw.payment_transactions REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.list_changed_work();
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER list_changed_work, ENABLE ALWAYS TRIGGER list_loaded_work;
COMMENT ON TRIGGER list_changed_work ON pgw.payment_transactions IS
	'What a statement has changed of attempts is changed in pgw.open_work, too.';
COMMENT ON TRIGGER list_loaded_work ON pgw.payment_transactions IS
	'What a statement has inserted and is open gets its row in pgw.open_work.';

-- A table of its own, so that the attempts' rows need no index on a column that changes. Written with the answer that
-- names the charge, by the worker (and by an operator's mark_charged); no caller ever touches it.
CREATE TABLE pgw.bank_references (
	account text COLLATE "C" NOT NULL,
	bank_reference text COLLATE "C" NOT NULL,
	transaction_id uuid NOT NULL,
	PRIMARY KEY (account, bank_reference)
);
COMMENT ON TABLE pgw.bank_references IS
	'Which attempt''s a charge is: within one account a bank''s id of a charge belongs to one attempt, for good.';
COMMENT ON COLUMN pgw.bank_references.account IS 'The account of pgw.banks; the bank''s name, where that has none.';
COMMENT ON COLUMN pgw.bank_references.bank_reference IS 'The bank''s id of the charge.';
COMMENT ON COLUMN pgw.bank_references.transaction_id IS 'The attempt that the charge belongs to.';

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_references FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_references FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.bank_references ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_change ON pgw.bank_references IS 'A charge never changes hands.';
COMMENT ON TRIGGER refuse_truncate ON pgw.bank_references IS 'A charge never changes hands.';

-- Apart from the charges', so that a payment which is neither captured later nor refunded writes nothing here, unless the bank's
-- answer to the charge names what took the money, too.
CREATE TABLE pgw.operation_references (
	account text COLLATE "C" NOT NULL,
	operation text COLLATE "C" NOT NULL,
	bank_reference text COLLATE "C" NOT NULL,
	transaction_id uuid NOT NULL,
	PRIMARY KEY (account, operation, bank_reference)
);
COMMENT ON TABLE pgw.operation_references IS
	'Which attempt''s a capture, void or refund at the bank is: within one account its id belongs to one attempt, for good.';
COMMENT ON COLUMN pgw.operation_references.account IS 'The account of pgw.banks; the bank''s name, where that has none.';
COMMENT ON COLUMN pgw.operation_references.operation IS
	'capture, void or refund. What undoes a charge, whichever way the bank chooses, has a row for each of the last two.';
COMMENT ON COLUMN pgw.operation_references.bank_reference IS
	'The bank''s id of it. One that is the charge''s own belongs to no operation and is not here.';
COMMENT ON COLUMN pgw.operation_references.transaction_id IS
	'The attempt that it belongs to: of a give-back the payment''s own.';

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.operation_references
	FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.operation_references
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.operation_references ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_change ON pgw.operation_references IS 'A capture, void or refund never changes hands.';
COMMENT ON TRIGGER refuse_truncate ON pgw.operation_references IS 'A capture, void or refund never changes hands.';

-- Written in the transaction of the endpoint that the bank has called, by one statement. What is refused has no row: it would
-- be anybody's who knows the endpoint.
CREATE TABLE pgw.notifications (
	notification_id uuid NOT NULL PRIMARY KEY,
	bank text COLLATE "C" NOT NULL,
	livemode boolean NOT NULL,
	identity text COLLATE "C",
	digest text NOT NULL,
	event_id text,
	event_type text,
	bank_time text,
	bank_reference text,
	reference text,
	amount bigint,
	currency text,
	payment_id uuid,
	transaction_id uuid,
	amounts text CHECK (amounts IN ('equal', 'unequal', 'unreadable')),
	alerted boolean NOT NULL DEFAULT false,
	outcome text NOT NULL CHECK (outcome IN ('asked', 'nothing_open', 'unknown_payment', 'unconfirmed', 'evidence', 'change', 'dispute')),
	about text CHECK (about IN ('charge', 'capture', 'void', 'refund', 'cancel', 'reverse')),
	says text CHECK (says IN ('approved', 'declined')),
	request_key text COLLATE "C",
	operation_reference text,
	evidence text CHECK (evidence IN ('waiting', 'used', 'agrees', 'contradicts', 'superseded')),
	change text CHECK (change IN ('waiting', 'seen')),
	next_look_at timestamptz,
	dispute text CHECK (dispute IN ('waiting', 'used', 'agrees', 'unclear')),
	dispute_says jsonb,
	proof text CHECK (proof IN ('signature', 'login', 'both', 'answer')),
	may_change int,
	next_match_at timestamptz,
	next_ask_at timestamptz,
	received_at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT notifications_once UNIQUE (bank, identity)
);
CREATE INDEX notifications_payment ON pgw.notifications (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX notifications_evidence ON pgw.notifications (transaction_id) WHERE evidence IS NOT NULL;
CREATE INDEX notifications_waiting ON pgw.notifications (notification_id) WHERE evidence = 'waiting';
CREATE INDEX notifications_change ON pgw.notifications (transaction_id) WHERE change = 'waiting';
CREATE INDEX notifications_to_alert ON pgw.notifications (notification_id)
	WHERE amounts <> 'equal' AND NOT alerted AND transaction_id IS NOT NULL;
CREATE INDEX notifications_unmatched ON pgw.notifications (next_match_at) WHERE next_match_at IS NOT NULL;
CREATE INDEX notifications_unconfirmed ON pgw.notifications (bank, next_ask_at) WHERE next_ask_at IS NOT NULL;
CREATE INDEX notifications_dispute ON pgw.notifications (transaction_id) WHERE dispute = 'waiting';
CREATE INDEX notifications_dispute_alert ON pgw.notifications (notification_id) WHERE dispute IN ('waiting', 'unclear') AND NOT alerted;
COMMENT ON TABLE pgw.notifications IS
	'What banks have sent by themselves and pgw has taken, one row each. A notification makes pgw ask the bank; of a bank that '
	'can be asked nothing it is the bank''s word. Its body is not kept. The worker deletes rows that are older than '
	'pgw.notifications_max_age.';
COMMENT ON COLUMN pgw.notifications.notification_id IS 'pgw''s id of it, as a UUIDv7.';
COMMENT ON COLUMN pgw.notifications.bank IS 'The bank that has sent it, by its name in pgw.banks.';
COMMENT ON COLUMN pgw.notifications.livemode IS 'False: the bank moves no money.';
COMMENT ON COLUMN pgw.notifications.identity IS
	'SHA-256 of what two deliveries of it have in common, as the connector says; NULL: nothing, so each delivery has a row.';
COMMENT ON COLUMN pgw.notifications.digest IS 'SHA-256 of the body, in hexadecimal digits.';
COMMENT ON COLUMN pgw.notifications.event_id IS 'The bank''s own id of it, where it has one that can be kept.';
COMMENT ON COLUMN pgw.notifications.event_type IS 'Its type, as the bank writes it.';
COMMENT ON COLUMN pgw.notifications.bank_time IS 'When it happened, as the bank writes it.';
COMMENT ON COLUMN pgw.notifications.bank_reference IS 'The bank''s id of the charge that it is about.';
COMMENT ON COLUMN pgw.notifications.reference IS 'Our reference of what it is about, as the bank has it.';
COMMENT ON COLUMN pgw.notifications.amount IS 'The amount that it says, in minor units of the currency; NULL: none.';
COMMENT ON COLUMN pgw.notifications.currency IS 'The currency that it says.';
COMMENT ON COLUMN pgw.notifications.transaction_id IS 'The attempt that it names, by reference or id; NULL: none that is known here.';
COMMENT ON COLUMN pgw.notifications.amounts IS
	'Whether it says the amount and currency of that attempt: equal, unequal, unreadable; NULL: it says none. Nothing follows '
	'from it but an alert, unless it is evidence.';
COMMENT ON COLUMN pgw.notifications.alerted IS 'True: people were told that the amount is another.';
COMMENT ON COLUMN pgw.notifications.payment_id IS 'The payment that it is about; NULL: none that is known here.';
COMMENT ON COLUMN pgw.notifications.outcome IS
	'asked: something of the payment is in doubt, and the worker asks the bank after the commit; nothing_open: nothing is; '
	'unknown_payment: no payment of this bank has such an id or reference, or none yet (next_match_at); '
	'unconfirmed: anybody may have sent it, and the bank is asked for it, or could not be (next_ask_at); '
	'evidence: the worker takes it as the bank''s answer; '
	'change: it may tell of what was done at the bank without pgw, and the worker asks for the totals, or records it; '
	'dispute: it tells of one.';
COMMENT ON COLUMN pgw.notifications.about IS 'Which operation it is the bank''s word on, at a bank that can be asked nothing; else NULL.';
COMMENT ON COLUMN pgw.notifications.says IS 'approved: that operation is done; declined: it has failed.';
COMMENT ON COLUMN pgw.notifications.request_key IS 'Our reference of the request that it is about, as pgw has it.';
COMMENT ON COLUMN pgw.notifications.operation_reference IS 'The bank''s own id of that operation, where it names one.';
COMMENT ON COLUMN pgw.notifications.evidence IS
	'waiting: the worker will take it, once the attempt is so far; used: it was taken as the bank''s answer; agrees: the attempt '
	'had ended so already; contradicts: it had ended otherwise, and people were told; superseded: the request was made anew '
	'since, or elsewhere.';
COMMENT ON COLUMN pgw.notifications.change IS
	'It may tell of what was done at the bank without pgw. waiting: the bank is still to be asked, or, where it can be asked nothing, '
	'what it says is still to be recorded; seen: that is over; NULL: it tells of '
	'no such thing, or of nothing that could have changed the payment.';
COMMENT ON COLUMN pgw.notifications.next_look_at IS 'When the bank is to be asked again, where change is waiting; NULL: at once.';
COMMENT ON COLUMN pgw.notifications.dispute IS
	'It tells of a dispute. waiting: the worker will record it, once the payment is there and Completed; used: it was recorded; '
	'agrees: all of it was known; unclear: it names none, or says another amount than before; NULL: it is about no dispute.';
COMMENT ON COLUMN pgw.notifications.dispute_says IS 'What it says of it: a JSON object.';
COMMENT ON COLUMN pgw.notifications.proof IS
	'How it was proved to be the bank''s. signature; login: by name and password; both; answer: the bank was asked for it.';
COMMENT ON COLUMN pgw.notifications.may_change IS 'While next_match_at is set: which of the changes at the bank it may tell of, as bits.';
COMMENT ON COLUMN pgw.notifications.next_match_at IS
	'Its payment is not known yet: when it is matched again. NULL: it is known, or its time is over.';
COMMENT ON COLUMN pgw.notifications.next_ask_at IS
	'It is unconfirmed: when the bank is asked for it, or asked again. NULL: it is not, or its time is over.';
COMMENT ON COLUMN pgw.notifications.received_at IS 'When it came in: what the signature''s time is compared with.';
COMMENT ON COLUMN pgw.notifications.recorded_at IS 'When the row was recorded, or came again while it was unconfirmed.';
COMMENT ON INDEX pgw.notifications_payment IS 'Which notifications were about a payment.';
COMMENT ON INDEX pgw.notifications_evidence IS 'What a bank has said of an attempt by itself.';
COMMENT ON INDEX pgw.notifications_waiting IS 'What a bank has said by itself and was not taken yet.';
COMMENT ON INDEX pgw.notifications_change IS 'Of which payments the totals are still to be asked for.';
COMMENT ON INDEX pgw.notifications_unconfirmed IS 'Those that a bank is to be asked for; so many wait for it at most.';
COMMENT ON INDEX pgw.notifications_dispute IS 'What was said of disputes and is not recorded yet.';
COMMENT ON INDEX pgw.notifications_dispute_alert IS 'Those about disputes that a person should see.';
COMMENT ON INDEX pgw.notifications_to_alert IS 'Those with another amount, of which people are still to be told.';
COMMENT ON INDEX pgw.notifications_unmatched IS 'Those whose payment is not known yet, and that are matched again.';
COMMENT ON CONSTRAINT notifications_once ON pgw.notifications IS 'Each notification is taken once, however often it is delivered.';

-- How each stands; what led there is in the events of the payment's attempt.
CREATE TABLE pgw.disputes (
	dispute_id uuid NOT NULL PRIMARY KEY,
	account text COLLATE "C" NOT NULL,
	bank_dispute_id text COLLATE "C" NOT NULL,
	bank text COLLATE "C" NOT NULL,
	livemode boolean NOT NULL,
	merchant text NOT NULL,
	payment_id uuid NOT NULL,
	transaction_id uuid NOT NULL,
	status text NOT NULL CHECK (status IN ('inquiry', 'open', 'won', 'lost', 'closed')),
	steps text[] NOT NULL,
	currency text NOT NULL,
	withdrawn_amount bigint NOT NULL CHECK (withdrawn_amount >= 0),
	reinstated_amount bigint NOT NULL CHECK (reinstated_amount >= 0),
	unclear boolean NOT NULL,
	said_amount bigint,
	said_currency text,
	fee_amount bigint,
	fee_currency text,
	reason text,
	deadline timestamptz,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT disputes_once UNIQUE (account, bank_dispute_id)
);
CREATE INDEX disputes_payment ON pgw.disputes (payment_id);
COMMENT ON TABLE pgw.disputes IS
	'Disputes of payments, one row each, as banks have told of them: inquiries, which take nothing, and those that take money back.';
COMMENT ON COLUMN pgw.disputes.dispute_id IS 'pgw''s id of it, as a UUIDv7.';
COMMENT ON COLUMN pgw.disputes.account IS 'The account of pgw.banks; the bank''s name, where that has none.';
COMMENT ON COLUMN pgw.disputes.bank_dispute_id IS 'The bank''s id of it.';
COMMENT ON COLUMN pgw.disputes.bank IS 'The bank that has told of it, by its name in pgw.banks.';
COMMENT ON COLUMN pgw.disputes.livemode IS 'False: no money moves, the bank is one for tests.';
COMMENT ON COLUMN pgw.disputes.merchant IS 'Whose payment it is about.';
COMMENT ON COLUMN pgw.disputes.payment_id IS 'The payment that it is about.';
COMMENT ON COLUMN pgw.disputes.transaction_id IS 'The attempt that has the charge; its events tell what happened.';
COMMENT ON COLUMN pgw.disputes.status IS
	'inquiry: the bank of the card asks, and takes nothing; open; won and lost: by the merchant; closed: neither.';
COMMENT ON COLUMN pgw.disputes.steps IS 'The steps that the bank has told of, whatever their order; each counts once.';
COMMENT ON COLUMN pgw.disputes.currency IS 'The payment''s currency.';
COMMENT ON COLUMN pgw.disputes.withdrawn_amount IS 'What it has taken, in minor units of the payment''s currency.';
COMMENT ON COLUMN pgw.disputes.reinstated_amount IS 'What of it has come back, in minor units of the payment''s currency.';
COMMENT ON COLUMN pgw.disputes.unclear IS
	'True: money was moved, and how much of the payment''s currency it was the bank does not say; the amounts lack it.';
COMMENT ON COLUMN pgw.disputes.said_amount IS 'What is disputed, as the bank says it, in minor units of said_currency.';
COMMENT ON COLUMN pgw.disputes.said_currency IS 'The currency in which the bank says it.';
COMMENT ON COLUMN pgw.disputes.fee_amount IS 'The bank''s fee for it, in minor units of fee_currency, as it was said last.';
COMMENT ON COLUMN pgw.disputes.fee_currency IS 'The currency of the fee.';
COMMENT ON COLUMN pgw.disputes.reason IS 'The bank''s word for why.';
COMMENT ON COLUMN pgw.disputes.deadline IS 'Until when the merchant may answer, as it was said last; pgw answers nothing.';
COMMENT ON COLUMN pgw.disputes.created_at IS 'When the row was recorded.';
COMMENT ON COLUMN pgw.disputes.updated_at IS 'When a step was last recorded.';
COMMENT ON INDEX pgw.disputes_payment IS 'The disputes of a payment.';
COMMENT ON CONSTRAINT disputes_once ON pgw.disputes IS 'A dispute is one, however often the bank tells of it.';

CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.disputes FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.disputes FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.disputes ENABLE ALWAYS TRIGGER refuse_delete, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_delete ON pgw.disputes IS 'Disputes are never deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.disputes IS 'Disputes are never deleted.';


-- ==================================================================================================
--  7  Events and their partitions
--
--  Append-only, one partition for each month of the transaction (transaction_id is a UUIDv7). The primary key is on
--  every partition, not on the parent: a transaction lies in one partition, so that is the same; but a parent's index
--  would be made on a restored partition twice, by ATTACH and by the dump, and the restore would fail.
-- ==================================================================================================

CREATE TABLE pgw.transaction_events (
	event_id uuid NOT NULL,
	transaction_id uuid NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	event_type pgw.event_type NOT NULL,
	step_order pgw.step_number NOT NULL,
	from_status pgw.transaction_status,
	to_status pgw.transaction_status NOT NULL,
	-- what few events say; each byte of a member's name would be there for each of them
	payment_id uuid,
	correlation_id uuid,
	bank_version int,
	digest bytea,
	event_data jsonb,
	error_details text
) PARTITION BY RANGE (transaction_id);
CREATE TABLE pgw.transaction_events_default
	PARTITION OF pgw.transaction_events (PRIMARY KEY (transaction_id, step_order)) DEFAULT;
COMMENT ON TABLE pgw.transaction_events IS
	'Every step of every attempt, append-only. One partition for each month of the transaction, by its UUIDv7.';
COMMENT ON TABLE pgw.transaction_events_default IS 'The events whose month has no partition of its own.';
COMMENT ON COLUMN pgw.transaction_events.event_id IS 'The event, as a UUIDv7.';
COMMENT ON COLUMN pgw.transaction_events.transaction_id IS
	'The attempt in pgw.payment_transactions that the step belongs to.';
COMMENT ON COLUMN pgw.transaction_events.event_type IS 'What happened.';
COMMENT ON COLUMN pgw.transaction_events.occurred_at IS
	'When it was recorded, by the clock (not the beginning of the transaction).';
COMMENT ON COLUMN pgw.transaction_events.from_status IS
	'The attempt''s state before; NULL: this is its first step.';
COMMENT ON COLUMN pgw.transaction_events.to_status IS 'The attempt''s state after it.';
COMMENT ON COLUMN pgw.transaction_events.payment_id IS
	'Of TransactionStarted and TransactionAdopted: the payment that the attempt is for from then on.';
COMMENT ON COLUMN pgw.transaction_events.correlation_id IS
	'Of the first event: the id that stands in every log line about the attempt, and in requests to the bank.';
COMMENT ON COLUMN pgw.transaction_events.bank_version IS
	'Of BankProcessingStarted: the row of pgw.bank_versions that the request goes by.';
COMMENT ON COLUMN pgw.transaction_events.digest IS
	'Of TransactionStarted: SHA-256 of what makes a request under this id the same one (docs/state-machine.md).';
COMMENT ON COLUMN pgw.transaction_events.event_data IS
	'A JSON object of what no step before has said (docs/sql-reference.md), NULL: nothing. Amounts are in minor units. '
	'pgw.events_in_full says again what still holds.';
COMMENT ON COLUMN pgw.transaction_events.error_details IS
	'What went wrong, for people; it holds no text of the bank''s and no value that was passed in.';
COMMENT ON COLUMN pgw.transaction_events.step_order IS 'The step''s number within its attempt: 1, 2, 3, without a gap.';
COMMENT ON COLUMN pgw.transaction_events.txid IS
	'The transaction that wrote it. Transactions commit in any order: read by pgw.read_events() (docs/events.md) what is '
	'new.';

-- Row triggers of the parent are copied to each partition, statement triggers are not.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON pgw.transaction_events
	FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.transaction_events
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.transaction_events_default
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.transaction_events ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE pgw.transaction_events_default ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;
COMMENT ON TRIGGER append_only ON pgw.transaction_events IS 'Events are never changed or deleted.';
COMMENT ON TRIGGER append_only_truncate ON pgw.transaction_events IS 'Events are never changed or deleted.';
COMMENT ON TRIGGER append_only_truncate ON pgw.transaction_events_default IS 'Events are never changed or deleted.';

-- What nobody who reads the events has to have. src/database/late_events.c says what the list is for.
CREATE TABLE pgw.late_events (
	txid xid8 NOT NULL,
	transaction_id uuid NOT NULL,
	step_order int NOT NULL,
	PRIMARY KEY (txid, transaction_id, step_order)
);
COMMENT ON TABLE pgw.late_events IS
	'Events that have come long after their attempt began: pgw.read_events() finds them here. Rows are written while there '
	'is a consumer, and deleted when all consumers have read them; not in dumps.';
COMMENT ON COLUMN pgw.late_events.txid IS 'The transaction that wrote the event.';
COMMENT ON COLUMN pgw.late_events.transaction_id IS 'The attempt that the event is of.';
COMMENT ON COLUMN pgw.late_events.step_order IS 'The event''s number within its attempt.';

CREATE TABLE pgw.event_consumers (
	consumer text NOT NULL PRIMARY KEY CHECK (consumer <> '' AND octet_length(consumer) <= 63),
	merchant text NOT NULL,
	role regrole NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	alert_after interval NOT NULL,
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	resumptions bigint NOT NULL,
	since timestamptz,
	seen pg_snapshot NOT NULL,
	read_up_to timestamptz NOT NULL,
	batch uuid NOT NULL,
	reading pg_snapshot,
	reading_at timestamptz,
	position_id uuid NOT NULL,
	position_step int NOT NULL,
	committed_at timestamptz,
	fence_txids xid8[] NOT NULL,
	fences bigint[] NOT NULL,
	CONSTRAINT event_consumers_reading_check CHECK ((reading IS NULL) = (reading_at IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE pgw.event_consumers IS
	'Who reads the events by pgw.read_events(), and how far each has come (docs/events.md). Not in dumps: transactions are '
	'counted anew where one is restored.';
COMMENT ON COLUMN pgw.event_consumers.consumer IS 'The consumer''s name: 1 to 63 bytes.';
COMMENT ON COLUMN pgw.event_consumers.merchant IS 'The merchant whose events it reads; an empty text: all.';
COMMENT ON COLUMN pgw.event_consumers.role IS 'The role that has created it; its members may use it, too.';
COMMENT ON COLUMN pgw.event_consumers.created_at IS 'When it was created.';
COMMENT ON COLUMN pgw.event_consumers.alert_after IS
	'pgw.health() warns when it has not read all events for so long.';
COMMENT ON COLUMN pgw.event_consumers.system_identifier IS 'The cluster whose transactions seen and reading speak of.';
COMMENT ON COLUMN pgw.event_consumers.database_oid IS 'The database in which it was created or moved.';
COMMENT ON COLUMN pgw.event_consumers.resumptions IS
	'How often a restored database had been resumed here by then: another number, and its place does not hold any more.';
COMMENT ON COLUMN pgw.event_consumers.since IS
	'Of the events that were there before it, those that have occurred since then are read; NULL: that is over, or none.';
COMMENT ON COLUMN pgw.event_consumers.seen IS 'It has committed all events that this snapshot shows.';
COMMENT ON COLUMN pgw.event_consumers.read_up_to IS 'When that snapshot was taken: how far it has come.';
COMMENT ON COLUMN pgw.event_consumers.batch IS 'The batch that it reads; cursors name it.';
COMMENT ON COLUMN pgw.event_consumers.reading IS
	'The batch is what this snapshot shows and seen does not; NULL: there was nothing to read.';
COMMENT ON COLUMN pgw.event_consumers.reading_at IS 'When that snapshot was taken.';
COMMENT ON COLUMN pgw.event_consumers.position_id IS 'The attempt of the last event of the batch that was committed.';
COMMENT ON COLUMN pgw.event_consumers.position_step IS 'Its number within the attempt.';
COMMENT ON COLUMN pgw.event_consumers.committed_at IS 'When pgw.commit_events() was last called for it.';
COMMENT ON COLUMN pgw.event_consumers.fence_txids IS
	'Transaction ids: of what is written from one of them on, and is of an attempt from before its fence, '
	'pgw.late_events has a row.';
COMMENT ON COLUMN pgw.event_consumers.fences IS 'The fences of fence_txids, in Unix milliseconds.';
COMMENT ON CONSTRAINT event_consumers_reading_check ON pgw.event_consumers IS 'A batch has both or neither.';

-- Partitions are made here and not by this script, because members of the extension would not be in a dump. The first ones
-- are made right after CREATE EXTENSION (src/ddl/utility_hook.c), but not while a dump is restored, which brings its own:
-- there, and where the server did not preload pgw then, with the first bank beside "test". Never waits long for a reader
-- of the default partition: what cannot be made now is made by the next call.
CREATE FUNCTION pgw.ensure_event_partitions(ahead int DEFAULT 2) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex SET lock_timeout = '200ms' AS
$$
DECLARE
	month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
	bounds text[];
	part text;
	made int := 0;
BEGIN
	IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 120 THEN
		RAISE EXCEPTION 'ahead must be between 0 and 120 months' USING ERRCODE = 'PW400',
			HINT = 'The worker keeps this month''s partition and those of the two months after it by itself; ask for up to ten years.',
			DETAIL = '[{"field": "ahead", "code": "out_of_range", "message": "must be between 0 and 120 months"}]';
	END IF;
	FOR i IN 0 .. ahead LOOP
		part := 'transaction_events_y' || to_char(month + make_interval(months => i), 'YYYY"m"MM');
		CONTINUE WHEN EXISTS (SELECT FROM pg_inherits
			WHERE inhparent = 'pgw.transaction_events'::regclass AND inhrelid = to_regclass('pgw.' || part));
		IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relname = part) THEN
			RAISE WARNING 'pgw: % is not attached to pgw.transaction_events, so events of its month stay in the default partition', part
				USING HINT = 'Attach it again, or rename it and call pgw.ensure_event_partitions().';
			CONTINUE;
		END IF;
		-- the smallest id of the month's first millisecond, and of the next month's
		SELECT array_agg(rpad(lpad(to_hex((extract(epoch FROM m) * 1000)::bigint), 12, '0'), 32, '0')::uuid::text ORDER BY m) INTO bounds
		FROM unnest(ARRAY[month + make_interval(months => i), month + make_interval(months => i + 1)]) m;
		BEGIN
			EXECUTE format('CREATE TABLE pgw.%I (LIKE pgw.transaction_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
				PRIMARY KEY (transaction_id, step_order))', part);
			EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.%I
				FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change()', part);
			-- ATTACH, not PARTITION OF: it does not wait for those who write events
			EXECUTE format('ALTER TABLE pgw.transaction_events ATTACH PARTITION pgw.%I FOR VALUES FROM (%L) TO (%L)',
				part, bounds[1], bounds[2]);
			EXECUTE format('ALTER TABLE pgw.%I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', part);
			-- default privileges would give it to others
			PERFORM pgw.revoke_unexplained_privileges(format('pgw.%I', part)::regclass);
			made := made + 1;
		EXCEPTION
			WHEN check_violation THEN
				RAISE WARNING 'pgw: events of % stay in the default partition, which already holds some of that month', part
					USING HINT = 'That is sound, but they cannot be removed by month. See docs/monitoring.md, check partitions.';
			WHEN lock_not_available OR deadlock_detected THEN
				RAISE WARNING 'pgw: partition % could not be made now, because the default partition is in use', part
					USING HINT = 'It is tried again; until then its events go to the default partition.';
			WHEN duplicate_table OR unique_violation THEN
				NULL;			-- another session was faster
		END;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION pgw.ensure_event_partitions(int) IS
	'Makes the partitions of the events for this month (UTC) and the next ahead ones; returns how many are new.';

CREATE FUNCTION pgw.bank_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	IF EXISTS (SELECT FROM pgw.banks WHERE name <> 'test') THEN
		PERFORM pgw.ensure_event_partitions(2);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgw.bank_added() IS
	'Trigger function: a bank makes the first partitions of the events, if there are none yet.';

CREATE TRIGGER bank_added AFTER INSERT ON pgw.banks FOR EACH STATEMENT EXECUTE FUNCTION pgw.bank_added();
COMMENT ON TRIGGER bank_added ON pgw.banks IS 'A bank makes the first partitions of the events, if there are none yet.';


-- ==================================================================================================
--  8  What the worker keeps over a restart: circuit breakers, alerts, the ledger of the bank inside it
--
--  No records, so not in dumps.
-- ==================================================================================================

CREATE TABLE pgw.bank_states (
	bank text NOT NULL,
	operation_group text NOT NULL,
	state text NOT NULL,
	failures int NOT NULL,
	openings int NOT NULL,
	opened_at timestamptz,
	cooldown_from timestamptz,
	changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (bank, operation_group)
);
COMMENT ON TABLE pgw.bank_states IS
	'The worker''s circuit breakers, kept over a restart (docs/breaker.md). Not in dumps.';
COMMENT ON COLUMN pgw.bank_states.bank IS 'The bank''s name; name@version for a version that is not the present one.';
COMMENT ON COLUMN pgw.bank_states.operation_group IS
	'What the breaker is for: charges (charge, authorize), captures, give_backs (void, refund, cancel), lookups '
	'(look-ups, ping) or notifications (asking for those that anybody may have sent).';
COMMENT ON COLUMN pgw.bank_states.state IS
	'closed: it is called; open: it is left alone; half_open: one call, the probe, is under way.';
COMMENT ON COLUMN pgw.bank_states.failures IS 'How many calls have failed in a row while it was closed.';
COMMENT ON COLUMN pgw.bank_states.openings IS
	'How often it has opened in a row, counted no further than matters; 0: sound. Closed and above 0: on trial.';
COMMENT ON COLUMN pgw.bank_states.opened_at IS 'When it opened first in this row; NULL: it is sound.';
COMMENT ON COLUMN pgw.bank_states.cooldown_from IS
	'When its present cooldown began (pgw.breaker_cooldown); NULL: it is sound.';
COMMENT ON COLUMN pgw.bank_states.changed_at IS 'When the row was last written.';

CREATE TABLE pgw.alert_state (
	kind text NOT NULL,
	subject text NOT NULL,
	bank text,
	transaction_id uuid,
	message text NOT NULL,
	first_at timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	told_at timestamptz NOT NULL,
	count bigint NOT NULL,
	told bigint NOT NULL,
	PRIMARY KEY (kind, subject)
);
COMMENT ON TABLE pgw.alert_state IS
	'One row for each cause of an alert: what has come, and what keeps a flood away (docs/alerts.md). Rows may be '
	'deleted. Not in dumps.';
COMMENT ON COLUMN pgw.alert_state.kind IS 'The kind of alert, a word of docs/alerts.md.';
COMMENT ON COLUMN pgw.alert_state.subject IS 'What it is about: a transaction, or a bank and its operations.';
COMMENT ON COLUMN pgw.alert_state.bank IS 'The bank that it is about; NULL: none.';
COMMENT ON COLUMN pgw.alert_state.transaction_id IS 'The attempt that it is about; NULL: none.';
COMMENT ON COLUMN pgw.alert_state.message IS 'The newest message.';
COMMENT ON COLUMN pgw.alert_state.first_at IS 'When it came first.';
COMMENT ON COLUMN pgw.alert_state.last_at IS 'When it came last.';
COMMENT ON COLUMN pgw.alert_state.told_at IS 'When people were last told: once in pgw.alert_period.';
COMMENT ON COLUMN pgw.alert_state.count IS 'How often it came; of what is too old, how often it was seen.';
COMMENT ON COLUMN pgw.alert_state.told IS 'How often people were told.';

-- Webhooks (src/webhook/): a row for each message and endpoint, and how each endpoint does. All of it is of this cluster: a
-- restored database sends nothing of what the original had to send. The events are read by the consumer "pgw.webhooks", which
-- is there while an endpoint is enabled.
CREATE TABLE pgw.webhook_queue (
	delivery bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	endpoint text COLLATE "C" NOT NULL,
	payment_id uuid NOT NULL,
	message_id uuid NOT NULL,
	merchant text,
	type text NOT NULL,
	payload text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	status text NOT NULL CHECK (status IN ('waiting', 'behind', 'delivered', 'failed')),
	attempts int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	last_attempt_at timestamptz,
	last_http_status int,
	last_error text,
	last_ms int
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE pgw.webhook_queue IS
	'The messages to endpoints of webhooks: those that wait, and for some days those that are over. Not in dumps.';
COMMENT ON COLUMN pgw.webhook_queue.delivery IS
	'The row''s number: of one payment and endpoint the smaller goes first.';
COMMENT ON COLUMN pgw.webhook_queue.endpoint IS 'To which endpoint of pgw.webhook_endpoints.';
COMMENT ON COLUMN pgw.webhook_queue.payment_id IS 'The payment that it is about; of a test an id of its own.';
COMMENT ON COLUMN pgw.webhook_queue.message_id IS
	'What the header webhook-id says: the event''s id, the same each time it is sent, and to each endpoint.';
COMMENT ON COLUMN pgw.webhook_queue.merchant IS 'Whose payment it is; NULL: it is a test.';
COMMENT ON COLUMN pgw.webhook_queue.type IS 'The message''s type.';
COMMENT ON COLUMN pgw.webhook_queue.payload IS 'What is sent, to the byte; the same each time.';
COMMENT ON COLUMN pgw.webhook_queue.created_at IS 'When it was put there.';
COMMENT ON COLUMN pgw.webhook_queue.status IS
	'waiting: it is due at next_attempt_at; behind: an earlier one of its payment is not over; delivered: it was '
	'answered with 2xx; failed: it was given up.';
COMMENT ON COLUMN pgw.webhook_queue.attempts IS 'How often it was sent.';
COMMENT ON COLUMN pgw.webhook_queue.next_attempt_at IS 'When it is sent next; NULL: it is not.';
COMMENT ON COLUMN pgw.webhook_queue.last_attempt_at IS 'When the last attempt ended.';
COMMENT ON COLUMN pgw.webhook_queue.last_http_status IS 'What it was answered with; NULL: nothing.';
COMMENT ON COLUMN pgw.webhook_queue.last_error IS 'Why there was no answer.';
COMMENT ON COLUMN pgw.webhook_queue.last_ms IS 'How long the last attempt took, in milliseconds.';
COMMENT ON SEQUENCE pgw.webhook_queue_delivery_seq IS 'The numbers of the rows of pgw.webhook_queue.';
CREATE INDEX webhook_queue_due ON pgw.webhook_queue (endpoint, next_attempt_at, delivery) WHERE status = 'waiting';
COMMENT ON INDEX pgw.webhook_queue_due IS 'What is to be sent, by endpoint and time.';
CREATE INDEX webhook_queue_open ON pgw.webhook_queue (endpoint, payment_id, delivery)
	WHERE status IN ('waiting', 'behind');
COMMENT ON INDEX pgw.webhook_queue_open IS 'What is not over of a payment: the next one waits behind it.';

CREATE TABLE pgw.webhook_states (
	endpoint text NOT NULL PRIMARY KEY,
	failing_since timestamptz,
	disabled_at timestamptz,
	disabled_because text,
	secret_fault text
);
COMMENT ON TABLE pgw.webhook_states IS
	'Endpoints of webhooks that fail, that pgw has disabled for it, or for which nothing can be signed. Not in dumps.';
COMMENT ON COLUMN pgw.webhook_states.endpoint IS 'The endpoint of pgw.webhook_endpoints.';
COMMENT ON COLUMN pgw.webhook_states.failing_since IS 'Since when no message was taken; NULL: it does well.';
COMMENT ON COLUMN pgw.webhook_states.disabled_at IS 'When pgw has disabled it; NULL: it has not.';
COMMENT ON COLUMN pgw.webhook_states.disabled_because IS 'Why it has.';
COMMENT ON COLUMN pgw.webhook_states.secret_fault IS
	'Why the file of its secret cannot be used, so that nothing is sent to it; NULL: it can.';

CREATE FUNCTION pgw.webhook_enabled() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	-- what waits for one that had this name, or is about merchants of which it hears no more, is none of this one's
	IF NEW.endpoint IS DISTINCT FROM OLD.endpoint OR NEW.merchant IS DISTINCT FROM OLD.merchant THEN
		DELETE FROM pgw.webhook_queue q WHERE q.endpoint = NEW.endpoint AND q.status IN ('waiting', 'behind')
			AND (NEW.endpoint IS DISTINCT FROM OLD.endpoint OR NEW.merchant IS NOT NULL AND q.merchant IS DISTINCT FROM NEW.merchant);
	END IF;
	IF NOT NEW.enabled OR TG_OP = 'UPDATE' AND OLD.enabled THEN
		IF TG_OP = 'UPDATE' THEN
			NEW.enabled_at := OLD.enabled_at;
			NEW.enabled_from := OLD.enabled_from;
		END IF;
		RETURN NEW;
	END IF;
	-- one after the other: who comes second finds the first one's consumer
	PERFORM pg_advisory_xact_lock(1885829970, 1);
	NEW.enabled_at := clock_timestamp();
	NEW.enabled_from := pg_current_snapshot();
	DELETE FROM pgw.webhook_states s WHERE s.endpoint = NEW.endpoint;
	IF NOT EXISTS (SELECT FROM pgw.webhook_endpoints w WHERE w.enabled AND w.endpoint <> NEW.endpoint) THEN
		-- nobody wants what has happened meanwhile
		PERFORM pgw.drop_event_consumer('pgw.webhooks');
		-- where a restore is under way, the sender makes it once somebody has said that this database goes on
		IF NOT EXISTS (SELECT FROM pgw.restore_pending) THEN
			PERFORM pgw.create_event_consumer('pgw.webhooks', alert_after => '1 day');
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION pgw.webhook_enabled() IS
	'Trigger function: an endpoint hears of what happens from when it is enabled.';

CREATE TRIGGER check_webhook_endpoint BEFORE INSERT OR UPDATE ON pgw.webhook_endpoints
	FOR EACH ROW EXECUTE FUNCTION pgw.check_webhook_endpoint();
CREATE TRIGGER webhook_enabled BEFORE INSERT OR UPDATE ON pgw.webhook_endpoints
	FOR EACH ROW EXECUTE FUNCTION pgw.webhook_enabled();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.webhook_endpoints
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
ALTER TABLE pgw.webhook_endpoints ENABLE ALWAYS TRIGGER check_webhook_endpoint, ENABLE ALWAYS TRIGGER webhook_enabled,
	ENABLE ALWAYS TRIGGER config_changed;
COMMENT ON TRIGGER check_webhook_endpoint ON pgw.webhook_endpoints IS
	'Refuses a row with faults, and names all of them.';
COMMENT ON TRIGGER webhook_enabled ON pgw.webhook_endpoints IS 'It hears of what happens from when it is enabled.';
COMMENT ON TRIGGER config_changed ON pgw.webhook_endpoints IS 'The worker takes a committed change up at once.';

-- An event as its message. What of it is not the event's own is as it stands when the message is made.
CREATE VIEW pgw.webhook_messages AS
SELECT e.event_id, e.transaction_id, e.step_order, e.event_type, e.occurred_at, e.txid, t.payment_id, t.merchant,
	t.kind || '.' || e.event_type AS type,
	jsonb_build_object(
		'type', t.kind || '.' || e.event_type,
		'timestamp', to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		'version', 1,
		'data', jsonb_build_object(
			'event_id', e.event_id, 'event_type', e.event_type, 'transaction_id', e.transaction_id, 'step', e.step_order,
			'from_status', e.from_status, 'to_status', e.to_status, 'kind', t.kind, 'amount', t.amount,
			'currency', t.currency, 'client_request_id', t.client_request_id, 'merchant', t.merchant,
			'reference', t.reference, 'correlation_id', t.correlation_id, 'livemode', t.livemode,
			'error_code', t.error_code, 'error_class', t.error_class, 'payment_id', t.payment_id,
			'dispute', CASE WHEN e.event_data ? 'dispute' THEN jsonb_build_object(
				'id', e.event_data->'dispute', 'step', e.event_data->'step', 'status', e.event_data->'dispute_status',
				'taken_amount', e.event_data->'taken', 'said_amount', e.event_data->'said_amount',
				'said_currency', e.event_data->'said_currency', 'unclear', coalesce(e.event_data->'unclear', 'false'),
				'reason', e.event_data->'dispute_reason', 'deadline', to_char(to_timestamp((e.event_data->>'deadline')::float8)
					AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END,
			'payment', CASE WHEN p.payment_id IS NOT NULL THEN jsonb_build_object(
				'status', p.status, 'amount', p.amount, 'currency', p.currency,
				'authorized_amount', p.authorized_amount, 'captured_amount', p.captured_amount,
				'refunded_amount', p.refunded_amount, 'refund_pending_amount', p.refund_pending_amount,
				'disputed_amount', coalesce(p.disputed_amount, 0), 'client_request_id', p.client_request_id,
				'reference', p.reference, 'bank', p.bank, 'bank_reference', p.bank_reference,
				'card_brand', p.card_brand, 'card_last4', p.card_last4) END))
		AS payload
FROM pgw.transaction_events e
JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
LEFT JOIN pgw.payments p ON p.payment_id = t.payment_id;
COMMENT ON VIEW pgw.webhook_messages IS
	'Every event as the message that endpoints of webhooks would get of it now (docs/webhook-message.schema.json).';
COMMENT ON COLUMN pgw.webhook_messages.merchant IS 'Whose payment it is.';
COMMENT ON COLUMN pgw.webhook_messages.payment_id IS 'The payment that it is about.';
COMMENT ON COLUMN pgw.webhook_messages.type IS
	'The attempt''s kind and the event''s type, with a full stop between them.';
COMMENT ON COLUMN pgw.webhook_messages.payload IS 'The message.';

CREATE FUNCTION pgw.webhook_consumer() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	c pgw.event_consumers := (SELECT c FROM pgw.event_consumers c WHERE c.consumer = 'pgw.webhooks');
BEGIN
	-- somebody enables the first one just now; the sender looks again when that has committed
	IF NOT pg_try_advisory_xact_lock(1885829970, 1) THEN
		RETURN;
	END IF;
	IF NOT EXISTS (SELECT FROM pgw.webhook_endpoints w WHERE w.enabled) THEN
		PERFORM pgw.drop_event_consumer('pgw.webhooks');
	ELSIF c.consumer IS NULL THEN
		PERFORM pg_current_xact_id();	-- so it waits for nobody
		PERFORM pgw.create_event_consumer('pgw.webhooks', alert_after => '1 day');
	ELSIF c.system_identifier <> (SELECT s.system_identifier FROM pg_control_system() s)
		OR c.database_oid <> (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		OR c.resumptions <> (SELECT count(*) FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL) THEN
		IF pg_snapshot_xmax(c.seen) <= pg_snapshot_xmax(pg_current_snapshot())
			AND NOT EXISTS (SELECT FROM (SELECT r.incident_id FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL
				ORDER BY r.resumed_at OFFSET c.resumptions) n WHERE n.incident_id IS NULL)
			AND c.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) THEN
			-- the files of a cluster, copied or upgraded: transactions are counted on, so its place holds
			UPDATE pgw.event_consumers e SET system_identifier = (SELECT s.system_identifier FROM pg_control_system() s),
				resumptions = (SELECT count(*) FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL)
			WHERE e.consumer = c.consumer;
		ELSE
			-- records that were loaded are of transactions elsewhere: from here
			PERFORM pg_current_xact_id();
			PERFORM pgw.move_event_consumer('pgw.webhooks');
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.webhook_consumer() IS
	'Internal: the consumer of events that webhooks are made by is there while an endpoint is enabled.';

CREATE FUNCTION pgw.queue_webhooks(max_events int) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS
$$
DECLARE
	ids uuid[];
	steps int[];
	done text;
BEGIN
	SELECT array_agg(r.transaction_id ORDER BY r.ordinality), array_agg(r.step_order ORDER BY r.ordinality),
		(array_agg(r.cursor ORDER BY r.ordinality DESC))[1]
	INTO ids, steps, done
	FROM pgw.read_events('pgw.webhooks', max_events) WITH ORDINALITY r;
	IF ids IS NULL THEN
		RETURN 0;
	END IF;
	-- a statement of its own: its snapshot shows all that was read
	INSERT INTO pgw.webhook_queue (endpoint, payment_id, message_id, merchant, type, payload, status, next_attempt_at)
	SELECT n.endpoint, n.payment_id, n.event_id, n.merchant, n.type, n.payload,
		CASE WHEN n.nth > 1 OR EXISTS (SELECT FROM pgw.webhook_queue q
			WHERE q.endpoint = n.endpoint AND q.payment_id = n.payment_id AND q.status IN ('waiting', 'behind'))
			THEN 'behind' ELSE 'waiting' END,
		clock_timestamp()
	FROM (
		SELECT w.endpoint, m.payment_id, m.event_id, m.merchant, m.type, m.payload::text AS payload, e.nth AS place,
			row_number() OVER (PARTITION BY w.endpoint, m.payment_id ORDER BY e.nth) AS nth
		FROM unnest(ids, steps) WITH ORDINALITY e (transaction_id, step_order, nth)
		JOIN pgw.webhook_messages m ON m.transaction_id = e.transaction_id AND m.step_order = e.step_order
		JOIN pgw.webhook_endpoints w ON w.enabled AND (w.merchant IS NULL OR w.merchant = m.merchant)
			AND (w.event_types IS NULL OR m.event_type = ANY (w.event_types))
			AND NOT pg_visible_in_snapshot(m.txid, w.enabled_from)
			-- records that were loaded have txids of another cluster
			AND m.occurred_at > w.enabled_at - interval '1 day') n
	ORDER BY n.place, n.endpoint;
	PERFORM pgw.commit_events('pgw.webhooks', done);
	RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION pgw.queue_webhooks(int) IS
	'Internal: what has happened since the last look becomes messages; how many events were read, so many at most.';

-- Its columns are those of src/test_bank/ledger_table.c. Of a card it holds what pgw.payments does: the last four digits.
CREATE TABLE pgw.test_bank_ledger (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	kind text NOT NULL,
	status text NOT NULL,
	reference text COLLATE "C",
	charge_id text COLLATE "C",
	amount bigint,
	currency text,
	captured bigint NOT NULL,
	refunded bigint NOT NULL,
	voided boolean NOT NULL,
	code text,
	token text,
	authorization_code text,
	card_brand text,
	card_last4 text,
	created_at timestamptz NOT NULL,
	expires_at timestamptz,
	decided_at timestamptz,
	decided_as text,
	refusals int NOT NULL,
	idempotency_key text COLLATE "C" UNIQUE,
	fingerprint bigint,
	answer_status int,
	answer text
);
CREATE INDEX test_bank_ledger_reference_idx ON pgw.test_bank_ledger (reference);
CREATE INDEX test_bank_ledger_charge_id_idx ON pgw.test_bank_ledger (charge_id);
CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.test_bank_ledger FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.test_bank_ledger FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.test_bank_ledger ENABLE ALWAYS TRIGGER refuse_delete, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_delete ON pgw.test_bank_ledger IS 'A bank forgets nothing; pgw.purge_test_data() is the way.';
COMMENT ON TRIGGER refuse_truncate ON pgw.test_bank_ledger IS 'A bank forgets nothing; pgw.purge_test_data() is the way.';
COMMENT ON INDEX pgw.test_bank_ledger_reference_idx IS 'For look-ups and cancellations.';
COMMENT ON INDEX pgw.test_bank_ledger_charge_id_idx IS 'What follows a charge.';
COMMENT ON TABLE pgw.test_bank_ledger IS
	'What the test bank, which is answered inside the worker, has charged and given back: the ledger of a bank that '
	'moves no money (docs/testing-your-app.md). Written by the worker alone. Not in dumps.';
COMMENT ON COLUMN pgw.test_bank_ledger.id IS 'The bank''s id of it.';
COMMENT ON COLUMN pgw.test_bank_ledger.kind IS
	'charge, authorization, capture, void, refund, cancellation (of a reference), refusal (nothing was done), or try '
	'(nothing was done, the next one may go better).';
COMMENT ON COLUMN pgw.test_bank_ledger.status IS
	'Of charges and authorizations: approved, declined, pending, requires_action; of the rest: succeeded, pending, failed.';
COMMENT ON COLUMN pgw.test_bank_ledger.reference IS
	'What pgw calls it: the transaction_id of the attempt without its hyphens, or the key of a give-back.';
COMMENT ON COLUMN pgw.test_bank_ledger.charge_id IS 'The charge that it belongs to; NULL: it is one.';
COMMENT ON COLUMN pgw.test_bank_ledger.amount IS 'In minor units.';
COMMENT ON COLUMN pgw.test_bank_ledger.currency IS 'ISO 4217.';
COMMENT ON COLUMN pgw.test_bank_ledger.captured IS 'Of a charge: how much was captured.';
COMMENT ON COLUMN pgw.test_bank_ledger.refunded IS 'Of a charge: how much was refunded, or is about to be.';
COMMENT ON COLUMN pgw.test_bank_ledger.voided IS 'Of a charge: what was not captured was given up.';
COMMENT ON COLUMN pgw.test_bank_ledger.code IS 'Why it was declined or refused, in the bank''s words.';
COMMENT ON COLUMN pgw.test_bank_ledger.token IS
	'The test token that decides how it goes (docs/bank-protocol.md), also where a card or an amount stood for it.';
COMMENT ON COLUMN pgw.test_bank_ledger.authorization_code IS 'As the bank has told it.';
COMMENT ON COLUMN pgw.test_bank_ledger.card_brand IS 'The card''s brand.';
COMMENT ON COLUMN pgw.test_bank_ledger.card_last4 IS 'The card''s last four digits.';
COMMENT ON COLUMN pgw.test_bank_ledger.created_at IS 'When it was booked.';
COMMENT ON COLUMN pgw.test_bank_ledger.expires_at IS 'When the authorization expires.';
COMMENT ON COLUMN pgw.test_bank_ledger.decided_at IS
	'When what is pending is decided, or a refund is taken back; NULL: nothing is to come.';
COMMENT ON COLUMN pgw.test_bank_ledger.decided_as IS 'The status that it has from then on.';
COMMENT ON COLUMN pgw.test_bank_ledger.refusals IS 'Of a charge: how many of its refunds were refused.';
COMMENT ON COLUMN pgw.test_bank_ledger.idempotency_key IS 'The key of the request that has made it.';
COMMENT ON COLUMN pgw.test_bank_ledger.fingerprint IS
	'What that request asked for, without the card''s number: the key is for no other request.';
COMMENT ON COLUMN pgw.test_bank_ledger.answer_status IS 'The HTTP status that it was answered with.';
COMMENT ON COLUMN pgw.test_bank_ledger.answer IS
	'What it was answered, whether or not that was lost: it is answered again to the same key.';


-- ==================================================================================================
--  9  Restored and copied databases
--
--  src/restore/restored_database.c says when the worker stays paused, copied_cluster.c what an incident is.
-- ==================================================================================================

CREATE TABLE pgw.resumptions (
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	resumed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	actor jsonb NOT NULL,
	taken_over bigint,
	note text,
	incident_id uuid,
	PRIMARY KEY (system_identifier, database_oid, resumed_at)
);
COMMENT ON TABLE pgw.resumptions IS
	'Who has said, by pgw.resume_after_restore(), that this restored or copied database goes on. Append-only.';
COMMENT ON COLUMN pgw.resumptions.system_identifier IS 'The cluster that goes on.';
COMMENT ON COLUMN pgw.resumptions.database_oid IS 'The database of it that goes on.';
COMMENT ON COLUMN pgw.resumptions.resumed_at IS 'When that was said.';
COMMENT ON COLUMN pgw.resumptions.actor IS
	'Who said it: session_user, and as far as known set_role, current_user, address, application, actor '
	'(docs/state-machine.md).';
COMMENT ON COLUMN pgw.resumptions.taken_over IS
	'How many unfinished attempts were taken over; NULL: nobody resumed, there was no attempt yet.';
COMMENT ON COLUMN pgw.resumptions.note IS 'Why, as the caller wrote it.';
COMMENT ON COLUMN pgw.resumptions.incident_id IS
	'The copy of the cluster that this ends the pause of; NULL: the server was not taken for a copy.';

CREATE TABLE pgw.restore_pending (
	noticed_at timestamptz NOT NULL PRIMARY KEY DEFAULT clock_timestamp(),
	incident_id uuid,
	reason text NOT NULL DEFAULT 'loaded'
);
COMMENT ON TABLE pgw.restore_pending IS
	'A row: records of payments were loaded by a statement, or came by replication or with a copy of the cluster, and '
	'nobody has resumed since. '
	'Deleting it does not end the pause of a copy.';
COMMENT ON COLUMN pgw.restore_pending.noticed_at IS 'When that was noticed.';
COMMENT ON COLUMN pgw.restore_pending.incident_id IS
	'The copy of the cluster, over once pgw.resumptions has it; NULL: records were loaded or replicated.';
COMMENT ON COLUMN pgw.restore_pending.reason IS
	'How it was noticed: loaded (by a statement or replication), or what showed that the data directory is a copy.';

CREATE FUNCTION pgw.notice_load() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	loaded boolean;
BEGIN
	IF EXISTS (SELECT FROM pgw.restore_pending WHERE incident_id IS NULL) THEN
		RETURN NULL;
	END IF;
	IF TG_LEVEL = 'STATEMENT' THEN
		EXECUTE format('SELECT EXISTS (SELECT FROM pgw.%I)', TG_TABLE_NAME) INTO loaded;
	ELSE
		loaded := NEW.system_identifier <> (SELECT c.system_identifier FROM pg_control_system() c)
			OR NEW.database_oid <> (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	END IF;
	IF loaded THEN
		-- several at once (pg_restore --jobs) leave one mark
		LOCK TABLE pgw.restore_pending IN SHARE ROW EXCLUSIVE MODE;
		IF NOT EXISTS (SELECT FROM pgw.restore_pending WHERE incident_id IS NULL) THEN
			INSERT INTO pgw.restore_pending DEFAULT VALUES;
		END IF;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgw.notice_load() IS
	'Trigger function: records of payments that a statement has inserted were restored, and attempts of others came by '
	'replication, so the worker pauses.';

-- pgw inserts these rows without a statement, so this costs a payment nothing and fires for restores only. What payments
-- hold can be moved (captured, given back) without an attempt of theirs. A subscription inserts without statements, too,
-- but as a replica.
CREATE TRIGGER notice_load AFTER INSERT ON pgw.payments FOR EACH STATEMENT EXECUTE FUNCTION pgw.notice_load();
CREATE TRIGGER notice_load AFTER INSERT ON pgw.payment_transactions FOR EACH STATEMENT EXECUTE FUNCTION pgw.notice_load();
CREATE TRIGGER notice_load AFTER INSERT ON pgw.bank_references FOR EACH STATEMENT EXECUTE FUNCTION pgw.notice_load();
CREATE TRIGGER notice_replicated AFTER INSERT ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION pgw.notice_load();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.resumptions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.resumptions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER config_changed AFTER INSERT ON pgw.resumptions FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT ON pgw.restore_pending FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
ALTER TABLE pgw.payments ENABLE ALWAYS TRIGGER notice_load;
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER notice_load, ENABLE REPLICA TRIGGER notice_replicated;
ALTER TABLE pgw.bank_references ENABLE ALWAYS TRIGGER notice_load;
ALTER TABLE pgw.resumptions ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate,
	ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.restore_pending ENABLE ALWAYS TRIGGER config_changed;
COMMENT ON TRIGGER notice_load ON pgw.payments IS 'What a statement has inserted was restored: the worker pauses.';
COMMENT ON TRIGGER notice_load ON pgw.payment_transactions IS
	'Attempts that a statement has inserted were restored: the worker pauses.';
COMMENT ON TRIGGER notice_load ON pgw.bank_references IS 'What a statement has inserted was restored: the worker pauses.';
COMMENT ON TRIGGER notice_replicated ON pgw.payment_transactions IS
	'Attempts of another database have come by replication: the worker pauses.';
COMMENT ON TRIGGER refuse_change ON pgw.resumptions IS 'Resumptions are never changed or deleted.';
COMMENT ON TRIGGER refuse_truncate ON pgw.resumptions IS 'Resumptions are never changed or deleted.';
COMMENT ON TRIGGER config_changed ON pgw.resumptions IS 'The worker goes on at once.';
COMMENT ON TRIGGER config_changed ON pgw.restore_pending IS 'The worker pauses at once.';

CREATE FUNCTION pgw.resume_after_restore(note text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_resume_after_restore_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.resume_after_restore(text, jsonb) IS
	'Says that the original of this restored or copied database makes no more payments and this one goes on; returns '
	'how many unfinished attempts it takes over. Read docs/restore.md first.';


-- ==================================================================================================
-- 10  Shards
--
--  Which slots are at home in this database (docs/scaling.md). The rows are few, 1024 at most, and each process keeps
--  them in memory (src/shard/home_slots.c).
-- ==================================================================================================

CREATE FUNCTION pgw.slot_of(client_request_id text) RETURNS int
AS 'MODULE_PATHNAME', 'pgw_slot_of_1_0' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgw.slot_of(text) IS
	'The slot, 0 to 1023, of a request: the one that its id names (s17.order-4711), else the first ten bits of the '
	'SHA-256 of the id in UTF-8.';

CREATE FUNCTION pgw.slot_of_id(id uuid) RETURNS int
AS 'MODULE_PATHNAME', 'pgw_slot_of_id_1_0' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION pgw.slot_of_id(uuid) IS
	'The slot of a payment or attempt, by its id: the ten bits that follow the variant.';

CREATE FUNCTION pgw.new_request_id(slot int, own text) RETURNS text
AS 'MODULE_PATHNAME', 'pgw_new_request_id_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgw.new_request_id(int, text) IS
	'A client_request_id that names its slot: s17.order-4711 of 17 and order-4711.';

CREATE FUNCTION pgw.shard_name() RETURNS text
AS 'MODULE_PATHNAME', 'pgw_shard_name_1_0' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgw.shard_name() IS
	'The name of this shard, as its server was started under it; NULL: it has none, or one that every copy would have.';

CREATE FUNCTION pgw.slot_is_worked(id uuid) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgw_slot_is_worked_1_0' LANGUAGE C STABLE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.slot_is_worked(uuid) IS
	'The slot of this payment or attempt is at home in this database, or about to leave it.';

CREATE TABLE pgw.shard_slots (
	slot int NOT NULL PRIMARY KEY CHECK (slot BETWEEN 0 AND 1023),
	shard text NOT NULL CONSTRAINT shard_slots_shard CHECK (shard ~ '^[!#-~]{1,63}$'),
	state text NOT NULL DEFAULT 'home' CONSTRAINT shard_slots_state CHECK (state IN ('home', 'leaving', 'released', 'elsewhere')),
	database text DEFAULT current_database(),
	moves_to text,
	epoch int NOT NULL DEFAULT 1,
	token uuid,
	system_identifier bigint,
	changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgw.shard_slots IS
	'Where the payments of each slot are. A slot without a row is not at home here; no row at all: there are no shards, and '
	'every slot is. Use pgw.claim_slots(), release_slots(), adopt_slots(). Rows stay.';
COMMENT ON COLUMN pgw.shard_slots.slot IS 'The slot, 0 to 1023: pgw.slot_of().';
COMMENT ON COLUMN pgw.shard_slots.shard IS
	'The shard that has it, by its pgw.shard_name. It is at home here if this server was started under that name, and this '
	'is the database.';
COMMENT ON COLUMN pgw.shard_slots.state IS
	'home: that shard takes calls for it; leaving: it takes none, and finishes what is under way; released: it is to be '
	'taken by that shard; elsewhere: told for the sake of errors that name the right shard, and never at home here.';
COMMENT ON COLUMN pgw.shard_slots.database IS
	'The database that has it, or may adopt it: a copy of that in the same server is home of nothing. NULL: nobody said.';
COMMENT ON COLUMN pgw.shard_slots.moves_to IS 'The shard that it leaves for; NULL: it is not leaving.';
COMMENT ON COLUMN pgw.shard_slots.epoch IS
	'How many shards have had it, as far as is known here: of two databases that both take it for theirs, the greater one '
	'is right.';
COMMENT ON COLUMN pgw.shard_slots.token IS 'What pgw.adopt_slots() has to name; NULL: it is not released.';
COMMENT ON COLUMN pgw.shard_slots.system_identifier IS
	'Of the server that may adopt it, as pg_control_system() shows it there; NULL: it is not released.';
COMMENT ON COLUMN pgw.shard_slots.changed_at IS 'When the row was last changed.';
COMMENT ON CONSTRAINT shard_slots_shard ON pgw.shard_slots IS 'A name as pgw.shard_name may be.';
COMMENT ON CONSTRAINT shard_slots_state ON pgw.shard_slots IS 'One of the four words.';

CREATE TABLE pgw.slot_changes (
	change_id uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
	action text NOT NULL,
	slots int4multirange NOT NULL,
	from_shard text,
	to_shard text NOT NULL,
	note text,
	actor jsonb NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgw.slot_changes IS 'Who has changed where slots are, and why. Append-only.';
COMMENT ON COLUMN pgw.slot_changes.change_id IS 'The row''s id.';
COMMENT ON COLUMN pgw.slot_changes.action IS
	'claimed; taken over: from a shard that somebody has said is lost; leaving, released and adopted: what a move consists of.';
COMMENT ON COLUMN pgw.slot_changes.slots IS 'Which slots.';
COMMENT ON COLUMN pgw.slot_changes.from_shard IS 'The shard that had them; NULL: none that is known here.';
COMMENT ON COLUMN pgw.slot_changes.to_shard IS 'The shard that has them now.';
COMMENT ON COLUMN pgw.slot_changes.note IS 'Why, as the caller wrote it; NULL: he did not say.';
COMMENT ON COLUMN pgw.slot_changes.actor IS
	'Who did it: session_user, and as far as known set_role, current_user, address, application, actor '
	'(docs/state-machine.md).';
COMMENT ON COLUMN pgw.slot_changes.recorded_at IS 'When the row was recorded.';

-- A slot whose payments are here must not be told to be elsewhere, nor be left out: the shard that then has it knows nothing
-- of them, and a call that is repeated there would charge again. So the tables are locked until this is committed: who has
-- looked before and writes afterwards looks once more, under the same locks (src/sql_function/require_home.h).
CREATE FUNCTION pgw.check_slots() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	here text = pgw.shard_name() || '/' || current_database();
	missing int4multirange;
BEGIN
	-- a dump of a database without shards inserts no row; and where this one has every slot there is nothing to look for
	IF NOT EXISTS (SELECT FROM added)
			OR (SELECT count(*) FROM pgw.shard_slots WHERE state <> 'elsewhere') = 1024
				AND NOT EXISTS (SELECT FROM added WHERE shard || '/' || coalesce(database, '') IS DISTINCT FROM here) THEN
		RETURN NULL;
	END IF;
	LOCK TABLE pgw.payments, pgw.payment_transactions IN SHARE ROW EXCLUSIVE MODE;
	SELECT range_agg(int4range(r.slot, r.slot, '[]')) INTO missing
	FROM (SELECT pgw.slot_of_id(payment_id) AS slot FROM pgw.payments
		UNION SELECT pgw.slot_of_id(payment_id) FROM pgw.payment_transactions) r
	WHERE NOT EXISTS (SELECT FROM pgw.shard_slots s WHERE s.slot = r.slot AND s.state <> 'elsewhere');
	-- a restore may bring them row by row, after the payments; what is claimed has been recorded before (src/operator_api/)
	IF missing IS NOT NULL AND (NOT EXISTS (SELECT FROM pgw.restore_pending)
			OR EXISTS (SELECT FROM pgw.slot_changes c WHERE c.recorded_at >= transaction_timestamp())) THEN
		RAISE EXCEPTION 'this database has payments in slots that would not be at home here' USING ERRCODE = 'PW422',
			HINT = 'Their retries would go to a shard that knows nothing of them, and charge again. Claim all slots here first: '
				'SELECT pgw.claim_slots(''{[0,1023]}''). See docs/scaling.md.',
			DETAIL = json_build_object('code', 'operation_not_allowed', 'class', 'business', 'http_status', 422,
				'retryable', false, 'slots', missing::text);
	END IF;
	-- nor are they somebody else's by an INSERT; what a restore brings was recorded elsewhere
	IF EXISTS (SELECT FROM added a JOIN pgw.payment_transactions t ON pgw.slot_of_id(t.payment_id) = a.slot
			WHERE a.shard || '/' || coalesce(a.database, '') IS DISTINCT FROM here
				AND t.system_identifier = (SELECT c.system_identifier FROM pg_control_system() c)
				AND t.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) THEN
		RAISE EXCEPTION 'slots of payments that were made in this database cannot be said to be another shard''s' USING ERRCODE = 'PW422',
			HINT = 'Claim them here, and give them to the other one: pgw.claim_slots(), pgw.release_slots(). See docs/scaling.md.',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION pgw.check_slots() IS
	'Trigger function: slots that payments are recorded of are at home here, or were, and are not left out.';

CREATE TRIGGER check_slots AFTER INSERT ON pgw.shard_slots REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.check_slots();
CREATE TRIGGER keep_slots BEFORE UPDATE OR DELETE ON pgw.shard_slots FOR EACH ROW EXECUTE FUNCTION pgw.keep_slots();
CREATE TRIGGER keep_truncated BEFORE TRUNCATE ON pgw.shard_slots FOR EACH STATEMENT EXECUTE FUNCTION pgw.keep_slots();
CREATE TRIGGER slots_changed AFTER INSERT OR UPDATE OR DELETE ON pgw.shard_slots FOR EACH ROW EXECUTE FUNCTION pgw.slots_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON pgw.shard_slots FOR EACH ROW EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.slot_changes FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.slot_changes FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.shard_slots ENABLE ALWAYS TRIGGER check_slots, ENABLE ALWAYS TRIGGER keep_slots,
	ENABLE ALWAYS TRIGGER keep_truncated, ENABLE ALWAYS TRIGGER slots_changed, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.slot_changes ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER check_slots ON pgw.shard_slots IS 'Slots that payments are recorded of are not left out.';
COMMENT ON TRIGGER keep_slots ON pgw.shard_slots IS 'Rows stay, and are changed by pgw''s functions alone.';
COMMENT ON TRIGGER keep_truncated ON pgw.shard_slots IS 'Rows stay: without any, every slot would be at home.';
COMMENT ON TRIGGER slots_changed ON pgw.shard_slots IS 'All processes read the table again.';
COMMENT ON TRIGGER config_changed ON pgw.shard_slots IS 'The worker looks at once what is at home now.';
COMMENT ON TRIGGER refuse_change ON pgw.slot_changes IS 'What was said stays.';
COMMENT ON TRIGGER refuse_truncate ON pgw.slot_changes IS 'What was said stays.';

CREATE FUNCTION pgw.claim_slots(slots int4multirange, note text DEFAULT NULL, lost_shard text DEFAULT NULL,
	options jsonb DEFAULT '{}') RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_claim_slots_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.claim_slots IS
	'Makes slots at home in this database, under its server''s pgw.shard_name; returns how many were not. Slots of another '
	'shard only when it is named as lost: that is your word that it is destroyed. Read docs/scaling.md first.';

CREATE FUNCTION pgw.release_slots(slots int4multirange, to_shard text, note text DEFAULT NULL, to_system bigint DEFAULT NULL,
	options jsonb DEFAULT '{}', OUT state text, OUT token uuid, OUT held_by_callers bigint, OUT open_attempts bigint,
	OUT standbys_behind bigint)
AS 'MODULE_PATHNAME', 'pgw_release_slots_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.release_slots IS
	'Gives slots that are at home here to another shard. Call it until it returns a token: no call is taken for them from the '
	'first one on, and they are nobody''s once state is released. Read docs/scaling.md first.';

CREATE FUNCTION pgw.adopt_slots(token uuid, note text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_adopt_slots_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.adopt_slots IS
	'Makes slots at home here that another shard has released to this one: on a copy of it that has replayed that. Returns how '
	'many.';


-- ==================================================================================================
-- 11  Functions for clients
--
--  None is STRICT, so that a NULL can be named. The C code acts as the extension's owner after it has checked the
--  grants of the immediate caller; SECURITY DEFINER would hide who that is.
-- ==================================================================================================

-- src/client_api/calls_in_one_statement.c
CREATE FUNCTION pgw.call_support(internal) RETURNS internal AS 'MODULE_PATHNAME', 'pgw_call_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgw.call_support(internal) IS
	'Planner support function: refuses (process_payment(volatile id, ...)).*, which would pay once for each column.';

-- Amounts are numeric, so that no driver cuts 49.90 to 49 for a bigint. No overload with float8: it is the preferred
-- type, and literals would go there.
CREATE FUNCTION pgw.process_payment(
	client_request_id text,
	amount numeric,
	currency text,
	token text DEFAULT NULL,
	card_number text DEFAULT NULL,
	card_expiry_month int DEFAULT NULL,
	card_expiry_year int DEFAULT NULL,
	card_cvv text DEFAULT NULL,
	card_holder text DEFAULT NULL,
	bank text DEFAULT NULL,
	capture text DEFAULT 'immediate',
	reference text DEFAULT NULL,
	metadata jsonb DEFAULT '{}',
	bank_fields jsonb DEFAULT '{}',
	timeout interval DEFAULT NULL,
	on_failure text DEFAULT NULL,
	merchant text DEFAULT 'default',
	options jsonb DEFAULT '{}'
) RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_process_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.process_payment IS
	'Charges now, while the caller waits; if the caller''s transaction rolls back, the charge is given back. Amounts '
	'are in minor units (4990 is 49.90 EUR). The same client_request_id is the same payment.';

-- The columns of pgw.payment_result behind the place of the request; further ones of that type come here, too.
CREATE FUNCTION pgw.process_payments(
	requests jsonb,
	atomic boolean DEFAULT true,
	timeout interval DEFAULT NULL
) RETURNS TABLE (ordinal int,
	payment_id uuid, transaction_id uuid, client_request_id text, status pgw.payment_status,
	transaction_status pgw.transaction_status, amount bigint, currency text, authorized_amount bigint,
	captured_amount bigint, refunded_amount bigint, refund_pending_amount bigint, bank text,
	bank_reference text, authorization_code text, card_last4 text, card_brand text, error_class text,
	error_code text, error_message text, http_status int, retryable boolean, replayed boolean, reference text,
	correlation_id uuid, details jsonb, created_at timestamptz, livemode boolean)
AS 'MODULE_PATHNAME', 'pgw_process_payments_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100 SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.process_payments IS
	'Charges many payments now, while the caller waits once: an array of objects whose members are the arguments of '
	'process_payment(), with tokens only; a row for each, in their order. When one is not taken an error is raised, '
	'and all are given back; with atomic => false each is by itself.';

CREATE FUNCTION pgw.submit_payment(
	client_request_id text,
	amount numeric,
	currency text,
	token text DEFAULT NULL,
	bank text DEFAULT NULL,
	capture text DEFAULT 'immediate',
	reference text DEFAULT NULL,
	metadata jsonb DEFAULT '{}',
	bank_fields jsonb DEFAULT '{}',
	expires_at timestamptz DEFAULT NULL,
	merchant text DEFAULT 'default',
	options jsonb DEFAULT '{}'
) RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_submit_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.submit_payment IS
	'Records a payment and returns at once; the worker calls the bank after the caller''s commit. Amounts are in '
	'minor units. The same client_request_id is the same payment.';

CREATE FUNCTION pgw.capture_payment(payment_id uuid, client_request_id text, amount numeric DEFAULT NULL, final boolean DEFAULT true,
	options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_capture_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.capture_payment IS
	'Asks for an authorized payment to be taken, in minor units, all that is left without amount; the worker does it '
	'after the caller''s commit.';

CREATE FUNCTION pgw.void_payment(payment_id uuid, client_request_id text, options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_void_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.void_payment IS
	'Asks for an authorization to be released, of which nothing is captured; the worker does it after the caller''s '
	'commit.';

CREATE FUNCTION pgw.refund_payment(payment_id uuid, client_request_id text, amount numeric DEFAULT NULL, reason text DEFAULT NULL,
	options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_refund_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;
COMMENT ON FUNCTION pgw.refund_payment IS
	'Asks for captured money to be given back, in minor units, all that is left without amount; the worker does it '
	'after the caller''s commit.';

CREATE FUNCTION pgw.receive_notification(bank text, headers jsonb, body bytea, url text DEFAULT NULL,
	received_at timestamptz DEFAULT NULL) RETURNS pgw.notification_result
AS 'MODULE_PATHNAME', 'pgw_receive_notification_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION pgw.receive_notification IS
	'Takes what a bank has sent to an endpoint of yours: the raw bytes, with the headers. Commit, then answer the bank with '
	'http_status. A good one makes the worker ask the bank about the payment; it decides nothing by itself.';

CREATE FUNCTION pgw.get_payment(payment_id uuid) RETURNS SETOF pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_get_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION pgw.get_payment IS 'The payment as it stands now, at any isolation level; no row: there is none.';

CREATE FUNCTION pgw.find_payment(client_request_id text, merchant text DEFAULT 'default') RETURNS SETOF pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_find_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION pgw.find_payment IS
	'The payment under a client_request_id as it stands now, also one that is in flight or was given back. Ask it '
	'after a lost connection.';

CREATE FUNCTION pgw.wait_for_payment(payment_id uuid, timeout interval DEFAULT '30s') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_wait_for_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.wait_for_payment IS
	'Waits until nothing of the payment is under way any more, or the time is up; returns how it stands.';

CREATE FUNCTION pgw.payment_history(payment_id uuid)
RETURNS TABLE (event_id uuid, transaction_id uuid, kind pgw.operation_kind, step_order int, event_type pgw.event_type,
	occurred_at timestamptz, event_data jsonb, error_details text)
AS 'MODULE_PATHNAME', 'pgw_payment_history_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION pgw.payment_history IS 'The events of all attempts of a payment, in order.';

CREATE FUNCTION pgw.create_event_consumer(consumer text, since timestamptz DEFAULT NULL, merchant text DEFAULT NULL,
	alert_after interval DEFAULT '1 hour') RETURNS void
AS 'MODULE_PATHNAME', 'pgw_create_event_consumer_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.create_event_consumer(text, timestamptz, text, interval) IS
	'Makes a consumer of events: of what is committed from now on, and with since of what has occurred since then, too.';

CREATE FUNCTION pgw.move_event_consumer(consumer text, since timestamptz DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'pgw_move_event_consumer_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.move_event_consumer(text, timestamptz) IS
	'Has a consumer read again what has occurred since then, or go on with what is committed from now on.';

CREATE FUNCTION pgw.drop_event_consumer(consumer text) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgw_drop_event_consumer_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.drop_event_consumer(text) IS 'Ends a consumer of events; false: there is none of that name.';

-- Its plan goes by the events' primary key, whatever their statistics are.
-- It waits until what it gives out is on disk at the synchronous standbys, whatever the reader's own commits wait for: with
-- off or local it would wait for none, with remote_apply for more than anything that waits within a transaction is told of.
CREATE FUNCTION pgw.read_events(consumer text, max_events int DEFAULT 1000)
RETURNS TABLE (cursor text, event_id uuid, transaction_id uuid, step_order int, event_type pgw.event_type,
	from_status pgw.transaction_status, to_status pgw.transaction_status, occurred_at timestamptz, payment_id uuid,
	client_request_id text, merchant text, kind pgw.operation_kind, livemode boolean, correlation_id uuid, event_data jsonb,
	error_details text)
AS 'MODULE_PATHNAME', 'pgw_read_events_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
	SET synchronous_commit = on;
COMMENT ON FUNCTION pgw.read_events(text, int) IS
	'The next events of a consumer, in order per attempt; the same again until they are committed by pgw.commit_events().';

CREATE FUNCTION pgw.commit_events(consumer text, cursor text) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgw_commit_events_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.commit_events(text, text) IS
	'A consumer has done with the events up to this cursor: they do not come again. False: that was said before.';


-- ==================================================================================================
-- 12  Functions for operators: reviews, rebinding
-- ==================================================================================================

CREATE FUNCTION pgw.review_actions(kind pgw.operation_kind, came_from pgw.transaction_status) RETURNS text[]
AS 'MODULE_PATHNAME', 'pgw_review_actions_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgw.review_actions IS
	'The actions that resolve_review() takes for an attempt of this kind that came to review from this state.';

CREATE FUNCTION pgw.resolve_review(transaction_id uuid, action text, note text, evidence jsonb DEFAULT '{}',
	options jsonb DEFAULT '{}')
RETURNS pgw.transaction_status
AS 'MODULE_PATHNAME', 'pgw_resolve_review_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.resolve_review IS
	'An operator''s decision on an attempt in manual review: retry, mark_charged, mark_not_charged, mark_refunded or '
	'refund. Returns its new status, RequiresManualReview where a second role has to confirm it.';

CREATE TABLE pgw.review_proposals (
	transaction_id uuid NOT NULL,
	proposal int NOT NULL CHECK (proposal >= 1),
	step_order int NOT NULL,
	action text NOT NULL,
	note text NOT NULL,
	evidence jsonb NOT NULL,
	proposed_by regrole NOT NULL,
	proposer text NOT NULL,
	actor jsonb NOT NULL,
	proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (transaction_id, proposal)
);
COMMENT ON TABLE pgw.review_proposals IS
	'What one operator asks another to confirm (pgw.require_four_eyes). The newest one counts, while the attempt has '
	'not moved since.';
COMMENT ON COLUMN pgw.review_proposals.transaction_id IS 'The attempt in review.';
COMMENT ON COLUMN pgw.review_proposals.proposal IS 'The proposal''s number within its attempt, 1 and up.';
COMMENT ON COLUMN pgw.review_proposals.step_order IS
	'The attempt''s step_order when it was made: once that has grown, the proposal is void.';
COMMENT ON COLUMN pgw.review_proposals.action IS 'What resolve_review() is to do.';
COMMENT ON COLUMN pgw.review_proposals.note IS 'Why, as the proposer wrote it.';
COMMENT ON COLUMN pgw.review_proposals.evidence IS
	'A JSON object, such as {"bank_reference": "..."}; who confirms must give the same.';
COMMENT ON COLUMN pgw.review_proposals.proposed_by IS
	'The role that the proposer''s session was opened as; another one has to confirm.';
COMMENT ON COLUMN pgw.review_proposals.proposer IS 'The name of that role then.';
COMMENT ON COLUMN pgw.review_proposals.actor IS
	'Who proposed it: session_user, and as far as known set_role, current_user, address, application, actor '
	'(docs/state-machine.md).';
COMMENT ON COLUMN pgw.review_proposals.proposed_at IS 'When it was made.';

CREATE FUNCTION pgw.rebind_attempts(from_version int, to_version int, note text, options jsonb DEFAULT '{}') RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_rebind_attempts_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.rebind_attempts IS
	'For a bank that answers at another version now with the same ledger: attempts of the one go by the other. '
	'Returns how many unfinished ones; NULL: it is proposed, and waits for a second role (pgw.require_four_eyes).';


CREATE FUNCTION pgw.redeliver(delivery bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_redeliver_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.redeliver(bigint) IS
	'Sends a message of pgw.webhook_deliveries once more, with the same id and text, in no order with '
	'others of its payment; returns its new row.';

CREATE FUNCTION pgw.test_webhook(endpoint text) RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_test_webhook_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.test_webhook(text) IS
	'Sends an endpoint a message of the type webhook.test; returns its row of pgw.webhook_deliveries.';


-- ==================================================================================================
-- 13  Health, figures, recovery (docs/monitoring.md)
--
--  The planner's settings: what is open is found by its partial index, also while there are no statistics yet; a
--  sequential scan would cost what is stored.
-- ==================================================================================================

CREATE FUNCTION pgw.health() RETURNS TABLE (check_name text, status text, advice text, details jsonb)
AS 'MODULE_PATHNAME', 'pgw_health_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 20
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off;
COMMENT ON FUNCTION pgw.health() IS
	'One row for each check: ok, warning (somebody should look), error (money or callers wait until somebody acts) or '
	'locked (could not be looked at without waiting for a lock), with what to do about it. Ages are in seconds.';

CREATE FUNCTION pgw.health_summary(OUT live boolean, OUT ready boolean, OUT degraded boolean, OUT reason text)
AS 'MODULE_PATHNAME', 'pgw_health_summary_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.health_summary() IS
	'One row for load balancers and orchestrators: does the worker make turns, would a payment be taken now, does something '
	'need a person, and why. It reads shared memory only, and waits for nobody.';

CREATE FUNCTION pgw.check_connector(definition json) RETURNS TABLE (severity text, pointer text, message text)
AS 'MODULE_PATHNAME', 'pgw_check_connector_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION pgw.check_connector(json) IS
	'What is wrong with a connector''s document (error: an INSERT into pgw.connectors would be refused) and what it will '
	'cost (warning), with the place as a JSON pointer; no row: nothing. It reads and stores nothing (docs/connectors.md).';

CREATE FUNCTION pgw.judge_answer(connector text, operation text, status int, headers text DEFAULT NULL, body text DEFAULT NULL,
	transaction_ref text DEFAULT NULL, original_ref text DEFAULT NULL, bank_reference text DEFAULT NULL, currency text DEFAULT NULL,
	livemode boolean DEFAULT NULL, operation_reference text DEFAULT NULL,
	OUT outcome text, OUT fields jsonb, OUT rule text, OUT because text, OUT passed_over jsonb)
AS 'MODULE_PATHNAME', 'pgw_judge_answer_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.judge_answer(text, text, int, text, text, text, text, text, text, boolean, text) IS
	'What pgw would make of an answer of a bank''s, by a connector of that name or this document: the outcome, the fields '
	'that it would keep, the rule that decided and what did not fit of those before it, as JSON pointers into the '
	'document. It stores and sends nothing (docs/connectors.md).';

CREATE FUNCTION pgw.reference_as_sent(definition json, reference text) RETURNS text
AS 'MODULE_PATHNAME', 'pgw_reference_as_sent_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION pgw.reference_as_sent(json, text) IS
	'Our reference of a request (32 hex digits) as a bank with this connector is told it, and names it. It reads and '
	'stores nothing (docs/connectors.md).';

CREATE FUNCTION pgw.render_request(bank text, operation text, arguments jsonb DEFAULT '{}', OUT method text, OUT url text,
	OUT headers jsonb, OUT body text, OUT samples jsonb)
AS 'MODULE_PATHNAME', 'pgw_render_request_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.render_request(text, text, jsonb) IS
	'The request that this bank would be sent for an operation, with keys, cards and what is computed of them as marks, '
	'and sample values for what the arguments do not name. It stores and sends nothing, and reads no key '
	'(docs/connectors.md).';

CREATE FUNCTION pgw.try_bank(bank text, timeout interval DEFAULT '30s')
RETURNS TABLE (check_name text, status text, message text, details jsonb)
AS 'MODULE_PATHNAME', 'pgw_try_bank_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION pgw.try_bank(text, interval) IS
	'Has the worker call this bank for nothing but its answer (the connector''s ping, or a look-up of a reference that no '
	'charge has): is it there, its certificates, our key, its clock; and what a lost answer will cost there. It moves no '
	'money (docs/connectors.md).';

CREATE FUNCTION pgw.version(OUT library text, OUT library_serves text, OUT script text, OUT advice text)
AS 'MODULE_PATHNAME', 'pgw_version_1_0' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgw.version() IS
	'The version of the library that the server runs, the version of the extension that this library serves, and the '
	'one that this database has. Where these two differ nothing is paid, and advice says what is to be done.';

CREATE FUNCTION pgw.read_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
AS 'MODULE_PATHNAME', 'pgw_read_metrics_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off;
COMMENT ON FUNCTION pgw.read_metrics() IS
	'Internal: the rows of the view pgw.metrics that are counted, or stand in tables.';

-- As labels a check and what it is of: health() has `bank:NAME` and `worker:NAME`, while a name may hold a colon, too.
CREATE FUNCTION pgw.health_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex SET jit = off AS
$$
	WITH h AS MATERIALIZED (
		SELECT split_part(c.check_name, ':', 1) AS check_name, substr(c.check_name, strpos(c.check_name || ':', ':') + 1) AS subject,
			c.status, c.details
		FROM pgw.health() c
	), l AS (
		SELECT h.*, CASE check_name WHEN 'bank' THEN jsonb_build_object('livemode', details->>'livemode', 'bank', subject)
			ELSE '{}' END AS of_what
		FROM h WHERE status <> 'locked' AND (check_name = 'bank' OR subject = '')
	)
	SELECT 'pgw_' || s.word, '{}'::jsonb, s.yes::int::float8
	FROM pgw.health_summary() u CROSS JOIN LATERAL (VALUES ('live', u.live), ('ready', u.ready), ('degraded', u.degraded)) s (word, yes)
	UNION ALL
	SELECT 'pgw_health_status', jsonb_strip_nulls(jsonb_build_object('livemode', CASE check_name WHEN 'bank' THEN details->>'livemode' END,
		'check', check_name, 'subject', nullif(subject, ''))), array_position('{ok,warning,error,locked}', status)::float8 - 1
	FROM h
	UNION ALL
	SELECT f.metric, coalesce(f.labels, l.of_what), CASE jsonb_typeof(d.value) WHEN 'number' THEN (d.value #>> '{}')::float8
		WHEN 'boolean' THEN d.value::boolean::int WHEN 'array' THEN jsonb_array_length(d.value) END
	FROM l CROSS JOIN LATERAL jsonb_each(l.details) d
	JOIN (VALUES
		('worker', 'last_turn_age_seconds', 'pgw_worker_last_turn_age_seconds', NULL::jsonb),
		('worker', 'last_commit_age_seconds', 'pgw_worker_last_commit_age_seconds', NULL),
		('worker', 'last_error_age_seconds', 'pgw_worker_last_error_age_seconds', NULL),
		('worker', 'failures', 'pgw_worker_failures', NULL),
		('worker_mode', 'under_way', 'pgw_draining_under_way', NULL),
		('worker_mode', 'held_back', 'pgw_draining_held_back', NULL),
		('restored', 'paused', 'pgw_paused', NULL),
		('subscriptions', 'subscriptions', 'pgw_subscriptions', NULL),
		('state_file', 'written', 'pgw_state_file_written', NULL),
		('origin', 'count', 'pgw_foreign_origin', NULL),
		('origin', 'oldest_age_seconds', 'pgw_foreign_origin_age_seconds', NULL),
		('prepared_transactions', 'count', 'pgw_prepared_transactions', NULL),
		('transaction_ids', 'age', 'pgw_transaction_id_age', NULL),
		('transaction_ids', 'multixact_age', 'pgw_multixact_id_age', NULL),
		('code_of_others', 'functions', 'pgw_code_of_others', NULL),
		('privileges', 'unexplained', 'pgw_unexplained_privileges', NULL),
		('banks', 'enabled', 'pgw_banks_enabled', '{"livemode": "true"}'),
		('banks', 'enabled_for_tests', 'pgw_banks_enabled', '{"livemode": "false"}'),
		('bank', 'enabled', 'pgw_bank_enabled', NULL),
		('bank', 'failures', 'pgw_bank_consecutive_failures', NULL),
		('bank', 'clock_ahead_seconds', 'pgw_bank_clock_ahead_seconds', NULL),
		('bank_versions', 'open', 'pgw_former_bank_versions_open', NULL),
		('quotas', 'refused', 'pgw_quotas_refusing', NULL),
		('connections', 'capacity', 'pgw_connections', '{"state": "capacity"}'),
		('connections', 'bank_called', 'pgw_connections', '{"state": "used"}'),
		('notify_queue', 'usage', 'pgw_notify_queue_usage_ratio', NULL),
		('webhooks', 'last_turn_age_seconds', 'pgw_webhooks_last_turn_age_seconds', NULL),
		('partitions', 'this_month', 'pgw_event_partition_present', '{"month": "this"}'),
		('partitions', 'next_month', 'pgw_event_partition_present', '{"month": "next"}'),
		('partitions', 'default_partition_bytes', 'pgw_default_partition_bytes', NULL),
		('table_locks', 'waited_for_seconds', 'pgw_table_lock_wait_seconds', NULL),
		('table_locks', 'refused_for_seconds', 'pgw_worker_lock_refused_seconds', NULL),
		('baseline', 'faults', 'pgw_baseline_faults', NULL),
		('baseline', 'guards_altered', 'pgw_baseline_guards_altered', NULL)
	) f (check_name, detail, metric, labels) ON f.check_name = l.check_name AND f.detail = d.key
	WHERE jsonb_typeof(d.value) IN ('number', 'boolean', 'array')
	UNION ALL
	SELECT 'pgw_bank_key_usable', of_what, (details->>'secret' IN ('readable', 'none needed'))::int FROM l WHERE check_name = 'bank'
	UNION ALL
	SELECT 'pgw_bank_key_refused', of_what, (details->>'credentials_rejected_at' IS NOT NULL)::int FROM l WHERE check_name = 'bank'
$$;
COMMENT ON FUNCTION pgw.health_metrics() IS
	'Internal: what pgw.health() and pgw.health_summary() say, as rows of the view pgw.metrics.';

CREATE VIEW pgw.metrics AS SELECT m.name, m.labels, m.value FROM pgw.read_metrics() m
	UNION ALL SELECT h.name, h.labels, h.value FROM pgw.health_metrics() h;
COMMENT ON VIEW pgw.metrics IS
	'Counters, durations (in seconds) and gauges of this database, ready for a Prometheus exporter '
	'(docs/monitoring.md).';
COMMENT ON COLUMN pgw.metrics.name IS 'The metric''s name; those that end in _total only grow.';
COMMENT ON COLUMN pgw.metrics.labels IS 'What the value is of: a JSON object of texts.';
COMMENT ON COLUMN pgw.metrics.value IS 'The value: a number, seconds where the name ends in _seconds.';

-- docs/monitoring.md has the same names; a test compares the two, and either with what is there.
CREATE FUNCTION pgw.metric_families(OUT name text, OUT type text, OUT help text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	VALUES
		('pgw_stats_since_timestamp_seconds', 'gauge', 'Since when this database is counted.'),
		('pgw_events_total', 'counter', 'Events written.'),
		('pgw_transactions_total', 'counter', 'Attempts that ended.'),
		('pgw_transaction_duration_seconds', 'histogram', 'From the call to the end of an attempt.'),
		('pgw_declines_total', 'counter', 'Payments that were declined, by error code.'),
		('pgw_failures_total', 'counter', 'Payments that failed, by error code.'),
		('pgw_bank_calls_total', 'counter', 'Requests to banks.'),
		('pgw_bank_call_duration_seconds', 'histogram', 'How long requests to banks took.'),
		('pgw_notifications_total', 'counter', 'Notifications that came for banks.'),
		('pgw_alerts_total', 'counter', 'Alerts raised.'),
		('pgw_webhooks_total', 'counter', 'Webhooks sent, by what became of them.'),
		('pgw_recovery_scans_total', 'counter', 'Scans of the worker.'),
		('pgw_live', 'gauge', '1 while a restart of the server would not help.'),
		('pgw_ready', 'gauge', '1 while a payment would be taken.'),
		('pgw_degraded', 'gauge', '1 while something needs a person soon.'),
		('pgw_health_status', 'gauge', 'A row of pgw.health(): 0 ok, 1 warning, 2 error, 3 could not be looked at.'),
		('pgw_worker_up', 'gauge', '1 while this database has a worker.'),
		('pgw_worker_last_turn_age_seconds', 'gauge', 'Since the last turn of the worker.'),
		('pgw_worker_last_commit_age_seconds', 'gauge', 'Since the last commit of the worker.'),
		('pgw_worker_last_error_age_seconds', 'gauge', 'Since the last error of the worker.'),
		('pgw_worker_failures', 'gauge', 'How often the worker ended with an error in a row.'),
		('pgw_worker_lock_refused_seconds', 'gauge', 'For how long locks have kept the worker from its work.'),
		('pgw_paused', 'gauge', '1 while the worker begins nothing new.'),
		('pgw_draining_under_way', 'gauge', 'What is not finished yet while the worker drains.'),
		('pgw_draining_held_back', 'gauge', 'Submitted payments that are held back while the worker drains.'),
		('pgw_slots', 'gauge', 'Places for callers that wait.'),
		('pgw_connections', 'gauge', 'Requests to banks in flight, and how many may be.'),
		('pgw_quotas_refusing', 'gauge', 'Merchants and roles refused by their quota within ten minutes.'),
		('pgw_queue', 'gauge', 'Submitted payments that wait for the worker.'),
		('pgw_queue_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_in_doubt', 'gauge', 'Charges whose outcome is unknown.'),
		('pgw_in_doubt_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_pending', 'gauge', 'Charges of which the bank says that it has not decided.'),
		('pgw_pending_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_refunding', 'gauge', 'Charges that are being given back.'),
		('pgw_refunding_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_refunding_stuck', 'gauge', 'Those of them that take longer than pgw.refund_stuck_after.'),
		('pgw_refunding_stuck_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_accepted', 'gauge', 'What a bank has accepted and may still fail.'),
		('pgw_accepted_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_reviews', 'gauge', 'Payments in manual review.'),
		('pgw_reviews_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_callers_undecided', 'gauge', 'Approved charges whose caller has not ended its transaction.'),
		('pgw_callers_undecided_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_put_off', 'gauge', 'Transactions whose next request cannot be made.'),
		('pgw_put_off_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_foreign_origin', 'gauge', 'Open payments of another cluster or database.'),
		('pgw_foreign_origin_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_prepared_transactions', 'gauge', 'Transactions of this database prepared for more than five minutes.'),
		('pgw_banks_enabled', 'gauge', 'Banks that can take payments.'),
		('pgw_bank_enabled', 'gauge', '1 while the bank can take payments.'),
		('pgw_bank_last_success_timestamp_seconds', 'gauge', 'When the bank last did its work.'),
		('pgw_bank_consecutive_failures', 'gauge', 'Failed calls since the last success.'),
		('pgw_bank_breaker_open', 'gauge', '1 while the bank is left alone.'),
		('pgw_bank_key_usable', 'gauge', '1 while the file of the key can be used.'),
		('pgw_bank_key_refused', 'gauge', '1 while the bank refuses the key.'),
		('pgw_bank_clock_ahead_seconds', 'gauge', 'How far the clock of the bank is ahead for sure.'),
		('pgw_former_bank_versions_open', 'gauge', 'Open payments that go by a bank as it was.'),
		('pgw_webhooks_pending', 'gauge', 'Webhooks that wait for an endpoint; 100000 stands for more, too.'),
		('pgw_webhooks_pending_age_seconds', 'gauge', 'Age of the oldest of them.'),
		('pgw_webhook_endpoints', 'gauge', 'Endpoints of webhooks.'),
		('pgw_webhooks_last_turn_age_seconds', 'gauge', 'Since the last turn of what sends webhooks.'),
		('pgw_event_consumer_lag_seconds', 'gauge', 'How far a consumer of events is behind.'),
		('pgw_subscriptions', 'gauge', 'Subscriptions that write tables of pgw.'),
		('pgw_state_file_written', 'gauge', '1 when pgw.state could be written.'),
		('pgw_code_of_others', 'gauge', 'Functions of others with the rights of the owner of pgw.'),
		('pgw_unexplained_privileges', 'gauge', 'Privileges that pgw.grant_access() has not given.'),
		('pgw_baseline_faults', 'gauge', 'Objects of pgw that are not as CREATE EXTENSION has made them; at most 20.'),
		('pgw_baseline_guards_altered', 'gauge', 'Guards of these objects that are off or altered.'),
		('pgw_event_partition_present', 'gauge', '1 while the partition for events of the month is attached.'),
		('pgw_default_partition_bytes', 'gauge', 'Size of the default partition for events.'),
		('pgw_table_lock_wait_seconds', 'gauge', 'For how long somebody has waited for a table of pgw.'),
		('pgw_notify_queue_usage_ratio', 'gauge', 'How full the NOTIFY queue of the cluster is.'),
		('pgw_transaction_id_age', 'gauge', 'Age of the oldest transaction id of the cluster.'),
		('pgw_multixact_id_age', 'gauge', 'Age of the oldest multixact id of the cluster.')
$$;
COMMENT ON FUNCTION pgw.metric_families() IS
	'Name, type and meaning of each metric; of a histogram pgw.metrics has NAME_bucket, NAME_sum and NAME_count.';

-- Samples of a family follow each other, in the order of the view, which has buckets as they grow.
CREATE FUNCTION pgw.metrics_text(openmetrics boolean DEFAULT false) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	WITH m AS MATERIALIZED (
		SELECT v.name, v.labels, v.value, row_number() OVER () AS n FROM pgw.metrics v
	), sample AS (
		SELECT f.ordinality AS family, m.n, m.name || coalesce('{' || l.list || '}', '') || ' ' || m.value || E'\n' AS line
		FROM m JOIN pgw.metric_families() WITH ORDINALITY f (name, type, help, ordinality)
			ON m.name = f.name OR f.type = 'histogram' AND m.name IN (f.name || '_bucket', f.name || '_sum', f.name || '_count')
		CROSS JOIN LATERAL (
			SELECT string_agg(key || '="' || replace(replace(replace(e.value, '\', '\\'), '"', '\"'), E'\n', '\n') || '"', ',' ORDER BY key)
			FROM jsonb_each_text(m.labels) e) l (list)
	)
	SELECT string_agg(format(E'# HELP %s %s\n# TYPE %1$s %3$s\n%4$s',
			CASE WHEN $1 AND f.type = 'counter' THEN regexp_replace(f.name, '_total$', '') ELSE f.name END,
			f.help, f.type, s.lines), '' ORDER BY f.ordinality)
		|| CASE WHEN $1 THEN E'# EOF\n' ELSE '' END
	FROM pgw.metric_families() WITH ORDINALITY f (name, type, help, ordinality)
	JOIN (SELECT family, string_agg(line, '' ORDER BY n) FROM sample GROUP BY family) s (family, lines) ON s.family = f.ordinality
$$;
COMMENT ON FUNCTION pgw.metrics_text(boolean) IS
	'pgw.metrics in the text format of Prometheus, or in that of OpenMetrics (docs/monitoring.md).';

CREATE FUNCTION pgw.dashboard(since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, merchant text DEFAULT NULL,
	livemode boolean DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'pgw_dashboard_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET timezone = 'UTC' SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off;
COMMENT ON FUNCTION pgw.dashboard(timestamptz, timestamptz, text, boolean) IS
	'How everything is, as one page of HTML for a browser, with nothing to load: health, banks, payments over the last day or '
	'another time, open work, reviews and what can be done, give-backs, reconciliation, alerts (docs/monitoring.md).';

CREATE FUNCTION pgw.run_recovery(OUT looked_at bigint, OUT resolved bigint, OUT given_back bigint, OUT to_review bigint,
	OUT retried bigint, OUT bank_calls bigint, OUT complete boolean)
AS 'MODULE_PATHNAME', 'pgw_run_recovery_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.run_recovery() IS
	'One recovery scan now: waits until the worker has made it, and the bank calls that it led to are over; up to a '
	'minute. Nothing needs it.';

CREATE FUNCTION pgw.purge_test_data(OUT payments bigint, OUT attempts bigint, OUT events bigint, OUT ledger_rows bigint,
	OUT notifications bigint)
AS 'MODULE_PATHNAME', 'pgw_purge_test_data_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex;
COMMENT ON FUNCTION pgw.purge_test_data() IS
	'Deletes the payments of test banks (livemode is false) that are over, with their attempts and events and what the '
	'test bank has of them, and the notifications of such banks; returns how many. Real ones stay, and so does what is open.';


-- ==================================================================================================
-- 14  Access: grants
--
--  The C code and the views read the grants; EXECUTE and SELECT follow from them.
-- ==================================================================================================

CREATE TABLE pgw.access_grants (
	role regrole NOT NULL,
	level text NOT NULL CHECK (level IN ('client', 'operator', 'auditor', 'monitor')),
	CHECK (level <> 'monitor' OR merchant = ''),	-- figures are not of a merchant
	merchant text NOT NULL,		-- not NULL for "all", so that the table has a primary key, as publications ask for
	granted_by text NOT NULL DEFAULT session_user,
	granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (role, level, merchant)
);
COMMENT ON TABLE pgw.access_grants IS
	'Who may use pgw, and for whom. Use pgw.grant_access() and revoke_access(): a row alone gives no EXECUTE.';
COMMENT ON COLUMN pgw.access_grants.role IS 'The role that has the grant; its members have it, too.';
COMMENT ON COLUMN pgw.access_grants.level IS
	'What it may do: client (pay), operator (decide reviews), auditor (read) or monitor (health and figures, nothing of payments).';
COMMENT ON COLUMN pgw.access_grants.merchant IS 'The merchant that it is for; an empty text: all.';
COMMENT ON COLUMN pgw.access_grants.granted_by IS 'The role that the session was opened as which gave it.';
COMMENT ON COLUMN pgw.access_grants.granted_at IS 'When it was given.';

-- What privileges can stand on: members of the extension and, though they are none, the partitions. The row types of
-- tables and the types of arrays have no privileges of their own.
CREATE FUNCTION pgw.own_objects(OUT object text, OUT column_name text, OUT owner oid, OUT acl aclitem[]) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	WITH RECURSIVE own AS (
		SELECT d.classid, d.objid
		FROM pg_extension x
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.deptype = 'e'
		WHERE x.extname = 'pgw'
		UNION
		SELECT o.classid, i.inhrelid FROM own o JOIN pg_inherits i ON o.classid = 'pg_class'::regclass AND i.inhparent = o.objid
	), relation AS (
		SELECT c.oid, c.relowner, c.relacl, c.relkind,
			CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS object
		FROM own o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
	)
	SELECT r.object, NULL, r.relowner,
		coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, r.relowner))
	FROM relation r
	UNION ALL
	SELECT r.object, a.attname::text, r.relowner, a.attacl
	FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped
	UNION ALL
	SELECT 'FUNCTION ' || p.oid::regprocedure, NULL, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
	FROM own o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	UNION ALL
	SELECT 'TYPE ' || t.oid::regtype, NULL, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
	FROM own o JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid
	WHERE NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
		AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
	UNION ALL
	SELECT format('SCHEMA %I', n.nspname), NULL, n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner))
	FROM own o JOIN pg_namespace n ON o.classid = 'pg_namespace'::regclass AND n.oid = o.objid
$$;
COMMENT ON FUNCTION pgw.own_objects() IS
	'Internal: what of pgw can have privileges, as GRANT names it, with its owner and the privileges that it has.';

-- The grid of docs/sql-reference.md.
CREATE FUNCTION pgw.access_grid(OUT level text, OUT object text, OUT column_name text, OUT privilege text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	SELECT l.level, o.object, o.column_name, g.privilege
	FROM (VALUES
		('{client,operator,auditor,monitor}'::text[], 'USAGE', 'SCHEMA', NULL, '{pgw}'::text[]),
		('{client,operator,auditor}', 'USAGE', 'TYPE', NULL,
			'{payment_result,payment_status,transaction_status,event_type,operation_kind,capture_mode}'),
		('{client}', 'USAGE', 'TYPE', NULL, '{notification_result}'),
		('{client,operator,auditor}', 'EXECUTE', 'FUNCTION', NULL, '{slot_of,slot_of_id,new_request_id}'),
		('{client,operator,auditor}', 'EXECUTE', 'FUNCTION', NULL,
			'{get_payment,find_payment,wait_for_payment,payment_history}'),
		('{client,operator,auditor,monitor}', 'EXECUTE', 'FUNCTION', NULL, '{version,health_summary}'),
		('{client}', 'EXECUTE', 'FUNCTION', NULL,
			'{process_payment,process_payments,submit_payment,capture_payment,void_payment,refund_payment,receive_notification}'),
		('{operator,auditor}', 'EXECUTE', 'FUNCTION', NULL,
			'{rebuild_status,rebuild_payment,check_consistency,review_actions}'),
		('{operator,auditor,monitor}', 'EXECUTE', 'FUNCTION', NULL,
			'{health,read_metrics,health_metrics,metric_families,metrics_text,dashboard}'),
		('{operator,auditor}', 'EXECUTE', 'FUNCTION', NULL, '{first_id,check_statistics,payment_statistics,payment_step_times}'),
		('{operator,auditor}', 'EXECUTE', 'FUNCTION', NULL,
			'{create_event_consumer,move_event_consumer,drop_event_consumer,read_events,commit_events}'),
		('{operator}', 'EXECUTE', 'FUNCTION', NULL,
			'{resume_after_restore,resolve_review,run_recovery,rebind_attempts,judge_answer,render_request,try_bank,'
			'redeliver,test_webhook}'),
		('{operator,auditor}', 'EXECUTE', 'FUNCTION', NULL,
			'{slot_is_worked,global_payment,global_find_payment,global_look,global_statistics,global_broken_invariants}'),
		('{operator,auditor,monitor}', 'EXECUTE', 'FUNCTION', NULL, '{shard_name,global_health,require_global_views}'),
		('{client,operator,auditor}', 'SELECT', 'TABLE', NULL, '{my_payments}'),
		('{operator,auditor}', 'SELECT', 'TABLE', NULL,
			'{audit_transactions,audit_events,audit_disputes,manual_reviews,alerts,payment_facts,payment_steps,webhook_deliveries}'),
		('{operator,auditor}', 'SELECT', 'TABLE', NULL,
			'{shard_payments,shard_transactions,shard_events,shard_reviews,shard_facts}'),
		('{operator,auditor,monitor}', 'SELECT', 'TABLE', NULL, '{metrics,shard_state,shard_health}'),
		('{client}', 'REFERENCES', 'TABLE', 'payment_id', '{payments}')
	) g (levels, privilege, kind, column_name, names)
	CROSS JOIN unnest(g.levels) l (level)
	CROSS JOIN unnest(g.names) n (name)
	JOIN pgw.own_objects() o ON o.column_name IS NOT DISTINCT FROM g.column_name
		AND split_part(o.object, '(', 1) = concat_ws(' ', g.kind, CASE g.kind WHEN 'SCHEMA' THEN n.name ELSE 'pgw.' || n.name END)
$$;
COMMENT ON FUNCTION pgw.access_grid() IS
	'Internal: the privileges that each level of access gives.';

CREATE FUNCTION pgw.apply_access(role regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	g record;
BEGIN
	IF $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = $1) THEN
		RAISE EXCEPTION 'role does not exist' USING ERRCODE = 'undefined_object',
			HINT = 'PUBLIC cannot be given access: name a role.';
	END IF;
	FOR g IN SELECT a.object, a.privilege || coalesce(' (' || quote_ident(a.column_name) || ')', '') AS privilege,
			bool_or(a.level IN (SELECT r.level FROM pgw.access_grants r WHERE r.role = $1)) AS due
		FROM pgw.access_grid() a GROUP BY a.object, a.column_name, a.privilege LOOP
		EXECUTE format(CASE WHEN g.due THEN 'GRANT %s ON %s TO %s' ELSE 'REVOKE %s ON %s FROM %s' END, g.privilege, g.object, $1);
	END LOOP;
END
$$;
COMMENT ON FUNCTION pgw.apply_access(regrole) IS
	'Internal: brings a role''s privileges in line with its rows in pgw.access_grants.';

CREATE FUNCTION pgw.grant_access(role regrole, level text, merchant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	no_role boolean := $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = $1);
	no_level boolean := $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor', 'monitor');
BEGIN
	IF no_role OR no_level THEN
		RAISE EXCEPTION '%', concat_ws('; ', CASE WHEN no_role THEN 'role does not exist' END,
				CASE WHEN no_level THEN 'unknown level of access: ' || coalesce(quote_literal($2), 'NULL') END)
			USING ERRCODE = 'PW400', HINT = concat_ws(' ', CASE WHEN no_role THEN 'PUBLIC cannot be given access: name a role.' END,
				CASE WHEN no_level THEN 'The levels are client, operator, auditor and monitor.' END),
			DETAIL = '[' || concat_ws(', ', CASE WHEN no_role THEN
					'{"field": "role", "code": "unknown_value", "message": "must be a role"}' END,
				CASE WHEN no_level THEN
					'{"field": "level", "code": "unknown_value", "message": "must be client, operator, auditor or monitor"}' END) || ']';
	END IF;
	IF $3 IS NOT NULL AND NOT EXISTS (SELECT FROM pgw.merchants m WHERE m.merchant = $3) THEN
		RAISE EXCEPTION 'unknown merchant: %', quote_literal($3)
			USING ERRCODE = 'PW422', HINT = 'Insert it into pgw.merchants first, or leave it out to mean all merchants.',
			DETAIL = '{"code": "unknown_merchant", "class": "business", "http_status": 422, "retryable": false}';
	END IF;
	IF $2 = 'monitor' AND $3 IS NOT NULL THEN
		RAISE EXCEPTION 'level monitor is not of a merchant' USING ERRCODE = 'PW400',
			HINT = 'Leave the merchant out: health and figures are of the whole database. An auditor reads the payments of one merchant.',
			DETAIL = '[{"field": "merchant", "code": "conflicting_fields", "message": "must be left out for monitor"}]';
	END IF;
	INSERT INTO pgw.access_grants (role, level, merchant) VALUES ($1, $2, coalesce($3, '')) ON CONFLICT DO NOTHING;
	PERFORM pgw.apply_access($1);
END
$$;
COMMENT ON FUNCTION pgw.grant_access(regrole, text, text) IS
	'Gives a role a level of access (client, operator, auditor, monitor) for a merchant, or for all when that is NULL. It may '
	'be repeated.';

CREATE FUNCTION pgw.revoke_access(role regrole, level text, merchant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	IF $1 IS NULL THEN
		RAISE EXCEPTION 'role does not exist' USING ERRCODE = 'PW400', HINT = 'Name the role that was given access.',
			DETAIL = '[{"field": "role", "code": "required", "message": "must not be null"}]';
	END IF;
	IF $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor', 'monitor') THEN
		RAISE EXCEPTION 'unknown level of access: %', coalesce(quote_literal($2), 'NULL')
			USING ERRCODE = 'PW400', HINT = 'The levels are client, operator, auditor and monitor.',
			DETAIL = '[{"field": "level", "code": "unknown_value", "message": "must be client, operator, auditor or monitor"}]';
	END IF;
	IF $3 IS NOT NULL AND EXISTS (SELECT FROM pgw.access_grants g WHERE g.role = $1 AND g.level = $2 AND g.merchant = '') THEN
		RAISE EXCEPTION 'role % has level % for all merchants, not for % alone', $1, $2, quote_literal($3)
			USING ERRCODE = 'PW422', HINT = 'Revoke the level without a merchant, then grant it for each merchant that is to stay.',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}';
	END IF;
	DELETE FROM pgw.access_grants g WHERE g.role = $1 AND g.level = $2 AND ($3 IS NULL OR g.merchant = $3);
	IF EXISTS (SELECT FROM pg_roles r WHERE r.oid = $1) THEN
		PERFORM pgw.apply_access($1);
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.revoke_access(regrole, text, text) IS
	'Takes a level of access from a role, for a merchant, or every grant of that level when that is NULL.';

-- Default privileges of the role that creates pgw, or a GRANT ON ALL TABLES, would make somebody the master of banks and
-- payments, of whom pgw.access_grants knows nothing.
CREATE FUNCTION pgw.unexplained_privileges(OUT object text, OUT column_name text, OUT grantee text, OUT privilege text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	WITH due AS MATERIALIZED (
		SELECT DISTINCT g.object, g.column_name, g.privilege, r.role::oid AS grantee
		FROM pgw.access_grid() g JOIN pgw.access_grants r ON r.level = g.level
	)
	SELECT DISTINCT o.object, o.column_name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
		CASE WHEN d.grantee IS NOT NULL THEN 'GRANT OPTION FOR ' ELSE '' END || a.privilege_type
	FROM pgw.own_objects() o
	CROSS JOIN LATERAL aclexplode(o.acl) a
	LEFT JOIN due d ON d.object = o.object AND d.column_name IS NOT DISTINCT FROM o.column_name
		AND d.privilege = a.privilege_type AND d.grantee = a.grantee
	WHERE a.grantee <> o.owner AND (d.grantee IS NULL OR a.is_grantable)
$$;
COMMENT ON FUNCTION pgw.unexplained_privileges() IS
	'The privileges on pgw''s objects that are neither their owner''s nor given by pgw.grant_access(): made by default '
	'privileges, or by a GRANT.';

-- For the end of this script and of each update script, for each new partition, and for the owner: after a restore, or
-- when pgw.health() says so.
CREATE FUNCTION pgw.revoke_unexplained_privileges(of_table regclass DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	u record;
	revoked bigint := 0;
BEGIN
	-- CASCADE: what the grantee has given to others goes with it
	FOR u IN SELECT * FROM pgw.unexplained_privileges() p WHERE $1 IS NULL OR p.object = 'TABLE ' || $1::text LOOP
		EXECUTE format('REVOKE %s%s ON %s FROM %s CASCADE', u.privilege,
			' (' || quote_ident(u.column_name) || ')', u.object, u.grantee);
		revoked := revoked + 1;
	END LOOP;
	RETURN revoked;
END
$$;
COMMENT ON FUNCTION pgw.revoke_unexplained_privileges(regclass) IS
	'Takes away what pgw.unexplained_privileges() shows, of one table or, when that is NULL, of all objects; returns '
	'how many privileges.';


-- ==================================================================================================
-- 15  Views for clients, operators and auditors
-- ==================================================================================================

-- Who sees everything anyway, pgw's owner and superusers, sees it here, too: a view that is empty for want of a grant would
-- look like an all-clear.  As pgw_caller_may() has it (src/sql_function/check_access.c), with members of the owner.

-- The attempt is joined from the left: the worker writes it, and a snapshot of before the call does not show it. It costs
-- nothing where its columns are not asked for, as its id is a key.
CREATE VIEW pgw.my_payments WITH (security_barrier) AS
SELECT p.payment_id, p.transaction_id, p.client_request_id, p.merchant, p.status, p.capture, p.amount, p.currency, p.authorized_amount,
	p.captured_amount, p.capture_pending_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount, p.bank, p.bank_reference,
	p.authorization_code, p.card_last4, p.card_brand, p.reference, p.metadata, p.created_at, p.updated_at,
	t.status AS transaction_status,
	CASE WHEN p.status IN ('declined', 'failed') OR t.status IN ('BankUnknown', 'RequiresManualReview')
		THEN t.error_code END AS error_code,
	CASE WHEN p.status IN ('declined', 'failed') OR t.status IN ('BankUnknown', 'RequiresManualReview')
		THEN t.error_message END AS error_message, p.livemode, p.bank_captured_amount, p.bank_refunded_amount, p.disputed_amount
FROM pgw.payments p LEFT JOIN pgw.payment_transactions t ON t.transaction_id = p.transaction_id
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level <> 'monitor' AND g.merchant IN ('', p.merchant) AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.my_payments IS 'The payments of the caller''s merchants, made to be joined to its own tables.';
COMMENT ON COLUMN pgw.my_payments.transaction_status IS
	'The state of the attempt that the payment names; NULL in a transaction whose snapshot is older than the attempt.';
COMMENT ON COLUMN pgw.my_payments.error_code IS
	'Why the payment was declined, has failed or is not known yet, one of docs/errors.md; else NULL.';
COMMENT ON COLUMN pgw.my_payments.error_message IS 'The text that belongs to error_code.';

-- Everything but tokens, keys and the caller's transaction ids.
CREATE VIEW pgw.audit_transactions WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, t.status, t.step_order, t.submitted, t.amount, t.currency,
	t.capture, t.final_capture, t.reason, t.card_last4, t.card_brand, t.bank, t.bank_version, t.bank_requested, t.reference,
	t.bank_reference, t.authorization_code, t.requests_sent, t.next_step_at, t.put_off_since, t.put_off_reason, t.expires_at, t.error_class,
	t.error_code, t.error_message, t.http_status, t.retryable, t.correlation_id, t.created_at, t.updated_at, t.livemode, t.origin
FROM pgw.payment_transactions t
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
			AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.audit_transactions IS
	'The attempts of the merchants granted to an operator or auditor, without tokens, keys and transaction ids.';

-- A step says only what no step before it has said. The first one says what holds for the attempt; the bank, and how
-- many requests it has had, hold until another step says otherwise: as pgw_event_in_full() (src/store/event_data.c).
CREATE VIEW pgw.events_in_full AS
SELECT e.event_id, e.transaction_id, e.step_order, e.event_type, e.from_status, e.to_status, e.occurred_at,
	(SELECT coalesce(jsonb_object_agg(m.key, m.value ORDER BY b.step_order), '{}')
		FROM pgw.transaction_events b CROSS JOIN jsonb_each(b.event_data) m
		WHERE b.transaction_id = e.transaction_id AND b.step_order <= e.step_order
			AND (m.key IN ('bank', 'requests_sent') OR b.step_order = 1 AND m.key IN ('v', 'operation')))
		|| jsonb_strip_nulls(jsonb_build_object('payment_id', e.payment_id, 'bank_version', e.bank_version,
			'digest', encode(e.digest, 'base64'), 'correlation_id',
			(SELECT b.correlation_id FROM pgw.transaction_events b WHERE b.transaction_id = e.transaction_id AND b.step_order = 1)))
		|| jsonb_build_object('from', e.from_status, 'to', e.to_status) || coalesce(e.event_data, '{}') AS event_data,
	e.error_details, e.txid
FROM pgw.transaction_events e;
COMMENT ON VIEW pgw.events_in_full IS
	'The events, each with all that holds at that step, whichever step has said it first.';
COMMENT ON COLUMN pgw.events_in_full.event_data IS
	'A JSON object: v (1), from and to (states), requests_sent, operation, bank, correlation_id, and what belongs to '
	'the event. Amounts are in minor units.';

CREATE VIEW pgw.audit_events WITH (security_barrier) AS
SELECT e.event_id, e.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, t.correlation_id, e.step_order, e.event_type,
	e.from_status, e.to_status, e.occurred_at, e.event_data, e.error_details, e.txid, t.livemode
FROM pgw.events_in_full e JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
			AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.audit_events IS 'The events of the merchants granted to an operator or auditor.';
-- not what the event itself says
COMMENT ON COLUMN pgw.audit_events.payment_id IS
	'The payment that it is for. pgw.payments has no such row where the caller of a payment rolled back.';
COMMENT ON COLUMN pgw.audit_events.correlation_id IS
	'The id that stands in every log line and event about the attempt, and in requests to the bank.';
COMMENT ON COLUMN pgw.audit_events.event_data IS
	'A JSON object: v (1), from and to (states), requests_sent, operation, bank, correlation_id, and what belongs to '
	'the event. Amounts are in minor units.';

CREATE VIEW pgw.audit_disputes WITH (security_barrier) AS
SELECT d.dispute_id, d.bank, d.bank_dispute_id, d.merchant, d.payment_id, d.transaction_id, d.status, d.steps, d.currency,
	d.withdrawn_amount, d.reinstated_amount, d.unclear, d.said_amount, d.said_currency, d.fee_amount, d.fee_currency, d.reason,
	d.deadline, d.created_at, d.updated_at, d.livemode
FROM pgw.disputes d
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', d.merchant)
			AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.audit_disputes IS 'The disputes of the merchants granted to an operator or auditor.';

CREATE VIEW pgw.manual_reviews WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, r.came_from, r.since,
	clock_timestamp() - r.since AS age, t.amount, t.currency, t.bank, t.bank_reference, r.reason, r.error_code,
	(SELECT jsonb_agg(jsonb_build_object('step', e.step_order, 'event', e.event_type, 'at', e.occurred_at, 'data', e.event_data,
			'error', e.error_details) ORDER BY e.step_order)
		FROM pgw.events_in_full e WHERE e.transaction_id = t.transaction_id) AS context,
	pgw.review_actions(t.kind, r.came_from) AS possible_actions,
	(SELECT jsonb_build_object('action', q.action, 'note', q.note, 'evidence', q.evidence, 'by', q.proposer, 'at', q.proposed_at)
		FROM pgw.review_proposals q WHERE q.transaction_id = t.transaction_id AND q.step_order = t.step_order
		ORDER BY q.proposal DESC LIMIT 1) AS proposal,
	t.correlation_id, t.livemode
FROM pgw.payment_transactions t
LEFT JOIN LATERAL (
	SELECT e.from_status AS came_from, e.occurred_at AS since, e.event_data->>'reason' AS reason,
		e.event_data->>'error_code' AS error_code
	FROM pgw.transaction_events e
	WHERE e.transaction_id = t.transaction_id AND e.event_type = 'ManualReviewRequired'
	ORDER BY e.step_order DESC LIMIT 1) r ON true
WHERE t.status = 'RequiresManualReview'
	AND t.transaction_id IN (SELECT w.transaction_id FROM pgw.open_work w WHERE w.begun AND w.status = 'RequiresManualReview')
	AND ((SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
		OR EXISTS (SELECT FROM pgw.access_grants g
			WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
				AND pg_has_role(current_user, g.role::oid, 'USAGE')));
COMMENT ON VIEW pgw.manual_reviews IS
	'What waits for a person: attempts in manual review, with their history and what can be done '
	'(docs/manual-review.md).';
COMMENT ON COLUMN pgw.manual_reviews.came_from IS 'The attempt''s state before; with kind it decides what can be done.';
COMMENT ON COLUMN pgw.manual_reviews.since IS 'When the review began.';
COMMENT ON COLUMN pgw.manual_reviews.age IS 'How long ago that was.';
COMMENT ON COLUMN pgw.manual_reviews.reason IS 'Why a person has to decide, a word of docs/manual-review.md.';
COMMENT ON COLUMN pgw.manual_reviews.error_code IS 'The error that led there, by its name in docs/errors.md.';
COMMENT ON COLUMN pgw.manual_reviews.context IS
	'The whole history: an array of objects with step, event, at, data and error.';
COMMENT ON COLUMN pgw.manual_reviews.possible_actions IS 'What pgw.resolve_review() takes now.';
COMMENT ON COLUMN pgw.manual_reviews.proposal IS
	'What another operator has proposed (pgw.require_four_eyes); NULL: nothing that still counts.';

CREATE VIEW pgw.webhook_deliveries WITH (security_barrier) AS
SELECT q.delivery, q.endpoint, q.status, q.type, q.message_id, q.payment_id, q.merchant, q.attempts, q.created_at,
	q.last_attempt_at, q.last_http_status,
	coalesce(CASE WHEN q.status = 'waiting' THEN s.secret_fault END, q.last_error) AS last_error, q.last_ms,
	q.next_attempt_at, q.payload
FROM pgw.webhook_queue q LEFT JOIN pgw.webhook_states s ON s.endpoint = q.endpoint
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', q.merchant)
			AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.webhook_deliveries IS
	'The messages to endpoints of webhooks that are about payments of the merchants granted to an operator or auditor: '
	'what became of each, and when it is sent next (docs/webhooks.md).';

CREATE VIEW pgw.alerts WITH (security_barrier) AS
SELECT a.kind, a.subject, a.bank, a.transaction_id, a.message, a.first_at, a.last_at, a.told_at, a.count, a.told,
	coalesce((SELECT t.livemode FROM pgw.payment_transactions t WHERE t.transaction_id = a.transaction_id),
		(SELECT b.livemode FROM pgw.banks b WHERE b.name = a.bank)) AS livemode
FROM pgw.alert_state a
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR EXISTS (SELECT FROM pgw.access_grants g
		WHERE g.level IN ('operator', 'auditor') AND pg_has_role(current_user, g.role::oid, 'USAGE')
			AND (g.merchant = ''
				OR g.merchant = (SELECT t.merchant FROM pgw.payment_transactions t WHERE t.transaction_id = a.transaction_id)));
COMMENT ON VIEW pgw.alerts IS
	'What operators and auditors were told of, or would have been but for pgw.alert_period (docs/alerts.md).';
COMMENT ON COLUMN pgw.alerts.livemode IS
	'Of the payment, else of the bank that it is about: does money move there? NULL: of neither, or it is gone.';

-- For tools that draw pictures: a row for each payment, columns that stay. The conditions on grants do not depend on the
-- row, so they are evaluated once for all of them.
CREATE VIEW pgw.payment_facts WITH (security_barrier) AS
SELECT p.payment_id, p.created_at, p.updated_at, p.livemode, p.merchant, p.currency, p.capture, p.status,
	CASE WHEN p.status IN ('pending', 'in_review') THEN 'open' WHEN p.status IN ('declined', 'failed') THEN p.status::text
		ELSE 'approved' END AS outcome,
	coalesce(p.bank, t.bank) AS bank, p.card_brand, p.amount, p.authorized_amount, p.captured_amount, p.refunded_amount,
	(SELECT count(*) FROM pgw.disputes d WHERE d.payment_id = p.payment_id) AS disputes,
	coalesce(p.disputed_amount, 0) AS disputed_amount,
	p.captured_amount + coalesce(p.bank_captured_amount, 0) - p.refunded_amount - coalesce(p.bank_refunded_amount, 0)
		- coalesce(p.disputed_amount, 0) AS net_amount,
	CASE WHEN p.status IN ('declined', 'failed') THEN t.error_class END AS error_class,
	CASE WHEN p.status IN ('declined', 'failed') THEN t.error_code END AS error_code,
	t.requests_sent, p.client_request_id, p.reference, p.transaction_id, t.correlation_id
FROM pgw.payments p LEFT JOIN pgw.payment_transactions t ON t.transaction_id = p.transaction_id
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR p.merchant IN (SELECT m.merchant FROM pgw.merchants m JOIN pgw.access_grants g ON g.merchant IN ('', m.merchant)
		WHERE g.level IN ('operator', 'auditor') AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.payment_facts IS
	'One row for each payment of the merchants granted to an operator or auditor, flat, for BI tools: as it stands now. Ask '
	'for a range of payment_id (pgw.first_id() makes one of a time) rather than of created_at: that has no index.';
COMMENT ON COLUMN pgw.payment_facts.outcome IS
	'approved (the bank has said yes, whatever became of it since), declined, failed (no decision), or open.';
COMMENT ON COLUMN pgw.payment_facts.bank IS 'The bank that has the charge, or was asked for it last.';
COMMENT ON COLUMN pgw.payment_facts.disputes IS 'How many disputes there were about it, inquiries included.';
COMMENT ON COLUMN pgw.payment_facts.disputed_amount IS 'What disputes have taken of it, in minor units of the currency.';
COMMENT ON COLUMN pgw.payment_facts.net_amount IS
	'What is left of it, in minor units: captured, less what was refunded and what disputes have taken, also of what was done '
	'at the bank without pgw.';
COMMENT ON COLUMN pgw.payment_facts.error_class IS 'Of what was declined or has failed: whose affair the error is.';
COMMENT ON COLUMN pgw.payment_facts.error_code IS 'Why it was declined or has failed, one of docs/errors.md.';
COMMENT ON COLUMN pgw.payment_facts.requests_sent IS 'How many requests were sent to banks for the charge; more than one: it was retried.';

CREATE FUNCTION pgw.first_id(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	SELECT rpad(lpad(to_hex(floor(extract(epoch FROM greatest(least(at, '9999-01-01Z'), '1970-01-01Z')) * 1000)::bigint),
		12, '0'), 32, '0')::uuid
$$;
COMMENT ON FUNCTION pgw.first_id(timestamptz) IS
	'The smallest id that can have been made at this time: payment_id >= pgw.first_id(''2026-11-28'') is what began since '
	'then, found by an index.';

CREATE FUNCTION pgw.check_statistics(function text, since timestamptz, until timestamptz, bucket interval, by text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	faults text := concat_ws(', ',
		CASE WHEN isfinite($2) IS NOT TRUE THEN '{"field": "since", "code": "required", "message": "must be a point in time"}' END,
		CASE WHEN isfinite($3) IS NOT TRUE THEN '{"field": "until", "code": "required", "message": "must be a point in time"}' END,
		CASE WHEN $2 >= $3 THEN '{"field": "until", "code": "out_of_range", "message": "must be later than since"}' END,
		CASE WHEN $4 <= '0' OR $4 > '36500 days' OR extract(month FROM $4) <> 0 OR extract(year FROM $4) <> 0 THEN
			'{"field": "bucket", "code": "out_of_range", "message": "must be more than 0, at most 36500 days, without months"}' END,
		CASE WHEN $5 IS NULL OR NOT $5 <@ '{merchant,bank,card_brand,capture}' THEN
			'{"field": "by", "code": "unknown_value", "message": "must be of merchant, bank, card_brand and capture"}' END);
BEGIN
	IF faults <> '' THEN
		RAISE EXCEPTION 'invalid arguments of %', $1 USING ERRCODE = 'PW400', DETAIL = '[' || faults || ']',
			HINT = 'Correct what DETAIL names.';
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.check_statistics(text, timestamptz, timestamptz, interval, text[]) IS
	'Internal: PW400 for arguments that pgw.payment_statistics() or pgw.global_statistics() cannot have.';

-- Ranges of ids and look-ups by keys, whatever the tables' statistics are.
CREATE FUNCTION pgw.payment_statistics(since timestamptz, until timestamptz, bucket interval DEFAULT NULL, by text[] DEFAULT '{}',
	OUT bucket_start timestamptz, OUT livemode boolean, OUT currency text, OUT merchant text, OUT bank text, OUT card_brand text,
	OUT capture text, OUT payments bigint, OUT approved bigint, OUT declined bigint, OUT failed bigint, OUT open bigint,
	OUT approval_rate numeric, OUT amount numeric, OUT approved_amount numeric, OUT captured_amount numeric, OUT refunded bigint,
	OUT refunded_amount numeric, OUT disputed bigint, OUT disputed_amount numeric, OUT net_amount numeric, OUT declines jsonb,
	OUT failures jsonb, OUT requests_sent numeric, OUT retried bigint, OUT retried_approved bigint, OUT retried_amount numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_custom_plan
	SET jit = off SET work_mem = '64MB' AS
$$
#variable_conflict use_column
BEGIN
	PERFORM pgw.check_statistics('pgw.payment_statistics()', $1, $2, $3, $4);
	RETURN QUERY
	WITH g AS (
		SELECT CASE WHEN $3 IS NULL THEN $1 ELSE
				date_bin($3, greatest(least(f.created_at, $2 - interval '1 microsecond'), $1), $1) END AS start,
			f.livemode, f.currency, CASE WHEN 'merchant' = ANY ($4) THEN f.merchant END AS merchant,
			CASE WHEN 'bank' = ANY ($4) THEN f.bank END AS bank, CASE WHEN 'card_brand' = ANY ($4) THEN f.card_brand END AS card_brand,
			CASE WHEN 'capture' = ANY ($4) THEN f.capture::text END AS capture, f.outcome, f.error_code,
			count(*) AS n, sum(f.amount) AS amount, sum(f.captured_amount) AS captured,
			count(*) FILTER (WHERE f.refunded_amount > 0) AS refunded,
			sum(f.refunded_amount) AS refunded_amount, count(*) FILTER (WHERE f.disputes > 0) AS disputed,
			sum(f.disputed_amount) AS disputed_amount, sum(f.net_amount) AS net, sum(f.requests_sent) AS requests,
			count(*) FILTER (WHERE f.requests_sent > 1) AS retried, sum(f.amount) FILTER (WHERE f.requests_sent > 1) AS retried_amount
		FROM pgw.payment_facts f
		WHERE f.payment_id >= pgw.first_id($1) AND f.payment_id < pgw.first_id($2)
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	)
	SELECT g.start, g.livemode, g.currency, g.merchant, g.bank, g.card_brand, g.capture, sum(g.n)::bigint,
		coalesce(sum(g.n) FILTER (WHERE g.outcome = 'approved'), 0)::bigint,
		coalesce(sum(g.n) FILTER (WHERE g.outcome = 'declined'), 0)::bigint,
		coalesce(sum(g.n) FILTER (WHERE g.outcome = 'failed'), 0)::bigint, coalesce(sum(g.n) FILTER (WHERE g.outcome = 'open'), 0)::bigint,
		round(coalesce(sum(g.n) FILTER (WHERE g.outcome = 'approved'), 0)
			/ nullif(sum(g.n) FILTER (WHERE g.outcome IN ('approved', 'declined')), 0), 4),
		sum(g.amount), coalesce(sum(g.amount) FILTER (WHERE g.outcome = 'approved'), 0), sum(g.captured), sum(g.refunded)::bigint,
		sum(g.refunded_amount), sum(g.disputed)::bigint, sum(g.disputed_amount), sum(g.net),
		coalesce(jsonb_object_agg(coalesce(g.error_code, 'unknown'), g.n) FILTER (WHERE g.outcome = 'declined'), '{}'),
		coalesce(jsonb_object_agg(coalesce(g.error_code, 'unknown'), g.n) FILTER (WHERE g.outcome = 'failed'), '{}'),
		coalesce(sum(g.requests), 0)::numeric, sum(g.retried)::bigint,
		coalesce(sum(g.retried) FILTER (WHERE g.outcome = 'approved'), 0)::bigint,
		coalesce(sum(g.retried_amount) FILTER (WHERE g.outcome = 'approved'), 0)
	FROM g GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2 DESC, 3, 4, 5, 6, 7;
END
$$;
COMMENT ON FUNCTION pgw.payment_statistics(timestamptz, timestamptz, interval, text[]) IS
	'Figures of the payments that began from since until before until, as they stand now, of the caller''s '
	'merchants: a row for each bucket, mode, '
	'currency, and each value of what by names (merchant, bank, card_brand, capture).';

CREATE VIEW pgw.payment_steps WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.livemode, t.merchant, t.kind, t.bank, s.step_order, s.previous_type, s.event_type,
	s.occurred_at, s.ms
FROM pgw.payment_transactions t
CROSS JOIN LATERAL (
	SELECT e.step_order, lag(e.event_type) OVER w AS previous_type, e.event_type, e.occurred_at,
		date_part('epoch', e.occurred_at - lag(e.occurred_at) OVER w) * 1000 AS ms
	FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id WINDOW w AS (ORDER BY e.step_order)) s
WHERE (SELECT pg_has_role(current_user, x.extowner, 'USAGE') FROM pg_extension x WHERE x.extname = 'pgw')
	OR t.merchant IN (SELECT m.merchant FROM pgw.merchants m JOIN pgw.access_grants g ON g.merchant IN ('', m.merchant)
		WHERE g.level IN ('operator', 'auditor') AND pg_has_role(current_user, g.role::oid, 'USAGE'));
COMMENT ON VIEW pgw.payment_steps IS
	'One row for each event of the attempts of the merchants granted to an operator or auditor, with the time since the one before: '
	'for BI tools. Ask for a range of transaction_id.';
COMMENT ON COLUMN pgw.payment_steps.previous_type IS 'The event before it, of the same attempt; NULL: this is the first.';
COMMENT ON COLUMN pgw.payment_steps.ms IS 'The milliseconds since that one, by the server''s clock.';

CREATE FUNCTION pgw.payment_step_times(since timestamptz, until timestamptz, OUT livemode boolean, OUT kind pgw.operation_kind,
	OUT bank text, OUT step pgw.event_type, OUT next_step pgw.event_type, OUT n bigint,
	OUT p50_ms double precision, OUT p95_ms double precision)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex
	SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
	SET work_mem = '64MB' AS
$$
	SELECT s.livemode, s.kind, s.bank, s.previous_type, s.event_type, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY s.ms),
		percentile_cont(0.95) WITHIN GROUP (ORDER BY s.ms)
	FROM pgw.payment_steps s
	WHERE s.transaction_id >= pgw.first_id($1) AND s.transaction_id < pgw.first_id($2) AND s.previous_type IS NOT NULL
	GROUP BY 1, 2, 3, 4, 5 ORDER BY 1 DESC, 2, 3, count(*) DESC, 4, 5
$$;
COMMENT ON FUNCTION pgw.payment_step_times(timestamptz, timestamptz) IS
	'How long it took from one event to the next, of the attempts that began from since until before until, of the caller''s '
	'merchants.';

-- A column that is a table's says what it says there. Where two tables have it, the one of the view's rows comes last.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT v.of_view, a.attname, col_description(s.attrelid, s.attnum) AS description
		FROM (VALUES (1, 'pgw.my_payments'::regclass, 'pgw.payments'::regclass),
			(1, 'pgw.audit_transactions', 'pgw.payment_transactions'),
			(1, 'pgw.webhook_deliveries', 'pgw.webhook_queue'),
			(1, 'pgw.webhook_messages', 'pgw.transaction_events'),
			(1, 'pgw.audit_events', 'pgw.payment_transactions'),
			(1, 'pgw.events_in_full', 'pgw.transaction_events'),
			(2, 'pgw.audit_events', 'pgw.transaction_events'),
			(1, 'pgw.audit_disputes', 'pgw.disputes'),
			(1, 'pgw.manual_reviews', 'pgw.payment_transactions'),
			(1, 'pgw.payment_steps', 'pgw.payment_transactions'),
			(2, 'pgw.payment_steps', 'pgw.transaction_events'),
			(1, 'pgw.payment_facts', 'pgw.payments'),
			(2, 'pgw.payment_facts', 'pgw.payment_transactions'),
			(1, 'pgw.alerts', 'pgw.alert_state')) v (n, of_view, of_table)
		JOIN pg_attribute a ON a.attrelid = v.of_view AND a.attnum > 0
		JOIN pg_attribute s ON s.attrelid = v.of_table AND s.attname = a.attname
		WHERE col_description(a.attrelid, a.attnum) IS NULL
		ORDER BY v.n
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.of_view, c.attname, c.description);
	END LOOP;
END
$$;


-- ==================================================================================================
-- 16  All shards as one
--
--  What each shard shows of itself to a database that looks at all of them, and what that one makes of it
--  (docs/scaling.md, "Looking at all of them"). Types that every server has, so that conditions are evaluated by the
--  shard, and shards of other versions can be read.
-- ==================================================================================================

CREATE VIEW pgw.shard_state AS
SELECT pgw.shard_name() AS shard, current_database()::text AS database,
	(SELECT c.system_identifier FROM pg_control_system() c) AS system_identifier,
	(SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pgw') AS version,
	count(*) > 0 AS sharded,
	CASE WHEN count(*) = 0 THEN '{[0,1024)}' ELSE coalesce(range_agg(int4range(s.slot, s.slot, '[]'))
		FILTER (WHERE s.shard = pgw.shard_name() AND s.database = current_database() AND s.state IN ('home', 'leaving')), '{}')
	END AS at_home
FROM pgw.shard_slots s;
COMMENT ON VIEW pgw.shard_state IS 'One row: which shard this database is, and what is at home here.';
COMMENT ON COLUMN pgw.shard_state.shard IS 'The name that its server was started under; NULL: it has none.';
COMMENT ON COLUMN pgw.shard_state.database IS 'This database.';
COMMENT ON COLUMN pgw.shard_state.system_identifier IS 'Of its server, as pg_control_system() shows it.';
COMMENT ON COLUMN pgw.shard_state.version IS 'The version of the extension''s script.';
COMMENT ON COLUMN pgw.shard_state.sharded IS 'False: pgw.shard_slots is empty, and every slot is at home.';
COMMENT ON COLUMN pgw.shard_state.at_home IS 'The slots that are at home here, those that are leaving included.';

CREATE VIEW pgw.shard_health AS SELECT h.check_name, h.status, h.advice, h.details FROM pgw.health() h;
COMMENT ON VIEW pgw.shard_health IS 'pgw.health() as a view, for a database that looks at several shards.';
COMMENT ON COLUMN pgw.shard_health.check_name IS 'What was looked at.';
COMMENT ON COLUMN pgw.shard_health.status IS 'ok, warning or error.';
COMMENT ON COLUMN pgw.shard_health.advice IS 'What to do.';
COMMENT ON COLUMN pgw.shard_health.details IS 'What was found, as a JSON object.';

CREATE VIEW pgw.shard_payments WITH (security_barrier) AS
SELECT v.payment_id, v.transaction_id, v.client_request_id, v.merchant, v.status::text, v.capture::text, v.amount, v.currency,
	v.authorized_amount, v.captured_amount, v.capture_pending_amount, v.reserved_amount, v.refunded_amount, v.refund_pending_amount,
	v.bank, v.bank_reference, v.authorization_code, v.card_last4, v.card_brand, v.reference, v.metadata, v.created_at, v.updated_at,
	v.transaction_status::text, v.error_code, v.error_message, v.livemode, v.bank_captured_amount, v.bank_refunded_amount,
	v.disputed_amount, pgw.shard_name() AS shard, pgw.slot_is_worked(v.payment_id) AS at_home
FROM pgw.my_payments v;
COMMENT ON VIEW pgw.shard_payments IS 'pgw.my_payments for a database that looks at several shards.';

CREATE VIEW pgw.shard_transactions WITH (security_barrier) AS
SELECT v.transaction_id, v.payment_id, v.client_request_id, v.merchant, v.kind::text, v.status::text, v.step_order::int, v.submitted,
	v.amount, v.currency, v.capture::text, v.final_capture, v.reason, v.card_last4, v.card_brand, v.bank, v.bank_version,
	v.bank_requested, v.reference, v.bank_reference, v.authorization_code, v.requests_sent, v.next_step_at, v.put_off_since,
	v.put_off_reason, v.expires_at, v.error_class, v.error_code, v.error_message, v.http_status, v.retryable, v.correlation_id,
	v.created_at, v.updated_at, v.livemode, v.origin, pgw.shard_name() AS shard, pgw.slot_is_worked(v.payment_id) AS at_home
FROM pgw.audit_transactions v;
COMMENT ON VIEW pgw.shard_transactions IS 'pgw.audit_transactions for a database that looks at several shards.';

CREATE VIEW pgw.shard_events WITH (security_barrier) AS
SELECT v.event_id, v.transaction_id, v.payment_id, v.client_request_id, v.merchant, v.kind::text, v.correlation_id, v.step_order::int,
	v.event_type::text, v.from_status::text, v.to_status::text, v.occurred_at, v.event_data, v.error_details, v.livemode,
	pgw.shard_name() AS shard, pgw.slot_is_worked(v.payment_id) AS at_home
FROM pgw.audit_events v;
COMMENT ON VIEW pgw.shard_events IS 'pgw.audit_events for a database that looks at several shards.';

CREATE VIEW pgw.shard_reviews WITH (security_barrier) AS
SELECT v.transaction_id, v.payment_id, v.client_request_id, v.merchant, v.kind::text, v.came_from::text, v.since, v.age, v.amount,
	v.currency, v.bank, v.bank_reference, v.reason, v.error_code, v.context, v.possible_actions, v.proposal, v.correlation_id,
	v.livemode, pgw.shard_name() AS shard, pgw.slot_is_worked(v.payment_id) AS at_home
FROM pgw.manual_reviews v;
COMMENT ON VIEW pgw.shard_reviews IS 'pgw.manual_reviews for a database that looks at several shards.';

CREATE VIEW pgw.shard_facts WITH (security_barrier) AS
SELECT v.payment_id, v.created_at, v.updated_at, v.livemode, v.merchant, v.currency, v.capture::text, v.status::text, v.outcome, v.bank,
	v.card_brand, v.amount, v.authorized_amount, v.captured_amount, v.refunded_amount, v.disputes, v.disputed_amount, v.net_amount,
	v.error_class, v.error_code, v.requests_sent, v.client_request_id, v.reference, v.transaction_id, v.correlation_id,
	pgw.shard_name() AS shard, pgw.slot_is_worked(v.payment_id) AS at_home
FROM pgw.payment_facts v;
COMMENT ON VIEW pgw.shard_facts IS 'pgw.payment_facts for a database that looks at several shards.';

-- Each column says what it says in the view that it comes from.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT v.of_view, a.attname, CASE a.attname WHEN 'shard' THEN 'The shard that shows it, by its name; NULL: it has none.'
			WHEN 'at_home' THEN 'Is its slot at home there? Else it is a copy''s, and another shard goes on with it.'
			ELSE col_description(v.of_source, s.attnum) END AS description
		FROM (VALUES ('pgw.shard_payments'::regclass, 'pgw.my_payments'::regclass),
			('pgw.shard_transactions', 'pgw.audit_transactions'), ('pgw.shard_events', 'pgw.audit_events'),
			('pgw.shard_reviews', 'pgw.manual_reviews'), ('pgw.shard_facts', 'pgw.payment_facts')) v (of_view, of_source)
		JOIN pg_attribute a ON a.attrelid = v.of_view AND a.attnum > 0
		LEFT JOIN pg_attribute s ON s.attrelid = v.of_source AND s.attname = a.attname
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.of_view, c.attname, c.description);
	END LOOP;
END
$$;

-- The objects are the caller's, and no members of the extension: a dump has them. All views are the readers' own
-- (security_invoker): each shard is asked by the user mapping of whoever reads, and shows what it has granted that role.
CREATE FUNCTION pgw.global_views(servers text[], readers text[] DEFAULT '{}', OUT server text, OUT shard text,
	OUT at_home int4multirange, OUT problem text)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex SET client_min_messages = warning AS
$$
#variable_conflict use_column
DECLARE
	faults text;
	kinds constant text[] := '{state,health,metrics,payments,transactions,events,reviews,facts}';
	v record;
	s text;
	identity text;
	known jsonb := '{}';
BEGIN
	faults := concat_ws(', ',
		CASE WHEN array_ndims($1) > 1 THEN
			'{"field": "servers", "code": "invalid_format", "message": "must be an array of one dimension"}'
		WHEN $1 IS NULL OR cardinality($1) = 0 OR array_position($1, NULL) IS NOT NULL THEN
			'{"field": "servers", "code": "required", "message": "must be names of foreign servers"}' END,
		CASE WHEN EXISTS (SELECT FROM unnest($1) n GROUP BY n HAVING count(*) > 1) THEN
			'{"field": "servers", "code": "conflicting_fields", "message": "must not name a server twice"}' END,
		(SELECT string_agg(json_build_object('field', 'servers', 'code', 'unknown_value',
				'message', n || ': no server of postgres_fdw, or its name is longer than 40 bytes')::text, ', ')
			FROM unnest($1) n WHERE octet_length(n) > 40 OR NOT EXISTS (SELECT FROM pg_foreign_server f
				JOIN pg_depend d ON d.classid = 'pg_foreign_data_wrapper'::regclass AND d.objid = f.srvfdw AND d.deptype = 'e'
				JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND x.oid = d.refobjid AND x.extname = 'postgres_fdw'
				WHERE f.srvname = n)),
		(SELECT string_agg(json_build_object('field', 'readers', 'code', 'unknown_value',
				'message', coalesce(n, 'NULL') || ': no such role')::text, ', ')
			FROM unnest($2) n WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n)));
	IF faults <> '' THEN
		RAISE EXCEPTION 'invalid arguments of pgw.global_views()' USING ERRCODE = 'PW400', DETAIL = '[' || faults || ']',
			HINT = 'CREATE EXTENSION postgres_fdw, and a server and user mappings for each shard. See docs/scaling.md.';
	END IF;
	IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'pgw_all' AND pg_get_userbyid(n.nspowner) <> current_user) THEN
		RAISE EXCEPTION 'schema pgw_all is another role''s' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}',
			HINT = 'Call it as the role that has made it; if that was not yours, drop it first: its owner decides what the views show.';
	END IF;
	CREATE SCHEMA IF NOT EXISTS pgw_all;
	PERFORM pgw.require_global_views();
	COMMENT ON SCHEMA pgw_all IS 'All shards of pgw as one: made by pgw.global_views().';
	EXECUTE 'CREATE TABLE IF NOT EXISTS pgw_all.shards (server text PRIMARY KEY, slots int4multirange)';
	COMMENT ON TABLE pgw_all.shards IS
		'The foreign servers, and the slots that were at home there when pgw.global_views() asked last: where to look first.';
	FOREACH s IN ARRAY $1 LOOP
		FOR v IN SELECT k AS kind, CASE k WHEN 'metrics' THEN 'metrics' ELSE 'shard_' || k END AS remote FROM unnest(kinds) k LOOP
			EXECUTE format('CREATE FOREIGN TABLE IF NOT EXISTS pgw_all.%I (%s) SERVER %I OPTIONS (schema_name ''pgw'', table_name %L,'
				' async_capable ''true'', fetch_size ''1000'', updatable ''false'')', v.kind || '@' || s,
				(SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
					FROM pg_attribute a WHERE a.attrelid = format('pgw.%I', v.remote)::regclass AND a.attnum > 0), s, v.remote);
		END LOOP;
	END LOOP;
	FOR v IN SELECT * FROM (VALUES ('payments', 'payments', 'payment'), ('transactions', 'transactions', 'attempt'),
			('events', 'events', 'event'), ('manual_reviews', 'reviews', 'review'), ('metrics', 'metrics', 'figure'))
			n (name, kind, what) LOOP
		EXECUTE format('CREATE OR REPLACE VIEW pgw_all.%I WITH (security_invoker) AS %s', v.name,
			(SELECT string_agg(format('SELECT %L::text AS server, t.* FROM pgw_all.%I t%s', n, v.kind || '@' || n,
				CASE WHEN v.kind <> 'metrics' THEN ' WHERE t.at_home' END), ' UNION ALL ' ORDER BY o)
			FROM unnest($1) WITH ORDINALITY u (n, o)));
		EXECUTE format('COMMENT ON VIEW pgw_all.%I IS %L', v.name,
			format('Each %s of each shard, by the shard where it is at home.', v.what));
	END LOOP;
	CREATE OR REPLACE VIEW pgw_all.health WITH (security_invoker) AS SELECT * FROM pgw.global_health();
	COMMENT ON VIEW pgw_all.health IS 'pgw.health() of each shard; of one that cannot be reached, a row that says so.';
	CREATE OR REPLACE VIEW pgw_all.broken_invariants WITH (security_invoker) AS SELECT * FROM pgw.global_broken_invariants();
	COMMENT ON VIEW pgw_all.broken_invariants IS 'What must not be: pgw.global_broken_invariants().';
	-- once more: somebody may have been faster with one of these names
	PERFORM pgw.require_global_views();
	-- what is asked no more
	FOR v IN SELECT c.oid::regclass AS name FROM pg_foreign_table t
			JOIN pg_class c ON c.oid = t.ftrelid JOIN pg_foreign_server f ON f.oid = t.ftserver
			WHERE c.relnamespace = 'pgw_all'::regnamespace AND NOT f.srvname = ANY ($1) LOOP
		EXECUTE format('DROP FOREIGN TABLE %s', v.name);
	END LOOP;
	EXECUTE 'DELETE FROM pgw_all.shards WHERE NOT server = ANY ($1)' USING $1;
	FOREACH s IN ARRAY coalesce($2, '{}') LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA pgw_all TO %I', s);
		EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA pgw_all TO %I', s);
	END LOOP;
	FOREACH server IN ARRAY $1 LOOP
		shard := NULL;
		at_home := NULL;
		problem := NULL;
		identity := NULL;
		BEGIN
			EXECUTE format('SELECT t.shard, t.at_home, jsonb_build_array(t.system_identifier, t.database, t.shard)::text FROM pgw_all.%I t',
				'state@' || server) INTO shard, at_home, identity;
		EXCEPTION WHEN OTHERS THEN
			problem := SQLERRM;
		END;
		-- a physical copy that is a shard of its own has another name
		IF known ? identity THEN
			RAISE EXCEPTION 'invalid arguments of pgw.global_views()' USING ERRCODE = 'PW400',
				DETAIL = json_build_array(json_build_object('field', 'servers', 'code', 'conflicting_fields', 'message',
					format('%s and %s lead to one database, or to one and its standby', known->>identity, server))),
				HINT = 'One foreign server for each shard: where it has several machines, host names all of them. See docs/scaling.md.';
		END IF;
		known := known || CASE WHEN identity IS NULL THEN '{}' ELSE jsonb_build_object(identity, server) END;
		EXECUTE 'INSERT INTO pgw_all.shards (server, slots) VALUES ($1, $2) ON CONFLICT (server) DO UPDATE SET slots = $2'
			USING server, at_home;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION pgw.global_views(text[], text[]) IS
	'Makes schema pgw_all over these foreign servers, one for each shard, or brings it up to date: views of the payments, '
	'attempts, events, reviews, figures and health of all of them. Says what each has answered.';

-- What stands in pgw_all runs with the rights of whoever asks: nobody else may have put it there.
CREATE FUNCTION pgw.require_global_views() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	maker oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'pgw_all');
	planted record;
BEGIN
	IF maker IS NULL THEN
		RAISE EXCEPTION 'there is no schema pgw_all' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}',
			HINT = 'The owner of pgw makes it in this database: SELECT * FROM pgw.global_views(servers). See docs/scaling.md.';
	ELSIF NOT has_function_privilege(maker, 'pgw.global_views(text[], text[])', 'EXECUTE') THEN
		RAISE EXCEPTION 'schema pgw_all was not made by pgw.global_views()' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}',
			HINT = format('It is the property of "%s", who may not call pgw.global_views(), and what stands in it would run with'
				' your rights. Drop it, and have the owner of pgw make it.', pg_get_userbyid(maker));
	END IF;
	-- whoever has initdb's role owns without an entry, and may
	SELECT pg_describe_object(d.classid, d.objid, 0) AS name, pg_get_userbyid(o.refobjid) AS owner INTO planted
	FROM pg_depend d JOIN pg_shdepend o ON o.classid = d.classid AND o.objid = d.objid AND o.objsubid = 0 AND o.deptype = 'o'
		AND o.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
	WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'pgw_all'::regnamespace
		AND NOT has_function_privilege(o.refobjid, 'pgw.global_views(text[], text[])', 'EXECUTE')
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'in schema pgw_all stands what was not made by pgw.global_views()' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}',
			HINT = format('%s is the property of "%s", who may not call pgw.global_views(), and would run with your rights.'
				' Drop it, and revoke CREATE on the schema from whoever has it.', planted.name, planted.owner);
	END IF;
	-- a trigger has no owner of its own; a foreign key has them, too, and casts what it compares with the owner's rights
	SELECT t.tgname AS name, c.relname AS relation INTO planted
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'pgw_all'::regnamespace LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'in schema pgw_all stands what was not made by pgw.global_views()' USING ERRCODE = 'PW422',
			DETAIL = '{"code": "operation_not_allowed", "class": "business", "http_status": 422, "retryable": false}',
			HINT = format('pgw_all.%I has the trigger "%s", of its own or of a foreign key, which would run with others'' rights.'
				' Drop it, and revoke TRIGGER and REFERENCES on the tables of the schema from whoever has them.',
				planted.relation, planted.name);
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.require_global_views() IS
	'Internal: refuses a schema pgw_all of somebody who may not make it, or with something of his in it.';

CREATE FUNCTION pgw.global_health(OUT server text, OUT check_name text, OUT status text, OUT advice text, OUT details jsonb)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	PERFORM pgw.require_global_views();
	FOR server IN EXECUTE 'SELECT s.server FROM pgw_all.shards s ORDER BY s.server' LOOP
		BEGIN
			-- all of a shard's rows, or the one that says that it could not be asked
			FOR check_name, status, advice, details IN EXECUTE format('SELECT r.* FROM (SELECT array_agg(ROW(h.check_name, h.status,'
					' h.advice, h.details)) AS a FROM pgw_all.%I h) q, unnest(q.a)'
					' r (check_name text, status text, advice text, details jsonb)',
					'health@' || server) LOOP
				RETURN NEXT;
			END LOOP;
		EXCEPTION WHEN OTHERS THEN
			check_name := 'reachable';
			status := 'error';
			advice := 'This shard could not be asked, so nothing is known of it: see details,'
				' its server, and the user mapping of whoever asks.';
			details := jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM);
			RETURN NEXT;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION pgw.global_health() IS
	'pgw.health() of each shard of pgw_all; of one that cannot be reached, a row reachable with status error.';

CREATE FUNCTION pgw.global_payment(payment_id uuid) RETURNS SETOF pgw.shard_payments
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	RETURN QUERY SELECT g.* FROM pgw.global_look(pgw.slot_of_id($1), 't.payment_id = $1', $1, NULL, NULL) g;
END
$$;
COMMENT ON FUNCTION pgw.global_payment(uuid) IS
	'A payment of whichever shard: the one that has its slot is asked, and the others only if it has moved since.';

CREATE FUNCTION pgw.global_find_payment(client_request_id text, merchant text DEFAULT 'default') RETURNS SETOF pgw.shard_payments
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	RETURN QUERY SELECT g.* FROM pgw.global_look(pgw.slot_of($1), 't.client_request_id = $2 AND t.merchant = $3', NULL, $1, $2) g;
END
$$;
COMMENT ON FUNCTION pgw.global_find_payment(text, text) IS
	'The same by client_request_id and merchant.';

CREATE FUNCTION pgw.global_look(slot int, condition text, id uuid, request text, merchant text) RETURNS SETOF pgw.shard_payments
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	likely text[];
	s text;
BEGIN
	PERFORM pgw.require_global_views();
	EXECUTE 'SELECT array_agg(s.server) FROM pgw_all.shards s WHERE s.slots @> $1' INTO likely USING $1;
	-- those that were home of the slot first; what has moved since is at home elsewhere
	FOR s IN EXECUTE 'SELECT s.server FROM pgw_all.shards s ORDER BY NOT s.server = ANY ($1), s.server' USING coalesce(likely, '{}') LOOP
		RETURN QUERY EXECUTE format('SELECT t.* FROM pgw_all.%I t WHERE %s AND t.at_home', 'payments@' || s, $2) USING $3, $4, $5;
		EXIT WHEN FOUND;
	END LOOP;
END
$$;
COMMENT ON FUNCTION pgw.global_look(int, text, uuid, text, text) IS
	'Internal: a payment of this slot, by a condition of pgw.global_payment() or pgw.global_find_payment().';

CREATE FUNCTION pgw.global_statistics(since timestamptz, until timestamptz, bucket interval DEFAULT NULL, by text[] DEFAULT '{}',
	OUT bucket_start timestamptz, OUT livemode boolean, OUT currency text, OUT merchant text, OUT bank text, OUT card_brand text,
	OUT capture text, OUT payments bigint, OUT approved bigint, OUT declined bigint, OUT failed bigint, OUT open bigint,
	OUT approval_rate numeric, OUT amount numeric, OUT approved_amount numeric, OUT captured_amount numeric, OUT refunded_amount numeric,
	OUT disputed_amount numeric, OUT net_amount numeric)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	of_shards text;
BEGIN
	PERFORM pgw.require_global_views();
	PERFORM pgw.check_statistics('pgw.global_statistics()', $1, $2, $3, $4);
	-- Each shard groups its own: what comes over the network is a row for each group.
	EXECUTE $q$SELECT string_agg(format('SELECT CASE WHEN $3 IS NULL THEN $1 ELSE date_bin($3, f.created_at, $1) END AS start,'
		' f.livemode, f.currency, %s, f.outcome, count(*) AS n, sum(f.amount) AS amount, sum(f.captured_amount) AS captured,'
		' sum(f.refunded_amount) AS refunded, sum(f.disputed_amount) AS disputed, sum(f.net_amount) AS net'
		' FROM pgw_all.%I f WHERE f.payment_id >= $4 AND f.payment_id < $5 AND f.at_home GROUP BY 1, 2, 3, %s f.outcome', $1,
		'facts@' || s.server, $2), ' UNION ALL ') FROM pgw_all.shards s$q$
	INTO of_shards
	USING (SELECT string_agg(CASE WHEN c = ANY ($4) THEN 'f.' || c ELSE 'NULL::text' END || ' AS ' || c, ', ' ORDER BY o)
			FROM unnest('{merchant,bank,card_brand,capture}'::text[]) WITH ORDINALITY u (c, o)),
		(SELECT coalesce(string_agg('f.' || c || ', ', ''), '') FROM (SELECT DISTINCT c FROM unnest($4) c) d);
	RETURN QUERY EXECUTE 'WITH g AS (' || of_shards || $q$)
		SELECT CASE WHEN $3 IS NULL THEN $1 ELSE greatest(least(g.start, date_bin($3, $2 - interval '1 microsecond', $1)), $1) END,
			g.livemode, g.currency, g.merchant, g.bank, g.card_brand, g.capture, sum(g.n)::bigint,
			coalesce(sum(g.n) FILTER (WHERE g.outcome = 'approved'), 0)::bigint,
			coalesce(sum(g.n) FILTER (WHERE g.outcome = 'declined'), 0)::bigint,
			coalesce(sum(g.n) FILTER (WHERE g.outcome = 'failed'), 0)::bigint,
			coalesce(sum(g.n) FILTER (WHERE g.outcome = 'open'), 0)::bigint,
			round(coalesce(sum(g.n) FILTER (WHERE g.outcome = 'approved'), 0)
				/ nullif(sum(g.n) FILTER (WHERE g.outcome IN ('approved', 'declined')), 0), 4),
			sum(g.amount), coalesce(sum(g.amount) FILTER (WHERE g.outcome = 'approved'), 0), sum(g.captured), sum(g.refunded),
			sum(g.disputed), sum(g.net)
		FROM g GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2 DESC, 3, 4, 5, 6, 7$q$
	USING $1, $2, $3, pgw.first_id($1), pgw.first_id($2);
END
$$;
COMMENT ON FUNCTION pgw.global_statistics(timestamptz, timestamptz, interval, text[]) IS
	'pgw.payment_statistics() of all shards of pgw_all together, each payment counted where it is at home; each shard groups its own.';

CREATE FUNCTION pgw.global_broken_invariants(OUT invariant text, OUT servers text[], OUT payment_id uuid, OUT details jsonb)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
#variable_conflict use_column
DECLARE
	names text[];
	s text;
	state jsonb;
	states jsonb := '[]';
	reached text[] := '{}';
	covered int4multirange := '{}';
	ids text;
BEGIN
	PERFORM pgw.require_global_views();
	EXECUTE 'SELECT coalesce(array_agg(s.server ORDER BY s.server), ''{}'') FROM pgw_all.shards s' INTO names;
	FOREACH s IN ARRAY names LOOP
		BEGIN
			EXECUTE format('SELECT to_jsonb(t) FROM pgw_all.%I t', 'state@' || s) INTO state;
			states := states || (state || jsonb_build_object('server', s));
			reached := reached || s;
			covered := covered + (state->>'at_home')::int4multirange;
		EXCEPTION WHEN OTHERS THEN
			invariant := 'shard_unreachable';
			servers := ARRAY[s];
			payment_id := NULL;
			details := jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM);
			RETURN NEXT;
		END;
	END LOOP;
	-- of shards that could not be asked it is not known what is at home there
	IF reached = names AND covered <> '{[0,1024)}' THEN
		RETURN QUERY SELECT 'slots_nowhere_at_home', reached, NULL::uuid,
			jsonb_build_object('slots', ('{[0,1024)}'::int4multirange - covered)::text);
	END IF;
	RETURN QUERY
	WITH st AS (SELECT t.* FROM jsonb_to_recordset(states) t (server text, shard text, database text,
		system_identifier bigint, version text, sharded boolean, at_home int4multirange))
	SELECT 'slots_at_home_twice', ARRAY[a.server, b.server], NULL::uuid,
		jsonb_build_object('slots', (a.at_home * b.at_home)::text, 'shards', jsonb_build_array(a.shard, b.shard))
	FROM st a JOIN st b ON a.server < b.server AND NOT isempty(a.at_home * b.at_home)
		AND (a.system_identifier, a.database) <> (b.system_identifier, b.database)
	UNION ALL
	SELECT 'servers_of_one_shard', ARRAY[a.server, b.server], NULL, jsonb_build_object('shard', a.shard, 'database', a.database)
	FROM st a JOIN st b ON a.server < b.server AND a.shard IS NOT DISTINCT FROM b.shard
		AND (a.system_identifier, a.database) = (b.system_identifier, b.database)
	UNION ALL
	SELECT 'versions_differ', array_agg(st.server ORDER BY st.server), NULL, jsonb_object_agg(st.server, st.version)
	FROM st HAVING count(DISTINCT st.version) > 1;
	IF cardinality(reached) < 2 THEN
		RETURN;
	END IF;
	-- A copy of a shard has its payments, too, under the same ids and not at home: no harm. One request, or one charge of a
	-- bank, that is two payments is harm wherever it is at home.
	SELECT string_agg(format('SELECT %L::text AS server, t.payment_id, t.client_request_id, t.merchant, t.bank, t.bank_reference,'
		' t.at_home FROM pgw_all.%I t', r, 'payments@' || r), ' UNION ALL ') INTO ids FROM unnest(reached) r;
	RETURN QUERY EXECUTE 'WITH p AS MATERIALIZED (' || ids || ')
		SELECT ''payment_at_home_twice'', array_agg(p.server ORDER BY p.server), p.payment_id, ''{}''::jsonb
		FROM p WHERE p.at_home GROUP BY p.payment_id HAVING count(*) > 1
		UNION ALL
		SELECT ''request_paid_twice'', array_agg(DISTINCT p.server), NULL, jsonb_build_object(''client_request_id'', p.client_request_id,
			''merchant'', p.merchant, ''payments'', jsonb_agg(DISTINCT p.payment_id))
		FROM p GROUP BY p.client_request_id, p.merchant HAVING count(DISTINCT p.payment_id) > 1
		UNION ALL
		SELECT ''charge_of_two_payments'', array_agg(DISTINCT p.server), NULL, jsonb_build_object(''bank'', p.bank,
			''bank_reference'', p.bank_reference, ''payments'', jsonb_agg(DISTINCT p.payment_id))
		FROM p WHERE p.bank_reference IS NOT NULL GROUP BY p.bank, p.bank_reference HAVING count(DISTINCT p.payment_id) > 1';
END
$$;
COMMENT ON FUNCTION pgw.global_broken_invariants() IS
	'What must not be of all shards of pgw_all together: slots that two have at home, or none; a request that is two payments; a '
	'charge that two payments name; a shard that could not be asked, which no other row speaks of. No row: all is well.';


-- ==================================================================================================
-- 17  What others put onto pgw's tables: foreign keys, code
-- ==================================================================================================

-- No cast may run in a foreign-key check: the check of a row of somebody's table against pgw's runs with the rights of
-- pgw's owner, and so would a cast function of the author of that table (docs/security.md). So a foreign key to a table
-- of pgw needs columns of exactly the referenced types. pg_depend has an index by the referenced table, pg_constraint
-- has none.
CREATE FUNCTION pgw.foreign_keys_with_casts(OUT constraint_name text, OUT from_table regclass, OUT to_table regclass)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	SELECT DISTINCT c.conname::text, c.conrelid::regclass, c.confrelid::regclass
	FROM pg_extension x
	JOIN pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = x.oid AND m.deptype = 'e'
		AND m.classid = 'pg_class'::regclass
	JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = m.objid AND d.classid = 'pg_constraint'::regclass
	JOIN pg_constraint c ON c.oid = d.objid AND c.contype = 'f' AND c.confrelid = m.objid
	WHERE x.extname = 'pgw' AND EXISTS (
		SELECT FROM unnest(c.conkey, c.confkey) k (here, there)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.here
		JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.there
		WHERE a.atttypid <> b.atttypid)
$$;
COMMENT ON FUNCTION pgw.foreign_keys_with_casts() IS
	'Internal: the foreign keys to tables of pgw whose columns are not of exactly the types that they refer to, so '
	'that a cast would run with the rights of pgw''s owner.';

-- At each statement that can make one, or change the type of its column, by whatever way: also by an ALTER of a parent
-- of its table, or of the type that the table is of. One that this statement has nothing to do with (made while the
-- event trigger was off) is pgw.health()'s to tell. It looks as the owner, whoever runs the statement: nobody else may
-- call what it calls.
CREATE FUNCTION pgw.refuse_foreign_key_casts() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	f record;
BEGIN
	SELECT k.* INTO f
	FROM pgw.foreign_keys_with_casts() k
	WHERE EXISTS (
		WITH RECURSIVE up AS (
			SELECT k.from_table::oid AS oid
			UNION
			SELECT i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.oid
		)
		SELECT FROM up u
		JOIN pg_class c ON c.oid = u.oid
		LEFT JOIN pg_type t ON t.oid = c.reloftype
		JOIN pg_event_trigger_ddl_commands() e ON e.classid = 'pg_class'::regclass AND e.objid IN (c.oid, t.typrelid))
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('a foreign key to %s must have columns of exactly the types that it refers to', f.to_table),
			DETAIL = json_build_object('code', 'foreign_key_needs_cast', 'class', 'business', 'http_status', 422,
				'retryable', false, 'constraint', f.constraint_name, 'table', f.from_table::text),
			HINT = 'Make the column uuid: no domain, no other type. The cast would run with the rights of the owner of pgw.';
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.refuse_foreign_key_casts() IS
	'Event trigger function: refuses a statement that makes a foreign key to a table of pgw that needs a cast.';

CREATE EVENT TRIGGER pgw_refuse_foreign_key_casts ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA', 'ALTER TYPE', 'ALTER DOMAIN', 'CREATE FOREIGN TABLE',
		'ALTER FOREIGN TABLE')
	EXECUTE FUNCTION pgw.refuse_foreign_key_casts();
ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pgw_refuse_foreign_key_casts IS
	'A foreign key to a table of pgw has columns of exactly the referenced types: a cast would run with the rights of '
	'pgw''s owner (docs/security.md).';

-- Nobody's code runs with more rights than its author's. What is on a table (triggers, constraints, defaults, index and
-- statistics expressions, policies, rules, domains of its columns) runs as whoever writes the row: as the owner of pgw
-- in a caller's transaction, as a superuser in the worker. So each function that it uses must be a superuser's, or
-- SECURITY DEFINER, and so run as its own owner (docs/security.md).
-- Touched is what one of the given objects is part of.
CREATE FUNCTION pgw.code_on_tables(classids oid[], objids oid[], OUT on_table regclass, OUT function regprocedure,
	OUT owner regrole, OUT problem text, OUT touched boolean) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
	WITH RECURSIVE given AS MATERIALIZED (
		SELECT g.classid, g.objid FROM unnest($1, $2) g (classid, objid)
	), relation AS (
		SELECT m.objid AS oid, (m.classid, m.objid) IN (SELECT g.classid, g.objid FROM given g) AS touched
		FROM pg_extension x
		JOIN pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = x.oid AND m.deptype = 'e'
			AND m.classid = 'pg_class'::regclass
		WHERE x.extname = 'pgw'
		UNION
		SELECT i.inhrelid, r.touched OR ('pg_class'::regclass, i.inhrelid) IN (SELECT g.classid, g.objid FROM given g)
		FROM relation r JOIN pg_inherits i ON i.inhparent = r.oid
	), placed AS MATERIALIZED (
		-- what stands on a table; the table itself for the types of its columns
		SELECT r.oid AS on_table, o.classid, o.objid, o.deferred,
			r.touched OR (o.classid, o.objid) IN (SELECT g.classid, g.objid FROM given g) AS touched
		FROM relation r
		CROSS JOIN LATERAL (
			SELECT 'pg_class'::regclass, r.oid, false
			UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, false FROM pg_index i WHERE i.indrelid = r.oid
			UNION ALL SELECT 'pg_constraint'::regclass, c.oid, false FROM pg_constraint c WHERE c.conrelid = r.oid
			UNION ALL SELECT 'pg_attrdef'::regclass, a.oid, false FROM pg_attrdef a WHERE a.adrelid = r.oid
			UNION ALL SELECT 'pg_statistic_ext'::regclass, e.oid, false FROM pg_statistic_ext e WHERE e.stxrelid = r.oid
			UNION ALL SELECT 'pg_policy'::regclass, p.oid, false FROM pg_policy p WHERE p.polrelid = r.oid
			UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, false FROM pg_rewrite w WHERE w.ev_class = r.oid
			UNION ALL SELECT 'pg_trigger'::regclass, g.oid, g.tgdeferrable FROM pg_trigger g WHERE g.tgrelid = r.oid
		) o (classid, objid, deferred)
	), uses AS MATERIALIZED (
		-- and what that is made of, where it is neither the server's nor pgw's (objects of the extension are a
		-- superuser's)
		SELECT p.on_table, p.deferred, d.refclassid AS classid, d.refobjid AS objid,
			p.touched OR (d.refclassid, d.refobjid) IN (SELECT g.classid, g.objid FROM given g) AS touched
		FROM placed p
		JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
		WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass,
				'pg_opfamily'::regclass)
			AND NOT EXISTS (SELECT FROM pg_depend m JOIN pg_extension x ON x.oid = m.refobjid AND x.extname = 'pgw'
				WHERE m.classid = d.refclassid AND m.objid = d.refobjid AND m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e')
	), used AS (
		SELECT u.on_table, u.deferred, u.classid, u.objid, u.touched FROM uses u
		UNION
		SELECT u.on_table, u.deferred, o.classid, o.objid,
			u.touched OR (o.classid, o.objid) IN (SELECT g.classid, g.objid FROM given g)
		FROM used u
		CROSS JOIN LATERAL (
			SELECT d.refclassid, d.refobjid FROM pg_depend d
			WHERE d.classid = u.classid AND d.objid = u.objid
				AND d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass,
					'pg_opfamily'::regclass)
			UNION ALL SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c
				WHERE u.classid = 'pg_type'::regclass AND c.contypid = u.objid
			UNION ALL SELECT 'pg_type'::regclass, t.typelem FROM pg_type t
				WHERE u.classid = 'pg_type'::regclass AND t.oid = u.objid AND t.typelem <> 0
			UNION ALL SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t
				WHERE u.classid = 'pg_type'::regclass AND t.oid = u.objid AND t.typrelid <> 0
		) o (classid, objid)
	)
	SELECT DISTINCT u.on_table::regclass, p.oid::regprocedure, p.proowner::regrole,
		CASE WHEN NOT a.rolsuper AND NOT p.prosecdef THEN 'owner' ELSE 'search_path' END, u.touched
	FROM used u
	JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
	JOIN pg_authid a ON a.oid = p.proowner
	WHERE NOT a.rolsuper AND NOT p.prosecdef
		-- From PostgreSQL 18 on, a deferred trigger of a client's COMMIT runs as the owner of pgw, and with the
		-- client's search_path, unless it brings its own.
		OR u.deferred AND p.prorettype = 'trigger'::regtype AND p.oid >= 16384 AND current_setting('server_version_num')::int >= 180000
			AND (p.proconfig IS NULL OR NOT EXISTS (SELECT FROM unnest(p.proconfig) c (setting) WHERE c.setting LIKE 'search_path=%'))
$$;
COMMENT ON FUNCTION pgw.code_on_tables(oid[], oid[]) IS
	'Internal: what pgw.code_of_others() shows, and whether one of these objects has part in it: the function, what '
	'it stands on, or what lies between.';

CREATE FUNCTION pgw.code_of_others(OUT on_table regclass, OUT function regprocedure, OUT owner regrole, OUT problem text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	SELECT c.on_table, c.function, c.owner, c.problem FROM pgw.code_on_tables('{}', '{}') c
$$;
COMMENT ON FUNCTION pgw.code_of_others() IS
	'Internal: the functions that are used on tables of pgw and would run there with more rights than their '
	'owner''s, each with the table that it is used on.';

-- Only what this statement has made or altered: what stands there otherwise (made by REASSIGN OWNED or ALTER ROLE
-- NOSUPERUSER, for which no event trigger fires, or while this one was off) is pgw.health()'s to tell, and nobody's
-- statement about something else fails for it.
CREATE FUNCTION pgw.refuse_code_of_others() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	c record;
BEGIN
	-- A superuser's functions are most of them: extensions make thousands.
	IF TG_TAG ~ ' (FUNCTION|PROCEDURE|ROUTINE|AGGREGATE)$' AND NOT EXISTS (
			SELECT FROM pg_event_trigger_ddl_commands() e
			JOIN pg_proc p ON p.oid = e.objid
			JOIN pg_authid a ON a.oid = p.proowner
			WHERE NOT a.rolsuper OR p.proconfig IS NULL AND p.prorettype = 'trigger'::regtype) THEN
		RETURN;
	END IF;
	SELECT f.* INTO c
	FROM (SELECT array_agg(e.classid) AS classids, array_agg(e.objid) AS objids FROM pg_event_trigger_ddl_commands() e) s
	CROSS JOIN LATERAL pgw.code_on_tables(s.classids, s.objids) f
	WHERE f.touched LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('function %s may not run on %s', c.function, c.on_table),
			DETAIL = json_build_object('code', 'code_of_others', 'class', 'business', 'http_status', 422,
				'retryable', false, 'function', c.function::text, 'table', c.on_table::text, 'owner', c.owner::text,
				'reason', c.problem),
			HINT = CASE c.problem
				WHEN 'owner' THEN
					'It would run with the rights of the owner of pgw: make it SECURITY DEFINER, or have a superuser own it.'
				ELSE
					'It is deferred, and would run with the search_path of whoever commits: '
					'give it one of its own, with SET search_path.'
			END;
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.refuse_code_of_others() IS
	'Event trigger function: refuses a statement that has a function run on a table of pgw with more rights than its '
	'owner''s.';

CREATE EVENT TRIGGER pgw_refuse_code_of_others ON ddl_command_end
	WHEN TAG IN ('CREATE TRIGGER', 'ALTER TABLE', 'CREATE TABLE', 'CREATE INDEX', 'CREATE STATISTICS', 'CREATE POLICY',
		'ALTER POLICY', 'CREATE RULE', 'ALTER DOMAIN', 'ALTER TYPE', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER PROCEDURE',
		'ALTER ROUTINE', 'ALTER AGGREGATE', 'CREATE AGGREGATE')
	EXECUTE FUNCTION pgw.refuse_code_of_others();
ALTER EVENT TRIGGER pgw_refuse_code_of_others ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pgw_refuse_code_of_others IS
	'Functions that are used on tables of pgw are a superuser''s or SECURITY DEFINER: nobody''s code runs with more '
	'rights than its author''s (docs/security.md).';


-- ==================================================================================================
-- 18  Consistency: what the tables promise one another
--
--  One query over one snapshot. Every commit of pgw leaves the view empty, also while payments are under way. docs/sql-
--  reference.md says what each check means.
-- ==================================================================================================

-- the table of src/core/state/state_machine.c
CREATE FUNCTION pgw.legal_steps()
RETURNS TABLE (kind pgw.operation_kind, event_type pgw.event_type, from_status pgw.transaction_status, to_status pgw.transaction_status)
AS 'MODULE_PATHNAME', 'pgw_legal_steps_1_0' LANGUAGE C STABLE PARALLEL SAFE ROWS 200;
COMMENT ON FUNCTION pgw.legal_steps() IS
	'Internal: the steps that an attempt may make: the table of docs/state-machine.md. from_status is NULL before '
	'the first step.';

CREATE FUNCTION pgw.rebuild_status(transaction_id uuid) RETURNS pgw.transaction_status
AS 'MODULE_PATHNAME', 'pgw_rebuild_status_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.rebuild_status IS
	'The state that an attempt''s events lead to; an error where a step is missing or illegal. It changes nothing.';

CREATE FUNCTION pgw.rebuild_payment(payment_id uuid, OUT transaction_id uuid, OUT status pgw.payment_status, OUT amount bigint,
	OUT currency text, OUT authorized_amount bigint, OUT captured_amount bigint, OUT reserved_amount bigint,
	OUT refunded_amount bigint, OUT refund_pending_amount bigint, OUT given_back_amount bigint,
	OUT capture_pending_amount bigint, OUT bank_captured_amount bigint, OUT bank_refunded_amount bigint,
	OUT disputed_amount bigint) RETURNS record
AS 'MODULE_PATHNAME', 'pgw_rebuild_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.rebuild_payment IS
	'What a payment stands at by the events of its attempts alone: status and amounts as in payments, and what pgw has '
	'given back by itself. It changes nothing.';

CREATE FUNCTION pgw.is_decline(error_code text) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgw_is_decline_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgw.is_decline(text) IS
	'Internal: does this error_code say that the issuer or the bank''s rules declined the payment? No for NULL.';

CREATE VIEW pgw.broken_invariants AS
WITH event AS (
	-- ordered, so that the index of each partition is read and nothing is sorted or kept
	SELECT e.transaction_id, e.step_order, e.event_type, e.txid, e.from_status::text, e.to_status::text,
		CASE WHEN e.event_type = 'TransactionStarted' THEN e.event_data END AS started, e.payment_id, e.correlation_id, e.digest,
		CASE WHEN e.event_type IN ('BankProcessingFailed', 'TransactionFailed') THEN e.event_data->>'error_code' END AS failed_with,
		CASE WHEN e.event_type IN ('DisputeWithdrawn', 'DisputeReinstated') THEN (e.event_data->>'taken')::numeric END AS taken
	FROM pgw.transaction_events e
	ORDER BY e.transaction_id, e.step_order
), chain AS (
	SELECT e.*, lag(e.step_order) OVER w AS before_step, lag(e.from_status) OVER w AS before_from, lag(e.to_status) OVER w AS before_to,
		lag(e.txid) OVER w AS before_txid, lead(e.step_order) OVER w IS NULL AS last
	FROM event e
	WINDOW w AS (PARTITION BY e.transaction_id ORDER BY e.step_order)
), history AS (
	-- A legal step is on an edge of the table and begins where the step before it has led to, or is of one commit and
	-- on one edge with it: the rule of core/state/state_from_events.c. After a gap only the edge can be told.
	SELECT c.transaction_id, count(*) AS events, max(c.step_order) AS steps, max(c.to_status) FILTER (WHERE c.last) AS status,
		min(c.step_order) FILTER (WHERE c.step_order <> coalesce(c.before_step, 0) + 1) AS after_gap,
		min(c.step_order) FILTER (WHERE (t.kind, c.event_type, coalesce(c.from_status, ''), c.to_status) NOT IN
				(SELECT l.kind, l.event_type, coalesce(l.from_status::text, ''), l.to_status::text FROM pgw.legal_steps() l)
			OR c.step_order = coalesce(c.before_step, 0) + 1 AND coalesce(c.from_status, '') <> coalesce(c.before_to, '')
				AND (c.from_status = c.before_from AND c.to_status = c.before_to AND c.txid = c.before_txid) IS NOT TRUE) AS illegal,
		min(c.step_order) FILTER (WHERE c.event_type = 'BankProcessingStarted') AS charge_sent,
		min(c.step_order) FILTER (WHERE c.event_type IN ('BankProcessingCompleted', 'BankProcessingPending', 'BankOutcomeUnknown',
			'BankOutcomeUnacceptable', 'BankStatusChecked')) AS charge_answered,
		min(c.step_order) FILTER (WHERE c.event_type IN ('LateApprovalReceived', 'RefundReversed')) AS late,
		min(c.step_order) FILTER (WHERE c.event_type = 'CaptureStarted') AS capture_sent,
		min(c.step_order) FILTER (WHERE c.event_type IN ('CaptureCompleted', 'CaptureFailed', 'CaptureReversed') AND t.kind = 'payment')
			AS capture_answered,
		min(c.step_order) FILTER (WHERE c.event_type = 'RefundStarted') AS refund_sent,
		min(c.step_order) FILTER (WHERE c.event_type IN ('RefundCompleted', 'RefundFailed', 'RefundPending', 'RefundOutcomeUnknown'))
			AS refund_answered,
		(array_agg(c.started) FILTER (WHERE c.step_order = 1 AND c.event_type = 'TransactionStarted'))[1] AS started,
		(array_agg(c.payment_id) FILTER (WHERE c.step_order = 1))[1] AS payment_id,
		(array_agg(c.correlation_id) FILTER (WHERE c.step_order = 1))[1] AS correlation_id,
		(array_agg(c.digest) FILTER (WHERE c.step_order = 1))[1] AS digest,
		bool_or(c.to_status IN ('Saved', 'Completed')) AS saved,
		bool_or(c.to_status IN ('Failed', 'Refunding', 'Refunded')) AS in_vain,
		bool_or(pgw.is_decline(c.failed_with)) FILTER (WHERE c.failed_with IS NOT NULL) AS declined,
		bool_or(c.to_status = 'RequiresManualReview') AS reviewed,
		bool_or(c.event_type = 'AuthorizationExpired') AS expired, coalesce(sum(c.taken), 0) AS disputed,
		-- Saved, and the bank may still fail it; or in review since
		coalesce(max(c.step_order) FILTER (WHERE c.event_type = 'BankAccepted'), 0)
			> coalesce(max(c.step_order) FILTER (WHERE c.to_status NOT IN ('Saved', 'RequiresManualReview')
				OR c.event_type IN ('PaymentDataSaveCompleted', 'ManualReviewResolved')), 0) AS accepted
	FROM chain c
	LEFT JOIN pgw.payment_transactions t ON t.transaction_id = c.transaction_id
	GROUP BY c.transaction_id
), told AS (
	-- what the events of each attempt tell, whatever its row says
	SELECT h.transaction_id, h.status, h.saved, h.in_vain, h.declined, h.reviewed, h.expired, h.disputed,
		h.started->>'operation' AS operation,
		CASE jsonb_typeof(h.started->'amount') WHEN 'number' THEN (h.started->>'amount')::numeric ELSE 0 END AS amount,
		coalesce(h.started->>'capture', '') = 'on_commit' AS on_commit, h.started->'final' IS DISTINCT FROM 'false' AS final,
		coalesce(h.started->>'origin', '') = 'bank' AS by_bank,
		h.accepted, h.status IN ('Saved', 'Completed') AND NOT h.accepted AS done,
		h.status NOT IN ('Saved', 'Completed', 'Failed') OR h.accepted AS under_way,
		h.after_gap IS NULL AND h.illegal IS NULL AS sound
	FROM history h
), operated AS (
	-- the rows of the attempts tell only whose they are
	SELECT t.payment_id,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'capture' AND d.done AND NOT d.by_bank), 0) AS captured,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'capture' AND d.done AND d.by_bank), 0) AS bank_captured,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'refund' AND d.done AND d.by_bank), 0) AS bank_refunded,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'capture' AND d.accepted), 0) AS capture_pending,
		coalesce(sum(d.amount) FILTER (WHERE d.operation IN ('capture', 'void') AND d.under_way
			AND NOT (d.operation = 'capture' AND d.accepted)), 0) AS reserved,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'refund' AND d.done AND NOT d.by_bank), 0) AS refunded,
		coalesce(sum(d.amount) FILTER (WHERE d.operation = 'refund' AND d.under_way), 0) AS refund_pending,
		bool_or(d.operation = 'capture' AND d.done AND d.final AND NOT d.by_bank) AS closed,
		bool_or(d.operation = 'void' AND d.done) AS voided, bool_and(d.sound) AS sound
	FROM told d
	JOIN pgw.payment_transactions t ON t.transaction_id = d.transaction_id
	WHERE t.kind <> 'payment'
	GROUP BY t.payment_id
), amounts AS (
	-- of what was kept; the rule of core/payment/payment_from_events.c
	SELECT p.payment_id, d.status, d.in_vain, d.declined, d.reviewed, d.expired, d.saved AND NOT d.in_vain AS kept,
		k.kept * d.amount AS authorized,
		k.kept * (k.captured * d.amount + coalesce(o.captured, 0)) AS captured,
		k.kept * (k.capture_pending * d.amount + coalesce(o.capture_pending, 0)) AS capture_pending,
		k.kept * (k.reserved * d.amount + coalesce(o.reserved, 0)) AS reserved,
		k.kept * coalesce(o.refunded, 0) AS refunded, k.kept * coalesce(o.refund_pending, 0) AS refund_pending,
		k.kept * coalesce(o.bank_captured, 0) AS bank_captured, k.kept * coalesce(o.bank_refunded, 0) AS bank_refunded,
		k.kept * d.disputed AS disputed,
		coalesce(o.closed, false) AS closed, coalesce(o.voided, false) AS voided
	FROM pgw.payments p
	JOIN told d ON d.transaction_id = p.transaction_id
	LEFT JOIN operated o ON o.payment_id = p.payment_id
	CROSS JOIN LATERAL (SELECT (d.saved AND NOT d.in_vain)::int AS kept,
		(d.operation = 'charge' OR d.on_commit AND d.status = 'Completed')::int AS captured,
		(d.operation <> 'charge' AND d.on_commit AND d.status <> 'Completed' AND d.accepted)::int AS capture_pending,
		(d.operation <> 'charge' AND d.on_commit AND d.status <> 'Completed' AND NOT d.accepted)::int AS reserved) k
	-- else that is said above, and there is nothing to rebuild
	WHERE d.sound AND o.sound IS NOT FALSE
), rebuilt AS (
	SELECT a.*, CASE
			WHEN a.in_vain THEN CASE WHEN a.declined THEN 'declined' ELSE 'failed' END
			WHEN NOT a.kept THEN CASE WHEN a.reviewed THEN 'in_review' ELSE 'pending' END
			WHEN a.captured + a.bank_captured = 0
				THEN CASE WHEN a.expired THEN 'expired' WHEN a.voided THEN 'voided' ELSE 'authorized' END
			WHEN NOT a.closed AND NOT a.expired AND a.captured + a.bank_captured < a.authorized THEN 'partially_captured'
			WHEN a.refunded + a.bank_refunded = 0 THEN 'captured'
			WHEN a.refunded + a.bank_refunded < a.captured + a.bank_captured THEN 'partially_refunded'
			ELSE 'refunded'
		END AS payment_status
	FROM amounts a
), bank_key AS NOT MATERIALIZED (
	-- of the operation itself, of giving back, and of the capture after the commit
	SELECT t.bank, coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) AS key, t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t
	UNION ALL
	SELECT t.bank, t.refund_key, t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t WHERE t.refund_key IS NOT NULL
	UNION ALL
	SELECT t.bank, t.capture_key, t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t WHERE t.capture_key IS NOT NULL
), charge AS NOT MATERIALIZED (
	SELECT coalesce(v.account, t.bank) AS account, t.bank_reference, t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t
	LEFT JOIN pgw.bank_versions v ON v.version = t.bank_version
	WHERE t.kind = 'payment' AND t.status IN ('Saved', 'Completed')
)
-- An attempt and its events
SELECT b.check_name, t.payment_id, coalesce(t.transaction_id, h.transaction_id) AS transaction_id, t.merchant, b.details
FROM history h
FULL JOIN pgw.payment_transactions t ON t.transaction_id = h.transaction_id
CROSS JOIN LATERAL (
	-- event_without_transaction: there are events of an attempt that is not there.
	SELECT 'event_without_transaction', jsonb_build_object('events', h.events)
	WHERE t.transaction_id IS NULL
	UNION ALL
	-- transaction_without_events: an attempt has none.
	SELECT 'transaction_without_events', jsonb_build_object('status', t.status, 'step_order', t.step_order)
	WHERE h.transaction_id IS NULL
	UNION ALL
	-- step_missing: the steps are not 1, 2, 3 and so on.
	SELECT 'step_missing', jsonb_build_object('before_step', h.after_gap, 'events', h.events)
	WHERE h.after_gap IS NOT NULL AND t.transaction_id IS NOT NULL
	UNION ALL
	-- step_illegal: a step may not follow on the one before, or its event may not stand on its edge.
	SELECT 'step_illegal', jsonb_build_object('step', h.illegal)
	WHERE h.illegal IS NOT NULL AND t.transaction_id IS NOT NULL
	UNION ALL
	-- status_differs: the stored status is not the one that the events lead to.
	SELECT 'status_differs', jsonb_build_object('status', t.status, 'by_events', h.status)
	WHERE (t.status::text = h.status) IS NOT TRUE AND t.transaction_id IS NOT NULL AND h.transaction_id IS NOT NULL
	UNION ALL
	-- request_differs: the first event tells of another request than the row.
	SELECT 'request_differs', jsonb_build_object('differ', to_jsonb(x.differ))
	FROM (SELECT array_remove(ARRAY[
		CASE WHEN h.started->'amount' IS DISTINCT FROM to_jsonb(t.amount) THEN 'amount' END,
		CASE WHEN h.started->>'currency' IS DISTINCT FROM t.currency THEN 'currency' END,
		CASE WHEN h.started->>'merchant' IS DISTINCT FROM t.merchant THEN 'merchant' END,
		CASE WHEN h.started->>'client_request_id' IS DISTINCT FROM t.client_request_id THEN 'client_request_id' END,
		-- a retry has taken it over for another payment
		CASE WHEN h.payment_id IS DISTINCT FROM t.payment_id AND t.kind <> 'payment' THEN 'payment_id' END,
		CASE WHEN h.correlation_id IS DISTINCT FROM t.correlation_id THEN 'correlation_id' END,
		CASE WHEN (h.started->>'operation' = ANY (CASE t.kind WHEN 'payment' THEN '{charge,authorize}' ELSE ARRAY[t.kind::text] END))
			IS NOT TRUE THEN 'operation' END,
		CASE WHEN h.digest IS DISTINCT FROM sha256(convert_to(CASE t.kind
			WHEN 'payment' THEN concat_ws(E'\n', t.amount, t.currency, coalesce(t.token, ''),
				CASE WHEN t.token IS NULL THEN coalesce(t.card_last4, '') ELSE '' END,
				CASE WHEN t.token IS NULL THEN coalesce(t.card_expiry_month, 0) ELSE 0 END,
				CASE WHEN t.token IS NULL THEN coalesce(t.card_expiry_year, 0) % 100 ELSE 0 END,
				coalesce(t.bank_requested, ''), t.capture, coalesce(t.reference, ''), t.livemode::int)
			ELSE concat_ws(E'\n', t.payment_id, t.amount, t.final_capture::int, coalesce(t.reason, '')) END, 'UTF8'))
			THEN 'digest' END], NULL) AS differ) x
	WHERE h.started IS NOT NULL AND t.transaction_id IS NOT NULL AND x.differ <> '{}'
	UNION ALL
	-- step_order_differs: the stored number of steps is not that of the events.
	SELECT 'step_order_differs', jsonb_build_object('step_order', t.step_order, 'by_events', h.steps)
	WHERE t.step_order <> h.steps
	UNION ALL
	-- answer_without_intent: the bank answered, and no event says that it was asked.
	SELECT 'answer_without_intent', jsonb_build_object('step', x.step)
	FROM (VALUES (h.charge_answered, h.charge_sent), (h.capture_answered, h.capture_sent),
		(h.refund_answered, h.refund_sent)) x (step, sent)
	WHERE x.step < coalesce(x.sent, h.steps + 1) AND t.transaction_id IS NOT NULL
	UNION ALL
	-- live_attempt_not_taken: it is outside of the index that keeps a second one of its id away. What comes back to
	-- life late may have a successor.
	SELECT 'live_attempt_not_taken', jsonb_build_object('status', t.status)
	WHERE NOT t.live AND h.late IS NULL
		AND (t.status NOT IN ('Created', 'Failed', 'Refunded') OR t.status = 'Created' AND h.charge_sent IS NOT NULL)
	UNION ALL
	-- attempt_never_due: a submitted attempt that nobody would ever take.
	SELECT 'attempt_never_due', jsonb_build_object('status', t.status)
	WHERE NOT t.live AND t.status = 'Created' AND t.next_step_at IS NULL
	UNION ALL
	-- unacceptable_approval_kept: the bank approved another amount or currency, and that was kept.
	SELECT 'unacceptable_approval_kept', jsonb_build_object('amount', t.amount, 'currency', t.currency,
		'approved_amount', t.approved_amount, 'approved_currency', t.approved_currency)
	WHERE t.status IN ('Saved', 'Completed') AND (t.approved_amount <> t.amount OR t.approved_currency <> t.currency)
) b (check_name, details)

UNION ALL
-- A payment and the attempt that it names
SELECT b.check_name, coalesce(p.payment_id, t.payment_id), coalesce(p.transaction_id, t.transaction_id),
	CASE WHEN (p.merchant <> t.merchant) IS NOT TRUE THEN coalesce(p.merchant, t.merchant) END, b.details
FROM pgw.payments p
FULL JOIN (
	-- charged: the payments row has to say so. A review keeps what its attempt had come to.
	SELECT t.*, CASE t.status
			WHEN 'Saved' THEN true
			WHEN 'Completed' THEN true
			WHEN 'RequiresManualReview' THEN 'Saved' = (SELECT e.from_status FROM pgw.transaction_events e
				WHERE e.transaction_id = t.transaction_id ORDER BY e.step_order DESC LIMIT 1)
			ELSE false
		END AS charged
	FROM pgw.payment_transactions t
) t ON t.transaction_id = p.transaction_id
LEFT JOIN (
	-- Saved is done, unless the bank has only accepted it; what is neither done nor Failed is in doubt
	SELECT o.payment_id,
		sum(o.amount) FILTER (WHERE o.kind = 'capture' AND d.done AND o.origin IS NULL) AS captured,
		sum(o.amount) FILTER (WHERE o.kind = 'refund' AND d.done AND o.origin IS NULL) AS refunded,
		sum(o.amount) FILTER (WHERE o.kind = 'capture' AND d.done AND o.origin = 'bank') AS bank_captured,
		sum(o.amount) FILTER (WHERE o.kind = 'refund' AND d.done AND o.origin = 'bank') AS bank_refunded,
		sum(o.amount) FILTER (WHERE o.kind = 'refund' AND NOT d.done AND o.status <> 'Failed') AS refund_pending,
		sum(o.amount) FILTER (WHERE o.kind = 'capture' AND d.accepted) AS capture_pending,
		sum(o.amount) FILTER (WHERE o.kind IN ('capture', 'void') AND NOT d.done AND o.status <> 'Failed'
			AND NOT (o.kind = 'capture' AND d.accepted)) AS reserved,
		bool_or(o.kind = 'void' AND d.done) AS voided
	FROM pgw.payment_transactions o
	CROSS JOIN LATERAL (SELECT o.status = 'Completed' OR o.status = 'Saved' AND o.accepted_at IS NULL AS done,
		o.accepted_at IS NOT NULL AND CASE o.status
			WHEN 'Saved' THEN true
			WHEN 'RequiresManualReview' THEN 'Saved' = (SELECT e.from_status FROM pgw.transaction_events e
				WHERE e.transaction_id = o.transaction_id ORDER BY e.step_order DESC LIMIT 1)
			ELSE false
		END AS accepted) d
	WHERE o.kind <> 'payment'
	GROUP BY o.payment_id
) o ON o.payment_id = p.payment_id
CROSS JOIN LATERAL (
	-- payment_without_transaction: the payment's attempt is not there.
	SELECT 'payment_without_transaction', jsonb_build_object('status', p.status)
	WHERE t.transaction_id IS NULL
	UNION ALL
	-- payment_names_other: the attempt that the payment names is not its own.
	SELECT 'payment_names_other', jsonb_build_object('differ', to_jsonb(array_remove(ARRAY[
		CASE WHEN t.kind <> 'payment' THEN 'kind' END, CASE WHEN t.payment_id <> p.payment_id THEN 'payment_id' END,
		CASE WHEN t.merchant <> p.merchant THEN 'merchant' END,
		CASE WHEN t.client_request_id <> p.client_request_id THEN 'client_request_id' END,
		CASE WHEN t.amount <> p.amount THEN 'amount' END, CASE WHEN t.currency <> p.currency THEN 'currency' END,
		CASE WHEN t.capture <> p.capture THEN 'capture' END], NULL)))
	WHERE p.payment_id IS NOT NULL AND (t.kind <> 'payment' OR t.payment_id <> p.payment_id OR t.merchant <> p.merchant
		OR t.client_request_id <> p.client_request_id OR t.amount <> p.amount OR t.currency <> p.currency OR t.capture <> p.capture)
	UNION ALL
	-- payment_without_charge: the payment says that money was taken or reserved, and its attempt has not come to that.
	SELECT 'payment_without_charge', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status NOT IN ('pending', 'declined', 'failed', 'in_review') AND NOT t.charged
	UNION ALL
	-- charge_differs: payment and attempt name different banks or charges.
	SELECT 'charge_differs', jsonb_build_object('bank', p.bank, 'transaction_bank', t.bank, 'bank_reference', p.bank_reference,
		'transaction_bank_reference', t.bank_reference)
	WHERE p.status NOT IN ('pending', 'declined', 'failed', 'in_review')
		AND (p.bank IS DISTINCT FROM t.bank OR p.bank_reference IS DISTINCT FROM t.bank_reference) AND t.transaction_id IS NOT NULL
	UNION ALL
	-- charge_without_payment: the attempt was kept, and no payment names it.
	SELECT 'charge_without_payment', jsonb_build_object('transaction_status', t.status)
	WHERE p.payment_id IS NULL AND t.charged AND t.kind = 'payment'
	UNION ALL
	-- charge_denied: the attempt was kept, and its payment says that nothing was taken.
	SELECT 'charge_denied', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status IN ('pending', 'declined', 'failed', 'in_review') AND t.status IN ('Saved', 'Completed')
	UNION ALL
	-- unknown_told_as_failed: the payment has failed, and its attempt is still open.
	SELECT 'unknown_told_as_failed', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status IN ('declined', 'failed') AND t.status IN ('Created', 'BankUnknown')
	UNION ALL
	-- payment_outdated: the worker needs a moment; a caller whose PREPAREd transaction is committed late is found when
	-- the attempt is looked at next.
	SELECT 'payment_outdated', jsonb_build_object('status', p.status, 'transaction_status', t.status, 'since', t.updated_at)
	WHERE (p.status = 'pending' AND t.status IN ('BankApproved', 'Failed', 'Refunded', 'RequiresManualReview')
			OR p.status = 'in_review' AND t.status IN ('Failed', 'Refunded'))
		AND greatest(p.updated_at, t.updated_at) < clock_timestamp() - interval '1 minute'
		AND (t.next_step_at BETWEEN clock_timestamp() - interval '10 minutes'
			AND clock_timestamp() + interval '10 minutes') IS NOT TRUE
	UNION ALL
	-- amounts_disagree: the amounts do not fit the payment's status.
	SELECT 'amounts_disagree', jsonb_build_object('status', p.status, 'amount', p.amount, 'authorized_amount', p.authorized_amount,
		'captured_amount', p.captured_amount, 'refunded_amount', p.refunded_amount)
	FROM (SELECT p.captured_amount + coalesce(p.bank_captured_amount, 0) AS captured,
		p.refunded_amount + coalesce(p.bank_refunded_amount, 0) AS refunded) a
	WHERE NOT CASE p.status
		WHEN 'pending' THEN p.authorized_amount = 0 AND a.captured = 0
		WHEN 'declined' THEN p.authorized_amount = 0 AND a.captured = 0
		WHEN 'failed' THEN a.captured = a.refunded
		WHEN 'in_review' THEN a.captured = 0
		WHEN 'authorized' THEN p.authorized_amount = p.amount AND a.captured = 0
		WHEN 'partially_captured' THEN a.captured > 0 AND a.captured < p.amount
		WHEN 'captured' THEN a.captured > 0 AND (a.captured >= p.amount OR p.capture = 'manual') AND a.refunded = 0
		WHEN 'partially_refunded' THEN a.refunded > 0 AND a.refunded < a.captured
		-- of what pgw gives back no more than all; of what the bank does, as it reports it
		WHEN 'refunded' THEN a.refunded > 0 AND (a.refunded = a.captured OR a.refunded > a.captured AND p.bank_refunded_amount > 0)
		WHEN 'voided' THEN a.captured = 0
		WHEN 'expired' THEN a.captured = 0
	END
	UNION ALL
	-- refunds_exceed_capture: more is given back, or claimed for that, than was captured.
	SELECT 'refunds_exceed_capture', jsonb_build_object('captured_amount', p.captured_amount, 'refunded_amount', p.refunded_amount,
		'refund_pending_amount', p.refund_pending_amount)
	WHERE p.refund_pending_amount - coalesce(p.bank_captured_amount, 0) > p.captured_amount - p.refunded_amount
	UNION ALL
	-- capture_missing: the attempt is Completed, and what was to be captured is only authorized.
	SELECT 'capture_missing', jsonb_build_object('status', p.status, 'capture', p.capture)
	WHERE p.status = 'authorized' AND p.capture <> 'manual' AND t.status = 'Completed'
	UNION ALL
	-- reserved_differs: the claim is not that of the captures and voids. The capture after the commit of an on_commit
	-- payment claims all of it.
	SELECT 'reserved_differs', jsonb_build_object('reserved_amount', p.reserved_amount, 'by_transactions', coalesce(o.reserved, 0))
	WHERE p.reserved_amount <> CASE
		WHEN p.capture = 'on_commit' AND p.status = 'authorized' THEN p.authorized_amount - p.capture_pending_amount
		ELSE coalesce(o.reserved, 0) END
	UNION ALL
	-- capture_pending_differs: the pending amount is not that of the captures that the bank has accepted and not done.
	SELECT 'capture_pending_differs', jsonb_build_object('capture_pending_amount', p.capture_pending_amount,
		'by_transactions', x.pending)
	FROM (SELECT CASE WHEN p.capture <> 'on_commit' THEN coalesce(o.capture_pending, 0)
		WHEN p.status = 'authorized' AND t.accepted_at IS NOT NULL THEN p.authorized_amount ELSE 0 END AS pending) x
	WHERE p.capture_pending_amount <> x.pending
	UNION ALL
	-- captures_differ: the captured amount is not that of the captures.
	SELECT 'captures_differ', jsonb_build_object('captured_amount', p.captured_amount, 'by_transactions', coalesce(o.captured, 0))
	WHERE p.capture = 'manual' AND p.captured_amount <> coalesce(o.captured, 0)
	UNION ALL
	-- refunds_differ: the refunded or pending amount is not that of the refunds.
	SELECT 'refunds_differ', jsonb_build_object('refunded_amount', p.refunded_amount, 'refund_pending_amount', p.refund_pending_amount,
		'by_transactions', coalesce(o.refunded, 0), 'pending_by_transactions', coalesce(o.refund_pending, 0))
	WHERE p.refunded_amount <> coalesce(o.refunded, 0) OR p.refund_pending_amount <> coalesce(o.refund_pending, 0)
	UNION ALL
	-- made_at_bank_differs: what the bank has done without pgw is not that of the attempts of origin bank.
	SELECT 'made_at_bank_differs', jsonb_build_object('bank_captured_amount', p.bank_captured_amount,
		'bank_refunded_amount', p.bank_refunded_amount, 'captured_by_transactions', o.bank_captured,
		'refunded_by_transactions', o.bank_refunded)
	WHERE p.bank_captured_amount IS DISTINCT FROM o.bank_captured OR p.bank_refunded_amount IS DISTINCT FROM o.bank_refunded
	UNION ALL
	-- disputes_differ: what disputes have taken is not that of pgw.disputes.
	SELECT 'disputes_differ', jsonb_build_object('disputed_amount', p.disputed_amount, 'by_disputes', x.taken)
	FROM (SELECT nullif(sum(greatest(d.withdrawn_amount - d.reinstated_amount, 0)), 0) AS taken FROM pgw.disputes d
		WHERE d.payment_id = p.payment_id) x
	WHERE p.disputed_amount IS DISTINCT FROM x.taken AND p.payment_id IS NOT NULL
	UNION ALL
	-- void_differs: voided without a void, or the other way round. A void that came too late has found the
	-- authorization expired.
	SELECT 'void_differs', jsonb_build_object('status', p.status, 'by_transactions', coalesce(o.voided, false))
	WHERE p.status = 'voided' AND NOT coalesce(o.voided, false) OR o.voided AND p.status NOT IN ('voided', 'expired')
) b (check_name, details)

UNION ALL
-- payment_differs: the payment's status or amounts are not those that the events lead to. What becomes of an attempt in
-- vain, or goes to review, is written into a pending row in a moment: see payment_outdated; and that row may then say
-- failed of a charge that was declined and has turned up since.
SELECT 'payment_differs', p.payment_id, p.transaction_id, p.merchant, jsonb_build_object(
	'stored', jsonb_build_object('status', p.status, 'authorized_amount', p.authorized_amount, 'captured_amount', p.captured_amount,
		'capture_pending_amount', p.capture_pending_amount, 'reserved_amount', p.reserved_amount,
		'refunded_amount', p.refunded_amount, 'refund_pending_amount', p.refund_pending_amount,
		'bank_captured_amount', coalesce(p.bank_captured_amount, 0), 'bank_refunded_amount', coalesce(p.bank_refunded_amount, 0),
		'disputed_amount', coalesce(p.disputed_amount, 0)),
	'by_events', jsonb_build_object('status', r.payment_status, 'authorized_amount', r.authorized, 'captured_amount', r.captured,
		'capture_pending_amount', r.capture_pending, 'reserved_amount', r.reserved,
		'refunded_amount', r.refunded, 'refund_pending_amount', r.refund_pending,
		'bank_captured_amount', r.bank_captured, 'bank_refunded_amount', r.bank_refunded, 'disputed_amount', r.disputed))
FROM pgw.payments p
JOIN rebuilt r ON r.payment_id = p.payment_id
WHERE (p.authorized_amount, p.captured_amount, p.capture_pending_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount,
		coalesce(p.bank_captured_amount, 0), coalesce(p.bank_refunded_amount, 0), coalesce(p.disputed_amount, 0))
		IS DISTINCT FROM (r.authorized, r.captured, r.capture_pending, r.reserved, r.refunded, r.refund_pending, r.bank_captured,
			r.bank_refunded, r.disputed)
	OR p.status::text <> r.payment_status
		AND NOT (p.status IN ('pending', 'in_review') AND NOT r.kept)
		AND NOT (p.status = 'failed' AND r.payment_status = 'declined' AND r.status <> 'Failed')

UNION ALL
-- An attempt and the payment that it was accepted for: only a caller's own charge may have lost its row, by rollback
SELECT b.check_name, t.payment_id, t.transaction_id, CASE WHEN (p.merchant <> t.merchant) IS NOT TRUE THEN t.merchant END, b.details
FROM pgw.payment_transactions t
LEFT JOIN pgw.payments p ON p.payment_id = t.payment_id
CROSS JOIN LATERAL (
	-- transaction_without_payment: only a caller's own charge may have lost its row, by rollback.
	SELECT 'transaction_without_payment', jsonb_build_object('kind', t.kind, 'status', t.status)
	WHERE p.payment_id IS NULL AND (t.submitted OR t.kind <> 'payment')
	UNION ALL
	-- transaction_of_other_payment: the payments row of a capture, void, refund or earlier attempt is another one's.
	SELECT 'transaction_of_other_payment', jsonb_build_object('differ', to_jsonb(array_remove(ARRAY[
		CASE WHEN t.merchant <> p.merchant THEN 'merchant' END, CASE WHEN t.currency <> p.currency THEN 'currency' END,
		CASE WHEN t.kind = 'payment' AND t.client_request_id <> p.client_request_id THEN 'client_request_id' END,
		CASE WHEN t.kind <> 'payment' AND t.bank IS DISTINCT FROM p.bank THEN 'bank' END], NULL)))
	WHERE t.transaction_id <> p.transaction_id AND (t.merchant <> p.merchant OR t.currency <> p.currency
		OR t.kind = 'payment' AND t.client_request_id <> p.client_request_id
		OR t.kind <> 'payment' AND t.bank IS DISTINCT FROM p.bank)
) b (check_name, details)

UNION ALL
-- What is open, and pgw.open_work
SELECT b.check_name, t.payment_id, coalesce(t.transaction_id, w.transaction_id), t.merchant, b.details
FROM pgw.open_work w
FULL JOIN (SELECT a.*, a.status NOT IN ('Completed', 'Failed', 'Refunded') OR a.next_step_at IS NOT NULL AS open
	FROM pgw.payment_transactions a) t ON t.transaction_id = w.transaction_id
CROSS JOIN LATERAL (
	-- open_work_missing: the worker would not find it again: it is open, older than the mark, and has no row.
	SELECT 'open_work_missing', jsonb_build_object('status', t.status, 'next_step_at', t.next_step_at)
	WHERE w.transaction_id IS NULL AND t.open AND t.transaction_id < (SELECT m.below FROM pgw.open_work_mark m)
	UNION ALL
	-- open_work_without_transaction: a row is of no attempt.
	SELECT 'open_work_without_transaction', jsonb_build_object('status', w.status)
	WHERE t.transaction_id IS NULL
	UNION ALL
	-- open_work_differs: a row does not say what its attempt does. What a caller has just ended may.
	SELECT 'open_work_differs', jsonb_build_object('status', w.status, 'transaction_status', t.status,
		'next_step_at', w.next_step_at, 'transaction_next_step_at', t.next_step_at)
	WHERE t.transaction_id IS NOT NULL AND NOT w.left_to_caller AND (NOT t.open
		OR (w.kind, w.merchant, w.submitted_by, w.expires_at, w.bank, w.begun, w.status, w.next_step_at, w.put_off_since)
		IS DISTINCT FROM (t.kind, t.merchant, t.submitted_by, t.expires_at, t.bank, t.live OR t.status <> 'Created', t.status,
			t.next_step_at, t.put_off_since))
) b (check_name, details)

UNION ALL
-- merchant_missing: what a foreign key would say.
SELECT 'merchant_missing', t.payment_id, t.transaction_id, t.merchant, jsonb_build_object('merchant', t.merchant)
FROM pgw.payment_transactions t
WHERE NOT EXISTS (SELECT FROM pgw.merchants m WHERE m.merchant = t.merchant)
UNION ALL
-- bank_version_missing: what a foreign key would say.
SELECT 'bank_version_missing', t.payment_id, t.transaction_id, t.merchant,
	jsonb_build_object('bank', t.bank, 'bank_version', t.bank_version)
FROM pgw.payment_transactions t
WHERE t.bank_version IS NOT NULL
	AND NOT EXISTS (SELECT FROM pgw.bank_versions v WHERE v.version = t.bank_version AND v.bank = t.bank)
UNION ALL
-- livemode_differs: an attempt counts as real and its bank is one for tests, or the reverse; or so does its payment.
SELECT 'livemode_differs', t.payment_id, t.transaction_id, t.merchant,
	jsonb_build_object('livemode', t.livemode, 'bank_livemode', v.livemode, 'payment_livemode', p.livemode)
FROM pgw.payment_transactions t
LEFT JOIN pgw.bank_versions v ON v.version = t.bank_version
LEFT JOIN pgw.payments p ON p.transaction_id = t.transaction_id AND p.status NOT IN ('pending', 'declined', 'failed', 'in_review')
WHERE v.livemode <> t.livemode OR p.livemode <> t.livemode

UNION ALL
-- foreign_key_cast: a foreign key needs a cast; made while the event trigger was off.
SELECT 'foreign_key_cast', NULL, NULL, NULL,
	jsonb_build_object('constraint', f.constraint_name, 'table', f.from_table::text, 'references', f.to_table::text)
FROM pgw.foreign_keys_with_casts() f
UNION ALL
-- code_of_others: a function runs with more rights than its owner's; made while the event trigger was off.
SELECT 'code_of_others', NULL, NULL, NULL,
	jsonb_build_object('table', c.on_table::text, 'function', c.function::text, 'owner', c.owner::text, 'reason', c.problem)
FROM pgw.code_of_others() c
UNION ALL
-- privileges: somebody has a privilege on an object of pgw that pgw.grant_access() has not given.
SELECT 'privileges', NULL, NULL, NULL,
	jsonb_strip_nulls(jsonb_build_object('object', u.object, 'column', u.column_name, 'grantee', u.grantee, 'privilege', u.privilege))
FROM pgw.unexplained_privileges() u
UNION ALL
-- charge_not_claimed: a charge is not the attempt's in bank_references; only the id in a no, of one that has failed, is nobody's.
SELECT 'charge_not_claimed', t.payment_id, t.transaction_id, t.merchant,
	jsonb_build_object('bank', t.bank, 'bank_reference', t.bank_reference)
FROM pgw.payment_transactions t
LEFT JOIN pgw.bank_references r ON r.transaction_id = t.transaction_id AND r.bank_reference = t.bank_reference
WHERE t.kind = 'payment' AND t.status <> 'Failed' AND t.bank_reference IS NOT NULL
	AND r.transaction_id IS NULL
UNION ALL
-- claim_without_charge: a row of bank_references names no charge's attempt.
SELECT 'claim_without_charge', NULL, r.transaction_id, NULL,
	jsonb_build_object('account', r.account, 'bank_reference', r.bank_reference)
FROM pgw.bank_references r
LEFT JOIN pgw.payment_transactions t ON t.transaction_id = r.transaction_id AND t.kind = 'payment'
WHERE t.transaction_id IS NULL

UNION ALL
-- What must be there once only; the oldest attempt of each group stands for it
SELECT d.check_name, (array_agg(d.payment_id ORDER BY d.transaction_id))[1],
	(array_agg(d.transaction_id ORDER BY d.transaction_id))[1],
	CASE WHEN count(DISTINCT d.merchant) = 1 THEN min(d.merchant) END,
	jsonb_build_object('transactions', jsonb_agg(DISTINCT d.transaction_id))
FROM (
	-- two_live_attempts: two attempts of one id are at work or were kept.
	SELECT 'two_live_attempts', jsonb_build_array(t.client_request_id, t.merchant, t.kind), t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t
	WHERE t.live AND (t.client_request_id, t.merchant, t.kind) IN (
		SELECT s.client_request_id, s.merchant, s.kind
		FROM pgw.payment_transactions s
		WHERE s.live
		GROUP BY s.client_request_id, s.merchant, s.kind HAVING count(*) > 1)
	UNION ALL
	-- bank_key_twice: two operations have one key at one bank.
	SELECT 'bank_key_twice', jsonb_build_array(k.bank, k.key), k.payment_id, k.transaction_id, k.merchant
	FROM bank_key k
	WHERE (k.bank, k.key) IN (SELECT s.bank, s.key FROM bank_key s GROUP BY s.bank, s.key HAVING count(*) > 1)
	UNION ALL
	-- charge_twice: two payments have the same charge in one account.
	SELECT 'charge_twice', jsonb_build_array(t.account, t.bank_reference), t.payment_id, t.transaction_id, t.merchant
	FROM charge t
	WHERE (t.account, t.bank_reference) IN (
		SELECT s.account, s.bank_reference FROM charge s GROUP BY s.account, s.bank_reference HAVING count(*) > 1)
	UNION ALL
	-- event_id_twice: two events have one id.
	SELECT 'event_id_twice', to_jsonb(e.event_id), t.payment_id, e.transaction_id, t.merchant
	FROM pgw.transaction_events e
	LEFT JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
	WHERE e.event_id IN (SELECT s.event_id FROM pgw.transaction_events s GROUP BY s.event_id HAVING count(*) > 1)
) d (check_name, what, payment_id, transaction_id, merchant)
GROUP BY d.check_name, d.what;
COMMENT ON VIEW pgw.broken_invariants IS
	'Every broken promise that the tables can show; empty when all is well. pgw.check_consistency() shows it to '
	'operators and auditors.';
COMMENT ON COLUMN pgw.broken_invariants.check_name IS
	'The promise that is broken, by its stable name in docs/sql-reference.md.';
COMMENT ON COLUMN pgw.broken_invariants.payment_id IS 'The payment that it is about; NULL: none, or it is not known.';
COMMENT ON COLUMN pgw.broken_invariants.transaction_id IS
	'The attempt that it is about, the oldest where it is about several; NULL: none.';
COMMENT ON COLUMN pgw.broken_invariants.merchant IS 'The merchant whose it is; NULL: it is not one merchant''s alone.';
COMMENT ON COLUMN pgw.broken_invariants.details IS 'What was found, as a JSON object.';

-- Many small expressions on many rows: compiling them costs more than it saves. No nested loops: on tables that were
-- loaded since their last ANALYZE they would take the square of what is stored.
CREATE FUNCTION pgw.check_consistency()
RETURNS TABLE (check_name text, payment_id uuid, transaction_id uuid, details jsonb)
AS 'MODULE_PATHNAME', 'pgw_check_consistency_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex SET jit = off SET enable_nestloop = off;
COMMENT ON FUNCTION pgw.check_consistency() IS
	'One row for every broken promise that the tables can show, of the caller''s merchants, as of now; none when all '
	'is well. It reads everything that is stored.';


-- ==================================================================================================
-- 19  Records are not dropped without a word
--
--  src/ddl/drop_guard.c refuses it. This is for sessions of a server that does not preload pgw: the call loads the
--  library, which looks at what is dropped. Where the library is gone, nothing else of the database shall suffer for it.
-- ==================================================================================================

CREATE FUNCTION pgw.load_drop_guard() RETURNS void
AS 'MODULE_PATHNAME', 'pgw_guard_drop' LANGUAGE C;
COMMENT ON FUNCTION pgw.load_drop_guard() IS
	'Internal: does nothing but have the library loaded, which then refuses to drop records.';

CREATE FUNCTION pgw.guard_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	PERFORM pgw.load_drop_guard();
EXCEPTION WHEN undefined_file THEN
	RAISE WARNING 'pgw: its library is missing, so nothing keeps its records from being dropped';
END
$$;
COMMENT ON FUNCTION pgw.guard_drop() IS
	'Event trigger function: has the library loaded, which refuses to drop records of payments.';

CREATE EVENT TRIGGER pgw_guard_drop ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA', 'DROP LANGUAGE', 'DROP TABLE')
	EXECUTE FUNCTION pgw.guard_drop();
ALTER EVENT TRIGGER pgw_guard_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pgw_guard_drop IS
	'Records of payments are not dropped, also where the server does not preload pgw; pgw.allow_drop is the way to do '
	'so.';


-- ==================================================================================================
-- 20  The baseline: pgw's own objects stay as they are
--
--  What CREATE EXTENSION has made stays as it was made, where pgw's promises hang on it (docs/ddl.md). It is recorded
--  once, at the end of this script; an update script ends with pgw.record_baseline(), too. Nothing here goes by an
--  object's text or oid, which another version of PostgreSQL may give another form; and nothing locks a table
--  (pg_get_indexdef() would), for then two statements on two of pgw's tables would wait for each other. An object's
--  own name is read from its catalog row: what was there before a statement is asked of an older snapshot
--  (src/ddl/before_statement.c), and the functions that tell names see the present only.
-- ==================================================================================================

CREATE TABLE pgw.baseline (
	kind text NOT NULL,
	object text NOT NULL,
	property text NOT NULL,
	n bigint NOT NULL,
	PRIMARY KEY (kind, object, property)
);
COMMENT ON TABLE pgw.baseline IS
	'What CREATE EXTENSION has made, fact by fact: the event trigger pgw_keep_baseline refuses what would take one of '
	'them away (docs/ddl.md). Not in dumps.';
COMMENT ON COLUMN pgw.baseline.kind IS
	'The kind of fact: member, relation, column, constraint, index, trigger, function, type, and so on.';
COMMENT ON COLUMN pgw.baseline.object IS 'The object that it is about.';
COMMENT ON COLUMN pgw.baseline.property IS 'What is the case.';
COMMENT ON COLUMN pgw.baseline.n IS 'How often it is the case; more is allowed.';
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.baseline FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.baseline FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.baseline ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
COMMENT ON TRIGGER refuse_change ON pgw.baseline IS 'Only a script of the extension records another baseline.';
COMMENT ON TRIGGER refuse_truncate ON pgw.baseline IS 'Only a script of the extension records another baseline.';

-- Indexes, keys and triggers count by what they do, not by their names.
CREATE FUNCTION pgw.baseline_now(OUT kind text, OUT object text, OUT property text, OUT n bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
	WITH extension AS (
		SELECT x.oid, x.extowner FROM pg_extension x WHERE x.extname = 'pgw'
	), member AS (
		SELECT d.classid, d.objid, i.type,
			coalesce(quote_ident(n.nspname) || '.' || quote_ident(o.name) || o.arguments, i.identity) AS identity
		FROM extension x
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.deptype = 'e'
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
		LEFT JOIN LATERAL (
			SELECT c.relnamespace AS namespace, c.relname AS name, '' AS arguments
			FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid
			UNION ALL
			-- not as in the identity: newer versions of PostgreSQL call json otherwise there, and pg_upgrade takes the baseline along
			SELECT p.pronamespace, p.proname, '(' || oidvectortypes(p.proargtypes) || ')'
			FROM pg_proc p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid
			UNION ALL
			SELECT t.typnamespace, t.typname, ''
			FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid) o ON true
		LEFT JOIN pg_namespace n ON n.oid = o.namespace
		-- what is made and goes with a table or another type: a member of its own in newer versions of PostgreSQL only
		WHERE NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE d.classid = 'pg_type'::regclass
			AND t.oid = d.objid AND (c.relkind <> 'c' OR EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)))
	), relation AS (
		SELECT c.*, m.identity FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	), fact AS (
		SELECT 'member' AS kind, m.identity AS object, m.type AS property FROM member m
		UNION ALL
		SELECT 'schema', n.nspname, 'its owner''s'
		FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
			JOIN extension x ON n.nspowner = x.extowner
		UNION ALL
		SELECT 'relation', r.identity, concat_ws(' ', 'kind', r.relkind, 'persistence', r.relpersistence,
			'options', CASE WHEN r.relkind = 'v' THEN r.reloptions END)
		FROM relation r JOIN extension x ON r.relowner = x.extowner
		UNION ALL
		SELECT 'column', r.identity || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
			CASE WHEN a.attnotnull THEN 'not null' END, CASE WHEN a.atthasdef THEN 'default' END, nullif(a.attgenerated, ''),
			nullif(a.attidentity, ''), (SELECT c.collname FROM pg_collation c WHERE c.oid = a.attcollation))
		FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT 'constraint', r.identity, concat_ws(' ', c.contype,
			(SELECT array_agg(a.attname ORDER BY k.i) FROM unnest(c.conkey) WITH ORDINALITY k (attnum, i)
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
			nullif(c.confrelid, 0)::regclass, CASE WHEN c.condeferrable THEN 'deferrable' END)
		FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype IN ('c', 'p', 'u', 'f')
		UNION ALL
		SELECT 'constraint', m.identity, concat_ws(' ', c.contype, format_type(t.typbasetype, t.typtypmod))
		FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
			JOIN pg_constraint c ON c.contypid = t.oid AND c.contype = 'c'
		UNION ALL
		SELECT 'index', r.identity, concat_ws(' ', CASE WHEN i.indisunique THEN 'unique' END,
			CASE WHEN NOT i.indimmediate THEN 'deferrable' END,
			(SELECT array_agg(coalesce(a.attname, 'expression') ORDER BY k.i)
				FROM unnest(i.indkey) WITH ORDINALITY k (attnum, i)
				LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
				WHERE k.i <= i.indnkeyatts),
			CASE WHEN i.indpred IS NOT NULL THEN 'partial' END)
		FROM relation r JOIN pg_index i ON i.indrelid = r.oid AND i.indisvalid AND i.indisready
		UNION ALL
		SELECT 'trigger', r.identity, concat_ws(' ', p.proname, t.tgtype, t.tgenabled)
		FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal JOIN pg_proc p ON p.oid = t.tgfoid
			JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
		UNION ALL
		SELECT 'function', m.identity, concat_ws(' ', p.prokind, l.lanname, p.prorettype::regtype, p.provolatile,
			p.proparallel, CASE WHEN p.prosecdef THEN 'security definer' END, CASE WHEN p.proisstrict THEN 'strict' END,
			CASE WHEN p.proleakproof THEN 'leakproof' END, CASE WHEN p.proretset THEN 'set' END, p.proargmodes, p.proargnames,
			pg_get_expr(p.proargdefaults, 0), p.proconfig, p.probin, nullif(p.prosupport::oid, 0)::regproc, md5(p.prosrc))
		FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
			JOIN pg_language l ON l.oid = p.prolang
			JOIN extension x ON p.proowner = x.extowner
		UNION ALL
		SELECT 'type', m.identity, concat_ws(' ', coalesce(e.enumlabel, a.attname), format_type(a.atttypid, a.atttypmod),
			coalesce(e.enumsortorder, a.attnum))
		FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
			LEFT JOIN pg_enum e ON e.enumtypid = t.oid
			LEFT JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT 'type', m.identity, 'attributes: ' || c.relnatts
		FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
			JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
		UNION ALL
		SELECT 'event trigger', e.evtname, concat_ws(' ', e.evtevent, p.proname, e.evtenabled, e.evttags)
		FROM member m JOIN pg_event_trigger e ON m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid
			JOIN pg_proc p ON p.oid = e.evtfoid
	)
	SELECT f.kind, f.object, f.property, count(*) FROM fact f GROUP BY f.kind, f.object, f.property
$$;
COMMENT ON FUNCTION pgw.baseline_now() IS
	'Internal: the facts of pgw.baseline as they are now, of pgw''s own objects wherever they have gone.';

-- In a script of the extension nobody refuses the ALTER TABLE; anywhere else the event trigger does.
CREATE FUNCTION pgw.record_baseline() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	ALTER TABLE pgw.baseline DISABLE TRIGGER refuse_change;
	DELETE FROM pgw.baseline;
	ALTER TABLE pgw.baseline ENABLE ALWAYS TRIGGER refuse_change;
	INSERT INTO pgw.baseline SELECT f.kind, f.object, f.property, f.n FROM pgw.baseline_now() f;
END
$$;
COMMENT ON FUNCTION pgw.record_baseline() IS
	'Internal: records in pgw.baseline what there is now: the end of the extension''s script, and of each update '
	'script.';

-- plpgsql: the table may be the one that was moved.
CREATE FUNCTION pgw.baseline_faults(OUT kind text, OUT object text, OUT property text, OUT missing bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
BEGIN
	RETURN QUERY
		SELECT f.kind, f.object, f.property, f.n - coalesce(o.n, 0) FROM pgw.baseline f
		LEFT JOIN pgw.baseline_now() o ON (o.kind, o.object, o.property) = (f.kind, f.object, f.property)
		WHERE coalesce(o.n, 0) < f.n;
	-- a table of others that is a child's would be read and written with it
	RETURN QUERY
		SELECT 'inheritance', i.inhparent::regclass::text, i.inhrelid::regclass::text, 1::bigint
		FROM pg_depend d
		JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
			AND d.deptype = 'e'
		JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'r'
		JOIN pg_inherits i ON i.inhparent = c.oid OR (i.inhrelid = c.oid AND NOT c.relispartition);
	-- who may change the rows that it refers to would change pgw's by its action, with the rights of pgw's owner
	RETURN QUERY
		WITH RECURSIVE own AS (
			SELECT d.objid AS oid
			FROM pg_depend d
			JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
				AND d.deptype = 'e'
			WHERE d.classid = 'pg_class'::regclass
			UNION
			SELECT i.inhrelid FROM own o JOIN pg_inherits i ON i.inhparent = o.oid
		)
		SELECT 'foreign key', c.conrelid::regclass::text, c.conname || ' can change or delete rows', count(*)
		FROM own o JOIN pg_constraint c ON c.conrelid = o.oid AND c.contype = 'f'
		WHERE c.confupdtype NOT IN ('a', 'r') OR c.confdeltype NOT IN ('a', 'r')
		GROUP BY c.conrelid, c.conname;
	-- each partition of the events is append-only
	RETURN QUERY
		SELECT 'partition', c.oid::regclass::text, 'its events can be changed, or lost in a crash', 1::bigint
		FROM pg_class e JOIN pg_inherits i ON i.inhparent = e.oid JOIN pg_class c ON c.oid = i.inhrelid
		WHERE e.relname = 'transaction_events'
			AND e.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'pgw')
			AND (c.relpersistence <> 'p' OR NOT EXISTS (
				SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
				WHERE t.tgrelid = c.oid AND t.tgenabled = 'A' AND t.tgtype & 1 = 1 AND p.proname = 'refuse_change'));
END
$$;
COMMENT ON FUNCTION pgw.baseline_faults() IS
	'Internal: what is gone or altered of what pgw.baseline says, and what has come that may not be there.';

-- src/ddl/before_statement.c
CREATE FUNCTION pgw.baseline_faults_before() RETURNS jsonb
AS 'MODULE_PATHNAME', 'pgw_baseline_faults_before' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION pgw.baseline_faults_before() IS
	'Internal: pgw.baseline_faults() as it was before the present utility statement; NULL: that cannot be told.';

-- A statement about others' tables, functions and types is not looked at; what belongs to an extension's script is
-- looked at when that is over.
CREATE FUNCTION pgw.keep_baseline() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
	SET standard_conforming_strings = on SET extra_float_digits = 1
	SET datestyle = 'ISO, YMD' SET intervalstyle = postgres SET bytea_output = hex AS
$$
DECLARE
	kind text;
	object text;
	property text;
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c) AND NOT EXISTS (
		SELECT FROM pg_event_trigger_ddl_commands() c
		WHERE NOT c.in_extension AND (
			c.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
			OR c.schema_name = 'pgw'
			OR EXISTS (
				SELECT FROM pg_depend d
				JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
				WHERE d.deptype = 'e' AND d.classid = c.classid AND (d.objid = c.objid
					OR d.objid IN (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.objid)))))
	THEN
		RETURN;
	END IF;
	BEGIN
		IF NOT EXISTS (SELECT FROM pgw.baseline_faults()) THEN
			RETURN;
		END IF;
		-- What was broken before is not this statement's doing, which may be the repair.
		SELECT f.kind, f.object, f.property INTO kind, object, property
		FROM pgw.baseline_faults() f
		LEFT JOIN jsonb_to_recordset(pgw.baseline_faults_before()) b (kind text, object text, property text, missing bigint)
			ON (b.kind, b.object, b.property) = (f.kind, f.object, f.property)
		WHERE f.missing > coalesce(b.missing, 0)
		ORDER BY f.kind, f.object, f.property LIMIT 1;
	EXCEPTION WHEN undefined_table OR undefined_function OR invalid_schema_name OR undefined_column THEN
		kind := 'member';
		object := 'pgw.baseline';
	END;
	IF kind IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('pgw''s own objects stay as CREATE EXTENSION has made them: this would change %s %s', kind, object),
			DETAIL = json_build_object('code', 'baseline_changed', 'class', 'business', 'http_status', 422,
				'retryable', false, 'kind', kind, 'object', object, 'property', property),
			HINT = 'Payments would fail, or their records would not be kept. docs/ddl.md says what is allowed on pgw''s tables, '
				'and how a superuser does what has to be done all the same.';
	END IF;
END
$$;
COMMENT ON FUNCTION pgw.keep_baseline() IS
	'Event trigger function: refuses a statement that takes away what pgw stands on.';

CREATE EVENT TRIGGER pgw_keep_baseline ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'ALTER EXTENSION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE',
		'ALTER DOMAIN', 'ALTER INDEX', 'ALTER VIEW', 'ALTER TRIGGER', 'ALTER SEQUENCE', 'CREATE TABLE', 'CREATE FUNCTION', 'CREATE VIEW',
		'CREATE TRIGGER', 'DROP INDEX', 'DROP TRIGGER', 'DROP TABLE')
	EXECUTE FUNCTION pgw.keep_baseline();
ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pgw_keep_baseline IS
	'What CREATE EXTENSION has made stays as it was made, where pgw''s promises hang on it (docs/ddl.md).';


-- ==================================================================================================
-- 21  Built-in rows, with a fixed time: equal in every database
-- ==================================================================================================

INSERT INTO pgw.merchants (merchant, name, builtin, created_at) VALUES ('default', 'Default merchant', true, '2026-01-01 00:00:00+00');

-- The built-in connectors: the build puts an INSERT for each document of src/connectors/ in the place of the next line
-- (src/connectors/insert.awk).
DO $$BEGIN RAISE EXCEPTION 'this script lacks pgw''s connectors: "make" adds them, to build/pgw--1.0.sql'; END$$;	-- @connectors@

-- The bank inside the worker speaks as the reference protocol has it, and needs no key.
INSERT INTO pgw.connectors (name, builtin, created_at, definition)
SELECT 'test', true, c.created_at, jsonb_set(jsonb_set(c.definition::jsonb #- '{headers,Authorization}', '{name}', '"test"'),
	'{description}', '"The reference protocol, for the bank inside the worker: no request leaves the server."')
FROM pgw.connectors c WHERE c.name = 'json';

-- A time-out is to be had while somebody waits for a test's end.
INSERT INTO pgw.banks (name, connector, base_url, request_timeout, livemode, created_at)
VALUES ('test', 'test', 'test:', '5s', false, '2026-01-01 00:00:00+00');


-- ==================================================================================================
-- 22  Dumps
--
--  Monthly partitions are no members of the extension: pg_dump treats them as ordinary tables.
-- ==================================================================================================

SELECT pg_extension_config_dump('pgw.merchants', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('pgw.connectors', 'WHERE NOT builtin');
-- The row of the bank "test" is in them, too: what an owner has set there is set again (src/table_rules/test_bank_rules.c).
SELECT pg_extension_config_dump('pgw.banks', '');
SELECT pg_extension_config_dump('pgw.webhook_endpoints', '');
SELECT pg_extension_config_dump('pgw.bank_versions', '');
SELECT pg_extension_config_dump('pgw.bank_rebinds', '');
SELECT pg_extension_config_dump('pgw.access_grants', 'WHERE role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_extension_config_dump('pgw.review_proposals', 'WHERE proposed_by::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_extension_config_dump('pgw.payments', '');
SELECT pg_extension_config_dump('pgw.payment_transactions', '');
SELECT pg_extension_config_dump('pgw.bank_references', '');
SELECT pg_extension_config_dump('pgw.operation_references', '');
SELECT pg_extension_config_dump('pgw.notifications', '');
SELECT pg_extension_config_dump('pgw.disputes', '');
SELECT pg_extension_config_dump('pgw.transaction_events_default', '');
SELECT pg_extension_config_dump('pgw.resumptions', '');
SELECT pg_extension_config_dump('pgw.restore_pending', '');
SELECT pg_extension_config_dump('pgw.shard_slots', '');
SELECT pg_extension_config_dump('pgw.slot_changes', '');


-- ==================================================================================================
-- 23  The end: nothing is anybody else's, the baseline is recorded, the launcher is woken
-- ==================================================================================================

CREATE FUNCTION pgw.extension_created() RETURNS void
AS 'MODULE_PATHNAME', 'pgw_extension_created' LANGUAGE C;
COMMENT ON FUNCTION pgw.extension_created() IS
	'Internal: wakes the launcher once this transaction has committed, so that the database gets its worker: for the '
	'extension''s script.';

-- Neither PUBLIC nor a role that default privileges name has anything of pgw's. An update script ends with this, too,
-- before it records its baseline: what it has made is given away by the default privileges of whoever runs it.
SELECT pgw.revoke_unexplained_privileges();

SELECT pgw.record_baseline();
SELECT pgw.extension_created();
