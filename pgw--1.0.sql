/* pgw--1.0.sql - types, tables, functions and privileges of pgw; docs/sql-reference.md describes them */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pgw" to load this file. \quit

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
	settings jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz NOT NULL DEFAULT now()
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
ALTER TABLE pgw.connectors ENABLE ALWAYS TRIGGER check_connector, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.banks ENABLE ALWAYS TRIGGER check_bank, ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE pgw.merchants ENABLE ALWAYS TRIGGER config_changed;

--
-- Payments: the business view. The columns are those of PgwPayment (src/infra/store.h).
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
	CONSTRAINT payments_captured_check CHECK (captured_amount >= 0 AND captured_amount <= authorized_amount),
	-- a difference, because the sum of two bigints can overflow
	CONSTRAINT payments_refunds_check CHECK (refunded_amount >= 0 AND refund_pending_amount >= 0
		AND refunded_amount <= captured_amount AND refund_pending_amount <= captured_amount - refunded_amount),
	CONSTRAINT payments_no_money_check CHECK (status NOT IN ('pending', 'declined') OR captured_amount = 0)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payments FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payments FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payments ENABLE ALWAYS TRIGGER refuse_delete, ENABLE ALWAYS TRIGGER refuse_truncate;

--
-- One row per operation attempt. The columns are those of PgwTransaction (src/infra/store.h).
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
	bank_requested text,
	reference text,
	bank_fields jsonb CHECK (jsonb_typeof(bank_fields) = 'object'),
	bank_key text,
	bank_key_used_at timestamptz,
	bank_reference text,
	authorization_code text,
	caller_xid xid8,
	caller_subxid xid8,
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	attempts int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	next_attempt_at timestamptz,
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
CREATE INDEX payment_transactions_open ON pgw.payment_transactions (status, next_attempt_at)
	WHERE status NOT IN ('Completed', 'Failed', 'Refunded');
CREATE INDEX payment_transactions_payment ON pgw.payment_transactions (payment_id);

CREATE TRIGGER enforce_transition BEFORE UPDATE ON pgw.payment_transactions
	FOR EACH ROW EXECUTE FUNCTION pgw.enforce_transition();
CREATE TRIGGER refuse_delete BEFORE DELETE ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION pgw.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON pgw.payment_transactions FOR EACH STATEMENT EXECUTE FUNCTION pgw.refuse_change();
ALTER TABLE pgw.payment_transactions ENABLE ALWAYS TRIGGER enforce_transition, ENABLE ALWAYS TRIGGER refuse_delete,
	ENABLE ALWAYS TRIGGER refuse_truncate;

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
		RAISE EXCEPTION 'ahead must be between 0 and 120 months' USING ERRCODE = 'PW400';
	END IF;
	IF NOT EXISTS (SELECT FROM pgw.banks) THEN
		RETURN 0;
	END IF;
	FOR i IN 0 .. ahead LOOP
		part := 'transaction_events_y' || to_char(month + make_interval(months => i), 'YYYY"m"MM');
		CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relnamespace = 'pgw'::regnamespace AND relname = part);
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
-- Functions for clients: none is STRICT, so that a NULL can be named. The C code acts as the extension's owner after it has checked
-- the grants of the immediate caller; SECURITY DEFINER would hide who that is.
--

CREATE FUNCTION pgw.process_payment(
	client_request_id text,
	amount bigint,
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
AS 'MODULE_PATHNAME', 'pgw_process_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION pgw.submit_payment(
	client_request_id text,
	amount bigint,
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
AS 'MODULE_PATHNAME', 'pgw_submit_payment_1_0' LANGUAGE C VOLATILE PARALLEL UNSAFE;

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

--
-- Access. The C code and the views read the grants; EXECUTE and SELECT follow from them.
--

CREATE TABLE pgw.access_grants (
	role regrole NOT NULL,
	level text NOT NULL CHECK (level IN ('client', 'operator', 'auditor')),
	merchant text,				-- NULL: all
	granted_by text NOT NULL DEFAULT session_user,
	granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT access_grants_key UNIQUE NULLS NOT DISTINCT (role, level, merchant)
);

-- A client's own payments, to join to its orders.
CREATE VIEW pgw.my_payments WITH (security_barrier) AS
SELECT p.payment_id, p.transaction_id, p.client_request_id, p.merchant, p.status, p.capture, p.amount, p.currency, p.authorized_amount,
	p.captured_amount, p.refunded_amount, p.refund_pending_amount, p.bank, p.bank_reference, p.authorization_code, p.card_last4,
	p.card_brand, p.reference, p.metadata, p.created_at, p.updated_at
FROM pgw.payments p
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE (g.merchant IS NULL OR g.merchant = p.merchant) AND pg_has_role(current_user, g.role::oid, 'USAGE'));

