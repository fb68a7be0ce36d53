# PgwMonitoring - what pgw.health() and pgw.metrics say of a cluster, and whether the metrics agree with the tables and with what the bank has seen.
package PgwMonitoring;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;
use Test::More;

our @EXPORT = qw(monitored_node health health_becomes figure figures_agree);

# A cluster with few slots, quick retries and a breaker that opens soon, and its bank; the worker looks at its tables only when it is asked to.
sub monitored_node
{
	my ($name) = @_;
	my $node = pgw_node($name, debug => 1, conf => "fsync = off\npgw.max_waiting = 4\npgw.compensation_delay = '50ms'\n"
		  . "pgw.retry_base_delay = '100ms'\npgw.recovery_interval = '1h'\npgw.breaker_failures = 3\npgw.breaker_cooldown = '1s'\n");
	my $bank = bank_start();
	pgw_setup($node, $bank);
	return ($node, $bank);
}

# A check's status, its advice and one of its details.
sub health
{
	my ($node, $check, $detail) = @_;
	return $node->safe_psql('postgres', "SELECT status || '|' || coalesce(advice, '-')" . ($detail ? " || '|' || coalesce(details->>'$detail', 'null')" : '')
		  . " FROM pgw.health() WHERE check_name = '$check'");
}

sub health_becomes
{
	my ($node, $check, $pattern, $detail) = @_;
	return wait_until(sub { health($node, $check, $detail) =~ $pattern }, 20);
}

# A figure; members of the labels may be left out, and what is left is added up.
sub figure
{
	my ($node, $name, $labels) = @_;
	return $node->safe_psql('postgres', "SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = '$name' AND labels @> '" . ($labels // '{}') . "'");
}

# At rest, every counter says what the tables say.
sub figures_agree
{
	my ($node, $bank, $what) = @_;
	wait_rest($node, $bank);
	is($node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', labels->>'livemode', labels->>'event', value), ',' ORDER BY labels->>'livemode', labels->>'event')
			FROM pgw.metrics WHERE name = 'pgw_events_total' AND value > 0"),
		$node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', livemode::text, event_type, n), ',' ORDER BY livemode::text, event_type::text)
			FROM (SELECT livemode, event_type, count(*) n FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id) GROUP BY 1, 2) x"),
		"$what: events by mode and type");
	is($node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', labels->>'livemode', labels->>'bank', labels->>'operation', labels->>'outcome', value), ',' ORDER BY labels->>'bank', labels->>'outcome')
			FROM pgw.metrics WHERE name = 'pgw_transactions_total'"),
		$node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', livemode::text, bank, 'payment', outcome, n), ',' ORDER BY bank, outcome) FROM (SELECT livemode, bank, CASE status
			WHEN 'Completed' THEN CASE capture WHEN 'manual' THEN 'authorized' ELSE 'captured' END
			WHEN 'Failed' THEN coalesce((SELECT status::text FROM pgw.payments p WHERE p.transaction_id = t.transaction_id), 'failed')
			WHEN 'Refunded' THEN 'given_back' ELSE status::text END AS outcome, count(*) n FROM pgw.payment_transactions t GROUP BY 1, 2, 3) x"),
		"$what: payments by mode, bank and outcome");
	for my $mode (map { qq({"livemode": "$_"}) } 'true', 'false')
	{
		is(figure($node, 'pgw_transaction_duration_seconds_count', $mode), figure($node, 'pgw_transactions_total', $mode), "$what: a duration for each, $mode");
	}
	my @calls = grep { $_->{finished} } @{ bank_log($bank, 10000) };
	is(figure($node, 'pgw_bank_calls_total', '{"livemode": "true"}') - figure($node, 'pgw_bank_calls_total', '{"livemode": "true", "result": "never_sent"}'), scalar @calls, "$what: bank calls, as the bank saw them");
}

1;
