// Stress of the thread team and of sessions side by side, for ThreadSanitizer above all.
//
//   test_threads model.hbm
//
// The outputs of all sessions must be those of one thread alone. Exit code 0, or 1 with a message.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "executor/executor.h"
#include "executor/threads.h"
#include "hbm/program.h"

namespace {

using horizon::Program;
using horizon::Session;
using horizon::Threads;
using Bytes = std::vector<unsigned char>;

void expect(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "test_threads: %s\n", what);
  std::exit(1);
}

// Each loop writes plain memory that the caller and the next loop read.
void test_loops(int count, int loops) {
  Threads threads(count);
  struct Sums {
    std::vector<long> of_member;
    long addend;
  } sums{std::vector<long>(static_cast<std::size_t>(count)), 0};
  long expected = 0;
  for (int loop = 0; loop < loops; ++loop) {
    sums.addend = loop;
    expected += loop;
    threads.run(
        [](const void* context, int member) {
          Sums& s = *static_cast<Sums*>(const_cast<void*>(context));
          s.of_member[static_cast<std::size_t>(member)] += s.addend;
        },
        &sums);
    // now and then long enough for the workers to fall asleep
    if (loop % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (const long sum : sums.of_member) expect(sum == expected, "a member missed a loop");
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void test_idle_threads_sleep() {
  Threads threads(4);
  threads.run([](const void*, int) {}, nullptr);
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  expect(cpu_seconds() - before < 0.1, "idle threads keep the cores busy");
}

std::vector<Bytes> run(Session& session, const Program& program, const Bytes& input) {
  std::vector<Bytes> outputs;
  std::vector<void*> out;
  for (const auto& tensor : program.outputs()) outputs.emplace_back(horizon::bytes_of(tensor));
  for (Bytes& output : outputs) out.push_back(output.data());
  const void* const in[] = {input.data()};
  session.run(in, out);
  return outputs;
}

void test_sessions(const Program& program) {
  std::mt19937 random(3);
  std::vector<Bytes> inputs(3, Bytes(horizon::bytes_of(program.inputs()[0])));
  std::vector<std::vector<Bytes>> expected;
  Session alone(program, 1);
  for (Bytes& input : inputs) {
    for (auto& value : input) value = static_cast<unsigned char>(random());
    expected.push_back(run(alone, program, input));
  }
  std::atomic<int> differing{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 3; ++caller) {
      callers.emplace_back([&, caller] {
        Session session(program, 1 + caller);
        session.profile(caller == 1);
        for (int i = 0; i < 4; ++i) {
          const auto n = static_cast<std::size_t>(caller + i) % inputs.size();
          if (run(session, program, inputs[n]) != expected[n]) ++differing;
        }
      });
    }
  }
  expect(differing == 0, "sessions side by side give other outputs than one alone");
}

// A child has no workers; it must finish all the same, with the same result, and end cleanly.
void test_fork(const Program& program) {
  const Bytes input(horizon::bytes_of(program.inputs()[0]), 7);
  auto* const session = new Session(program, 3);
  const std::vector<Bytes> expected = run(*session, program, input);
  const pid_t child = fork();
  if (child == 0) {
    const bool same = run(*session, program, input) == expected;
    delete session;
    _exit(same ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked process cannot use a session");
  expect(run(*session, program, input) == expected, "the parent cannot go on after a fork");
  delete session;
}

// A child's new threads may get the handles of those that it lacks: ending the old team must leave
// the new one alone. ThreadSanitizer allows a child no threads.
void test_new_team_after_fork() {
#if !defined(__SANITIZE_THREAD__)
  const auto nothing = [](const void*, int) {};
  auto* const old_team = new Threads(4);
  old_team->run(nothing, nullptr);
  const pid_t child = fork();
  if (child == 0) {
    auto* const new_team = new Threads(4);
    delete old_team;
    new_team->run(nothing, nullptr);
    delete new_team;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked process cannot have new threads");
  delete old_team;
#endif
}

}  // namespace

int main(int count, char** arguments) {
  expect(count == 2, "usage: test_threads model.hbm");
  for (int threads = 1; threads <= 4; ++threads) test_loops(threads, 500);
  test_idle_threads_sleep();
  const Program program = Program::open(arguments[1]);
  test_sessions(program);
  test_fork(program);
  test_new_team_after_fork();
  return 0;
}
