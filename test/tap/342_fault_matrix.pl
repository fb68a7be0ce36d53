# The connectors that ship, and a bank that can be asked nothing, under faults: each operation, its request or its answer lost in each way; calls twice;
# the server killed; look-ups that lag behind or show others; refunds that a bank refuses because nothing is settled.  Short, or with PGW_MATRIX=long every fault at every operation (docs/reliability.md).
use strict;
use warnings;
use lib 'test/lib';
use PgwAdyen;
use PgwFaultMatrix;
use PgwTest;
use Test::More;

sub mollie_row { my ($node, $sim) = @_; bank_control($sim, 'settings', { accepts => ['refund'], accepted_ms => 20 }); return }

# Of each charge, whatever has become of it; nobody has signed it.
sub mollie_tell
{
	my ($node, $bank, $sim) = @_;
	my @ids = map { "\"$_->{id}\"" } @{ bank_ledger($sim)->{charges} };
	$node->safe_psql('postgres', "SELECT pgw.receive_notification('$bank', '{}', convert_to('id=' || id, 'UTF8')) FROM unnest('{" . join(',', @ids) . "}'::text[]) id");
	return;
}

my $long = ($ENV{PGW_MATRIX} // '') eq 'long';
my $node = matrix_banks(
	json => { connector => 'json' },
	formbank => { connector => 'formbank', blind => 1 },
	json_unsettled => { connector => 'json', unsettled => '{"/error/code": "not_settled"}' },
	formbank_unsettled => { connector => 'formbank', blind => 1, unsettled => '{"/resp/code": "40"}' },
	# of an error it keeps nothing under the key, and it is not published when its look-ups show everything
	checkout => { connector => 'checkout', root => '/checkout', asks => { '500_before' => \@OPERATIONS } },
	# it can be asked nothing: what it says by itself is all that there is, and of a charge that was an error before anything was done it says nothing; what follows a charge is repeated
	adyen => { connector => 'adyen', asks => { '500_before' => [qw(charge authorize)] }, row => \&adyen_row, tells => \&adyen_tell },
	# refunds are queued there, and its webhook is a hint.  It forgets an error under the key, and shows a charge by its id alone, which such an answer, or a server that is killed, did not name;
	# nor is it published from when on a refund is shown.
	mollie => { connector => 'mollie', root => '/mollie', operations => [qw(charge refund give_back)], row => \&mollie_row, tells => \&mollie_tell,
		asks => { '500_before' => [qw(charge refund give_back)], '500_after' => ['charge'], slow_1500 => ['charge'] } },
	stripe => { connector => 'stripe', root => '/stripe', capabilities => { lookup_consistent_after_seconds => 3 } });
my %looks = (checkout => 1, json => 1, stripe => 1);

for my $op (@OPERATIONS)
{
	for my $fault ($long ? @FAULTS : qw(reset_before timeout_after)) { part($node, "$op, $fault", sub { matrix_phase($op, $fault) }) }
}
for my $op ($long ? @UNSETTLED : qw(refund_by_void back_by_void))
{
	for my $fault ($long ? @FAULTS : qw(reset_before timeout_after)) { part($node, "$op, $fault", sub { matrix_phase($op, $fault) }) }
	part($node, "$op, killed", sub { matrix_phase($op, 'slow_1500', name => 'killed', during => \&kill_when_asked) }) if $long;
}
for my $op ($long ? @OPERATIONS : qw(charge refund))
{
	part($node, "$op, called twice", sub { matrix_phase($op, 'timeout_after', name => 'called twice', callers => 2) }) unless $op eq 'give_back';
	part($node, "$op, killed", sub {
		matrix_phase($op, 'slow_1500', name => 'killed', during => \&kill_when_asked);
	});
}
matrix_set('settings', { lookup_lag_ms => 1500 });
for my $op ($long ? @OPERATIONS : qw(charge capture)) { part($node, "$op, stale", sub { matrix_phase($op, 'reset_after', name => 'a look-up that lags behind', only => \%looks) }) }
matrix_set('settings', { lookup_lag_ms => 0, lookup_ignores_reference => \1 });
for my $op ($long ? @OPERATIONS : qw(charge refund)) { part($node, "$op, others", sub { matrix_phase($op, 'reset_after', name => 'a look-up that shows others', only => \%looks) }) }
matrix_report();
$node->stop('fast');
done_testing();
