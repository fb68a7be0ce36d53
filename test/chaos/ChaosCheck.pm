# ChaosCheck - everything is at rest: do the invariants of the contract hold?
#
# The bank's ledger and its log of requests are loaded into tables beside pgw's own, and each invariant is a query that finds the rows
# that break it: (transaction or order, what is wrong).  Ledger and tables are compared both ways, row for row.
package ChaosCheck;

use strict;
use warnings;
use File::Find;

our $open = "'Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown'";

# What is left to happen; nothing, at rest.
sub unrest
{
	my ($server) = @_;
	return map { "$_->[0]: $_->[1]" } $server->query("
		SELECT 'attempts in state ' || status, count(*) FROM pgw.payment_transactions WHERE status IN ($open) GROUP BY 1
		UNION ALL SELECT 'prepared transactions', count(*) FROM pg_prepared_xacts HAVING count(*) > 0
		UNION ALL SELECT 'pending payments', count(*) FROM pgw.payments WHERE status = 'pending' HAVING count(*) > 0");
}

sub load
{
	my ($server, $outcomes, $operations) = @_;
	my @docs;    # of each bank that the first database pays at
	for my $bank (grep { $server->{banks}{$_} } qw(main other backup slow calm))
	{
		for my $what ([ ledger => '/ledger' ], [ log => '/ledger/log?limit=50000' ])
		{
			open my $f, '>', "$server->{dir}/$bank-$what->[0].json" or die $!;
			print $f $server->bank($bank, 'GET', $what->[1]);
			close $f;
		}
		push @docs, "SELECT pg_read_file('$server->{dir}/$bank-ledger.json')::json AS ledger, pg_read_file('$server->{dir}/$bank-log.json')::json AS log";
	}
	my $docs = join ' UNION ALL ', @docs;
	open my $f, '>', "$server->{dir}/outcome.tsv" or die $!;
	print $f join("\t", @$_) . "\n" for @$outcomes;
	close $f;
	open $f, '>', "$server->{dir}/operation.tsv" or die $!;
	print $f join("\t", @$_) . "\n" for @$operations;
	close $f;
	open $f, '>', "$server->{dir}/blow.tsv" or die $!;
	printf $f "%.6f\t%s\t%d\n", $_->{at}, $_->{what}, $_->{hit} for @{ $server->{hits} };
	close $f;
	# what the server's clock said while it was set forward, as the real time
	my ($jump) = grep { $_->{offset} } @{ $server->{clocks} // [] };
	my $occurred_at = $jump ? sprintf "CASE WHEN occurred_at > to_timestamp(%f) THEN occurred_at - interval '%d s' ELSE occurred_at END", $jump->{at} + $jump->{offset} / 2, $jump->{offset} : 'occurred_at';
	my $step = 'id text, charge text, charge_reference text, reference text, idempotency_key text, amount bigint, currency text, status text, created_at_ms bigint, dialect text';
	# on a loaded machine what looks at all events takes minutes
	$server->query($_, 600) for split /;\n/, <<"SQL";
DROP SCHEMA IF EXISTS chaos CASCADE;
CREATE SCHEMA chaos;
CREATE TABLE chaos.doc AS $docs;
CREATE TABLE chaos.charge AS SELECT c.* FROM chaos.doc, json_to_recordset(ledger -> 'charges') AS c (id text, reference uuid, idempotency_key text, merchant text,
	amount bigint, currency text, status text, authorized bigint, captured bigint, refunded bigint, voided bool, expired bool, last4 text, created_at_ms bigint, dialect text);
CREATE TABLE chaos.step AS SELECT 'refund' AS what, r.* FROM chaos.doc, json_to_recordset(ledger -> 'refunds') AS r ($step)
	UNION ALL SELECT 'void', r.* FROM chaos.doc, json_to_recordset(ledger -> 'voids') AS r ($step)
	UNION ALL SELECT 'capture', r.* FROM chaos.doc, json_to_recordset(ledger -> 'captures') AS r ($step);
CREATE TABLE chaos.request AS SELECT r.* FROM chaos.doc, json_to_recordset(log -> 'log') AS r (number bigint, at_ms bigint, operation text, method text, path text,
	idempotency_key text, reference text, status int, delivery text, replayed bool, finished bool);
CREATE TABLE chaos.outcome (merchant text, client_request_id text, shape text, finish text, status text);
COPY chaos.outcome FROM '$server->{dir}/outcome.tsv';
CREATE TABLE chaos.operation (merchant text, kind text, client_request_id text, finish text);
COPY chaos.operation FROM '$server->{dir}/operation.tsv';
CREATE TABLE chaos.blow (at float8, what text, hit int);
COPY chaos.blow FROM '$server->{dir}/blow.tsv';
CREATE VIEW chaos.kept AS SELECT * FROM chaos.charge WHERE status IN ('approved', 'pending') AND NOT voided AND (CASE WHEN captured = 0 THEN NOT expired ELSE refunded < captured END);
-- a part may be captured and given back while the rest can still be captured: that nets to nothing, too
CREATE VIEW chaos.taken AS SELECT * FROM pgw.payments WHERE status IN ('authorized', 'partially_captured', 'captured', 'partially_refunded') AND NOT (captured_amount > 0 AND refunded_amount = captured_amount);
-- payments of which something waits for a person: what the bank has done is not known here
CREATE TABLE chaos.in_review AS SELECT DISTINCT payment_id FROM pgw.payment_transactions WHERE status = 'RequiresManualReview';
CREATE INDEX ON chaos.charge (reference);
CREATE INDEX ON chaos.request (reference);
CREATE INDEX ON chaos.request (coalesce(reference, split_part(path, 'reference=', 2)));
CREATE INDEX ON chaos.step (charge);
CREATE INDEX ON chaos.step (reference);
CREATE INDEX ON chaos.outcome (merchant, client_request_id);
CREATE TABLE chaos.event AS SELECT transaction_id, step_order, event_type::text, $occurred_at AS occurred_at, from_status::text AS was, to_status::text AS becomes,
	event_data ->> 'operation' AS operation, event_data ->> 'reason' AS reason,
	event_data ->> 'bank_code' AS bank_code FROM pgw.events_in_full;
CREATE INDEX ON chaos.event (transaction_id, step_order);
ANALYZE chaos.charge, chaos.request, chaos.step, chaos.outcome, chaos.event, pgw.payments, pgw.payment_transactions
SQL
	return;
}

# The injected fault that made a review unavoidable, at a bank without look-up and idempotency: an answer that never came whole, a "malfunction", a
# refused or unanswered give-back (code 96 is this bank's 500, an unreadable body has no code; its log says 200 to both), or a blow that ended the worker while it waited for the answer.
# (A postmaster that waits for a processor itself ends the worker a while after the blow; requests are sent until then.)
my $cause = <<'SQL';
	SELECT t.transaction_id, t.bank, coalesce(
		(SELECT 'bank: ' || r.operation || ' ' || CASE WHEN r.delivery <> 'normal' THEN r.delivery ELSE 'answered ' || r.status END
			FROM chaos.request r WHERE r.reference IN (replace(t.transaction_id::text, '-', ''), t.refund_key, t.bank_key, t.capture_key)
			AND (r.delivery <> 'normal' OR r.status NOT BETWEEN 200 AND 499 OR NOT r.finished) ORDER BY r.number LIMIT 1),
		(SELECT 'bank: ' || CASE e.bank_code WHEN '96' THEN 'malfunction at ' ELSE 'unreadable answer to ' END || e.operation FROM chaos.event e
			WHERE e.transaction_id = t.transaction_id AND (e.bank_code = '96' OR e.reason = 'answer_not_understood' AND e.bank_code IS NULL) ORDER BY e.step_order LIMIT 1),
		-- this bank echoes no reference: another payment's document (other_answer) is noticed by its amount or its id
		(SELECT 'bank: another document, ' || e.reason || ' at ' || e.operation FROM chaos.event e
			WHERE e.transaction_id = t.transaction_id AND e.event_type = 'ManualReviewRequired' AND e.reason IN ('amount_mismatch', 'charge_of_another_payment') ORDER BY e.step_order LIMIT 1),
		-- it named a larger amount than it charged, cannot cancel by our reference, and refuses to refund that amount
		(SELECT 'bank: another amount, not to be given back' FROM chaos.event e
			WHERE e.transaction_id = t.transaction_id AND t.token = 'tok_wrong_amount' AND e.event_type = 'RefundFailed' AND e.bank_code = '61' ORDER BY e.step_order LIMIT 1),
		(SELECT 'blow: ' || b.what FROM chaos.blow b WHERE EXISTS (
			SELECT FROM chaos.event s JOIN chaos.event u USING (transaction_id)
			WHERE (b.what ~ '^kill_' OR b.what IN ('terminate_worker', 'immediate_stop', 'fast_restart', 'failover', 'clock_back', 'bank_drop', 'pause_worker')) AND s.transaction_id = t.transaction_id AND s.event_type IN ('BankProcessingStarted', 'RefundStarted', 'CaptureStarted') AND u.event_type IN ('BankOutcomeUnknown', 'RefundOutcomeUnknown', 'ManualReviewRequired')
			AND b.at BETWEEN extract(epoch FROM s.occurred_at) - CASE u.reason WHEN 'worker_lost' THEN 2 ELSE 0.1 END AND extract(epoch FROM u.occurred_at)) ORDER BY b.at LIMIT 1)) AS cause
	FROM pgw.payment_transactions t WHERE t.status = 'RequiresManualReview'
SQL

# Name, and the query for the rows that break it: (transaction_id or NULL, text).
our @checks = (
	[ '1 no double charge: at most one charge kept per merchant and id', q{
		SELECT (array_agg(t.transaction_id))[1], t.merchant || '/' || t.client_request_id || ': ' || count(*) || ' charges kept: ' || string_agg(k.id, ', ')
		FROM chaos.kept k JOIN pgw.payment_transactions t ON t.transaction_id = k.reference GROUP BY t.merchant, t.client_request_id HAVING count(*) > 1 } ],
	[ '1 no double charge: one charge per attempt', q{
		SELECT reference, 'charged ' || count(*) || ' times: ' || string_agg(id, ', ') FROM chaos.charge WHERE status IN ('approved', 'pending') GROUP BY reference HAVING count(*) > 1 } ],
	[ '1 no double charge: one idempotency key per attempt', q{
		SELECT r.reference::uuid, count(DISTINCT r.idempotency_key) || ' keys' FROM chaos.request r WHERE r.operation IN ('charge', 'authorize') AND r.idempotency_key <> ''
		GROUP BY r.reference HAVING count(DISTINCT r.idempotency_key) > 1 } ],
	[ '2 no orphan charge: each charge kept has its payments row, or a review', q{
		SELECT k.reference, 'charge ' || k.id || ' (' || k.status || ') is kept, attempt ' || coalesce(t.status::text, 'not there') || ', payments row ' || coalesce(p.status::text, 'not there')
		FROM chaos.kept k LEFT JOIN pgw.payment_transactions t ON t.transaction_id = k.reference LEFT JOIN pgw.payments p ON p.transaction_id = k.reference
		WHERE NOT coalesce(t.status = 'RequiresManualReview', false)
		AND NOT coalesce(k.status = 'approved' AND p.status IN ('authorized', 'partially_captured', 'captured', 'partially_refunded'), false) } ],
	[ '3 no phantom payment: each payment taken has its charge, same amounts', q{
		SELECT p.transaction_id, 'payment ' || p.client_request_id || ' ' || p.status || ' ' || p.amount || ' ' || p.currency || ', charge ' || coalesce(k.id || ' ' || k.amount || ' ' || k.currency
			|| ' captured ' || k.captured, 'not there') FROM chaos.taken p LEFT JOIN chaos.kept k ON k.reference = p.transaction_id
		WHERE NOT coalesce(k.status = 'approved' AND k.amount = p.amount AND k.currency = p.currency AND k.captured = p.captured_amount AND k.refunded = p.refunded_amount
			AND k.authorized = p.authorized_amount AND k.id = p.bank_reference AND k.merchant = p.merchant, false) AND p.payment_id NOT IN (SELECT payment_id FROM chaos.in_review) } ],
	[ '3 no phantom payment: per payment the ledger nets to the table, also when all was given back', q{
		SELECT p.transaction_id, 'payment ' || p.client_request_id || ' ' || p.status || ' captured ' || p.captured_amount || ' refunded ' || p.refunded_amount
			|| ', charge captured ' || c.captured || ' refunded ' || c.refunded || CASE WHEN c.voided THEN ' voided' ELSE '' END
		FROM pgw.payments p JOIN chaos.charge c ON c.reference = p.transaction_id AND c.status = 'approved' WHERE p.status NOT IN ('failed', 'declined')
		AND p.payment_id NOT IN (SELECT payment_id FROM chaos.in_review)
		AND (p.captured_amount <> c.captured OR p.refunded_amount <> c.refunded OR p.refund_pending_amount <> 0 OR p.capture_pending_amount <> 0 OR p.reserved_amount <> 0 OR (p.status = 'voided') <> c.voided) } ],
	[ 'operations: each that is done is at the bank once, with its amount', q{
		SELECT t.transaction_id, t.kind || ' ' || t.client_request_id || ' of ' || t.amount || ', at the bank: ' || count(s.id) || ' of ' || coalesce(min(s.amount)::text, '-')
		FROM pgw.payment_transactions t LEFT JOIN chaos.step s ON s.what = t.kind::text AND s.reference = coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) AND s.status = 'succeeded'
		WHERE t.kind <> 'payment' AND t.status = 'Completed' GROUP BY t.transaction_id HAVING count(s.id) <> 1 OR min(s.amount) <> t.amount } ],
	[ 'operations: each that failed did nothing at the bank', q{
		SELECT t.transaction_id, t.kind || ' ' || t.client_request_id || ' is ' || t.status || ', but at the bank: ' || s.id || ' ' || s.status
		FROM pgw.payment_transactions t JOIN chaos.step s ON s.what = t.kind::text AND s.reference = coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) AND s.status = 'succeeded' WHERE t.kind <> 'payment' AND t.status = 'Failed' } ],
	[ 'operations: what the bank has done to a charge was asked for', q{
		SELECT c.reference, s.what || ' ' || s.id || ' of ' || s.amount || ' under reference ' || coalesce(s.reference, '-') || ' was asked for by nobody'
		FROM chaos.step s JOIN chaos.charge c ON c.id = s.charge JOIN pgw.payment_transactions p ON p.transaction_id = c.reference WHERE s.status = 'succeeded'
		AND NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.kind::text = s.what AND coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) = s.reference)
		AND p.capture_key IS DISTINCT FROM s.reference AND p.status NOT IN ('Refunding', 'Refunded', 'RequiresManualReview') } ],
	[ 'operations: a payment that was captured after its commit was committed', q{
		SELECT c.reference, 'captured ' || c.captured || ', payment ' || coalesce(p.status::text, 'not there') FROM chaos.charge c JOIN pgw.payment_transactions t ON t.transaction_id = c.reference
		LEFT JOIN pgw.payments p ON p.transaction_id = c.reference WHERE t.capture = 'on_commit' AND NOT t.submitted AND c.captured > 0 AND p.payment_id IS NULL } ],
	[ '3 no phantom payment: payments and attempts agree', q{
		SELECT p.transaction_id, 'payment ' || p.client_request_id || ' is ' || p.status || ', its attempt ' || coalesce(t.status::text, 'not there')
		FROM pgw.payments p LEFT JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.status IS NULL OR t.client_request_id <> p.client_request_id OR t.merchant <> p.merchant
		OR (p.status IN ('authorized', 'partially_captured', 'captured', 'partially_refunded', 'refunded', 'voided', 'expired')) <> (t.status = 'Completed') AND t.status <> 'RequiresManualReview' OR (p.status IN ('declined', 'failed')) <> (t.status IN ('Failed', 'Refunded')) AND t.status <> 'RequiresManualReview' } ],
	[ '4 rollback gives back: an order and its payment are there together or not at all', q{
		SELECT p.transaction_id, coalesce(p.client_request_id, o.client_request_id) || ': order ' || coalesce(o.status, 'not there') || ', payment ' || coalesce(p.status::text, 'not there')
		FROM orders o FULL JOIN pgw.payments p ON p.merchant = o.merchant AND p.client_request_id = o.client_request_id AND p.payment_id = o.payment_id
		WHERE (o.client_request_id IS NULL OR p.payment_id IS NULL) AND (p.payment_id IS NULL OR p.client_request_id LIKE 'o-%') } ],
	[ '4 rollback gives back: what a client knows to be rolled back left no row and no charge', q{
		SELECT t.transaction_id, x.client_request_id || ' (' || x.shape || ') was given up, but: ' || coalesce('payment ' || p.status, '') || coalesce(' charge ' || k.id, '')
		FROM chaos.outcome x LEFT JOIN pgw.payment_transactions t USING (merchant, client_request_id) LEFT JOIN pgw.payments p USING (merchant, client_request_id)
		LEFT JOIN chaos.kept k ON k.reference = t.transaction_id WHERE x.finish = 'none' AND (p.payment_id IS NOT NULL OR k.id IS NOT NULL AND t.status <> 'RequiresManualReview') } ],
	[ '5 intent first: each charge is younger than its durable intent', q{
		SELECT c.reference, 'charge ' || c.id || ' at ' || c.created_at_ms || ', intent ' || coalesce(min(e.occurred_at)::text, 'not there')
		FROM chaos.charge c LEFT JOIN chaos.event e ON e.transaction_id = c.reference AND e.event_type = 'BankProcessingStarted'
		GROUP BY c.reference, c.id, c.created_at_ms HAVING NOT coalesce(min(extract(epoch FROM e.occurred_at)) * 1000 < c.created_at_ms + 1, false) } ],
	[ '5 intent first: each capture, void and refund is younger than its durable intent', q{
		SELECT c.reference, g.what || ' ' || g.id || ' at ' || g.created_at_ms || ', intent ' || coalesce(min(e.occurred_at)::text, 'not there') FROM chaos.step g
		JOIN chaos.charge c ON c.id = g.charge LEFT JOIN pgw.payment_transactions t ON coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) = g.reference AND t.kind::text = g.what
		LEFT JOIN chaos.event e ON e.transaction_id = coalesce(t.transaction_id, c.reference)
			AND e.event_type = CASE WHEN t.transaction_id IS NOT NULL THEN 'BankProcessingStarted' WHEN g.what = 'capture' THEN 'CaptureStarted' ELSE 'RefundStarted' END
		GROUP BY c.reference, g.what, g.id, g.created_at_ms HAVING NOT coalesce(min(extract(epoch FROM e.occurred_at)) * 1000 < g.created_at_ms + 1, false) } ],
	[ '6 unknown is not failed: what failed was not charged, or was given back', q{
		SELECT k.reference, 'Failed, but charge ' || k.id || ' is kept' FROM chaos.kept k JOIN pgw.payment_transactions t ON t.transaction_id = k.reference WHERE t.status = 'Failed' } ],
	[ '6 unknown is not failed: after a doubt comes an answer to a question, or the bank\'s word', q{
		SELECT u.transaction_id, 'TransactionFailed after BankOutcomeUnknown, with no look-up or replay in between' FROM chaos.event u JOIN chaos.event f USING (transaction_id)
		WHERE u.event_type = 'BankOutcomeUnknown' AND f.event_type = 'TransactionFailed' AND f.step_order > u.step_order
		AND NOT EXISTS (SELECT FROM chaos.request r JOIN pgw.payment_transactions t ON t.transaction_id = u.transaction_id LEFT JOIN pgw.payments p ON p.payment_id = t.payment_id
			WHERE coalesce(r.reference, split_part(r.path, 'reference=', 2)) IN (coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')), replace(p.transaction_id::text, '-', '')) AND r.at_ms >= extract(epoch FROM u.occurred_at) * 1000 - 1)
		AND NOT EXISTS (SELECT FROM pgw.notifications n WHERE n.transaction_id = u.transaction_id AND n.evidence = 'used' AND n.says = 'declined') } ],
	[ '7 nothing accepted is lost: what a client knows to be committed is there', q{
		SELECT p.transaction_id, x.client_request_id || ' (' || x.shape || ') was committed: ' || x.finish || ', payment ' || coalesce(p.status::text, 'not there') || ', client saw ' || x.status
		FROM chaos.outcome x LEFT JOIN pgw.payments p USING (merchant, client_request_id)
		WHERE x.finish = 'stuck' OR x.finish = 'committed' AND (p.payment_id IS NULL OR x.status NOT IN ('pending', 'taken', p.status::text) AND NOT (x.status = 'in_review' AND EXISTS (SELECT FROM chaos.event e WHERE e.transaction_id = p.transaction_id AND e.event_type = 'ManualReviewResolved')) OR x.status = 'taken' AND p.status IN ('pending', 'declined', 'in_review')
			OR x.status = 'taken' AND p.status = 'failed' AND p.capture <> 'on_commit') } ],
	[ '7 nothing accepted is lost: each operation that a client knows to be committed is there', q{
		SELECT NULL, x.kind || ' ' || x.client_request_id || ' was committed, and is not there' FROM chaos.operation x WHERE x.finish = 'committed'
		AND NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.kind::text = x.kind AND t.merchant = x.merchant AND t.client_request_id = x.client_request_id) } ],
	[ '7 nothing accepted is lost: every attempt is final', qq{
		SELECT transaction_id, client_request_id || ' is ' || status FROM pgw.payment_transactions WHERE status IN ($open)
		UNION ALL SELECT transaction_id, client_request_id || ': payment is pending' FROM pgw.payments WHERE status = 'pending'
		UNION ALL SELECT NULL, 'prepared transaction ' || gid FROM pg_prepared_xacts } ],
	[ '8 refunds never exceed the capture', q{
		SELECT reference, 'charge ' || id || ': refunded ' || refunded || ' of ' || captured FROM chaos.charge WHERE refunded > captured
		UNION ALL SELECT c.reference, 'charge ' || c.id || ': refunded, captured or voided ' || count(*) || ' times under one reference' FROM chaos.charge c JOIN chaos.step g ON g.charge = c.id AND g.status = 'succeeded'
		GROUP BY c.reference, c.id, g.what, g.reference HAVING count(*) > 1
		UNION ALL SELECT t.transaction_id, 'charge ' || c.id || ': given back ' || count(*) || ' times' FROM pgw.payment_transactions t JOIN chaos.charge c ON c.reference = t.transaction_id
		JOIN chaos.step g ON g.charge = c.id AND g.status = 'succeeded' AND g.what <> 'capture' WHERE t.status = 'Refunded' GROUP BY t.transaction_id, c.id HAVING count(*) > 1 } ],
	[ '9 the events tell it all: they fold to the status, steps 1..n', q{
		SELECT t.transaction_id, 'status ' || t.status || ' at step ' || t.step_order || ', events: ' || coalesce(f.wrong, 'none') FROM pgw.payment_transactions t LEFT JOIN (
			SELECT transaction_id, max(step_order) AS steps, count(*) AS n, (array_agg(becomes ORDER BY step_order DESC))[1] AS ends,
				string_agg(event_type, ',' ORDER BY step_order) AS wrong, bool_and(follows) AS follows
			FROM (SELECT *, CASE WHEN step_order = 1 THEN was IS NULL AND event_type = 'TransactionStarted' ELSE was = lag(becomes) OVER w OR was = lag(was) OVER w AND becomes = lag(becomes) OVER w END AS follows
				FROM chaos.event WINDOW w AS (PARTITION BY transaction_id ORDER BY step_order)) e GROUP BY transaction_id) f USING (transaction_id)
		WHERE NOT coalesce(f.n = t.step_order AND f.steps = t.step_order AND f.ends = t.status::text AND f.follows, false) } ],
	[ '9 the events tell it all: each has its attempt', q{
		SELECT DISTINCT e.transaction_id, 'events without an attempt' FROM chaos.event e LEFT JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.transaction_id IS NULL } ],
	[ 'reviews: each was made unavoidable by an injected fault; none where a look-up works', qq{
		SELECT transaction_id, 'review at bank ' || coalesce(bank, '?') || ', cause: ' || coalesce(cause, 'none found') FROM ($cause) c WHERE bank IS DISTINCT FROM 'form' OR cause IS NULL } ],
);

