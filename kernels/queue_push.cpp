// A ring of key rows, on the CPU. methods.md §6.
#include "kernels/queue_push.h"

#include <algorithm>
#include <cstring>

#include "kernels/parallel.h"

namespace swath::kernels {

void queue_push(const QueuePushArgs& args, Cpu) {
  const std::int64_t used = args.row_count ? std::clamp<std::int64_t>(*args.row_count, 0, args.rows) : args.rows;
  const std::int64_t first = std::max<std::int64_t>(0, used - args.capacity);
  const auto capacity = static_cast<std::uint64_t>(args.capacity);
  parallel_for(
      used - first,
      [&](std::int64_t i) {
        const std::int64_t r = first + i;
        const auto slot = static_cast<std::int64_t>((*args.pushed + static_cast<std::uint64_t>(r)) % capacity);
        std::memcpy(args.queue + slot * args.cols, args.keys + r * args.keys_ld,
                    static_cast<std::size_t>(args.cols) * sizeof(float));
      },
      serial_below_for(args.cols));
  *args.pushed += static_cast<std::uint64_t>(used);
}

}  // namespace swath::kernels
