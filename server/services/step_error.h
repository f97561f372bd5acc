// StepError: a failure in the form in which an answer can hold it.
#ifndef SLUICE_SERVER_SERVICES_STEP_ERROR_H_
#define SLUICE_SERVER_SERVICES_STEP_ERROR_H_

#include "absl/status/status.h"

#include "sluice/v1/common.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// The error that a call would have ended with, without what is longer than a status may carry.
void SetStepError(const absl::Status& failure, pb::StepError& error);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_STEP_ERROR_H_
