# Who resolves a manual review, and when: an operator's word counts at the commit of his transaction, the first one's, of those who may, and with
# four eyes on only when a second one says the same.
use strict;
use warnings;
use lib 'test/lib';
use PgwReviews;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $bank) = reviews_cluster('review_by_operators');
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql("CREATE ROLE $_ LOGIN; SELECT pgw.grant_access('$_', 'operator')") for qw(anna bert);

# ---------------------------------------------------------------- the operator's own transaction

part($node, 'transactions', sub {
	is(pay($node, 'tx', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	my ($first, $second) = map { PgwSession->new($node) } 1 .. 2;
	$first->run('BEGIN; ' . resolve_sql($node, 'tx', 'mark_not_charged') . '; ROLLBACK');
	is(newest_status($node, 'tx'), 'RequiresManualReview', 'rolled back: still in review');
	for my $level ('read committed', 'repeatable read', 'serializable')
	{
		my $id = "tx-$level";
		is(pay($node, $id, bank => 'form', token => 'tok_500_after'), 'in_review', "$level: in doubt");
		my $ref = charge_id($node, $bank, $id);
		$second->run("BEGIN ISOLATION LEVEL $level; SELECT 1");
		$first->run('BEGIN; ' . resolve_sql($node, $id, 'mark_charged', $ref));
		$second->send(resolve_sql($node, $id, 'mark_not_charged'));
		ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mark_not_charged%'"),
			"$level: the second operator waits for the first");
		is(newest_status($node, $id), 'RequiresManualReview', "$level: nothing moves before the commit");
		$first->run('COMMIT');
		$second->wait;
		is($second->state, 'PW422', "$level: and is told that it is done") or diag($second->err);
		$second->run('ROLLBACK');
		attempt_becomes($node, $id, 'Completed', "$level: what the first said stands");
	}
	$first->run('BEGIN; ' . resolve_sql($node, 'tx', 'mark_charged', charge_id($node, $bank, 'tx')) . "; PREPARE TRANSACTION 'review'");
	is($first->state, '00000', 'it can be prepared') or diag($first->err);
	is(newest_status($node, 'tx'), 'RequiresManualReview', 'prepared: nothing has changed');
	$first->run("COMMIT PREPARED 'review'");
	attempt_becomes($node, 'tx', 'Completed', 'committed: the worker finds it');
	is_sound($node, $bank, 'transactions: tables and ledger are sound');
}) if $node->safe_psql('postgres', 'SHOW max_prepared_transactions') > 0;

# ---------------------------------------------------------------- who may, and with whom

part($node, 'two pairs of eyes', sub {
	is(pay($node, 'eyes', bank => 'form', token => 'tok_500_after'), 'in_review', 'in doubt');
	$node->append_conf('postgresql.conf', 'pgw.require_four_eyes = on');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.require_four_eyes') eq 'on' });
	my $ref = charge_id($node, $bank, 'eyes');
	my $wants = resolve_sql($node, 'eyes', 'mark_charged', $ref);
	my ($anna, $bert) = map { PgwSession->new($node) } 1 .. 2;
	$anna->run('SET SESSION AUTHORIZATION anna');
	$bert->run('SET SESSION AUTHORIZATION bert');
	is($anna->run($wants), 'RequiresManualReview', 'the first call proposes');
	like($anna->err, qr/proposed/, 'and says so');
	is(sql("SELECT proposal->>'action', proposal->>'by', proposal->'evidence'->>'bank_reference' FROM pgw.manual_reviews WHERE client_request_id = 'eyes'"),
		"mark_charged|anna|$ref", 'the view shows it');
	$anna->run($wants);
	is($anna->state, 'PW422', 'the same role again');
	like($anna->err, qr/four_eyes_required/, 'is not a second pair of eyes');
	$anna->run('SET ROLE pg_monitor');
	is($bert->run(resolve_sql($node, 'eyes', 'mark_not_charged')), 'RequiresManualReview', 'another action is another proposal');
	is($anna->run('RESET ROLE; ' . $wants), 'RequiresManualReview', 'and so is the first one then');
	is($bert->run(resolve_sql($node, 'eyes', 'mark_charged', "$ref-other")), 'RequiresManualReview', 'or one with other evidence');
	is($anna->run($wants), 'RequiresManualReview', 'proposed again');
	is($bert->run($wants), 'BankApproved', 'the second role confirms');
	attempt_becomes($node, 'eyes', 'Completed', 'and it takes effect');
	is(sql("SELECT event_data->>'session_user', event_data->>'proposed_by' FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id)
		WHERE client_request_id = 'eyes' AND event_type = 'ManualReviewResolved'"), 'bert|anna', 'the event names both');
	is(sql('SELECT count(*) FROM pgw.review_proposals'), 5, 'every proposal is kept');

	is(pay($node, 'moved', bank => 'form', token => 'tok_500_after'), 'in_review', 'another');
	$anna->run(resolve_sql($node, 'moved', 'retry'));
	is($bert->run(resolve_sql($node, 'moved', 'retry')), 'BankUnknown', 'confirmed: the attempt moves');
	attempt_becomes($node, 'moved', 'RequiresManualReview', 'and comes back');
	is($bert->run(resolve_sql($node, 'moved', 'retry')), 'RequiresManualReview', 'the old proposal is void');
	is(sql("SELECT proposal->>'by' FROM pgw.manual_reviews WHERE client_request_id = 'moved'"), 'bert', 'the new one counts');
	$node->append_conf('postgresql.conf', 'pgw.require_four_eyes = off');
	$node->reload;
	wait_until(sub { sql('SHOW pgw.require_four_eyes') eq 'off' });
	is(resolve($node, 'moved', 'mark_charged', charge_id($node, $bank, 'moved')), 'BankApproved', 'off again: one is enough');
	attempt_becomes($node, 'moved', 'Completed', 'at once');
	is_sound($node, $bank, 'two pairs of eyes: tables and ledger are sound');
});

part($node, 'who may', sub {
	sql("INSERT INTO pgw.merchants (merchant, name) VALUES ('acme', 'Acme'); CREATE ROLE acme LOGIN; SELECT pgw.grant_access('acme', 'operator', 'acme');
		CREATE ROLE auditor LOGIN; SELECT pgw.grant_access('auditor', 'auditor'); CREATE ROLE client LOGIN; SELECT pgw.grant_access('client', 'client')");
	is(pay($node, 'ours', bank => 'form', token => 'tok_500_after', merchant => 'acme'), 'in_review', 'a review of one merchant');
	is(pay($node, 'never', bank => 'form', token => 'tok_500_after'), 'in_review', 'and one of another, which nobody resolves');
	my $s = PgwSession->new($node);
	my $never = resolve_sql($node, 'never', 'retry');
	my %state = (acme => 'PW404', auditor => '42501', client => '42501');
	for my $who (sort keys %state)
	{
		$s->run("SET SESSION AUTHORIZATION $who");
		$s->run($never);
		is($s->state, $state{$who}, "$who may not");
		is($s->run('SELECT string_agg(client_request_id, \',\' ORDER BY client_request_id) FROM pgw.manual_reviews'),
			{ acme => 'ours', auditor => 'never,ours', client => '' }->{$who}, "$who sees what is granted");
		$s->run('RESET SESSION AUTHORIZATION');
	}
	$s->run('SET SESSION AUTHORIZATION acme');
	is($s->run(resolve_sql($node, 'ours', 'mark_charged', charge_id($node, $bank, 'ours'))), 'BankApproved', 'but for its own merchant');
	attempt_becomes($node, 'ours', 'Completed', 'it counts');
	is_sound($node, $bank, 'who may: tables and ledger are sound', reviews => 1);
});

part($node, 'dump', sub {
	my $before = sql('SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)), count(*) FROM pgw.review_proposals p');
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $node->basedir . '/dump', 'postgres');
	sql('CREATE DATABASE restored');
	system_or_bail('pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', 'restored', $node->basedir . '/dump');
	is($node->safe_psql('restored', 'SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)), count(*) FROM pgw.review_proposals p'), $before, 'proposals are in dumps');
});

$node->stop('fast');
done_testing();
