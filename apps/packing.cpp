#include "apps/packing.h"

#include <memory>

#include "apps/progress.h"
#include "apps/signals.h"

namespace swath::app {

PackOptions shown_packing(PackOptions options) {
  const auto progress = std::make_shared<Progress>();
  options.progress = [progress, pace = Pace()](const PackProgress& p) mutable {
    throw_if_stopped("stopped while packing; the work done is kept, start again to continue");
    progress->update(fmt::format("pack {}  {}/{}{}  {}", name_of(p.part), p.done, p.total,
                                 p.unreadable ? fmt::format("  {} unreadable", p.unreadable) : "", pace.text(p.done, p.total)));
  };
  return options;
}

PackedSet open_packed_set(const TrainOptions& options) { return open_or_pack(options.data, shown_packing(options.pack)); }

Json skips_of(const SkipReport& report) {
  Json files = Json::array();
  for (const SkipReport::Entry& entry : report.unreadable) files.push_back({{"file", entry.file}, {"reason", entry.reason}});
  return {{"unreadable", files}, {"without_class", report.without_class}, {"unlisted", report.unlisted}};
}

}  // namespace swath::app
