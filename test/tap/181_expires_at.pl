# A payment is submitted to be sent by expires_at: what a look-up does not find is sent once more until then, and not later.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;

my $COUNTS_AFTER_S = 60;
my @charges;
my %asked;

# The first request of each token gets lost: it is not answered, and no charge comes of it.
sub serve
{
	my ($request) = @_;
	my $form = $request->{fields};
	return { document => [ map { { tok => $_, asked => $asked{$_}, charged => scalar grep { $_ eq $form->{tok} } @charges } } grep { $_ eq $form->{tok} } keys %asked ] } if $request->{path} =~ m{^/books};
	return { document => { state => 'none' } } if $request->{path} =~ m{^/look};
	return if ++$asked{ $form->{tok} } == 1;
	push @charges, $form->{tok};
	return { document => { state => 'ok', id => 'c' . @charges, ref => $form->{ref} } };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('expires', debug => 1, conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
my @rules = map { { status => 200, when => { '/state' => $_->[0] }, outcome => $_->[1] } } [ ok => 'approved' ], [ none => 'not_found' ];
my %fields = (reference => '/ref', bank_reference => '/id');
my %answer = (rules => [ $rules[0] ], fields => \%fields);
add_dialect($node, $bank, 'loses', {
	v => 2, capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => $COUNTS_AFTER_S },
	operations => {
		charge => { %{ form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}') }, idempotency => { header => 'X-Key', lifetime_seconds => 86400 } },
		lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => { rules => \@rules, fields => \%fields } } } });

sub sql { return $node->safe_psql('postgres', $_[0]) }

# How often the bank was asked for the charge of this token, and how many it has made.
sub asked_and_charged
{
	my ($token) = @_;
	my ($seen) = @{ PgwTest::http_json('GET', "$bank->{url}/books?tok=$token") };
	return $seen ? "$seen->{asked}/$seen->{charged}" : '0/0';
}

sub submit_lost
{
	my ($id, %a) = @_;
	sql(payment_sql($id, bank => 'loses', token => "sale_$id", %a) =~ s/process_payment/submit_payment/r);
	ok(comes_to($node, $id, 'BankUnknown'), "$id: the bank does not answer");
	ok(wait_until(sub { events($node, $id) =~ /BankStatusChecked/ }, 30), '... and does not find it, which does not count yet');
	return is(asked_and_charged("sale_$id"), '1/0', '... nor is it sent again');
}

part($node, 'not found before it expires', sub {
	submit_lost('in_time', expires_at => sql("SELECT now() + interval '10 min'"));
	move_clock($node, 300);
	ok(comes_to($node, 'in_time', 'Completed'), 'when that counts, it is sent once more');
	is(asked_and_charged('sale_in_time'), '2/1', '... and charged');
	move_clock($node, 0);
});

part($node, 'not found after it has expired', sub {
	submit_lost('too_late', expires_at => sql("SELECT now() + interval '10 min'"));
	move_clock($node, 601);
	ok(comes_to($node, 'too_late', 'Failed'), 'when that counts, it has failed');
	is(asked_and_charged('sale_too_late'), '1/0', '... and is not sent again');
	is(sql("SELECT status FROM pgw.find_payment('too_late')"), 'failed', '... as who has submitted it is told');
	move_clock($node, 0);
});

$node->stop('fast');
done_testing();
