-- The shop's own on Citus: rows that lie by slot, and functions that pay and write them where the slot is. Run once on the coordinator, with psql, as superuser of all
-- nodes, when the workers are in Citus and before there is a bank in any pgw.banks. Each node needs a pgw.shard_name of its own. See docs/scaling.md.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS pgw;     -- on every node: Citus passes it on
CREATE ROLE shop;                       -- owns the rows and the functions, and cannot log in: so Citus cannot move its rows. Roles are passed on, too
CREATE ROLE router LOGIN;               -- calls the functions
SELECT * FROM run_command_on_all_nodes($$SELECT count(pgw.grant_access(role, 'client')) FROM unnest('{shop,router}'::regrole[]) role$$);
CREATE SCHEMA shop AUTHORIZATION shop;
GRANT USAGE ON SCHEMA shop TO router;

-- No foreign key to pgw.payments: that is a table of each node's own.
CREATE TABLE shop.orders (
	slot int,
	request_id text,
	item text NOT NULL,
	payment_id uuid NOT NULL,
	ordered_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (slot, request_id)
);
ALTER TABLE shop.orders OWNER TO shop;
SELECT create_distributed_table('shop.orders', 'slot', shard_count => 32);

-- Slots are at home where Citus has put them, and nothing is on the coordinator: a call that stays there is PW421.
SELECT * FROM run_command_on_workers($$SELECT pgw.claim_slots(
	(SELECT range_agg(int4range(s, s + 1)) FROM generate_series(0, 1023) s JOIN pg_dist_placement p ON p.shardid = get_shard_id_for_distribution_column('shop.orders', s)
		JOIN pg_dist_local_group USING (groupid)), 'as Citus has placed shop.orders')$$);
INSERT INTO pgw.shard_slots (slot, shard, state)
	SELECT s, n.result, 'elsewhere' FROM generate_series(0, 1023) s JOIN pg_dist_shard_placement p ON p.shardid = get_shard_id_for_distribution_column('shop.orders', s)
	JOIN run_command_on_workers('SHOW pgw.shard_name') n USING (nodename, nodeport);

-- Each begins with a guard: Citus goes by the argument slot, pgw by the id.
CREATE FUNCTION shop.check_slot(given int, needed int) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF given IS DISTINCT FROM needed THEN
		RAISE 'PW421: the argument slot is %, and the slot of the id is %', coalesce(given::text, 'NULL'), coalesce(needed::text, 'NULL') USING ERRCODE = 'PW421';
	END IF;
END $$;
CREATE FUNCTION shop.pay(slot int, request_id text, item text, amount numeric, currency text, token text)
RETURNS TABLE (payment_id uuid, status text, error_code text, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	paid pgw.payment_result;
BEGIN
	PERFORM shop.check_slot(pay.slot, pgw.slot_of(pay.request_id));
	paid := pgw.process_payment(pay.request_id, pay.amount, pay.currency, pay.token);
	IF paid.status IN ('captured', 'pending') THEN
		INSERT INTO shop.orders AS o (slot, request_id, item, payment_id) VALUES (pay.slot, pay.request_id, pay.item, paid.payment_id) ON CONFLICT DO NOTHING;
	END IF;
	RETURN QUERY SELECT paid.payment_id, paid.status::text, paid.error_code, paid.replayed;
END $$;
CREATE FUNCTION shop.refund(slot int, payment_id uuid, request_id text, amount numeric) RETURNS TABLE (status text, transaction_status text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM shop.check_slot(refund.slot, pgw.slot_of_id(refund.payment_id));
	RETURN QUERY SELECT r.status::text, r.transaction_status::text FROM pgw.refund_payment(refund.payment_id, refund.request_id, refund.amount) r;
END $$;
CREATE FUNCTION shop.get_payment(slot int, payment_id uuid) RETURNS TABLE (status text, amount bigint, refunded_amount bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM shop.check_slot(get_payment.slot, pgw.slot_of_id(get_payment.payment_id));
	RETURN QUERY SELECT p.status::text, p.amount, p.refunded_amount FROM pgw.get_payment(get_payment.payment_id) p;
END $$;
ALTER FUNCTION shop.check_slot OWNER TO shop;
ALTER FUNCTION shop.pay OWNER TO shop;
ALTER FUNCTION shop.refund OWNER TO shop;
ALTER FUNCTION shop.get_payment OWNER TO shop;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA shop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.pay, shop.refund, shop.get_payment TO router;
SELECT create_distributed_function(f, 'slot', colocate_with => 'shop.orders', force_delegation => true)
	FROM unnest('{shop.pay,shop.refund,shop.get_payment}'::regproc[]::regprocedure[]) f;

-- Slots of which pgw and Citus say different things, on the coordinator: calls for them are PW421. See docs/scaling.md.
CREATE FUNCTION shop.misplaced_slots() RETURNS TABLE (node text, slots text) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('%s:%s', nodename, nodeport), result FROM run_command_on_workers($q$
		SELECT range_agg(int4range(s, s + 1)) FROM generate_series(0, 1023) s
		WHERE EXISTS (SELECT FROM pgw.shard_slots WHERE slot = s AND state = 'home' AND shard = current_setting('pgw.shard_name')) IS DISTINCT FROM
			EXISTS (SELECT FROM pg_dist_placement p JOIN pg_dist_local_group USING (groupid)
				WHERE p.shardid = get_shard_id_for_distribution_column('shop.orders', s))$q$) WHERE result <> '' OR NOT success
$$;
