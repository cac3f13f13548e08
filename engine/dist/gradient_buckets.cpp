#include "engine/dist/gradient_buckets.h"

#include <algorithm>

namespace swath {

GradientBuckets::GradientBuckets(ParameterBlock& block, Communicator& ranks, std::int64_t elements)
    : block_(block), ranks_(ranks) {
  std::vector<Parameter*> order = block.in_order();
  std::reverse(order.begin(), order.end());
  for (Parameter* parameter : order) {
    // Frozen parameters lie between trained ones and are left out.
    if (parameter->trainable == Trainable::no) continue;
    const bool joins =
        !buckets_.empty() && buckets_.back().range.size() < elements && buckets_.back().range.begin == parameter->place.end;
    if (!joins) buckets_.push_back({parameter->place, {}});
    buckets_.back().range.begin = parameter->place.begin;
    buckets_.back().parameters.push_back(parameter);
  }
}

void GradientBuckets::begin(std::uint64_t kind) {
  kind_ = kind;
  sent_ = 0;
  early_ = 0;
  sent_after_.clear();
  const auto known = writes_.find(kind);
  expected_ = known == writes_.end() ? nullptr : &known->second;
}

bool GradientBuckets::complete(const Bucket& bucket) const {
  return std::all_of(bucket.parameters.begin(), bucket.parameters.end(),
                     [&](const Parameter* parameter) { return parameter->grad_writes == expected_->at(parameter); });
}

void GradientBuckets::send(const Bucket& bucket) {
  for (Parameter* parameter : bucket.parameters) {
    if (parameter->grad_writes == 0) parameter->grad.fill_zero();
    sent_after_[parameter] = parameter->grad_writes;
  }
  block_.widen_grads(bucket.range);
  ranks_.start_all_reduce(block_.grads().rows(bucket.range.begin, bucket.range.end));
}

void GradientBuckets::advance() {
  ranks_.poll_reduces();
  if (!expected_) return;
  // In order: all ranks send the same buckets one after the other.
  for (; sent_ < buckets_.size() && complete(buckets_[sent_]); ++sent_, ++early_) send(buckets_[sent_]);
}

void GradientBuckets::finish() {
  for (; sent_ < buckets_.size(); ++sent_) send(buckets_[sent_]);
  ranks_.finish_reduces();
  std::map<const Parameter*, int>& writes = writes_[kind_];
  for (Bucket& bucket : buckets_) {
    for (Parameter* parameter : bucket.parameters) {
      SWATH_CHECK(sent_after_.at(parameter) == parameter->grad_writes, "{} was written again after it was sent",
                  parameter->name);
      writes[parameter] = parameter->grad_writes;
    }
  }
}

}  // namespace swath
