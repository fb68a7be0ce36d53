// An endpoint for notifications of banks with Spring's JdbcTemplate, Jackson and the JDK's server: POST /hooks/<name of the bank>.
// Served at 127.0.0.1:$PORT, with PGHOST, PGPORT, PGDATABASE, PGUSER from the environment. In Spring MVC, without @Transactional, so that
// the statement is committed when it returns:
//     @PostMapping("/hooks/{bank}") ResponseEntity<Void> hook(@PathVariable String bank, @RequestHeader HttpHeaders headers, @RequestBody byte[] body, HttpServletRequest request)
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.postgresql.ds.PGSimpleDataSource;
import org.springframework.dao.DataAccessException;
import org.springframework.jdbc.core.JdbcTemplate;

public class SpringHook {
    static final int TOO_LARGE = 256 * 1024 + 1;    // more is not read: pgw refuses this much
    static final String PATH = "/hooks/";
    static JdbcTemplate db;

    // The body as it came: what a converter has made an object of cannot be verified. The headers of both servers are a map of lists.
    static int receive(String bank, Map<String, List<String>> headers, byte[] body, String url) throws IOException {
        try {
            return db.queryForObject("SELECT http_status FROM pgw.receive_notification(?, ?::jsonb, ?, url => ?)", Integer.class,
                bank, new ObjectMapper().writeValueAsString(headers), body, url);
        } catch (DataAccessException e) {
            return 500;    // nothing was taken: it is sent again
        }
    }

    static void hook(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        int status = 405;
        if ("POST".equals(exchange.getRequestMethod()))
            status = receive(path.substring(PATH.length()), exchange.getRequestHeaders(), exchange.getRequestBody().readNBytes(TOO_LARGE),
                "https://" + exchange.getRequestHeaders().getFirst("Host") + exchange.getRequestURI());
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        Map<String, String> env = System.getenv();
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setServerNames(new String[] {env.get("PGHOST")});
        source.setPortNumbers(new int[] {Integer.parseInt(env.get("PGPORT"))});
        source.setDatabaseName(env.get("PGDATABASE"));
        source.setUser(env.get("PGUSER"));
        db = new JdbcTemplate(source);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(env.get("PORT"))), 0);
        server.createContext(PATH, SpringHook::hook);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.start();
    }
}
