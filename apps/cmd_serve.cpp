// swath serve: search as a local web page and an HTTP API.
#include "apps/search_server.h"
#include "apps/signals.h"
#include "engine/core/log.h"

namespace swath::app {

namespace {

struct ServeArgs {
  SearchArgs search;
  ServeOptions serve;
};

void run_serve(const ServeArgs& args, Output& output) {
  require_server();
  if (args.serve.port < 0 || args.serve.port > 65535)
    throw UserError(fmt::format("--port is 0 to 65535, not {}", args.serve.port));
  if (args.serve.max_bytes < 1) throw UserError("--max-bytes is a number of bytes from 1 on");
  if (args.serve.seconds < 1 || args.serve.seconds > 3600) throw UserError("--seconds is 1 to 3600");
  SearchEngine engine(args.search);
  std::string address;
  serve(engine, args.serve, [&](const std::string& url) {
    address = url;
    log::info("{} images at {} until Ctrl-C", engine.gallery().rows(), url);
  });
  output.json() = {{"address", address}, {"images", engine.gallery().rows()}};
  output.text("stopped\n");
}

}  // namespace

void add_serve(CLI::App& app, Request& request) {
  CLI::App* command =
      add_command(app, request, "serve", "Search in a browser and over HTTP; on this machine alone unless asked",
                  "  swath serve --index gallery\n"
                  "  swath serve --index gallery --port 9000 --device cuda:0\n");
  auto args = std::make_shared<ServeArgs>();
  args->search.model.checkpoint.clear();
  add_search_args(command, args->search);
  command->add_option("--host", args->serve.host, "Address to listen on (default: 127.0.0.1, this machine alone)")
      ->type_name("ADDRESS");
  command->add_option("--port", args->serve.port, "Port; 0: any that is free (default: 8080)")->type_name("N");
  command->add_option("--max-bytes", args->serve.max_bytes, "Largest image that is taken (default: 16777216)")->type_name("N");
  command->add_option("--seconds", args->serve.seconds, "Longest that an image may take to arrive or wait (default: 20)")
      ->type_name("N");
  set_action(command, request, args, run_serve);
}

}  // namespace swath::app
