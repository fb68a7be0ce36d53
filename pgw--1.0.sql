/* pgw--1.0.sql - types, tables, functions and privileges of pgw; docs/sql-reference.md describes them */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pgw" to load this file. \quit

-- CREATE EXTENSION runs this script with the target schema (public, usually) in the search_path, as a superuser: a function or an operator that somebody has planted there with
-- argument types that fit better would run now, or be bound into a view and run as its owner later. So every name below means pg_catalog's, or says pgw.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Not by a "schema" key of the control file: that would adopt a schema that somebody else owns.
CREATE SCHEMA pgw;

--
-- Types. The order of the labels is the order of the C enums; a regression test compares the two.
--

CREATE TYPE pgw.transaction_status AS ENUM (
	'Created', 'BankApproved', 'Saved', 'Completed', 'Failed', 'Refunding', 'RequiresManualReview', 'BankUnknown', 'Refunded');

CREATE TYPE pgw.event_type AS ENUM (
	'TransactionStarted', 'BankProcessingStarted', 'BankProcessingCompleted', 'BankProcessingFailed', 'BankProcessingPending',
	'BankRetryScheduled', 'BankSwitched', 'BankOutcomeUnknown', 'BankOutcomeUnacceptable', 'BankStatusChecked',
	'PaymentDataSaveStarted', 'PaymentDataSaveCompleted', 'PaymentDataSaveFailed', 'TransactionAdopted', 'TransactionCompleted',
	'TransactionFailed', 'CaptureStarted', 'CaptureCompleted', 'CaptureFailed', 'CaptureRetryScheduled', 'AuthorizationExpired',
	'CompensationStarted', 'RefundStarted', 'RefundCompleted', 'RefundFailed', 'RefundPending', 'RefundOutcomeUnknown',
	'RefundRetryScheduled', 'RefundReversed', 'LateApprovalReceived', 'ManualReviewRequired', 'ManualReviewResolved');

CREATE TYPE pgw.operation_kind AS ENUM ('payment', 'capture', 'void', 'refund');

CREATE TYPE pgw.capture_mode AS ENUM ('immediate', 'on_commit', 'manual');

CREATE TYPE pgw.payment_status AS ENUM (
	'pending', 'authorized', 'partially_captured', 'captured', 'partially_refunded', 'refunded', 'voided', 'expired', 'declined',
	'failed', 'in_review');

-- Columns are only ever appended.
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
	created_at timestamptz
);

--
-- Trigger functions. The triggers that protect the records are ENABLE ALWAYS: session_replication_role does not switch them off.
--

CREATE FUNCTION pgw.refuse_change() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_refuse_change' LANGUAGE C;
CREATE FUNCTION pgw.enforce_transition() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_enforce_transition' LANGUAGE C;
CREATE FUNCTION pgw.check_connector() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_connector' LANGUAGE C
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION pgw.check_bank() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_check_bank' LANGUAGE C
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION pgw.config_changed() RETURNS trigger AS 'MODULE_PATHNAME', 'pgw_config_changed' LANGUAGE C;

--
-- Configuration: merchants, connectors, banks
--

-- Dumps leave built-in rows out, because the script inserts them again: so nobody can change them or make more of them.
CREATE TABLE pgw.merchants (
	merchant text NOT NULL PRIMARY KEY CHECK (merchant <> '' AND octet_length(merchant) <= 63),
	name text NOT NULL DEFAULT '',
	enabled boolean NOT NULL DEFAULT true,
	builtin boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT merchants_builtin CHECK (builtin = (merchant = 'default') AND (NOT builtin OR (enabled AND name = 'Default merchant')))
);

CREATE TABLE pgw.connectors (
	name text NOT NULL PRIMARY KEY CHECK (name <> '' AND octet_length(name) <= 63),
	definition jsonb NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now()
);

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
	account text,					-- whose ledger it is; NULL: the bank's own, by its name
	settings jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz NOT NULL DEFAULT now()
);

