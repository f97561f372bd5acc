// What the tests of loads share.
#ifndef SLUICE_TESTS_DB_SQLITE_LOAD_FIXTURE_H_
#define SLUICE_TESTS_DB_SQLITE_LOAD_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/base/status.h"
#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {

using Outcomes = absl::StatusOr<std::vector<db::ChunkOutcome>>;

inline constexpr db::BatchMode kEveryMode[] = {db::BatchMode::kAtomic, db::BatchMode::kStopOnError,
                                               db::BatchMode::kContinue};

// Rows for `item`, from one id to another.
inline LoadRows ItemRows(int64_t first, int64_t last) {
  LoadRows rows;
  for (int64_t id = first; id <= last; ++id) {
    pb::Row& row = *rows.Add();
    *row.add_values() = Int(id);
    *row.add_values() = Text("loaded");
  }
  return rows;
}

class SqliteLoadTest : public SqliteGroupTest {
 protected:
  static db::LoadTarget Into(absl::string_view table, db::BatchMode mode = db::BatchMode::kAtomic) {
    db::LoadTarget target;
    target.table = std::string(table);
    target.mode = mode;
    return target;
  }

  Outcomes Load(const db::LoadTarget& target, const std::vector<LoadRows>& chunks) {
    return LoadAll(executor_, *database_, target, chunks);
  }

  // The same as a task, with the same content for every chunk.
  Task<Outcomes> Loading(const db::LoadTarget& target, const std::vector<LoadRows>& chunks) {
    CO_TRY(const std::unique_ptr<db::Load> load, co_await database_->OpenLoad(ctx_, target));
    for (const LoadRows& rows : chunks) {
      CO_CHECK(co_await load->Add(ctx_, Chunk(rows), "content"));
      if (load->stopped()) break;
    }
    CO_CHECK(co_await load->Finish(ctx_, "content"));
    co_return load->TakeOutcomes();
  }

  // A load that the test feeds itself.
  std::unique_ptr<db::Load> Begin(const db::LoadTarget& target) {
    auto load = executor_.Run(database_->OpenLoad(ctx_, target));
    EXPECT_THAT(load, IsOk());
    return *std::move(load);
  }

  static db::LoadChunk Chunk(LoadRows rows) {
    db::LoadChunk chunk;
    chunk.rows = std::make_shared<const LoadRows>(std::move(rows));
    return chunk;
  }

  absl::Status Add(db::Load& load, LoadRows rows) {
    return executor_.Run(load.Add(ctx_, Chunk(std::move(rows)), "content"));
  }

  absl::Status Finish(db::Load& load) { return executor_.Run(load.Finish(ctx_, "content")); }

  bool UntilIdle() {
    return RunUntil(executor_, [&] {
      const db::DatabaseLoad load = database_->Load();
      return load.active == 0 && load.queued == 0;
    });
  }

  Context ctx_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_SQLITE_LOAD_FIXTURE_H_
