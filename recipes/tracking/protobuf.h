// Writes messages in the wire format of Protocol Buffers: what the logs need of it, fields in the order of the calls.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace swath {

class ProtoMessage {
 public:
  /// int32, int64, uint64, bool and enum fields; negative values take ten bytes.
  ProtoMessage& integer(int field, std::int64_t value);
  ProtoMessage& number(int field, double value);
  ProtoMessage& number(int field, float value);
  /// string and bytes fields.
  ProtoMessage& text(int field, std::string_view value);
  ProtoMessage& message(int field, const ProtoMessage& value);
  const std::string& bytes() const { return bytes_; }

 private:
  enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, length_delimited = 2, fixed32 = 5 };
  void key(int field, Wire wire);
  void varint(std::uint64_t value);
  std::string bytes_;
};

/// The `count` low bytes of a value, lowest first.
std::string little_endian(std::uint64_t value, int count);

}  // namespace swath