-- What operators and auditors see: everything but tokens and the caller's transaction ids.
CREATE VIEW pgw.audit_transactions WITH (security_barrier) AS
SELECT t.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, t.status, t.step_order, t.submitted, t.amount, t.currency,
	t.capture, t.card_last4, t.card_brand, t.bank, t.bank_requested, t.reference, t.bank_reference, t.authorization_code, t.attempts,
	t.next_attempt_at, t.expires_at, t.error_class, t.error_code, t.error_message, t.http_status, t.retryable, t.correlation_id,
	t.created_at, t.updated_at
FROM pgw.payment_transactions t
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND (g.merchant IS NULL OR g.merchant = t.merchant)
		AND pg_has_role(current_user, g.role::oid, 'USAGE'));

CREATE VIEW pgw.audit_events WITH (security_barrier) AS
SELECT e.event_id, e.transaction_id, t.payment_id, t.client_request_id, t.merchant, t.kind, e.step_order, e.event_type, e.occurred_at,
	e.event_data, e.error_details, e.txid
FROM pgw.transaction_events e JOIN pgw.payment_transactions t ON t.transaction_id = e.transaction_id
WHERE EXISTS (SELECT FROM pgw.access_grants g
	WHERE g.level IN ('operator', 'auditor') AND (g.merchant IS NULL OR g.merchant = t.merchant)
		AND pg_has_role(current_user, g.role::oid, 'USAGE'));

-- Bring a role's privileges in line with its rows in access_grants. The arrays are the grid of docs/sql-reference.md.
CREATE FUNCTION pgw.apply_access(role regrole) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	read_functions CONSTANT text[] := '{get_payment,find_payment,wait_for_payment,payment_history}';
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
		functions := functions || '{process_payment,submit_payment}';
	END IF;
	IF levels && '{operator,auditor}' THEN
		views := views || '{audit_transactions,audit_events}';
	END IF;

	FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace
		AND p.proname = ANY (read_functions || '{process_payment,submit_payment}') LOOP
		IF (SELECT p.proname FROM pg_proc p WHERE p.oid = f) = ANY (functions) THEN
			EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f, $1);
		ELSE
			EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', f, $1);
		END IF;
	END LOOP;
	FOREACH v IN ARRAY '{my_payments,audit_transactions,audit_events}'::text[] LOOP
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
		RAISE EXCEPTION 'role does not exist' USING ERRCODE = 'PW400', HINT = 'PUBLIC cannot be given access: name a role.';
	END IF;
	IF $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor') THEN
		RAISE EXCEPTION 'unknown level of access: %', coalesce(quote_literal($2), 'NULL')
			USING ERRCODE = 'PW400', HINT = 'The levels are client, operator and auditor.';
	END IF;
	IF $3 IS NOT NULL AND NOT EXISTS (SELECT FROM pgw.merchants m WHERE m.merchant = $3) THEN
		RAISE EXCEPTION 'unknown merchant: %', quote_literal($3)
			USING ERRCODE = 'PW422', HINT = 'Insert it into pgw.merchants first, or leave it out to mean all merchants.';
	END IF;
	INSERT INTO pgw.access_grants (role, level, merchant) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;
	PERFORM pgw.apply_access($1);
END
$$;

