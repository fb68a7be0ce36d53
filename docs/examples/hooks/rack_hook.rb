# An endpoint for notifications of banks with Rack and Ruby's pg: POST /hooks/<name of the bank>.
# Served at 127.0.0.1:$PORT, with PGDATABASE and the like from the environment. In a controller of Rails': request.raw_post is the body, request.original_url the URL,
# skip_forgery_protection, and ActiveRecord::Base.connection.raw_connection for conn.
require 'json'
require 'pg'
require 'rack'

TOO_LARGE = 256 * 1024 + 1 # more is not read: pgw refuses this much

HOOK = lambda do |env|
  request = Rack::Request.new(env)
  bank = request.path_info[%r{\A/hooks/([^/]+)\z}, 1]
  return [404, {}, []] unless request.post? && bank

  headers = env.select { |name,| name.start_with?('HTTP_') }.transform_keys { |name| name.delete_prefix('HTTP_').tr('_', '-') }
  conn = PG.connect
  begin
    # a statement by itself: committed when it returns; format 1: the body's bytes as they are
    row = conn.exec_params('SELECT http_status FROM pgw.receive_notification($1, $2, $3, url => $4)',
                           [Rack::Utils.unescape_path(bank), headers.to_json, { value: request.body.read(TOO_LARGE) || '', format: 1 }, request.url]).first
    [row['http_status'].to_i, {}, []]
  ensure
    conn.close
  end
rescue PG::Error
  [500, {}, []] # nothing was taken: it is sent again
end

Rack::Handler.get('webrick').run(HOOK, Host: '127.0.0.1', Port: ENV.fetch('PORT'), AccessLog: [], Logger: WEBrick::Log.new($stderr, WEBrick::Log::ERROR)) if $PROGRAM_NAME == __FILE__
