// Savepoints: those that are set in a transaction.
#ifndef SLUICE_SERVER_DB_SQLITE_SAVEPOINTS_H_
#define SLUICE_SERVER_DB_SQLITE_SAVEPOINTS_H_

#include <algorithm>
#include <vector>

namespace sluice::sqlite {

// What is done with one.
enum class SavepointAction { kSet, kRollBackTo, kRelease };

// By number, the oldest first. Guarded by whoever has it.
class Savepoints {
 public:
  bool empty() const { return numbers_.empty(); }

  // REQUIRES: `number` is set, unless it is now.
  void Change(SavepointAction action, int number) {
    const auto place = std::find(numbers_.begin(), numbers_.end(), number);
    switch (action) {
      case SavepointAction::kSet:
        numbers_.push_back(number);
        break;
      case SavepointAction::kRollBackTo:
        numbers_.erase(place + 1, numbers_.end());
        break;
      case SavepointAction::kRelease:
        numbers_.erase(place, numbers_.end());
        break;
    }
  }

 private:
  std::vector<int> numbers_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SAVEPOINTS_H_