-- Without a merchant: every grant of that level.
CREATE FUNCTION pgw.revoke_access(role regrole, level text, merchant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF $1 IS NULL OR $2 IS NULL OR $2 NOT IN ('client', 'operator', 'auditor') THEN
		RAISE EXCEPTION 'unknown level of access: %', coalesce(quote_literal($2), 'NULL')
			USING ERRCODE = 'PW400', HINT = 'The levels are client, operator and auditor.';
	END IF;
	IF $3 IS NOT NULL AND EXISTS (SELECT FROM pgw.access_grants g WHERE g.role = $1 AND g.level = $2 AND g.merchant IS NULL) THEN
		RAISE EXCEPTION 'role % has level % for all merchants, not for % alone', $1, $2, quote_literal($3)
			USING ERRCODE = 'PW422', HINT = 'Revoke the level without a merchant, then grant it for each merchant that is to stay.';
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

-- The reference protocol of docs/bank-protocol.md; test/connectors/json.json is the same document.
INSERT INTO pgw.connectors (name, builtin, created_at, definition) VALUES ('json', true, '2026-01-01 00:00:00+00', $json$
{
  "v": 1,
  "name": "json",
  "description": "The reference protocol: JSON over HTTP with a bearer token and an idempotency key.",
  "capabilities": {
    "idempotency": {
      "header": "Idempotency-Key",
      "lifetime_seconds": 86400,
      "replays_errors": true
    },
    "lookup_consistent_after_seconds": 2,
    "cards": true,
    "tokens": true,
    "partial_capture": true,
    "multiple_captures": true,
    "partial_refund": true,
    "authorization_lifetime_seconds": 604800
  },
  "headers": {
    "Authorization": "Bearer {{secret}}",
    "X-Correlation-Id": "{{correlation_id}}",
    "Accept": "application/json"
  },
  "operations": {
    "charge": {
      "method": "POST",
      "path": "/v1/charges",
      "encoding": "json",
      "body": {
        "amount": "{{amount}}",
        "currency": "{{currency}}",
        "reference": "{{transaction_ref}}",
        "source": {
          "token": "{{token}}",
          "card": {
            "number": "{{card_number}}",
            "expiry_month": "{{card_expiry_month}}",
            "expiry_year": "{{card_expiry_year}}",
            "cvv": "{{card_cvv}}",
            "holder": "{{card_holder}}"
          }
        },
        "merchant": "{{merchant}}",
        "merchant_reference": "{{reference}}",
        "descriptor": "{{bank_fields.descriptor}}",
        "customer_email": "{{bank_fields.customer_email}}"
      },
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/status": "approved"}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "declined"}, "outcome": "declined"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": [200, 201], "when": {"/status": "requires_action"}, "outcome": "requires_action"},
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {"status": 409, "when": {"/error/code": "reference_cancelled"}, "outcome": "rejected"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "authorization_code": "/authorization_code",
          "amount": "/amount",
          "currency": "/currency",
          "bank_code": "/error/code",
          "captured": "/captured",
          "refunded": "/refunded",
          "voided": "/voided",
          "card_brand": "/card/brand",
          "card_last4": "/card/last4"
        },
        "error_codes": {
          "insufficient_funds": "insufficient_funds",
          "do_not_honor": "do_not_honor",
          "lost_card": "lost_or_stolen_card",
          "expired_card": "expired_card",
          "fraud": "suspected_fraud",
          "authentication_required": "authentication_required",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "declined"
        }
      }
    },
    "authorize": {
      "method": "POST",
      "path": "/v1/authorizations",
      "encoding": "json",
      "body": {
        "amount": "{{amount}}",
        "currency": "{{currency}}",
        "reference": "{{transaction_ref}}",
        "source": {
          "token": "{{token}}",
          "card": {
            "number": "{{card_number}}",
            "expiry_month": "{{card_expiry_month}}",
            "expiry_year": "{{card_expiry_year}}",
            "cvv": "{{card_cvv}}",
            "holder": "{{card_holder}}"
          }
        },
        "merchant": "{{merchant}}",
        "merchant_reference": "{{reference}}",
        "descriptor": "{{bank_fields.descriptor}}",
        "customer_email": "{{bank_fields.customer_email}}"
      },
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/status": "approved"}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "declined"}, "outcome": "declined"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": [200, 201], "when": {"/status": "requires_action"}, "outcome": "requires_action"},
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {"status": 409, "when": {"/error/code": "reference_cancelled"}, "outcome": "rejected"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "authorization_code": "/authorization_code",
          "amount": "/amount",
          "currency": "/currency",
          "bank_code": "/error/code",
          "captured": "/captured",
          "refunded": "/refunded",
          "voided": "/voided",
          "card_brand": "/card/brand",
          "card_last4": "/card/last4"
        },
        "error_codes": {
          "insufficient_funds": "insufficient_funds",
          "do_not_honor": "do_not_honor",
          "lost_card": "lost_or_stolen_card",
          "expired_card": "expired_card",
          "fraud": "suspected_fraud",
          "authentication_required": "authentication_required",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "declined"
        }
      }
    },
    "capture": {
      "method": "POST",
      "path": "/v1/charges/{{bank_reference}}/capture",
      "encoding": "json",
      "body": {
        "amount": "{{amount}}",
        "currency": "{{currency}}",
        "reference": "{{transaction_ref}}",
        "final": "{{final}}"
      },
      "answer": {
        "rules": [
          {
            "status": [200, 201],
            "when": {"/status": "approved", "/capture/status": "succeeded"},
            "outcome": "approved"
          },
          {
            "status": [200, 201],
            "when": {"/status": "approved", "/capture/status": "pending"},
            "outcome": "pending"
          },
          {"status": [200, 201], "when": {"/capture/status": "failed"}, "outcome": "declined"},
          {
            "status": [200, 201],
            "when": {"/status": "approved", "/capture": {"exists": false}},
            "outcome": "approved"
          },
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {
            "status": 409,
            "when": {
              "/error/code": [
                "already_captured",
                "authorization_expired",
                "amount_too_large",
                "capture_refused",
                "not_approved",
                "already_voided"
              ]
            },
            "outcome": "declined"
          },
          {"status": 404, "when": {"/error/code": "not_found"}, "outcome": "rejected"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "authorization_code": "/authorization_code",
          "amount": "/capture/amount",
          "currency": "/capture/currency",
          "bank_code": "/error/code",
          "captured": "/captured",
          "refunded": "/refunded",
          "voided": "/voided"
        },
        "error_codes": {
          "authorization_expired": "authorization_expired",
          "capture_refused": "capture_refused",
          "amount_too_large": "amount_exceeds_remaining",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "operation_not_allowed"
        }
      }
    },
    "void": {
      "method": "POST",
      "path": "/v1/charges/{{bank_reference}}/void",
      "encoding": "json",
      "body": {"reference": "{{transaction_ref}}"},
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/voided": true}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {"status": 409, "when": {"/error/code": "already_voided"}, "outcome": "approved"},
          {
            "status": 409,
            "when": {
              "/error/code": ["already_captured", "authorization_expired", "void_refused", "not_approved"]
            },
            "outcome": "declined"
          },
          {"status": 404, "when": {"/error/code": "not_found"}, "outcome": "rejected"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "bank_code": "/error/code",
          "captured": "/captured",
          "refunded": "/refunded",
          "voided": "/voided"
        },
        "error_codes": {"authorization_expired": "authorization_expired", "*": "operation_not_allowed"}
      }
    },
    "refund": {
      "method": "POST",
      "path": "/v1/charges/{{bank_reference}}/refunds",
      "encoding": "json",
      "body": {
        "amount": "{{amount}}",
        "currency": "{{currency}}",
        "reference": "{{transaction_ref}}",
        "reason": "{{reason}}"
      },
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/status": "succeeded"}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": [200, 201], "when": {"/status": "failed"}, "outcome": "declined"},
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {
            "status": 409,
            "when": {
              "/error/code": [
                "not_captured",
                "already_refunded",
                "amount_too_large",
                "refund_refused",
                "not_approved",
                "already_voided"
              ]
            },
            "outcome": "declined"
          },
          {"status": 404, "when": {"/error/code": "not_found"}, "outcome": "rejected"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "amount": "/amount",
          "currency": "/currency",
          "bank_code": "/error/code"
        },
        "error_codes": {
          "amount_too_large": "amount_exceeds_remaining",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "refund_refused"
        }
      }
    },
    "lookup_charge": {
      "method": "GET",
      "path": "/v1/charges?reference={{original_ref}}",
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/status": "approved"}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "declined"}, "outcome": "declined"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": [200, 201], "when": {"/status": "requires_action"}, "outcome": "requires_action"},
          {"status": 404, "when": {"/error/code": "not_found"}, "outcome": "not_found"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "authorization_code": "/authorization_code",
          "amount": "/amount",
          "currency": "/currency",
          "bank_code": "/error/code",
          "captured": "/captured",
          "refunded": "/refunded",
          "voided": "/voided",
          "card_brand": "/card/brand",
          "card_last4": "/card/last4"
        },
        "error_codes": {
          "insufficient_funds": "insufficient_funds",
          "do_not_honor": "do_not_honor",
          "lost_card": "lost_or_stolen_card",
          "expired_card": "expired_card",
          "fraud": "suspected_fraud",
          "authentication_required": "authentication_required",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "declined"
        }
      }
    },
    "lookup_refund": {
      "method": "GET",
      "path": "/v1/refunds?reference={{transaction_ref}}",
      "answer": {
        "rules": [
          {"status": [200, 201], "when": {"/status": "succeeded"}, "outcome": "approved"},
          {"status": [200, 201], "when": {"/status": "pending"}, "outcome": "pending"},
          {"status": [200, 201], "when": {"/status": "failed"}, "outcome": "declined"},
          {"status": 404, "when": {"/error/code": "not_found"}, "outcome": "not_found"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/id",
          "amount": "/amount",
          "currency": "/currency",
          "bank_code": "/error/code"
        },
        "error_codes": {
          "amount_too_large": "amount_exceeds_remaining",
          "unauthorized": "bank_credentials_rejected",
          "invalid_request": "bank_rejected_request",
          "*": "refund_refused"
        }
      }
    },
    "cancel": {
      "method": "POST",
      "path": "/v1/cancellations",
      "encoding": "json",
      "body": {"reference": "{{original_ref}}"},
      "answer": {
        "rules": [
          {
            "status": [200, 201],
            "when": {"/result": "refunded", "/refund/status": "pending"},
            "outcome": "pending"
          },
          {
            "status": [200, 201],
            "when": {"/result": ["blocked", "stopped", "voided", "refunded", "nothing_to_do"]},
            "outcome": "approved"
          },
          {"status": 409, "when": {"/error/code": "key_in_use"}, "outcome": "unknown"},
          {"status": 409, "when": {"/error/code": ["void_refused", "refund_refused"]}, "outcome": "declined"},
          {"status": 422, "when": {"/error/code": "idempotency_mismatch"}, "outcome": "unknown"},
          {"status": [400, 401, 403, 422], "outcome": "rejected"},
          {"status": 429, "outcome": "not_processed"},
          {"status": 503, "when": {"/error/code": "not_processed"}, "outcome": "not_processed"},
          {"status": "5xx", "outcome": "unknown"}
        ],
        "fields": {
          "bank_reference": "/charge/id",
          "bank_code": "/error/code",
          "captured": "/charge/captured",
          "refunded": "/charge/refunded",
          "voided": "/charge/voided"
        },
        "error_codes": {"refund_refused": "refund_refused", "*": "operation_not_allowed"}
      }
    },
    "ping": {
      "method": "GET",
      "path": "/v1/ping",
      "answer": {
        "rules": [
          {"status": 200, "when": {"/status": "ok"}, "outcome": "approved"},
          {"status": [401, 403], "outcome": "rejected"},
          {"status": "*", "outcome": "unknown"}
        ]
      }
    }
  }
}
$json$);

--
-- Dumps. Monthly partitions are no members of the extension: pg_dump treats them as ordinary tables.
--

SELECT pg_extension_config_dump('pgw.merchants', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('pgw.connectors', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('pgw.banks', '');
SELECT pg_extension_config_dump('pgw.access_grants', 'WHERE role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_extension_config_dump('pgw.payments', '');
SELECT pg_extension_config_dump('pgw.payment_transactions', '');
SELECT pg_extension_config_dump('pgw.transaction_events_default', '');

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
