// t-SNE with its progress on stderr.
#pragma once
#include "retrieval/tsne.h"

namespace swath::app {

/// tsne() of the rows; shows the iterations and stops at a signal, by throwing Preempted.
Tsne tsne_with_progress(EmbeddingView rows, TsneOptions options);

}  // namespace swath::app
