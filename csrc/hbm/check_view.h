// Checks of one view, and whether two of them share memory.
#pragma once

#include <cstdint>
#include <string>

#include "hbm/check.h"
#include "hbm/format.h"

namespace horizon {

// Checks that space, type and tensor are known, the shape is positive, the last element is inside
// the memory, and offset and strides are multiples of the element's size. `name` is the operand's.
void check_view(const View& view, const char* name, const Memory& memory);

// Checks that the operand is missing: all its bytes are 0.
void check_missing(const View& view, const char* name);

// Checks a view that an operator computes on: it is in sram, and its channels lie side by side.
void check_operand(const View& view, const char* name);

// Checks that no two elements share bytes: in ascending order, each stride is at least the span of
// the dimensions with smaller strides.
void check_distinct(const View& view, const char* name);

// One past the last byte of a view that check_view has accepted.
std::uint64_t end_of(const View& view);

// Whether the two views can share a byte. The answer is exact for views with the same strides, such
// as channel slices of one wide buffer; otherwise it is true if their ranges of bytes overlap.
bool overlap(const View& a, const View& b);

bool same_shape(const View& a, const View& b);

// The shape for messages, such as "1x6x64x64".
std::string shape_of(const View& view);
const char* name_of(Space space);
const char* name_of(Type type);
const char* name_of(Opcode opcode);

}  // namespace horizon
