-- What the other files need: the extension, a bank, and short factories for payments. The bank is one inside: where a wire is the point, the file names another.
CREATE EXTENSION pgw;
UPDATE pgw.banks SET enabled = false WHERE name = 'test';
INSERT INTO pgw.banks (name, connector, base_url, livemode) VALUES ('bank', 'test', 'test:', false);

-- What a client would send as a parameter: no literal in the statement. spelt('visa') is a card number.
CREATE FUNCTION spelt(v text) RETURNS text LANGUAGE plpgsql VOLATILE AS
$$BEGIN RETURN CASE v WHEN 'visa' THEN repeat('4242', 4) ELSE v END; END$$;

-- pay(): a payment with defaults; every argument can be changed. Whole rows, with ids and times masked.
CREATE FUNCTION pay(id text, token text DEFAULT 'tok_ok', amount bigint DEFAULT 1234, currency text DEFAULT 'EUR',
	capture text DEFAULT 'immediate', reference text DEFAULT NULL, bank text DEFAULT NULL, on_failure text DEFAULT NULL, "timeout" interval DEFAULT NULL)
RETURNS pgw.payment_result LANGUAGE sql VOLATILE AS
$$ SELECT pgw.process_payment(id, amount, currency, token, capture => capture, reference => reference, bank => bank, on_failure => on_failure, timeout => "timeout") $$;

CREATE FUNCTION masked(r pgw.payment_result) RETURNS jsonb LANGUAGE sql AS
$$ SELECT to_jsonb(r) || jsonb_build_object('payment_id', (r).payment_id IS NOT NULL, 'transaction_id', (r).transaction_id IS NOT NULL,
	'correlation_id', (r).correlation_id IS NOT NULL, 'created_at', (r).created_at IS NOT NULL,
	'bank_reference', regexp_replace((r).bank_reference, '_.*', '_…'), 'authorization_code', regexp_replace((r).authorization_code, '[0-9A-Z]+', '…')) $$;

-- The events of a request id, types and order exact, ids and times masked.
CREATE FUNCTION flow(id text) RETURNS TABLE (step int, event pgw.event_type, "from" text, "to" text, operation text, bank text, error text) LANGUAGE sql AS
$$ SELECT h.step_order, h.event_type, h.event_data->>'from', h.event_data->>'to', h.event_data->>'operation', h.event_data->>'bank', h.error_details
	FROM pgw.find_payment(id) f, pgw.payment_history(f.payment_id) h $$;
