// The parameters of one SQL text, each once, numbered as the engine will number them.
#ifndef SLUICE_SERVER_DB_PARAMETER_LIST_H_
#define SLUICE_SERVER_DB_PARAMETER_LIST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/lexer.h"

namespace sluice::db {

// How many parameters a statement may have.
inline constexpr int kMaxSqliteParameters = 32766;
inline constexpr int kMaxPostgresParameters = 65535;

// A place in the SQL: bytes from 0, and characters from 1 as errors count them; 0 = no such place.
struct Place {
  size_t offset = 0;
  int position = 0;

  explicit operator bool() const { return position > 0; }
};

// A parameter of the engine's, where it first stands. A statement that says `:a` twice has one; on
// SQLite `:a`, `@a` and `$a` are three, which take one value.
struct Parameter {
  ParameterForm form = ParameterForm::kBare;
  std::string text;  // as typed: `?`, `?5`, `$5`, `:a`
  std::string name;  // of a named one, without its sigil
  int number = 0;    // of any other: it takes params[number - 1]
  // The engine's own number for it, from 1. SQLite: what sqlite3_bind_* takes. PostgreSQL: the n of
  // $n, where named ones come after all numbered ones.
  int index = 0;
  Place place;
};

struct ParameterList {
  std::vector<Parameter> all;  // in the order of their first places
  int numbered = 0;            // how many `params` they take
  int named = 0;               // how many `named_params`
  absl::Status problem;        // why no values would do for them; OK if some would
};

// Collects a ParameterList while the SQL, which outlives it, is read from left to right.
class ParameterCollector {
 public:
  explicit ParameterCollector(Dialect dialect);

  // `token` is a kParameter, which stands at `place`.
  void Add(const Token& token, Place place);

  // After the last one. Checks what can only be known then.
  ParameterList Finish() &&;

 private:
  void AddNumbered(const Token& token, Place place);
  void AddNamed(const Token& token, Place place);
  Parameter& Append(const Token& token, int index, Place place);
  void Refuse(absl::string_view why, Place place, absl::string_view hint = "");
  void RefuseUnusable(absl::string_view text, Place place);
  void RefuseGap();

  const Dialect dialect_;
  const int limit_;
  ParameterList list_;
  int last_index_ = 0;  // the highest that is taken
  bool bare_ = false;   // the statement has a `?`
  // What the statement has so far. Indexes lead into list_.all.
  absl::flat_hash_set<int> numbers_;
  absl::flat_hash_set<absl::string_view> names_;
  absl::flat_hash_set<absl::string_view> texts_;  // sigil and name
  absl::flat_hash_map<int, size_t> by_index_;     // of explicit numbers
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_PARAMETER_LIST_H_
