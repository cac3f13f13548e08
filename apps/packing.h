// Opening packed data with progress on stderr, for every command that reads images.
#pragma once
#include "apps/commands.h"
#include "data/pack.h"

namespace swath::app {

/// Pack options whose progress is shown and which stops at a signal.
PackOptions shown_packing(PackOptions options);
/// The packed splits of the configuration; packs them first where they are not there yet.
PackedSet open_packed_set(const TrainOptions& options);
/// What was left out: files and why, images without a class.
Json skips_of(const SkipReport& report);

}  // namespace swath::app
