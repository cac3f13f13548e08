#include "recipes/embed.h"

#include <algorithm>

#include "data/loader.h"
#include "recipes/step.h"

namespace swath {

namespace {

void embed_batch(Device& device, const EmbedImages& embed, const ImageSpec& image, const void* pixels, std::int64_t n,
                 const EmbedOptions& options, float* embeddings) {
  Tape tape(device, Phase::eval);
  const BatchViews views(device, image, pixels, n, {.crop = crop_side(options.crop, image), .type = options.activation});
  embed(tape, views.make({.mode = AugmentMode::evaluate}, {})).copy_to_host(embeddings);
}

EmbedImages embedding_of(Recipe& recipe) {
  return [&recipe](Tape& tape, const Tensor& images) { return recipe.embed(tape, images); };
}

}  // namespace

EmbedOptions embed_options(const TrainOptions& options) {
  return {.batch_size = options.validation.batch_size,
          .crop = options.crop,
          .activation = activation_type(options.precision),
          .progress = {}};
}

std::vector<float> embed_images(Device& device, Recipe& recipe, const ImageSpec& image, const void* pixels, std::int64_t n,
                                const EmbedOptions& options) {
  const std::int64_t width = recipe.embedding_width();
  const EmbedImages embed = embedding_of(recipe);
  std::vector<float> embeddings(static_cast<std::size_t>(n * width));
  for (std::int64_t done = 0; done < n;) {
    const std::int64_t count = std::min(options.batch_size, n - done);
    const auto* batch = static_cast<const std::uint8_t*>(pixels) + static_cast<std::size_t>(done) * image.bytes();
    embed_batch(device, embed, image, batch, count, options, embeddings.data() + done * width);
    done += count;
    if (options.progress) options.progress(done, n);
  }
  return embeddings;
}

std::vector<float> embed_split(Device& device, const EmbedImages& embed, std::int64_t width, const PackedSplit& split,
                               const EmbedOptions& options) {
  std::vector<float> embeddings(static_cast<std::size_t>(split.rows() * width));
  const auto sampler = make_sequential_sampler(split.rows(), options.batch_size);
  Loader loader(split);
  sampler->begin_epoch(0);
  const std::int64_t batches = sampler->batches_per_epoch();
  const RowSlice mine = options.ranks->slice(batches);
  sampler->set_state({0, mine.begin});
  loader.start(*sampler);
  for (std::int64_t b = mine.begin; b < mine.end(); ++b) {
    const Batch* batch = loader.next();
    float* to = embeddings.data() + b * options.batch_size * width;
    embed_batch(device, embed, split.image(), batch->pixels, batch->n, options, to);
    if (options.progress) options.progress((b - mine.begin) * options.batch_size + batch->n, split.rows());
  }
  loader.finish();
  for (int r = 0; r < options.ranks->size(); ++r) {
    const RowSlice part = slice_of(batches, r, options.ranks->size());
    const std::int64_t begin = part.begin * options.batch_size, end = std::min(part.end() * options.batch_size, split.rows());
    const auto bytes = static_cast<std::size_t>(std::max<std::int64_t>(end - begin, 0) * width) * sizeof(float);
    if (bytes) options.ranks->broadcast(embeddings.data() + begin * width, bytes, r);
  }
  return embeddings;
}

std::vector<float> embed_split(Device& device, Recipe& recipe, const PackedSplit& split, const EmbedOptions& options) {
  return embed_split(device, embedding_of(recipe), recipe.embedding_width(), split, options);
}

}  // namespace swath
