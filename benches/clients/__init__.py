"""One file a client, each with `connected(servers, topic, **settings)`.

It is an async context manager that yields `publish(email, username, link)` and ends with everything flushed. A publish
returns an awaitable that is done when the event is acknowledged.
"""
