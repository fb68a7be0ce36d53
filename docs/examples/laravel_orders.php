<?php
// An order and its payment with Laravel's query builder: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment. In an application of Laravel's the first four statements are
// the framework's, and DB::connection() is $db. Its QueryException has the values in its text: never log it where a card may be among them.
require_once file_exists('vendor/autoload.php') ? 'vendor/autoload.php' : 'Illuminate/Database/autoload.php';

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Connection;
use Illuminate\Database\QueryException;

const TRIES = 5;

function one(Connection $db, string $sql, array $values): stdClass
{
	// false: not of a read replica, which refuses it
	return $db->select($sql, $values, false)[0];
}

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
function place_order(Connection $db, string $order, int $amount, string $token): stdClass
{
	for ($attempt = 1; ; $attempt++) {
		try {
			return $db->transaction(function () use ($db, $order, $amount, $token) {
				$db->statement('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
				$pay = one($db, "SELECT * FROM pgw.process_payment(?, ?, 'EUR', ?)", ["order-$order", $amount, $token]);
				if ($pay->status === 'captured')
					$db->table('orders')->insert(['id' => $order, 'amount' => $amount, 'payment_id' => $pay->payment_id]);
				return $pay;
			});
		} catch (QueryException | PDOException $e) {
			if (!in_array($e->getCode(), ['40001', '40P01'], true) || $attempt === TRIES)
				throw $e;
		}
	}
}

function new_id(): string
{
	$hex = bin2hex(random_bytes(16));
	return preg_replace('/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/', '$1-$2-4$3-8$4-$5', $hex);
}

$manager = new Manager;
$manager->addConnection(['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'), 'database' => getenv('PGDATABASE'), 'username' => getenv('PGUSER')]);
$db = $manager->getConnection();
$db->statement('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))');

$order = new_id();
$paid = place_order($db, $order, 4990, 'tok_ok');
print "order: $paid->status\n";
// a web server that does not know whether it was heard asks again: the same payment, not a second one
print 'again: ' . json_encode(one($db, "SELECT replayed FROM pgw.process_payment(?, 4990, 'EUR', 'tok_ok')", ["order-$order"])->replayed) . "\n";

$declined = place_order($db, new_id(), 4990, 'tok_decline_insufficient_funds');
print "declined: $declined->error_code - tell the customer: " . json_decode($declined->details)->customer_message_key . "\n";

// in a job: recorded with the order, sent after the commit
$late = one($db, "SELECT * FROM pgw.submit_payment(?, 1500, 'EUR', 'tok_ok')", ['order-' . new_id()]);
print "submitted: $late->status\n";
print 'then: ' . one($db, 'SELECT * FROM pgw.wait_for_payment(?)', [$late->payment_id])->status . "\n";

one($db, 'SELECT pgw.refund_payment(?, ?, 1000, ?)', [$paid->payment_id, "return-$order", 'one piece came back']);
print 'refund: ' . one($db, 'SELECT * FROM pgw.wait_for_payment(?)', [$paid->payment_id])->status . "\n";
