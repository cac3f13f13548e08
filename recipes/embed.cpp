#include "recipes/embed.h"

#include "data/loader.h"
#include "recipes/step.h"

namespace swath {

std::vector<float> embed_split(Device& device, Recipe& recipe, const PackedSplit& split, const EmbedOptions& options) {
  const std::int64_t crop = crop_side(options.crop, split.image()), width = recipe.embedding_width();
  std::vector<float> embeddings(static_cast<std::size_t>(split.rows() * width));
  const auto sampler = make_sequential_sampler(split.rows(), options.batch_size);
  Loader loader(split);
  sampler->begin_epoch(0);
  loader.start(*sampler);
  std::int64_t done = 0;
  while (const Batch* batch = loader.next()) {
    Tape tape(device, Phase::eval);
    const BatchViews views(device, split.image(), batch->pixels, batch->n, {.crop = crop, .type = options.activation});
    const Tensor images = views.make({.mode = AugmentMode::evaluate}, {});
    recipe.embed(tape, images).copy_to_host(embeddings.data() + done * width);
    done += batch->n;
    if (options.progress) options.progress(done, split.rows());
  }
  return embeddings;
}

}  // namespace swath
