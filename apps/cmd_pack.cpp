// swath pack: decodes an archive once into memory-mapped splits.
#include "apps/packing.h"
#include "apps/progress.h"
#include "apps/signals.h"

namespace swath::app {

namespace {

void run_pack(const ConfigArgs& args, Output& output) {
  const TrainOptions options = options_of(config_of(args));
  if (options.data.packed.empty()) throw UserError("data.packed is not set; name the folder to write with --packed DIR");
  if (options.data.root.empty()) throw UserError("data.root is not set; name the archive with --root DIR");
  install_stop_signals();
  const Prepared prepared = prepare_data(options.data);
  const std::array<PackResult, 3> results = pack_all(prepared, options.data.packed, shown_packing(options.pack));
  const ImageSpec& image = prepared.dataset->image();
  output.text(fmt::format("{}: {} images of {} x {} x {} {}, {} classes\n", prepared.dataset->name(), prepared.dataset->size(),
                          image.height, image.width, image.channels, kernels::name_of(image.dtype),
                          prepared.filter.kept.size()));
  Json parts = Json::array();
  for (const PackResult& part : results) {
    output.text(fmt::format("  {}: {} images, {}{}\n", part.path, part.rows, bytes(static_cast<double>(part.bytes)),
                            part.reused ? ", was there already" : fmt::format(", {:.1f} s", part.seconds)));
    parts.push_back({{"path", part.path},
                     {"images", part.rows},
                     {"resumed", part.resumed},
                     {"reused", part.reused},
                     {"unreadable", part.unreadable},
                     {"bytes", part.bytes},
                     {"seconds", part.seconds}});
  }
  output.json() = {{"dataset", prepared.dataset->name()},
                   {"classes", prepared.filter.kept_names},
                   {"dropped_classes", prepared.filter.dropped_names},
                   {"bands", image.bands},
                   {"parts", parts},
                   {"skipped", skips_of(prepared.dataset->report())}};
  const PackedSet packed = open_packed(options.data.packed);
  for (const Part part : kParts)
    output.json()["skipped_images"][name_of(part)] = skips_of(packed[part].info().report)["unreadable"];
  std::vector<SkipReport::Entry> skipped = prepared.dataset->report().unreadable;
  for (const Part part : kParts)
    for (const SkipReport::Entry& entry : packed[part].info().report.unreadable) skipped.push_back(entry);
  for (const SkipReport::Entry& entry : skipped) output.text(fmt::format("  skipped {}: {}\n", entry.file, entry.reason));
}

}  // namespace

void add_pack(CLI::App& app, Request& request) {
  CLI::App* command = add_command(
      app, request, "pack", "Decode an archive once into memory-mapped splits; resumes after an interruption",
      "  swath pack --root MLRSNet --packed packs/mlrsnet\n"
      "  swath pack --root BigEarthNet --packed packs/ben --set data.classes=19 --set data.split.directory=splits\n");
  auto args = std::make_shared<ConfigArgs>();
  add_config_args(command, *args, Shorthands::data);
  set_action(command, request, args, run_pack);
}

}  // namespace swath::app
