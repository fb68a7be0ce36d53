# Listeners hear of each outcome of a payment or operation once, from the worker: what was done and how it ended, and nothing that is worth stealing.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('operations_heard');
sub sql { return $node->safe_psql('postgres', $_[0]) }

part($node, 'listeners', sub {
	my $listener = listener($node);
	pay($node, 'heard', capture => 'on_commit');
	how_payment_stands($node, 'heard');
	is_heard($node, $listener, 'heard', 'payment authorized,payment captured', 'authorized, then captured');
	request_operation($node, 'refund', 'heard', 'heard-r1', 300);
	how_payment_stands($node, 'heard');
	request_operation($node, 'refund', 'heard', 'heard-r2');
	how_payment_stands($node, 'heard');
	is_heard($node, $listener, 'heard', 'payment authorized,payment captured,refund completed,refund completed', 'two refunds');
	pay($node, 'heard-no', token => 'tok_refund_fail');
	request_operation($node, 'refund', 'heard-no', 'heard-no-r');
	how_payment_stands($node, 'heard-no');
	is_heard($node, $listener, 'heard-no', 'payment captured,refund failed', 'a refund that failed is not told as captured');
	pay($node, 'heard-auth', capture => 'manual');
	request_operation($node, 'void', 'heard-auth', 'heard-auth-v');
	how_payment_stands($node, 'heard-auth');
	is_heard($node, $listener, 'heard-auth', 'payment authorized,void completed', 'an authorization and its end');
	sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'heard-sub', token => 'tok_decline_fraud'));
	how_payment_stands($node, 'heard-sub');
	is_heard($node, $listener, 'heard-sub', 'payment declined', 'what was submitted, once it is known');
	sql('BEGIN; ' . payment_sql('heard-gone') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'heard-gone') eq 'Refunded' }, 20), 'one that is given back');
	sql('SELECT pgw.run_recovery()');
	is_heard($node, $listener, 'heard-gone', '', 'was never heard of');
	is(scalar(grep { join(',', sort keys %$_) ne 'kind,outcome,payment_id' } @{ $listener->{heard} }), 0, 'three members, whoever listens');
	is_sound($node, $bank, 'listeners: sound');
});

$node->stop('fast');
done_testing();
