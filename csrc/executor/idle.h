// Keeps objects that are costly to make and that serve one caller at a time, for the next caller.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace horizon {

// There are never more objects than there were callers at the same time.
template <class T>
class Idle {
 public:
  class Loan {
   public:
    Loan(Idle& home, std::unique_ptr<T> object) : home_(home), object_(std::move(object)) {}
    ~Loan() { home_.put(std::move(object_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    T* operator->() const { return object_.get(); }
    T& operator*() const { return *object_; }

   private:
    Idle& home_;
    std::unique_ptr<T> object_;
  };

  // Lends an idle object that `fits`, or else a new one from `make`, until the loan ends.
  template <class Fits, class Make>
  Loan borrow(Fits fits, Make make) {
    {
      const std::lock_guard lock(mutex_);
      for (auto it = objects_.begin(); it != objects_.end(); ++it) {
        if (!fits(**it)) continue;
        std::unique_ptr<T> object = std::move(*it);
        objects_.erase(it);
        return Loan(*this, std::move(object));
      }
    }
    std::unique_ptr<T> object = make();
    const std::lock_guard lock(mutex_);
    objects_.reserve(++made_);  // so that the return of a loan cannot fail
    return Loan(*this, std::move(object));
  }

 private:
  void put(std::unique_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    objects_.push_back(std::move(object));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> objects_;
  std::size_t made_ = 0;
};

}  // namespace horizon
