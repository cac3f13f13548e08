// Cases of pair_rows. methods.md §1 "pair rows".
#include "kernels/pair_rows.h"

#include <map>

#include "tests/kernels/chi_square.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/pair_rows.h"

namespace swath::kernels::test {
namespace {

class PairRowsTest : public KernelTest {};

struct PairCase {
  std::int64_t images, classes, rows_per_class, words;
  std::uint32_t one_in;  // a label is set with this chance; 0: none
};

const std::vector<PairCase> kCases = {
    {0, 5, 2, 1, 2},    {1, 1, 2, 1, 1},    {31, 3, 1, 1, 2},   {32, 17, 2, 1, 3},     {33, 63, 2, 1, 10},  {64, 64, 2, 1, 20},
    {65, 65, 2, 2, 30}, {257, 43, 4, 1, 9}, {40, 130, 2, 4, 5}, {1000, 60, 2, 1, 400}, {12, 6, 40, 1, 2},   {300, 4, 37, 1, 3},
    {20, 8, 2, 1, 0},   {20, 0, 2, 1, 1},   {20, 8, 0, 1, 1},   {16, 1, 16, 1, 1},     {500, 20, 9, 1, 60},
};

std::vector<std::vector<bool>> make_labels(const PairCase& c, std::uint64_t seed) {
  std::vector<std::vector<bool>> labels(static_cast<std::size_t>(c.images),
                                        std::vector<bool>(static_cast<std::size_t>(c.classes)));
  const std::vector<std::int32_t> draws = random_ints(c.images * c.classes, seed, c.one_in);
  for (std::int64_t i = 0; i < c.images && c.one_in > 0; ++i) {
    for (std::int64_t k = 0; k < c.classes; ++k) labels[i][k] = k != 2 && draws[i * c.classes + k] == 0;  // class 2 is empty
  }
  return labels;
}

/// The bit masks, with every bit from `classes` on set: it must be ignored.
std::vector<std::uint64_t> to_bits(const std::vector<std::vector<bool>>& labels, const PairCase& c) {
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(c.images * c.words), ~std::uint64_t{0});
  for (std::int64_t i = 0; i < c.images; ++i) {
    for (std::int64_t k = 0; k < c.classes; ++k) {
      if (!labels[i][k]) bits[i * c.words + k / 64] &= ~(std::uint64_t{1} << (k % 64));
    }
  }
  return bits;
}

std::vector<reference::PairRow> run(Place place, const std::vector<std::uint64_t>& bits, const PairCase& c, std::uint64_t seed,
                                    std::uint64_t step) {
  CaseMemory memory(place);
  const std::int64_t capacity = pair_rows_capacity(c.classes, c.rows_per_class);
  auto* image = memory.make_output<std::int32_t>(capacity);
  auto* row_class = memory.make_output<std::int32_t>(capacity);
  auto* count = memory.make_output<std::int32_t>(1);
  const PairRowsArgs args{.labels = memory.put(bits),
                          .step = memory.put_one(step),
                          .row_image = image,
                          .row_class = row_class,
                          .row_count = count,
                          .images = c.images,
                          .classes = c.classes,
                          .words = c.words,
                          .rows_per_class = c.rows_per_class,
                          .seed = seed};
  memory.run([&](auto exec) { pair_rows(args, exec); });
  const std::vector<std::int32_t> images = memory.get(image, capacity), classes = memory.get(row_class, capacity);
  std::vector<reference::PairRow> rows;
  for (std::int64_t r = 0; r < capacity; ++r) {
    if (r < memory.get_one(count)) {
      rows.push_back({images[r], classes[r]});
    } else {
      EXPECT_EQ(images[r], -1);
      EXPECT_EQ(classes[r], -1);
    }
  }
  return rows;
}

TEST_P(PairRowsTest, MatchesAStoredShuffle) {
  for (const PairCase& c : kCases) {
    SCOPED_TRACE(::testing::Message() << c.images << " images, " << c.classes << " classes, k " << c.rows_per_class);
    const auto labels = make_labels(c, 41);
    for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{12345678901}}) {
      const auto expected =
          reference::pair_rows(labels, static_cast<int>(c.classes), static_cast<int>(c.rows_per_class), 99, step);
      EXPECT_EQ(run(GetParam(), to_bits(labels, c), c, 99, step), expected);
    }
  }
}

TEST_P(PairRowsTest, ImagesOfAClassAreDistinctWhenThereAreEnough) {
  const PairCase c{50, 3, 6, 1, 2};
  const auto labels = make_labels(c, 42);
  for (std::uint64_t step = 0; step < 20; ++step) {
    std::map<int, std::map<int, int>> seen;
    for (const reference::PairRow& row : run(GetParam(), to_bits(labels, c), c, 7, step)) {
      EXPECT_TRUE(labels[row.image][row.category]);
      EXPECT_EQ(++seen[row.category][row.image], 1);
    }
    EXPECT_EQ(seen.size(), 2u);
  }
}

/// Ordered pairs without replacement from 5 images are uniform over 20, pairs with replacement from one class of 3 for k = 4
/// give each image equally often. One million draws on the CPU would prove no more than these.
TEST(PairRowsDistribution, DrawsAreUniform) {
  const PairCase two{5, 1, 2, 1, 1}, four{3, 1, 4, 1, 1};
  std::vector<std::int64_t> pairs(25, 0), singles(3, 0);
  for (std::uint64_t step = 0; step < 4000; ++step) {
    const auto drawn = run(Place::cpu, std::vector<std::uint64_t>(5, 1), two, 3, step);
    ++pairs[drawn[0].image * 5 + drawn[1].image];
    for (const reference::PairRow& row : run(Place::cpu, std::vector<std::uint64_t>(3, 1), four, 3, step)) ++singles[row.image];
  }
  for (int i = 4; i >= 0; --i) {
    EXPECT_EQ(pairs[i * 6], 0);
    pairs.erase(pairs.begin() + i * 6);
  }
  expect_uniform(pairs);
  expect_uniform(singles);
}

SWATH_KERNEL_PLACES(PairRowsTest);

}  // namespace
}  // namespace swath::kernels::test
