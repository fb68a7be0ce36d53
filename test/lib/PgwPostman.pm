# PgwPostman - brings what the bank simulator says by itself: takes the notifications that are due, hands each over, and tells the simulator which were taken, so that
# all others come again.  To pgw.receive_notification() by SQL, or to an endpoint by HTTP.
#
#   my $postman = PgwPostman->new(url => $bank->{url}, bank => 'name');
#   $postman->round(sub { my ($sql) = @_; ... return $status });   # runs a statement that answers http_status|verdict, in a transaction of its own; its answer when that has committed
#   $postman->post_round($endpoint)
#   $postman->{verdicts}                                          # how often each was answered
package PgwPostman;

use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;

sub new
{
	my ($class, %o) = @_;
	return bless { %o, http => HTTP::Tiny->new(timeout => 60), verdicts => {} }, $class;
}

# { number, headers, body }, of those that are due.
sub due
{
	my ($self, $limit) = @_;
	my $r = $self->{http}->get("$self->{url}/notifications?limit=" . ($limit // 100));
	die "notifications: $r->{status} $r->{content}" unless $r->{success};
	my $due = decode_json($r->{content});
	$self->{left} = $due->{left};
	return @{ $due->{notifications} };
}

# Is something left that has yet to be taken?
sub left { my ($self) = @_; $self->due(0); return $self->{left} }

sub taken
{
	my ($self, @numbers) = @_;
	return unless @numbers;
	my $r = $self->{http}->post("$self->{url}/control/taken", { content => encode_json({ numbers => \@numbers }) });
	die "taken: $r->{status} $r->{content}" unless $r->{success};
	return;
}

# The call of the function, as of an endpoint.
sub sql
{
	my ($self, $n) = @_;
	my $headers = encode_json($n->{headers}) =~ s/'/''/gr;
	return "SELECT http_status, verdict FROM pgw.receive_notification('$self->{bank}', '$headers', decode('" . unpack('H*', $n->{body}) . "', 'hex'))";
}

# Hand over what is due; how many that were.  A notification counts as answered only by what $run returns: '200|accepted'.  undef: there was no answer.
sub round
{
	my ($self, $run) = @_;
	my @due = $self->due;
	for my $n (@due)
	{
		my ($status, $verdict) = split /\|/, $run->($self->sql($n), $n) // '0|unanswered';
		$self->{verdicts}{$verdict}++;
		$self->taken($n->{number}) if $status eq 200;
	}
	return scalar @due;
}

# The same by HTTP.
sub post_round
{
	my ($self, $endpoint) = @_;
	my @due = $self->due;
	for my $n (@due)
	{
		my $status = $self->{http}->post($endpoint, { content => $n->{body}, headers => { 'Content-Type' => 'application/json', %{ $n->{headers} } } })->{status};
		$self->{verdicts}{$status}++;
		$self->taken($n->{number}) if $status == 200;
	}
	return scalar @due;
}

1;
