// swath config: every key with its default and meaning, and the configuration that a command would use.
#include "apps/commands.h"

namespace swath::app {

namespace {

std::string type_of(const ConfigKey& key) { return key.constraint.empty() ? key.type : key.type + ", " + key.constraint; }

Json json_of(const ConfigKey& key) {
  Json json{{"key", key.path}, {"type", key.type}, {"default", key.default_value}, {"help", key.help}};
  if (!key.constraint.empty()) json["constraint"] = key.constraint;
  return json;
}

std::string text_of(const ConfigKey& key) {
  return fmt::format("{} = {}\n    {}\n    {}\n", key.path, key.default_value.dump(), key.help, type_of(key));
}

std::string markdown_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

enum class SchemaForm : std::uint8_t { text, markdown };
struct SchemaArgs {
  bool markdown = false;
  SchemaForm form() const { return markdown ? SchemaForm::markdown : SchemaForm::text; }
};

void run_schema(const SchemaArgs& args, Output& output) {
  Json keys = Json::array();
  if (args.form() == SchemaForm::markdown) output.text("| key | default | meaning | values |\n| --- | --- | --- | --- |\n");
  for (const ConfigKey& key : config_keys(TrainOptions{})) {
    keys.push_back(json_of(key));
    output.text(args.form() == SchemaForm::markdown
                    ? fmt::format("| `{}` | `{}` | {} | {} |\n", key.path, markdown_cell(key.default_value.dump()),
                                  markdown_cell(key.help), markdown_cell(type_of(key)))
                    : text_of(key));
  }
  output.json()["keys"] = keys;
}

void run_print(const ConfigArgs& args, Output& output) {
  output.json() = config_to_json(options_of(config_of(args)));
  output.text(output.json().dump(2) + "\n");
}

struct ExplainArgs {
  std::string key;
};

void run_explain(const ExplainArgs& args, Output& output) {
  Json found = Json::array();
  std::vector<std::string> known;
  for (const ConfigKey& key : config_keys(TrainOptions{})) {
    known.push_back(key.path);
    if (key.path != args.key && key.path.rfind(args.key + ".", 0) != 0) continue;
    found.push_back(json_of(key));
    output.text(text_of(key));
  }
  if (found.empty()) {
    const std::string nearest = nearest_name(args.key, known);
    throw UserError(fmt::format("unknown configuration key {}; {}", args.key,
                                nearest.empty() ? "see swath config schema" : "did you mean " + nearest + "?"));
  }
  output.json()["keys"] = found;
}

CLI::App* add_nested(CLI::App* parent, Request& request, const std::string& name, const std::string& description) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->add_flag("--json", request.json, "Print one JSON object on stdout instead of text");
  command->allow_extras();
  return command;
}

}  // namespace

void add_config(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "config", "Show the configuration keys and what they mean",
                                  "  swath config schema\n"
                                  "  swath config print --config configs/demo.json --set epochs=3\n"
                                  "  swath config explain margin.beta\n"
                                  "  swath config explain optimizer\n");
  command->require_subcommand(0, 1);
  auto schema = std::make_shared<SchemaArgs>();
  CLI::App* all = add_nested(command, request, "schema", "Every key with default, meaning and values");
  all->add_flag("--markdown", schema->markdown, "As a Markdown table");
  set_action(all, request, schema, run_schema);

  auto print = std::make_shared<ConfigArgs>();
  CLI::App* resolved = add_nested(command, request, "print", "The whole configuration after --config and --set");
  add_config_args(resolved, *print, Shorthands::both);
  set_action(resolved, request, print, run_print);

  auto explain = std::make_shared<ExplainArgs>();
  CLI::App* one = add_nested(command, request, "explain", "One key, or every key of a group");
  one->add_option("KEY", explain->key, "For example margin.beta")->required();
  set_action(one, request, explain, run_explain);
}

}  // namespace swath::app