sub run
{
	my ($server) = @_;
	my @results;
	my @all = @checks;
	push @all, [ '9 pgw.rebuild_status() says what is stored', 'SELECT transaction_id, status::text FROM pgw.payment_transactions WHERE status IS DISTINCT FROM pgw.rebuild_status(transaction_id)' ]
	  if exists_function($server, 'rebuild_status');
	push @all, [ '9 pgw.rebuild_payment() says what is stored', q{SELECT p.transaction_id, p::text || ' by events: ' || r::text FROM pgw.payments p CROSS JOIN LATERAL pgw.rebuild_payment(p.payment_id) r
		WHERE (p.transaction_id, p.status, p.authorized_amount, p.captured_amount, p.capture_pending_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount)
			IS DISTINCT FROM (r.transaction_id, r.status, r.authorized_amount, r.captured_amount, r.capture_pending_amount, r.reserved_amount, r.refunded_amount, r.refund_pending_amount)
			AND p.status NOT IN ('pending', 'in_review') AND (p.status, r.status) IS DISTINCT FROM ('failed', 'declined')} ]
	  if exists_function($server, 'rebuild_payment');
	push @all, [ 'pgw.check_consistency() finds nothing', 'SELECT transaction_id, c::text FROM pgw.check_consistency() c' ] if exists_function($server, 'check_consistency');
	for my $c (@all)
	{
		my @bad = $server->query("SELECT a, replace(b, E'\\n', ' ') FROM ($c->[1]) x (a, b)", 300);
		push @results, { name => $c->[0], bad => \@bad };
	}
	return @results;
}

