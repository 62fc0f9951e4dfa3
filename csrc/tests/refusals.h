// A valid program with one thing wrong, behind correct checksums, is refused with a message that
// names the place, what was found and what was expected.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "hbm/program.h"
#include "tests/expect.h"
#include "tests/small_program.h"

namespace horizon::test {

using Change = std::function<void(Parts&)>;

inline std::string message_of(const Bytes& file) {
  try {
    Program::from_bytes(file);
    return "accepted";
  } catch (const InvalidProgram& error) {
    return error.what();
  }
}

// `place` and `found` have to be in the message.
inline void refused(std::string_view place, std::string_view found, const Change& change) {
  Parts parts = SmallProgram::build();
  change(parts);
  const std::string message = message_of(file_of(parts));
  const bool complete = message.find("program in memory: ") == 0 &&
                        message.find("; expected ") != std::string::npos &&
                        message.ends_with("; compile the model again with 'hat compile-perf'");
  expect(complete && message.find(place) != std::string::npos &&
             message.find(found) != std::string::npos,
         "\"" + message + "\" should have \"" + std::string(place) + "\", \"" + std::string(found) +
             "\"");
}

// A change of one instruction.
inline void refused(Place place, std::string_view found,
                    const std::function<void(InstructionRecord&)>& change) {
  refused("instruction " + std::to_string(place) + " (", found,
          [&](Parts& parts) { change(parts.instructions[place]); });
}

// A change of one entry of an instruction's table.
inline void refused_channel(Place place, std::string_view found,
                            const std::function<void(Channel&)>& change) {
  refused("instruction " + std::to_string(place) + " (", found, [&](Parts& parts) {
    std::byte* entry = parts.constants.data() + parts.instructions[place].table;
    Channel channel;
    std::memcpy(&channel, entry, sizeof(channel));
    change(channel);
    std::memcpy(entry, &channel, sizeof(channel));
  });
}

inline void accepted(const std::string& what, const Change& change) {
  Parts parts = SmallProgram::build();
  change(parts);
  const std::string message = message_of(file_of(parts));
  expect(message == "accepted", what + ": " + message);
}

}  // namespace horizon::test
