// Cases of label_similarity. methods.md §5.
#include "kernels/label_similarity.h"

#include "tests/kernels/label_rows.h"

namespace swath::kernels::test {
namespace {

class LabelSimilarityTest : public KernelTest {};

void expect_reference(Place place, const reference::LabelSets& rows, const reference::LabelSets& others, std::int64_t classes,
                      bool with_counts) {
  CaseMemory memory(place);
  const auto m = static_cast<std::int64_t>(rows.size()), n = static_cast<std::int64_t>(others.size());
  auto* similarity = memory.make_output<std::uint16_t>(m * n);
  auto* counts = with_counts ? memory.make_output<std::int32_t>(m) : nullptr;
  const LabelSimilarityArgs args{.labels = memory.put(masks_of(rows, classes)),
                                 .others = memory.put(masks_of(others, classes)),
                                 .similarity = similarity,
                                 .label_count = counts,
                                 .rows = m,
                                 .other_rows = n,
                                 .classes = classes};
  memory.run([&](auto exec) { label_similarity(args, exec); });
  std::vector<std::uint16_t> wanted;
  std::vector<std::int32_t> sizes;
  for (const auto& a : rows) {
    sizes.push_back(static_cast<std::int32_t>(a.size()));
    for (const auto& b : others) wanted.push_back(static_cast<std::uint16_t>(reference::shared_labels(a, b)));
  }
  EXPECT_EQ(memory.get(similarity, m * n), wanted);
  if (with_counts) {
    EXPECT_EQ(memory.get(counts, m), sizes);
  }
}

TEST_P(LabelSimilarityTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 15, 16, 17, 33, 129}) {
    for (const std::int64_t classes : {1, 17, 63, 64, 65, 128, 200, 256}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      const reference::LabelSets labels = random_labels(rows, classes, 0.2, 60 + static_cast<std::uint64_t>(classes));
      expect_reference(GetParam(), labels, labels, classes, true);
    }
  }
}

TEST_P(LabelSimilarityTest, OtherRows) {
  const std::int64_t classes = 43;
  const reference::LabelSets rows = random_labels(19, classes, 0.1, 61);
  for (const std::int64_t others : {0, 1, 255, 256, 257, 300}) {
    expect_reference(GetParam(), rows, random_labels(others, classes, 0.1, 62), classes, others % 2 == 0);
  }
}

TEST_P(LabelSimilarityTest, AllOf256ClassesDoNotFitAByte) {
  const reference::LabelSets labels = random_labels(3, 256, 1.1, 63);
  ASSERT_EQ(labels[0].size(), 256u);
  expect_reference(GetParam(), labels, labels, 256, true);
}

SWATH_KERNEL_PLACES(LabelSimilarityTest);

}  // namespace
}  // namespace swath::kernels::test