sub exists_function
{
	my ($server, $name) = @_;
	return $server->value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgw'::regnamespace AND proname = '$name'");
}

sub reviews
{
	my ($server) = @_;
	return $server->query("SELECT bank, cause, count(*) FROM ($cause) c GROUP BY 1, 2 ORDER BY 1, 3 DESC");
}

# No card number in any file of the server: data directory, WAL, log.
sub secrets
{
	my ($server, $cards) = @_;
	my @numbers = map { s/\.//gr } @$cards;
	my $any = join '|', map { quotemeta } map { ($_, unpack 'H*', $_) } @numbers;
	my ($bytes, @hits) = (0);
	my $search = sub {
		my ($file) = @_;
		open my $f, '<:raw', $file or return;
		my $rest = '';
		while (read $f, my $chunk, 1 << 20)
		{
			$bytes += length $chunk;
			push @hits, [ '', $file ] and last if "$rest$chunk" =~ /$any/o;
			$rest = substr $chunk, -40;
		}
	};
	find({ no_chdir => 1, wanted => sub { $search->($_) if -f $_ } }, grep { -d } map { "$server->{dir}/$_" } qw(data standby));
	$search->($_) for grep { -f } $server->{log}, "$server->{dir}/standby.log";
	return { name => sprintf('10 no secret on disk: no card number in %.0f MB of data directory, WAL and log', $bytes / 1e6), bad => \@hits };
}

# No process ended but by what this program did to it: an assertion, a crash and a PANIC restart the cluster, which recovers from that, too.
sub crashes
{
	my ($server) = @_;
	my @hits;
	for my $file (grep { -f } $server->{log}, "$server->{dir}/standby.log")
	{
		open my $f, '<', $file or next;
		while (<$f>) { push @hits, [ '', s/\n//r ] if /TRAP: |PANIC: |was terminated by signal (?!9:)/ }
	}
	return { name => 'no process of the server crashed', bad => \@hits };
}

# Print what came of each check, with the history of the first attempts that break one; the number of violations.
sub tell
{
	my ($server, @results) = @_;
	my ($n, $violations, %told) = (0, 0);
	for my $r (@results)
	{
		my @bad = @{ $r->{bad} };
		$violations += @bad;
		printf "%s %d - %s\n", @bad ? 'not ok' : 'ok', ++$n, $r->{name};
		for my $b (@bad[ 0 .. ($#bad > 9 ? 9 : $#bad) ])
		{
			my ($id, @text) = @$b;
			print "# $id @text\n";
			print map { "# $_\n" } history($server, $id) if $id && !$told{$id}++ && keys %told <= 12;
		}
		printf "# ... and %d more\n", @bad - 10 if @bad > 10;
	}
	print "1..$n\n\n";
	return $violations;
}

# How one attempt came about, for whoever looks for the reason of a violation.
sub history
{
	my ($server, $transaction_id) = @_;
	return unless $transaction_id;
	my @lines;
	push @lines, "  attempt $_->[0] $_->[1] $_->[2] submitted=$_->[3] bank=$_->[4] token=$_->[5] created $_->[6]" for $server->query("
		SELECT t.transaction_id, t.client_request_id, t.status, t.submitted, t.bank, coalesce(t.token, 'card'), t.created_at FROM pgw.payment_transactions t
		JOIN pgw.payment_transactions o USING (merchant, client_request_id) WHERE o.transaction_id = '$transaction_id' ORDER BY t.transaction_id");
	push @lines, "  event   $_->[0]" for $server->query("SELECT concat_ws(' ', right(e.transaction_id::text, 6), e.step_order, to_char(e.occurred_at, 'HH24:MI:SS.MS'), e.event_type, e.event_data - '{v,bank,correlation_id}'::text[])
		FROM pgw.events_in_full e JOIN pgw.payment_transactions t USING (transaction_id) JOIN pgw.payment_transactions o USING (merchant, client_request_id)
		WHERE o.transaction_id = '$transaction_id' ORDER BY e.transaction_id, e.step_order");
	push @lines, "  ledger  $_->[0]" for $server->query("SELECT row_to_json(c) FROM chaos.charge c WHERE reference = '$transaction_id'
		UNION ALL SELECT row_to_json(g) FROM chaos.step g JOIN chaos.charge c ON c.id = g.charge WHERE c.reference = '$transaction_id'");
	push @lines, "  request $_->[0]" for $server->query("SELECT concat_ws(' ', to_char(to_timestamp(at_ms / 1000.0), 'HH24:MI:SS.MS'), operation, status, delivery, CASE WHEN replayed THEN 'replayed' END) FROM chaos.request
		WHERE coalesce(reference, split_part(path, 'reference=', 2)) IN (SELECT unnest(ARRAY[replace(t.transaction_id::text, '-', ''), t.refund_key]) FROM pgw.payment_transactions t
		JOIN pgw.payment_transactions o USING (merchant, client_request_id) WHERE o.transaction_id = '$transaction_id')
		OR path ~ (SELECT '/(' || coalesce(string_agg(id, '|'), '-') || ')/' FROM chaos.charge WHERE reference = '$transaction_id') ORDER BY number");
	push @lines, "  blow    $_->[0]" for $server->query("SELECT to_char(to_timestamp(b.at), 'HH24:MI:SS.MS') || ' ' || b.what FROM chaos.blow b WHERE b.at BETWEEN
		(SELECT min(extract(epoch FROM occurred_at)) - 1 FROM chaos.event WHERE transaction_id = '$transaction_id') AND (SELECT max(extract(epoch FROM occurred_at)) + 1 FROM chaos.event WHERE transaction_id = '$transaction_id') ORDER BY b.at");
	return @lines;
}

1;
