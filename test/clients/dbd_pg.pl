# The cases of make check-clients with DBD::Pg; argument "simple": without server-side prepare, so that it writes the parameters into the statement.
use strict;
use warnings;
use DBI;
use DBD::Pg;
use IO::Handle;
use IO::Select;

my $prepare = ($ARGV[0] // '') eq 'simple' ? 0 : 1;
my $run = $ENV{RUN};
my $card = '4242' x 4;
my $pay = 'SELECT * FROM pgw.process_payment(?, ?, ?, ?)';
my $with_card = "SELECT * FROM pgw.process_payment(?, 4990, 'EUR', card_number => ?, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => ?)";

# Each statement is prepared for its one execution: nothing stays with a pooler's connection.
sub connected
{
	return DBI->connect("dbi:Pg:dbname=$ENV{PGDATABASE}", '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => $prepare });
}
sub row { my ($c, $sql, @values) = @_; return $c->selectrow_hashref($sql, undef, @values) }
sub pay { my ($c, $name, $token) = @_; return row($c, $pay, "$run-$name", 4990, 'EUR', $token // 'tok_ok') }
sub submit
{
	my ($c, $name) = @_;
	my $row = row($c, 'SELECT * FROM pgw.submit_payment(?, ?, ?, ?)', "$run-$name", 4990, 'EUR', 'tok_ok');
	return row($c, 'SELECT * FROM pgw.wait_for_payment(?)', $row->{payment_id});
}

my @cases = (
	token => sub { pay($_[0], 'token')->{status} },
	card_bound => sub { row($_[0], $with_card, "$run-card", $card, '123')->{status} },
	card_interpolated => sub { my @v = ("$run-literal", $card, '123'); (my $sql = $with_card) =~ s/\?/"'" . shift(@v) . "'"/ge; row($_[0], $sql)->{status} },
	decline_row => sub { my $r = pay($_[0], 'no', 'tok_decline_insufficient_funds'); "$r->{status} $r->{error_code}" },
	decline_raise => sub { row($_[0], $pay =~ s/\)$/, on_failure => 'raise')/r, "$run-raise", 4990, 'EUR', 'tok_decline_do_not_honor'); 'no error' },
	pw400 => sub { row($_[0], $pay, "$run-bad", 0, 'EUR', 'tok_ok'); 'no error' },
	serialization => sub {
		my ($c) = @_;
		my $other = connected();
		for my $attempt (1 .. 3)
		{
			my $status = eval {
				$c->begin_work;
				$c->do('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
				row($c, 'SELECT n FROM stock WHERE run = ?', $run);
				my $r = pay($c, '40001');
				$other->do('UPDATE stock SET n = n - 1 WHERE run = ?', undef, $run) if $attempt == 1;
				$c->do('UPDATE stock SET n = n - 1 WHERE run = ?', undef, $run);
				$c->commit;
				$r->{status};
			};
			return "$status at $attempt" if defined $status;
			my ($error, $state) = ($@, $c->state);
			eval { $c->rollback };
			die $error unless $state eq '40001';
		}
	},
	# As listeners do, it waits without a statement of its own; another connection pays.
	notify => sub {
		my ($c) = @_;
		$c->do('LISTEN pgw_payments');
		my $id = submit(connected(), 'notify')->{payment_id};
		my $socket = IO::Select->new(IO::Handle->new_from_fd($c->{pg_socket}, 'r'));
		while ($socket->can_read($ENV{LISTEN_SECONDS}))
		{
			while (my $n = $c->pg_notifies) { return 'heard' if index($n->[2], $id) >= 0 }
		}
		return 'lost';
	},
	refund => sub {
		my ($c) = @_;
		my $id = pay($c, 'refund')->{payment_id};
		row($c, 'SELECT pgw.refund_payment(?, ?)', $id, "$run-back");
		return row($c, 'SELECT * FROM pgw.wait_for_payment(?)', $id)->{status};
	},
	types => sub { my $r = pay($_[0], 'token'); join ' ', map { ref($r->{$_}) || 'text' } qw(payment_id status amount details created_at replayed) },
);
while (my ($case, $code) = splice @cases, 0, 2)
{
	my $c = connected();
	my $result = eval { $code->($c) };
	if (!defined $result)
	{
		my $detail = $c->pg_error_field('PG_DIAG_MESSAGE_DETAIL') // '';
		$result = $c->state =~ /^PW/ ? $c->state . ($detail =~ /^[\[{]/ ? ' DETAIL' : ' no DETAIL') : $c->state;
	}
	print "$case\t$result\n";
	$c->disconnect;
}
