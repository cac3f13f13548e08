// The sub-commands of the program, one file each, and what they share: arguments, results on stdout, exit codes.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/config.h"
#include "engine/core/error.h"
#include "engine/core/storage.h"
#include "recipes/options.h"

namespace swath::app {

/// Where results go: text as it comes, or with --json one object at the end. Everything else belongs on stderr.
class Output {
 public:
  explicit Output(bool as_json) : as_json_(as_json) {}
  bool as_json() const { return as_json_; }
  /// A piece of text for stdout; dropped with --json.
  void text(std::string_view piece) const;
  /// The object that --json prints.
  Json& json() { return json_; }
  const Json& json() const { return json_; }
  /// What --json FILE asks for: the object goes elsewhere, text to stdout.
  void print_text() { as_json_ = false; }
  /// Prints nothing: another rank does.
  void silence() { silent_ = true; }
  /// Shows what has been written so far.
  void flush() const;
  /// The exit code after results that are complete but say no.
  void end_with(ExitCode code) { code_ = code; }
  ExitCode code() const { return code_; }
  /// Prints the object; throws DataError when stdout cannot be written.
  void finish() const;

 private:
  bool as_json_;
  bool silent_ = false;
  ExitCode code_ = ExitCode::ok;
  Json json_ = Json::object();
};

/// What the command line asked for.
struct Request {
  bool json = false;
  std::function<void(Output&)> action;
};

/// A sub-command with --json and a footer of examples, one per line.
CLI::App* add_command(CLI::App& app, Request& request, const std::string& name, const std::string& description,
                      const std::string& examples);
/// Lets `run(args, output)` be what the command does.
template <class Args, class Run>
void set_action(CLI::App* command, Request& request, std::shared_ptr<Args> args, Run run) {
  command->callback([&request, args, run] { request.action = [args, run](Output& output) { run(*args, output); }; });
}

/// --config, --set and the shorthands for single keys.
struct ConfigArgs {
  std::string file;
  std::vector<std::string> assignments;
  std::string device, root, packed;
};
enum class Shorthands : std::uint8_t { none, root, data, both };
void add_config_args(CLI::App* command, ConfigArgs& args, Shorthands shorthands);
/// The file's keys (none without --config) with the assignments and shorthands applied over them.
Json config_of(const ConfigArgs& args);
/// Applies assignments and shorthands over `json`.
void apply_assignments(Json& json, const ConfigArgs& args);
TrainOptions options_of(const Json& json);
/// config.json of a run folder. Throws DataError where it is damaged: swath wrote it.
Json load_run_config(const std::string& folder);
/// What `--memory --json` shows: bytes now and at the peak, by purpose.
Json memory_of(const StoragePool& pool);

/// One function per sub-command, in the order of --help.
void add_scenes(CLI::App& app, Request& request);
void add_split(CLI::App& app, Request& request);
void add_pack(CLI::App& app, Request& request);
void add_stats(CLI::App& app, Request& request);
void add_train(CLI::App& app, Request& request);
void add_eval(CLI::App& app, Request& request);
void add_embed(CLI::App& app, Request& request);
void add_report(CLI::App& app, Request& request);
void add_export(CLI::App& app, Request& request);
void add_index(CLI::App& app, Request& request);
void add_search(CLI::App& app, Request& request);
void add_serve(CLI::App& app, Request& request);
void add_config(CLI::App& app, Request& request);
void add_bench(CLI::App& app, Request& request);
void add_doctor(CLI::App& app, Request& request);

}  // namespace swath::app
