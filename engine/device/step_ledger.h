// What a dry run of a step took down: every call with the pass and the part of the network that it belongs to.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "kernels/dry_run.h"

namespace swath {

/// Names of passes ("forward") and parts ("trunk") are literals.
class StepLedger final : public kernels::Ledger {
 public:
  struct Entry {
    const char* pass;
    const char* part;
    std::string kernel, shape;
    kernels::Cost cost;
    std::string engine;  // of a library, where it is known
  };

  void record(const char* kernel, const std::string& shape, const kernels::Cost& cost) override {
    entries_.push_back({pass_, part_, kernel, shape, cost, {}});
    if (repeats_) entries_.back().cost.unfused = 0;
  }
  /// Of the call that was recorded last.
  void name_engine(std::string engine) { entries_.back().engine = std::move(engine); }
  const std::vector<Entry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

  const char* part() const { return part_; }

 private:
  friend class LedgerPass;
  friend class LedgerPart;
  friend class LedgerRepeat;
  std::vector<Entry> entries_;
  const char* pass_ = "before";
  const char* part_ = "other";
  bool repeats_ = false;
};

/// While alive, a name is another one. Without a name (no dry run) it takes no note.
class LedgerName {
 public:
  LedgerName(const char** name, const char* now) : name_(name) {
    if (name_) before_ = std::exchange(*name_, now);
  }
  ~LedgerName() {
    if (name_) *name_ = before_;
  }
  LedgerName(const LedgerName&) = delete;
  LedgerName& operator=(const LedgerName&) = delete;

 private:
  const char** name_;
  const char* before_ = nullptr;
};

/// While alive, calls belong to this pass; the ledger may be null.
class LedgerPass : LedgerName {
 public:
  LedgerPass(StepLedger* ledger, const char* pass) : LedgerName(ledger ? &ledger->pass_ : nullptr, pass) {}
};

/// While alive, calls do again what was done before, which separate kernels keep.
class LedgerRepeat {
 public:
  explicit LedgerRepeat(StepLedger* ledger) : ledger_(ledger) {
    if (ledger_) ledger_->repeats_ = true;
  }
  ~LedgerRepeat() {
    if (ledger_) ledger_->repeats_ = false;
  }
  LedgerRepeat(const LedgerRepeat&) = delete;
  LedgerRepeat& operator=(const LedgerRepeat&) = delete;

 private:
  StepLedger* ledger_;
};

/// The same for a part.
class LedgerPart : LedgerName {
 public:
  LedgerPart(StepLedger* ledger, const char* part) : LedgerName(ledger ? &ledger->part_ : nullptr, part) {}
};

}  // namespace swath
