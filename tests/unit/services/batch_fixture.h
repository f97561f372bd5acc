// What the tests of BatchService share.
#ifndef SLUICE_TESTS_UNIT_SERVICES_BATCH_FIXTURE_H_
#define SLUICE_TESTS_UNIT_SERVICES_BATCH_FIXTURE_H_

#include <initializer_list>
#include <string>

#include "absl/strings/string_view.h"

#include "tests/unit/services/store_fixture.h"

namespace sluice::services {

inline constexpr char kInsert[] = "INSERT INTO item VALUES (?, ?)";

// BatchFixture: a batch on `default`, put together step by step.
class BatchFixture : public StoreFixture {
 protected:
  BatchFixture() { request_.set_connection_id("default"); }

  pb::BatchStep& Add(absl::string_view sql) {
    pb::BatchStep& step = *request_.add_steps();
    step.set_sql(std::string(sql));
    return step;
  }

  static void AddItem(pb::BatchStep& step, int64_t id) {
    pb::ParameterSet& set = *step.add_parameter_sets();
    set.add_params()->set_int64_value(id);
    set.add_params()->set_string_value("item");
  }

  // Inserts items with these ids, an execution each.
  void AddItems(std::initializer_list<int64_t> ids) {
    pb::BatchStep& step = Add(kInsert);
    for (const int64_t id : ids) AddItem(step, id);
  }

  absl::StatusOr<pb::ExecuteBatchResponse> Run() { return Batch(request_); }

  pb::ExecuteBatchRequest request_;
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_BATCH_FIXTURE_H_
