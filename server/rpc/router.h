// Router: which handler serves which method. Filled by rpc/routes.cc, a line per method.
#ifndef SLUICE_SERVER_RPC_ROUTER_H_
#define SLUICE_SERVER_RPC_ROUTER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/impl/codegen/service_type.h"

#include "server/rpc/serve.h"

namespace sluice::rpc {

// Handlers are callables that return a Task; they and the services they call outlive the server.
class Router {
 public:
  // `Service` is a generated service all of whose methods are raw. It is registered with gRPC under
  // `name`, and every method of its proto must get a route.
  template <class Service>
  Service& AddService(const std::string& name) {
    auto service = std::make_unique<Service>();
    Service& added = *service;
    services_.push_back({name, std::move(service)});
    return added;
  }

  template <class Request, class Service, class RequestCall, class Handler>
  void Unary(MethodOptions options, Service& service, RequestCall request_call, Handler handler) {
    Add<UnaryMethod<Request, Handler>>(std::move(options), service, request_call,
                                       std::move(handler));
  }

  template <class Request, class Response, class Service, class RequestCall, class Handler>
  void ServerStream(MethodOptions options,
                    Service& service,
                    RequestCall request_call,
                    Handler handler) {
    Add<ServerStreamMethod<Request, Response, Handler>>(std::move(options), service, request_call,
                                                        std::move(handler));
  }

  template <class Request, class Service, class RequestCall, class Handler>
  void ClientStream(MethodOptions options,
                    Service& service,
                    RequestCall request_call,
                    Handler handler) {
    Add<ClientStreamMethod<Request, Handler>>(std::move(options), service, request_call,
                                              std::move(handler));
  }

  template <class Request, class Response, class Service, class RequestCall, class Handler>
  void Bidirectional(MethodOptions options,
                     Service& service,
                     RequestCall request_call,
                     Handler handler) {
    Add<BidirectionalMethod<Request, Response, Handler>>(std::move(options), service, request_call,
                                                         std::move(handler));
  }

  // Compares the routes with the protos of the services: a method without a route, or a route
  // without a method, is an error that names it.
  absl::Status CheckComplete() const;

  struct Service {
    std::string name;
    std::unique_ptr<grpc::Service> service;
  };

  struct Route {
    MethodOptions options;
    std::function<Task<void>(Acceptor&, const MethodOptions&)> accept;
  };

  const std::vector<Service>& services() const { return services_; }

  const std::vector<Route>& routes() const { return routes_; }

 private:
  template <class Method, class Service, class RequestCall, class Handler>
  void Add(MethodOptions options, Service& service, RequestCall request_call, Handler handler) {
    auto shared = std::make_shared<const Handler>(std::move(handler));
    routes_.push_back({std::move(options), [&service, request_call, shared](
                                               Acceptor& acceptor, const MethodOptions& o) {
                         return AcceptCalls<Method>(acceptor, o, service, request_call, *shared);
                       }});
  }

  std::vector<Service> services_;
  std::vector<Route> routes_;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_ROUTER_H_
