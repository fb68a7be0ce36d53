# A charge that would need the card holder to act is declined when it is undone, and the bank has said so: by our reference, else by a void. Until then the
# payment is pending; what is approved meanwhile is given back.  Counted at the bank.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;

# The token tells what becomes of what undoes the charge: deaf: no answer, until the test says so; slow: the first gets none; acted: the card holder acts
# before it comes, and it is refused; lost: done, and never answered;
# nameless: only a look-up names the charge.
my (@charges, $hears);

sub undo
{
	my ($charge) = @_;
	my $asked = ++$charge->{undone_asked};
	return if $charge->{tok} =~ /deaf/ && !$hears || $charge->{tok} =~ /slow/ && $asked == 1;
	if ($charge->{tok} =~ /acted/ && $charge->{state} eq 'action') { @$charge{qw(state taken)} = ('ok', $charge->{sum}); return { state => 'no' } }
	return { state => 'no' } if $charge->{taken} && $charge->{tok} =~ /acted/;
	@$charge{qw(state void)} = ('gone', JSON::PP::true);
	return if $charge->{tok} =~ /lost/;
	return { state => 'ok', id => $charge->{id}, ref => $charge->{ref} };
}

sub serve
{
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	if ($path =~ m{^/hears}) { $hears = 1; return { document => {} } }
	return { document => \@charges } if $path eq '/books';
	if ($path eq '/sale')
	{
		push @charges, { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, sum => $form->{sum} + 0, state => 'action', taken => 0, returned => 0, void => JSON::PP::false, undone_asked => 0 };
		my %said = %{ $charges[-1] };
		delete $said{id} if $form->{tok} =~ /nameless/;
		return { document => \%said };
	}
	my $charge = charge_asked_for(\@charges, $form);
	return { document => $charge } if $path =~ m{^/look};
	if ($path eq '/refund') { $charge->{returned} += $form->{sum}; return { document => { state => 'ok' } } }
	my $document = undo($charge);
	return $document && { document => $document };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('requires_action', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 200, when => { '/state' => 'action' }, outcome => 'requires_action' },
	{ status => 200, when => { '/state' => [ 'gone', 'no' ] }, outcome => 'declined' } ], fields => { reference => '/ref', bank_reference => '/id' });
my %looked = (%answer, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned', voided => '/void' });
my %neither = (v => 2, capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => 0 }, operations => {
	charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
	refund => form_request('/refund', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
	lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => \%looked } });
my %cancels = (%neither, operations => { %{ $neither{operations} }, cancel => { settles => JSON::PP::true, %{ form_request('/cancel', \%answer, q => '{{original_ref}}') } } });
my %voids = (%neither, operations => { %{ $neither{operations} }, void => form_request('/void', \%answer, sale => '{{bank_reference}}') });
my %shown = (%looked, rules => [ { status => 200, when => { '/state' => [ 'ok', 'gone' ] }, outcome => 'approved' }, $answer{rules}[1] ]);
my %shows = (%voids, operations => { %{ $voids{operations} }, lookup_charge => { %{ $neither{operations}{lookup_charge} }, answer => \%shown } });
my %dialects = (cancels => \%cancels, voids => \%voids, neither => \%neither, shows => \%shows);
add_dialect($node, $bank, $_, $dialects{$_}, account => 'one') for sort keys %dialects;

# How the bank's charge stands, and how often it was to be undone.
sub books
{
	my ($token) = @_;
	my ($charge) = grep { $_->{tok} eq $token } bank_books($bank);
	return "$charge->{state} $charge->{taken} $charge->{returned} undone $charge->{undone_asked}";
}

sub error_of { return sql("SELECT status || ' ' || coalesce(error_code, '-') FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

part($node, 'undone', sub {
	for my $dialect ('cancels', 'voids')
	{
		is(pay($node, "plain-$dialect", bank => $dialect, token => "plain-$dialect"), 'declined', "$dialect: declined");
		is(error_of("plain-$dialect"), 'Failed authentication_required', 'for that reason');
		is(books("plain-$dialect"), 'gone 0 0 undone 1', 'and undone before');
		is(pay($node, "slow-$dialect", bank => $dialect, token => "slow-$dialect"), 'declined', "$dialect: the answer is lost, and declined in the end");
		is(books("slow-$dialect"), 'gone 0 0 undone 2', 'undone when it was asked for again');
	}
	is(pay($node, 'plain-neither', bank => 'neither', token => 'plain-neither'), 'declined', 'where nothing undoes it, it is declined at once');
	is(books('plain-neither'), 'action 0 0 undone 0', 'and only looked at');
});

part($node, 'not undone yet', sub {
	is(pay($node, 'deaf', bank => 'cancels', token => 'deaf', timeout => '2s'), 'pending', 'nothing says that it is undone: pending');
	is(error_of('deaf'), 'BankUnknown authentication_required', 'with the reason');
	PgwTest::http_json('POST', "$bank->{url}/hears", {});
	ok(comes_to($node, 'deaf', 'Failed'), 'when the bank says so, it has failed');
	is(how_payment_stands($node, 'deaf'), 'declined 0/0/0', 'and the payment is declined');
	is((split ' ', books('deaf'))[0], 'gone', 'it is undone');
});

part($node, 'without its id', sub {
	is(pay($node, 'nameless', bank => 'voids', token => 'nameless'), 'declined', 'the answer does not name the charge, and what undoes it has to: declined');
	is(error_of('nameless'), 'Failed authentication_required', 'for that reason');
	is(books('nameless'), 'gone 0 0 undone 1', 'when a look-up has named it, and it is undone');
});

part($node, 'undone later than it is answered', sub {
	is(pay($node, 'lost', bank => 'shows', token => 'lost'), 'declined', 'a look-up shows the charge, and that it is undone: declined');
	is(error_of('lost'), 'Failed authentication_required', 'for that reason, and nothing is given back');
	is(books('lost'), 'gone 0 0 undone 1', 'undone once');
});

part($node, 'the card holder acts', sub {
	isnt(pay($node, "acted-$_", bank => $_, token => "acted-$_"), 'captured', "$_: approved after all, and no payment") for 'cancels', 'voids';
	ok(comes_to($node, "acted-$_", 'Refunded'), "$_: it is given back") for 'cancels', 'voids';
	is((split / undone/, books("acted-$_"))[0], 'ok 1000 1000', 'once') for 'cancels', 'voids';
});

$node->stop('fast');
done_testing();