-- What a bank was when requests of an attempt were sent to it: payment_transactions.bank_version says which (docs/connectors.md). Written by the
-- worker alone, before or with the first intent under it. A secret's or CA file's content is no part of it.
CREATE TABLE pgw.bank_versions (
	version int NOT NULL PRIMARY KEY CHECK (version >= 1),
	bank text NOT NULL,
	digest text NOT NULL,			-- SHA-256 of what follows, up to settings
	connector text NOT NULL,
	definition jsonb NOT NULL,		-- the connector's document
	base_url text NOT NULL,
	account text NOT NULL,
	secret text,
	settings jsonb NOT NULL,		-- with ca_file
	-- where pgw.banks has no row of that name any more
	connect_timeout interval NOT NULL,
	request_timeout interval NOT NULL,
	max_in_flight int NOT NULL,
	first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- "The same ledger answers at another version of the bank now": pgw.rebind_attempts(). A row that is not effective is a proposal to a second pair of eyes.
CREATE TABLE pgw.bank_rebinds (
	rebind int NOT NULL PRIMARY KEY CHECK (rebind >= 1),
	from_version int NOT NULL,
	to_version int NOT NULL,
	effective boolean NOT NULL,
	attempts bigint NOT NULL,		-- unfinished ones that it concerned
	note text NOT NULL,
	session_role text NOT NULL,
	acting_role text NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT bank_rebinds_other CHECK (from_version <> to_version)
);

-- The worker's circuit breakers, kept over a restart (docs/breaker.md). No record, so not in dumps.
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

-- One row per cause of an alert (docs/alerts.md): the gauge, and what keeps the flood away. No record, so not in dumps.
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

CREATE TRIGGER check_connector BEFORE INSERT OR UPDATE OR DELETE ON pgw.connectors
	FOR EACH ROW EXECUTE FUNCTION pgw.check_connector();
CREATE TRIGGER check_bank BEFORE INSERT OR UPDATE OR DELETE ON pgw.banks
	FOR EACH ROW EXECUTE FUNCTION pgw.check_bank();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.connectors
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.banks
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.merchants
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgw.bank_rebinds
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_versions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_versions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_rebinds FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_rebinds FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.bank_versions ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE pgw.bank_rebinds ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.connectors ENABLE ALWAYS TRIGGER check_connector, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.banks ENABLE ALWAYS TRIGGER check_bank, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.merchants ENABLE ALWAYS TRIGGER config_changed;

--
-- Payments: the business view. The columns are those of PgwPayment (src/store/tables.h).
--

CREATE TABLE pgw.payments (
	payment_id uuid NOT NULL PRIMARY KEY,
	client_request_id text NOT NULL CHECK (char_length(client_request_id) BETWEEN 1 AND 255),
	merchant text NOT NULL,
	transaction_id uuid NOT NULL,
	status pgw.payment_status NOT NULL,
	capture pgw.capture_mode NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	authorized_amount bigint NOT NULL DEFAULT 0,
	captured_amount bigint NOT NULL DEFAULT 0,
	reserved_amount bigint NOT NULL DEFAULT 0,	-- of the authorization: claimed by the capture or void that is under way or in doubt
	refunded_amount bigint NOT NULL DEFAULT 0,
	refund_pending_amount bigint NOT NULL DEFAULT 0,
	bank text,
	bank_reference text,
	authorization_code text,
	card_last4 text CHECK (card_last4 ~ '^[0-9]{4}$'),
	card_brand text,
	reference text,
	metadata jsonb CHECK (jsonb_typeof(metadata) = 'object'),
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT payments_request_key UNIQUE (client_request_id, merchant),
	CONSTRAINT payments_authorized_check CHECK (authorized_amount >= 0 AND authorized_amount <= amount),
	-- differences, because the sum of two bigints can overflow
	CONSTRAINT payments_captured_check CHECK (captured_amount >= 0 AND reserved_amount >= 0
		AND captured_amount <= authorized_amount AND reserved_amount <= authorized_amount - captured_amount),
	CONSTRAINT payments_refunds_check CHECK (refunded_amount >= 0 AND refund_pending_amount >= 0
		AND refunded_amount <= captured_amount AND refund_pending_amount <= captured_amount - refunded_amount),
	CONSTRAINT payments_no_money_check CHECK (status NOT IN ('pending', 'declined') OR captured_amount = 0)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payments FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payments ENABLE ALWAYS TRIGGER refuse_delete, ENABLE ALWAYS TRIGGER refuse_truncate;

--
-- One row per operation attempt. The columns are those of PgwTransaction (src/store/tables.h).
--

CREATE TABLE pgw.payment_transactions (
	transaction_id uuid NOT NULL PRIMARY KEY,
	payment_id uuid NOT NULL,
	client_request_id text NOT NULL CHECK (char_length(client_request_id) BETWEEN 1 AND 255),
	merchant text NOT NULL,
	kind pgw.operation_kind NOT NULL,
	status pgw.transaction_status NOT NULL,
	step_order int NOT NULL CHECK (step_order >= 0),
	submitted boolean NOT NULL,
	submitted_by text,				-- the role that called submit_payment()
	taken boolean NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),
	currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	capture pgw.capture_mode NOT NULL,
	token text,
	card_last4 text CHECK (card_last4 ~ '^[0-9]{4}$'),
	card_brand text,
	card_expiry_month int CHECK (card_expiry_month BETWEEN 1 AND 12),
	card_expiry_year int CHECK (card_expiry_year BETWEEN 0 AND 9999),
	bank text,
	bank_version int,				-- of the intent; NULL: nothing was sent yet
	bank_requested text,
	reference text,
	bank_fields jsonb CHECK (jsonb_typeof(bank_fields) = 'object'),
	bank_key text,
	bank_key_used_at timestamptz,
	bank_asked_at timestamptz,		-- when the last request that can charge ended, or was last seen under way
	bank_reference text,
	authorization_code text,
	approved_amount bigint,			-- as the bank names them, when they are not what was asked for
	approved_currency text,
	refund_operation text CHECK (refund_operation IN ('void', 'refund', 'cancel')),
	refund_key text,				-- the give-back's reference and key at the bank; NULL: the next one gets a new one
	refund_key_used_at timestamptz,	-- first use; NULL: announced, not sent
	refund_asked_at timestamptz,	-- when the last request of the give-back ended, or was last seen under way
	pending_at_bank boolean NOT NULL DEFAULT false,	-- the bank said last that the step after the charge is on its way
	refund_attempts int NOT NULL DEFAULT 0 CHECK (refund_attempts >= 0),
	capture_key text,				-- reference and key of the capture that follows the commit
	capture_key_used_at timestamptz,	-- first use
	maybe_elsewhere boolean NOT NULL DEFAULT false,	-- restored: the original may have gone to another bank with it
	error_answered boolean NOT NULL DEFAULT false,	-- the bank has answered a request under bank_key with an error of its own (5xx)
	final_capture boolean NOT NULL DEFAULT false,	-- kind capture: the rest of the authorization is given up
	reason text,					-- kind refund: what the caller said
	caller_xid xid8,
	caller_subxid xid8,
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	abandoned_at timestamptz,		-- when the worker first saw that the caller is gone
	attempts int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	retries int NOT NULL DEFAULT 0 CHECK (retries >= 0),	-- tries of the present step, for the back-off
	next_attempt_at timestamptz,
	put_off_since timestamptz,		-- its next request cannot be made since then, and why
	put_off_reason text,
	watch_until timestamptz,		-- Failed because the bank did not know it: looked up again until then
	expires_at timestamptz,
	error_class text,
	error_code text,
	error_message text,
	http_status int,
	retryable boolean NOT NULL DEFAULT false,
	correlation_id uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_insert_scale_factor = 0.05);

-- At most one attempt per id that is live, successful, being given back or in review. A submitted row joins when the worker takes it.
CREATE UNIQUE INDEX payment_transactions_one_live ON pgw.payment_transactions (client_request_id, merchant, kind)
	WHERE taken AND status NOT IN ('Failed', 'Refunded');
-- All attempts of an id, also those whose caller rolled back: what find_payment shows.
CREATE INDEX payment_transactions_request ON pgw.payment_transactions (client_request_id, merchant);
-- What a starting worker looks at, and what the views count.
CREATE INDEX payment_transactions_open ON pgw.payment_transactions (status, next_attempt_at) WHERE status NOT IN ('Completed', 'Failed', 'Refunded');
-- What is due: a scan costs that, not what is stored.
-- By bank, so that nobody reads what waits for one that has no room: what has begun, by how urgent that is, and what waits, by merchant.
CREATE INDEX payment_transactions_due ON pgw.payment_transactions (bank COLLATE pg_catalog."C", status, next_attempt_at)
	WHERE next_attempt_at IS NOT NULL AND (taken OR status <> 'Created');
CREATE INDEX payment_transactions_waiting ON pgw.payment_transactions (bank COLLATE pg_catalog."C", kind, merchant COLLATE pg_catalog."C", next_attempt_at)
	WHERE next_attempt_at IS NOT NULL AND NOT taken AND status = 'Created';
-- What is not to be sent after its time, wherever it waits.
CREATE INDEX payment_transactions_expiring ON pgw.payment_transactions (expires_at) WHERE expires_at IS NOT NULL AND status = 'Created';
-- What cannot go on: pgw.health() counts it.
CREATE INDEX payment_transactions_put_off ON pgw.payment_transactions (put_off_since) WHERE put_off_since IS NOT NULL;
CREATE INDEX payment_transactions_payment ON pgw.payment_transactions (payment_id);
-- An operation on a payment has its id once and for all: the claim on it, as payments_request_key is for payments.
CREATE UNIQUE INDEX payment_transactions_operation ON pgw.payment_transactions (client_request_id, merchant, kind) WHERE kind <> 'payment';

CREATE TRIGGER enforce_transition BEFORE UPDATE ON pgw.payment_transactions
	FOR EACH ROW EXECUTE FUNCTION pgw.enforce_transition();
CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payment_transactions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER enforce_transition, ENABLE ALWAYS TRIGGER refuse_delete,
	ENABLE ALWAYS TRIGGER refuse_truncate;

--
-- Whose a bank's id of a charge is: within one account it belongs to one attempt, for good. Written with the answer that names it, by the worker (and by
-- an operator's mark_charged); no caller ever touches it. A table of its own, so that the attempts' rows need no index on a column that changes.
--

CREATE TABLE pgw.bank_references (
	account text COLLATE "C" NOT NULL,	-- of pgw.banks: the bank's name, where that has none
	bank_reference text COLLATE "C" NOT NULL,
	transaction_id uuid NOT NULL,
	PRIMARY KEY (account, bank_reference)
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.bank_references FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.bank_references FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.bank_references ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate;

--
-- Events: append-only, one partition per month of the transaction (transaction_id is a UUIDv7)
--
-- The primary key is on every partition, not on the parent: a transaction lies in one partition, so that is the same; but a
-- parent's index would be made on a restored partition twice, by ATTACH and by the dump, and the restore would fail.
--

CREATE TABLE pgw.transaction_events (
	event_id uuid NOT NULL,
	transaction_id uuid NOT NULL,
	event_type pgw.event_type NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	event_data jsonb NOT NULL,
	error_details text,
	step_order int NOT NULL,
	txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	CONSTRAINT transaction_events_step_order_check CHECK (step_order >= 1)
) PARTITION BY RANGE (transaction_id);

-- Row triggers of the parent are copied to each partition, statement triggers are not.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON pgw.transaction_events
	FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.transaction_events
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.transaction_events ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;

CREATE TABLE pgw.transaction_events_default PARTITION OF pgw.transaction_events (PRIMARY KEY (transaction_id, step_order)) DEFAULT;
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.transaction_events_default
	FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.transaction_events_default ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;

-- Make the partitions of this month and the next `ahead` ones; returns how many are new. They are made here and not by this script,
-- because members of the extension would not be in a dump; and only once there is a bank, because the dump that is being
-- restored brings its own. Never waits long for a reader of the default partition: what cannot be made now is made by the next call.
CREATE FUNCTION pgw.ensure_event_partitions(ahead int DEFAULT 2) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS
$$
DECLARE
	month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
	bounds text[];
	part text;
	made int := 0;
BEGIN
	IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 120 THEN
		RAISE EXCEPTION 'ahead must be between 0 and 120 months' USING ERRCODE = 'PW400',
			DETAIL = '[{"field": "ahead", "code": "out_of_range", "message": "must be between 0 and 120 months"}]';
	END IF;
	IF NOT EXISTS (SELECT FROM pgw.banks) THEN
		RETURN 0;
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
			EXECUTE format('REVOKE ALL ON TABLE pgw.%I FROM PUBLIC', part);
			EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pgw.%I
				FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change()', part);
			-- ATTACH, not PARTITION OF: it does not wait for those who write events
			EXECUTE format('ALTER TABLE pgw.transaction_events ATTACH PARTITION pgw.%I FOR VALUES FROM (%L) TO (%L)',
				part, bounds[1], bounds[2]);
			EXECUTE format('ALTER TABLE pgw.%I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', part);
			made := made + 1;
		EXCEPTION
			WHEN check_violation THEN
				RAISE WARNING 'pgw: events of % stay in the default partition, which already holds some of that month', part;
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

CREATE FUNCTION pgw.bank_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	PERFORM pgw.ensure_event_partitions(2);
	RETURN NULL;
END
$$;

-- The first bank makes the first partitions.
CREATE TRIGGER bank_added AFTER INSERT ON pgw.banks FOR EACH STATEMENT EXECUTE FUNCTION pgw.bank_added();

--
-- Restored and copied databases: src/restore/pause.c says when the worker stays paused
--

-- Append-only, like the other records.
CREATE TABLE pgw.resumptions (
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	resumed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	resumed_by text NOT NULL,
	taken_over bigint,				-- attempts; NULL: nobody resumed, there was no attempt yet
	note text,
	incident_id uuid,				-- of the server (src/restore/copied_cluster.c); NULL: it was not taken for a copy
	PRIMARY KEY (system_identifier, database_oid, resumed_at)
);

-- A row: attempts were loaded by a statement, or came with a copy of the cluster, and nobody has resumed since.
CREATE TABLE pgw.restore_pending (
	noticed_at timestamptz NOT NULL PRIMARY KEY DEFAULT clock_timestamp(),
	incident_id uuid,				-- a copy of the cluster; over once it is in resumptions
	reason text NOT NULL DEFAULT 'loaded'
);

CREATE FUNCTION pgw.notice_load() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF EXISTS (SELECT FROM pgw.payment_transactions) AND NOT EXISTS (SELECT FROM pgw.restore_pending WHERE incident_id IS NULL) THEN
		INSERT INTO pgw.restore_pending DEFAULT VALUES;
	END IF;
	RETURN NULL;
END
$$;

-- pgw inserts attempts without a statement, so this costs a payment nothing and fires for restores only.
CREATE TRIGGER notice_load AFTER INSERT ON pgw.payment_transactions FOR EACH STATEMENT EXECUTE FUNCTION pgw.notice_load();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON pgw.resumptions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.resumptions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER config_changed AFTER INSERT ON pgw.resumptions FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
CREATE TRIGGER config_changed AFTER INSERT ON pgw.restore_pending FOR EACH STATEMENT EXECUTE FUNCTION pgw.config_changed();
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER notice_load;
ALTER TABLE pgw.resumptions ENABLE ALWAYS TRIGGER refuse_change, ENABLE ALWAYS TRIGGER refuse_truncate, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.restore_pending ENABLE ALWAYS TRIGGER config_changed;

CREATE FUNCTION pgw.resume_after_restore(note text DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_resume_after_restore_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp;

--
-- Functions for clients: none is STRICT, so that a NULL can be named. The C code acts as the extension's owner after it has checked
-- the grants of the immediate caller; SECURITY DEFINER would hide who that is.
--

-- Refuses (process_payment(volatile id, ...)).* when it is planned (src/client_api/repeated_calls.c).
CREATE FUNCTION pgw.call_support(internal) RETURNS internal AS 'MODULE_PATHNAME', 'pgw_call_support' LANGUAGE C STRICT;

-- Amounts are numeric, so that no driver cuts 49.90 to 49 for a bigint. No overload with float8: it is the preferred type, and literals would go there.
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

-- What follows an authorization or a charge: recorded here, done by the worker after the commit (docs/operations.md).
CREATE FUNCTION pgw.capture_payment(payment_id uuid, client_request_id text, amount numeric DEFAULT NULL, final boolean DEFAULT true,
	options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_capture_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;

CREATE FUNCTION pgw.void_payment(payment_id uuid, client_request_id text, options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_void_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;

CREATE FUNCTION pgw.refund_payment(payment_id uuid, client_request_id text, amount numeric DEFAULT NULL, reason text DEFAULT NULL,
	options jsonb DEFAULT '{}') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_refund_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SUPPORT pgw.call_support;

CREATE FUNCTION pgw.get_payment(payment_id uuid) RETURNS SETOF pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_get_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;

CREATE FUNCTION pgw.find_payment(client_request_id text, merchant text DEFAULT 'default') RETURNS SETOF pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_find_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;

CREATE FUNCTION pgw.wait_for_payment(payment_id uuid, timeout interval DEFAULT '30s') RETURNS pgw.payment_result
AS 'MODULE_PATHNAME', 'pgw_wait_for_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION pgw.payment_history(payment_id uuid)
RETURNS TABLE (event_id uuid, transaction_id uuid, kind pgw.operation_kind, step_order int, event_type pgw.event_type,
	occurred_at timestamptz, event_data jsonb, error_details text)
AS 'MODULE_PATHNAME', 'pgw_payment_history_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;

CREATE FUNCTION pgw.resolve_review(transaction_id uuid, action text, note text, evidence jsonb DEFAULT '{}') RETURNS pgw.transaction_status
AS 'MODULE_PATHNAME', 'pgw_resolve_review_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- For a bank that answers at another version now with the same ledger: attempts of the one go by the other. Returns how many unfinished ones; NULL: it is
-- proposed, and waits for a second role (pgw.require_four_eyes).
CREATE FUNCTION pgw.rebind_attempts(from_version int, to_version int, note text) RETURNS bigint
AS 'MODULE_PATHNAME', 'pgw_rebind_attempts_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp;

-- The actions that docs/manual-review.md allows.
CREATE FUNCTION pgw.review_actions(kind pgw.operation_kind, came_from pgw.transaction_status) RETURNS text[]
AS 'MODULE_PATHNAME', 'pgw_review_actions_1_0' LANGUAGE C IMMUTABLE PARALLEL SAFE;

-- What one operator asks another to confirm (pgw.require_four_eyes). The newest one counts, while the attempt has not moved since.
CREATE TABLE pgw.review_proposals (
	transaction_id uuid NOT NULL,
	proposal int NOT NULL CHECK (proposal >= 1),
	step_order int NOT NULL,
	action text NOT NULL,
	note text NOT NULL,
	evidence jsonb NOT NULL,
	proposed_by regrole NOT NULL,	-- of the session
	proposer text NOT NULL,			-- its name then
	proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (transaction_id, proposal)
);

--
-- Health, figures, recovery (docs/monitoring.md). The planner's settings: what is open is found by its partial index, also while there are no
-- statistics yet; a sequential scan would cost what is stored.
--

CREATE FUNCTION pgw.health() RETURNS TABLE (check_name text, status text, advice text, details jsonb)
AS 'MODULE_PATHNAME', 'pgw_health_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 20
	SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off;

CREATE FUNCTION pgw.read_metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
AS 'MODULE_PATHNAME', 'pgw_read_metrics_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
	SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off;

CREATE VIEW pgw.metrics AS SELECT m.name, m.labels, m.value FROM pgw.read_metrics() m;

-- One recovery scan now: waits until the worker has made it, and the bank calls that it led to; up to a minute.
CREATE FUNCTION pgw.run_recovery(OUT looked_at bigint, OUT resolved bigint, OUT given_back bigint, OUT to_review bigint, OUT retried bigint,
	OUT bank_calls bigint, OUT complete boolean)
AS 'MODULE_PATHNAME', 'pgw_run_recovery_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

--
-- No cast may run in a foreign-key check: the check of a row of somebody's table against pgw's runs with the rights of pgw's owner, and so would a cast function of the author of that
-- table (docs/security.md). So a foreign key to a table of pgw needs columns of exactly the referenced types.
--

-- The foreign keys that break this. pg_depend has an index by the referenced table, pg_constraint has none.
CREATE FUNCTION pgw.foreign_keys_with_casts(OUT constraint_name text, OUT from_table regclass, OUT to_table regclass) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$
	SELECT DISTINCT c.conname::text, c.conrelid::regclass, c.confrelid::regclass
	FROM pg_extension x
	JOIN pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = x.oid AND m.deptype = 'e' AND m.classid = 'pg_class'::regclass
	JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = m.objid AND d.classid = 'pg_constraint'::regclass
	JOIN pg_constraint c ON c.oid = d.objid AND c.contype = 'f' AND c.confrelid = m.objid
	WHERE x.extname = 'pgw' AND EXISTS (
		SELECT FROM unnest(c.conkey, c.confkey) k (here, there)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.here
		JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.there
		WHERE a.atttypid <> b.atttypid)
$$;

-- At each statement that can make one, or change the type of its column, by whatever way: all are looked at, since an ALTER of a parent changes its children, too.
-- It looks as the owner, whoever runs the statement: nobody else may call what it calls.
CREATE FUNCTION pgw.refuse_foreign_key_casts() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	f record;
BEGIN
	SELECT * INTO f FROM pgw.foreign_keys_with_casts() LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('a foreign key to %s must have columns of exactly the types that it refers to', f.to_table),
			DETAIL = json_build_object('code', 'foreign_key_needs_cast', 'class', 'business', 'http_status', 422, 'retryable', false, 'constraint', f.constraint_name, 'table', f.from_table::text),
			HINT = 'Make the column uuid: no domain, no other type. The cast would run with the rights of the owner of pgw.';
	END IF;
END
$$;

CREATE EVENT TRIGGER pgw_refuse_foreign_key_casts ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA', 'ALTER TYPE', 'ALTER DOMAIN', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE')
	EXECUTE FUNCTION pgw.refuse_foreign_key_casts();
ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts ENABLE ALWAYS;

--
-- Nobody's code runs with more rights than its author's. What is on a table (triggers, constraints, defaults, index and statistics expressions, policies, rules, domains of its
-- columns) runs as whoever writes the row: as the owner of pgw in a caller's transaction, as a superuser in the worker. So each function that it uses must be a superuser's, or
-- SECURITY DEFINER, and so run as its own owner (docs/security.md).
--

-- The functions that break this, each with the table that it is used on.
CREATE FUNCTION pgw.code_of_others(OUT on_table regclass, OUT function regprocedure, OUT owner regrole, OUT problem text) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
	WITH RECURSIVE relation AS (
		SELECT m.objid AS oid
		FROM pg_extension x
		JOIN pg_depend m ON m.refclassid = 'pg_extension'::regclass AND m.refobjid = x.oid AND m.deptype = 'e' AND m.classid = 'pg_class'::regclass
		WHERE x.extname = 'pgw'
		UNION
		SELECT i.inhrelid FROM relation r JOIN pg_inherits i ON i.inhparent = r.oid
	), placed AS MATERIALIZED (
		-- what stands on a table; the table itself for the types of its columns
		SELECT r.oid AS on_table, o.classid, o.objid, o.deferred
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
		-- and what that is made of, where it is neither the server's nor pgw's (objects of the extension are a superuser's)
		SELECT p.on_table, p.deferred, d.refclassid AS classid, d.refobjid AS objid
		FROM placed p
		JOIN pg_depend d ON d.classid = p.classid AND d.objid = p.objid
		WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass)
			AND NOT EXISTS (SELECT FROM pg_depend m JOIN pg_extension x ON x.oid = m.refobjid AND x.extname = 'pgw'
				WHERE m.classid = d.refclassid AND m.objid = d.refobjid AND m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e')
	), used AS (
		SELECT u.on_table, u.deferred, u.classid, u.objid FROM uses u
		UNION
		SELECT u.on_table, u.deferred, o.classid, o.objid
		FROM used u
		CROSS JOIN LATERAL (
			SELECT d.refclassid, d.refobjid FROM pg_depend d
			WHERE d.classid = u.classid AND d.objid = u.objid
				AND d.refclassid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass)
			UNION ALL SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c WHERE u.classid = 'pg_type'::regclass AND c.contypid = u.objid
			UNION ALL SELECT 'pg_type'::regclass, t.typelem FROM pg_type t WHERE u.classid = 'pg_type'::regclass AND t.oid = u.objid AND t.typelem <> 0
			UNION ALL SELECT 'pg_class'::regclass, t.typrelid FROM pg_type t WHERE u.classid = 'pg_type'::regclass AND t.oid = u.objid AND t.typrelid <> 0
		) o (classid, objid)
	)
	SELECT DISTINCT u.on_table::regclass, p.oid::regprocedure, p.proowner::regrole,
		CASE WHEN NOT a.rolsuper AND NOT p.prosecdef THEN 'owner' ELSE 'search_path' END
	FROM used u
	JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
	JOIN pg_authid a ON a.oid = p.proowner
	WHERE NOT a.rolsuper AND NOT p.prosecdef
		-- From PostgreSQL 18 on, a deferred trigger of a client's COMMIT runs as the owner of pgw, and with the client's search_path, unless it brings its own.
		OR u.deferred AND p.prorettype = 'trigger'::regtype AND p.oid >= 16384 AND current_setting('server_version_num')::int >= 180000
			AND (p.proconfig IS NULL OR NOT EXISTS (SELECT FROM unnest(p.proconfig) c (setting) WHERE c.setting LIKE 'search_path=%'))
$$;

CREATE FUNCTION pgw.refuse_code_of_others() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	c record;
BEGIN
	-- A superuser's functions are most of them: extensions make thousands.
	IF TG_TAG ~ ' (FUNCTION|PROCEDURE|ROUTINE|AGGREGATE)$' AND NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() e
			JOIN pg_proc p ON p.oid = e.objid JOIN pg_authid a ON a.oid = p.proowner WHERE NOT a.rolsuper OR p.proconfig IS NULL AND p.prorettype = 'trigger'::regtype) THEN
		RETURN;
	END IF;
	SELECT * INTO c FROM pgw.code_of_others() LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('function %s may not run on %s', c.function, c.on_table),
			DETAIL = json_build_object('code', 'code_of_others', 'class', 'business', 'http_status', 422, 'retryable', false, 'function', c.function::text, 'table', c.on_table::text,
				'owner', c.owner::text, 'reason', c.problem),
			HINT = CASE c.problem WHEN 'owner' THEN 'It would run with the rights of the owner of pgw: make it SECURITY DEFINER, or have a superuser own it.'
				ELSE 'It is deferred, and would run with the search_path of whoever commits: give it one of its own, with SET search_path.' END;
	END IF;
END
$$;

CREATE EVENT TRIGGER pgw_refuse_code_of_others ON ddl_command_end
	WHEN TAG IN ('CREATE TRIGGER', 'ALTER TABLE', 'CREATE TABLE', 'CREATE INDEX', 'CREATE STATISTICS', 'CREATE POLICY', 'ALTER POLICY', 'CREATE RULE', 'ALTER DOMAIN',
		'ALTER TYPE', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER PROCEDURE', 'ALTER ROUTINE', 'ALTER AGGREGATE', 'CREATE AGGREGATE')
	EXECUTE FUNCTION pgw.refuse_code_of_others();
ALTER EVENT TRIGGER pgw_refuse_code_of_others ENABLE ALWAYS;

--
-- Consistency: what the tables promise one another, as one query over one snapshot. Every commit of pgw leaves this view empty, also while
-- payments are under way. docs/sql-reference.md says what each check means. merchant is null where a row is not one merchant's alone.
--

-- The table of core/state/state_machine.c; from_status is null before the first step.
CREATE FUNCTION pgw.legal_steps()
RETURNS TABLE (kind pgw.operation_kind, event_type pgw.event_type, from_status pgw.transaction_status, to_status pgw.transaction_status)
AS 'MODULE_PATHNAME', 'pgw_legal_steps_1_0' LANGUAGE C STABLE PARALLEL SAFE ROWS 200;

CREATE VIEW pgw.broken_invariants AS
WITH event AS (
	-- ordered, so that the index of each partition is read and nothing is sorted or kept
	SELECT e.transaction_id, e.step_order, e.event_type, e.txid, e.event_data->>'from' AS from_status, e.event_data->>'to' AS to_status
	FROM pgw.transaction_events e
	ORDER BY e.transaction_id, e.step_order
), chain AS (
	SELECT e.*, lag(e.step_order) OVER w AS before_step, lag(e.from_status) OVER w AS before_from, lag(e.to_status) OVER w AS before_to,
		lag(e.txid) OVER w AS before_txid, lead(e.step_order) OVER w IS NULL AS last
	FROM event e
	WINDOW w AS (PARTITION BY e.transaction_id ORDER BY e.step_order)
), history AS (
	-- A legal step is on an edge of the table and begins where the step before it has led to, or is of one commit and on one edge with
	-- it: the rule of core/state/state_from_events.c. After a gap only the edge can be told.
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
		min(c.step_order) FILTER (WHERE c.event_type IN ('CaptureCompleted', 'CaptureFailed')) AS capture_answered,
		min(c.step_order) FILTER (WHERE c.event_type = 'RefundStarted') AS refund_sent,
		min(c.step_order) FILTER (WHERE c.event_type IN ('RefundCompleted', 'RefundFailed', 'RefundPending', 'RefundOutcomeUnknown'))
			AS refund_answered
	FROM chain c
	LEFT JOIN pgw.payment_transactions t ON t.transaction_id = c.transaction_id
	GROUP BY c.transaction_id
), bank_key AS NOT MATERIALIZED (
	-- of the operation itself, of giving back, and of the capture after the commit
	SELECT t.bank, t.bank_key AS key, t.payment_id, t.transaction_id, t.merchant FROM pgw.payment_transactions t WHERE t.bank_key IS NOT NULL
	UNION ALL
	SELECT t.bank, t.refund_key, t.payment_id, t.transaction_id, t.merchant FROM pgw.payment_transactions t WHERE t.refund_key IS NOT NULL
	UNION ALL
	SELECT t.bank, t.capture_key, t.payment_id, t.transaction_id, t.merchant FROM pgw.payment_transactions t WHERE t.capture_key IS NOT NULL
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
	SELECT 'event_without_transaction', jsonb_build_object('events', h.events)
	WHERE t.transaction_id IS NULL
	UNION ALL
	SELECT 'transaction_without_events', jsonb_build_object('status', t.status, 'step_order', t.step_order)
	WHERE h.transaction_id IS NULL
	UNION ALL
	SELECT 'step_missing', jsonb_build_object('before_step', h.after_gap, 'events', h.events)
	WHERE h.after_gap IS NOT NULL AND t.transaction_id IS NOT NULL
	UNION ALL
	SELECT 'step_illegal', jsonb_build_object('step', h.illegal)
	WHERE h.illegal IS NOT NULL AND t.transaction_id IS NOT NULL
	UNION ALL
	SELECT 'status_differs', jsonb_build_object('status', t.status, 'by_events', h.status)
	WHERE (t.status::text = h.status) IS NOT TRUE AND t.transaction_id IS NOT NULL AND h.transaction_id IS NOT NULL
	UNION ALL
	SELECT 'step_order_differs', jsonb_build_object('step_order', t.step_order, 'by_events', h.steps)
	WHERE t.step_order <> h.steps
	UNION ALL
	SELECT 'answer_without_intent', jsonb_build_object('step', x.step)
	FROM (VALUES (h.charge_answered, h.charge_sent), (h.capture_answered, h.capture_sent), (h.refund_answered, h.refund_sent)) x (step, sent)
	WHERE x.step < coalesce(x.sent, h.steps + 1) AND t.transaction_id IS NOT NULL
	UNION ALL
	-- outside of the index that keeps a second one of its id away; what comes back to life late may have a successor
	SELECT 'live_attempt_not_taken', jsonb_build_object('status', t.status)
	WHERE NOT t.taken AND h.late IS NULL AND (t.status NOT IN ('Created', 'Failed', 'Refunded') OR t.status = 'Created' AND h.charge_sent IS NOT NULL)
	UNION ALL
	SELECT 'attempt_never_due', jsonb_build_object('status', t.status)
	WHERE NOT t.taken AND t.status = 'Created' AND t.next_attempt_at IS NULL
	UNION ALL
	SELECT 'unacceptable_approval_kept', jsonb_build_object('amount', t.amount, 'currency', t.currency, 'approved_amount', t.approved_amount,
		'approved_currency', t.approved_currency)
	WHERE t.status IN ('Saved', 'Completed') AND (t.approved_amount <> t.amount OR t.approved_currency <> t.currency)
) b (check_name, details)

UNION ALL
-- A payment and the attempt that it votes for
SELECT b.check_name, coalesce(p.payment_id, t.payment_id), coalesce(p.transaction_id, t.transaction_id),
	CASE WHEN (p.merchant <> t.merchant) IS NOT TRUE THEN coalesce(p.merchant, t.merchant) END, b.details
FROM pgw.payments p
FULL JOIN (
	-- charged: the payments row has to say so. A review keeps what its attempt had come to.
	SELECT t.*, CASE t.status
			WHEN 'Saved' THEN true
			WHEN 'Completed' THEN true
			WHEN 'RequiresManualReview' THEN 'Saved' = (SELECT e.event_data->>'from' FROM pgw.transaction_events e
				WHERE e.transaction_id = t.transaction_id ORDER BY e.step_order DESC LIMIT 1)
			ELSE false
		END AS charged
	FROM pgw.payment_transactions t
) t ON t.transaction_id = p.transaction_id
LEFT JOIN (
	-- Saved is done; what is neither done nor Failed is in doubt
	SELECT o.payment_id,
		sum(o.amount) FILTER (WHERE o.kind = 'capture' AND o.status IN ('Saved', 'Completed')) AS captured,
		sum(o.amount) FILTER (WHERE o.kind = 'refund' AND o.status IN ('Saved', 'Completed')) AS refunded,
		sum(o.amount) FILTER (WHERE o.kind = 'refund' AND o.status NOT IN ('Saved', 'Completed', 'Failed')) AS refund_pending,
		sum(o.amount) FILTER (WHERE o.kind IN ('capture', 'void') AND o.status NOT IN ('Saved', 'Completed', 'Failed')) AS reserved,
		bool_or(o.kind = 'void' AND o.status IN ('Saved', 'Completed')) AS voided
	FROM pgw.payment_transactions o
	WHERE o.kind <> 'payment'
	GROUP BY o.payment_id
) o ON o.payment_id = p.payment_id
CROSS JOIN LATERAL (
	SELECT 'payment_without_transaction', jsonb_build_object('status', p.status)
	WHERE t.transaction_id IS NULL
	UNION ALL
	SELECT 'payment_names_other', jsonb_build_object('differ', to_jsonb(array_remove(ARRAY[
		CASE WHEN t.kind <> 'payment' THEN 'kind' END, CASE WHEN t.payment_id <> p.payment_id THEN 'payment_id' END,
		CASE WHEN t.merchant <> p.merchant THEN 'merchant' END, CASE WHEN t.client_request_id <> p.client_request_id THEN 'client_request_id' END,
		CASE WHEN t.amount <> p.amount THEN 'amount' END, CASE WHEN t.currency <> p.currency THEN 'currency' END,
		CASE WHEN t.capture <> p.capture THEN 'capture' END], NULL)))
	WHERE p.payment_id IS NOT NULL AND (t.kind <> 'payment' OR t.payment_id <> p.payment_id OR t.merchant <> p.merchant
		OR t.client_request_id <> p.client_request_id OR t.amount <> p.amount OR t.currency <> p.currency OR t.capture <> p.capture)
	UNION ALL
	SELECT 'payment_without_charge', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status NOT IN ('pending', 'declined', 'failed', 'in_review') AND NOT t.charged
	UNION ALL
	SELECT 'charge_differs', jsonb_build_object('bank', p.bank, 'transaction_bank', t.bank, 'bank_reference', p.bank_reference,
		'transaction_bank_reference', t.bank_reference)
	WHERE p.status NOT IN ('pending', 'declined', 'failed', 'in_review')
		AND (p.bank IS DISTINCT FROM t.bank OR p.bank_reference IS DISTINCT FROM t.bank_reference) AND t.transaction_id IS NOT NULL
	UNION ALL
	SELECT 'charge_without_payment', jsonb_build_object('transaction_status', t.status)
	WHERE p.payment_id IS NULL AND t.charged AND t.kind = 'payment'
	UNION ALL
	SELECT 'charge_denied', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status IN ('pending', 'declined', 'failed', 'in_review') AND t.status IN ('Saved', 'Completed')
	UNION ALL
	SELECT 'unknown_told_as_failed', jsonb_build_object('status', p.status, 'transaction_status', t.status)
	WHERE p.status IN ('declined', 'failed') AND t.status IN ('Created', 'BankUnknown')
	UNION ALL
	-- The worker needs a moment. A caller whose PREPAREd transaction is committed late is found when the attempt is looked at next.
	SELECT 'vote_not_settled', jsonb_build_object('status', p.status, 'transaction_status', t.status, 'since', t.updated_at)
	WHERE (p.status = 'pending' AND t.status IN ('BankApproved', 'Failed', 'Refunded', 'RequiresManualReview')
			OR p.status = 'in_review' AND t.status IN ('Failed', 'Refunded'))
		AND greatest(p.updated_at, t.updated_at) < clock_timestamp() - interval '1 minute'
		AND (t.next_attempt_at BETWEEN clock_timestamp() - interval '10 minutes' AND clock_timestamp() + interval '10 minutes') IS NOT TRUE
	UNION ALL
	SELECT 'amounts_disagree', jsonb_build_object('status', p.status, 'amount', p.amount, 'authorized_amount', p.authorized_amount,
		'captured_amount', p.captured_amount, 'refunded_amount', p.refunded_amount)
	WHERE NOT CASE p.status
		WHEN 'pending' THEN p.authorized_amount = 0 AND p.captured_amount = 0
		WHEN 'declined' THEN p.authorized_amount = 0 AND p.captured_amount = 0
		WHEN 'failed' THEN p.captured_amount = p.refunded_amount
		WHEN 'in_review' THEN p.captured_amount = 0
		WHEN 'authorized' THEN p.authorized_amount = p.amount AND p.captured_amount = 0
		WHEN 'partially_captured' THEN p.captured_amount > 0 AND p.captured_amount < p.amount
		WHEN 'captured' THEN p.captured_amount > 0 AND (p.captured_amount = p.amount OR p.capture = 'manual') AND p.refunded_amount = 0
		WHEN 'partially_refunded' THEN p.refunded_amount > 0 AND p.refunded_amount < p.captured_amount
		WHEN 'refunded' THEN p.refunded_amount > 0 AND p.refunded_amount = p.captured_amount
		WHEN 'voided' THEN p.captured_amount = 0
		WHEN 'expired' THEN p.captured_amount = 0
	END
	UNION ALL
	SELECT 'refunds_exceed_capture', jsonb_build_object('captured_amount', p.captured_amount, 'refunded_amount', p.refunded_amount,
		'refund_pending_amount', p.refund_pending_amount)
	WHERE p.refund_pending_amount > p.captured_amount - p.refunded_amount
	UNION ALL
	SELECT 'capture_missing', jsonb_build_object('status', p.status, 'capture', p.capture)
	WHERE p.status = 'authorized' AND p.capture <> 'manual' AND t.status = 'Completed'
	UNION ALL
	-- the capture that follows the commit of an on_commit payment claims the whole authorization
	SELECT 'reserved_differs', jsonb_build_object('reserved_amount', p.reserved_amount, 'by_transactions', coalesce(o.reserved, 0))
	WHERE p.reserved_amount <> CASE WHEN p.capture = 'on_commit' AND p.status = 'authorized' THEN p.authorized_amount ELSE coalesce(o.reserved, 0) END
	UNION ALL
	SELECT 'captures_differ', jsonb_build_object('captured_amount', p.captured_amount, 'by_transactions', coalesce(o.captured, 0))
	WHERE p.capture = 'manual' AND p.captured_amount <> coalesce(o.captured, 0)
	UNION ALL
	SELECT 'refunds_differ', jsonb_build_object('refunded_amount', p.refunded_amount, 'refund_pending_amount', p.refund_pending_amount,
		'by_transactions', coalesce(o.refunded, 0), 'pending_by_transactions', coalesce(o.refund_pending, 0))
	WHERE p.refunded_amount <> coalesce(o.refunded, 0) OR p.refund_pending_amount <> coalesce(o.refund_pending, 0)
	UNION ALL
	-- a void that came too late has found the authorization expired
	SELECT 'void_differs', jsonb_build_object('status', p.status, 'by_transactions', coalesce(o.voided, false))
	WHERE p.status = 'voided' AND NOT coalesce(o.voided, false) OR o.voided AND p.status NOT IN ('voided', 'expired')
) b (check_name, details)

UNION ALL
-- An attempt and the payment that it was accepted for: only a caller's own charge may have lost its row, by rollback
SELECT b.check_name, t.payment_id, t.transaction_id, CASE WHEN (p.merchant <> t.merchant) IS NOT TRUE THEN t.merchant END, b.details
FROM pgw.payment_transactions t
LEFT JOIN pgw.payments p ON p.payment_id = t.payment_id
CROSS JOIN LATERAL (
	SELECT 'transaction_without_payment', jsonb_build_object('kind', t.kind, 'status', t.status)
	WHERE p.payment_id IS NULL AND (t.submitted OR t.kind <> 'payment')
	UNION ALL
	SELECT 'transaction_of_other_payment', jsonb_build_object('differ', to_jsonb(array_remove(ARRAY[
		CASE WHEN t.merchant <> p.merchant THEN 'merchant' END, CASE WHEN t.currency <> p.currency THEN 'currency' END,
		CASE WHEN t.kind = 'payment' AND t.client_request_id <> p.client_request_id THEN 'client_request_id' END,
		CASE WHEN t.kind <> 'payment' AND t.bank IS DISTINCT FROM p.bank THEN 'bank' END], NULL)))
	WHERE t.transaction_id <> p.transaction_id AND (t.merchant <> p.merchant OR t.currency <> p.currency
		OR t.kind = 'payment' AND t.client_request_id <> p.client_request_id OR t.kind <> 'payment' AND t.bank IS DISTINCT FROM p.bank)
) b (check_name, details)

UNION ALL
-- What a foreign key would say
SELECT 'merchant_missing', t.payment_id, t.transaction_id, t.merchant, jsonb_build_object('merchant', t.merchant)
FROM pgw.payment_transactions t
WHERE NOT EXISTS (SELECT FROM pgw.merchants m WHERE m.merchant = t.merchant)
UNION ALL
SELECT 'bank_version_missing', t.payment_id, t.transaction_id, t.merchant, jsonb_build_object('bank', t.bank, 'bank_version', t.bank_version)
FROM pgw.payment_transactions t
WHERE t.bank_version IS NOT NULL AND NOT EXISTS (SELECT FROM pgw.bank_versions v WHERE v.version = t.bank_version AND v.bank = t.bank)

UNION ALL
-- Made while the event trigger was off
SELECT 'foreign_key_cast', NULL, NULL, NULL, jsonb_build_object('constraint', f.constraint_name, 'table', f.from_table::text, 'references', f.to_table::text)
FROM pgw.foreign_keys_with_casts() f
UNION ALL
SELECT 'code_of_others', NULL, NULL, NULL, jsonb_build_object('table', c.on_table::text, 'function', c.function::text, 'owner', c.owner::text, 'reason', c.problem)
FROM pgw.code_of_others() c
UNION ALL
-- The id of a charge and the attempt that it belongs to
SELECT 'charge_not_claimed', t.payment_id, t.transaction_id, t.merchant, jsonb_build_object('bank', t.bank, 'bank_reference', t.bank_reference)
FROM pgw.payment_transactions t
LEFT JOIN pgw.bank_references r ON r.transaction_id = t.transaction_id AND r.bank_reference = t.bank_reference
WHERE t.kind = 'payment' AND t.status IN ('BankApproved', 'Saved', 'Completed') AND t.bank_reference IS NOT NULL AND r.transaction_id IS NULL
UNION ALL
SELECT 'claim_without_charge', NULL, r.transaction_id, NULL, jsonb_build_object('account', r.account, 'bank_reference', r.bank_reference)
FROM pgw.bank_references r
LEFT JOIN pgw.payment_transactions t ON t.transaction_id = r.transaction_id AND t.kind = 'payment'
WHERE t.transaction_id IS NULL

UNION ALL
-- What must be there once only; the oldest attempt of each group stands for it
SELECT d.check_name, (array_agg(d.payment_id ORDER BY d.transaction_id))[1], (array_agg(d.transaction_id ORDER BY d.transaction_id))[1],
	CASE WHEN count(DISTINCT d.merchant) = 1 THEN min(d.merchant) END,
	jsonb_build_object('transactions', jsonb_agg(DISTINCT d.transaction_id))
FROM (
	SELECT 'two_live_attempts', jsonb_build_array(t.client_request_id, t.merchant, t.kind), t.payment_id, t.transaction_id, t.merchant
	FROM pgw.payment_transactions t
	WHERE t.taken AND t.status NOT IN ('Failed', 'Refunded') AND (t.client_request_id, t.merchant, t.kind) IN (
		SELECT s.client_request_id, s.merchant, s.kind
		FROM pgw.payment_transactions s
		WHERE s.taken AND s.status NOT IN ('Failed', 'Refunded')
		GROUP BY s.client_request_id, s.merchant, s.kind HAVING count(*) > 1)
	UNION ALL
	SELECT 'bank_key_twice', jsonb_build_array(k.bank, k.key), k.payment_id, k.transaction_id, k.merchant
	FROM bank_key k
	WHERE (k.bank, k.key) IN (SELECT s.bank, s.key FROM bank_key s GROUP BY s.bank, s.key HAVING count(*) > 1)
	UNION ALL
	SELECT 'charge_twice', jsonb_build_array(t.account, t.bank_reference), t.payment_id, t.transaction_id, t.merchant
	FROM charge t
	WHERE (t.account, t.bank_reference) IN (SELECT s.account, s.bank_reference FROM charge s GROUP BY s.account, s.bank_reference HAVING count(*) > 1)
	UNION ALL
	SELECT 'event_id_twice', to_jsonb(e.event_id), t.payment_id, e.transaction_id, t.merchant
	FROM pgw.transaction_events e
	LEFT JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
	WHERE e.event_id IN (SELECT s.event_id FROM pgw.transaction_events s GROUP BY s.event_id HAVING count(*) > 1)
) d (check_name, what, payment_id, transaction_id, merchant)
GROUP BY d.check_name, d.what;

CREATE FUNCTION pgw.rebuild_status(transaction_id uuid) RETURNS pgw.transaction_status
AS 'MODULE_PATHNAME', 'pgw_rebuild_status_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

-- The view as of now, and of the caller's merchants. Many small expressions on many rows: compiling them costs more than it saves.
-- No nested loops: on tables that were loaded since their last ANALYZE they would take the square of what is stored.
CREATE FUNCTION pgw.check_consistency()
RETURNS TABLE (check_name text, payment_id uuid, transaction_id uuid, details jsonb)
AS 'MODULE_PATHNAME', 'pgw_check_consistency_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off SET enable_nestloop = off;

--
-- Access. The C code and the views read the grants; EXECUTE and SELECT follow from them.
--

CREATE TABLE pgw.access_grants (
	role regrole NOT NULL,
	level text NOT NULL CHECK (level IN ('client', 'operator', 'auditor')),
	merchant text NOT NULL,		-- '': all. Not NULL, so that the table has a primary key, as publications ask for
	granted_by text NOT NULL DEFAULT session_user,
	granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (role, level, merchant)
);

-- A client's own payments, to join to its orders.
CREATE VIEW pgw.my_payments WITH (security_barrier) AS
SELECT p.payment_id, p.transaction_id, p.client_request_id, p.merchant, p.status, p.capture, p.amount, p.currency, p.authorized_amount,
	p.captured_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount, p.bank, p.bank_reference, p.authorization_code, p.card_last4,
	p.card_brand, p.reference, p.metadata, p.created_at, p.updated_at
FROM pgw.payments p
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.merchant IN ('', p.merchant) AND pg_has_role(current_user, g.role::oid, 'USAGE'));

-- What operators and auditors see: everything but tokens and the caller's transaction ids.
CREATE VIEW pgw.audit_transactions WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, t.status, t.step_order, t.submitted, t.amount, t.currency,
	t.capture, t.final_capture, t.reason, t.card_last4, t.card_brand, t.bank, t.bank_version, t.bank_requested, t.reference, t.bank_reference, t.authorization_code, t.attempts,
	t.next_attempt_at, t.put_off_since, t.put_off_reason, t.expires_at, t.error_class, t.error_code, t.error_message, t.http_status, t.retryable, t.correlation_id,
	t.created_at, t.updated_at
FROM pgw.payment_transactions t
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
		AND pg_has_role(current_user, g.role::oid, 'USAGE'));

CREATE VIEW pgw.audit_events WITH (security_barrier) AS
SELECT e.event_id, e.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, e.step_order, e.event_type, e.occurred_at,
	e.event_data, e.error_details, e.txid
FROM pgw.transaction_events e JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
		AND pg_has_role(current_user, g.role::oid, 'USAGE'));

-- What waits for a person, the oldest first to be looked at.
CREATE VIEW pgw.manual_reviews WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, r.came_from, r.since,
	clock_timestamp() - r.since AS age, t.amount, t.currency, t.bank, t.bank_reference, r.reason, r.error_code,
	(SELECT jsonb_agg(jsonb_build_object('step', e.step_order, 'event', e.event_type, 'at', e.occurred_at, 'data', e.event_data,
			'error', e.error_details) ORDER BY e.step_order)
		FROM pgw.transaction_events e WHERE e.transaction_id = t.transaction_id) AS context,
	pgw.review_actions(t.kind, r.came_from) AS possible_actions,
	(SELECT jsonb_build_object('action', q.action, 'note', q.note, 'evidence', q.evidence, 'by', q.proposer, 'at', q.proposed_at)
		FROM pgw.review_proposals q WHERE q.transaction_id = t.transaction_id AND q.step_order = t.step_order
		ORDER BY q.proposal DESC LIMIT 1) AS proposal,
	t.correlation_id
FROM pgw.payment_transactions t
LEFT JOIN LATERAL (
	SELECT (e.event_data->>'from')::pgw.transaction_status AS came_from, e.occurred_at AS since, e.event_data->>'reason' AS reason,
		e.event_data->>'error_code' AS error_code
	FROM pgw.transaction_events e
	WHERE e.transaction_id = t.transaction_id AND e.event_type = 'ManualReviewRequired'
	ORDER BY e.step_order DESC LIMIT 1) r ON true
WHERE t.status = 'RequiresManualReview' AND EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND g.merchant IN ('', t.merchant)
		AND pg_has_role(current_user, g.role::oid, 'USAGE'));

