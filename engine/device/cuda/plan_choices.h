// The engines of cuDNN that were fastest on a device, kept in a file from one program to the next.
#pragma once
#include <map>
#include <string>

#include "engine/device/cuda/context.h"

namespace swath::cuda {

/// A JSON object by device (name, capability, multiprocessors, cuDNN and driver, on which engines depend), and in each by
/// convolution: the name of an engine with its knobs.
class PlanChoices {
 public:
  /// Reads `file` where it exists. An empty name: nothing is kept. Throws DataError for a file that is not such an object.
  PlanChoices(std::string file, const Context& context);

  /// Whether engines are to be timed.
  bool enabled() const { return !file_.empty(); }
  /// Empty when this convolution was not timed on such a device.
  std::string engine(const std::string& convolution) const;
  /// Writes the file anew, with what other programs have written to it since.
  void keep(const std::string& convolution, const std::string& engine);

 private:
  using ByDevice = std::map<std::string, std::map<std::string, std::string>>;
  ByDevice read() const;

  std::string file_, device_;
  ByDevice choices_;
};

}  // namespace swath::cuda
