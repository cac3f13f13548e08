#include "apps/tsne_progress.h"

#include <chrono>

#include "apps/progress.h"
#include "apps/signals.h"

namespace swath::app {

Tsne tsne_with_progress(EmbeddingView rows, TsneOptions options) {
  Progress progress;
  const auto started = std::chrono::steady_clock::now();
  options.progress = [&](std::int64_t done, std::int64_t total) {
    throw_if_stopped("stopped during t-SNE; its files were not written");
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    const double left = seconds * static_cast<double>(total - done) / static_cast<double>(done);
    progress.update(fmt::format("t-SNE  {}/{}  ETA {}", done, total, duration(left)),
                    done == total ? Progress::When::always : Progress::When::throttled);
  };
  return tsne(rows, options);
}

}  // namespace swath::app