-- What people were told of, or would have been but for pgw.alert_period.
CREATE VIEW pgw.alerts WITH (security_barrier) AS
SELECT a.kind, a.subject, a.bank, a.transaction_id, a.message, a.first_at, a.last_at, a.told_at, a.count, a.told
FROM pgw.alert_state a
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND pg_has_role(current_user, g.role::oid, 'USAGE')
		AND (g.merchant = '' OR g.merchant = (SELECT t.merchant FROM pgw.payment_transactions t WHERE t.transaction_id = a.transaction_id)));

-- Bring a role's privileges in line with its rows in access_grants. The arrays are the grid of docs/sql-reference.md.
CREATE FUNCTION pgw.apply_access(role regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	read_functions CONSTANT text[] := '{get_payment,find_payment,wait_for_payment,payment_history}';
	audit_functions CONSTANT text[] := '{rebuild_status,check_consistency,review_actions,health,read_metrics}';
	client_functions CONSTANT text[] := '{process_payment,submit_payment,capture_payment,void_payment,refund_payment}';
	operator_functions CONSTANT text[] := '{resume_after_restore,resolve_review,run_recovery,rebind_attempts}';
	functions text[] := '{}';
	views text[] := '{}';
	levels text[] := ARRAY(SELECT DISTINCT g.level FROM pgw.access_grants g WHERE g.role = $1);
	f regprocedure;
	v text;
	t regtype;
BEGIN
	IF levels <> '{}' THEN
		functions := read_functions;
		views := '{my_payments}';
	END IF;
	IF 'client' = ANY (levels) THEN
		functions := functions || client_functions;
	END IF;
	IF 'operator' = ANY (levels) THEN
		functions := functions || operator_functions;
	END IF;
	IF levels && '{operator,auditor}' THEN
		functions := functions || audit_functions;
		views := views || '{audit_transactions,audit_events,manual_reviews,metrics,alerts}';
	END IF;

	FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace
		AND p.proname = ANY (read_functions || audit_functions || operator_functions || client_functions) LOOP
		IF (SELECT p.proname FROM pg_proc p WHERE p.oid = f) = ANY (functions) THEN
			EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f, $1);
		ELSE
			EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', f, $1);
		END IF;
	END LOOP;
	FOREACH v IN ARRAY '{my_payments,audit_transactions,audit_events,manual_reviews,metrics,alerts}'::text[] LOOP
		IF v = ANY (views) THEN
			EXECUTE format('GRANT SELECT ON pgw.%I TO %s', v, $1);
		ELSE
			EXECUTE format('REVOKE SELECT ON pgw.%I FROM %s', v, $1);
		END IF;
	END LOOP;
	FOREACH t IN ARRAY '{pgw.payment_result,pgw.payment_status,pgw.transaction_status,pgw.event_type,pgw.operation_kind,pgw.capture_mode}'::regtype[] LOOP
		IF levels <> '{}' THEN
			EXECUTE format('GRANT USAGE ON TYPE %s TO %s', t, $1);
		ELSE
			EXECUTE format('REVOKE USAGE ON TYPE %s FROM %s', t, $1);
		END IF;
	END LOOP;
	IF 'client' = ANY (levels) THEN
		EXECUTE format('GRANT REFERENCES (payment_id) ON pgw.payments TO %s', $1);
	ELSE
		EXECUTE format('REVOKE REFERENCES (payment_id) ON pgw.payments FROM %s', $1);
	END IF;
	IF levels <> '{}' THEN
		EXECUTE format('GRANT USAGE ON SCHEMA pgw TO %s', $1);
	ELSE
		EXECUTE format('REVOKE USAGE ON SCHEMA pgw FROM %s', $1);
	END IF;
