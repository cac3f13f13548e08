#include "apps/search_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

#include "apps/pages.h"
#include "apps/signals.h"
#include "data/image_folder.h"
#include "data/rgb_file.h"
#include "engine/core/log.h"

namespace swath::app {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kDefaultNeighbours = 8, kMaxNeighbours = 100, kShown = 12;
constexpr int kThreads = 8, kSocketSeconds = 5;
// So much more than the limit is read and dropped, so that a client that sends first can read the refusal.
constexpr std::int64_t kDropped = std::int64_t{64} << 20;

/// An answer that is no result: status and one sentence.
struct Refusal : std::runtime_error {
  Refusal(int code, const std::string& sentence) : std::runtime_error(sentence), status(code) {}
  int status;
};

void answer(httplib::Response& response, const Json& json) {
  response.set_content(json.dump(-1, ' ', false, Json::error_handler_t::replace), "application/json");
}

void refuse(httplib::Response& response, int status, const std::string& sentence) {
  response.status = status;
  answer(response, {{"error", sentence}});
}

bool is_address(const std::string& name) {
  in6_addr parsed{};
  const bool brackets = name.size() > 2 && name.front() == '[' && name.back() == ']';
  return inet_pton(AF_INET, name.c_str(), &parsed) == 1 ||
         (brackets && inet_pton(AF_INET6, name.substr(1, name.size() - 2).c_str(), &parsed) == 1);
}

/// "localhost" of "localhost:8080", "[::1]" of "[::1]:8080".
std::string host_name(const std::string& host) {
  const std::size_t colon = host.rfind(':'), bracket = host.rfind(']');
  return colon == std::string::npos || (bracket != std::string::npos && colon < bracket) ? host : host.substr(0, colon);
}

class SearchServer {
 public:
  SearchServer(SearchEngine& engine, const ServeOptions& options) : engine_(engine), options_(options) {
    configure();
    add_pages();
    add_api();
  }

