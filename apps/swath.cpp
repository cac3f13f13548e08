// swath: trains and evaluates multi-label remote-sensing image retrieval. Each sub-command has a file cmd_<name>.cpp.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "apps/commands.h"
#include "apps/signals.h"
#include "engine/core/log.h"
#include "engine/core/out_of_memory.h"
#include "recipes/version.h"

namespace swath::app {

namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done; 2 wrong option, key or shape; 3 unreadable or corrupt data; 4 no such device, or out of memory;\n"
    "5 a loss that is not finite; 6 another rank failed; 7 the port is taken; 8 a benchmark is slower;\n"
    "70 a bug or a failed vendor library; 75 stopped by a signal after saving, start again with --resume.\n";

constexpr const char* kFirstSteps =
    "First steps:\n"
    "  swath scenes --out scenes                  make a synthetic archive\n"
    "  swath train --config configs/demo.json     train on it\n"
    "  swath eval --run runs/demo --part test     score the best checkpoint\n"
    "  swath train --help                         every sub-command explains itself\n\n";

void report(const Output& output, ExitCode code, const std::string& sentence) {
  std::fprintf(stderr, "swath: %s\n", sentence.c_str());
  if (!output.as_json()) return;
  Output failed(true);
  failed.json() = {{"error", sentence}, {"exit_code", static_cast<int>(code)}};
  try {
    failed.finish();
  } catch (const Error&) {
    // The exit code still tells.
  }
}

/// Refuses an argument that nothing took, with the nearest name.
void refuse_extras(const CLI::App& app) {
  const CLI::App* command = app.get_subcommands().empty() ? nullptr : app.get_subcommands().front();
  for (const CLI::App* nested = command; nested && !nested->get_subcommands().empty();) {
    nested = nested->get_subcommands().front();
    command = nested;
  }
  std::vector<std::string> extras = app.remaining();
  if (command) {
    for (const std::string& extra : command->remaining()) extras.push_back(extra);
  }
  if (extras.empty()) return;
  const std::string given = extras.front().substr(0, extras.front().find('='));
  const CLI::App& place = command ? *command : app;
  std::vector<std::string> known;
  if (given.starts_with("-")) {
    for (const CLI::Option* option : place.get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  } else {
    for (const CLI::App* child : place.get_subcommands([](const CLI::App*) { return true; }))
      known.push_back(child->get_name());
  }
  const std::string nearest = nearest_name(given, known);
  const std::string where = command ? " of swath " + command->get_name() : "";
  const char* what = given.starts_with("-") ? "option" : known.empty() ? "argument" : "command";
  throw UserError(fmt::format("unknown {} {}{}; {}", what, given, where,
                              nearest.empty() ? fmt::format("see swath {}--help", command ? command->get_name() + " " : "")
                                              : fmt::format("did you mean {}?", nearest)));
}

void run(int argc, char** argv, Output& output) {
  CLI::App app("Trains and evaluates multi-label remote-sensing image retrieval on CPUs and CUDA GPUs.", "swath");
  app.set_version_flag("--version", std::string("swath ") + kVersion);
  app.footer(std::string(kFirstSteps) + kExitCodes);
  app.allow_extras();
  app.require_subcommand(0, 1);  // a folder may have the name of a command
  Request request;
  for (const auto add : {add_scenes, add_split, add_pack, add_stats, add_train, add_eval, add_report, add_embed, add_export,
                         add_index, add_search, add_serve, add_config, add_bench, add_doctor})
    add(app, request);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& shown) {
    app.exit(shown);
    return;
  } catch (const CLI::ParseError& problem) {
    throw UserError(problem.what());
  }
  refuse_extras(app);
  if (!request.action) {
    const std::vector<CLI::App*> given = app.get_subcommands();
    if (argc > 1)
      throw UserError(given.empty()
                          ? "no command given; see swath --help"
                          : fmt::format("swath {0} needs a command; see swath {0} --help", given.front()->get_name()));
    output.text(app.help());
    return;
  }
  request.action(output);
  output.finish();
}

int guarded(int argc, char** argv) {
  ignore_file_size_signal();
  bool as_json = false;
  for (int i = 1; i < argc; ++i) as_json = as_json || std::strcmp(argv[i], "--json") == 0;
  Output output(as_json);
  ExitCode code = ExitCode::internal;
  std::string sentence;
  try {
    log::init_from_environment();
    run(argc, argv, output);
    return static_cast<int>(output.code());
  } catch (const OutOfMemory& full) {
    code = full.code();
    sentence = fmt::format("{}; choose smaller batches, or end what else uses the device", full.what());
  } catch (const Error& error) {
    code = error.code();
    sentence = error.what();
  } catch (const std::bad_alloc&) {
    code = ExitCode::device;
    sentence = "out of memory on the host; lower the batch, the crop or the number of workers";
  } catch (const std::exception& error) {
    sentence = fmt::format("internal error: {}", error.what());
  }
  report(output, code, sentence);
  return static_cast<int>(code);
}

}  // namespace

}  // namespace swath::app

int main(int argc, char** argv) { return swath::app::guarded(argc, argv); }