END
$$;

CREATE FUNCTION pgw.grant_access(role regrole, level text, merchant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = $1) THEN
		RAISE EXCEPTION 'role does not exist' USING ERRCODE = 'PW400', HINT = 'PUBLIC cannot be given access: name a role.',
			DETAIL = '[{"field": "role", "code": "unknown_value", "message": "must be a role"}]';
	END IF;
	IF $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor') THEN
		RAISE EXCEPTION 'unknown level of access: %', coalesce(quote_literal($2), 'NULL')
			USING ERRCODE = 'PW400', HINT = 'The levels are client, operator and auditor.',
			DETAIL = '[{"field": "level", "code": "unknown_value", "message": "must be client, operator or auditor"}]';
	END IF;
	IF $3 IS NOT NULL AND NOT EXISTS (SELECT FROM pgw.merchants m WHERE m.merchant = $3) THEN
		RAISE EXCEPTION 'unknown merchant: %', quote_literal($3)
			USING ERRCODE = 'PW422', HINT = 'Insert it into pgw.merchants first, or leave it out to mean all merchants.',
			DETAIL = '{"code": "unknown_merchant", "class": "business", "http_status": 422, "retryable": false}';
	END IF;
	INSERT INTO pgw.access_grants (role, level, merchant) VALUES ($1, $2, coalesce($3, '')) ON CONFLICT DO NOTHING;
	PERFORM pgw.apply_access($1);
