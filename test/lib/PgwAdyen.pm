# PgwAdyen - Adyen as the simulator plays it: a row of pgw.banks for it, and what Adyen says by itself, as it has published that, signed as it signs.
package PgwAdyen;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_base64);
use Exporter 'import';
use JSON::PP ();
use PgwTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(adyen_row adyen_says adyen_tell);

# A key as Adyen makes them, of nobody.
my $KEY = 'AB' x 32;
my ($published, %told);

# The columns and values of such a bank; its secret for notifications is put where the server looks for it.
sub adyen_row
{
	my ($node, $bank) = @_;
	secret_file($node, 'adyen-hooks', $KEY);
	return (base_url => "$bank->{url}/adyen", notification_secret => 'adyen-hooks', settings => '{"merchant_account": "PgwTests", "return_url": "https://shop.example/"}');
}

sub signature
{
	my ($item) = @_;
	my $text = hmac_sha256_base64(join(':', map { $_ // '' } @$item{qw(pspReference originalReference merchantAccountCode merchantReference)}, @{ $item->{amount} }{qw(value currency)}, @$item{qw(eventCode success)}), pack 'H*', $KEY);
	return $text . '=' x (-length($text) % 4);
}

# The vendor's example of an event, with what is to be otherwise: the call's verdict.
sub adyen_says
{
	my ($node, $bank, $event, %o) = @_;
	$published //= JSON::PP::decode_json(slurp_file('test/bank/dialects/adyen.json'))->{notifications};
	my $body = JSON::PP::decode_json(JSON::PP::encode_json($published->{$event}{document}));
	my $item = $body->{notificationItems}[0]{NotificationRequestItem};
	%$item = (%$item, %o);
	$item->{additionalData}{hmacSignature} = signature($item);
	return $node->safe_psql('postgres', "SELECT verdict FROM pgw.receive_notification('$bank', '{}', decode('" . unpack('H*', JSON::PP->new->canonical->encode($body)) . "', 'hex'))");
}

# What the simulator has done with what it had accepted, each said once.
sub adyen_tell
{
	my ($node, $bank, $sim) = @_;
	my $ledger = bank_ledger($sim);
	my %reversed = map { ($_->{reference} // '') => 1 } grep { $_->{path} =~ m{/reversals$} } @{ bank_log($sim, 1000) };
	my %event = (captures => 'CAPTURE', refunds => 'REFUND', voids => 'CANCELLATION');
	my @items = map { [ 'AUTHORISATION', $_, pspReference => $_->{id} ] } grep { $_->{dialect} eq 'adyen' && $_->{status} =~ /^(?:approved|declined)$/ } @{ $ledger->{charges} };
	for my $list (sort keys %event)
	{
		push @items, map { [ $reversed{ $_->{reference} // '' } ? 'CANCEL_OR_REFUND' : $event{$list}, $_, pspReference => $_->{id}, originalReference => $_->{charge} ] }
		  grep { $_->{dialect} eq 'adyen' && $_->{status} ne 'pending' } @{ $ledger->{$list} };
	}
	for (@items)
	{
		my ($event, $done, @own) = @$_;
		next if $told{"$sim->{port} $done->{id}"};
		adyen_says($node, $bank, $event, @own, merchantReference => $done->{reference}, amount => { value => $done->{amount}, currency => $done->{currency} },
			success => $done->{status} =~ /^(?:approved|succeeded)$/ ? 'true' : 'false');
		$told{"$sim->{port} $done->{id}"} = 1;
	}
	return;
}

1;
