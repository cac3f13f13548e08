// Augmentation against tests/reference/augment.h; the draws against the documented use of the counter-based generator.
#include "kernels/augment.h"

#include <map>

#include "tests/kernels/element_case.h"
#include "tests/reference/augment.h"

namespace swath::kernels::test {
namespace {

using reference::Flip;
using reference::Image;

constexpr std::uint64_t kSeed = 42, kStep = 7;

struct Case {
  std::int64_t rows, height, width, channels, crop_height, crop_width, out_channels;
  DType source = DType::u8, out = DType::f32;
  AugmentMode mode = AugmentMode::train;
  AugmentRotation rotation = AugmentRotation::none;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.rows << "x" << c.height << "x" << c.width << "x" << c.channels << " to " << c.crop_height << "x"
             << c.crop_width << "x" << c.out_channels << " " << name_of(c.source) << " " << name_of(c.out) << " mode "
             << static_cast<int>(c.mode) << " rotation " << static_cast<int>(c.rotation);
}

std::vector<std::int32_t> pixels_of(const Case& c, std::int64_t images) {
  auto values = random_ints(images * c.height * c.width * c.channels, 1, c.source == DType::u8 ? 256 : 65536);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i % 7 == 0) values[i] = c.source == DType::u8 ? 200 : 60000;
  return values;
}

void* put_pixels(CaseMemory& memory, const std::vector<std::int32_t>& values, DType type) {
  if (type == DType::u8) return memory.put(std::vector<std::uint8_t>(values.begin(), values.end()));
  return memory.put(std::vector<std::uint16_t>(values.begin(), values.end()));
}

Image image_of(const Case& c, const std::vector<std::int32_t>& pixels, std::int64_t which) {
  const std::int64_t size = c.height * c.width * c.channels;
  return {c.height, c.width, c.channels, {pixels.begin() + which * size, pixels.begin() + (which + 1) * size}};
}

/// What augment.h promises for one row.
Image expected_row(const Case& c, Image image, std::int64_t row_id, std::uint32_t view) {
  const Philox4 draw = philox(kSeed, kStep, RandomStream::augment, static_cast<std::uint64_t>(row_id), view);
  if (c.rotation == AugmentRotation::random_quarter)
    for (std::uint32_t t = 0; t < uniform_below(draw.v[3], 4); ++t) image = quarter_turn(image);
  const double divisor = c.source == DType::u8 ? 255 : 1;
  std::int64_t top = (c.height - c.crop_height) / 2, left = (c.width - c.crop_width) / 2;
  Flip how = Flip::none;
  if (c.mode == AugmentMode::train) {
    top = uniform_below(draw.v[0], static_cast<std::uint32_t>(c.height - c.crop_height + 1));
    left = uniform_below(draw.v[1], static_cast<std::uint32_t>(c.width - c.crop_width + 1));
    how = uniform_below(draw.v[2], 2) == 0 ? Flip::horizontal : Flip::vertical;
  }
  return standardise(flip(crop(image, top, left, c.crop_height, c.crop_width), how), divisor);
}

class AugmentTest : public KernelTest {};

TEST_P(AugmentTest, FollowsTheReference) {
  const AugmentMode train = AugmentMode::train, evaluate = AugmentMode::evaluate;
  const AugmentRotation none = AugmentRotation::none, quarter = AugmentRotation::random_quarter;
  const std::vector<Case> cases = {{0, 8, 8, 3, 6, 6, 3},
                                   {9, 8, 8, 3, 6, 6, 3},
                                   {9, 8, 8, 3, 6, 6, 8, DType::u8, DType::bf16},
                                   {9, 8, 8, 3, 6, 6, 8, DType::u8, DType::f16},
                                   {5, 9, 12, 12, 5, 7, 16, DType::u16, DType::f32},
                                   {5, 12, 9, 12, 12, 9, 12, DType::u16, DType::bf16, train, none},
                                   {5, 10, 13, 3, 7, 6, 3, DType::u8, DType::f32, evaluate, none},
                                   {9, 11, 11, 2, 5, 8, 2, DType::u16, DType::f32, train, quarter},
                                   {9, 6, 6, 3, 5, 5, 4, DType::u8, DType::f32, train, quarter},
                                   {6, 6, 6, 1, 5, 3, 1, DType::u8, DType::f32, evaluate, quarter},
                                   {2, 5, 5, 65, 4, 4, 65, DType::u16, DType::f32, train, none},
                                   {1, 3, 3, 300, 2, 2, 301, DType::u8, DType::f32, train, none},
                                   {2, 40, 40, 3, 33, 31, 3, DType::u8, DType::f32, train, none}};
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::PrintToString(c));
    CaseMemory memory(GetParam());
    const std::int64_t images = c.rows + 2, out_size = c.crop_height * c.crop_width * c.out_channels;
    const auto pixels = pixels_of(c, images);
    std::vector<std::int64_t> source_row, row_id;
    for (std::int64_t r = 0; r < c.rows; ++r) {
      source_row.push_back((r * 5 + 1) % images);
      row_id.push_back(1000 - 3 * r);
    }
    AugmentArgs args{.rows = c.rows,
                     .height = c.height,
                     .width = c.width,
                     .channels = c.channels,
                     .crop_height = c.crop_height,
                     .crop_width = c.crop_width,
                     .out_channels = c.out_channels,
                     .source_type = c.source,
                     .out_type = c.out,
                     .images = put_pixels(memory, pixels, c.source),
                     .source_row = memory.put(source_row),
                     .row_id = memory.put(row_id),
                     .seed = kSeed,
                     .step = memory.put_one(kStep),
                     .view = 3,
                     .mode = c.mode,
                     .rotation = c.rotation,
                     .out = make_elements(memory, c.rows * out_size, c.out)};
    memory.run([&](auto exec) { augment(args, exec); });
    std::vector<double> expected;
    for (std::int64_t r = 0; r < c.rows; ++r) {
      const Image row = expected_row(c, image_of(c, pixels, source_row[r]), row_id[r], 3);
      for (std::int64_t i = 0; i < out_size; ++i) {
        const std::int64_t channel = i % c.out_channels;
        expected.push_back(channel < c.channels ? row.values[i / c.out_channels * c.channels + channel] : 0);
      }
    }
    expect_elements_close(get_elements(memory, args.out, c.rows * out_size, c.out), expected, to_float_vector(expected), c.out);
  }
}

