// Checkpoints: everything that has state in one safetensors file, written atomically, verified when read, the newest
// sound one used.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace swath {

/// Goes over all state by name; a writer reads the values, a reader replaces them. The same code visits for both.
class StateVisitor {
 public:
  virtual ~StateVisitor() = default;
  virtual void tensor(const std::string& name, Tensor& value) = 0;
  virtual void scalar(const std::string& name, std::int64_t& value) = 0;
  virtual void scalar(const std::string& name, std::uint64_t& value) = 0;
  virtual void scalar(const std::string& name, double& value) = 0;
  virtual void scalar(const std::string& name, std::string& value) = 0;
};

using VisitState = std::function<void(StateVisitor&)>;

/// What a checkpoint says about itself.
struct CheckpointInfo {
  std::int64_t step = 0;
  std::string config;  // resolved configuration, JSON
  std::vector<std::string> classes, bands;
  std::int64_t ranks = 1;  // that trained
};

/// Throws DataError when the disk is full; the file of that name stays as it was.
void save_checkpoint(const std::string& file, const CheckpointInfo& info, const VisitState& visit);
/// Verifies every checksum, then fills the state. Throws DataError for a corrupt file and, naming each, for missing,
/// surplus or misshapen tensors; then nothing has been filled.
CheckpointInfo load_checkpoint(const std::string& file, const VisitState& visit);
/// As load_checkpoint, of the tensors named model.* alone: for evaluation. `visit` visits these and no scalars.
CheckpointInfo load_model(const std::string& file, const VisitState& visit);
/// The information alone; checks the header only.
CheckpointInfo read_checkpoint_info(const std::string& file);

/// A folder of checkpoints: step-000000123.safetensors for the newest `keep`, best.safetensors for the best.
class CheckpointStore {
 public:
  /// Makes the folder. Changes nothing in one that is there.
  explicit CheckpointStore(std::string folder);
  void set_keep(std::int64_t keep) { keep_ = keep; }
  bool empty() const;
  /// Removes what a killed process left half written. The caller holds the run's lock.
  void remove_leftovers() const;
  /// Older checkpoints are dropped only after the new one is on disk. Returns the file.
  std::string save(const CheckpointInfo& info, const VisitState& visit);
  std::string save_best(const CheckpointInfo& info, const VisitState& visit);
  /// What becomes of corrupt files that are passed over.
  enum class Damaged : std::uint8_t { set_aside, left };
  /// Newest first; a corrupt file is passed over with a warning and, where an older one is sound, set aside as <file>.corrupt,
  /// so that it does not count among those kept. Throws DataError, and renames nothing, when all are corrupt, and for a newest
  /// one that cannot be opened or is of another format or model.
  CheckpointInfo load_latest(const VisitState& visit, Damaged damaged = Damaged::set_aside) const;
  /// The file of the best checkpoint, and of the newest; empty when there is none.
  std::string best() const;
  std::string latest() const;
  /// The best checkpoint, else the newest; empty when there is none.
  std::string best_or_latest() const;
  /// The files of the newest checkpoints, best.safetensors left out.
  std::vector<std::string> newest_first() const;

 private:
  std::string folder_;
  std::int64_t keep_ = 2;
};

}  // namespace swath
