#include "engine/dist/communicator.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "kernels/row_slice.h"

namespace swath {

RowSlice slice_of(std::int64_t rows, int rank, int ranks) {
  const std::int64_t begin = kernels::slice_begin(rows, rank, ranks);
  return {begin, kernels::slice_begin(rows, rank + 1, ranks) - begin};
}

bool Communicator::any(bool mine) {
  const std::uint8_t said = mine ? 1 : 0;
  std::vector<std::uint8_t> all(static_cast<std::size_t>(size()));
  all_gather(&said, 1, all.data());
  return std::any_of(all.begin(), all.end(), [](std::uint8_t one) { return one != 0; });
}

void Communicator::wait_until(const std::function<bool()>& done) {
  while (!done()) std::this_thread::yield();
}

std::string Communicator::broadcast(const std::string& text, int root) {
  std::uint64_t length = text.size();
  broadcast(&length, sizeof length, root);
  std::string result = text;
  result.resize(length);
  if (length) broadcast(result.data(), length, root);
  return result;
}

std::vector<std::string> Communicator::all_gather(const std::string& mine) {
  const std::uint64_t length = mine.size();
  std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size()));
  all_gather(&length, sizeof length, lengths.data());
  const std::uint64_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::vector<std::string> texts(lengths.size());
  if (longest == 0) return texts;
  std::string padded = mine, together(longest * lengths.size(), '\0');
  padded.resize(longest);
  all_gather(padded.data(), longest, together.data());
  for (std::size_t r = 0; r < texts.size(); ++r) texts[r] = together.substr(r * longest, lengths[r]);
  return texts;
}

void SoleRank::all_gather(const void* mine, std::size_t bytes, void* all) { std::memcpy(all, mine, bytes); }

Communicator& sole_rank() {
  static SoleRank sole;
  return sole;
}

void require_agreement(Communicator& ranks, const std::string& what, const std::string& mine) {
  const std::vector<std::string> said = ranks.all_gather(mine);
  for (std::size_t r = 1; r < said.size(); ++r) {
    if (said[r] == said[0]) continue;
    throw UserError(
        fmt::format("rank {} has {} other than rank 0's; start all ranks with the same arguments and data", r, what));
  }
}

}  // namespace swath