TEST_P(AugmentTest, ConstantChannelIsZeroAndOnePixelIsNotLost) {
  CaseMemory memory(GetParam());
  std::vector<std::int32_t> pixels(2 * 64 * 64, 65535);
  pixels[2 * 100] = 65534;  // channel 0 has one other pixel, channel 1 is constant
  AugmentArgs args{.rows = 1,
                   .height = 64,
                   .width = 64,
                   .channels = 2,
                   .crop_height = 64,
                   .crop_width = 64,
                   .out_channels = 2,
                   .source_type = DType::u16,
                   .images = put_pixels(memory, pixels, DType::u16),
                   .mode = AugmentMode::evaluate,
                   .out = memory.make_output<float>(2 * 64 * 64)};
  memory.run([&](auto exec) { augment(args, exec); });
  const auto got = memory.get(static_cast<float*>(args.out), 2 * 64 * 64);
  for (std::size_t i = 1; i < got.size(); i += 2) ASSERT_EQ(got[i], 0.0f);
  const double n = 64 * 64, deviation = std::sqrt((n - 1) / (n * n));
  EXPECT_NEAR(got[200], -(1 - 1 / n) / deviation, 1e-4);
  EXPECT_NEAR(got[0], 1 / n / deviation, 1e-6);
}

SWATH_KERNEL_PLACES(AugmentTest);

/// Which crop and flip each row got, found by comparing with every possible one.
TEST(AugmentDraws, EveryOffsetAndBothFlipsAreEquallyLikely) {
  const Case c{9000, 6, 5, 1, 4, 4, 1};
  CaseMemory memory(Place::cpu);
  const std::vector<std::int32_t> pixels = random_ints(30, 9, 256);
  const std::vector<std::int64_t> first(static_cast<std::size_t>(c.rows), 0);
  AugmentArgs args{.rows = c.rows,
                   .height = c.height,
                   .width = c.width,
                   .channels = 1,
                   .crop_height = 4,
                   .crop_width = 4,
                   .out_channels = 1,
                   .images = put_pixels(memory, pixels, DType::u8),
                   .source_row = memory.put(first),
                   .seed = kSeed,
                   .step = memory.put_one(kStep),
                   .out = memory.make_output<float>(c.rows * 16)};
  memory.run([&](auto exec) { augment(args, exec); });
  const auto got = memory.get(static_cast<float*>(args.out), c.rows * 16);
  std::vector<Image> candidates;
  for (std::int64_t top = 0; top < 3; ++top)
    for (std::int64_t left = 0; left < 2; ++left)
      for (const Flip how : {Flip::horizontal, Flip::vertical})
        candidates.push_back(standardise(flip(crop(image_of(c, pixels, 0), top, left, 4, 4), how), 255));
  std::map<std::size_t, int> seen;
  for (std::int64_t r = 0; r < c.rows; ++r)
    for (std::size_t k = 0; k < candidates.size(); ++k) {
      const std::vector<float> row(got.begin() + r * 16, got.begin() + (r + 1) * 16);
      if (largest_error(row, candidates[k].values) < 1e-5) ++seen[k];
    }
  ASSERT_EQ(seen.size(), 12u);
  const double mean = static_cast<double>(c.rows) / 12;
  for (const auto& [k, count] : seen) EXPECT_NEAR(count, mean, 5 * std::sqrt(mean)) << k;
}

}  // namespace
}  // namespace swath::kernels::test
