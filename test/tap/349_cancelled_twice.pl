# A cancellation by our reference whose success does not say that it stops what is still on its way: it comes so long after the charge that the bank would see
# it, and again so long after that; a charge that the bank finishes in between is cancelled, too.  Counted at the bank, by its clock.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;
use Time::HiRes 'time';

use constant LAG => 2;
my @charges;

# The first one is confirmed, and nothing is there yet to be cancelled; the charge is finished after that.
sub undo
{
	my ($charge) = @_;
	push @{ $charge->{undone_at} }, time;
	my $late = $charge->{tok} =~ /late/ && @{ $charge->{undone_at} } == 1;
	if ($late) { @$charge{qw(state taken)} = ('ok', $charge->{sum}) } else { @$charge{qw(state taken void)} = ('gone', 0, JSON::PP::true) }
	return { state => 'ok', ref => $charge->{ref} };
}

sub serve
{
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	return { document => \@charges } if $path eq '/books';
	if ($path eq '/sale')
	{
		my $approved = $form->{tok} =~ /nameless/;
		push @charges, { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, sum => $form->{sum} + 0, state => $approved ? 'ok' : 'action', taken => $approved ? $form->{sum} + 0 : 0,
			returned => 0, void => JSON::PP::false, undone_at => [], asked_at => time };
		return { document => $charges[-1] };
	}
	my $charge = charge_asked_for(\@charges, $form);
	return { document => $charge } if $path =~ m{^/look};
	return { document => undo($charge) };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('cancelled_twice', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my @rules = ({ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 200, when => { '/state' => 'action' }, outcome => 'requires_action' },
	{ status => 200, when => { '/state' => 'gone' }, outcome => 'declined' });

# id: where the answers name the charge.
sub dialect
{
	my ($id, %cancel) = @_;
	my %answer = (rules => \@rules, fields => { reference => '/ref', bank_reference => $id });
	my %looked = (%answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned', voided => '/void' });
	return { v => 2, capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => LAG }, operations => {
		charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		refund => form_request('/refund', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => \%looked },
		cancel => { %{ form_request('/cancel', { rules => [ @rules[ 0, 2 ] ], fields => { reference => '/ref' } }, q => '{{original_ref}}') }, %cancel } } };
}
add_dialect($node, $bank, settles => dialect('/id', settles => JSON::PP::true), account => 'one');
add_dialect($node, $bank, twice => dialect('/id'), account => 'one');
add_dialect($node, $bank, nameless => dialect('/nothing'), account => 'one');

sub charge_of { my ($token) = @_; return grep { $_->{tok} eq $token } bank_books($bank) }

# How it stands at the bank, and how often it was cancelled.
sub books { my ($charge) = charge_of($_[0]); return "$charge->{state} $charge->{taken} " . @{ $charge->{undone_at} } }

sub comes_late_enough
{
	my ($charge) = charge_of($_[0]);
	my ($first, $second) = @{ $charge->{undone_at} };
	cmp_ok($first - $charge->{asked_at}, '>=', LAG, 'not before the bank would see the charge');
	cmp_ok($second - $first, '>=', LAG, 'and again so long after that');
}

part($node, 'stops what is on its way', sub {
	is(pay($node, 'settles', bank => 'settles', token => 'settles', timeout => '60s'), 'declined', 'declined');
	is(books('settles'), 'gone 0 1', 'cancelled once');
	cmp_ok(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'settles' AND cancelled_at IS NULL"), '==', 1, 'nothing had to be remembered of it');
});

part($node, 'finished after the cancellation', sub {
	is(pay($node, 'late', bank => 'twice', token => 'late', timeout => '60s'), 'declined', 'declined in the end');
	is(books('late'), 'gone 0 2', 'cancelled again, and nothing stands at the bank');
	comes_late_enough('late');
	is(sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'late' AND event_data->>'reason' = 'cancelled_once'"), '1',
		'its history says so');
});

part($node, 'a give-back that is finished after the cancellation', sub {
	is(pay($node, 'nameless', bank => 'nameless', token => 'nameless-late', timeout => '60s'), 'failed', 'approved without an id: no payment');
	ok(comes_to($node, 'nameless', 'Refunded'), 'given back');
	is(books('nameless-late'), 'gone 0 2', 'by the second cancellation');
	comes_late_enough('nameless-late');
});

$node->stop('fast');
done_testing();
