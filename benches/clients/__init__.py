"""One file a client, each with `connected(servers, topic, **settings)`.

It is an async context manager that yields `publish(email, username, link)` and ends with everything flushed. A publish
returns an awaitable that is done when the event is acknowledged.

Clients without an event loop have `opened(servers, topic, **settings)`, a context manager that yields `publish` and
`settle()`. `publish` returns when the event is acknowledged, or at once if its settings say so: then `settle` waits for
all that were published, and raises if one failed.
"""
