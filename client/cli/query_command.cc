// `sluice query`.
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"

namespace sluice::cli {
namespace {

// Rows of a streamed table that are laid out together.
constexpr size_t kTablePageRows = 1000;

// The closing facts, which both kinds of response have.
template <class Response>
void NoteResult(const Session& session, const Response& response, int64_t rows, bool has_columns) {
  for (const v1::SqlDiagnostic& notice : response.notices()) {
    Note(session, absl::StrCat("notice: ", notice.message()));
  }
  std::string text;
  if (has_columns) {
    text = CountOf(rows, "row");
  } else {
    text = response.command_tag().empty() ? "done" : response.command_tag();
  }
  if (response.rows_affected() > 0) {
    absl::StrAppend(&text, ", ", CountOf(response.rows_affected(), "row"), " changed");
  }
  if (response.last_insert_rowid() != 0) {
    absl::StrAppend(&text, ", last rowid ", response.last_insert_rowid());
  }
  Note(session, absl::StrCat(text, " (", ElapsedText(response.elapsed()), ")"));
  NoteTransaction(session, response);
}

template <class Request>
Request RequestFor(const Session& session) {
  const QueryOptions& query = session.options.query;
  Request request;
  request.set_connection_id(session.options.connection_id);
  request.set_sql(session.sql);
  for (const v1::Value& value : query.params) *request.add_params() = value;
  for (const auto& [name, value] : query.named_params) {
    (*request.mutable_named_params())[name] = value;
  }
  request.set_read_only(query.read_only);
  SelectTransaction(session, &request);
  return request;
}

ExitCode RunUnary(Session& session) {
  auto request = RequestFor<v1::QueryRequest>(session);
  request.set_max_rows(session.options.query.max_rows);
  const auto response = session.client.Query(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), session.sql, request.read_only());

  const auto printer = MakePrinter(session.format, session.out_style, {}, &session.out);
  printer->Begin(response->columns());
  for (const v1::Row& row : response->rows()) {
    printer->Row(row);
    if (session.out.Failed()) break;
  }
  printer->End();
  const ExitCode code = FinishOutput(session);
  NoteResult(session, *response, response->rows_size(), response->has_columns());
  if (response->truncated()) {
    Warn(session, absl::StrCat("the result was cut after ", CountOf(response->rows_size(), "row"),
                               ": there are more; --stream prints all, --max-rows N up to N"));
  }
  return code;
}

ExitCode RunStream(Session& session) {
  const auto request = RequestFor<v1::StreamQueryRequest>(session);
  const auto stream = session.client.StreamQuery(request, session.Call());
  if (!stream.ok()) return Fail(session, stream.status(), session.sql, request.read_only());

  TablePaging paging;
  paging.rows = kTablePageRows;
  const auto printer = MakePrinter(session.format, session.out_style, paging, &session.out);
  printer->Begin((*stream)->Columns());
  for (int64_t rows = 0;; ++rows) {
    // What has arrived is shown before waiting for more.
    if ((*stream)->Drained()) session.out.Flush();
    const bool enough =
        session.options.query.max_rows > 0 && rows >= session.options.query.max_rows;
    const auto row = (*stream)->Next();
    if (!row.ok()) {
      session.out.Flush();
      return Fail(session, row.status(), session.sql, request.read_only());
    }
    if (*row == nullptr) break;
    if (enough) {
      printer->End();
      const ExitCode code = FinishOutput(session);
      Warn(session,
           absl::StrCat("the result was cut after ", CountOf(rows, "row"), ": there are more"));
      return code;
    }
    printer->Row(**row);
    if (session.out.Failed()) return FinishOutput(session);
  }
  printer->End();
  const ExitCode code = FinishOutput(session);
  const v1::StreamQueryResponse& summary = (*stream)->Summary();
  NoteResult(session, summary, summary.row_count(), (*stream)->HasColumns());
  return code;
}

}  // namespace

ExitCode RunQuery(Session& session) {
  return session.options.query.stream ? RunStream(session) : RunUnary(session);
}

}  // namespace sluice::cli
