-- Requests for wrk, with 64 recipients in turn, and its result as one line of JSON.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local bodies, number = {}, 0
for n = 1, 64 do
  bodies[n] = string.format(
    '{"email": "user%d@gmail.com", "username": "Ada Lovelace %d", "link": "https://shop.example.com/verify?token=%020d"}',
    n, n, n * 2654435761)
end

function request()
  number = number % 64 + 1
  return wrk.format(nil, nil, nil, bodies[number])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests_per_second": %f, "p50_ms": %f, "p99_ms": %f, "failures": %d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
