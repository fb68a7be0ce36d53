# Alerts: who needs a person is told of at once, what stays is told of again by its age, nothing is told too often, and no alert that cannot be
# written holds up a payment or another alert.  docs/alerts.md
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('alerts', debug => 1, conf => "fsync = off\nmax_prepared_transactions = 5\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\n"
	  . "pgw.recovery_interval = '1s'\npgw.refund_max_attempts = 2\npgw.unknown_deadline = '30d'\npgw.breaker_cooldown = '1s'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $listener = PgwSession->new($node, name => 'listener');
$listener->query('LISTEN pgw_alerts');
my @heard;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

sub transaction_id
{
	return sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'");
}

# What listeners were told of this kind, and of this transaction where the subject is one, so far.
sub heard
{
	my ($kind, $subject) = @_;
	my ($transaction) = $subject =~ /^([0-9a-f-]{36})/;
	my $out = $listener->query('SELECT 1');
	push @heard, decode_json($1) while $out =~ /payload "(\{.*\})" received/g;
	return grep { $_->{kind} eq $kind && (!defined $transaction || $_->{transaction_id} eq $transaction) } @heard;
}
sub is_heard { my ($kind, $subject, $n) = @_; return wait_until(sub { heard($kind, $subject) >= ($n // 1) }, 20) }

sub alert_state
{
	my ($kind, $subject, $what) = @_;
	return sql("SELECT $what FROM pgw.alert_state WHERE kind = '$kind' AND subject = '$subject'");
}

# A charge whose caller rolled back and that the bank does not give back: it ends in review.
sub to_review
{
	my ($id) = @_;
	sql('BEGIN; ' . pay($id, token => 'tok_refund_fail') . '; ROLLBACK');
	return wait_until(sub { status_of($node, $id) eq 'RequiresManualReview' }, 20);
}

part($node, 'review at once', sub {
	ok(to_review('rev'), 'a transaction in review');
	my $id = transaction_id('rev');
	ok(is_heard('review_required', $id), 'listeners are told');
	my ($told) = heard('review_required', $id);
	is($told->{transaction_id}, $id, 'which transaction');
	my $correlation = sql("SELECT DISTINCT event_data->>'correlation_id' FROM pgw.events_in_full WHERE transaction_id = '$id'");
	is(join(',', sort keys %$told), 'kind,transaction_id,v', 'the members of the payload: every role can hear it');
	is(alert_state('review_required', $id, "bank || ' ' || (message <> '')"), 'bank true', 'bank and message are in the view');
	ok(wait_until(sub { slurp_file($node->logfile) =~ /WARNING:  pgw: review_required: .*\n.*DETAIL:  correlation id \Q$correlation\E, transaction \Q$id\E$/m }, 10),
		'a warning in the log, with the correlation id and the transaction');
	is(alert_state('review_required', $id, "count || ' ' || told"), '1 1', 'counted once, told once');
});

part($node, 'too many failures', sub {
	sub failing { return sql("SELECT count(*) FILTER (WHERE r.status = 'failed') FROM generate_series($_[0], $_[1]) i, LATERAL "
		  . "pgw.process_payment('fail' || i, 100, 'EUR', 'tok_nosuch') r") }
	is(sql("SELECT count(*) FILTER (WHERE r.status = 'declined') FROM generate_series(1, 12) i, LATERAL "
			  . "pgw.process_payment('decline' || i, 100, 'EUR', 'tok_decline_do_not_honor') r"), 12, 'declines');
	is(failing(1, 9), 9, 'nine failures');
	to_review('after9');
	ok(is_heard('review_required', transaction_id('after9')), 'a later alert has come');
	is(scalar heard('failed_threshold', 'bank'), 0, 'declines do not count, and nine failures are not too many');
	failing(10, 10);
	ok(is_heard('failed_threshold', 'bank'), 'the tenth is an alert');
	failing(11, 50);
	ok(wait_until(sub { alert_state('failed_threshold', 'bank', 'count') == 41 }, 20), 'the others are counted')
	  or diag(sql('SELECT * FROM pgw.alert_state'));
	is(alert_state('failed_threshold', 'bank', 'told'), 1, 'and told once in the period');
	like(alert_state('failed_threshold', 'bank', 'message'), qr/^50 transactions of bank "bank" have failed/, 'how many now');
	is(scalar heard('failed_threshold', 'bank'), 1, 'listeners heard it once');
});

part($node, 'who sees them', sub {
	sql("INSERT INTO pgw.merchants (merchant) VALUES ('other')");
	sql("CREATE ROLE $_ LOGIN") for qw(cl op au oth no);
	sql("SELECT pgw.grant_access('cl', 'client'), pgw.grant_access('op', 'operator'), pgw.grant_access('au', 'auditor'), pgw.grant_access('oth', 'auditor', 'other')");
	my $all = sql('SELECT count(*) FROM pgw.alert_state');
	cmp_ok($all, '>', 1, 'there are alerts');
	is(sql("SET ROLE op; SELECT count(*) FROM pgw.alerts"), $all, 'an operator sees them');
	is(sql("SET ROLE au; SELECT count(*) FROM pgw.alerts"), $all, 'an auditor sees them');
	is(sql("SET ROLE oth; SELECT count(*) FROM pgw.alerts"), 0, "an auditor of another merchant sees none of this one's");
	for my $role (qw(cl no))
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE $role; SELECT count(*) FROM pgw.alerts");
		like($err, qr/permission denied/, "$role does not");
	}
	for my $role (qw(cl op au no))
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE $role; SELECT count(*) FROM pgw.alert_state");
		like($err, qr/permission denied/, "$role does not read the table");
	}
});

part($node, 'alerts that cannot be written', sub {
	sql(q{CREATE FUNCTION refuse_alert() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.transaction_id = NEW.transaction_id AND t.client_request_id LIKE 'untold%') THEN
			RAISE EXCEPTION 'no alert today';
		END IF;
		RETURN NEW;
	END$$;
	CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON pgw.alert_state FOR EACH ROW EXECUTE FUNCTION refuse_alert()});
	my $from = -s $node->logfile;
	ok(to_review("untold$_"), "review $_ is entered, though its alert fails") for 1, 2;
	ok(wait_until(sub { slurp_file($node->logfile, $from) =~ /no alert today/ }, 10), 'it does fail');
	ok(to_review('told'), 'another one');
	ok(is_heard('review_required', transaction_id('told')), 'whose alert is not held up');
	is(sql(pay('meanwhile')), 'captured', 'nor are payments');
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE transaction_id IN ('" . transaction_id('untold1') . "', '" . transaction_id('untold2') . "')"), 0, 'the others are not told yet');
	sql('DROP TRIGGER refuse ON pgw.alert_state');
	ok(is_heard('review_required', transaction_id("untold$_")), "alert $_ comes when it can") for 1, 2;
});

part($node, 'breaker', sub {
	my $flaky = bank_start();
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('flaky', 'json', '$flaky->{url}', 'bank', 200)");
	bank_stop($flaky);
	change_settings($node, 'pgw.breaker_failures' => 3);
	for my $i (1 .. 10)
	{
		last if heard('breaker_open', 'flaky charges');
		sql(pay("refused$i", bank => 'flaky', timeout => '1s'));
	}
	ok(is_heard('breaker_open', 'flaky charges'), 'a bank that is not there: its breaker is an alert');
	my ($told) = heard('breaker_open', 'flaky');
	is(join(',', sort keys %$told), 'kind,v', 'it is about no transaction, and does not name the bank');
	is(alert_state('breaker_open', 'flaky charges', 'bank'), 'flaky', 'the view does');
	bank_start('--port', $flaky->{port});
	ok(is_heard('breaker_closed', 'flaky charges'), 'so is its end');
	is(sql(pay('back', bank => 'flaky')), 'captured', 'the bank works again');
	change_settings($node, 'pgw.breaker_failures' => 10000);
});

part($node, 'ages', sub {
	my $review = transaction_id('rev');
	bank_control($bank, 'faults', { probabilities => { '500_before' => 1 }, operations => ['lookup'] });
	sql("UPDATE pgw.banks SET request_timeout = '500ms' WHERE name = 'bank'");
	is(sql(pay('doubt', token => 'tok_timeout_after', timeout => '1s')), 'pending', 'a payment in doubt');
	sql('BEGIN; ' . pay('stuck', token => 'tok_refund_pending_done_3600000') . '; ROLLBACK');
	sql('BEGIN; ' . pay('undecided') . "; PREPARE TRANSACTION 'undecided'");
	ok(wait_until(sub { status_of($node, 'doubt') eq 'BankUnknown' && status_of($node, 'stuck') eq 'Refunding' && status_of($node, 'undecided') eq 'BankApproved' }, 20),
		'one in doubt, one being given back, one whose caller is prepared') or diag(sql('SELECT client_request_id, status FROM pgw.payment_transactions'));
	is(sql(pay('late', token => 'tok_capture_timeout_after', capture => 'on_commit')), 'authorized', 'and one of which nobody knows whether it was captured after the commit');
	ok(wait_until(sub { sql("SELECT status = 'Saved' AND capture_key_used_at IS NOT NULL FROM pgw.payment_transactions WHERE client_request_id = 'late'") eq 't' }, 20), 'the capture was sent');
	is(sql(pay('pends', token => 'tok_charge_pending_done_9000000', timeout => '1s')), 'pending', 'and one that the bank takes its time for');
	my %id = map { $_ => transaction_id($_) } qw(doubt stuck undecided late pends);
	is(sql("SELECT count(*) FROM pgw.alert_state WHERE kind IN ('in_doubt_old', 'refund_stuck', 'caller_undecided')"), 0, 'nothing is too old yet');

	change_settings($node, 'pgw.debug_clock_offset' => 400);
	ok(is_heard('caller_undecided', $id{undecided}), 'after six minutes: the caller is undecided');
	change_settings($node, 'pgw.debug_clock_offset' => 1000);
	ok(is_heard('in_doubt_old', $id{doubt}), 'after a quarter of an hour: the outcome is not known');
	ok(is_heard('in_doubt_old', $id{late}), 'nor that of a capture');
	is(scalar heard('refund_stuck', $id{stuck}), 0, 'what is being given back has more time');
	is(scalar heard('caller_undecided', $id{undecided}), 1, 'the caller was told of within the period');
	change_settings($node, 'pgw.debug_clock_offset' => 1900);
	ok(is_heard('refund_stuck', $id{stuck}), 'after half an hour: giving back is stuck');
	ok(is_heard('caller_undecided', $id{undecided}, 2), 'the period is over: the caller is told of again');
	for my $pair ([ doubt => 'in_doubt_old' ], [ stuck => 'refund_stuck' ], [ undecided => 'caller_undecided' ], [ late => 'in_doubt_old' ])
	{
		my ($told) = heard($pair->[1], $id{ $pair->[0] });
		is($told->{transaction_id}, sql("SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$pair->[0]'"), "$pair->[1] says which");
	}

	for my $step ([ 3700, 1 ], [ 4 * 3600 + 100, 4 ], [ 24 * 3600 + 100, 24 ], [ 48 * 3600 + 100, 48 ])
	{
		my ($offset, $hours) = @$step;
		is(alert_state('review_required', "$review after $hours h", 'told'), '', "not before $hours h");
		my $before = heard('review_required', $review);
		change_settings($node, 'pgw.debug_clock_offset' => $offset);
		ok(is_heard('review_required', $review, $before + 1), "the review is told of again after $hours h");
		is(alert_state('review_required', "$review after $hours h", 'told'), 1, 'for that');
		next if $hours != 1;
		# within the step, but long after the period
		change_settings($node, 'pgw.debug_clock_offset' => 3 * 3600);
		my $since = alert_state('review_required', "$review after 1 h", 'count');
		ok(wait_until(sub { alert_state('review_required', "$review after 1 h", "count > $since AND last_at > first_at + interval '1 h'") eq 't' }, 20), 'it is looked at meanwhile');
		is(alert_state('review_required', "$review after 1 h", 'told'), 1, 'and told of once');
	}
	is(scalar heard('pending_old', $id{pends}) + scalar heard('in_doubt_old', $id{pends}), 0, 'what pends has more time, and is in no doubt');
	change_settings($node, 'pgw.debug_clock_offset' => 72 * 3600 + 100);
	ok(is_heard('pending_old', $id{pends}), 'after three days people are told of it');
	is(sql("COMMIT PREPARED 'undecided'; SELECT status FROM pgw.find_payment('undecided')"), 'captured', 'the caller decides');
	is(scalar(grep { $_->{v} != 1 || grep { !/^(v|kind|transaction_id)$/ } keys %$_ } @heard), 0, 'all payloads are well formed');
});

done_testing;
