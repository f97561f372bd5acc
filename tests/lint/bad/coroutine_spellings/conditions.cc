Task<void> NoLocals(Sink& sink) {
  if (co_await sink.Write(Head())) {                                    // bad: condition
    Count();
  }
  while (co_await                                                       // bad: condition
         sink.Ready()) {
    Count();
  }
  switch (co_await sink.State()) {                                      // bad: condition
    default:
      break;
  }
  for (; co_await sink.Ready();) Count();                               // bad: condition
  do {
    Count();
  } while (!co_await sink.Ready());                                     // bad: condition
  const int n = ({ Count(); co_await One(); });                         // bad: statement-expression
}
