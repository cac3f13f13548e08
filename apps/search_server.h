// A search engine behind HTTP: the page of apps/pages/ and the API of docs/search.md.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "apps/search_engine.h"

namespace swath::app {

struct ServeOptions {
  std::string host = "127.0.0.1";
  int port = 8080;  // 0: any that is free
  std::int64_t max_bytes = std::int64_t{16} << 20;
  int seconds = 20;  // for a request's body, and to wait for other searches
};

/// Throws UserError when this build has no cpp-httplib.
void require_server();

/// Answers until stop_requested(), then finishes what is under way. `ready` gets the address once the port is open. Throws
/// an Error with ExitCode::port when the port is taken, UserError when the host cannot be listened on.
void serve(SearchEngine& engine, const ServeOptions& options, const std::function<void(const std::string&)>& ready);

}  // namespace swath::app
