# A caller has gone, and while the endpoint matches the bank's word on the charge, a retry takes the attempt over, which is of another payment then.
use strict;
use warnings;
use lib 'test/lib';
use PgwNotifying;
use PgwNotifyingBank;
use PgwPostman;
use PgwSession;
use PgwTest;
use Test::More;

my $node = pgw_node('taken_over', debug => 1, conf => "fsync = off\npgw.compensation_delay = '1h'\n");
my $bank = bank_start();
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'o'") }

pgw_setup($node, $bank);
my $postman = notifying_bank($node, $bank, 'told', told_connector('told'), accepts => ['charge'], accepted_ms => 20);

part($node, 'taken over meanwhile', sub {
	my $pay = 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'o', bank => 'told', amount => 1000, timeout => '500ms');
	sql("BEGIN; $pay; ROLLBACK");
	is(attempt(), 'BankUnknown', 'the bank has not decided, and the caller is gone');
	my $word;
	ok(wait_until(sub { ($word) = $postman->due; $word }, 60), 'the bank says what became of it');
	debug_arm($node, 'notification_attempt_read', 'stop');
	my $endpoint = PgwSession->new($node, name => 'endpoint')->send($postman->sql($word));
	debug_wait($node, 'notification_attempt_read');
	is(sql($pay), 'pending', 'the same call again');
	debug_release($node, 'notification_attempt_read');
	$endpoint->wait;
	is(sql('SELECT outcome FROM pgw.notifications'), 'evidence', 'the notification is taken');
	ok(wait_until(sub { attempt() eq 'Completed' }, 60), 'and used, for the payment that it is of now');
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'o'"), 'captured', 'which is paid');
	is_sound($node, $bank, 'sound');
});

$node->stop;
done_testing();
