// swath scenes: a synthetic archive in the MLRSNet or BigEarthNet layout.
#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "data/scenes.h"

namespace swath::app {

namespace {

struct ScenesArgs {
  Json keys = Json::object();
};

void run_scenes(const ScenesArgs& args, Output& output) {
  ScenesOptions options;
  config_from_json(options, args.keys);
  if (options.out.empty()) throw UserError("swath scenes needs --out DIR, the folder to write");
  install_stop_signals();
  ScenesResult result;
  {
    Progress progress;
    Pace pace;
    result = generate_scenes(options, [&](std::int64_t done, std::int64_t total) {
      throw_if_stopped("stopped while making scenes; start again with the same options to continue");
      progress.update(fmt::format("scenes  {}/{}  {}", done, total, pace.text(done, total)));
    });
  }
  Json per_class = Json::object();
  output.text(fmt::format("{} synthetic images in {} ({}), {}\n", result.images, options.out, options.layout,
                          duration(result.seconds)));
  for (std::size_t c = 0; c < result.class_names.size(); ++c) {
    per_class[result.class_names[c]] = result.images_per_class[c];
    output.text(fmt::format("  {:<40}{:>8}\n", result.class_names[c], result.images_per_class[c]));
  }
  output.json() = {{"out", options.out},      {"layout", options.layout},      {"synthetic", true},
                   {"images", result.images}, {"images_per_class", per_class}, {"seconds", result.seconds}};
}

}  // namespace

void add_scenes(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "scenes",
                                  "Make a synthetic archive of multi-label landscapes, so that nothing need be downloaded",
                                  "  swath scenes --out scenes --images 2400 --size 64\n"
                                  "  swath scenes --out sentinel --layout bigearthnet --images 400\n");
  auto args = std::make_shared<ScenesArgs>();
  for (const ConfigKey& key : config_keys(ScenesOptions{})) {
    const bool text = key.type == "text";
    command
        ->add_option_function<std::string>(
            "--" + key.path,
            [args, name = key.path, text](const std::string& value) {
              if (text)
                args->keys[name] = value;
              else
                set_config(args->keys, name + "=" + value);
            },
            key.help + (key.constraint.empty() ? "" : " (" + key.constraint + ")"))
        ->type_name(text ? "TEXT" : "INT");
  }
  set_action(command, request, args, run_scenes);
}

}  // namespace swath::app
