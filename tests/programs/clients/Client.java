import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

/** METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body. */
class Client {
    public static void main(String[] given) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(given[1]));
        if (given.length > 2) {
            request.header("Content-Type", "application/json");
            request.method(given[0], BodyPublishers.ofFile(Path.of(given[2])));
        } else {
            request.method(given[0], BodyPublishers.noBody());
        }
        var response = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
        System.out.println(response.statusCode());
        System.out.println(response.headers().firstValue("Content-Type").orElse(""));
        System.out.println(response.headers().firstValue("Content-Length").orElse(""));
        System.out.println(response.body());
    }
}