  void run(const std::function<void(const std::string&)>& ready) {
    const int port = open_port();
    const bool v6 = options_.host.find(':') != std::string::npos;
    ready(fmt::format("http://{}:{}/", v6 ? "[" + options_.host + "]" : options_.host, port));
    std::atomic<bool> ended{false};
    std::thread watcher([&] {
      while (!ended) {
        if (stop_requested()) server_.stop();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    });
    server_.listen_after_bind();
    ended = true;
    watcher.join();
    if (!stop_requested()) throw InternalError("the server ended by itself");
  }

 private:
  void configure() {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // Not httplib's own options, which let several servers share a port.
    server_.set_socket_options([](auto socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_read_timeout(kSocketSeconds);
    server_.set_write_timeout(kSocketSeconds);
    server_.set_keep_alive_timeout(kSocketSeconds);
    server_.set_default_headers(
        {{"Content-Security-Policy",
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
         {"X-Content-Type-Options", "nosniff"},
         {"Referrer-Policy", "no-referrer"},
         {"Cross-Origin-Opener-Policy", "same-origin"},
         {"Cross-Origin-Resource-Policy", "same-origin"},
         {"Cache-Control", "no-store"}});
    server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return admit(request, response) ? httplib::Server::HandlerResponse::Unhandled : httplib::Server::HandlerResponse::Handled;
    });
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (response.body.empty())
        refuse(response, response.status,
               response.status == 404 ? fmt::format("There is nothing at {}.", request.path) : "The request is malformed.");
    });
    server_.set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr problem) { report(response, problem); });
  }

  /// Web pages of other sites must not use the server: not by a name of their own that leads here, not by a request of their
  /// own.
  bool admit(const httplib::Request& request, httplib::Response& response) const {
    const std::string host = request.get_header_value("Host"), origin = request.get_header_value("Origin");
    const std::string name = host_name(host);
    if (name != "localhost" && name != options_.host && !is_address(name))
      refuse(response, 403, "The Host header must be the server's address or localhost.");
    else if (!origin.empty() && origin != "http://" + host)
      refuse(response, 403, "Requests from other web pages are refused.");
    else
      return true;
    return false;
  }

  static void report(httplib::Response& response, const std::exception_ptr& problem) {
    try {
      std::rethrow_exception(problem);
    } catch (const Refusal& refusal) {
      refuse(response, refusal.status, refusal.what());
    } catch (const DataError& error) {
      refuse(response, 422, error.what());
    } catch (const UserError& error) {
      refuse(response, 400, error.what());
    } catch (const std::exception& error) {
      log::error("{}", error.what());
      refuse(response, 500, "The search failed; the server's log says why.");
    }
  }

  void add_pages() {
    const auto page = [this](const char* path, const char* content, const char* type) {
      server_.Get(
          path, [content, type](const httplib::Request&, httplib::Response& response) { response.set_content(content, type); });
    };
    page("/", kSearchHtml, "text/html; charset=utf-8");
    page("/search.css", kSearchCss, "text/css; charset=utf-8");
    page("/search.js", kSearchJs, "text/javascript; charset=utf-8");
  }

  void add_api() {
    server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) { answer(response, {{"status", "ok"}}); });
    server_.Get("/api/index", [this](const httplib::Request&, httplib::Response& response) { answer(response, describe()); });
    server_.Get(R"(/api/image/(\d{1,9}))", [this](const httplib::Request& request, httplib::Response& response) {
      const std::vector<std::uint8_t> jpeg = engine_.gallery().thumbnail(row_of(request));
      response.set_content(reinterpret_cast<const char*>(jpeg.data()), jpeg.size(), "image/jpeg");
    });
    server_.Get(R"(/api/neighbours/(\d{1,9}))", [this](const httplib::Request& request, httplib::Response& response) {
      const std::int64_t row = row_of(request), k = neighbours_of(request);
      const Json query{{"row", row},
                       {"id", engine_.gallery().info().ids[static_cast<std::size_t>(row)]},
                       {"labels", engine_.gallery().labels(row)}};
      answer_search(response, query, [&] { return engine_.nearest_to_row(row, k); });
    });
    server_.Post("/api/search",
                 [this](const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader) {
                   try {
                     search_body(request, response, reader);
                   } catch (...) {
                     report(response, std::current_exception());
                   }
                 });
  }

  void search_body(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader) {
    const std::vector<std::uint8_t> body = body_of(request, reader);
    const std::int64_t k = neighbours_of(request);
    if (!is_rgb(engine_.image()))
      throw Refusal(415, "This index holds images of other bands than RGB; use /api/neighbours or swath search.");
    std::vector<std::uint8_t> pixels(engine_.image().bytes());
    answer_search(response, {{"labels", Json::array()}}, [&] {
      decode_rgb(body, "the image", engine_.image().height, engine_.image().width, pixels.data());
      return engine_.nearest_to(pixels.data(), k);
    });
  }

  template <class Search>
  void answer_search(httplib::Response& response, const Json& query, const Search& search) {
    std::vector<Found> found;
    const auto begin = Clock::now();
    {
      const std::unique_lock lock(busy_, std::chrono::seconds(options_.seconds));
      if (!lock) throw Refusal(503, "Other searches take too long; try again later.");
      found = search();
    }
    Json list = json_of(engine_.gallery(), found);
    for (Json& one : list) one["image"] = fmt::format("/api/image/{}", one["row"].get<std::int64_t>());
    answer(response, {{"query", query},
                      {"neighbours", std::move(list)},
                      {"seconds", std::chrono::duration<double>(Clock::now() - begin).count()}});
  }

  Json describe() const {
    const Gallery& gallery = engine_.gallery();
    const GalleryInfo& info = gallery.info();
    Json some = Json::array();
    const std::int64_t shown = std::min(kShown, gallery.rows());
    for (std::int64_t i = 0; i < shown; ++i) {
      const std::int64_t row = i * gallery.rows() / shown;
      some.push_back(
          {{"row", row}, {"id", info.ids[static_cast<std::size_t>(row)]}, {"image", fmt::format("/api/image/{}", row)}});
    }
    return {{"images", gallery.rows()},
            {"labelled", info.labels.rows() > 0},
            {"note", info.note},
            {"classes", info.network.classes},
            {"bands", info.network.bands},
            {"recipe", info.network.recipe},
            {"width", info.network.embedding},
            {"weights", info.network.weights},
            {"upload", is_rgb(engine_.image())},
            {"limits", {{"bytes", options_.max_bytes}, {"k", kMaxNeighbours}, {"seconds", options_.seconds}}},
            {"some", some}};
  }

  std::int64_t row_of(const httplib::Request& request) const {
    const std::int64_t row = std::stoll(request.matches[1]);
    if (row >= engine_.gallery().rows())
      throw Refusal(404, fmt::format("There is no image {}; the index has {}.", row, engine_.gallery().rows()));
    return row;
  }

  std::int64_t neighbours_of(const httplib::Request& request) const {
    if (!request.has_param("k")) return kDefaultNeighbours;
    const std::string text = request.get_param_value("k");
    std::int64_t k = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), k);
    if (error != std::errc() || end != text.data() + text.size() || k < 1 || k > kMaxNeighbours)
      throw Refusal(400, fmt::format("k must be a number from 1 to {}.", kMaxNeighbours));
    return k;
  }

  /// The body, or the first file of a form.
  std::vector<std::uint8_t> body_of(const httplib::Request& request, const httplib::ContentReader& reader) const {
    if (!request.has_header("Content-Length") && request.get_header_value("Transfer-Encoding") != "chunked")
      throw Refusal(411, "The request needs a Content-Length.");
    const auto deadline = Clock::now() + std::chrono::seconds(options_.seconds);
    std::vector<std::uint8_t> body;
    std::int64_t received = 0;
    int parts = 0;
    const auto collect = [&](const char* bytes, std::size_t count) {
      received += static_cast<std::int64_t>(count);
      if (received <= options_.max_bytes && parts < 2) body.insert(body.end(), bytes, bytes + count);
      return received <= options_.max_bytes + kDropped && Clock::now() < deadline;
    };
    const bool whole =
        request.is_multipart_form_data() ? reader([&](const auto&) { return ++parts > 0; }, collect) : reader(collect);
    if (received > options_.max_bytes)
      throw Refusal(413, fmt::format("The image is larger than the limit of {} bytes.", options_.max_bytes));
    if (!whole && Clock::now() >= deadline)
      throw Refusal(408, fmt::format("The image took more than {} s to arrive.", options_.seconds));
    if (!whole) throw Refusal(400, "The image did not arrive whole.");
    if (body.empty()) throw Refusal(400, "The request holds no image; send a JPEG or PNG file as its body.");
    return body;
  }

  int open_port() {
    errno = 0;
    const int port = options_.port == 0                                   ? server_.bind_to_any_port(options_.host)
                     : server_.bind_to_port(options_.host, options_.port) ? options_.port
                                                                          : -1;
    const int problem = errno;
    if (port > 0) return port;
    if (problem == EADDRINUSE)
      throw Error(ExitCode::port, fmt::format("port {} of {} is taken; stop the program that has it, or give another --port",
                                              options_.port, options_.host));
    throw UserError(fmt::format("cannot listen on port {} of {}: {}; give another --host or --port", options_.port,
                                options_.host, problem ? std::strerror(problem) : "no such address of this machine"));
  }

  SearchEngine& engine_;
  ServeOptions options_;
  std::timed_mutex busy_;
  httplib::Server server_;
};

}  // namespace

void require_server() {}

void serve(SearchEngine& engine, const ServeOptions& options, const std::function<void(const std::string&)>& ready) {
  SearchServer(engine, options).run(ready);
}

}  // namespace swath::app
