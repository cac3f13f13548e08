// A W&B run as `wandb sync` reads it: folders wandb/offline-run-<date>_<time>-<id> of the run folder.
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

/// History records among the whole records of a .wandb file. Throws DataError when the file cannot be read.
std::int64_t wandb_history_rows(const std::filesystem::path& file);

/// `wandb sync` adds the rows of a file to those that W&B has of the run. So no row may be in two files: what was uploaded
/// (the program leaves run-<id>.wandb.synced) stays as it is, all else of a continued run is written anew.
class WandbSink : public Sink {
 public:
  /// A run keeps its W&B id when it is continued, so that W&B continues it too.
  WandbSink(const TrackedRun& run, const TrackingOptions& options, const std::vector<MetricRecord>& past);
  void write(const MetricRecord& record) override;
  /// Online: closes the file, uploads it in the background and goes on in another; not while an upload is under way.
  void validated(const Json& summary) override;
  /// Online: uploads the rest. Waits up to two minutes, but not after a stop that was asked for.
  void finish(ExitCode code, const Json& summary) override;

 private:
  void take_stock();
  void open_file();
  void append(int field, const ProtoMessage& message);
  void upload();

  TrackedRun run_;
  TrackingOptions options_;
  std::filesystem::path parent_;
  std::string id_;
  std::int64_t records_ = 0;   // of any kind in the file
  std::int64_t rows_ = 0;      // of the history; W&B's _step
  std::int64_t uploaded_ = 0;  // rows that earlier parts of the run have uploaded
  std::unique_ptr<AppendFile> file_;
  std::vector<std::filesystem::path> waiting_;  // files to upload, the oldest first
  std::unique_ptr<WandbSync> sync_;             // null: offline
};

}  // namespace swath
