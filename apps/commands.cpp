#include "apps/commands.h"

#include <cstdio>
#include <filesystem>
#include <iterator>

namespace swath::app {

void Output::text(std::string_view piece) const {
  if (!as_json_) std::fwrite(piece.data(), 1, piece.size(), stdout);
}

void Output::flush() const {
  if (!as_json_) std::fflush(stdout);
}

void Output::finish() const {
  if (silent_) return;
  if (as_json_) {
    const std::string whole = json_.dump(2) + "\n";
    std::fwrite(whole.data(), 1, whole.size(), stdout);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw DataError("cannot write the results to the standard output");
}

CLI::App* add_command(CLI::App& app, Request& request, const std::string& name, const std::string& description,
                      const std::string& examples) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  command->add_flag("--json", request.json, "Print one JSON object on stdout instead of text");
  command->allow_extras();  // refused by the program itself, with the nearest name
  return command;
}

void add_config_args(CLI::App* command, ConfigArgs& args, Shorthands shorthands) {
  command->add_option("--config", args.file, "Configuration: JSON, comments allowed")->type_name("FILE");
  command->add_option("--set", args.assignments, "Sets one configuration key; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  if (shorthands == Shorthands::both)
    command->add_option("--device", args.device, "cpu, cuda or cuda:N (short for --set device=…)")->type_name("NAME");
  if (shorthands == Shorthands::none) return;
  command->add_option("--root", args.root, "Folder of the archive (short for --set data.root=…)")->type_name("DIR");
  if (shorthands != Shorthands::root)
    command->add_option("--packed", args.packed, "Folder of the packed splits (short for --set data.packed=…)")
        ->type_name("DIR");
}

void apply_assignments(Json& json, const ConfigArgs& args) {
  for (const std::string& assignment : args.assignments) set_config(json, assignment);
  if (!args.device.empty()) json["device"] = args.device;
  if (!args.root.empty()) json["data"]["root"] = args.root;
  if (!args.packed.empty()) json["data"]["packed"] = args.packed;
}

Json config_of(const ConfigArgs& args) {
  Json json = args.file.empty() ? Json::object() : load_config(args.file);
  if (!json.is_object()) throw UserError(fmt::format("{} must hold one JSON object {{ … }}", args.file));
  apply_assignments(json, args);
  return json;
}

TrainOptions options_of(const Json& json) { return resolve_options(json); }

Json load_run_config(const std::string& folder) {
  const std::string file = (std::filesystem::path(folder) / "config.json").string();
  try {
    Json json = load_config(file);
    options_of(json);
    return json;
  } catch (const UserError& problem) {
    throw DataError(fmt::format("{} is damaged, so the run cannot be used: {}", file, problem.what()));
  }
}

Json memory_of(const StoragePool& pool) {
  const auto json = [](const MemoryUse& use) { return Json{{"bytes", use.current}, {"peak_bytes", use.peak}}; };
  Json memory{{"together", json(pool.use())}};
  for (const Tag tag :
       {Tag::weights, Tag::grads, Tag::moments, Tag::activations, Tag::workspace, Tag::bank, Tag::input, Tag::other})
    if (pool.use(tag).peak) memory[name_of(tag)] = json(pool.use(tag));
  return memory;
}

}  // namespace swath::app
