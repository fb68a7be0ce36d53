-- What is the shop's own, the same in every shard: its rows, and functions that pay and write them in one transaction. A router passes calls on to
-- these functions; each call is a transaction of the shard's, so what belongs to a payment has to be written here. Run once in each shard, as superuser,
-- after CREATE EXTENSION pgw. See docs/scaling.md.
CREATE ROLE shop;                       -- owns the rows and the functions
CREATE ROLE router LOGIN;               -- calls the functions, and has no row of its own to look at
SELECT pgw.grant_access('shop', 'client'), pgw.grant_access('router', 'client');
CREATE SCHEMA shop AUTHORIZATION shop;
GRANT USAGE ON SCHEMA shop TO router;

-- Made by the superuser, for pgw keeps the privilege to reference its tables to itself.
CREATE TABLE shop.orders (
	request_id text PRIMARY KEY,
	item text NOT NULL,
	payment_id uuid NOT NULL REFERENCES pgw.payments,
	ordered_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE shop.orders OWNER TO shop;

SET ROLE shop;
-- The order and its payment, or neither. The same request_id again is the same order and the same payment: what to do when no answer came.
CREATE FUNCTION shop.pay(request_id text, item text, amount numeric, currency text, token text DEFAULT NULL, card_number text DEFAULT NULL,
	card_expiry_month int DEFAULT NULL, card_expiry_year int DEFAULT NULL, card_cvv text DEFAULT NULL)
RETURNS TABLE (payment_id uuid, status text, error_code text, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	paid pgw.payment_result;
BEGIN
	paid := pgw.process_payment(pay.request_id, pay.amount, pay.currency, pay.token, pay.card_number, pay.card_expiry_month, pay.card_expiry_year,
		pay.card_cvv);
	IF paid.status IN ('captured', 'pending') THEN
		INSERT INTO shop.orders AS o (request_id, item, payment_id) VALUES (pay.request_id, pay.item, paid.payment_id) ON CONFLICT DO NOTHING;
	END IF;
	RETURN QUERY SELECT paid.payment_id, paid.status::text, paid.error_code, paid.replayed;
END $$;
REVOKE EXECUTE ON FUNCTION shop.pay FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.pay TO router;
RESET ROLE;
