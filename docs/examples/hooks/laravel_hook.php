<?php
// An endpoint for notifications of banks with Laravel's request and query builder: POST /hooks/<name of the bank>.
// Here: php -S 127.0.0.1:$PORT laravel_hook.php, with PGHOST, PGPORT, PGDATABASE, PGUSER from the environment. In an application the function is the action of a route
// without the middleware for CSRF, and DB::connection() is $db.
require_once file_exists('vendor/autoload.php') ? 'vendor/autoload.php' : 'Illuminate/Database/autoload.php';
if (!class_exists('Illuminate\Http\Request'))
	require_once 'Illuminate/Http/autoload.php';

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Connection;
use Illuminate\Http\Request;
use Illuminate\Http\Response;

function hook(Connection $db, Request $request, string $bank): Response
{
	try {
		// a statement by itself: committed when it returns. The body in hexadecimal digits: the query builder binds a string as text, which bytes are not.
		$row = $db->select("SELECT http_status FROM pgw.receive_notification(?, ?, decode(?, 'hex'), url => ?)",
			[$bank, json_encode($request->headers->all()), bin2hex(substr($request->getContent(), 0, 256 * 1024 + 1)), $request->fullUrl()], false)[0];
		return new Response('', $row->http_status);
	} catch (PDOException) {
		return new Response('', 500);    // nothing was taken: it is sent again
	}
}

$request = Request::capture();
$manager = new Manager;
$manager->addConnection(['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'), 'database' => getenv('PGDATABASE'), 'username' => getenv('PGUSER')]);
$response = $request->isMethod('POST') && preg_match('{^hooks/([^/]+)$}', $request->decodedPath(), $found)
	? hook($manager->getConnection(), $request, $found[1]) : new Response('', 404);
$response->send();