END
$$;

-- Without a merchant: every grant of that level.
CREATE FUNCTION pgw.revoke_access(role regrole, level text, merchant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF $1 IS NULL THEN
		RAISE EXCEPTION 'role does not exist' USING ERRCODE = 'PW400', HINT = 'Name the role that was given access.',
			DETAIL = '[{"field": "role", "code": "required", "message": "must not be null"}]';
	END IF;
	IF $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor') THEN
		RAISE EXCEPTION 'unknown level of access: %', coalesce(quote_literal($2), 'NULL')
			USING ERRCODE = 'PW400', HINT = 'The levels are client, operator and auditor.',
			DETAIL = '[{"field": "level", "code": "unknown_value", "message": "must be client, operator or auditor"}]';
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

--
-- Built-in rows
--

-- with a fixed time: equal in every database
INSERT INTO pgw.merchants (merchant, name, builtin, created_at) VALUES ('default', 'Default merchant', true, '2026-01-01 00:00:00+00');

-- The built-in connectors: the build puts an INSERT for each document of src/connectors/ in the place of the next line (src/connectors/insert.awk).
DO $$BEGIN RAISE EXCEPTION 'this script lacks pgw''s connectors: "make" adds them, to build/pgw--1.0.sql'; END$$;	-- @connectors@

--
-- Dumps. Monthly partitions are no members of the extension: pg_dump treats them as ordinary tables.
--

SELECT pg_extension_config_dump('pgw.merchants', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('pgw.connectors', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('pgw.banks', '');
SELECT pg_extension_config_dump('pgw.bank_versions', '');
SELECT pg_extension_config_dump('pgw.bank_rebinds', '');
SELECT pg_extension_config_dump('pgw.access_grants', 'WHERE role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_extension_config_dump('pgw.review_proposals', 'WHERE proposed_by::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_extension_config_dump('pgw.payments', '');
SELECT pg_extension_config_dump('pgw.payment_transactions', '');
SELECT pg_extension_config_dump('pgw.bank_references', '');
SELECT pg_extension_config_dump('pgw.transaction_events_default', '');
SELECT pg_extension_config_dump('pgw.resumptions', '');
SELECT pg_extension_config_dump('pgw.restore_pending', '');

--
-- Records are not deleted without a word: src/ddl/drop_guard.c. This is for sessions of a server that does not preload pgw: the call loads the library, which
-- looks at what is dropped. Where the library is gone, nothing else of the database shall suffer for it.
--

CREATE FUNCTION pgw.load_drop_guard() RETURNS void
AS 'MODULE_PATHNAME', 'pgw_guard_drop' LANGUAGE C;

CREATE FUNCTION pgw.guard_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	PERFORM pgw.load_drop_guard();
EXCEPTION WHEN undefined_file THEN
	RAISE WARNING 'pgw: its library is missing, so nothing keeps its records from being dropped';
END
$$;

CREATE EVENT TRIGGER pgw_guard_drop ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA', 'DROP LANGUAGE', 'DROP TABLE')
	EXECUTE FUNCTION pgw.guard_drop();
ALTER EVENT TRIGGER pgw_guard_drop ENABLE ALWAYS;

--
-- The footing: what CREATE EXTENSION has made stays as it was made, where pgw's promises hang on it (docs/ddl.md). Recorded once, at the end of this script; an update script
-- ends with pgw.record_footing(), too. Nothing here goes by an object's text or oid, which another version of PostgreSQL may give another form; and nothing locks
-- a table (pg_get_indexdef() would), for then two statements on two of pgw's tables would wait for each other.
--

CREATE TABLE pgw.footing (kind text NOT NULL, object text NOT NULL, property text NOT NULL, n bigint NOT NULL, PRIMARY KEY (kind, object, property));

-- What there is now, of pgw's own objects wherever they have gone. Indexes, keys and triggers count by what they do, not by their names.
CREATE FUNCTION pgw.footing_now(OUT kind text, OUT object text, OUT property text, OUT n bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$
	WITH extension AS (
		SELECT x.oid, x.extowner FROM pg_extension x WHERE x.extname = 'pgw'
	), member AS (
		SELECT d.classid, d.objid, i.type, i.identity
		FROM extension x
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.deptype = 'e'
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
	), relation AS (
		SELECT c.*, m.identity FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	), fact AS (
		SELECT 'member' AS kind, m.identity AS object, m.type AS property FROM member m
		UNION ALL
		SELECT 'schema', n.nspname, 'its owner''s' FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid JOIN extension x ON n.nspowner = x.extowner
		UNION ALL
		SELECT 'relation', r.identity, concat_ws(' ', 'kind', r.relkind, 'persistence', r.relpersistence, 'options', CASE WHEN r.relkind = 'v' THEN r.reloptions END)
		FROM relation r JOIN extension x ON r.relowner = x.extowner
		UNION ALL
		SELECT 'column', r.identity || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
			CASE WHEN a.atthasdef THEN 'default' END, nullif(a.attgenerated, ''), nullif(a.attidentity, ''), (SELECT c.collname FROM pg_collation c WHERE c.oid = a.attcollation))
		FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT 'constraint', r.identity, concat_ws(' ', c.contype, (SELECT array_agg(a.attname ORDER BY k.i) FROM unnest(c.conkey) WITH ORDINALITY k (attnum, i)
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum), nullif(c.confrelid, 0)::regclass, CASE WHEN c.condeferrable THEN 'deferrable' END)
		FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype IN ('c', 'p', 'u', 'f')
		UNION ALL
		SELECT 'index', r.identity, concat_ws(' ', CASE WHEN i.indisunique THEN 'unique' END, CASE WHEN NOT i.indimmediate THEN 'deferrable' END,
			(SELECT array_agg(coalesce(a.attname, 'expression') ORDER BY k.i) FROM unnest(i.indkey) WITH ORDINALITY k (attnum, i)
				LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 WHERE k.i <= i.indnkeyatts), CASE WHEN i.indpred IS NOT NULL THEN 'partial' END)
		FROM relation r JOIN pg_index i ON i.indrelid = r.oid AND i.indisvalid AND i.indisready
		UNION ALL
		SELECT 'trigger', r.identity, concat_ws(' ', p.proname, t.tgtype, t.tgenabled)
		FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal JOIN pg_proc p ON p.oid = t.tgfoid
			JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
		UNION ALL
		SELECT 'function', m.identity, concat_ws(' ', p.prokind, l.lanname, p.prorettype::regtype, p.provolatile, p.proparallel, CASE WHEN p.prosecdef THEN 'security definer' END,
			CASE WHEN p.proisstrict THEN 'strict' END, p.proconfig, p.probin, nullif(p.prosupport::oid, 0)::regproc, md5(p.prosrc))
		FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
			JOIN extension x ON p.proowner = x.extowner
		UNION ALL
		SELECT 'type', m.identity, concat_ws(' ', coalesce(e.enumlabel, a.attname), format_type(a.atttypid, a.atttypmod), coalesce(e.enumsortorder, a.attnum))
		FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
			LEFT JOIN pg_enum e ON e.enumtypid = t.oid LEFT JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT 'type', m.identity, 'attributes: ' || c.relnatts
		FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
		UNION ALL
		SELECT 'event trigger', e.evtname, concat_ws(' ', e.evtevent, p.proname, e.evtenabled, e.evttags)
		FROM member m JOIN pg_event_trigger e ON m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid JOIN pg_proc p ON p.oid = e.evtfoid
	)
	SELECT f.kind, f.object, f.property, count(*) FROM fact f GROUP BY f.kind, f.object, f.property
$$;

CREATE FUNCTION pgw.record_footing() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
$$
	DELETE FROM pgw.footing;
	INSERT INTO pgw.footing SELECT f.kind, f.object, f.property, f.n FROM pgw.footing_now() f;
$$;

-- What is gone or altered, and what has come that may not be there. plpgsql: the table may be the one that was moved.
CREATE FUNCTION pgw.footing_faults(OUT kind text, OUT object text, OUT property text) RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	RETURN QUERY
		SELECT f.kind, f.object, f.property FROM pgw.footing f
		LEFT JOIN pgw.footing_now() o ON (o.kind, o.object, o.property) = (f.kind, f.object, f.property)
		WHERE coalesce(o.n, 0) < f.n;
	-- a table of others that is a child's would be read and written with it
	RETURN QUERY
		SELECT 'inheritance', i.inhparent::regclass::text, i.inhrelid::regclass::text
		FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw' AND d.deptype = 'e'
		JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'r'
		JOIN pg_inherits i ON i.inhparent = c.oid OR (i.inhrelid = c.oid AND NOT c.relispartition);
	-- each partition of the events is append-only
	RETURN QUERY
		SELECT 'partition', c.oid::regclass::text, 'its events can be changed, or lost in a crash'
		FROM pg_class e JOIN pg_inherits i ON i.inhparent = e.oid JOIN pg_class c ON c.oid = i.inhrelid
		WHERE e.relname = 'transaction_events' AND e.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'pgw') AND (c.relpersistence <> 'p' OR NOT EXISTS (
			SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = c.oid AND t.tgenabled = 'A' AND t.tgtype & 1 = 1 AND p.proname = 'refuse_change'));
END
$$;

-- After each statement that could take away what pgw stands on. A statement about others' tables, functions and types is not looked at; what belongs to an extension's script
-- is looked at when that is over.
CREATE FUNCTION pgw.keep_footing() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	kind text;
	object text;
	property text;
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c) AND NOT EXISTS (
		SELECT FROM pg_event_trigger_ddl_commands() c
		WHERE NOT c.in_extension AND (c.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass) OR c.schema_name = 'pgw' OR EXISTS (
			SELECT FROM pg_depend d JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND x.extname = 'pgw'
			WHERE d.deptype = 'e' AND d.classid = c.classid AND (d.objid = c.objid OR d.objid IN (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.objid)))))
	THEN
		RETURN;
	END IF;
	BEGIN
		SELECT f.kind, f.object, f.property INTO kind, object, property FROM pgw.footing_faults() f ORDER BY f.kind, f.object, f.property LIMIT 1;
	EXCEPTION WHEN undefined_table OR undefined_function OR invalid_schema_name OR undefined_column THEN
		kind := 'member';
		object := 'pgw.footing';
	END;
	IF kind IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'PW422',
			MESSAGE = format('pgw''s own objects stay as CREATE EXTENSION has made them: this would change %s %s', kind, object),
			DETAIL = json_build_object('code', 'footing_changed', 'class', 'business', 'http_status', 422, 'retryable', false, 'kind', kind, 'object', object, 'property', property),
			HINT = 'Payments would fail, or their records would not be kept. docs/ddl.md says what is allowed on pgw''s tables, and how a superuser does what has to be done all the same.';
	END IF;
END
$$;

CREATE EVENT TRIGGER pgw_keep_footing ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'ALTER EXTENSION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'ALTER INDEX', 'ALTER VIEW', 'ALTER TRIGGER', 'ALTER SEQUENCE',
		'CREATE TABLE', 'CREATE FUNCTION', 'CREATE VIEW', 'CREATE TRIGGER', 'DROP INDEX', 'DROP TRIGGER', 'DROP TABLE')
	EXECUTE FUNCTION pgw.keep_footing();
ALTER EVENT TRIGGER pgw_keep_footing ENABLE ALWAYS;

SELECT pgw.record_footing();

--
-- Wakes the launcher once this transaction has committed
--

CREATE FUNCTION pgw.extension_created() RETURNS void
AS 'MODULE_PATHNAME', 'pgw_extension_created' LANGUAGE C;

SELECT pgw.extension_created();

--
-- Nothing to PUBLIC
--

REVOKE ALL ON SCHEMA pgw FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgw FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgw FROM PUBLIC;
REVOKE ALL ON TYPE pgw.transaction_status, pgw.event_type, pgw.operation_kind, pgw.capture_mode, pgw.payment_status, pgw.payment_result FROM PUBLIC;
