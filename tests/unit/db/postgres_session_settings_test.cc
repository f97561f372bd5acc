#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/postgres/session_settings.h"

namespace sluice::postgres {
namespace {

// The field that is refused; empty if none is.
std::string Refused(const db::SessionOptions& options, const std::vector<std::string>& taken = {}) {
  const absl::Status status = CheckSession(options, taken);
  if (status.ok()) return "";
  EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID");
  const errors::Parts parts = errors::PartsOf(status);
  return parts.fields.empty() ? "no field" : parts.fields[0].first;
}

db::SessionOptions Setting(const std::string& name, const std::string& value = "1") {
  db::SessionOptions options;
  options.settings[name] = value;
  return options;
}

TEST(CheckSession, TakesSettingsOfAProgramsOwnAndThoseOfPlanning) {
  for (const char* name : {"app.tenant", "App.Tenant_2", "work_mem", "WORK_MEM", "enable_seqscan",
                           "lock_timeout", "row_security"}) {
    EXPECT_EQ(Refused(Setting(name)), "") << name;
  }
}

TEST(CheckSession, NamesWhatTheServerReliesOn) {
  for (const char* name : {"statement_timeout",
                           "Statement_Timeout",
                           "role",
                           "search_path",
                           "TimeZone",
                           "DateStyle",
                           "IntervalStyle",
                           "bytea_output",
                           "extra_float_digits",
                           "client_encoding",
                           "standard_conforming_strings",
                           "transaction_read_only",
                           "default_transaction_isolation",
                           "synchronous_commit",
                           "session_authorization",
                           "session_replication_role",
                           "",
                           "app.",
                           ".tenant",
                           "app.ten ant",
                           "app.a.b"}) {
    EXPECT_EQ(Refused(Setting(name)), "session.settings[\"" + std::string(name) + "\"]");
  }
}

TEST(CheckSession, TakesNoOthersThanTheConnectionLists) {
  EXPECT_EQ(Refused(Setting("App.Tenant"), {"app.tenant"}), "");
  EXPECT_EQ(Refused(Setting("app.user"), {"app.tenant"}), "session.settings[\"app.user\"]");
  EXPECT_EQ(Refused(Setting("work_mem"), {"app.tenant"}), "");
}

TEST(CheckSession, NamesAndValuesHaveLimits) {
  db::SessionOptions options;
  options.search_path = {"a", "Läden \"x\""};
  options.role = "clerk";
  options.time_zone = "Europe/Paris";
  EXPECT_EQ(Refused(options), "");
  options.search_path.emplace_back(64, 'x');
  EXPECT_EQ(Refused(options), "session.search_path[2]");
  options.search_path.assign(33, "a");
  EXPECT_EQ(Refused(options), "session.search_path");
  options.search_path.clear();
  options.role = "None";
  EXPECT_EQ(Refused(options), "session.role");
  options.role.clear();
  options.time_zone = std::string("a\0b", 3);
  EXPECT_EQ(Refused(options), "session.time_zone");
  EXPECT_EQ(Refused(Setting("app.a", std::string(4097, 'x'))), "session.settings[\"app.a\"]");
  EXPECT_EQ(Refused(Setting("app.a", "\xff")), "session.settings[\"app.a\"]");
}

TEST(ChangesPlans, OnlySettingsOfAProgramsOwnLeaveThemAlone) {
  EXPECT_FALSE(ChangesPlans(Setting("app.tenant")));
  EXPECT_TRUE(ChangesPlans(Setting("work_mem")));
  db::SessionOptions options;
  options.time_zone = "UTC";
  EXPECT_TRUE(ChangesPlans(options));
  EXPECT_FALSE(ChangesNames(options));
  options.role = "clerk";
  EXPECT_TRUE(ChangesNames(options));
}

}  // namespace
}  // namespace sluice::postgres
