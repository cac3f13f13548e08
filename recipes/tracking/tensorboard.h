// A TensorBoard events file: every value as a scalar <group>/<name>, the configuration and the summary as text.
#pragma once
#include <vector>

#include "recipes/tracking/append_file.h"
#include "recipes/tracking/sink.h"

namespace swath {

class TensorBoardSink : public Sink {
 public:
  /// Writes events.out.tfevents.… with the records of the run so far into the run folder, in place of earlier ones. It
  /// begins with a session start, at which a TensorBoard that shows the run drops what it has read before.
  TensorBoardSink(const TrackedRun& run, const std::vector<MetricRecord>& past);
  void write(const MetricRecord& record) override;
  void validated(const Json&) override {}
  void finish(ExitCode code, const Json& summary) override;

 private:
  std::unique_ptr<AppendFile> file_;
  std::uint64_t last_step_ = 0;
};

}  // namespace swath
