"""One control-plane replica: API, admission, replicated state, watches, scheduler and controllers."""
