# A request whose answer was lost has been done, and what is asked then is refused for that: nothing is done a second time, by pgw or by a client
# who takes "Failed" for "nothing was done".
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwOperations;
use PgwScriptedBank;
use PgwTest;
use Test::More;
use Time::HiRes 'time';

# The token tells what becomes of the first capture, void or refund: it is done, and
# lost: not answered; each further request is refused.
# rejected: answered with "bad request".  unread: answered with a yes, which says "much" of what was captured, returned or voided; nothing is done.
# refused: refused all the same.  The first look after that says nothing (nameless), shows another charge (other); or, for a second, shows the charge as
# it was before (early) or that there is none (gone).
# stern: it is refused, and not done.  endless: it is not done, and answered with what nobody understands, each time.  toomuch: answered with more than
# was ordered, each time.
my @charges;

sub sale
{
	my ($form) = @_;
	push @charges, { id => 1 + @charges, ref => $form->{ref}, total => $form->{sum} + 0, taken => $form->{kind} eq 'sale' ? $form->{sum} + 0 : 0, returned => 0,
		void => JSON::PP::false, state => 'ok', tok => $form->{tok}, asked => 0 };
	return $charges[-1];
}

my %do = (
	'/capture' => sub { my ($charge, $sum) = @_; $charge->{taken} += $sum },
	'/return' => sub { my ($charge, $sum) = @_; $charge->{returned} += $sum },
	'/void' => sub { my ($charge) = @_; $charge->{void} = JSON::PP::true });

sub change
{
	my ($path, $form, $charge) = @_;
	my $no = { ref => $form->{ref}, state => 'no' };
	if ($charge->{tok} =~ /unread/ && !$charge->{asked}) { $charge->{asked}++; return { %$charge, map { $_ => 'much' } qw(taken returned void) } }
	if ($charge->{tok} =~ /endless|toomuch/) { $charge->{asked}++; return $charge->{tok} =~ /endless/ ? { ref => $form->{ref}, state => 'what' } : { %$charge, taken => 5000 } }
	return $no if $charge->{asked}++ && $charge->{tok} !~ /unread/ || $charge->{tok} =~ /stern/;
	$do{$path}->($charge, $form->{sum});
	$charge->{done_at} = time;
	return { %$no, state => 'bad' } if $charge->{tok} =~ /rejected/;
	return $charge if $charge->{tok} =~ /unread/;
	return $charge->{tok} =~ /refused/ ? $no : undef;
}

