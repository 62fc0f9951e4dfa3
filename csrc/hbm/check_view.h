// Checks of one view, and whether two of them share memory.
#pragma once

#include <cstdint>
#include <string>

#include "hbm/check.h"
#include "hbm/format.h"

namespace horizon {

// Known space, type and tensor; a positive shape; the last element inside the memory; offset and
// strides multiples of the element's size. `name` is the operand's.
void check_view(const View& view, const char* name, const Memory& memory);

// The operand is missing: all its bytes are 0.
void check_missing(const View& view, const char* name);

// A view that an operator computes on: in sram, channels side by side.
void check_operand(const View& view, const char* name);

// No two elements share bytes: sorted by stride, each step clears what the smaller ones span.
void check_distinct(const View& view, const char* name);

// One past the last byte. Of a view that check_view has accepted.
std::uint64_t end_of(const View& view);

// Whether bytes of both views can be the same. Exact where the views step through memory alike, as
// channel slices of one wide buffer do; otherwise true as soon as their ranges of bytes meet.
bool overlap(const View& a, const View& b);

bool same_shape(const View& a, const View& b);

// "1x6x64x64", for messages.
std::string shape_of(const View& view);
const char* name_of(Space space);
const char* name_of(Type type);
const char* name_of(Opcode opcode);

}  // namespace horizon
