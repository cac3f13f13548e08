#include "recipes/step_plan.h"

#include <algorithm>
#include <array>
#include <optional>

#include "recipes/embed.h"
#include "recipes/step.h"

namespace swath {

namespace {

constexpr std::int64_t kImages = 10'000;
constexpr std::int64_t kMaxRows = 1 << 20;

StepSizes completed(StepSizes sizes, const TrainOptions& options) {
  const bool sentinel = options.data.format == "bigearthnet";
  const auto take = [](std::int64_t& size, std::int64_t otherwise) {
    if (size == 0) size = otherwise;
  };
  take(sizes.image_side, options.data.image_size);
  take(sizes.image_side, sentinel ? 120 : 256);
  take(sizes.bands, sentinel ? 12 : 3);
  take(sizes.classes, sentinel ? options.data.classes : 60);
  const std::int64_t batch =
      std::max({sizes.rows, options.sampler.images_per_class * sizes.classes, options.sampler.batch_size});
  take(sizes.images, std::max(kImages, batch));
  return sizes;
}

/// Images of two classes each, all classes equally often.
PackedSplit described(const StepSizes& sizes) {
  PackedInfo info;
  info.dataset = "described";
  info.part = "train";
  info.image = {.height = sizes.image_side,
                .width = sizes.image_side,
                .channels = sizes.bands,
                .dtype = sizes.bands > 3 ? DType::u16 : DType::u8};
  for (std::int64_t b = 0; b < sizes.bands; ++b) info.image.bands.push_back(fmt::format("band{}", b));
  for (std::int64_t c = 0; c < sizes.classes; ++c) info.class_names.push_back(fmt::format("class{}", c));
  info.labels = LabelMasks(sizes.images, sizes.classes);
  for (std::int64_t i = 0; i < sizes.images; ++i) {
    info.ids.push_back(std::to_string(i));
    info.labels.set(i, i % sizes.classes);
    info.labels.set(i, (i + 1) % sizes.classes);
  }
  return PackedSplit::described(std::move(info));
}

StepSizes sizes_of(const PackedSplit& split) {
  const ImageSpec& image = split.image();
  return {.image_side = std::max(image.height, image.width),
          .bands = image.channels,
          .classes = static_cast<std::int64_t>(split.class_names().size()),
          .images = split.rows()};
}

void sum_into(kernels::Cost& sum, const kernels::Cost& one) {
  sum.unfused = sum.unfused_bytes() + one.unfused_bytes();
  sum.read += one.read;
  sum.written += one.written;
  sum.flops += one.flops;
  sum.sectors += one.sectors;
  sum.launches += one.launches;
}

std::vector<StepLine> lines_of(const StepLedger& ledger) {
  std::vector<StepLine> lines;
  for (const StepLedger::Entry& entry : ledger.entries()) {
    const auto same = std::find_if(lines.begin(), lines.end(), [&](const StepLine& line) {
      return line.pass == entry.pass && line.part == entry.part && line.kernel == entry.kernel && line.shape == entry.shape &&
             line.cost.math == entry.cost.math && line.cost.bytes() == static_cast<double>(line.calls) * entry.cost.bytes();
    });
    if (same == lines.end()) {
      lines.push_back({entry.pass, entry.part, entry.kernel, entry.shape, entry.engine, 1, entry.cost});
      lines.back().cost.unfused = entry.cost.unfused_bytes();
    } else {
      ++same->calls;
      sum_into(same->cost, entry.cost);
    }
  }
  return lines;
}

}  // namespace

StepPlan plan_step(const TrainOptions& options, const StepSizes& asked, const EngineOf& engines) {
  StepPlan plan{.sizes = completed(asked, options), .lines = {}, .memory = {}};
  const PackedSplit split = described(plan.sizes);
  StepLedger ledger;
  const std::unique_ptr<Device> device = open_dry(ledger, device_options(options), engines);
  ParameterBlock block;
  StepScalars scalars(*device);
  const std::unique_ptr<Recipe> recipe = make_recipe({*device, block, options, split});
  block.allocate(*device);
  Optimizer optimizer(block, options.optimizer);
  TrainStep step(*device, *recipe, block, optimizer, scalars, options, split);
  if (plan.sizes.rows == 0) plan.sizes.rows = recipe->sampler().max_rows();

  const auto rows = static_cast<std::size_t>(plan.sizes.rows);
  const std::vector<std::int64_t> numbers(rows);
  const std::vector<std::uint64_t> labels(rows * static_cast<std::size_t>(split.labels().words()));
  Batch batch;
  batch.rows = numbers.data();
  batch.labels = labels.data();
  batch.n = plan.sizes.rows;
  PoolArena graph(device->pool());
  for (const std::uint64_t number : {0, 1}) {
    step.drain();
    ledger.clear();
    scalars.set_step(number);
    std::optional<ArenaScope> scope;
    if (options.graph == "auto") scope.emplace(graph);
    step.run(batch);
  }
  plan.crop = crop_side(options.crop, split.image());
  plan.parameters = block.count();
  plan.lines = lines_of(ledger);
  constexpr std::array kTags{Tag::weights,   Tag::grads, Tag::moments, Tag::activations,
                             Tag::workspace, Tag::bank,  Tag::input,   Tag::other};
  for (const Tag tag : kTags)
    if (const std::size_t peak = device->pool()->use(tag).peak) plan.memory.emplace_back(name_of(tag), peak);
  plan.peak_memory = device->pool()->use().peak;
  // A graph keeps its memory: what embeds a validation's batch comes on top.
  embed_images(*device, *recipe, split.image(), nullptr, std::min(options.validation.batch_size, split.rows()),
               embed_options(options));
  plan.held_memory = device->pool()->reserved();
  return plan;
}

std::int64_t largest_batch(const TrainOptions& options, const StepSizes& sizes, std::size_t memory) {
  const auto fits = [&](std::int64_t rows) {
    StepSizes tried = sizes;
    tried.rows = rows;
    return plan_step(options, tried).held_memory <= memory;
  };
  if (!fits(2)) return 0;
  std::int64_t low = 2, high = 4;
  while (high <= kMaxRows && fits(high)) low = high, high *= 2;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

std::int64_t largest_batch(const TrainOptions& options, const PackedSplit& split, std::size_t memory) {
  return largest_batch(options, sizes_of(split), memory);
}

std::string remedy_of(std::int64_t rows) {
  if (rows == 0) return "not even a batch of two images would fit: choose a smaller crop or network";
  return fmt::format("a batch of {} images would fit, set sampler.batch_size or sampler.images_per_class", rows);
}

std::string with_remedy(const OutOfMemory& full, const TrainOptions& options, const PackedSplit& split) {
  const StepSizes sizes = sizes_of(split);
  const std::int64_t rows = largest_batch(options, sizes, full.available);
  // Then the batch that was asked for would fit as well, and something else has filled the device.
  if (rows > 0 && rows >= plan_step(options, sizes).sizes.rows)
    return fmt::format("{}; choose a smaller batch, or end what else uses the device", full.what());
  return fmt::format("{}; {}", full.what(), remedy_of(rows));
}

}  // namespace swath