sub look
{
	my ($charge) = @_;
	my ($tok, $age) = ($charge->{tok}, time - ($charge->{done_at} // 0));
	my $first = defined $charge->{done_at} && !$charge->{looks}++;
	return { state => 'ok' } if $first && $tok =~ /nameless/;
	return { %$charge, ref => 'd' x 32, id => 999 } if $first && $tok =~ /other/;
	return { %$charge, returned => 0 } if $age < 1 && $tok =~ /early/;
	return { state => 'none' } if $age < 1 && $tok =~ /gone/;
	return $charge;
}

sub serve
{
	my ($request) = @_;
	my ($path, $form) = @$request{qw(path fields)};
	my $charge = charge_asked_for(\@charges, $form);
	my $document = $path eq '/books' ? \@charges : $path eq '/sale' ? sale($form) : $do{$path} ? change($path, $form, $charge) : $path =~ /^.look/ ? look($charge) : { %$charge{qw(ref state id)} };
	return $document && { document => $document };
}

# At the second one a request that finds its connection closed is sent again by libcurl, without a word.
my ($bank, $keeper) = (scripted_bank(\&serve), scripted_bank(\&serve, kept_alive => 1));

my $node = pgw_node('refused_repeats', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

my @rules = ({ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 200, when => { '/state' => 'no' }, outcome => 'declined' },
	{ status => 200, when => { '/state' => 'bad' }, outcome => 'rejected' });
my %answer = (rules => \@rules, fields => { reference => '/ref', bank_reference => '/id' });
my %keyed = (
	v => 1,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, partial_capture => JSON::PP::true, idempotency => { header => 'X-Key', lifetime_seconds => 86400 } },
	operations => {
		charge => form_request('/sale', \%answer, kind => 'sale', sum => '{{amount}}', tok => '{{token}}'),
		authorize => form_request('/sale', \%answer, kind => 'hold', sum => '{{amount}}', tok => '{{token}}'),
		capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		void => form_request('/void', \%answer, sale => '{{bank_reference}}'),
		refund => form_request('/return', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}') });
# its look-up says that there is a charge, and nothing of what became of it
my %blind = (%keyed, capabilities => { %{ $keyed{capabilities} }, lookup_consistent_after_seconds => 0 },
	operations => { %{ $keyed{operations} }, lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => \%answer } });
# its look-up tells, but not before two seconds have passed
my @found = (@rules, { status => 200, when => { '/state' => 'none' }, outcome => 'not_found' });
my %looks = (%keyed, capabilities => { %{ $keyed{capabilities} }, lookup_consistent_after_seconds => 2 }, operations => { %{ $keyed{operations} },
	lookup_charge => { method => 'GET', path => '/look?q={{original_ref}}', answer => { rules => \@found, fields => { %{ $answer{fields} }, captured => '/taken', refunded => '/returned', voided => '/void' } } } });
my %named = (capture => { captured => '/taken' }, refund => { refunded => '/returned' }, void => { voided => '/void' });
$looks{operations}{$_} = { %{ $keyed{operations}{$_} }, answer => { rules => \@rules, fields => { %{ $answer{fields} }, %{ $named{$_} } } } } for keys %named;
# ... and nobody knows when
my %unsaid = (%looks, capabilities => { %{ $keyed{capabilities} }, multiple_captures => JSON::PP::true });
add_dialect($node, $bank, looks => \%looks, account => 'one');
# ... of one that knows no keys, so that each request has its own
add_dialect($node, $bank, keyless => { %looks, capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, partial_capture => JSON::PP::true, lookup_consistent_after_seconds => 0 } }, account => 'one');
# ... and one that knows them, and has no look-up
add_dialect($node, $bank, showy => { %keyed, operations => { %{ $keyed{operations} }, capture => $looks{operations}{capture} } }, account => 'one');
add_dialect($node, $bank, unsaid => \%unsaid, account => 'one');
add_dialect($node, $bank, keyed => \%keyed, account => 'one');
add_dialect($node, $bank, blind => \%blind, account => 'one');
add_dialect($node, $keeper, kept_keyed => \%keyed, account => 'two');
add_dialect($node, $keeper, kept_blind => \%blind, account => 'two');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# What the bank has taken and returned of the charge with a token, whether it is voided, and how often it was asked for more than the charge.
sub books
{
	my ($token) = @_;
	return join ',', map { "$_->{taken} $_->{returned} " . ($_->{void} ? 'void' : 'open') . " asked $_->{asked}" } grep { $_->{tok} eq $token } bank_books($bank), bank_books($keeper);
}

sub review_reason
{
	my ($id) = @_;
	return sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = '$id' AND event_type = 'ManualReviewRequired'");
}

sub operations_for_a_person
{
	my %done = (capture => '600 0 open asked 2', void => '0 0 void asked 2', refund => '1000 400 open asked 2');
	for my $dialect (@_)
	{
		for my $kind (sort keys %OPERATIONS)
		{
			my ($id, $how) = ("$dialect-$kind", $OPERATIONS{$kind});
			pay($node, $id, bank => $dialect, token => $id, %{ $how->{payment} });
			request_operation($node, $kind, $id, "$id-1", @{ $how->{args} });
			ok(comes_to($node, "$id-1", 'RequiresManualReview'), "$id: for a person, not Failed");
			is(review_reason("$id-1"), 'repeat_refused', 'because nothing tells what became of the first request');
			is(books($id), $done{$kind}, 'it was done once');
		}
		my $again = $node->psql('postgres', operation_sql('refund', "$dialect-refund", "$dialect-refund-2", 700));
		isnt($again, 0, 'what was refunded perhaps cannot be refunded under another id');
	}
	return;
}

part($node, 'a capture after the commit that is done and refused when it is repeated', sub {
	pay($node, 'commit', bank => 'keyed', token => 'commit', capture => 'on_commit');
	ok(comes_to($node, 'commit', 'RequiresManualReview'), 'for a person, not given back');
	is(review_reason('commit'), 'repeat_refused', 'because nothing tells what became of the first request');
	is(books('commit'), '1000 0 open asked 2', 'captured, and left so');
});

sub give_backs_for_a_person
{
	for my $dialect (@_)
	{
		sql('BEGIN; ' . payment_sql("back-$dialect", bank => $dialect, token => "back-$dialect") . '; ROLLBACK');
		ok(comes_to($node, "back-$dialect", 'RequiresManualReview'), "$dialect: for a person");
		is(review_reason("back-$dialect"), 'repeat_refused', 'because nothing tells what became of the first refund');
		is(books("back-$dialect"), '1000 1000 open asked 2', 'given back once, and not asked under another key');
	}
	return;
}

part($node, 'an operation that is done and refused when it is repeated', sub { operations_for_a_person('keyed', 'blind') });
part($node, 'a give-back that is done and refused when it is repeated', sub { give_backs_for_a_person('keyed', 'blind') });
part($node, 'sent twice by libcurl', sub { operations_for_a_person('kept_keyed', 'kept_blind'); give_backs_for_a_person('kept_keyed', 'kept_blind') });

sub is_given_back_once
{
	my ($token) = @_;
	sql('BEGIN; ' . payment_sql($token, bank => 'looks', token => $token) . '; ROLLBACK');
	ok(comes_to($node, $token, 'Refunded'), "$token: given back, as a later look shows");
	is(books($token), '1000 1000 open asked 1', 'by the one refund that was refused');
}

part($node, 'a give-back that is refused, and a look-up that is not understood', sub { is_given_back_once($_) for 'refused-nameless', 'refused-other' });
part($node, 'a give-back that is refused, and looked up too early', sub { is_given_back_once($_) for 'refused-early', 'refused-gone' });

# The look-up says what became of it.
sub is_done_once
{
	my ($kind, $token, $books, $dialect) = @_;
	my $how = $OPERATIONS{$kind};
	pay($node, $token, bank => $dialect // 'looks', token => $token, %{ $how->{payment} });
	request_operation($node, $kind, $token, "$token-1", @{ $how->{args} });
	ok(comes_to($node, "$token-1", 'Completed'), "$token: done, as the look-up shows");
	is(books($token), $books, 'once');
}

part($node, 'an operation that is done, and whose request was bad, says the bank', sub {
	is_done_once('capture', 'rejected-capture', '600 0 open asked 1');
	is_done_once('void', 'rejected-void', '0 0 void asked 1');
	is_done_once('refund', 'rejected-refund', '1000 400 open asked 1');
});

# ... where it is not said by when, too, of what would be done a second time under another id.
part($node, 'an operation that is refused and done, and shown nobody knows when', sub {
	for my $how ('refused-early', 'rejected')
	{
		is_done_once('refund', "$how-refund-unsaid", '1000 400 open asked 1', 'unsaid');
		is_done_once('capture', "$how-capture-unsaid", '600 0 open asked 1', 'unsaid');
	}
	pay($node, 'refused-commit', bank => 'unsaid', token => 'refused-commit', capture => 'on_commit');
	ok(comes_to($node, 'refused-commit', 'Completed'), 'a capture after the commit: done, as the look-up shows, and no payment that has failed');
	is(books('refused-commit'), '1000 0 open asked 1', 'and left so');
	change_settings($node, 'pgw.unknown_deadline' => '4s');
	pay($node, 'stern', bank => 'unsaid', token => 'stern');
	request_operation($node, 'refund', 'stern', 'stern-1', 700);
	ok(comes_to($node, 'stern-1', 'RequiresManualReview'), 'what no look-up ever shows is for a person, not Failed');
	is(books('stern'), '1000 0 open asked 1', 'and was asked for once');
	isnt($node->psql('postgres', operation_sql('refund', 'stern', 'stern-2', 700)), 0, 'nor can it be asked for under another id');
	change_settings($node, 'pgw.unknown_deadline' => '1d');
});

# Nothing was done, and the look-up shows that: it is asked for again.
part($node, 'an operation whose answer cannot be read', sub {
	is_done_once('capture', 'unread-capture', '600 0 open asked 2');
	is_done_once('void', 'unread-void', '0 0 void asked 2');
	is_done_once('refund', 'unread-refund', '1000 400 open asked 2');
	sql('BEGIN; ' . payment_sql('unread-back', bank => 'looks', token => 'unread-back') . '; ROLLBACK');
	ok(comes_to($node, 'unread-back', 'Refunded'), 'a give-back whose answer cannot be read');
	is(books('unread-back'), '1000 1000 open asked 2', 'is done once');
});

# It cannot be right, and would be the same each time.
part($node, 'a capture of more than was ordered', sub {
	for my $dialect ('showy', 'looks')
	{
		pay($node, "toomuch-$dialect", bank => $dialect, token => "toomuch-$dialect", capture => 'manual');
		request_operation($node, 'capture', "toomuch-$dialect", "toomuch-$dialect-1", 600);
	}
	ok(comes_to($node, 'toomuch-showy-1', 'RequiresManualReview'), 'for a person');
	is(review_reason('toomuch-showy-1'), 'amount_mismatch', 'because it is not what was ordered');
	is(books('toomuch-showy'), '0 0 open asked 2', 'and was asked for once more, with its key');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE client_request_id = 'toomuch-looks-1'") > 3 }, 60), 'where a look-up shows that nothing is taken, it is asked for again');
});

# Each request has another key, each look shows that nothing was done: that goes on as long as one doubt would.
part($node, 'turns without an end', sub {
	change_settings($node, 'pgw.unknown_deadline' => '3s');
	pay($node, 'endless', bank => 'keyless', token => 'endless', capture => 'manual');
	request_operation($node, 'capture', 'endless', 'endless-1', 600);
	ok(comes_to($node, 'endless-1', 'RequiresManualReview'), 'for a person');
	is(review_reason('endless-1'), 'deadline', 'when the deadline is over');
	change_settings($node, 'pgw.unknown_deadline' => '1d');
});

$node->stop('fast');
done_testing();
