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
  };

  void record(const char* kernel, const std::string& shape, const kernels::Cost& cost) override {
    entries_.push_back({pass_, part_, kernel, shape, cost});
  }
  const std::vector<Entry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

  const char* part() const { return part_; }

 private:
  friend class LedgerPass;
  friend class LedgerPart;
  std::vector<Entry> entries_;
  const char* pass_ = "before";
  const char* part_ = "other";
};

/// While alive, calls belong to this pass. A null ledger (no dry run) takes no note.
class LedgerPass {
 public:
  LedgerPass(StepLedger* ledger, const char* pass) : ledger_(ledger) {
    if (ledger_) before_ = std::exchange(ledger_->pass_, pass);
  }
  ~LedgerPass() {
    if (ledger_) ledger_->pass_ = before_;
  }
  LedgerPass(const LedgerPass&) = delete;
  LedgerPass& operator=(const LedgerPass&) = delete;

 private:
  StepLedger* ledger_;
  const char* before_ = nullptr;
};

/// The same for a part.
class LedgerPart {
 public:
  LedgerPart(StepLedger* ledger, const char* part) : ledger_(ledger) {
    if (ledger_) before_ = std::exchange(ledger_->part_, part);
  }
  ~LedgerPart() {
    if (ledger_) ledger_->part_ = before_;
  }
  LedgerPart(const LedgerPart&) = delete;
  LedgerPart& operator=(const LedgerPart&) = delete;

 private:
  StepLedger* ledger_;
  const char* before_ = nullptr;
};

}  // namespace swath
