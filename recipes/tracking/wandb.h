// A W&B run as `wandb sync` reads it: the folder wandb/offline-run-<date>_<time>-<id> of the run folder.
#pragma once
#include <memory>
#include <vector>

#include "recipes/tracking/append_file.h"
#include "recipes/tracking/options.h"
#include "recipes/tracking/protobuf.h"
#include "recipes/tracking/sink.h"
#include "recipes/tracking/wandb_sync.h"

namespace swath {

/// The bytes of a record at position `at` of a .wandb file: chunks of the log format of LevelDB, blocks of 32,768 bytes,
/// CRC-32 of type and payload.
std::string wandb_chunks(std::string_view record, std::uint64_t at);

class WandbSink : public Sink {
 public:
  /// Writes the records of the run so far; a run keeps its W&B id when it is continued, so that W&B continues it too.
  WandbSink(const TrackedRun& run, const TrackingOptions& options, const std::vector<MetricRecord>& past);
  void write(const MetricRecord& record) override;
  /// Online: uploads a copy that says the run goes on, in the background; skipped while the one before is under way.
  void validated(const Json& summary) override;
  /// Online: uploads the whole. Waits up to two minutes, but not after a stop that was asked for.
  void finish(ExitCode code, const Json& summary) override;

 private:
  std::string record_bytes(int field, const ProtoMessage& message, std::uint64_t at);
  std::string history(const MetricRecord& record, std::uint64_t at);
  std::string beginning(const TrackedRun& run, const TrackingOptions& options, const std::string& id);
  void append(int field, const ProtoMessage& message);
  void upload_copy();

  double started_;
  std::int64_t records_ = 0;        // of any kind
  std::int64_t history_steps_ = 0;  // W&B's _step counts the rows of the history
  std::unique_ptr<AppendFile> file_;
  std::unique_ptr<WandbSync> sync_;  // null: offline
};

}  // namespace swath
